// CUDA C on the CPU: what g++ needs to compile and run the kernels that NVRTC gets, for tests.
//
// The threads of a block are fibers of one OS thread, and blocks run one after another.  A thread runs until it waits
// at a barrier or ends; which thread is next is told by the order: forward, reverse or random.  A kernel without
// barriers is a plain loop.  The first part is what a kernel sees; the second, under HOSTCUDA_RUNTIME, is the
// scheduler, compiled once and without sanitizers.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <type_traits>
#include <utility>

// ---- what a kernel sees: the language --------------------------------------------------------------------------

// Hidden, so that a kernel called `read` is not the C library's.
#define __global__ __attribute__((visibility("hidden")))
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static
// Blocks run one after another, so a static is shared by a block.  In a section of its own it can be poisoned.
#define __shared__ static __attribute__((section("hostcuda_shared")))

// NVRTC without headers does not know these either.
#undef INFINITY
#undef NAN
#undef HUGE_VAL
#undef M_PI
#undef M_E
#undef M_LN2
#undef M_SQRT2
#undef INT_MAX
#undef assert

#define HOSTCUDA_VECTOR(type, name, size2, size4)                                                                     \
    struct alignas(size2) name##2 { type x, y; };                                                                     \
    struct name##3 { type x, y, z; };                                                                                 \
    struct alignas(size4) name##4 { type x, y, z, w; };                                                               \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                           \
    static inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }                                \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
HOSTCUDA_VECTOR(signed char, char, 2, 4)
HOSTCUDA_VECTOR(unsigned char, uchar, 2, 4)
HOSTCUDA_VECTOR(short, short, 4, 8)
HOSTCUDA_VECTOR(unsigned short, ushort, 4, 8)
HOSTCUDA_VECTOR(int, int, 8, 16)
HOSTCUDA_VECTOR(unsigned, uint, 8, 16)
HOSTCUDA_VECTOR(long long, longlong, 16, 16)
HOSTCUDA_VECTOR(unsigned long long, ulonglong, 16, 16)
HOSTCUDA_VECTOR(float, float, 8, 16)
HOSTCUDA_VECTOR(double, double, 16, 16)
#undef HOSTCUDA_VECTOR
typedef uint3 dim3;

// A kernel sees its own coordinates as constants, so that the compiler may keep them in registers; the scheduler
// changes them when it changes threads.
#ifdef HOSTCUDA_RUNTIME
#define HOSTCUDA_COORDINATES
#else
#define HOSTCUDA_COORDINATES const
#endif
extern "C" {
extern HOSTCUDA_COORDINATES uint3 threadIdx, blockIdx, blockDim, gridDim;
}
#define warpSize 32

// ---- what a kernel sees: barriers and shuffles -----------------------------------------------------------------

extern "C" {
void hostcuda_sync_block(int site, int line);
int hostcuda_sync_block_count(int site, int line, int holds);
void hostcuda_sync_warp(int line, unsigned mask);
uint64_t hostcuda_shuffle(int line, unsigned mask, uint64_t value, int source);
unsigned hostcuda_ballot(int line, unsigned mask, int holds);
int hostcuda_lane();
void hostcuda_trap(int line);
}

#define __syncthreads() hostcuda_sync_block(__COUNTER__, __LINE__)
#define __syncthreads_count(holds) hostcuda_sync_block_count(__COUNTER__, __LINE__, (holds) != 0)
#define __syncthreads_or(holds) (__syncthreads_count(holds) != 0)
#define __syncthreads_and(holds) (__syncthreads_count(!(holds)) == 0)
#define __syncwarp(...) hostcuda::syncwarp(__LINE__ __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(...) hostcuda::shuffle(__LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) hostcuda::shuffle_xor(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) hostcuda::shuffle_down(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) hostcuda::shuffle_up(__LINE__, __VA_ARGS__)
#define __ballot_sync(mask, holds) hostcuda_ballot(__LINE__, mask, (holds) != 0)
#define __any_sync(mask, holds) (__ballot_sync(mask, holds) != 0)
#define __all_sync(mask, holds) (__ballot_sync(mask, !(holds)) == 0)
#define __trap() hostcuda_trap(__LINE__)
#define __threadfence() ((void)0)
#define __threadfence_block() ((void)0)

