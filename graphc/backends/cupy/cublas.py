"""Matrix products by cuBLAS, through a handle of our own: CuPy does not let its handle be recorded."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import sys
from ctypes import POINTER, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from graphc.backends.cupy.device import Matrix, MatrixProduct
from graphc.errors import BackendError

# Bytes of device memory that products may use.  With memory of its own a recorded product allocates none; 32 MiB is
# what NVIDIA advises for sm_90.
WORKSPACE = 32 << 20

# What the loader knows it by.
NAMES = ("libcublas.so.13", "libcublas.so.12")

# From cublas_api.h and library_types.h.
OP_N, OP_T = 0, 1
GEMM_DEFAULT = -1
REAL = {"float32": 0, "float64": 1}
# The handle stays in CUBLAS_DEFAULT_MATH, which computes with no fewer bits than the compute type has: 32F never
# becomes TF32 by itself.
COMPUTE = {
    "highest": {"float32": 68, "float64": 70},  # CUBLAS_COMPUTE_32F, _64F
    "tf32": {"float32": 77, "float64": 70},  # CUBLAS_COMPUTE_32F_FAST_TF32, _64F
}
SCALARS: dict[str, Any] = {"float32": ctypes.c_float, "float64": ctypes.c_double}

_MATRIX = (c_void_p, c_int, c_int64)  # address, type, leading dimension
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cublasCreate_v2": (POINTER(c_void_p),),
    "cublasSetStream_v2": (c_void_p, c_void_p),
    "cublasSetWorkspace_v2": (c_void_p, c_void_p, c_size_t),
    "cublasGemmEx_64": (
        *(c_void_p, c_int, c_int, c_int64, c_int64, c_int64),
        *(c_void_p, *_MATRIX, *_MATRIX, c_void_p, *_MATRIX),
        *(c_int, c_int),
    ),
}


class Gemm(NamedTuple):
    """The arguments of a column-major product: c (m×n) = op(a) (m×k) op(b) (k×n)."""

    transa: bool
    transb: bool
    m: int
    n: int
    k: int
    a: int
    lda: int
    b: int
    ldb: int
    c: int
    ldc: int


def gemm_arguments(x: Matrix, y: Matrix, out: Matrix) -> Gemm:
    """The column-major call for the row-major ``out = x @ y``.

    Memory that holds a matrix row by row holds its transpose column by column, so what is computed is
    ``out.T = y.T @ x.T``.
    """
    assert not out.transposed
    return Gemm(
        transa=y.transposed,
        transb=x.transposed,
        m=out.columns,
        n=out.rows,
        k=x.columns,
        a=y.address,
        lda=_leading(y),
        b=x.address,
        ldb=_leading(x),
        c=out.address,
        ldc=_leading(out),
    )


def _leading(matrix: Matrix) -> int:
    """The distance between the lines; where there is only one, its stride means nothing, but cuBLAS checks it."""
    lines, line = (matrix.columns, matrix.rows) if matrix.transposed else (matrix.rows, matrix.columns)
    return max(matrix.stride, line) if lines == 1 else matrix.stride


@cache
def library() -> Any:
    """cuBLAS, from NVIDIA's wheels, a toolkit or the system; None if it is nowhere."""
    found: list[str] = []
    with contextlib.suppress(Exception):  # not installed, or it finds nothing
        found.append(importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib("cublas").abs_path)
    for folder in sys.path:
        found += sorted(map(str, Path(folder or ".").glob("nvidia/*/lib/libcublas.so.*")), reverse=True)
    for name in (*found, *NAMES):
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    return None


class Cublas:
    """A handle, for one GPU and one thread at a time.  It lives as long as the process.

    workspace: the address of WORKSPACE bytes.
    """

    def __init__(self, library: Any, workspace: int) -> None:
        for name, types in SIGNATURES.items():
            entry = getattr(library, name)
            entry.argtypes, entry.restype = types, c_int
        self._library = library
        self._workspace = workspace
        self._stream: int | None = None
        self._handle = c_void_p()
        self._check("cublasCreate_v2", library.cublasCreate_v2(ctypes.byref(self._handle)))

    def multiply(self, stream: int, product: MatrixProduct) -> None:
        """Compute a product on a stream, or record it there."""
        if stream != self._stream:
            self._set_stream(stream)
        dtype = product.dtype
        real, compute = REAL[dtype], COMPUTE[product.precision][dtype]
        # Read by the call: they are in memory of the host.
        scalars = (SCALARS[dtype] * 2)(product.scale, product.is_added)
        alpha = ctypes.addressof(scalars)
        beta = alpha + ctypes.sizeof(scalars) // 2
        g = gemm_arguments(product.x, product.y, product.out)
        status = self._library.cublasGemmEx_64(
            *(self._handle, OP_T if g.transa else OP_N, OP_T if g.transb else OP_N, g.m, g.n, g.k),
            *(alpha, g.a, real, g.lda, g.b, real, g.ldb, beta, g.c, real, g.ldc),
            *(compute, GEMM_DEFAULT),
        )
        self._check("cublasGemmEx_64", status)

    def _set_stream(self, stream: int) -> None:
        self._check("cublasSetStream_v2", self._library.cublasSetStream_v2(self._handle, stream))
        # After the stream: setting that takes the workspace away.
        done = self._library.cublasSetWorkspace_v2(self._handle, self._workspace, WORKSPACE)
        self._check("cublasSetWorkspace_v2", done)
        self._stream = stream

    def _check(self, name: str, status: int) -> None:
        if status:
            describe = self._library.cublasGetStatusString
            describe.restype = ctypes.c_char_p
            raise BackendError(f"{name} failed with status {status}: {describe(status).decode()}")
