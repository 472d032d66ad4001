"""A call that fails, whatever the reason, leaves every shared variable and every private state as it was."""

from __future__ import annotations

import gc
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc.tensor as T
from graphc import In, Variable, function, shared
from graphc.errors import MAX_LINES, ShapeError
from graphc.ifelse import ifelse
from tests.compile.programs import Calls, Sloppy, fails

HERE = Path(__file__).name


class OwnError(Exception):
    """An exception of a user's."""


class TwoArguments(Exception):
    """An exception that cannot be made from a message alone."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code


V, I = T.dvector("v"), T.lscalar("i")  # noqa: E741
M = T.dmatrix("m")

GOOD = {"v": np.arange(3.0), "i": 1, "m": np.ones((3, 3))}


class Failure(NamedTuple):
    """An expression of rank 1 that fails, for which arguments, how; nothing is wrong with GOOD unless `always`."""

    expression: Callable[[], Variable]
    bad: dict[str, Any]
    error: type[BaseException]
    match: str


FAILURES: dict[str, Failure] = {
    "index": Failure(lambda: V[I] + V, {"i": 3}, IndexError, "out of bounds"),
    "negative index": Failure(lambda: V[I] + V, {"i": -4}, IndexError, "out of bounds"),
    "gather": Failure(lambda: V[T.stack([I, 0, 1])], {"i": 7}, IndexError, "out of bounds"),
    "write": Failure(lambda: T.set_subtensor(V[I], 1.0), {"i": 3}, IndexError, "out of bounds"),
    "accumulate": Failure(lambda: T.inc_subtensor(V[T.stack([I])], 1.0), {"i": 3}, IndexError, "out of bounds"),
    "elementwise": Failure(lambda: (V + M).sum(0), {"m": np.ones((2, 4))}, ShapeError, "sizes 3 and 4|sizes 4 and 3"),
    "dot": Failure(lambda: T.dot(M, V), {"m": np.ones((3, 4))}, ShapeError, "sizes 4 and 3|sizes 3 and 4"),
    "reshape": Failure(lambda: V.reshape((I, 3)).sum(0), {"i": 2}, ValueError, "reshape|sizes"),
    "negative size": Failure(lambda: T.zeros((I,)) + V.sum(), {"i": -1}, ValueError, "negative|size"),
    "join": Failure(lambda: T.join(1, M, V.dimshuffle(0, "x"))[0], {"m": np.ones((2, 2))}, ShapeError, "sizes"),
    "mask": Failure(lambda: V[V > 0] + M[0, :2], {"v": np.ones(3)}, ShapeError, "sizes 3 and 2|sizes 2 and 3"),
    "argument": Failure(lambda: V * I, {"i": 1.5}, TypeError, r"bad argument for input 1 \(i\)"),
    "ZeroDivisionError": Failure(lambda: V + fails(ZeroDivisionError("1 // 0"))(I), {}, ZeroDivisionError, "1 // 0"),
    "ValueError": Failure(lambda: fails(ValueError("mine"))(V), {}, ValueError, "mine"),
    "KeyError": Failure(lambda: fails(KeyError("mine"))(V), {}, KeyError, "mine"),
    "AssertionError": Failure(lambda: fails(AssertionError("mine"))(V), {}, AssertionError, "mine"),
    "own exception": Failure(lambda: fails(OwnError("mine"))(V), {}, OwnError, "mine"),
    "exception of two arguments": Failure(lambda: fails(TwoArguments(7, "mine"))(V), {}, TwoArguments, "mine"),
    "LinAlgError": Failure(lambda: fails(np.linalg.LinAlgError("mine"))(V), {}, np.linalg.LinAlgError, "mine"),
    "UnicodeError": Failure(lambda: fails(UnicodeDecodeError("utf8", b"x", 0, 1, "mine"))(V), {}, UnicodeError, "mine"),
    "StopIteration": Failure(lambda: fails(StopIteration("mine"))(V), {}, StopIteration, "mine"),
    "OSError": Failure(lambda: fails(FileNotFoundError(2, "mine"))(V), {}, FileNotFoundError, "mine"),
    "MemoryError": Failure(lambda: fails(MemoryError("mine"))(V), {}, MemoryError, "mine"),
    "RecursionError": Failure(lambda: fails(RecursionError("mine"))(V), {}, RecursionError, "mine"),
    "KeyboardInterrupt": Failure(lambda: fails(KeyboardInterrupt())(V), {}, KeyboardInterrupt, "^$"),
    "SystemExit": Failure(lambda: fails(SystemExit(3))(V), {}, SystemExit, "3"),
    "wrong rank": Failure(lambda: Sloppy(lambda a: a.sum())(V), {}, TypeError, "perform returned"),
    "no array": Failure(lambda: Sloppy(lambda a: "text")(V), {}, ValueError, "text|convert"),
    "taken branch": Failure(lambda: ifelse(I > 2, fails(ValueError("mine"))(V), V), {"i": 3}, ValueError, "mine"),
    "condition": Failure(lambda: ifelse(V[I] > 0, V, V * 2), {"i": 3}, IndexError, "out of bounds"),
}  # fmt: skip


def stays(x: Any, held: Any) -> bool:
    """Whether the value is the object it was; the first call on a GPU may have moved an array there."""
    now = x.container.value
    return now is held or (isinstance(held, np.ndarray) and not isinstance(now, np.ndarray))


@pytest.mark.parametrize("place", ["first update", "last update", "output"])
@pytest.mark.parametrize("case", FAILURES)
def test_all_or_nothing(case: str, place: str) -> None:
    failure = FAILURES[case]
    a, b, c = shared(np.ones(3), "a"), shared(5.0, "b"), shared(np.zeros(3), "c")
    state = T.dscalar("state")
    good = {a: a * 2, b: b + V.sum(), c: V * 2}
    expression = failure.expression()
    updates: dict[Any, Variable] = dict(good)
    if place == "first update":
        updates = {shared(np.ones(1), "first"): expression, **good}
    if place == "last update":
        updates[shared(np.ones(1), "last")] = expression
    outputs = [expression, a + V] if place == "output" else [a + V, b * 2]
    inputs = [V, I, M, In(state, value=1.0, update=state + 1)]
    f = function(inputs, outputs, updates=updates, on_unused_input="ignore")
    fails_always = not failure.bad
    watched = [a, b, c, *(x for x in updates if x not in (a, b, c))]

    def snapshot() -> list[Any]:
        return [x.get_value() for x in watched] + [f[state].copy()]

    for _ in range(2):
        before = snapshot()
        held = [x.container.value for x in watched]
        with pytest.raises(failure.error, match=failure.match) as caught:
            f(**{**GOOD, **failure.bad})
        for now, then in zip(snapshot(), before, strict=True):
            np.testing.assert_array_equal(now, then)
        assert all(stays(x, h) for x, h in zip(watched, held, strict=True))
        text = str(caught.value)
        assert len(text.splitlines()) <= MAX_LINES
        if not isinstance(caught.value, KeyboardInterrupt | SystemExit):
            assert HERE in text, "the message names the line that built the node"
        if not fails_always:  # and the function still works
            f(**GOOD)
            assert f[state] == before[-1] + 1
            np.testing.assert_array_equal(a.get_value(), before[0] * 2)
            np.testing.assert_array_equal(b.get_value(), before[1] + 3)


def test_the_cause_is_kept() -> None:
    error = OwnError("mine")
    f = function([V], fails(error)(V))
    with pytest.raises(OwnError) as caught:
        f(GOOD["v"])
    assert caught.value.__cause__ is error
    with pytest.raises(TwoArguments) as other:
        function([V], fails(TwoArguments(7, "mine"))(V))(GOOD["v"])
    assert other.value.code == 7
    assert other.value.args == (7, "mine")


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("name", ["argmax", "argmin", "max"])
@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_an_error_names_the_op_that_was_written(backend: str, name: str, axis: int | None) -> None:
    """The backend may compute it through others."""
    f = function([M], getattr(M, name)(axis=axis), backend=backend)
    with pytest.raises(ValueError, match=rf"^{name.capitalize()}(\{{.*\}})?: "):
        f(np.ones((0, 0)))


TOO_LARGE: dict[str, Callable[[Variable], Variable]] = {
    "result": lambda n: T.alloc(V[0] * 2, n, n),
    "temporary": lambda n: T.dot(T.alloc(V[0] * 2, n, n), T.alloc(V[0], n, 1)),
    "elementwise": lambda n: T.tanh(T.arange(n, dtype="float64").dimshuffle(0, "x") + T.arange(n)),
}


@pytest.mark.parametrize("case", TOO_LARGE)
@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_an_array_that_is_too_large_is_named_with_its_line(backend: str, case: str) -> None:
    line = TOO_LARGE[case].__code__.co_firstlineno
    f = function([I, V], TOO_LARGE[case](I), backend=backend, on_unused_input="ignore")
    n = 2**23
    with pytest.raises(MemoryError) as caught:
        f(n, np.ones(1))
    text = str(caught.value)
    assert re.match(r"\w+(\{.*\})?: ", text)
    assert f'built at File "{__file__}", line {line}' in text
    assert "float64" in text
    assert str((n, n)) in text
    assert len(text.splitlines()) <= MAX_LINES


def test_locks_are_free_after_an_interrupt() -> None:
    """Otherwise the next call from another thread would wait for ever."""
    import threading

    s = shared(np.zeros(3), "s")
    f = function([V], updates={s: s + fails(KeyboardInterrupt())(V)})
    g = function([V], updates={s: s + V})
    with pytest.raises(KeyboardInterrupt):
        f(GOOD["v"])
    thread = threading.Thread(target=g, args=(GOOD["v"],), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert s.get_value().tolist() == [0.0, 1.0, 2.0]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer to interrupt with")
def test_an_interrupt_from_outside() -> None:
    """Ctrl-C at any moment of a loop of calls: `a` and `b` are updated together or not at all."""
    program = """