namespace hostcuda {
static inline void syncwarp(int line, unsigned mask = 0xffffffffu) { hostcuda_sync_warp(line, mask); }

template <class T> T shuffle_from(int line, unsigned mask, T value, int source) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles take 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = hostcuda_shuffle(line, mask, bits, source);
    memcpy(&value, &bits, sizeof value);
    return value;
}
template <class T> T shuffle(int line, unsigned mask, T value, int source, int width = 32) {
    int first = hostcuda_lane() & ~(width - 1);
    return shuffle_from(line, mask, value, first + (source & (width - 1)));
}
template <class T> T shuffle_xor(int line, unsigned mask, T value, int bits, int width = 32) {
    int lane = hostcuda_lane(), source = lane ^ bits;
    return shuffle_from(line, mask, value, source < (lane | (width - 1)) + 1 ? source : lane);
}
template <class T> T shuffle_down(int line, unsigned mask, T value, unsigned delta, int width = 32) {
    int lane = hostcuda_lane(), source = lane + (int)delta;
    return shuffle_from(line, mask, value, source <= (lane | (width - 1)) ? source : lane);
}
template <class T> T shuffle_up(int line, unsigned mask, T value, unsigned delta, int width = 32) {
    int lane = hostcuda_lane(), source = lane - (int)delta;
    return shuffle_from(line, mask, value, source >= (lane & ~(width - 1)) ? source : lane);
}

template <class To, class From> static inline To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From), "");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
}  // namespace hostcuda

// ---- what a kernel sees: atomics, real ones, so that the thread sanitizer knows them ---------------------------

namespace hostcuda {
// What was at `address`, which becomes change(it).
template <class T, class Change> T exchange(T* address, Change change) {
    T old, changed;
    __atomic_load(address, &old, __ATOMIC_RELAXED);
    do changed = change(old);
    while (!__atomic_compare_exchange(address, &old, &changed, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}
}  // namespace hostcuda
#define HOSTCUDA_ATOMIC(name, type, changed)                                                                          \
    static inline type name(type* address, type value) {                                                              \
        return hostcuda::exchange(address, [=](type old) -> type { return changed; });                                \
    }
#define HOSTCUDA_ATOMICS(name, changed)                                                                               \
    HOSTCUDA_ATOMIC(name, int, changed)                                                                               \
    HOSTCUDA_ATOMIC(name, unsigned, changed)                                                                          \
    HOSTCUDA_ATOMIC(name, unsigned long long, changed)
HOSTCUDA_ATOMIC(atomicAdd, int, (int)((unsigned)old + (unsigned)value))
HOSTCUDA_ATOMIC(atomicAdd, unsigned, old + value)
HOSTCUDA_ATOMIC(atomicAdd, unsigned long long, old + value)
HOSTCUDA_ATOMIC(atomicAdd, float, old + value)
HOSTCUDA_ATOMIC(atomicAdd, double, old + value)
HOSTCUDA_ATOMIC(atomicSub, int, (int)((unsigned)old - (unsigned)value))
HOSTCUDA_ATOMIC(atomicSub, unsigned, old - value)
HOSTCUDA_ATOMICS(atomicExch, (void(old), value))
HOSTCUDA_ATOMIC(atomicExch, float, (void(old), value))
HOSTCUDA_ATOMICS(atomicMax, old < value ? value : old)
HOSTCUDA_ATOMIC(atomicMax, long long, old < value ? value : old)
HOSTCUDA_ATOMICS(atomicMin, value < old ? value : old)
HOSTCUDA_ATOMIC(atomicMin, long long, value < old ? value : old)
HOSTCUDA_ATOMICS(atomicAnd, old & value)
HOSTCUDA_ATOMICS(atomicOr, old | value)
HOSTCUDA_ATOMICS(atomicXor, old ^ value)
HOSTCUDA_ATOMIC(atomicInc, unsigned, old >= value ? 0u : old + 1u)
HOSTCUDA_ATOMIC(atomicDec, unsigned, (old == 0u || old > value) ? value : old - 1u)
#undef HOSTCUDA_ATOMICS
#undef HOSTCUDA_ATOMIC
#define HOSTCUDA_CAS(type)                                                                                            \
    static inline type atomicCAS(type* address, type expected, type value) {                                         \
        __atomic_compare_exchange(address, &expected, &value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);             \
        return expected;                                                                                              \
    }
HOSTCUDA_CAS(int)
HOSTCUDA_CAS(unsigned)
HOSTCUDA_CAS(unsigned short)
HOSTCUDA_CAS(unsigned long long)
#undef HOSTCUDA_CAS
template <class T> static inline T __ldg(const T* address) { return *address; }

// ---- what a kernel sees: bits and numbers ----------------------------------------------------------------------

static inline float __int_as_float(int x) { return hostcuda::bits_as<float>(x); }
static inline float __uint_as_float(unsigned x) { return hostcuda::bits_as<float>(x); }
static inline int __float_as_int(float x) { return hostcuda::bits_as<int>(x); }
static inline unsigned __float_as_uint(float x) { return hostcuda::bits_as<unsigned>(x); }
static inline double __longlong_as_double(long long x) { return hostcuda::bits_as<double>(x); }
static inline long long __double_as_longlong(double x) { return hostcuda::bits_as<long long>(x); }
static inline int __double2hiint(double x) { return (int)(__double_as_longlong(x) >> 32); }
static inline int __double2loint(double x) { return (int)__double_as_longlong(x); }
static inline double __hiloint2double(int high, int low) {
    return __longlong_as_double((long long)(((unsigned long long)(unsigned)high << 32) | (unsigned)low));
}
static inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)(((uint64_t)x * y) >> 32); }
static inline int __mulhi(int x, int y) { return (int)(((int64_t)x * y) >> 32); }
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned long long)(((unsigned __int128)x * y) >> 64);
}
static inline long long __mul64hi(long long x, long long y) { return (long long)(((__int128)x * y) >> 64); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }

