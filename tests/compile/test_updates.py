"""Updates: their forms, the one snapshot they read, default updates, and private state of a function."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import In, config, function, shared

FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "dict": lambda a, b: {a: b, b: a},
    "ordered dict": lambda a, b: OrderedDict([(a, b), (b, a)]),
    "list of tuples": lambda a, b: [(a, b), (b, a)],
    "list of lists": lambda a, b: [[a, b], [b, a]],
    "tuple of tuples": lambda a, b: ((a, b), (b, a)),
    "tuple of lists": lambda a, b: ([a, b], [b, a]),
    "items": lambda a, b: {a: b, b: a}.items(),
    "generator": lambda a, b: ((x, y) for x, y in ((a, b), (b, a))),
    "zip": lambda a, b: zip([a, b], [b, a], strict=True),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [1.0, [1.0, 2.0], [[1.0]]], ids=["scalar", "vector", "matrix"])
def test_forms_of_updates_and_the_swap(form: str, value: Any) -> None:
    a, b = shared(np.array(value), "a"), shared(np.array(value) * 10, "b")
    f = function([], [a, b], updates=FORMS[form](a, b))
    before = [a.get_value(), b.get_value()]
    for turn in range(4):
        results = f()
        old = before if turn % 2 == 0 else before[::-1]
        assert [r.tolist() for r in results] == [v.tolist() for v in old], "outputs see the old values"
    assert [a.get_value().tolist(), b.get_value().tolist()] == [v.tolist() for v in before]
    assert not np.shares_memory(a.get_value(borrow=True), b.get_value(borrow=True))


def test_updates_read_one_snapshot() -> None:
    a, b, c = (shared(float(i), name) for i, name in enumerate("abc", start=1))
    f = function([], [a + b, c], updates={a: a + b, b: a * 10, c: a + b + c})
    assert [float(r) for r in f()] == [3.0, 3.0]
    assert [float(s.get_value()) for s in (a, b, c)] == [3.0, 10.0, 6.0]


def test_updates_alone() -> None:
    s, x = shared(0, "count"), T.lscalar("x")
    f = function([x], updates={s: s + x})
    assert f(3) == []
    assert f(4) == []
    assert s.get_value() == 7


VALUES = {
    "int": (0.5, 3, 3.0),
    "float": (0.5, 1.5, 1.5),
    "bool into float": (0.5, True, 1.0),
    "numpy scalar": (0.5, np.float64(2.5), 2.5),
    "array": ([0.5, 1.0], np.array([3.0, 4.0]), [3.0, 4.0]),
    "list": ([0.5, 1.0], [3, 4], [3.0, 4.0]),
    "int into int": (1, 5, 5),
    "whole float into int": (1, 5.0, 5),
    "ints into int8": (np.array([1], "int8"), [7], [7]),
}


@pytest.mark.parametrize("case", VALUES)
def test_update_with_a_plain_value(case: str) -> None:
    start, new, expected = VALUES[case]
    s = shared(np.asarray(start), "s")
    function([], updates={s: new})()
    assert s.get_value().tolist() == expected
    assert s.get_value().dtype == np.asarray(start).dtype


def test_update_of_float32_by_python_numbers() -> None:
    s = shared(np.float32(1), "s")
    function([], updates={s: s * 0.1 + 2})()
    assert s.get_value() == np.float32(1) * np.float32(0.1) + 2
    assert s.get_value().dtype == np.float32


def test_update_may_change_the_shape() -> None:
    s, x = shared(np.zeros(1), "s"), T.dvector("x")
    f = function([x], s.shape[0], updates={s: T.concatenate([s, x])})
    assert [int(f([1.0] * n)) for n in (2, 3, 0, 1)] == [1, 3, 6, 6]
    assert s.get_value().tolist() == [0.0] + [1.0] * 6


def test_update_of_a_fixed_size() -> None:
    row = shared(np.ones((1, 3)), "row", broadcastable=(True, False))
    x = T.dmatrix("x")
    f = function([x], updates={row: row + x.sum(axis=0, keepdims=True)})
    f(np.ones((4, 3)))
    assert row.get_value().tolist() == [[5.0] * 3]
    with pytest.raises(TypeError, match=r"sizes that are fixed for the variable: \[1, None\](.|\n)*addbroadcast"):
        function([x], updates={row: x})
    checked = function([x], updates={row: T.addbroadcast(x, 0)})
    checked(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"sizes (1 and 2|2 and 1)"):
        checked(np.zeros((2, 3)))
    assert row.get_value().tolist() == [[0.0] * 3]


def test_a_variable_only_written() -> None:
    s, x = shared(np.zeros(2), "s"), T.dvector("x")
    f = function([x], updates={s: x * 2})
    f([1, 2, 3])
    assert s.get_value().tolist() == [2.0, 4.0, 6.0]


def test_an_update_with_itself() -> None:
    s = shared(np.arange(3.0), "s")
    function([], updates={s: s})()
    assert s.get_value().tolist() == [0.0, 1.0, 2.0]


def test_300_shared_variables() -> None:
    """A function of many shared variables: none is mixed up, results stay distinct."""
    many = [shared(float(i)) for i in range(300)]
    f = function([], many, updates=[(s, t + 0.5) for s, t in zip(many, many[::-1], strict=True)])
    first, second = f(), f()
    assert [float(r) for r in first] == list(range(300))
    assert [float(r) for r in second] == [299.5 - i for i in range(300)]
    assert len({r.__array_interface__["data"][0] for r in (*first, *second)}) == 600


# ---- default updates ----


def counter(value: float = 0.0) -> Any:
    s = shared(value, "counter")
    s.default_update = s + 1
    return s


def test_default_update_runs_with_every_function() -> None:
    s = counter()
    f, g = function([], s), function([], s * 10)
    assert [float(f()), float(g()), float(f())] == [0.0, 10.0, 2.0]


def test_default_update_needs_the_variable_to_be_used() -> None:
    s, t = counter(), shared(1.0)
    function([], t)()
    assert s.get_value() == 0.0


def test_default_update_through_an_update() -> None:
    """Used by an update alone is used; so is a variable that another's default update reads."""
    s, t = counter(), shared(0.0, "t")
    function([], updates={t: t + s})()
    assert s.get_value() == 1.0
    first = counter(5.0)
    second = shared(0.0, "second")
    second.default_update = first * 2
    function([], second)()
    assert second.get_value() == 10.0
    assert first.get_value() == 6.0


