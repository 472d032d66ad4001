"""Products of vectors and matrices."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from graphc import tensor as T
from graphc.compile.function import function
from graphc.errors import ShapeError
from graphc.evaluator import evaluate
from graphc.graph.types import TensorType
from tests.ops.arrays import ALL, LAYOUTS, Row, check, check_row, check_shape, compute, numbers, run, tensor

m, n, v, w = numbers(3, 4), numbers(4, 5), numbers(4), numbers(3)

ROWS = [
    Row("vector, vector", lambda x, y: T.dot(x, y), np.dot, (v, v[::-1]), 8),
    Row("matrix, vector", lambda x, y: T.dot(x, y), np.dot, (m, v), 8),
    Row("vector, matrix", lambda x, y: T.dot(x, y), np.dot, (w, m), 8),
    Row("matrix, matrix", lambda x, y: T.dot(x, y), np.dot, (m, n), 8),
    Row("transposed", lambda x, y: T.dot(x.T, y), lambda x, y: np.dot(x.T, y), (m, numbers(3, 2)), 8),
    Row("both transposed", lambda x, y: T.dot(y.T, x.T).T, lambda x, y: x @ y, (m, n), 8),
    Row("scalar, matrix", lambda x, y: T.dot(x, y), np.dot, (np.float64(2.5), m)),
    Row("matrix, scalar", lambda x, y: T.dot(x, y), np.dot, (m, np.float64(2.5))),
    Row("with itself", lambda x: T.dot(x, x.T), lambda x: x @ x.T, (m,), 8),
    Row("three", lambda x, y, z: T.dot(T.dot(x, y), z), lambda x, y, z: x @ y @ z, (m, n, numbers(5)), 64,
        dtypes=("float64", "float32", "int32")),
    Row("@", lambda x, y: x @ y, np.matmul, (m, n), 8),
    Row("@ of vectors", lambda x, y: x @ y, np.matmul, (v, v), 8),
    Row("an array @", lambda x: m @ x, lambda x: m @ x, (n,), 8, dtypes=("float64", "int8")),
    Row("@ an array", lambda x: x @ n, lambda x: x @ n, (m,), 8, dtypes=("float64", "int8")),
    Row("method", lambda x, y: x.dot(y), np.dot, (m, n), 8),
    Row("outer", lambda x, y: T.outer(x, y), np.outer, (w, v)),
    Row("nothing summed", lambda x, y: T.dot(x, y), np.dot, (np.zeros((3, 0)), np.zeros((0, 2)))),
    Row("no rows", lambda x, y: T.dot(x, y), np.dot, (np.zeros((0, 4)), n)),
    Row("one by one", lambda x, y: T.dot(x, y), np.dot, (numbers(1, 1), numbers(1, 1))),
    Row("row, column", lambda x, y: T.dot(x, y), np.dot, (numbers(1, 4), numbers(4, 1)), 8),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_values(row: Row, backend: str) -> None:
    """Every dtype with every layout."""
    for dtype, layout in itertools.product(row.dtypes, LAYOUTS):
        check_row(row, backend, dtype, layout)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_shapes(row: Row, backend: str) -> None:
    check_shape(row, backend)


@pytest.mark.parametrize("left", ALL)
def test_mixed_dtypes(left: str, backend: str) -> None:
    for right in ALL:
        x, y = m.astype(left), n.astype(right)
        for a, b in ((x, y), (x[0], y), (x, y[:, 0]), (x[0], y[:, 0])):
            check(run(lambda a, b: T.dot(a, b), a, b, backend=backend), np.dot(a, b), 8)


def test_large_and_special(backend: str) -> None:
    """The order of the sum is the library's: the error is bounded by that of a sum of 300 products."""
    random = np.random.default_rng(3)
    x, y = random.normal(size=(200, 300)), random.normal(size=(300, 100))
    exact = (x.astype(np.longdouble)[:, :, None] * y.astype(np.longdouble)[None]).sum(1)
    bound = 300 * np.finfo(float).eps * (np.abs(x) @ np.abs(y))
    left, right = tensor("float64", 2), tensor("float64", 2)
    for name, (got,) in compute([T.dot(left, right)], [(left, x), (right, y)], backend):
        assert (np.abs(got - exact) <= bound).all(), name
    x = np.array([[np.inf, 1], [np.nan, 0]])
    with np.errstate(invalid="ignore"):
        check(run(lambda x: T.dot(x, [[1.0, 0], [0, 1]]), x, backend=backend), x @ np.eye(2))


def test_sizes_that_do_not_agree(backend: str) -> None:
    fixed, other = TensorType("float64", shape=(3, 4))("x"), TensorType("float64", shape=(5, 4))("w")
    with pytest.raises(ShapeError, match=r"4 != 5(.|\n)*w\.T"):
        T.dot(fixed, other)
    x, y = tensor("float64", 2, "x"), tensor("float64", 2, "y")
    with pytest.raises(ValueError, match="sizes 4 and 3 do not agree"):
        function([x, y], T.dot(x, y), backend=backend)(m, m)
    with pytest.raises(ValueError, match="not aligned"):
        evaluate(T.dot(x, y), {x: m, y: m})
    one = numbers(1, 4)
    with pytest.raises(ValueError, match="do not agree"):  # a 1 does not broadcast in a product
        function([x, y], T.dot(x, y), backend=backend)(m, one)


def test_what_has_no_product() -> None:
    x: Any = tensor("float64", 2)
    with pytest.raises(TypeError, match="takes no scalars"):
        x @ 2
    with pytest.raises(TypeError, match="vectors and matrices"):
        T.dot(tensor("float64", 3), x)


def test_equal_products_are_computed_once(backend: str) -> None:
    x, y = tensor("float64", 2), tensor("float64", 2)
    f = function([x, y], [T.dot(x, y), x @ y], backend=backend)
    first, second = f(m, n)
    assert len(f.graph.toposort()) == 1
    assert not np.shares_memory(first, second)