static inline float __fadd_rn(float x, float y) { return x + y; }
static inline float __fsub_rn(float x, float y) { return x - y; }
static inline float __fmul_rn(float x, float y) { return x * y; }
static inline float __fdiv_rn(float x, float y) { return x / y; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
static inline double __dadd_rn(double x, double y) { return x + y; }
static inline double __dsub_rn(double x, double y) { return x - y; }
static inline double __dmul_rn(double x, double y) { return x * y; }
static inline double __ddiv_rn(double x, double y) { return x / y; }
static inline double __dsqrt_rn(double x) { return sqrt(x); }
static inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }

// CUDA's min and max of floats are fmin and fmax: a NaN loses.
static inline float min(float x, float y) { return fminf(x, y); }
static inline float max(float x, float y) { return fmaxf(x, y); }
static inline double min(double x, double y) { return fmin(x, y); }
static inline double max(double x, double y) { return fmax(x, y); }
#define HOSTCUDA_EXTREMES(type)                                                                                       \
    static inline type min(type x, type y) { return y < x ? y : x; }                                                  \
    static inline type max(type x, type y) { return x < y ? y : x; }
HOSTCUDA_EXTREMES(int)
HOSTCUDA_EXTREMES(unsigned)
HOSTCUDA_EXTREMES(long)
HOSTCUDA_EXTREMES(unsigned long)
HOSTCUDA_EXTREMES(long long)
HOSTCUDA_EXTREMES(unsigned long long)
#undef HOSTCUDA_EXTREMES

