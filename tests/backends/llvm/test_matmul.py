"""The matrix product in machine code, against NumPy's: sizes, layouts, processors, special values, BLAS."""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
from collections.abc import Callable
from functools import cache

import llvmlite.binding as llvm
import numpy as np
import pytest

from graphc.backends.llvm import blas, matmul
from graphc.backends.llvm.link import link, parsed
from graphc.backends.llvm.target import AVX2, BASELINE, Target, host

DTYPES = ("float32", "float64")
TARGETS = {"host": host(), "avx2": AVX2, "baseline": BASELINE}
GUARD = 64  # elements around operands and results, which a product has no business with

# Every remainder of rows and columns that a tile, a vector or a row of tiles can leave.
SMALL = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 17, 33)
LARGE = [
    (1, 100, 257), (257, 1, 100), (100, 257, 1), (2, 64, 257), (64, 2, 257), (257, 100, 2), (3, 257, 64), (7, 300, 257),
    (64, 64, 64), (100, 257, 64), (65, 100, 257), (20, 700, 600),
]  # fmt: skip

Layout = Callable[[np.ndarray], np.ndarray]


def runs(target: Target) -> bool:
    """Whether this machine has the instructions of a target."""
    here = host()
    x86 = llvm.get_process_triple().startswith(("x86_64", "amd64"))
    return target is here or (x86 and target.vector_bytes <= here.vector_bytes and target.fma <= here.fma)


