"""Activations, softmax and losses, against SciPy, mpmath and their definitions."""

from __future__ import annotations

import itertools
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special
from mpmath import mp

from graphc import tensor as T
from graphc.compile.function import function
from graphc.evaluator import evaluate
from graphc.ops import nnet
from graphc.ops.nnet import DEFINITIONS
from tests.ops.arrays import LAYOUTS, Array, Row, check, check_row, check_shape, numbers, run, tensor

FLOATS = ("float32", "float64")
ANY_REAL = ("bool", "int8", "int32", "uint8", "float16", "float32", "float64")
x2, x3 = numbers(3, 4), numbers(2, 3, 4)
p2 = scipy.special.softmax(numbers(3, 4, seed=1) / 8, 1)
q2 = scipy.special.softmax(numbers(3, 4, seed=2) / 8, 1)
classes = np.array([0, 3, 1])


def elu(x: Array, alpha: float = 1) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def softmax(x: Array, axis: int) -> Any:
    return scipy.special.softmax(x.astype(np.longdouble), axis).astype(x.dtype)


def log_softmax(x: Array, axis: int) -> Any:
    return scipy.special.log_softmax(x.astype(np.longdouble), axis).astype(x.dtype)


def logsumexp(x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    return np.asarray(scipy.special.logsumexp(x.astype(np.longdouble), axis, keepdims=keepdims)).astype(x.dtype)


ROWS = [
    Row("relu", nnet.relu, lambda x: np.maximum(x, x.dtype.type(0)), (x2,), dtypes=ANY_REAL[1:]),
    Row("leaky relu", lambda x: nnet.relu(x, 0.25), lambda x: np.where(x > 0, x, x.dtype.type(0.25) * x), (x2,), 1,
        dtypes=FLOATS),
    Row("elu", nnet.elu, elu, (x2,), 4, dtypes=FLOATS),
    Row("elu(2)", lambda x: nnet.elu(x, 2), lambda x: elu(x, 2), (x2,), 4, dtypes=FLOATS),
    Row("selu", nnet.selu, lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772), (x2,), 4, dtypes=FLOATS),
    *(
        Row(f"{name}(axis={axis})", lambda x, name=name, axis=axis: getattr(nnet, name)(x, axis),
            lambda x, numpy=numpy, axis=axis: numpy(x, axis), (x3,), 8, 4, dtypes=FLOATS)
        for (name, numpy), axis in itertools.product((("softmax", softmax), ("logsoftmax", log_softmax)), (0, 1, -1))
    ),
    Row("softmax of rows", nnet.softmax, lambda x: softmax(x, -1), (x2,), 8, dtypes=FLOATS),
    Row("logsoftmax of rows", nnet.logsoftmax, lambda x: log_softmax(x, -1), (x2,), 8, 4, dtypes=FLOATS),
    Row("softmax of a vector is a row", nnet.softmax, lambda x: softmax(x, -1)[None], (x2[0],), 8, dtypes=FLOATS),
    Row("softmax along 0", lambda x: nnet.softmax(x, 0), lambda x: softmax(x, 0), (x2[0],), 8, dtypes=FLOATS),
    *(
        Row(f"logsumexp(axis={axis}, keepdims={keepdims})",
            lambda x, axis=axis, keepdims=keepdims: T.logsumexp(x, axis, keepdims),
            lambda x, axis=axis, keepdims=keepdims: logsumexp(x, axis, keepdims), (x3,), 8, dtypes=FLOATS)
        for axis, keepdims in itertools.product((None, 0, 1, -1, (0, 2)), (False, True))
    ),
    Row("binary_crossentropy", nnet.binary_crossentropy, lambda p, t: -(t * np.log(p) + (1 - t) * np.log1p(-p)),
        (p2, q2), 8, 2, dtypes=FLOATS),
    Row("sigmoid_binary_crossentropy", nnet.sigmoid_binary_crossentropy,
        lambda x, t: -(t * scipy.special.log_expit(x) + (1 - t) * scipy.special.log_expit(-x)), (x2, q2), 8,
        dtypes=FLOATS),
    Row("categorical_crossentropy of rows", nnet.categorical_crossentropy, lambda p, t: -(t * np.log(p)).sum(1),
        (p2, q2), 8, dtypes=FLOATS),
    Row("categorical_crossentropy of classes", nnet.categorical_crossentropy, lambda p, t: -np.log(p[[0, 1, 2], t]),
        (p2, classes), 4, dtypes=FLOATS),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_values(row: Row, backend: str) -> None:
    """Every dtype with every layout."""
    for dtype, layout in itertools.product(row.dtypes, LAYOUTS):
        if layout != "broadcast" or "classes" not in row.name:
            check_row(row, backend, dtype, layout)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_shapes(row: Row, backend: str) -> None:
    check_shape(row, backend)


def test_every_definition_has_rows() -> None:
    for name in DEFINITIONS:
        assert any(row.name.startswith(name) for row in ROWS), name


@pytest.mark.parametrize("name", ["softmax", "logsoftmax", "logsumexp"])
def test_large_and_infinite(name: str, backend: str) -> None:
    """No overflow, no nan where there is a value; as mpmath has it, with 60 digits."""
    rows = [
        [1000.0, 1000.0, -1000.0],
        [-1e5, -1e5 + 1, -1e5 + 2],
        [700.0, -745.0, 0.0],
        [-np.inf, 0.0, 1.0],
        [1e300, 0, 0],
    ]
    x = np.array(rows)
    with mp.workdps(60):
        want: list[Any] = []
        for row in rows:
            e = [mp.exp(mpmath.mpf(v) - mpmath.mpf(max(row))) for v in row]
            total = mpmath.fsum(e)
            if name == "softmax":
                want.append([float(v / total) for v in e])
            elif name == "logsoftmax":
                want.append([float(mpmath.mpf(v) - mpmath.mpf(max(row)) - mp.log(total)) for v in row])
            else:
                want.append(float(mp.log(total) + mpmath.mpf(max(row))))
    got = run(lambda x: getattr(nnet, name)(x, -1), x, backend=backend)
    check(got, np.array(want), 4)


def test_logsumexp_of_infinities(backend: str) -> None:
    x = np.array([[-np.inf, -np.inf], [np.inf, 0], [np.inf, -np.inf], [np.nan, 0], [0, -np.inf]])
    check(run(lambda x: T.logsumexp(x, 1), x, backend=backend), np.array([-np.inf, np.inf, np.inf, np.nan, 0]))


@pytest.mark.parametrize("name", ["softmax", "logsoftmax", "logsumexp"])
def test_integers_become_floats(name: str, backend: str) -> None:
    x = np.array([[1, 2, 3], [-4, 0, 4]], "int32")
    got = run(lambda x: getattr(nnet, name)(x, 1), x, backend=backend)
    check(got, run(lambda x: getattr(nnet, name)(x, 1), x.astype("float64"), backend=backend))


def test_probabilities_sum_to_one(backend: str) -> None:
    for shape in ((5, 7), (1, 1), (0, 3)):
        got = run(nnet.softmax, numbers(*shape), backend=backend)
        np.testing.assert_allclose(got.sum(1), 1, rtol=4e-16)


def test_log_of_softmax_stays_finite(backend: str) -> None:
    """What a user writes, log(softmax(x)), is as good as logsoftmax(x) when it is compiled."""
    x = tensor("float64", 2)
    value = np.array([[1000.0, 0.0]])
    check(function([x], T.log(nnet.softmax(x)), backend=backend)(value), np.array([[0.0, -1000.0]]))


def test_losses_refuse_other_targets() -> None:
    p = tensor("float64", 2)
    for target in (tensor("float64", 1), tensor("int64", 0), tensor("int64", 3)):
        with pytest.raises(TypeError, match="the classes must be an integer vector"):
            nnet.categorical_crossentropy(p, target)


def test_a_class_out_of_range_is_an_index_error(backend: str) -> None:
    p, t = tensor("float64", 2), tensor("int64", 1)
    loss = nnet.categorical_crossentropy(p, t)
    for wrong in ([0, 4, 0], [0, -5, 0]):
        with pytest.raises(IndexError):
            function([p, t], loss, backend=backend)(p2, wrong)
        with pytest.raises(IndexError):
            evaluate(loss, {p: p2, t: np.array(wrong)})


def test_axis_out_of_range() -> None:
    for name in DEFINITIONS:
        for axis in (2, -3):
            with pytest.raises(ValueError, match=f"axis {axis} is out of bounds for 2 axes"):
                getattr(nnet, name)(tensor("float64", 2), axis)
    with pytest.raises(ValueError, match="out of bounds for 0 axes"):
        nnet.softmax(tensor("float64", 0))


def test_the_names_of_theano() -> None:
    for name in T.nnet.__all__:
        assert callable(getattr(T.nnet, name))
    assert T.nnet.sigmoid is nnet.sigmoid
