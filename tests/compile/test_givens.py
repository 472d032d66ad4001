"""Givens: variables replaced by expressions before compiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import In, function, grad, shared
from graphc.errors import MissingInputError, UnusedInputError

DATA = np.arange(12.0).reshape(6, 2)


def test_minibatches() -> None:
    """The idiom of every tutorial: an index as the input, a slice of shared data in place of `x`."""
    data, labels = shared(DATA, "data"), shared(np.arange(6), "labels")
    x, y, i = T.dmatrix("x"), T.lvector("y"), T.lscalar("i")
    w = shared(np.ones(2), "w")
    cost = ((T.dot(x, w) - y) ** 2).mean()
    n = 2
    train = function(
        [i],
        cost,
        updates=[(w, w - 0.01 * grad(cost, w))],
        givens={x: data[i * n : (i + 1) * n], y: labels[i * n : (i + 1) * n]},
    )
    expected = np.ones(2)
    for batch in range(3):
        xs, ys = DATA[batch * n : (batch + 1) * n], np.arange(6)[batch * n : (batch + 1) * n]
        error = xs @ expected - ys
        np.testing.assert_allclose(train(batch), (error**2).mean())
        expected = expected - 0.01 * 2 * xs.T @ error / n
        np.testing.assert_allclose(w.get_value(), expected)
    data.set_value(np.zeros((100, 2)))
    labels.set_value(np.zeros(100, int))
    assert train(49) == 0.0
    with pytest.raises(TypeError, match=r"input 0 \(i\)"):
        train(0.5)


def test_forms_of_givens() -> None:
    x, y, z = T.dscalars("x", "y", "z")
    for givens in ({x: y + z}, [(x, y + z)], [[x, y + z]], ((x, y + z),), {x: y + z}.items()):
        assert function([y, z], x * 10, givens=givens)(1, 2) == 30.0
    assert function([x], x, givens={})(1) == 1.0
    assert function([x], x, givens=[])(1) == 1.0


def test_swap() -> None:
    x, y = T.dscalars("x", "y")
    a, b = T.dscalars("a", "b")
    f = function([a, b], 10 * x + y, givens={x: b, y: a})
    assert f(1, 2) == 21.0
    s, t = shared(1.0, "s"), shared(2.0, "t")
    assert function([], 10 * s + t, givens={s: t, t: s})() == 21.0


def test_givens_apply_at_once() -> None:
    """What stands in a replacement is not replaced again."""
    x, y, z = T.dscalars("x", "y", "z")
    with pytest.raises(MissingInputError, match=r"y has no value(.|\n)*givens apply all at once"):
        function([z], x, givens={x: y + 1, y: z})
    assert function([y], 100 * x + y, givens={x: y + 1})(3) == 403.0
    inner = y + 1
    assert function([z], x + inner, givens={x: z * 2, inner: z})(5) == 15.0


def test_an_intermediate_variable() -> None:
    x = T.dvector("x")
    hidden = T.tanh(x)
    out = hidden * 2 + 1
    assert function([x], out, givens={hidden: x})([3.0]).tolist() == [7.0]
    assert out.eval({x: [0.0]}).tolist() == [1.0], "the user's graph is as it was"


def test_a_shared_variable() -> None:
    w, x = shared(np.ones(2), "w"), T.dvector("x")
    out = (w * x).sum()
    f = function([x], out, givens={w: np.array([10.0, 20.0])}, updates={w: w + 1})
    assert f([1.0, 1.0]) == 30.0
    assert w.get_value().tolist() == [11.0, 21.0], "the update reads the replacement as well"
    assert function([x], out)([1.0, 1.0]) == 32.0


def test_updates_and_state_are_replaced_too() -> None:
    x, y, state = T.dscalar("x"), T.dscalar("y"), T.dscalar("state")
    s = shared(0.0, "s")
    f = function([y, In(state, value=1.0, update=state * x)], x, updates={s: s + x}, givens={x: y + 1})
    assert f(1) == 2.0
    assert (s.get_value(), f[state]) == (2.0, 2.0)


PLAIN = {
    "float": (T.dscalar, 2.5, 2.5),
    "int": (T.dscalar, 2, 2.0),
    "numpy": (T.dscalar, np.float32(2.5), 2.5),
    "list": (T.dvector, [1, 2], [1.0, 2.0]),
    "array": (T.dmatrix, np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    "int into int8": (T.bscalar, 7, 7),
    "True into bool": (lambda: T.tensor("bool", ()), True, True),
    "float32 exactly": (T.fscalar, 0.5, 0.5),
}


@pytest.mark.parametrize("case", PLAIN)
def test_plain_values(case: str) -> None:
    make, value, expected = PLAIN[case]
    x: Any = make()
    out = function([], x, givens={x: value})()
    assert out.tolist() == expected
    assert out.dtype == x.dtype


def test_sizes_of_the_replacement_are_used() -> None:
    x, r = T.dmatrix("x"), T.drow("r")
    y = T.dmatrix("y")
    f = function([r, y], x + y, givens={x: r})
    assert f([[1.0, 2.0]], np.zeros((3, 2))).shape == (3, 2)
    assert len(f.variants) == 1, "a row is known to have one row"
    constant = function([], x.sum(0), givens={x: np.ones((4, 3))})
    assert constant().tolist() == [4.0] * 3


def test_an_input_that_givens_make_useless() -> None:
    x, y = T.dscalars("x", "y")
    middle = y * 2
    with pytest.raises(UnusedInputError, match=r"\(y\)"):
        function([x, y], middle + 1, givens={middle: x})
    assert function([x, y], middle + 1, givens={middle: x}, on_unused_input="ignore")(5, 0) == 6.0


def test_gradients_through_givens() -> None:
    """The gradient is taken before: with respect to the variable that is replaced."""
    x, y = T.dscalars("x", "y")
    g = grad(x**3, x)
    assert function([y], g, givens={x: y * 2})(1) == 12.0
