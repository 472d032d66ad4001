"""Updates of a few elements: made where the array is if nobody else has it, else in a copy; and never half of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import function, shared
from graphc.backends.llvm import capi, native, work
from graphc.backends.llvm.native import LARGE_BYTES
from graphc.compile.function import Function

pytestmark = pytest.mark.skipif(not capi.supported(), reason="no native entry on this Python")

i = T.lvector("i")
v = T.dmatrix("v")
big = T.dvector("big")
ROWS = np.array([3, 5, 3])
VALUES = np.arange(12.0).reshape(3, 4)

# Small calls, and such as go to the entry for large work.
SIZES = {"small": 10, "large": LARGE_BYTES // 8 + 1}


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> Any:
    return np.ones(SIZES[request.param])


def start() -> Any:
    return shared(np.zeros((20, 4)), name="w")


def adding(w: Any) -> Function:
    return function([i, v, big], big[0], updates=[(w, T.inc_subtensor(w[i], v))], backend="llvm")


def added(value: Any, times: int = 1) -> Any:
    value = value.copy()
    for _ in range(times):
        np.add.at(value, ROWS, VALUES)
    return value


def address(w: Any) -> int:
    found: int = w.container.value.ctypes.data
    return found


def test_nothing_is_copied(size: Any) -> None:
    w = start()
    f = adding(w)
    before = address(w)
    for times in range(1, 15):  # past the calls of a draft
        f(ROWS, VALUES, size)
        assert address(w) == before
        assert (w.get_value() == added(np.zeros((20, 4)), times)).all()


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "the array": lambda a: a,
    "a view": lambda a: a[2:6],
    "a buffer": memoryview,
    "an array that shares its memory": lambda a: np.frombuffer(a, a.dtype),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_what_others_hold_stays_as_it_is(name: str, size: Any) -> None:
    w = start()
    f = adding(w)
    f(ROWS, VALUES, size)
    held = HOLDERS[name](w.get_value(borrow=True))
    kept = w.get_value()
    before = np.array(held)
    f(ROWS, VALUES, size)
    assert (np.asarray(held) == before).all()
    assert (w.get_value() == added(kept)).all()
    del held
    f(ROWS, VALUES, size)
    moved = address(w)
    f(ROWS, VALUES, size)
    assert address(w) == moved
    assert (w.get_value() == added(kept, 3)).all()


def test_the_array_as_an_argument_of_the_same_call(size: Any) -> None:
    w = start()
    f = function([i, v, big], v.sum() + big[0], updates=[(w, T.inc_subtensor(w[i], v[:3]))], backend="llvm")
    f(ROWS, VALUES, size)
    value = w.get_value(borrow=True)
    expected = value.copy()
    np.add.at(expected, ROWS, expected[:3])
    total = value.sum()
    assert f(ROWS, value, size) == total + 1
    assert (w.get_value() == expected).all()


def test_what_is_not_ours_to_write(size: Any) -> None:
    """Read-only arrays, views, and arrays of two variables."""
    whole = np.zeros((40, 4))
    locked = np.zeros((20, 4))
    locked.flags.writeable = False
    for value in (whole[:20], locked):
        w = shared(value, borrow=True)
        f = adding(w)
        del value
        f(ROWS, VALUES, size)
        assert (w.get_value() == added(np.zeros((20, 4)))).all()
    assert not whole.any()
    assert not locked.any()
    both = np.zeros((20, 4))
    one, other = shared(both, borrow=True), shared(both, borrow=True)
    del both
    adding(one)(ROWS, VALUES, size)
    assert not other.get_value().any()


@pytest.mark.parametrize("wrong", [20, -21, 10**12])
def test_a_bad_index_changes_nothing(wrong: int, size: Any) -> None:
    w, u = start(), shared(np.zeros(7), name="u")
    updates = [(w, T.inc_subtensor(w[i], v)), (u, T.set_subtensor(u[i], 1.0))]
    f = function([i, v, big], big[0], updates=updates, backend="llvm")
    f(ROWS, VALUES, size)
    kept = w.get_value()
    for rows in (np.array([1, 2, wrong]), np.array([wrong, 2, 1]), np.array([0, 19, 1])):  # the last is one of w only
        with pytest.raises(IndexError, match=r"IncSubtensor|SetSubtensor"):
            f(rows, VALUES, size)
        assert (w.get_value() == kept).all()
        assert u.get_value().tolist() == [0, 0, 0, 1, 0, 1, 0]
    f(ROWS, VALUES, size)
    assert (w.get_value() == added(kept)).all()


def test_all_of_a_call_in_place_or_nothing(size: Any) -> None:
    """One array is held by somebody, so both are copied."""
    w, u = start(), start()
    updates = [(w, T.inc_subtensor(w[i], u[i])), (u, T.inc_subtensor(u[i], v))]
    f = function([i, v, big], big[0], updates=updates, backend="llvm")
    f(ROWS, VALUES, size)
    held, places = u.get_value(borrow=True), (address(w), address(u))
    old_w, old_u = w.get_value(), u.get_value()
    f(ROWS, VALUES, size)
    expected = old_w.copy()
    np.add.at(expected, ROWS, old_u[ROWS])
    assert (w.get_value() == expected).all()
    assert (u.get_value() == added(old_u)).all()
    assert (held == old_u).all()
    assert address(w) != places[0]
    assert address(u) != places[1]


def test_much_work_is_not_done_in_a_commit(monkeypatch: pytest.MonkeyPatch, size: Any) -> None:
    """It would hold up signals and other threads."""
    monkeypatch.setattr("graphc.backends.llvm.commit.MOST_COMMITTED", 12345)
    w = shared(np.zeros((2000, 8)))
    f = function([i, big], big[0], updates=[(w, T.inc_subtensor(w[i], 1.0))], backend="llvm")
    few, many = np.arange(10), np.arange(2000)
    f(few, size)
    before = address(w)
    f(few, size)
    assert address(w) == before
    f(many, size)
    assert address(w) != before
    assert w.get_value()[:, 0].tolist() == [3.0] * 10 + [1.0] * 1990


def test_both_entries_are_native() -> None:
    w = start()
    f = function([i, v], T.exp(v).sum(axis=0), updates=[(w, T.inc_subtensor(w[i], v))], backend="llvm")
    (variant,) = f.variants.values()
    executable: Any = variant.executable
    assert executable.program.in_place
    assert executable._larger.program.in_place


def test_the_limit_is_some_milliseconds() -> None:
    assert 1e-3 < work.MOST_COMMITTED * 1e-10 < 1e-1


@pytest.mark.parametrize("way", native.WAYS)
def test_every_way_in_gives_the_same(way: str, monkeypatch: pytest.MonkeyPatch, size: Any) -> None:
    monkeypatch.setenv(native.FORCED, way)
    w = start()
    f = adding(w)
    before = address(w)
    for _ in range(4):
        assert f(ROWS, VALUES, size) == 1
    assert (w.get_value() == added(np.zeros((20, 4)), 4)).all()
    assert way != "native" or address(w) == before


def test_threads_that_read_see_no_half_of_an_update() -> None:
    """Every row that is added to has the same number everywhere."""
    w = shared(np.zeros((200, 4)))
    write = function([i, big], big[0], updates=[(w, T.inc_subtensor(w[i], 1.0))], backend="llvm")
    read = function([], [w.min(), w.max()], backend="llvm")
    everything, size = np.arange(200), np.ones(SIZES["large"])
    ended, wrong = threading.Event(), []

    def look() -> None:
        while not ended.is_set():
            low, high = read()
            value = w.get_value()
            if low != high or value.min() != value.max():
                wrong.append((low, high))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(150):
        write(everything, size if turn % 3 == 0 else size[:1])
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert (w.get_value() == 150).all()


def test_many_threads_lose_no_update(size: Any) -> None:
    w = start()
    f = adding(w)

    def work() -> None:
        for _ in range(50):
            f(ROWS, VALUES, size)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (w.get_value() == added(np.zeros((20, 4)), 200)).all()


def test_sizes_that_change() -> None:
    w = start()
    f = adding(w)
    for rows in (3, 20, 100, 5):
        w.set_value(np.zeros((rows, 4)))
        at = np.array([0, rows - 1])
        f(at, np.ones((2, 4)), np.ones(1))
        expected = np.zeros((rows, 4))
        np.add.at(expected, at, np.ones((2, 4)))
        assert (w.get_value() == expected).all()
    f(np.array([], "int64"), np.ones((0, 4)), np.ones(1))
    assert (w.get_value() == expected).all()


def test_calls_leak_nothing() -> None:
    w = start()
    f = adding(w)
    one, rows = np.ones(1), ROWS.copy()
    for _ in range(2000):
        f(rows, VALUES, one)
    references = sys.getrefcount(w.container.value)
    assert references == 2
    references = sys.getrefcount(rows)
    assert references == 2