def test_explicit_update_wins() -> None:
    s = counter()
    f = function([], s, updates={s: s + 100})
    f()
    assert s.get_value() == 100.0


NO_DEFAULTS: dict[str, tuple[Callable[[Any, Any], Any], tuple[float, float]]] = {
    "False": (lambda a, b: False, (1.0, 1.0)),
    "True": (lambda a, b: True, (0.0, 0.0)),
    "list": (lambda a, b: [a], (0.0, 1.0)),
    "tuple": (lambda a, b: (b,), (1.0, 0.0)),
    "all": (lambda a, b: [a, b], (0.0, 0.0)),
    "empty": (lambda a, b: [], (1.0, 1.0)),
}


@pytest.mark.parametrize("case", NO_DEFAULTS)
def test_no_default_updates(case: str) -> None:
    a, b = counter(), counter()
    given, expected = NO_DEFAULTS[case]
    function([], a + b, no_default_updates=given(a, b))()
    assert (float(a.get_value()), float(b.get_value())) == expected


def test_no_default_updates_keeps_explicit_ones() -> None:
    s, t = counter(), shared(0.0)
    function([], s, updates={t: t + 1}, no_default_updates=True)()
    assert (float(s.get_value()), float(t.get_value())) == (0.0, 1.0)


def test_default_update_in_a_branch_not_taken() -> None:
    """A default update belongs to the function, not to the branch: it always happens."""
    from graphc.ifelse import ifelse

    s, c = counter(), T.dscalar("c")
    f = function([c], ifelse(c > 0, s, c))
    f(-1.0)
    assert s.get_value() == 1.0


def test_default_update_of_a_variable_behind_an_input() -> None:
    """An input cuts the graph: what is behind it is not used."""
    s = counter()
    behind = s * 2
    assert function([behind], behind + 1)(5) == 6.0
    assert s.get_value() == 0.0


def test_default_update_of_a_clone_happens_once() -> None:
    """Two variables on one cell: the value is updated once, explicitly or by default."""
    s = counter()
    twin = s.clone("twin")
    function([], s + twin)()
    assert s.get_value() == twin.get_value() == 1.0
    function([], s + twin, updates={twin: twin + 10})()
    assert s.get_value() == 11.0


