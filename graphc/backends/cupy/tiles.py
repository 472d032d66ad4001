"""CUDA C functions for products of matrices by tiles, and the shared memory that they take.

A block of 256 threads computes 32 x 32 elements.  It brings the factors into shared memory, a stage of some terms at a
time, while those of the next stage are on their way.  The threads fall into four parts of 64; each part has a quarter
of the terms, and a thread of it 4 x 4 elements of the tile, so that it reads 8 numbers for 16 multiplications.  At the
end the four sums of an element are added, always in the same order.  Factors lie such that the threads of a warp read
neighbouring or equal places.

Source: Volkov & Demmel, Benchmarking GPUs to tune dense linear algebra (2008): few threads with many sums each.
"""

from __future__ import annotations

import numpy as np

from graphc.kernels.tiling import TILE

THREADS, PARTS = 256, 4

STAGE_BYTES = 256
"""Of a row in a stage: so many terms that computing takes about as long as fetching."""

BESIDE = 4
"""Elements beside each row, so that neighbouring rows lie in other banks."""


def shared_bytes(dtype: str) -> int:
    """What `g_tiles` needs: for both factors, and later for the sums of the parts."""
    size = np.dtype(dtype).itemsize
    depth = STAGE_BYTES // size
    factors = TILE * (depth + BESIDE) + depth * (TILE + BESIDE)
    return max(factors, PARTS * TILE * TILE) * size


TILES = """
// Four numbers that are read together.
template <class T> struct alignas(16) g_four {
  T at[4];
};

__device__ inline float g_fma(float x, float y, float z) { return __fmaf_rn(x, y, z); }
__device__ inline double g_fma(double x, double y, double z) { return __fma_rn(x, y, z); }

// end(i, j, sum over k of x(i, k) y(k, j)) for all rows i and columns j, whose tiles the blocks take in turns.
// x_by_terms, y_by_terms: whether neighbouring terms of a factor are neighbours in memory.
template <class T, bool x_by_terms, bool y_by_terms, class ix, class X, class Y, class End>
__device__ inline void g_tiles(char *shared, unsigned block, unsigned blocks, ix rows, ix columns, ix terms, X x, Y y,
                               End end) {
  const int depth = 256 / sizeof(T), each = 32 * depth / 256, wide = depth + 4, high = 36;
  T *const left = (T *)shared, *const right = left + 32 * wide, *const parts = (T *)shared;
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, part = thread / 64;
  const int row = thread % 64 / 8, column = thread % 8 * 4;
  const ix across = (columns + 31) / 32, count = across * ((rows + 31) / 32);
  for (ix tile = block; tile < count; tile += blocks) {
    const ix top = tile / across * 32, first = tile % across * 32;
    T next_x[each], next_y[each], sums[4][4] = {};
    const auto fetch = [&](ix start) {
#pragma unroll
      for (int e = 0; e < each; ++e) {
        const int place = thread + 256 * e;
        const ix i = top + (x_by_terms ? place / depth : place % 32);
        const ix k = start + (x_by_terms ? place % depth : place / 32);
        const ix l = start + (y_by_terms ? place % depth : place / 32);
        const ix j = first + (y_by_terms ? place / depth : place % 32);
        next_x[e] = i < rows && k < terms ? x(i, k) : T(0);
        next_y[e] = l < terms && j < columns ? y(l, j) : T(0);
      }
    };
    fetch(0);
    for (ix start = 0; start < terms; start += depth) {
#pragma unroll
      for (int e = 0; e < each; ++e) {
        const int place = thread + 256 * e;
        left[x_by_terms ? place / depth * wide + place % depth : place % 32 * wide + place / 32] = next_x[e];
        right[y_by_terms ? place % depth * high + place / depth : place / 32 * high + place % 32] = next_y[e];
      }
      __syncthreads();
      if (start + depth < terms) fetch(start + depth);
      for (int k = part * (depth / 4); k < (part + 1) * (depth / 4); k += 4) {
        g_four<T> a[4];
#pragma unroll
        for (int m = 0; m < 4; ++m) a[m] = *(const g_four<T> *)(left + (row + 8 * m) * wide + k);
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          const g_four<T> b = *(const g_four<T> *)(right + (k + n) * high + column);
#pragma unroll
          for (int m = 0; m < 4; ++m)
#pragma unroll
            for (int c = 0; c < 4; ++c) sums[m][c] = g_fma(a[m].at[n], b.at[c], sums[m][c]);
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < 4; ++m)
#pragma unroll
      for (int c = 0; c < 4; ++c) parts[1024 * part + 32 * (row + 8 * m) + column + c] = sums[m][c];
    __syncthreads();
    for (int place = thread; place < 1024; place += 256) {
      const ix i = top + place / 32, j = first + place % 32;
      const T *const at = parts + place;
      if (i < rows && j < columns) end(i, j, (at[0] + at[1024]) + (at[2048] + at[3072]));
    }
    __syncthreads();
  }
}
"""
