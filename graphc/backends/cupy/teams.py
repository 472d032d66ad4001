"""CUDA C functions for what threads do together: reductions over a team, a column of threads, a block and the grid.

A blank line parts those that a kernel may use one without the other; each stands after what it calls.
"""

from __future__ import annotations

TEAMS = """
template <class T> __device__ inline T g_from(T x, int lane) { return (T)__shfl_xor_sync(0xffffffffu, (int)x, lane); }
template <> __device__ inline unsigned int g_from(unsigned int x, int lane) {
  return __shfl_xor_sync(0xffffffffu, x, lane);
}
template <> __device__ inline long long g_from(long long x, int lane) { return __shfl_xor_sync(0xffffffffu, x, lane); }
template <> __device__ inline unsigned long long g_from(unsigned long long x, int lane) {
  return __shfl_xor_sync(0xffffffffu, x, lane);
}
template <> __device__ inline float g_from(float x, int lane) { return __shfl_xor_sync(0xffffffffu, x, lane); }
template <> __device__ inline double g_from(double x, int lane) { return __shfl_xor_sync(0xffffffffu, x, lane); }

// Over the 32 threads of a warp; all of them get the result.
template <class T, T combine(T, T)> __device__ inline T g_warp(T x) {
  for (int lane = 16; lane; lane >>= 1) x = combine(x, g_from(x, lane));
  return x;
}

// What warps hand on: all reductions take turns with it, whatever they reduce.
__device__ inline void *g_of_warps() {
  __shared__ unsigned long long parts[32];
  return parts;
}

// What columns of threads hand on.
__device__ inline void *g_of_columns() {
  __shared__ unsigned long long parts[1024];
  return parts;
}

// Over all threads of a block; all of them get the result.
template <class T, T combine(T, T)> __device__ inline T g_block(T x, T neutral) {
  T *parts = (T *)g_of_warps();
  int thread = threadIdx.y * blockDim.x + threadIdx.x, warps = (blockDim.x * blockDim.y) >> 5;
  x = g_warp<T, combine>(x);
  if (warps == 1) return x;
  if (!(thread & 31)) parts[thread >> 5] = x;
  __syncthreads();
  x = g_warp<T, combine>((thread & 31) < warps ? parts[thread & 31] : neutral);
  __syncthreads();
  return x;
}

// Over the lanes of a team: a warp, or a whole block.
template <class T, T combine(T, T)> __device__ inline T g_lanes(T x, T neutral) {
  return blockDim.x == 32 ? g_warp<T, combine>(x) : g_block<T, combine>(x, neutral);
}

// Over a column of threads.
template <class T, T combine(T, T)> __device__ inline T g_column(T x) {
  T *parts = (T *)g_of_columns();
  int thread = threadIdx.y * 32 + threadIdx.x;
  parts[thread] = x;
  __syncthreads();
  for (int half = blockDim.y >> 1; half; half >>= 1) {
    if (threadIdx.y < half) parts[thread] = combine(parts[thread], parts[thread + half * 32]);
    __syncthreads();
  }
  x = parts[threadIdx.x];
  __syncthreads();
  return x;
}

// Over the grid: true in the last block that ends.
__device__ inline bool g_is_last(unsigned int *ticket, unsigned int blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) last = atomicInc(ticket, blocks - 1) == blocks - 1;
  __syncthreads();
  if (last) __threadfence();
  return last;
}

// What every block left, reduced; all threads of the block get the result.
template <class T, T combine(T, T)>
__device__ inline T g_grid(const volatile T *parts, T neutral, unsigned int blocks) {
  T x = neutral;
  int thread = threadIdx.y * blockDim.x + threadIdx.x;
  for (int i = thread; i < blocks; i += blockDim.x * blockDim.y) x = combine(x, parts[i]);
  return g_block<T, combine>(x, neutral);
}
"""