// Functions of CUDA that glibc lacks, in long double so that a rounding to double or float is all that is lost.
namespace hostcuda {
typedef long double wide;
static const wide PI = 3.141592653589793238462643383279502884L;
static const wide ROOT_PI = 1.772453850905516027298167483341145183L;
static const wide ROOT_2 = 1.414213562373095048801688724209698079L;

static inline wide sinpi(wide x) {
    wide r = x - 2 * rintl(x / 2);
    if (fabsl(r) > 0.5L) r = copysignl(1, r) - r;
    return sinl(PI * r);
}
static inline wide cospi(wide x) {
    wide r = fabsl(x - 2 * rintl(x / 2));
    return r <= 0.25L ? cosl(PI * r) : r < 0.75L ? sinl(PI * (0.5L - r)) : -cosl(PI * (1 - r));
}
static inline wide erfcx(wide x) {
    if (x < 50) return expl(x * x) * erfcl(x);
    wide s = 1 / (2 * x * x);
    return (1 - s * (1 - 3 * s * (1 - 5 * s * (1 - 7 * s)))) / (x * ROOT_PI);
}
static inline wide erfcinv(wide y);
static inline wide erfinv(wide y) {
    if (!(fabsl(y) <= 0.5L)) return y > 0 ? erfcinv(1 - y) : -erfcinv(1 + y);
    wide x = y * ROOT_PI / 2;
    for (int step = 0; step < 8; step++) x -= (erfl(x) - y) * (ROOT_PI / 2) * expl(x * x);
    return x;
}
static inline wide erfcinv(wide y) {
    if (!(y >= 0 && y <= 2)) return __builtin_nanl("");
    if (y == 0) return __builtin_infl();
    if (y > 1) return -erfcinv(2 - y);
    if (y >= 0.5L) return erfinv(1 - y);
    wide target = logl(y), x = sqrtl(-target);
    for (int step = 0; step < 12; step++) x += (logl(erfcl(x)) - target) * erfcl(x) * (ROOT_PI / 2) * expl(x * x);
    return x;
}
// All terms are positive, so the series loses nothing, however long it is.
static inline wide bessel_i(int order, wide x) {
    wide half = x / 2, term = order ? half : 1, sum = term;
    if (isinf(x) || isnan(x)) return order || isnan(x) ? x : fabsl(x);
    for (int k = 1; k < 5000 && fabsl(term) > 1e-22L * fabsl(sum); k++)
        sum += term *= half * half / ((wide)k * (k + order));
    return sum;
}
static inline wide rsqrt(wide x) { return 1 / sqrtl(x); }
static inline wide rcbrt(wide x) { return 1 / cbrtl(x); }
static inline wide normcdf(wide x) { return erfcl(-x / ROOT_2) / 2; }
static inline wide normcdfinv(wide y) { return -ROOT_2 * erfcinv(2 * y); }
static inline wide cyl_bessel_i0(wide x) { return bessel_i(0, x); }
static inline wide cyl_bessel_i1(wide x) { return bessel_i(1, x); }
}  // namespace hostcuda
#define HOSTCUDA_FUNCTION(name)                                                                                       \
    static inline double name(double x) { return (double)hostcuda::name(x); }                                         \
    static inline float name##f(float x) { return (float)hostcuda::name(x); }                                         \
    static inline float name(float x) { return name##f(x); }
HOSTCUDA_FUNCTION(rsqrt)
HOSTCUDA_FUNCTION(rcbrt)
HOSTCUDA_FUNCTION(sinpi)
HOSTCUDA_FUNCTION(cospi)
HOSTCUDA_FUNCTION(erfcx)
HOSTCUDA_FUNCTION(erfinv)
HOSTCUDA_FUNCTION(erfcinv)
HOSTCUDA_FUNCTION(normcdf)
HOSTCUDA_FUNCTION(normcdfinv)
HOSTCUDA_FUNCTION(cyl_bessel_i0)
HOSTCUDA_FUNCTION(cyl_bessel_i1)
#undef HOSTCUDA_FUNCTION
static inline void sincospi(double x, double* sine, double* cosine) { *sine = sinpi(x), *cosine = cospi(x); }
static inline void sincospif(float x, float* sine, float* cosine) { *sine = sinpif(x), *cosine = cospif(x); }

// ---- what the harness sees -------------------------------------------------------------------------------------

namespace hostcuda {
struct Parameter {
    int size;
    int is_pointer;
};
struct Launch {
    void (*entry)(void**);
    void** arguments;
    char *shared, *shared_end;
    uint3 grid, block;
    int order;  // 0 forward, 1 reverse, 2 random
    unsigned seed;
};

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*(std::remove_cv_t<A>*)arguments[I]...);
}
template <class... A> void call(void (*kernel)(A...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<A...>{});
}
template <class... A> int parameters(void (*)(A...), Parameter* out, int room) {
    const Parameter all[] = {{(int)sizeof(A), std::is_pointer<A>::value}..., {0, 0}};
    for (int i = 0; i < (int)sizeof...(A) && i < room; i++) out[i] = all[i];
    return (int)sizeof...(A);
}
}  // namespace hostcuda

