"""Ops that make shapes and change them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from graphc import dtypes
from graphc import tensor as T
from graphc.compile.function import function
from graphc.configuration import config
from graphc.errors import ShapeError
from graphc.evaluator import evaluate
from graphc.graph.types import TensorType
from graphc.graph.variable import constant
from graphc.ops.broadcasting import sum_to
from tests.ops.arrays import ALL, LAYOUTS, Row, check, check_row, check_shape, numbers, run, tensor

x1, x2, x3 = numbers(6), numbers(3, 4), numbers(2, 3, 4)
column, row = numbers(3, 1), numbers(1, 4)

ROWS = [
    # ---- the same elements in another shape ----
    Row("reshape", lambda x: x.reshape((4, 3)), lambda x: x.reshape(4, 3), (x2,)),
    Row("reshape, sizes one by one", lambda x: x.reshape(2, 6), lambda x: x.reshape(2, 6), (x2,)),
    Row("reshape with -1", lambda x: T.reshape(x, (2, -1)), lambda x: x.reshape(2, -1), (x3,)),
    Row("reshape to one axis", lambda x: x.reshape((-1,)), lambda x: x.reshape(-1), (x3,)),
    Row("reshape by an int", lambda x: T.reshape(x, 12), lambda x: x.reshape(12), (x2,)),
    Row("reshape by sizes", lambda x: x.reshape((x.shape[1], x.shape[0])), lambda x: x.reshape(4, 3), (x2,)),
    Row("reshape by a size and -1", lambda x: x.reshape((x.shape[0], -1)), lambda x: x.reshape(2, -1), (x3,)),
    Row("reshape to no axis", lambda x: x.reshape(()), lambda x: x.reshape(()), (numbers(1, 1),)),
    Row("reshape a scalar", lambda x: x.reshape((1, 1)), lambda x: x.reshape(1, 1), (np.float64(3.5),)),
    Row("reshape by another's shape", lambda x, y: x.reshape(y.shape), lambda x, y: x.reshape(y.shape), (x2, x2.T)),
    Row("reshape nothing", lambda x: x.reshape((0, 7)), lambda x: x.reshape(0, 7), (np.zeros((3, 0)),)),
    Row("flatten", lambda x: x.flatten(), lambda x: x.ravel(), (x3,)),
    Row("flatten to 2", lambda x: T.flatten(x, 2), lambda x: x.reshape(2, 12), (x3,)),
    Row("flatten a scalar", lambda x: x.flatten(), lambda x: x.reshape(1), (np.float64(3.5),)),
    Row("ravel", lambda x: x.ravel(), lambda x: x.ravel(), (x2,)),
    Row("dimshuffle", lambda x: x.dimshuffle(1, "x", 0), lambda x: x.T[:, None], (x2,)),
    Row("dimshuffle of a list", lambda x: x.dimshuffle(["x", 0]), lambda x: x[None], (x1,)),
    Row("dimshuffle, negative", lambda x: x.dimshuffle(-1, 0), lambda x: x.T, (x2,)),
    Row("dimshuffle drops", lambda x: x.dimshuffle(0), lambda x: x[:, 0], (column,)),
    Row("dimshuffle, three axes", lambda x: x.dimshuffle(2, 0, 1), lambda x: x.transpose(2, 0, 1), (x3,)),
    Row("dimshuffle a scalar", lambda x: x.dimshuffle("x", "x"), lambda x: x.reshape(1, 1), (np.float64(3.5),)),
    Row("T", lambda x: x.T, lambda x: x.T, (x3,)),
    Row("transpose", lambda x: x.transpose(), lambda x: x.T, (x2,)),
    Row("transpose by axes", lambda x: x.transpose(0, 2, 1), lambda x: x.transpose(0, 2, 1), (x3,)),
    Row("transpose by a list", lambda x: T.transpose(x, [2, 1, 0]), lambda x: x.T, (x3,)),
    Row("transpose of a vector", lambda x: x.transpose(), lambda x: x.T, (x1,)),
    Row("transpose by one axis", lambda x: x.transpose(0), lambda x: x.transpose(0), (x1,)),
    Row("swapaxes", lambda x: x.swapaxes(0, -1), lambda x: x.swapaxes(0, -1), (x3,)),
    Row("expand_dims", lambda x: T.expand_dims(x, 1), lambda x: np.expand_dims(x, 1), (x2,)),
    Row("expand_dims, several", lambda x: T.expand_dims(x, (0, -1)), lambda x: np.expand_dims(x, (0, -1)), (x2,)),
    Row("squeeze", lambda x: T.squeeze(x, 1), lambda x: x.squeeze(1), (column,)),
    Row("squeeze, several", lambda x: x.squeeze((0, -1)), lambda x: x.squeeze((0, 2)), (numbers(1, 4, 1),)),
    Row("shape_padleft", lambda x: T.shape_padleft(x, 2), lambda x: x[None, None], (x1,)),
    Row("shape_padright", lambda x: T.shape_padright(x), lambda x: x[..., None], (x2,)),
    Row("shape_padaxis", lambda x: T.shape_padaxis(x, 1), lambda x: x[:, None], (x2,)),
    Row("addbroadcast", lambda x: T.addbroadcast(x, 1) * np.ones((3, 4)), lambda x: x * np.ones((3, 4)), (column,),
        dtypes=("float64",)),
    # ---- broadcasting ----
    Row("alloc", lambda x: T.alloc(x, 2, 3), lambda x: np.full((2, 3), x), (np.float64(3.5),)),
    Row("alloc of a row", lambda x: T.alloc(x, 2, 6), lambda x: np.broadcast_to(x, (2, 6)), (x1,)),
    Row("alloc of a column", lambda x: T.alloc(x, 2, 3, 4), lambda x: np.broadcast_to(x, (2, 3, 4)), (column,)),
    Row("alloc of nothing", lambda x: T.alloc(x, 0, 3), lambda x: np.full((0, 3), x), (np.float64(3.5),)),
    Row("broadcast_to", lambda x: T.broadcast_to(x, (3, 4)), lambda x: np.broadcast_to(x, (3, 4)), (row,)),
    Row("full", lambda x: T.full((2, 3), x), lambda x: np.full((2, 3), x), (np.float64(3.5),)),
    Row("sum_to a column", lambda g, x: sum_to(g, x), lambda g, x: g.sum(1, keepdims=True, dtype=g.dtype), (x2, column),
        dtypes=("float64", "int8")),
    Row("sum_to fewer axes", lambda g, x: sum_to(g, x), lambda g, x: g.sum(0, dtype=g.dtype), (x2, numbers(4)),
        dtypes=("float64", "int8")),
    Row("sum_to a scalar", lambda g, x: sum_to(g, x), lambda g, x: g.sum(dtype=g.dtype), (x2, np.float64(1)),
        dtypes=("float64", "int8")),
    Row("sum_to the same", lambda g, x: sum_to(g, x), lambda g, x: g, (x2, x2)),
    Row("identity_like", lambda x: T.identity_like(x), lambda x: np.eye(3, 4, dtype=x.dtype), (x2,), derivable=False),
    Row("zeros_like", lambda x: T.zeros_like(x), np.zeros_like, (x2,), derivable=False),
    Row("ones_like", lambda x: T.ones_like(x), np.ones_like, (x2,), derivable=False),
    # ---- several times the same elements ----
    Row("repeat", lambda x: T.repeat(x, 3), lambda x: np.repeat(x, 3), (x2,)),
    Row("repeat rows", lambda x: x.repeat(2, 0), lambda x: x.repeat(2, 0), (x3,)),
    Row("repeat along -1", lambda x: x.repeat(2, axis=-1), lambda x: x.repeat(2, -1), (x3,)),
    Row("repeat a number", lambda x: T.repeat(x, 4), lambda x: np.repeat(x, 4), (np.float64(3.5),)),
    Row("repeat by a size", lambda x: x.repeat(x.shape[0], 1), lambda x: x.repeat(3, 1), (x2,)),
    Row("repeat never", lambda x: T.repeat(x, 0, 1), lambda x: np.repeat(x, 0, 1), (x2,)),
    Row("tile", lambda x: T.tile(x, (2, 3)), lambda x: np.tile(x, (2, 3)), (x2,)),
    Row("tile by a number", lambda x: T.tile(x, 2), lambda x: np.tile(x, 2), (x2,)),
    Row("tile along the last axes", lambda x: T.tile(x, (2, 1)), lambda x: np.tile(x, (2, 1)), (x3,)),
    Row("tile to more axes", lambda x: T.tile(x, (2, 1, 2)), lambda x: np.tile(x, (2, 1, 2)), (x1,)),
    Row("tile with ndim", lambda x: T.tile(x, 2, ndim=3), lambda x: np.tile(x, (1, 1, 2)), (x1,)),
    Row("tile by a size", lambda x: T.tile(x, (x.shape[1], 1)), lambda x: np.tile(x, (4, 1)), (x2,)),
    Row("tile never", lambda x: T.tile(x, (0, 2)), lambda x: np.tile(x, (0, 2)), (x2,)),
    # ---- several arrays into one ----
    Row("concatenate", lambda x, y: T.concatenate([x, y]), lambda x, y: np.concatenate([x, y]), (x1, numbers(2))),
    Row("concatenate rows", lambda x, y: T.concatenate((x, y), axis=1), lambda x, y: np.concatenate([x, y], 1),
        (x2, column)),
    Row("concatenate along -2", lambda x, y: T.concatenate([x, y, x], -2), lambda x, y: np.concatenate([x, y, x], -2),
        (x2, row)),
    Row("concatenate with nothing", lambda x, y: T.concatenate([x, y]), lambda x, y: np.concatenate([x, y]),
        (x1, np.zeros(0))),
    Row("concatenate one", lambda x: T.concatenate([x]), lambda x: np.concatenate([x]), (x1,)),
    Row("join", lambda x, y: T.join(1, x, y), lambda x, y: np.concatenate([x, y], 1), (x2, x2)),
    Row("stack", lambda x, y: T.stack([x, y]), lambda x, y: np.stack([x, y]), (x1, x1[::-1])),
    Row("stack along 1", lambda x, y: T.stack([x, y], axis=1), lambda x, y: np.stack([x, y], 1), (x2, x2)),
    Row("stack along -1", lambda x, y: T.stack([x, y, x], -1), lambda x, y: np.stack([x, y, x], -1), (x2, x2)),
    Row("stack scalars", lambda x, y: T.stack([x, y]), lambda x, y: np.stack([x, y]), (np.float64(1), np.float64(2))),
    Row("stacklists", lambda x, y: T.stacklists([[x, y], [y, x]]), lambda x, y: np.array([[x, y], [y, x]]),
        (np.float64(1), np.float64(2))),
    Row("a list of variables", lambda x, y: constant([x, y]), lambda x, y: np.stack([x, y]), (x1, x1)),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_values(row: Row, backend: str, full: bool) -> None:
    """Every dtype, with the layouts in turn."""
    for i, (dtype, layout) in enumerate(itertools.product(row.dtypes, LAYOUTS)):
        if full or i % 8 == 0:
            check_row(row, backend, dtype, layout)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_shapes(row: Row, backend: str) -> None:
    if row.name == "a list of variables":
        pytest.skip("the same node as `stack`")
    check_shape(row, backend)


# ---- asking for a shape ----


def test_shape_and_size(backend: str) -> None:
    for value in (np.float64(1), x1, x2, x3, np.zeros((0, 3))):
        check(run(lambda x: x.shape, value, backend=backend), np.array(np.shape(value), np.int64))
        check(run(lambda x: x.size, value, backend=backend), np.array(np.size(value), np.int64))
        check(run(T.shape, value, backend=backend), np.array(np.shape(value), np.int64))
        for axis in range(np.ndim(value)):
            check(
                run(lambda x, axis=axis: x.shape[axis], value, backend=backend), np.array(value.shape[axis], np.int64)
            )


def test_the_shape_of_an_expression_does_not_compute_it(backend: str) -> None:
    x, w = tensor("float64", 2, "x"), tensor("float64", 2, "w")
    hidden = T.tanh(T.dot(x, w) + 1)
    f = function([x, w], [hidden.shape, hidden.shape[0] * hidden.shape[1], hidden.T.shape[0]], backend=backend)
    names = {str(step.node.op) for step in f.schedule.steps if hasattr(step, "node")}
    assert not names & {"dot", "tanh", "add"}, names
    got = f(x2, numbers(4, 5))
    assert got[0].tolist() == [3, 5]
    assert got[1] == 15
    assert got[2] == 5


def test_shapes_can_be_computed_with(backend: str) -> None:
    check(run(lambda x: x.sum() / x.shape[0], x1, backend=backend), np.asarray(x1.sum() / 6))
    check(run(lambda x: T.arange(x.shape[0]) * 2, x1, backend=backend), np.arange(6) * 2)
    check(run(lambda x: x.reshape((x.size // 2, 2)), x2, backend=backend), x2.reshape(6, 2))
    check(run(lambda x: x.reshape(x.shape[::-1], ndim=2), x2, backend=backend), x2.reshape(4, 3))
    check(run(lambda x, n: x.reshape(n, ndim=2), x2, np.array([2, 6]), backend=backend), x2.reshape(2, 6))
    check(run(lambda x, n: T.alloc(x, n, n + 1), 2.5, 3, backend=backend), np.full((3, 4), 2.5))


def test_static_sizes_are_constants(backend: str) -> None:
    x = TensorType("float64", shape=(3, None))("x")
    f = function([x], [x.shape[0], x.shape[1]], backend=backend)
    assert [int(n) for n in f(x2)] == [3, 4]
    assert x.shape[0].data == 3


# ---- arrays from nothing ----


ARANGES: list[tuple[Any, ...]] = [
    (5,), (0,), (-3,), (2, 9), (9, 2), (0, 10, 3), (1, 10, 3), (10, 0, -3), (10, 1, -3), (0, 5, -1), (5, 0, -1),
    (-2, 2), (3, 3), (0, 1, 5),
]  # fmt: skip


@pytest.mark.parametrize("arguments", ARANGES, ids=str)
def test_arange(arguments: tuple[Any, ...], backend: str) -> None:
    """Known and symbolic bounds give the array and, without computing it, the shape."""
    want = np.arange(*arguments)
    known = T.arange(*arguments)
    assert known.type.shape == want.shape
    check(evaluate(known), want)
    got, length = run(lambda *a: [T.arange(*a), T.arange(*a).shape[0]], *arguments, backend=backend)
    check(got, want)
    assert length == len(want)
    if len(arguments) == 3:  # a step that is known
        start, stop, step = arguments
        got, length = run(
            lambda a, b: [T.arange(a, b, step), T.arange(a, b, step).shape[0]], start, stop, backend=backend
        )
        check(got, want)
        assert length == len(want)


def test_arange_of_floats_and_dtypes(backend: str) -> None:
    for arguments in ((2.5,), (0.5, 3.0), (0.0, 1.0, 0.25), (1.0, -1.0, -0.5)):
        check(run(lambda *a: T.arange(*a), *map(np.float64, arguments), backend=backend), np.arange(*arguments))
        assert T.arange(*arguments).type.shape == np.arange(*arguments).shape
    for dtype in dtypes.INTEGERS:
        assert T.arange(np.dtype(dtype).type(3)).dtype == np.result_type(dtype, "int64").name
    for dtype in ("int8", "uint8", "float32", "float64"):
        check(run(lambda n, dtype=dtype: T.arange(n, dtype=dtype), 4, backend=backend), np.arange(4, dtype=dtype))
    assert T.arange(np.float32(3)).dtype == "float32"
    with pytest.raises(TypeError, match="must be scalars"):
        T.arange(tensor("int64", 1))
    with pytest.raises(ValueError, match="must not be zero"):
        T.arange(0, 3, 0)
    n = tensor("int64", 0)
    with pytest.raises((ValueError, ZeroDivisionError)):
        function([n], T.arange(0, 3, n), backend=backend)(0)


@pytest.mark.parametrize("arguments", [(3,), (3, 4), (4, 3, 1), (3, 3, -1), (2, 5, 9), (0, 2)], ids=str)
def test_eye(arguments: Any, backend: str) -> None:
    check(evaluate(T.eye(*arguments)), np.eye(*arguments))
    assert T.eye(*arguments).type.shape == np.eye(*arguments).shape
    check(run(lambda *a: T.eye(*a), *arguments, backend=backend), np.eye(*arguments))
    options: dict[str, Any] = {"dtype": "int8"}
    check(evaluate(T.eye(*arguments, **options)), np.eye(*arguments, **options))


def test_a_stack_of_more_numbers_than_a_kernel_takes(backend: str) -> None:
    """Elements, sizes, numbers of other dtypes, constants; for several sizes."""
    x, i = T.dvector("x"), T.TensorType("int8", ())("i")
    out = T.stack([*(T.exp(x[k % 3]) * k for k in range(50)), x.shape[0], i, i * x[0], 7, x.sum()])
    f = function([x, i], out, backend=backend)
    for values, n in ((np.array([0.5, -1.0, 2.0]), 3), (np.arange(5.0), -128)):
        want = [*(np.exp(values[k % 3]) * k for k in range(50)), len(values), n, n * values[0], 7, values.sum()]
        check(f(values, np.int8(n)), np.array(want), 4)
        check(evaluate(out, {x: values, i: np.int8(n)}), np.array(want), 4)


def test_what_repeat_and_tile_refuse() -> None:
    x = T.dmatrix("x")
    with pytest.raises(TypeError, match="takes one number for all elements"):
        T.repeat(x, [1, 2, 3], axis=0)
    with pytest.raises(ValueError, match="axis 2 is out of bounds"):
        x.repeat(2, axis=2)
    with pytest.raises(ValueError, match="ndim=1 is less than the 2 axes of the result"):
        T.tile(x, 2, ndim=1)


def test_zeros_ones_full_empty(backend: str) -> None:
    for dtype in ALL:
        for out, want in (
            (T.zeros((2, 3), dtype), np.zeros((2, 3), dtype)),
            (T.ones((2, 3), dtype), np.ones((2, 3), dtype)),
            (T.full((2,), 1, dtype), np.full(2, 1, dtype)),
        ):
            assert out.type.shape == want.shape
            check(function([], out, backend=backend)(), want)
        assert T.empty((2, 0), dtype).dtype == dtype
        check(run(lambda x: T.empty_like(x).shape, x2.astype(dtype), backend=backend), np.array([3, 4]))
    check(function([], T.zeros(3), backend=backend)(), np.zeros(3))
    with config.change_flags(floatX="float32"):
        assert T.zeros(3).dtype == T.ones((2, 2)).dtype == T.eye(2).dtype == "float32"


# ---- what is refused, and when ----


def test_what_cannot_be(backend: str) -> None:
    matrix, vector, fixed = tensor("float64", 2), tensor("float64", 1), TensorType("float64", shape=(3, 4))()
    for kind, match, build in (
        (ShapeError, "cannot reshape 12 elements", lambda: fixed.reshape((5, 2))),
        (ValueError, "only one size can be -1", lambda: matrix.reshape((-1, -1))),
        (ValueError, "pass ndim=", lambda: matrix.reshape(tensor("int64", 1))),
        (TypeError, "integer scalar", lambda: matrix.reshape((2.0, 6))),
        (ValueError, "ndim=3", lambda: matrix.reshape((2, 6), ndim=3)),
        (ValueError, "ndim must be between", lambda: matrix.flatten(3)),
        (ValueError, "neither an axis", lambda: matrix.dimshuffle(2, 0)),
        (ValueError, "names one axis twice", lambda: matrix.dimshuffle(0, 0)),
        (ValueError, "its size is not 1", lambda: fixed.dimshuffle(0)),
        (ValueError, "must name each of 2 axes", lambda: matrix.transpose(0)),
        (ValueError, "out of bounds", lambda: matrix.squeeze(2)),
        (ValueError, "cannot broadcast 2 axes to 1", lambda: T.alloc(matrix, 3)),
        (ShapeError, "do not agree", lambda: T.broadcast_to(fixed, (3, 5))),
        (TypeError, "same number of axes", lambda: T.concatenate([matrix, vector])),
        (ValueError, "at least one", lambda: T.concatenate([])),
        (ValueError, "out of bounds", lambda: T.concatenate([matrix, matrix], 2)),
        (TypeError, "same number of axes", lambda: T.stack([matrix, vector])),
        (ShapeError, "do not agree", lambda: T.stack([fixed, TensorType("float64", shape=(3, 5))()])),
        (ValueError, "at least one", lambda: T.stack([])),
        (ValueError, "out of bounds", lambda: T.stack([matrix], axis=3)),
        (ValueError, "swapaxes", lambda: matrix.swapaxes(0, 2)),
        (ValueError, "expand_dims", lambda: T.expand_dims(matrix, 4)),
    ):
        with pytest.raises(kind, match=match):
            build()


def test_what_fails_when_it_runs(backend: str) -> None:
    x, y = tensor("float64", 2, "x"), tensor("float64", 2, "y")
    n = tensor("int64", 0, "n")
    for inputs, out, values in (
        ([x], x.reshape((5, 2)), [x2]),
        ([x, n], x.reshape((n, n)), [x2, 3]),
        ([x], x.reshape((5, -1)), [x2]),
        ([x], x.dimshuffle(0), [x2]),
        ([x], T.squeeze(x, 1), [x2]),
        ([x, y], T.concatenate([x, y]), [x2, x2.T]),
        ([x, y], T.stack([x, y]), [x2, x2.T]),
        ([x], T.broadcast_to(x, (5, 4)), [x2]),
        ([n], T.zeros(n), [-1]),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 -- NumPy's words on one way, graphc's on the other
            function(inputs, out, backend=backend)(*values)
        with pytest.raises(ValueError):  # noqa: PT011
            evaluate(out, dict(zip(inputs, values, strict=True)))


def test_dimshuffle_that_moves_nothing_is_its_operand() -> None:
    x = tensor("float64", 2)
    assert x.dimshuffle(0, 1) is x
    assert tensor("float64", 1).T.ndim == 1
    assert x.flatten(2) is x


@pytest.mark.parametrize("dtype", ["int8", "bool", "float32"])
def test_joining_promotes(dtype: str, backend: str) -> None:
    a, b = np.ones(2, dtype), np.full(3, 2, "int32")
    check(run(lambda x, y: T.concatenate([x, y]), a, b, backend=backend), np.concatenate([a, b]))
    check(run(lambda x, y: T.stack([x, y]), a, b[:2], backend=backend), np.stack([a, b[:2]]))
    check(run(lambda x: T.stack([x, 1]), a[0], backend=backend), np.array([1, 1], np.result_type(a.dtype, 1)))
