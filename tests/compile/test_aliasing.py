"""Whose memory is it: results never share memory with arguments, shared variables, constants or each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import In, Out, Variable, function, grad, shared
from graphc.ifelse import ifelse
from tests.compile.programs import Doubled, Sloppy, Twins

X, V, S, C = T.dmatrix("x"), T.dvector("v"), T.dscalar("s"), T.dscalar("c")
K: Any = T.constant(np.arange(6.0).reshape(2, 3), name="k")
K0: Any = T.constant(np.float64(3.0))
KX = np.arange(6.0).reshape(2, 3)

# Expressions of X, V, S, W (shared matrix), U (shared scalar) and C that are views, or look as if they were.
GRAPHS: dict[str, Callable[[Variable, Variable], list[Variable]]] = {
    "input": lambda W, U: [X],
    "scalar input": lambda W, U: [S],
    "shared": lambda W, U: [W],
    "shared scalar": lambda W, U: [U],
    "constant": lambda W, U: [K],
    "scalar constant": lambda W, U: [K0, K0],
    "everything": lambda W, U: [X, V, S, W, U, K, K0],
    "everything twice": lambda W, U: [X, V, S, W, U, K] * 2,
    "transpose": lambda W, U: [X.T, W.T, K.T],
    "transpose twice": lambda W, U: [X.T.T, X, X.T],
    "rows": lambda W, U: [X[0], X[1], X[0:1], X[::2], X[::-1], X[:, 1]],
    "element": lambda W, U: [X[0, 1], W[1, 1], V[0], V[-1]],
    "reshape": lambda W, U: [X.reshape((3, 2)), X.reshape((6,)), X.flatten(), W.flatten()],
    "reshape to a scalar": lambda W, U: [X[0, :1].reshape(()), V[:1].reshape(()), X[0, :1].reshape(())],
    "new axes": lambda W, U: [X.dimshuffle("x", 0, 1), V[None], S.dimshuffle("x"), U.dimshuffle("x", "x")],
    "dropped axes": lambda W, U: [X[:1].sum(0, keepdims=True).squeeze(), X[:1, :1].dimshuffle(0, 1)],
    "full slices": lambda W, U: [X[:], X[:, :], X[...], V[:]],
    "a copy": lambda W, U: [X.copy(), X.copy()],
    "casts to the same": lambda W, U: [T.cast(X, "float64"), T.cast(S, "float64"), X.astype("float64")],
    "temporary and views of it": lambda W, U: (lambda t: [t, t.T, t[0], t[:, ::2], t.flatten()])(T.exp(X)),
    "views of a temporary": lambda W, U: (lambda t: [t[0], t[0], t[0, 0], t[0, 0]])(T.exp(X)),
    "scalar temporary twice": lambda W, U: (lambda t: [t, t, t.dimshuffle("x")])(X.sum()),
    "equal expressions": lambda W, U: [X + 1, X + 1, 1 + X, S * 2, S * 2],
    "identities": lambda W, U: [X + 0, X * 1, X / 1, X - 0, X**1, T.neg(T.neg(X)), 1 * S],
    "branches": lambda W, U: [ifelse(C > 0, X, W), ifelse(C > 0, W, X), ifelse(C > 0, X, X)],
    "branches of views": lambda W, U: [ifelse(C > 0, X.T, W.T), ifelse(C > 0, S, U), ifelse(C < 0, S, U)],
    "branch and its parts": lambda W, U: (lambda t: [ifelse(C > 0, t, W), t])(T.exp(X)),
    "two branches": lambda W, U: ifelse(C > 0, [X, W], [W, X]),
    "nested branches": lambda W, U: [ifelse(C > 0, ifelse(C > 5, W, X), K)],
    "joined": lambda W, U: [T.concatenate([X]), T.stack([V]), T.concatenate([X, X])],
    "set_subtensor": lambda W, U: [T.set_subtensor(X[0], 1.0), T.inc_subtensor(W[0], 1.0), X, W],
    "set nothing": lambda W, U: [T.set_subtensor(X[:0], X[:0]), T.inc_subtensor(X[0], 0.0)],
    "broadcast": lambda W, U: [T.broadcast_to(V, (2, 3)), T.broadcast_to(S, (3,)), T.zeros_like(X) + S],
    "gradients": lambda W, U: [*grad(X.sum(), [X, X]), grad((X * W).sum(), X), grad((X * W).sum(), W)],
    "gather": lambda W, U: [X[[0, 1]], X[X > 0], V[[0, 0]]],
    "switch": lambda W, U: [T.switch(1, X, W), T.switch(C > 0, X, W), T.maximum(X, X)],
    "user's op": lambda W, U: [Doubled(1.0)(X), Doubled()(X)],
    "perform returns its input": lambda W, U: [Sloppy(lambda a: a)(X), Sloppy(lambda a: a)(W), X],
    "perform returns a view": lambda W, U: [Sloppy(lambda a: a.reshape(a.shape))(X), Sloppy(lambda a: a[::-1])(X)],
    "perform returns a constant view": lambda W, U: [Sloppy(lambda a: a)(K), Sloppy(lambda a: a)(S), S],
    "perform returns one array twice": lambda W, U: Twins()(X) + Twins()(S),
}


def arguments(flip: float) -> dict[str, Any]:
    return {"x": np.arange(6.0).reshape(2, 3) + 1, "v": np.arange(3.0) + 1, "s": np.array(7.0), "c": np.array(flip)}


def pieces(results: list[Any]) -> list[np.ndarray[Any, Any]]:
    assert all(type(r) is np.ndarray for r in results)
    return results


def pairs_that_share(arrays: dict[str, Any]) -> list[tuple[str, str]]:
    names = list(arrays)
    return [
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if arrays[a].size and arrays[b].size and np.shares_memory(arrays[a], arrays[b])
    ]


@pytest.mark.parametrize("flip", [1.0, -1.0])
@pytest.mark.parametrize("graph", GRAPHS)
def test_nothing_is_shared(graph: str, flip: float) -> None:
    W, U = shared(np.full((2, 3), 5.0), "w"), shared(2.0, "u")
    outputs = GRAPHS[graph](W, U)
    f = function([X, V, S, C], outputs, on_unused_input="ignore")
    given = arguments(flip)
    kept = {name: value.copy() for name, value in given.items()}
    first = pieces(f(**given))
    copies = [r.copy() for r in first]
    second = pieces(f(**given))
    owners = {
        **given,
        "W": W.get_value(borrow=True),
        "U": U.get_value(borrow=True),
        "K": K.data,
        "K0": K0.data,
        **{f"first {i}": r for i, r in enumerate(first)},
        **{f"second {i}": r for i, r in enumerate(second)},
    }
    assert pairs_that_share(owners) == []
    assert all(r.flags.writeable for r in first)
    for r in (*first, *second):  # a caller may do what he likes with results
        r[...] = np.nan
    third = f(**given)
    for a, b in zip(copies, third, strict=True):
        np.testing.assert_array_equal(a, b)
    for name, value in given.items():
        np.testing.assert_array_equal(value, kept[name])
    np.testing.assert_array_equal(W.get_value(), np.full((2, 3), 5.0))
    assert U.get_value() == 2.0
    np.testing.assert_array_equal(K.data, KX)


UPDATES: dict[str, Callable[[Any, Any], dict[Any, Any]]] = {
    "from the input": lambda W, R: {W: X},
    "from a view of the input": lambda W, R: {W: X[::-1], R: X.T.T},
    "from each other": lambda W, R: {W: R, R: W},
    "both from one": lambda W, R: {W: R, R: R},
    "both from the input": lambda W, R: {W: X, R: X},
    "both from one temporary": lambda W, R: {W: X * 2, R: X * 2},
    "a view of itself": lambda W, R: {W: W[::-1], R: W[:, ::-1]},
    "itself": lambda W, R: {W: W, R: R},
    "constant": lambda W, R: {W: K, R: K},
    "branches": lambda W, R: {W: ifelse(S > 0, R, X), R: ifelse(S > 0, X, W)},
    "in place": lambda W, R: {W: T.inc_subtensor(W[0], 1.0), R: T.set_subtensor(W[:, 0], 0.0)},
    "sloppy op": lambda W, R: {W: Sloppy(lambda a: a)(W), R: Sloppy(lambda a: a)(W)},
}


@pytest.mark.parametrize("flip", [1.0, -1.0])
@pytest.mark.parametrize("case", UPDATES)
def test_shared_values_are_nobody_elses(case: str, flip: float) -> None:
    from graphc.evaluator import evaluate

    W, R = shared(np.full((2, 3), 5.0), "w"), shared(np.arange(6.0).reshape(2, 3), "r")
    updates = UPDATES[case](W, R)
    f = function([X, S], [X + 1, *updates.values(), W], updates=updates, on_unused_input="ignore")
    x, s = np.arange(6.0).reshape(2, 3) * 10, np.array(flip)
    expected = [evaluate(new, {X: x, S: s}).copy() for new in updates.values()]
    results = f(x, s)
    now = [target.get_value(borrow=True) for target in updates]
    assert pairs_that_share(
        {"x": x, "K": K.data}
        | {f"result {i}": r for i, r in enumerate(results)}
        | {f"shared {i}": a for i, a in enumerate(now)}
    ) == []
    for array, result, wanted in zip(now, results[1:], expected, strict=False):
        np.testing.assert_array_equal(array, wanted)
        np.testing.assert_array_equal(result, wanted)
    x[...] = np.nan
    for r in results:
        r[...] = np.nan
    for array, wanted in zip(now, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_results_of_scalars_are_not_the_cell() -> None:
    """A 0-d array is an array: writing into a returned one must not reach the shared variable."""
    s, x = shared(1.0, "s"), T.dscalar("x")
    state = T.dscalar("state")
    f = function([x, In(state, value=3.0)], [s, x, state])
    argument = np.array(2.0)
    for r in f(argument):
        r[...] = 100
    assert (float(s.get_value()), float(argument), float(f[state])) == (1.0, 2.0, 3.0)


def test_update_from_a_scalar_argument_is_a_copy() -> None:
    s, x = shared(1.0, "s"), T.dscalar("x")
    argument = np.array(2.0)
    function([x], updates={s: x})(argument)
    argument[...] = 100
    assert s.get_value() == 2.0


def test_a_result_of_an_earlier_call_is_never_written() -> None:
    x = T.dvector("x")
    f = function([x], [T.exp(x) * 2 + 1, T.exp(x)])
    kept = [f(np.full(100, float(i))) for i in range(20)]
    for i, (a, b) in enumerate(kept):
        np.testing.assert_allclose(a, np.full(100, np.exp(i) * 2 + 1))
        np.testing.assert_allclose(b, np.full(100, np.exp(i)))


def test_arguments_are_never_written() -> None:
    """Dead temporaries are reused as memory of later steps; arguments never are."""
    x, y = T.dvector("x"), T.dvector("y")
    h = x
    for i in range(20):
        h = T.tanh(h * y + i) - x
    f = function([x, y], [h, h.sum()])
    a, b = np.linspace(-1, 1, 50), np.linspace(1, 2, 50)
    a.flags.writeable = b.flags.writeable = False
    expected = a
    for i in range(20):
        expected = np.tanh(expected * b + i) - a
    out, total = f(a, b)
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(total, expected.sum())


@pytest.mark.parametrize("order", range(6))
def test_reused_memory_never_holds_a_result(order: int) -> None:
    """Intermediate values returned in any order keep their values though later steps could reuse their memory."""
    rng = np.random.default_rng(order)
    x = T.dvector("x")
    steps = [x]
    for i in range(12):
        a, b = (steps[int(j)] for j in rng.integers(0, len(steps), 2))
        steps.append([a + b, a * 0.5, T.tanh(a), a - b, T.maximum(a, b), a[::-1]][(i + order) % 6])
    wanted = [steps[int(j)] for j in rng.integers(0, len(steps), 6)]
    from graphc.evaluator import evaluate

    value = np.linspace(-1, 1, 9)
    for got, expected in zip(function([x], wanted)(value), evaluate(wanted, {x: value}), strict=True):
        np.testing.assert_allclose(got, expected)


def test_out_borrow_is_a_permission() -> None:
    W = shared(np.ones(3), "w")
    f = function([], Out(W * 2, borrow=True), updates={W: W + 1})
    first = f()
    assert first.tolist() == [2.0] * 3
    assert W.get_value().tolist() == [2.0] * 3


# ---- borrowed memory ----


def test_an_argument_that_overlaps_a_shared_variable() -> None:
    memory = np.arange(10.0)
    W, x = shared(memory, "w", borrow=True), T.dvector("x")
    assert np.shares_memory(W.get_value(borrow=True), memory)
    f = function([x], [W[:5] + x, x, W], updates={W: T.inc_subtensor(W[:5], x)})
    for _ in range(3):
        before = W.get_value()
        argument = W.get_value(borrow=True)[2:7]
        expected = argument.copy()
        total, same, old = f(argument)
        np.testing.assert_array_equal(same, expected)
        np.testing.assert_array_equal(total, before[:5] + expected)
        np.testing.assert_array_equal(old, before)
        np.testing.assert_array_equal(W.get_value()[:5], before[:5] + expected)
        np.testing.assert_array_equal(W.get_value()[5:], before[5:])


def test_the_shared_value_itself_as_an_argument() -> None:
    W, x = shared(np.arange(4.0), "w"), T.dvector("x")
    f = function([x], x, updates={W: W * 2 + x})
    out = f(W.get_value(borrow=True))
    assert out.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert W.get_value().tolist() == [0.0, 3.0, 6.0, 9.0]


@pytest.mark.parametrize("same", [True, False], ids=["one array", "overlapping views"])
def test_two_shared_variables_borrow_one_array(same: bool) -> None:
    memory = np.arange(6.0)
    a = shared(memory if same else memory[:4], "a", borrow=True)
    b = shared(memory if same else memory[2:], "b", borrow=True)
    old_a, old_b = a.get_value(), b.get_value()
    f = function([], [a, b, a + b], updates={a: a + 1, b: b * 10})
    results = f()
    for got, expected in zip(results, (old_a, old_b, old_a + old_b), strict=True):
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(a.get_value(), old_a + 1)
    np.testing.assert_array_equal(b.get_value(), old_b * 10)


def test_user_memory_that_was_borrowed_for_reading_is_not_written() -> None:
    """A function replaces a shared value; the array the user lent stays as it is."""
    memory = np.zeros(3)
    W = shared(memory, borrow=True)
    held = W.get_value(borrow=True)
    function([], updates={W: W + 1})()
    assert W.get_value().tolist() == [1.0] * 3
    assert held.tolist() == [0.0] * 3