// What went wrong, or null.
extern "C" __attribute__((visibility("default"))) const char* hostcuda_run(const hostcuda::Launch* launch);

extern char __start_hostcuda_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_hostcuda_shared[] __attribute__((weak, visibility("hidden")));

// The two functions through which ctypes reaches a kernel.
#define HOSTCUDA_EXPORT(kernel)                                                                                       \
    static void kernel##__entry(void** arguments) { hostcuda::call(kernel, arguments); }                              \
    extern "C" __attribute__((visibility("default"))) int kernel##__parameters(hostcuda::Parameter* out, int room) {  \
        return hostcuda::parameters(kernel, out, room);                                                               \
    }                                                                                                                 \
    extern "C" __attribute__((visibility("default"))) const char* kernel##__launch(                                   \
        void** arguments, unsigned grid, unsigned x, unsigned y, int order, unsigned seed) {                          \
        hostcuda::Launch launch = {kernel##__entry, arguments, __start_hostcuda_shared, __stop_hostcuda_shared,      \
                                   {grid, 1, 1},    {x, y, 1}, order, seed};                                          \
        return hostcuda_run(&launch);                                                                                 \
    }

// ---- the scheduler ---------------------------------------------------------------------------------------------

#ifdef HOSTCUDA_RUNTIME
#include <stdarg.h>
#include <sys/mman.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif
#ifdef HOSTCUDA_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define ASAN(...) __VA_ARGS__
#else
#define ASAN(...)
#endif
#ifdef HOSTCUDA_TSAN
#include <sanitizer/tsan_interface.h>
#define TSAN(...) __VA_ARGS__
#else
#define TSAN(...)
#endif

uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace hostcuda {
namespace {
const int MOST = 1024;
const size_t STACK = 256 * 1024;  // touched as it is used

// A place to run from: where it stopped, and its stack.
struct Context {
#ifdef __x86_64__
    void* top;
#else
    ucontext_t machine;
#endif
    char* stack;
    ASAN(void* fake;)
    TSAN(void* sanitizer;)
};

enum State { NEW, READY, RUNNING, AT_BLOCK, AT_WARP, ENDED };

struct Thread {
    State state;
    uint3 index;
    Context* context;
    int line;  // of the barrier where it waits
    unsigned mask;
    uint64_t value, received;
    int source;  // the lane to read; BALLOT; or NOTHING
};
const int BALLOT = -1, NOTHING = -2;

struct Warp {
    unsigned present;  // lanes that have not ended
    unsigned waiting;  // lanes in a *_sync
};

Context scheduler, fibers[MOST], *idle[MOST];
Thread threads[MOST];
Warp warps[MOST / 32];
int sequence[MOST];
Thread* current;
const Launch* launch;
int count, alive, fiber_count, idle_count, cursor;
int waiting, site, site_line, holding, held;  // at the block's barrier
unsigned barriers;                            // passed by the block
unsigned random_state;
char failure[512];
ASAN(const void* main_stack; size_t main_stack_size;)
TSAN(char start_tag, end_tag, block_tag[2], warp_tag[MOST / 32];)

void fail(const char* format, ...) {
    if (failure[0]) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof failure, format, arguments);
    va_end(arguments);
    TSAN(__tsan_release(&end_tag);)
}

unsigned random_below(unsigned bound) {
    random_state = random_state * 1664525u + 1013904223u;
    return (unsigned)(((uint64_t)random_state * bound) >> 32);
}

int number(const Thread* thread) { return (int)(thread - threads); }

// ---- switching ----

#ifdef __x86_64__
extern "C" void hostcuda_switch(void** save, void* top);
asm(".text\n"
    ".type hostcuda_switch, @function\n"
    "hostcuda_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    ".size hostcuda_switch, .-hostcuda_switch\n");
void change(Context& from, Context& to) { hostcuda_switch(&from.top, to.top); }
#else
void change(Context& from, Context& to) { swapcontext(&from.machine, &to.machine); }
#endif

void fiber_main();

// Make a context start from the beginning when it is next switched to.
void rewind(Context& context) {
#ifdef __x86_64__
    void** top = (void**)(context.stack + STACK) - 3;  // aligned as after a call
    top[-1] = (void*)fiber_main;  // where `ret` goes
    context.top = top - 7;
#else
    getcontext(&context.machine);
    context.machine.uc_stack.ss_sp = context.stack;
    context.machine.uc_stack.ss_size = STACK;
    context.machine.uc_link = nullptr;
    makecontext(&context.machine, fiber_main, 0);
#endif
    TSAN(if (context.sanitizer) __tsan_destroy_fiber(context.sanitizer);)
    TSAN(context.sanitizer = __tsan_create_fiber(0);)
    ASAN(context.fake = nullptr;)
    ASAN(__asan_unpoison_memory_region(context.stack, STACK);)
}

Context* new_fiber() {
    Context& context = fibers[fiber_count++];
    context.stack = (char*)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                -1, 0);
    if (context.stack == (char*)MAP_FAILED) abort();
    mprotect(context.stack, 4096, PROT_NONE);
    rewind(context);
    return &context;
}

void select(Thread& thread) {
    current = &thread;
    thread.state = RUNNING;
    threadIdx = thread.index;
}

void to_thread(Thread& thread) {
    if (thread.state == NEW) {
#ifdef HOSTCUDA_TSAN  // which tells threads apart by their fibers
        while (fiber_count <= number(&thread)) new_fiber();
        thread.context = &fibers[number(&thread)];
#else
        thread.context = idle_count ? idle[--idle_count] : new_fiber();
#endif
    }
    Context& to = *thread.context;
    select(thread);
    TSAN(__tsan_switch_to_fiber(to.sanitizer, __tsan_switch_to_fiber_no_sync);)
    ASAN(__sanitizer_start_switch_fiber(&scheduler.fake, to.stack, STACK);)
    change(scheduler, to);
    ASAN(__sanitizer_finish_switch_fiber(scheduler.fake, nullptr, nullptr);)
}

void to_scheduler(Context& from) {
    TSAN(__tsan_switch_to_fiber(scheduler.sanitizer, __tsan_switch_to_fiber_no_sync);)
    ASAN(__sanitizer_start_switch_fiber(&from.fake, main_stack, main_stack_size);)
    change(from, scheduler);
    ASAN(__sanitizer_finish_switch_fiber(from.fake, &main_stack, &main_stack_size);)
}

// Leave the running thread until it is ready again; for ever after a failure.
void wait() {
    Context& context = *current->context;
    TSAN(__tsan_release(&end_tag);)  // should another thread fail, this one ends here
    do to_scheduler(context);
    while (failure[0]);
}

// ---- threads ----

void end(Thread& thread) {
    thread.state = ENDED;
    warps[number(&thread) / 32].present &= ~(1u << (number(&thread) & 31));
    alive--;
    if (waiting) {
        fail("divergent barrier: thread %d has ended, others wait at __syncthreads() of line %d", number(&thread),
             site_line);
    }
}

// The next thread, if it has not begun, begins on the same stack: without barriers this is a plain loop.
bool next() {
#ifdef HOSTCUDA_TSAN
    return false;
#endif
    if (failure[0] || cursor + 1 >= count) return false;
    Thread& thread = threads[sequence[cursor + 1]];
    if (thread.state != NEW) return false;
    thread.context = current->context;
    cursor++;
    select(thread);
    return true;
}

void fiber_main() {
    ASAN(__sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_stack_size);)
    for (;;) {
        do {
            TSAN(__tsan_acquire(&start_tag);)
            launch->entry(launch->arguments);
            TSAN(__tsan_release(&end_tag);)
            end(*current);
        } while (next());
        Context& context = *current->context;
        idle[idle_count++] = &context;
        to_scheduler(context);
    }
}

