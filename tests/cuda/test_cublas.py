"""Products of row-major matrices as the column-major calls that cuBLAS wants; without a GPU."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

import numpy as np
import pytest

from graphc.backends.cupy import cublas
from graphc.backends.cupy.cublas import COMPUTE, SIGNATURES, WORKSPACE, Cublas, gemm_arguments
from graphc.backends.cupy.device import Matrix, MatrixProduct
from graphc.configuration import MATMUL_PRECISIONS
from graphc.errors import BackendError

TYPES = {0: np.dtype("float32"), 1: np.dtype("float64")}
SIZES = [(1, 1, 1), (2, 3, 4), (1, 5, 3), (5, 1, 3), (4, 3, 1)]
WORKSPACE_ADDRESS = 4096


def columns(address: int, count: int, length: int, leading: int, dtype: Any) -> Any:
    """The columns of a column-major matrix in memory, as the rows of an array."""
    if leading < length:
        raise ValueError(f"a leading dimension of {leading} for columns of {length}")
    extent = ((count - 1) * leading + length) * dtype.itemsize
    flat = np.frombuffer((ctypes.c_char * extent).from_address(address), dtype)
    return np.lib.stride_tricks.as_strided(flat, (count, length), (leading * dtype.itemsize, dtype.itemsize))


def column_major_gemm(g: Any, dtype: Any, alpha: float, beta: float) -> None:
    """What cuBLAS does, out of its manual: with a beta of 0 it does not read c."""
    a = columns(g.a, g.m, g.k, g.lda, dtype) if g.transa else columns(g.a, g.k, g.m, g.lda, dtype).T
    b = columns(g.b, g.k, g.n, g.ldb, dtype) if g.transb else columns(g.b, g.n, g.k, g.ldb, dtype).T
    c = columns(g.c, g.n, g.m, g.ldc, dtype)
    c[...] = alpha * (a @ b).T + (beta * c if beta else 0)


class Library:
    """cuBLAS in memory of the host; it keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.fails = ""
        for name in SIGNATURES:
            setattr(self, name, self.entry(name))
        self.cublasGetStatusString = lambda status: b"planted"

    def entry(self, name: str) -> Any:
        def run(*arguments: Any) -> int:
            assert len(arguments) == len(SIGNATURES[name])
            self.calls.append((name, arguments))
            if name == self.fails:
                return 13
            if name == "cublasGemmEx_64":
                self.multiply(*arguments)
            return 0

        return run

    def multiply(self, handle: Any, transa: int, transb: int, m: int, n: int, k: int, alpha: int, *rest: Any) -> None:
        a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, _, algorithm = rest
        assert (a_type, algorithm) == (b_type, -1) == (c_type, cublas.GEMM_DEFAULT)
        dtype = TYPES[a_type]
        scalar = ctypes.c_float if dtype == "float32" else ctypes.c_double
        scalars = [scalar.from_address(address).value for address in (alpha, beta)]
        column_major_gemm(cublas.Gemm(bool(transa), bool(transb), m, n, k, a, lda, b, ldb, c, ldc), dtype, *scalars)


def placed(value: Any, transposed: bool, gap: int) -> tuple[Matrix, Any]:
    """A matrix laid out row by row, or column by column, with gaps of NaN; and the memory it is in."""
    laid = value.T if transposed else value
    memory = np.full((laid.shape[0], laid.shape[1] + gap), np.nan, value.dtype)
    memory[:, : laid.shape[1]] = laid
    rows, columns = value.shape
    return Matrix(memory.ctypes.data, rows, columns, laid.shape[1] + gap, transposed), memory


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows, inner, columns", SIZES)
@pytest.mark.parametrize("gaps", [(0, 0), (3, 5)], ids=["dense", "gaps"])
@pytest.mark.parametrize("transposed", list(itertools.product([False, True], repeat=2)), ids=str)
def test_products(
    rows: int, inner: int, columns: int, gaps: tuple[int, int], transposed: tuple[bool, bool], dtype: str
) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(rows, inner)).astype(dtype), rng.normal(size=(inner, columns)).astype(dtype)
    (x, x_memory), (y, y_memory) = placed(a, transposed[0], gaps[0]), placed(b, transposed[1], gaps[1])
    result = np.full((rows, columns), np.nan, dtype)
    out = Matrix(result.ctypes.data, rows, columns, columns)
    Cublas(Library(), WORKSPACE_ADDRESS).multiply(7, MatrixProduct(dtype, x, y, out))
    rtol = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(result, a @ b, rtol=rtol)
    Cublas(Library(), WORKSPACE_ADDRESS).multiply(7, MatrixProduct(dtype, x, y, out, -0.5, True))
    np.testing.assert_allclose(result, a @ b - 0.5 * (a @ b), rtol=rtol)
    assert x_memory is not None
    assert y_memory is not None


