"""The last rules: ops become their bodies, and gathers move before what is computed element by element."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
import graphc.tensor as T


def gathers_moved(f: graphc.Function) -> int:
    return sum("gather_before_elementwise" in applied.rule.text for applied in f.rewrites)


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


def test_a_matrix_that_others_read_stays() -> None:
    x, y = T.dmatrix("x"), T.lvector("y")
    e = T.exp(x)
    f = graphc.function([x, y], [e[T.arange(y.shape[0]), y], e, T.nnet.softmax(x)], backend="llvm")
    assert not gathers_moved(f)