void shuffle_sequence() {
    for (int i = count - 1; i > 0; i--) std::swap(sequence[i], sequence[random_below((unsigned)i + 1)]);
}

void tell_deadlock() {
    const Thread *block = nullptr, *warp = nullptr;
    for (int i = count - 1; i >= 0; i--) {
        if (threads[i].state == AT_BLOCK) block = &threads[i];
        if (threads[i].state == AT_WARP) warp = &threads[i];
    }
    if (!warp) return fail("deadlock");
    char other[128] = "the others have ended";
    if (block) snprintf(other, sizeof other, "thread %d waits at __syncthreads() of line %d", number(block), block->line);
    fail("deadlock: thread %d waits in a *_sync of line %d with mask 0x%08x, but %s", number(warp), warp->line,
         warp->mask, other);
}

// What is read of it before it is written is a NaN, or -1.
void poison(char* from, char* to) {
#ifdef HOSTCUDA_ASAN  // which would stop memset at the gaps between variables
    for (volatile char* byte = from; byte != to; byte++) *byte = (char)0xff;
#else
    memset(from, 0xff, (size_t)(to - from));
#endif
}

void run_block() {
    poison(launch->shared, launch->shared_end);
    alive = count;
    waiting = 0;
    barriers = 0;
    idle_count = 0;
    for (int i = 0; i < fiber_count; i++) idle[idle_count++] = &fibers[i];
    const unsigned x = launch->block.x;
    memset(warps, 0, sizeof warps);
    for (int i = 0; i < count; i++) {
        warps[i / 32].present |= 1u << (i & 31);
        threads[i] = Thread{};
        threads[i].index = {(unsigned)i % x, (unsigned)i / x, 0};
        sequence[i] = launch->order == 1 ? count - 1 - i : i;
    }
    TSAN(__tsan_release(&start_tag);)
    while (alive && !failure[0]) {
        bool moved = false;
        if (launch->order == 2) shuffle_sequence();
        for (cursor = 0; cursor < count && !failure[0]; cursor++) {
            Thread& thread = threads[sequence[cursor]];
            if (thread.state != NEW && thread.state != READY) continue;
            moved = true;
            to_thread(thread);
        }
        if (!moved) tell_deadlock();
    }
    TSAN(__tsan_acquire(&end_tag);)
}

// ---- barriers ----

void pass_block() {
    for (int i = 0; i < count; i++) {
        if (threads[i].state == AT_BLOCK) threads[i].state = READY;
    }
    held = holding;
    waiting = 0;
    barriers++;
}

int at_block(int at, int line, int holds) {
    if (!waiting) {
        site = at;
        site_line = line;
        holding = 0;
    } else if (site != at) {
        fail("divergent barrier: __syncthreads() of line %d in thread %d, others wait at that of line %d", line,
             number(current), site_line);
    }
    if (alive != count) {
        fail("divergent barrier: __syncthreads() of line %d in thread %d, others have ended", line, number(current));
    }
    TSAN(unsigned barrier = barriers;)
    TSAN(__tsan_release(&block_tag[barrier & 1]);)
    current->line = line;
    current->state = AT_BLOCK;
    holding += holds;
    if (++waiting == count) {
        pass_block();
        current->state = RUNNING;
        if (failure[0]) wait();
    } else {
        wait();
    }
    TSAN(__tsan_acquire(&block_tag[barrier & 1]);)
    return held;
}

// The last lane to arrive reads for all, before any can go on.
void pass_warp(Thread* lanes, unsigned mask) {
    unsigned ballot = 0;
    for (unsigned left = mask; left; left &= left - 1) {
        const int lane = __builtin_ctz(left);
        if (lanes[lane].value) ballot |= 1u << lane;
    }
    for (unsigned left = mask; left; left &= left - 1) {
        Thread& thread = lanes[__builtin_ctz(left)];
        if (thread.mask != mask) {
            fail("lanes of one warp use different masks: 0x%08x in line %d, 0x%08x in line %d", mask, current->line,
                 thread.mask, thread.line);
        }
        if (thread.source == BALLOT) {
            thread.received = ballot;
        } else if (thread.source != NOTHING) {
            if (mask >> thread.source & 1) thread.received = lanes[thread.source].value;
            else fail("the shuffle of line %d reads lane %d, which its mask 0x%08x does not name", thread.line,
                      thread.source, mask);
        }
        if (&thread != current) thread.state = READY;
    }
}

