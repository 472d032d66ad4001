"""CUDA C functions that kernels use where C itself would not do what NumPy does.

They stand in a table by name, each in front of those that call it, so that a kernel is preceded by what it uses and
no more.  Like CUDA's, a function of floats has an ``f`` behind its name where it takes a float; those of integers
are templates.  There are no headers, no undefined behaviour, and nothing that g++ does not compile as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from graphc.backends.cupy.teams import TEAMS
from graphc.backends.cupy.tiles import TILES

PRELUDE: dict[str, str] = {}


def _declare(text: str) -> None:
    """Put a function into the table, by the first name with ``g_`` that it declares."""
    found = re.search(r"\bg_\w+", text)
    assert found is not None
    PRELUDE[found.group()] = text.strip("\n")


def _declare_of_floats(text: str) -> None:
    """A function of doubles, and the same of floats.

    ``real`` is the type; ``exp_`` is CUDA's function of that type, ``g_mod_`` ours, and ``inf_`` a number.
    """
    infinity = {"": "__longlong_as_double(0x7ff0000000000000LL)", "f": "__int_as_float(0x7f800000)"}
    for suffix, real in (("", "double"), ("f", "float")):
        typed = re.sub(r"\binf_\b", infinity[suffix], re.sub(r"\breal\b", real, text))
        _declare(re.sub(r"\b(\w+)_\(", rf"\1{suffix}(", typed))


# ---- integers: they wrap around, which is what unsigned ones do; of bools, + is `or` and * is `and` ----

for _name, _sign in (("g_add", "+"), ("g_sub", "-"), ("g_mul", "*")):
    _declare(f"""
template <class T> __device__ inline T {_name}(T x, T y) {{
  return (T)((unsigned long long)x {_sign} (unsigned long long)y);
}}
template <> __device__ inline float {_name}(float x, float y) {{ return x {_sign} y; }}
template <> __device__ inline double {_name}(double x, double y) {{ return x {_sign} y; }}
""")

_declare("""
template <class T> __device__ inline T g_neg(T x) { return (T)(0ULL - (unsigned long long)x); }
""")

_declare("""
template <class T> __device__ inline T g_int_abs(T x) { return x < 0 ? g_neg(x) : x; }
""")

_declare("""
// Rounded towards minus infinity; 0 for a divisor of 0; the least integer over -1 wraps around.
template <class T> __device__ inline T g_int_div(T x, T y) {
  if (y == 0) return 0;
  if (y < 0 && y == (T)-1) return g_neg(x);
  T rest = (T)(x % y);
  return (T)(x / y - (rest != 0 && (rest < 0) != (y < 0)));
}
""")

_declare("""
// The rest of that division has the sign of the divisor, and is 0 for a divisor of 0.
template <class T> __device__ inline T g_int_mod(T x, T y) {
  if (y == 0 || (y < 0 && y == (T)-1)) return 0;
  T rest = (T)(x % y);
  return rest != 0 && (rest < 0) != (y < 0) ? (T)(rest + y) : rest;
}
""")

_declare("""
// The power to an exponent that is not negative.
template <class T> __device__ inline T g_int_pow(T x, T exponent) {
  T out = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) out = g_mul(out, x);
    x = g_mul(x, x);
  }
  return out;
}
""")

# ---- numbers of any type ----

for _name, _sign in (("g_maximum", ">"), ("g_minimum", "<")):
    _declare(f"""
// nan if one is; the second if they are equal, as NumPy has it for 0.0 and -0.0.
template <class T> __device__ inline T {_name}(T x, T y) {{ return x {_sign} y || x != x ? x : y; }}
""")

_declare("""
template <class T> __device__ inline T g_sgn(T x) { return x > 0 ? (T)1 : x < 0 ? (T)-1 : x == 0 ? (T)0 : x; }
""")

for _name, _sign in (("g_any", "||"), ("g_all", "&&")):
    _declare(f"""