class Product:
    """The compiled product as a function of two arrays; around its result and its scratch all must stay as it is."""

    def __init__(self, dtype: str, target: Target, by: blas.Blas | None = None) -> None:
        self.dtype = dtype
        text = matmul.module(dtype, target, by, from_products=0)
        self.code = link(text, target, [matmul.symbol(dtype)], matmul.symbols(dtype, by))
        pointer, size = ctypes.c_void_p, ctypes.c_int64
        kinds = [pointer, size, size, pointer, size, size, pointer, size, size, size, pointer]
        self.function = ctypes.CFUNCTYPE(None, *kinds)(self.code[matmul.symbol(dtype)])
        self.scratch = np.full(matmul.SCRATCH_BYTES + GUARD, 77, np.uint8)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        (m, k), n = a.shape, b.shape[1]
        around = np.full(m * n + 2 * GUARD, np.nan, self.dtype)
        c = around[GUARD : GUARD + m * n].reshape(m, n)
        operands = [x for of in (a, b) for x in (of.ctypes.data, *(stride // of.itemsize for stride in of.strides))]
        self.function(*operands, c.ctypes.data, m, n, k, self.scratch.ctypes.data)
        assert np.isnan([*around[:GUARD], *around[len(around) - GUARD :]]).all()
        assert (self.scratch[matmul.SCRATCH_BYTES :] == 77).all()
        return c


@pytest.fixture(scope="module", params=[(t, d) for t in TARGETS for d in DTYPES], ids=lambda p: f"{p[1]}-{p[0]}")
def multiply(request: pytest.FixtureRequest) -> Product:
    name, dtype = request.param
    if not runs(TARGETS[name]):
        pytest.skip(f"this machine has no {name} instructions")
    return Product(dtype, TARGETS[name])


# ---- layouts: the same values, elsewhere in memory; nan between and around them ----


def surrounded(x: np.ndarray, *steps: int) -> np.ndarray:
    """The values of x in a larger array, `steps` apart."""
    sizes = [abs(step) * size + 4 for step, size in zip(steps, x.shape, strict=True)]
    view = np.full(sizes, np.nan, x.dtype)[2:-2, 2:-2][:: abs(steps[0]), :: abs(steps[1])][: x.shape[0], : x.shape[1]]
    view = view[:: 1 if steps[0] > 0 else -1, :: 1 if steps[1] > 0 else -1]
    view[...] = x
    return view


LAYOUTS: dict[str, Layout] = {
    "C": np.ascontiguousarray,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "block": lambda x: surrounded(x, 1, 1),
    "transposed block": lambda x: surrounded(x.T, 1, 1).T,
    "strided": lambda x: surrounded(x, 2, 3),
    "negative": lambda x: surrounded(x, -1, -1),
    "rows backwards": lambda x: surrounded(x, -2, 1),
    "columns backwards": lambda x: surrounded(x.T, -2, 1).T,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """Operands, their product in higher precision, and the error that any order of additions may have."""

    a: np.ndarray
    b: np.ndarray
    expected: np.ndarray
    bound: np.ndarray

    def check(self, multiply: Product, a_layout: str = "C", b_layout: str = "C") -> None:
        a, b = LAYOUTS[a_layout](self.a), LAYOUTS[b_layout](self.b)
        error = abs(multiply(a, b) - self.expected)
        assert (error <= self.bound).all(), f"{a.shape} {a.strides} @ {b.shape} {b.strides}: error {error.max()}"


@cache
def case(m: int, n: int, k: int, dtype: str) -> Case:
    rng = np.random.default_rng([m, n, k])
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    wide = np.float64 if dtype == "float32" else np.longdouble
    bound = 2 * (k + 1) * np.finfo(dtype).eps * (abs(a).astype(float) @ abs(b).astype(float))
    return Case(a, b, a.astype(wide) @ b.astype(wide), bound)


# ---- values ----


def test_every_small_size(multiply: Product) -> None:
    for m, n, k in itertools.product(SMALL, repeat=3):
        case(m, n, k, multiply.dtype).check(multiply)


def test_every_pair_of_layouts(multiply: Product) -> None:
    for m, n, k in ((1, 1, 5), (4, 1, 2), (1, 9, 6), (2, 5, 33), (5, 2, 33), (9, 17, 3), (19, 35, 21)):
        for a_layout, b_layout in itertools.product(LAYOUTS, repeat=2):
            case(m, n, k, multiply.dtype).check(multiply, a_layout, b_layout)


@pytest.mark.parametrize("b_layout", ["C", "transposed", "block", "strided"])
@pytest.mark.parametrize("a_layout", ["C", "transposed", "rows backwards"])
def test_large_sizes(multiply: Product, a_layout: str, b_layout: str) -> None:
    for m, n, k in LARGE:
        case(m, n, k, multiply.dtype).check(multiply, a_layout, b_layout)


def test_operands_longer_than_the_scratch(multiply: Product) -> None:
    long = matmul.SCRATCH_BYTES // np.dtype(multiply.dtype).itemsize + 3
    for m, n, k in ((1, 1, long), (long, 1, 5), (1, long, 5)):
        for a_layout, b_layout in itertools.product(("C", "transposed", "columns backwards"), repeat=2):
            case(m, n, k, multiply.dtype).check(multiply, a_layout, b_layout)


def test_rows_that_overlap(multiply: Product) -> None:
    """Both strides of A are 1, and B's column is longer than the scratch and not contiguous."""
    k = matmul.SCRATCH_BYTES // np.dtype(multiply.dtype).itemsize + 3
    of = case(1, 1, k + 4, multiply.dtype)
    a, b = np.lib.stride_tricks.sliding_window_view(of.a[0], k), LAYOUTS["strided"](of.b[:k])
    np.testing.assert_allclose(multiply(a, b), a @ of.b[:k], rtol=1e-3, atol=1e-1)


def test_repeated_rows_and_columns(multiply: Product) -> None:
    """Strides of zero."""
    one = np.arange(20, dtype=multiply.dtype)
    rows, columns = np.broadcast_to(one, (9, 20)), np.broadcast_to(one[:, None], (20, 40))
    assert (multiply(rows, columns) == one @ one).all()
    assert (multiply(np.broadcast_to(one[:9, None], (9, 20)), columns) == one[:9, None] * one.sum()).all()


def test_sum_of_no_products_is_zero(multiply: Product) -> None:
    for to_b in LAYOUTS.values():
        c = multiply(np.empty((5, 0), multiply.dtype), to_b(np.empty((0, 21), multiply.dtype)))
        assert (c == 0).all()


@pytest.mark.parametrize("sizes", [(3, 5, 4), (9, 1, 40), (1, 9, 40), (10, 40, 300)], ids=str)
def test_special_values(multiply: Product, sizes: tuple[int, int, int]) -> None:
    """nan where a product is nan or infinities cancel, and nowhere else."""
    of = case(*sizes, multiply.dtype)
    a, b = of.a.copy(), of.b.copy()
    a[0, 0], a[-1, 1], b[2, 0], b[1, -1], b[3, -1] = np.inf, np.nan, -np.inf, 0, np.inf
    with np.errstate(invalid="ignore"):
        expected = sum(np.multiply.outer(a[:, p], b[p]) for p in range(sizes[2]))
    for to_a, to_b in itertools.product(LAYOUTS.values(), repeat=2):
        np.testing.assert_allclose(multiply(to_a(a), to_b(b)), expected, rtol=1e-2, atol=1e-3)


def test_same_operands_same_bits(multiply: Product) -> None:
    of = case(37, 41, 300, multiply.dtype)
    assert multiply(of.a, of.b).tobytes() == multiply(of.a, of.b).tobytes()


# ---- NumPy's BLAS ----


@pytest.fixture(scope="module")
def numpys() -> blas.Blas:
    by = blas.find()
    if by is None:
        pytest.skip("the BLAS that NumPy calls was not found")
    return by


@pytest.mark.parametrize("dtype", DTYPES)
def test_blas(numpys: blas.Blas, dtype: str) -> None:
    call = Product(dtype, host(), numpys)
    for m, n, k in ((40, 90, 400), (100, 400, 257)):
        for a_layout, b_layout in itertools.product(LAYOUTS, repeat=2):
            case(m, n, k, dtype).check(call, a_layout, b_layout)


@pytest.mark.parametrize("dtype", DTYPES)
def test_blas_is_not_called_with_strides_it_refuses(numpys: blas.Blas, dtype: str) -> None:
    of, call = case(40, 90, 400, dtype), Product(dtype, host(), numpys)
    row = np.broadcast_to(of.a[:1], (40, 400))
    column = np.broadcast_to(of.b.T[:1].copy(), (90, 400)).T
    np.testing.assert_allclose(call(row, of.b), row @ of.b, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(call(of.a, column), of.a @ column, rtol=1e-3, atol=1e-3)


def test_blas_is_called_where_it_is_faster(numpys: blas.Blas) -> None:
    one, two = (dataclasses.replace(numpys, threads=threads) for threads in (1, 2))
    wide = dataclasses.replace(BASELINE, vector_bytes=64)
    calls = {
        (target, by.threads): f"@{matmul.blas_symbol('float32')}" in matmul.module("float32", target, by)
        for target in (wide, AVX2)
        for by in (one, two)
    }
    assert calls == {(wide, 1): False, (wide, 2): True, (AVX2, 1): True, (AVX2, 2): True}


def test_blas_with_short_integers_compiles(numpys: blas.Blas) -> None:
    text = matmul.module("float64", host(), dataclasses.replace(numpys, integer_bits=32), from_products=0)
    assert "@graphc_blas_gemm_f64(i32, i32, i32, i32, i32, i32, double" in text
    parsed(text, host()).verify()


def test_blas_is_found_once() -> None:
    assert blas.find() is blas.find()


# ---- the code ----


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_the_product_is_exported(dtype: str) -> None:
    module = parsed(matmul.module(dtype, host()), host())
    assert [f.name for f in module.functions if not f.is_declaration and f.linkage == llvm.Linkage.external] == []
    assert f"@{matmul.symbol(dtype)} = alias" in str(module)


def test_no_stack_arrays() -> None:
    assert not [text for text in matmul.definition("float64", host())[0] if "alloca" in text]