uint64_t at_warp(int line, unsigned mask, uint64_t value, int source) {
    const int lane = number(current) & 31;
    const unsigned self = 1u << lane;
    Warp& warp = warps[number(current) / 32];
    Thread* lanes = current - lane;
    current->line = line;
    current->mask = mask;
    current->value = value;
    current->source = source & (source < 0 ? -1 : 31);
    if (!(mask & self)) fail("lane %d is not in the mask 0x%08x of its own *_sync of line %d", lane, mask, line);
    if (const unsigned gone = mask & ~warp.present) {
        fail("the mask 0x%08x of the *_sync of line %d names lane %d, which has ended or never was", mask, line,
             __builtin_ctz(gone));
    }
    const unsigned others = warp.waiting & mask;
    if (others) {
        const Thread& other = lanes[__builtin_ctz(others)];
        if (other.mask != mask) {
            fail("lanes of one warp use different masks: 0x%08x in line %d, 0x%08x in line %d", mask, line,
                 other.mask, other.line);
        }
    }
    if (failure[0]) wait();
    if ((others | self) == mask) {
        pass_warp(lanes, mask);
        warp.waiting &= ~mask;
        if (failure[0]) wait();
    } else {
        current->state = AT_WARP;
        warp.waiting |= self;
        wait();
    }
    return current->received;
}
}  // namespace
}  // namespace hostcuda

using namespace hostcuda;

extern "C" {
void hostcuda_sync_block(int at, int line) { at_block(at, line, 0); }
int hostcuda_sync_block_count(int at, int line, int holds) { return at_block(at, line, holds); }
void hostcuda_sync_warp(int line, unsigned mask) {
    TSAN(char* tag = &warp_tag[number(current) / 32];)
    TSAN(__tsan_release(tag);)
    at_warp(line, mask, 0, NOTHING);
    TSAN(__tsan_acquire(tag);)
}
uint64_t hostcuda_shuffle(int line, unsigned mask, uint64_t value, int source) {
    return at_warp(line, mask, value, source);
}
unsigned hostcuda_ballot(int line, unsigned mask, int holds) {
    return (unsigned)at_warp(line, mask, (uint64_t)holds, BALLOT);
}
int hostcuda_lane() { return number(current) & 31; }
void hostcuda_trap(int line) {
    fail("__trap() of line %d in thread %d of block %u", line, number(current), blockIdx.x);
    wait();
}

#ifdef HOSTCUDA_TSAN
// On a GPU a volatile access is a relaxed atomic one.
#define HOSTCUDA_VOLATILE(size, bits)                                                                                 \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void* address, int order);                              \
    void __tsan_volatile_read##size(void* address) { __tsan_atomic##bits##_load(address, __ATOMIC_RELAXED); }
HOSTCUDA_VOLATILE(1, 8)
HOSTCUDA_VOLATILE(2, 16)
HOSTCUDA_VOLATILE(4, 32)
HOSTCUDA_VOLATILE(8, 64)
#endif

const char* hostcuda_run(const Launch* what) {
    launch = what;
    gridDim = what->grid;
    blockDim = what->block;
    count = (int)(what->block.x * what->block.y);
    random_state = what->seed;
    failure[0] = 0;
    if (count < 1 || count > MOST) fail("a block of %d threads: between 1 and %d are possible", count, MOST);
    TSAN(scheduler.sanitizer = __tsan_get_current_fiber();)
    const unsigned blocks = what->grid.x;
    for (unsigned i = 0; i < blocks && !failure[0]; i++) {
        blockIdx = {what->order == 1 ? blocks - 1 - i : i, 0, 0};
        run_block();
    }
    if (!failure[0]) return nullptr;
    for (int i = 0; i < fiber_count; i++) rewind(fibers[i]);  // some stopped in the middle of a thread
    return failure;
}
}
#endif