template <class T> __device__ inline T {_name}(T x, T y) {{ return (T)(x {_sign} y); }}
""")

# ---- from floats to integers, as x86 converts: what does not fit becomes the least integer ----

_declare("""
template <class T> __device__ inline int g_int32(T x) {
  return x >= (T)-2147483648.0 && x < (T)2147483648.0 ? (int)x : -2147483647 - 1;
}
""")

_declare("""
template <class T> __device__ inline long long g_int64(T x) {
  return x >= (T)-9223372036854775808.0 && x < (T)9223372036854775808.0 ? (long long)x : -9223372036854775807LL - 1;
}
""")

_declare("""
// There is only the signed conversion: numbers from 2**63 are shifted down for it, and back up.
template <class T> __device__ inline unsigned long long g_uint64(T x) {
  const T half = (T)9223372036854775808.0;
  return x >= half ? (unsigned long long)g_int64(x - half) ^ (1ULL << 63) : (unsigned long long)g_int64(x);
}
""")

# ---- floats ----

_declare_of_floats("""
__device__ inline bool g_isinf_(real x) { return fabs_(x) == inf_; }
""")

_declare_of_floats("""
__device__ inline bool g_isfinite_(real x) { return fabs_(x) < inf_; }
""")

_declare_of_floats("""
// Like CPython's and NumPy's: the quotient is right to the last bit.
__device__ inline real g_floor_div_(real x, real y) {
  if (y == 0) return x / y;
  real rest = fmod_(x, y);
  real quotient = (x - rest) / y;
  if (rest != 0 && (y < 0) != (rest < 0)) quotient -= 1;
  if (quotient == 0) return copysign_((real)0, x / y);
  real whole = floor_(quotient);
  return quotient - whole > (real)0.5 ? whole + 1 : whole;
}
""")

_declare_of_floats("""
// The rest of a division has the sign of the divisor, also if it is 0.
__device__ inline real g_mod_(real x, real y) {
  real rest = fmod_(x, y);
  if (y == 0) return rest;
  if (rest == 0) return copysign_((real)0, y);
  return (y < 0) != (rest < 0) ? rest + y : rest;
}
""")

_declare_of_floats("""
__device__ inline real g_sigmoid_(real x) {
  real e = exp_(-fabs_(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}
""")

_declare_of_floats("""
__device__ inline real g_softplus_(real x) { return (x < 0 ? 0 : x) + log1p_(exp_(-fabs_(x))); }
""")

_declare_of_floats("""
__device__ inline real g_logaddexp_(real x, real y) {
  if (x == y) return x + (real)0.693147180559945309417232121458176568;  // also infinities, whose difference is nan
  real difference = x - y;
  return (difference > 0 ? x : y) + log1p_(exp_(-fabs_(difference)));
}
""")

# ---- reductions in memory, by many threads at once: g_atomic_sum(address, value) and the others ----

_declare("""
// The unsigned integer of a size.
template <int size> struct g_word;
template <> struct g_word<1> { typedef unsigned char type; };
template <> struct g_word<2> { typedef unsigned short type; };
template <> struct g_word<4> { typedef unsigned int type; };
template <> struct g_word<8> { typedef unsigned long long type; };
""")

_declare("""
// The bits of a value as another type of the same size.
template <class To, class From> __device__ inline To g_bits(From x) {
  union { From from; To to; } both;
  both.from = x;
  return both.to;
}
""")

_declare("""
// Replaces `old` by `wanted`, unless there is something else by now; returns what was there.
__device__ inline unsigned int g_swap(unsigned int *at, unsigned int old, unsigned int wanted) {
  return atomicCAS(at, old, wanted);
}
__device__ inline unsigned long long g_swap(unsigned long long *at, unsigned long long old, unsigned long long wanted) {
  return atomicCAS(at, old, wanted);
}
// One or two bytes: the aligned word that holds them is replaced.
template <class W> __device__ inline W g_swap(W *at, W old, W wanted) {
  unsigned long long address = (unsigned long long)at;
  unsigned int *word = (unsigned int *)(address & ~3ULL);
  unsigned int shift = 8 * (unsigned int)(address & 3);
  unsigned int mask = (unsigned int)(W)~0U << shift;
  unsigned int seen = *(volatile unsigned int *)word;
  while ((W)(seen >> shift) == old) {
    unsigned int now = atomicCAS(word, seen, (seen & ~mask) | ((unsigned int)wanted << shift));
    if (now == seen) return old;
    seen = now;
  }
  return (W)(seen >> shift);
}
""")

_declare("""
// *at = combine(*at, value); nothing is written if that changes nothing.
template <class T, T combine(T, T)> __device__ inline void g_atomic(T *at, T value) {
  typedef typename g_word<sizeof(T)>::type Word;
  Word seen = *(volatile Word *)at;
  for (;;) {
    Word wanted = g_bits<Word>(combine(g_bits<T>(seen), value));
    if (wanted == seen) return;
    Word now = g_swap((Word *)at, seen, wanted);
    if (now == seen) return;
    seen = now;
  }
}
""")

_declare("""
template <class T> __device__ inline void g_atomic_sum(T *at, T value) { g_atomic<T, g_add<T>>(at, value); }
template <> __device__ inline void g_atomic_sum(int *at, int value) { atomicAdd(at, value); }
template <> __device__ inline void g_atomic_sum(unsigned int *at, unsigned int value) { atomicAdd(at, value); }
template <> __device__ inline void g_atomic_sum(float *at, float value) { atomicAdd(at, value); }
template <> __device__ inline void g_atomic_sum(double *at, double value) { atomicAdd(at, value); }
template <> __device__ inline void g_atomic_sum(unsigned long long *at, unsigned long long value) {
  atomicAdd(at, value);
}
template <> __device__ inline void g_atomic_sum(long long *at, long long value) {
  atomicAdd((unsigned long long *)at, (unsigned long long)value);
}
""")

for _kind, _function in (
    ("prod", "g_mul"), ("max", "g_maximum"), ("min", "g_minimum"), ("any", "g_any"), ("all", "g_all"),
):  # fmt: skip
    _declare(f"""
template <class T> __device__ inline void g_atomic_{_kind}(T *at, T value) {{
  g_atomic<T, {_function}<T>>(at, value);
}}
""")

# ---- what threads do together ----

for _text in (TEAMS + TILES).split("\n\n"):
    _declare(_text)


def used(text: str) -> set[str]:
    """The functions of the table that a text calls."""
    return set(re.findall(r"\bg_\w+", text)) & PRELUDE.keys()


def prelude(names: Iterable[str]) -> str:
    """The functions called `names`, after those that they call: what goes in front of the kernels that use them."""
    wanted = set(names)
    for name in reversed(PRELUDE):  # each stands after what it calls
        if name in wanted:
            wanted |= used(PRELUDE[name])
    return "\n".join(text for name, text in PRELUDE.items() if name in wanted)