import signal
import numpy as np
import graphc
import graphc.tensor as T

a, b = graphc.shared(np.zeros(3), "a"), graphc.shared(np.zeros(3), "b")
f = graphc.function([], a.sum(), updates={a: T.tanh(a * 0) + a + 1, b: b + 1})
signal.signal(signal.SIGALRM, signal.default_int_handler)

def calls():  # `try` does not cover the jump back of a `while` in it
    while True:
        f()

for turn in range(50):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.003 + turn / 3e4)
        calls()
    except KeyboardInterrupt:
        pass
    assert (a.get_value() == b.get_value()).all(), (turn, a.get_value(), b.get_value())
assert a.get_value()[0] > 50
print("consistent")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "consistent", done.stderr


def test_no_memory_is_kept_by_an_error() -> None:
    """The array of a failed call is freed with its exception."""
    import weakref

    class Tracked(np.ndarray):
        pass

    f = function([V], Calls(lambda value: int("mine"))(V))
    array = np.ones(3).view(Tracked)
    gone = weakref.ref(array)
    with pytest.raises(ValueError, match="mine"):
        f(array)
    del array
    gc.collect()
    assert gone() is None


def test_a_guard_in_a_branch_not_taken_does_not_fire() -> None:
    x, y, c = T.dvector("x"), T.dvector("y"), T.dscalar("c")
    f = function([c, x, y], ifelse(c > 0, (x + y).sum(), x.sum() * 10))
    assert f(1, [1, 2], [3, 4]) == 10.0
    assert f(-1, [1, 2], [3, 4, 5]) == 30.0
    assert f(-1, [1, 2], [3]) == 30.0
    assert f(1, [1, 2], [3]) == 9.0
    with pytest.raises(ShapeError, match=rf"add: sizes 2 and 3(.|\n)*x: (.|\n)*y: (.|\n)*{HERE}"):
        f(1, [1, 2], [3, 4, 5])
    assert f(1, [1, 2], [3, 4]) == 10.0


