"""Functions called from many threads, and from inside themselves."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc.tensor as T
from graphc import Function, In, function, shared
from tests.compile.programs import Calls

THREADS = 8


def run_in_threads(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """`work(i)` for every i, all at once; the results in order, or the first exception."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(i: int) -> None:
        start.wait()
        try:
            results[i] = work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
        assert not t.is_alive(), "threads wait for each other"
    if errors:
        raise errors[0]
    return results


def test_updates_from_many_threads_are_as_if_one_after_the_other() -> None:
    count = shared(0, "count")
    f = function([], count, updates={count: count + 1})
    seen = run_in_threads(lambda i: [int(f()) for _ in range(300)])
    assert sorted(n for part in seen for n in part) == list(range(THREADS * 300))
    assert count.get_value() == THREADS * 300


def test_two_functions_on_the_same_variables() -> None:
    """One swaps a and b, the other moves 1 from a to b, with the locks in whatever order: the sum stays."""
    a, b = shared(np.full(50, 100.0), "a"), shared(np.zeros(50), "b")
    swap = function([], a + b, updates={a: b, b: a})
    move = function([], b + a, updates=[(b, b + 1), (a, a - 1)])
    look = function([], a + b)
    totals = run_in_threads(lambda i: [(swap, move, look)[(i + n) % 3]() for n in range(150)])
    assert all((total == 100).all() for part in totals for total in part)


def test_private_state_from_many_threads() -> None:
    state = T.lscalar("state")
    f = function([In(state, value=0, update=state + 1)], state)
    seen = run_in_threads(lambda i: [int(f()) for _ in range(200)])
    assert sorted(n for part in seen for n in part) == list(range(THREADS * 200))


def test_set_value_beside_an_update() -> None:
    """`set_value` comes before or after a whole call: the gap between `a` and `b` stays."""
    a = shared(0.0, "a")
    slow = Calls(lambda v: None)
    f = function([], a, updates={a: slow(a) + 1})
    done = threading.Event()

    def work(i: int) -> None:
        if i == 0:
            for n in range(200):
                a.set_value(1e6 * (n + 1))
                assert a.get_value() >= 1e6 * (n + 1), "a call that began before overwrote it"
            done.set()
        else:
            while not done.is_set():
                f()

    run_in_threads(work, 3)


def test_arguments_of_one_thread_are_not_seen_by_another() -> None:
    x = T.dvector("x")
    h = x
    for _ in range(10):
        h = T.tanh(h) + x
    f = function([x], h)
    expected = {i: f(np.full(1000, float(i))) for i in range(THREADS)}

    def work(i: int) -> bool:
        return all(np.array_equal(f(np.full(1000, float(i))), expected[i]) for _ in range(60))

    assert all(run_in_threads(work))


def test_many_broadcast_patterns_at_once() -> None:
    """Threads that need different variants of one function, more of them than are kept."""
    x, y, z, w = (T.dmatrix(n) for n in "xyzw")
    f = function([x, y, z, w], x + y * z - w)
    shapes = [(3, 4), (1, 4), (3, 1), (1, 1)]

    def work(i: int) -> None:
        rng = np.random.default_rng(i)
        for _ in range(25):
            a, b, c, d = (rng.normal(size=shapes[int(k)]) for k in rng.integers(0, 4, 4))
            np.testing.assert_array_equal(f(a, b, c, d), a + b * c - d)

    run_in_threads(work)


def test_a_variant_that_another_thread_has_just_left() -> None:
    """The guard that failed belongs to a variant that is no longer the present one: no reason for a ShapeError."""
    x, y = T.dvector("x"), T.dvector("y")
    f = function([x, y], x + y)
    patterns = [(1, 3), (3, 1), (3, 3), (1, 1)]

    def work(i: int) -> None:
        for n in range(400):
            a, b = patterns[(i + n) % 4]
            assert f(np.ones(a), np.ones(b)).shape == (max(a, b),)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        run_in_threads(work)
    finally:
        sys.setswitchinterval(before)


def test_compiling_in_many_threads() -> None:
    def work(i: int) -> float:
        x = T.dvector(f"x{i}")
        return float(function([x], T.sum(T.tanh(x) ** 2 + i))(np.zeros(4)))

    assert run_in_threads(work) == [4.0 * i for i in range(THREADS)]


# ---- a function that is entered while it runs ----


def test_a_function_called_from_its_own_perform() -> None:
    holder: list[Function] = []

    def again(value: Any) -> Any:
        depth = int(value.flat[0])
        return value + holder[0](value - 1) if depth > 0 else value

    x = T.dvector("x")
    holder.append(function([x], Calls(again)(T.tanh(x * 0) + x) * 1.0 + x * 0))
    assert holder[0](np.array([4.0, 4.0])).tolist() == [10.0, 10.0]


def test_updates_of_a_call_inside_a_call() -> None:
    """The inner call sees and commits the value from before; the outer commits last, from its own snapshot."""
    s = shared(1.0, "s")
    inner = function([], s, updates={s: s * 10})
    seen: list[float] = []
    x = T.dscalar("x")
    outer = function([x], s, updates={s: s + Calls(lambda v: seen.append(float(inner())))(x)})
    assert outer(5.0) == 1.0
    assert seen == [1.0]
    assert s.get_value() == 6.0


def test_results_of_an_inner_call_do_not_disturb_the_outer_one() -> None:
    holder: list[Function] = []
    x = T.dvector("x")
    t = T.exp(x)
    spy = Calls(lambda v: holder[0](v * 0) if v.any() else v)
    out = [t + 1, spy(x), t * 2, T.exp(x) - 1]
    holder.append(function([x], T.exp(x) + 1))
    f = function([x], out)
    value = np.array([1.0, 2.0])
    a, b, c, d = f(value)
    np.testing.assert_allclose(a, np.exp(value) + 1)
    np.testing.assert_allclose(b, [2.0, 2.0])
    np.testing.assert_allclose(c, np.exp(value) * 2)
    np.testing.assert_allclose(d, np.exp(value) - 1)


def test_compiling_inside_a_call() -> None:
    x, y = T.dscalar("x"), T.dscalar("y")
    f = function([x], Calls(lambda v: function([y], y * 3)(v))(x) + 1)
    assert f(2.0) == 7.0


def test_a_finaliser_that_calls_the_function() -> None:
    """Memory freed while a function runs may run user code that enters the function again."""
    x = T.dvector("x")
    s = shared(np.zeros(2), "s")
    f = function([x], x + s, updates={s: s + 1})
    seen: list[Any] = []

    class Loud:
        def __del__(self) -> None:
            seen.append(f(np.zeros(2)))

    def drop(value: Any) -> None:
        Loud()

    g = function([x], Calls(drop)(x) + s, updates={s: s + 10})
    assert g(np.zeros(2)).tolist() == [0.0, 0.0]
    assert [r.tolist() for r in seen] == [[0.0, 0.0]]
    assert s.get_value().tolist() == [10.0, 10.0]
