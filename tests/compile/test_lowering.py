"""The last rules: ops become their bodies, and gathers move before what is computed element by element."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.graph.variable import Variable
from graphc.ops.declare import Elementwise


def gathers_moved(f: graphc.Function) -> int:
    return sum(applied.rule.text.startswith("gather_before") for applied in f.rewrites)


def test_one_number_of_each_row_needs_no_matrix() -> None:
    x, y = T.dmatrix("x"), T.lvector("y")
    log_p = T.nnet.logsoftmax(x)[T.arange(y.shape[0]), y]
    f = graphc.function([x, y], log_p, backend="llvm")
    assert gathers_moved(f)
    assert all(len(array.sizes) < 2 for kernel in f.kernels for array in kernel.written), "no matrix is written"
    rows, classes = np.random.default_rng(0).normal(size=(7, 5)), np.array([0, 4, -1, 2, 2, 1, 3])
    expected = (rows - np.log(np.exp(rows).sum(axis=1, keepdims=True)))[np.arange(7), classes]
    np.testing.assert_allclose(f(rows, classes), expected, rtol=1e-13)
    for wrong in (5, -6):
        with pytest.raises(IndexError):
            f(rows, np.full(7, wrong))


def test_fewer_indices_than_rows() -> None:
    """That there is one for each row is assumed; where it is not so, another plan runs."""
    x, y = T.dmatrix("x"), T.lvector("y")
    cost = -T.nnet.logsoftmax(x)[T.arange(y.shape[0]), y].sum()
    f = graphc.function([x, y], [cost, T.grad(cost, x)], backend="llvm")
    reference = graphc.function([x, y], [cost, T.grad(cost, x)], backend="numpy")
    rows = np.random.default_rng(0).normal(size=(4, 3))
    for given in ([2, 0, 1, 1], [2, 0], []):
        classes = np.array(given, int)
        for found, expected in zip(f(rows, classes), reference(rows, classes), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
    with pytest.raises(IndexError):
        f(rows, np.zeros(5, int))


# Of a table, a vector as long as its rows, a number, and an array of indices.
CHEAP: list[Callable[..., Variable]] = [
    lambda m, v, s, i: (m * s)[i],
    lambda m, v, s, i: (2 - m)[i].sum(axis=1),
    lambda m, v, s, i: T.maximum(m * s - v, 0)[i],
    lambda m, v, s, i: T.nnet.relu(m)[i],
    lambda m, v, s, i: (m * m)[i],
    lambda m, v, s, i: (m > 0)[i],
    lambda m, v, s, i: T.cast(m, "float32")[i],
    lambda m, v, s, i: T.switch(v > s, m, 1.0)[i],
    lambda m, v, s, i: (v * s + 1)[i],
    lambda m, v, s, i: (m.sum(axis=1, keepdims=True) - v)[i],
    lambda m, v, s, i: (m + v.dimshuffle("x", 0))[i.reshape((2, 2))],
    lambda m, v, s, i: -T.dot(m, m.T)[i],
]


@pytest.mark.parametrize("build", CHEAP)
def test_what_is_cheap_is_computed_of_what_is_gathered(build: Callable[..., Variable]) -> None:
    inputs = [T.dmatrix("m"), T.dvector("v"), T.dscalar("s"), T.lvector("i")]
    values = [np.random.default_rng(0).normal(size=(5, 4)), np.array([0.5, -1.0, np.inf, np.nan]), 0.5]
    out = build(*inputs)
    for name in ("llvm", "numpy"):
        f = graphc.function(inputs, out, backend=name, on_unused_input="ignore")
        for indices in ([0, 3, -1, 3], [1, 1, 1, 1]):
            given = [*values, np.array(indices)]
            expected = graphc.evaluate(out, dict(zip(inputs, given, strict=True)))
            np.testing.assert_allclose(f(*given), expected, rtol=1e-13)
        with pytest.raises(IndexError):
            f(*values, np.array([0, 1, 5, 0]))
        (variant,) = f.variants.values()
        gathered = [node.inputs[0].owner for node in variant.schedule.graph.nodes if node.op.text()[:8] == "Advanced"]
        assert not any(isinstance(made.op, Elementwise) for made in gathered if made is not None)


DEAR: list[Callable[..., list[Variable]]] = [
    lambda m, v, s, i: [T.exp(m)[i]],
    lambda m, v, s, i: [(T.exp(m) * s)[i]],
    lambda m, v, s, i: [T.tanh(m * s)[i]],
    lambda m, v, s, i: [(y := m * s), y[i]],
    lambda m, v, s, i: [(y := m * s), T.nnet.relu(y)[i]],
    lambda m, v, s, i: [(m + m.T)[i]],
    lambda m, v, s, i: [T.nnet.relu(m * s - v)[i]],
    lambda m, v, s, i: [(v + m)[i, i]],
    lambda m, v, s, i: [(m * s)[1:, i]],
]


@pytest.mark.parametrize("build", DEAR)
def test_what_is_dear_or_needs_two_gathers_or_is_there_anyway_is_computed_before(
    build: Callable[..., list[Variable]],
) -> None:
    """There may be more indices than rows."""
    inputs = [T.dmatrix("m"), T.dvector("v"), T.dscalar("s"), T.lvector("i")]
    f = graphc.function(inputs, build(*inputs), backend="llvm", on_unused_input="ignore")
    assert not any(applied.rule.text.startswith("gather_before_cheap_steps") for applied in f.rewrites)


def test_a_matrix_that_others_read_stays() -> None:
    x, y = T.dmatrix("x"), T.lvector("y")
    e = T.exp(x)
    f = graphc.function([x, y], [e[T.arange(y.shape[0]), y], e, T.nnet.softmax(x)], backend="llvm")
    assert not gathers_moved(f)