def test_nested_branches_and_their_guards() -> None:
    x, y = T.dvector("x"), T.dvector("y")
    c, d = T.dscalars("c", "d")
    inner = ifelse(d > 0, (x * y).sum(), x[5])
    f = function([c, d, x, y], [ifelse(c > 0, inner, y.sum()), ifelse(c > 0, x.sum(), T.dot(x, y))])
    three, two = [1.0, 2.0, 3.0], [1.0, 1.0]
    assert [float(r) for r in f(1, 1, three, three)] == [14.0, 6.0]
    with pytest.raises(IndexError):
        f(1, -1, three, two)
    with pytest.raises(ShapeError):
        f(1, 1, three, two)
    with pytest.raises(ShapeError):
        f(-1, 1, three, two)
    assert [float(r) for r in f(-1, -1, two, two)] == [2.0, 2.0]


def test_the_branch_not_taken_does_not_run() -> None:
    calls: list[str] = []

    def noting(name: str) -> Calls:
        return Calls(lambda v: calls.append(name))

    spy = [noting("then"), noting("else")]
    c, x = T.dscalar("c"), T.dvector("x")
    f = function([c, x], ifelse(c > 0, spy[0](x) * 2, spy[1](x) * 3))
    assert f(1, [1.0]).tolist() == [2.0]
    assert calls == ["then"]
    assert f(0, [1.0]).tolist() == [3.0]
    assert calls == ["then", "else"]


@pytest.mark.parametrize("c", [-1.0, 0.25, 1.0])
def test_gradient_of_branches_within_branches(c: float) -> None:
    """The decision for a condition may rest on another one with the same condition, and that on the first."""
    from graphc import grad
    from graphc.evaluator import evaluate

    x, y, condition = T.dvector("x"), T.dvector("y"), T.dscalar("c")
    out = ifelse(condition > 0, y, ifelse(condition > 0.5, x + x, x))
    gradients = grad(out.sum(), [x, y])
    values = {x: np.arange(3.0), y: np.ones(3), condition: np.array(c)}
    results = function([x, y, condition], gradients)(*values.values())
    for got, expected in zip(results, evaluate(gradients, values), strict=True):
        np.testing.assert_array_equal(got, expected)