def test_givens_hold_for_default_updates() -> None:
    s, step = shared(0.0, "s"), T.dscalar("step")
    s.default_update = s + step
    function([], s, givens={step: 5.0})()
    assert s.get_value() == 5.0


def test_default_update_of_another_type_is_an_error() -> None:
    s = shared(0, "s")
    s.default_update = s + 0.5
    with pytest.raises(TypeError, match="the update of s has another dtype"):
        function([], s)


# ---- private state ----


def accumulator() -> Any:
    inc, state = T.dscalar("inc"), T.dscalar("state")
    f = function([inc, In(state, value=10.0, update=state + inc)], state * 2)
    return f, inc, state


def test_private_state() -> None:
    f, _, state = accumulator()
    assert [float(f(1)), float(f(2)), float(f(inc=3))] == [20.0, 22.0, 26.0]
    assert f[state] == f["state"] == f.value[state] == f.value["state"] == 16.0
    assert f.container[state].value == f.container["state"].data == 16.0
    f[state] = 1
    assert f(0) == 2.0
    f["state"] = 2
    assert f(0) == 4.0
    f.value[state] = 3
    assert f(0) == 6.0
    f.container["state"].value = np.array(4.0)
    assert f(0) == 8.0
    assert list(f.value) == ["state"]


def test_private_state_passed_for_one_call() -> None:
    """The update starts from what was passed."""
    f, _, state = accumulator()
    assert f(1, 100) == 200.0
    assert f[state] == 101.0
    assert f(1, state=5) == 10.0
    assert f[state] == 6.0


def test_private_state_keeps_its_type() -> None:
    f, _, state = accumulator()
    for bad in ([1.0], "x", None, 1j):
        with pytest.raises(TypeError, match="state"):
            f[state] = bad
    assert f[state] == 10.0
    v = T.fvector("v")
    g = function([In(v, value=[1, 2], update=v * 2)], v)
    g()
    assert g[v].dtype == np.float32
    g[v] = [5]
    assert g().tolist() == [5.0]


def test_reading_state_gives_a_copy() -> None:
    v = T.dvector("v")
    f = function([In(v, value=[1.0, 2.0])], v.sum())
    f[v][:] = 100
    f.value["v"][:] = 100
    assert f() == 3.0
    mine = np.ones(2)
    f[v] = mine
    mine[:] = 100
    assert f() == 2.0


def test_default_is_copied() -> None:
    v = T.dvector("v")
    mine = np.ones(2)
    f = function([In(v, value=mine)], v)
    out = f()
    mine[:] = 100
    out[:] = 100
    assert f().tolist() == [1.0, 1.0]


def test_each_function_has_its_own_state() -> None:
    state = T.dscalar("state")
    entry = In(state, value=0.0, update=state + 1)
    f, g = function([entry], state), function([entry], state)
    assert [float(f()), float(f()), float(f()), float(g())] == [0.0, 1.0, 2.0, 0.0]
    h = function([entry], state, allow_input_downcast=True)
    assert h() == 0.0


def test_two_functions_share_a_container() -> None:
    state, amount = T.dscalar("state"), T.dscalar("amount")
    up = function([In(state, value=0.0, update=state + 1)], state)
    down = function([amount, In(state, value=up.container[state], update=state - amount)], state)
    up()
    up()
    assert down(5) == 2.0
    assert up() == -3.0
    assert down[state] == up[state] == -2.0


def test_unknown_state() -> None:
    f, inc, _ = accumulator()
    for key in (inc, "inc", "nothing", T.dscalar("state")):
        with pytest.raises(KeyError, match=r"no input .* with a value; inputs that have one: state"):
            f[key]
        with pytest.raises(KeyError, match="with a value"):
            f[key] = 1


def test_state_and_shared_swap() -> None:
    state, s = T.dscalar("state"), shared(1.0, "s")
    f = function([In(state, value=2.0, update=s)], [state, s], updates={s: state})
    assert [float(r) for r in f()] == [2.0, 1.0]
    assert (f[state], s.get_value()) == (1.0, 2.0)


def test_state_of_float32_from_python_floats() -> None:
    x = T.fscalar("x")
    with pytest.raises(TypeError, match="without risking loss of precision"):
        In(x, value=0.1)
    assert function([In(x, value=0.1, allow_downcast=True)], x)() == np.float32(0.1)
    with config.change_flags(floatX="float32"):
        assert function([In(x, value=0.1)], x)() == np.float32(0.1)