def test_the_stride_of_a_single_line_means_nothing() -> None:
    row, column, out = Matrix(0, 1, 5, 0), Matrix(0, 5, 1, 1, transposed=True), Matrix(0, 1, 1, 1)
    g = gemm_arguments(row, column, out)
    assert (g.lda, g.ldb) == (5, 5)


def test_sizes_beyond_32_bits() -> None:
    """The entry takes 64-bit sizes, so nothing is cut off."""
    entry = SIGNATURES["cublasGemmEx_64"]
    assert [entry[i] for i in (3, 4, 5, 9, 12, 16)] == [ctypes.c_int64] * 6


def one(
    library: Library, handle: Cublas, stream: int, dtype: str = "float64", precision: str = "highest"
) -> list[str]:
    """The calls that a 1×1 product makes."""
    x, result = np.ones((1, 1), dtype), np.zeros((1, 1), dtype)
    matrix = Matrix(x.ctypes.data, 1, 1, 1)
    before = len(library.calls)
    out = Matrix(result.ctypes.data, 1, 1, 1)
    handle.multiply(stream, MatrixProduct(dtype, matrix, matrix, out, precision=precision))
    assert result[0, 0] == 1
    return [name for name, _ in library.calls[before:]]


def test_the_workspace_follows_the_stream() -> None:
    library = Library()
    handle = Cublas(library, WORKSPACE_ADDRESS)
    moved = ["cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasGemmEx_64"]
    assert one(library, handle, 0) == moved
    assert one(library, handle, 0) == moved[2:]
    assert one(library, handle, 9) == moved
    arguments = dict(library.calls)["cublasSetWorkspace_v2"]
    assert arguments[1:] == (WORKSPACE_ADDRESS, WORKSPACE)


@pytest.mark.parametrize("precision, compute", [("highest", 68), ("tf32", 77)])
def test_tf32_only_when_asked_for(precision: str, compute: int) -> None:
    """Of one handle, which functions of both kinds share."""
    library = Library()
    handle = Cublas(library, WORKSPACE_ADDRESS)
    assert one(library, handle, 1, "float32")[-1] == "cublasGemmEx_64"
    assert library.calls[-1][1][-2] == 68
    one(library, handle, 1, "float32", precision)
    assert library.calls[-1][1][-2] == compute
    one(library, handle, 1, "float64", precision)
    assert library.calls[-1][1][-2] == 70


def test_there_is_a_type_of_computing_for_every_precision() -> None:
    assert tuple(COMPUTE) == MATMUL_PRECISIONS


def test_what_fails_is_told() -> None:
    library = Library()
    handle = Cublas(library, WORKSPACE_ADDRESS)
    library.fails = "cublasSetStream_v2"
    with pytest.raises(BackendError, match="cublasSetStream_v2 failed with status 13: planted"):
        one(library, handle, 1)
    library.fails = ""
    assert len(one(library, handle, 1)) == 3  # the stream was not taken for set


# ---- the real library ----


@pytest.fixture
def real() -> Any:
    found = cublas.library()
    if found is None:
        pytest.skip("cuBLAS is not installed (pip install nvidia-cublas)")
    return found


def test_the_entries_exist(real: Any) -> None:
    assert [name for name in (*SIGNATURES, "cublasGetStatusString") if not hasattr(real, name)] == []


def test_a_handle_needs_a_gpu(real: Any) -> None:
    from graphc.backends.cupy.available import problem

    if problem() is None:
        pytest.skip("there is a GPU")
    with pytest.raises(BackendError, match="cublasCreate_v2 failed with status"):
        Cublas(real, WORKSPACE_ADDRESS)


def test_the_constants_are_those_of_cupy() -> None:
    reason = "CuPy or cuBLAS is not installed"
    theirs = pytest.importorskip("cupy_backends.cuda.libs.cublas", reason=reason, exc_type=ImportError)
    assert COMPUTE["highest"] == {"float32": theirs.CUBLAS_COMPUTE_32F, "float64": theirs.CUBLAS_COMPUTE_64F}
    assert COMPUTE["tf32"]["float32"] == theirs.CUBLAS_COMPUTE_32F_FAST_TF32
    assert (cublas.OP_N, cublas.OP_T) == (theirs.CUBLAS_OP_N, theirs.CUBLAS_OP_T)
    assert theirs.CUBLAS_GEMM_DEFAULT == cublas.GEMM_DEFAULT
