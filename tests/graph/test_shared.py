"""`shared`: from which values, and what its variable may be given later."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import SharedVariable, config, function, shared
from graphc.dtypes import ALL
from graphc.graph.shared import Cell, Exclusive

HERE = Path(__file__).name

VALUES: list[tuple[Any, str, int]] = [
    (1.5, "float64", 0),
    (3, "int64", 0),
    (True, "bool", 0),
    (1j, "complex128", 0),
    (np.float32(1), "float32", 0),
    (np.int8(1), "int8", 0),
    (np.bool_(True), "bool", 0),
    (np.array(1.0), "float64", 0),
    ([1, 2], "int64", 1),
    ([1.0, 2], "float64", 1),
    ((1, 2), "int64", 1),
    ([[1, 2], [3, 4]], "int64", 2),
    ([], "float64", 1),
    ([True], "bool", 1),
    (range(3), "int64", 1),
    (2**63, "uint64", 0),
    (np.zeros((1, 2, 3), "uint16"), "uint16", 3),
    (np.zeros((0, 3), "float16"), "float16", 2),
    (np.array([1.0], ">f8"), "float64", 1),
    (np.ma.array([1.0]), "float64", 1),
]


@pytest.mark.parametrize("value, dtype, ndim", VALUES, ids=lambda v: str(v)[:20])
def test_shared_of_a_value(value: Any, dtype: str, ndim: int) -> None:
    s = shared(value, name="s")
    assert isinstance(s, SharedVariable)
    assert (s.dtype, s.ndim, s.name) == (dtype, ndim, "s")
    assert s.broadcastable == (False,) * ndim, "an array of length 1 may become longer"
    out = s.get_value()
    assert type(out) is np.ndarray
    assert out.dtype == dtype
    assert out.dtype.isnative
    np.testing.assert_array_equal(out, np.asarray(value))
    np.testing.assert_array_equal(s.eval(), np.asarray(value))


@pytest.mark.parametrize("floatX", ["float32", "float64"])
def test_floatX_does_not_decide(floatX: str) -> None:
    """A shared float is float64 as in Theano; programs write floatX themselves."""
    with config.change_flags(floatX=floatX):
        assert shared(1.0).dtype == "float64"
        assert shared(np.asarray(1.0, dtype=config.floatX)).dtype == floatX
        assert shared([0.5]).dtype == "float64"


REFUSED: dict[str, Any] = {
    "str": "text",
    "bytes": b"text",
    "list of str": ["a", "b"],
    "None": None,
    "list of None": [None],
    "object": object(),
    "dict": {"a": 1},
    "set": {1, 2},
    "function": len,
    "ragged list": [[1, 2], [3]],
    "huge int": 2**70,
    "dates": np.array(["2020-01-01"], "datetime64[D]"),
    "record": np.zeros(2, [("a", "f8")]),
    "object array": np.array([1, None]),
    "long double": np.zeros(2, np.longdouble),
    "variable": T.dscalar("x"),
    "list of variables": [T.dscalar("x"), T.dscalar("y")],
    "shared variable": shared(1.0, "other"),
    "constant": T.constant(1.0),
    "type": float,
}


@pytest.mark.parametrize("case", REFUSED)
def test_shared_refuses(case: str) -> None:
    if case == "long double" and np.dtype(np.longdouble) == np.float64:
        pytest.skip("long double is double on this platform")
    with pytest.raises(TypeError) as caught:
        shared(REFUSED[case])
    text = str(caught.value)
    assert len(text.splitlines()) <= 15
    assert "shared()" in text
    assert HERE in text


# ---- whose memory ----


def test_shared_copies_unless_borrowed() -> None:
    memory = np.zeros(3)
    own, lent = shared(memory), shared(memory, borrow=True)
    memory[0] = 5
    assert own.get_value()[0] == 0.0
    assert lent.get_value()[0] == 5.0
    assert lent.get_value(borrow=True) is memory


def test_get_value_copies_unless_borrowed() -> None:
    s = shared(np.zeros(3))
    s.get_value()[0] = 5
    assert s.get_value()[0] == 0.0
    assert s.get_value(borrow=True) is s.get_value(borrow=True)
    assert s.get_value(borrow=True, return_internal_type=True) is s.container.value
    s.get_value(borrow=True)[0] = 5
    assert s.get_value()[0] == 5.0, "borrowed memory is the variable's own"
    scalar = shared(1.0)
    scalar.get_value()[...] = 5
    assert scalar.get_value() == 1.0


def test_set_value_copies_unless_borrowed() -> None:
    s, memory = shared(np.zeros(3)), np.ones(3)
    s.set_value(memory)
    memory[0] = 5
    assert s.get_value()[0] == 1.0
    s.set_value(memory, borrow=True)
    assert s.get_value(borrow=True) is memory


@pytest.mark.parametrize("view", ["whole", "slice", "transposed", "reversed", "subclass"])
def test_set_value_never_keeps_the_users_memory(view: str) -> None:
    memory = np.arange(6.0).reshape(2, 3)
    part = {
        "whole": memory,
        "slice": memory[:, ::2],
        "transposed": memory.T,
        "reversed": memory[::-1],
        "subclass": memory.view(np.recarray),
    }[view]
    s, t = shared(np.zeros((2, 2))), shared(part)
    s.set_value(part)
    expected = np.array(part)
    memory[:] = -1
    np.testing.assert_array_equal(s.get_value(), expected)
    np.testing.assert_array_equal(t.get_value(), expected)


def test_one_value_for_all_functions() -> None:
    s = shared(1.0, "s")
    up, look = function([], updates={s: s + 1}), function([], s)
    up()
    assert look() == 2.0
    s.set_value(10)
    up()
    assert look() == 11.0
    assert s.container.data == 11.0


# ---- new values ----


def test_set_value_may_change_the_shape() -> None:
    s = shared(np.zeros((2, 3)), "s")
    f = function([], [s.sum(), s.shape[0], s.T])
    for shape in ((4, 5), (1, 1), (0, 3), (2, 3), (3, 0)):
        s.set_value(np.ones(shape))
        total, rows, transposed = f()
        assert (total, rows, transposed.shape) == (shape[0] * shape[1], shape[0], shape[::-1])


KEPT: dict[str, Any] = {
    "fewer axes": np.zeros(3),
    "more axes": np.zeros((1, 2, 3)),
    "number": 1.0,
    "complex": np.zeros((2, 3), complex),
    "text": "text",
    "None": None,
    "list of lists of text": [["a"]],
    "variable": T.dmatrix("x"),
    "ragged": [[1], [2, 3]],
}


@pytest.mark.parametrize("case", KEPT)
def test_set_value_keeps_dtype_and_rank(case: str) -> None:
    s = shared(np.zeros((2, 3)), "weights")
    for borrow in (False, True):
        with pytest.raises(TypeError, match=rf"shared variable weights: (.|\n)*{HERE}"):
            s.set_value(KEPT[case], borrow=borrow)
    assert s.get_value().tolist() == [[0.0] * 3] * 2
    s.set_value([[1, 2]])
    assert s.get_value().dtype == np.float64
    s.set_value(np.ones((1, 1), "float32"))
    assert s.get_value().dtype == np.float64


def test_strict_and_downcast() -> None:
    strict = shared(np.zeros(2), strict=True)
    for value in ([1.0, 2.0], np.zeros(2, "float32"), np.zeros(2, int)):
        with pytest.raises(TypeError, match="strict"):
            strict.set_value(value)
    strict.set_value(np.ones(3))
    narrow, loose = shared(np.float32(0)), shared(np.float32(0), allow_downcast=True)
    with pytest.raises(TypeError, match="precision"):
        narrow.set_value(np.array(0.1))
    loose.set_value(np.array(0.1))
    assert loose.get_value() == np.float32(0.1)
    never = shared(np.float32(0), allow_downcast=False)
    with config.change_flags(floatX="float32"):
        narrow.set_value(0.1)
        with pytest.raises(TypeError, match="precision"):
            never.set_value(0.1)


def test_fixed_sizes() -> None:
    row = shared(np.ones((1, 3)), broadcastable=(True, False))
    assert row.broadcastable == (True, False)
    row.set_value(np.ones((1, 7)))
    with pytest.raises(TypeError, match="expected size 1 on axis 0"):
        row.set_value(np.ones((2, 3)))
    three = shared(np.ones((2, 3)), shape=(None, 3))
    assert three.type.shape == (None, 3)
    three.set_value(np.ones((5, 3)))
    with pytest.raises(TypeError, match="expected size 3 on axis 1"):
        three.set_value(np.ones((3, 4)))
    with pytest.raises(TypeError, match="expected size 1"):
        shared(np.ones((2, 3)), broadcastable=(True, False))
    with pytest.raises(TypeError, match="axes"):
        shared(np.ones((2, 3)), broadcastable=(True,))


def test_zero() -> None:
    for dtype in ALL:
        s = shared(np.ones((2, 2), dtype))
        before = s.get_value(borrow=True)
        s.zero()
        assert not s.get_value().any()
        assert s.get_value().dtype == dtype
        assert before.all(), "an array that somebody may hold is not written"


# ---- copies ----


def test_clone_and_copy_share_the_cell() -> None:
    s = shared(1.0, "s")
    for twin in (s.clone(), copy.copy(s)):
        assert twin is not s
        twin.set_value(5.0)
        assert s.get_value() == 5.0
        s.set_value(1.0)
    assert s.clone("other").name == "other"
    other = copy.deepcopy(s)
    other.set_value(9.0)
    assert s.get_value() == 1.0


def test_repr() -> None:
    assert repr(shared(1.0, "w")) == "w"
    assert "float64" in repr(shared(1.0))


# ---- exclusive use ----


def _free(cells: list[Cell]) -> bool:
    """Whether another thread can have them all."""
    taken: list[bool] = []

    def take() -> None:
        for cell in cells:
            taken.append(cell.lock.acquire(timeout=1))
            cell.lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return all(taken) and not any(cell.running for cell in cells)


def test_a_call_has_the_cells_for_itself() -> None:
    cells = [Cell(0), Cell(1)]
    exclusive = Exclusive([*cells, cells[0]])

    def within() -> bool:
        assert all(cell.running for cell in cells)
        return exclusive.call(all, [cell.running for cell in cells]) and all(cell.running for cell in cells)

    assert exclusive.call(within)
    assert _free(cells)
    with pytest.raises(ZeroDivisionError):
        exclusive.call(divmod, 1, 0)
    assert _free(cells)


class _Alarm(Exception):
    pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such timer on Windows")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an alarm that was lost, see below
def test_an_interrupt_leaves_no_cell_taken() -> None:
    def handler(*_: Any) -> None:
        raise _Alarm

    def calls(turn: int) -> None:
        signal.setitimer(signal.ITIMER_REAL, 1e-4 + turn * 1e-7)
        # An end, because what is raised in a callback, of a weak reference or the garbage collector's, is lost.
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            exclusive.call(int)

    cells = [Cell(0) for _ in range(12)]
    exclusive = Exclusive(cells)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        for turn in range(500):
            with contextlib.suppress(_Alarm):
                calls(turn)  # a function of its own: `with` does not cover the jump back of a `while` in it
            assert not any(cell.running for cell in cells)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert _free(cells)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_child_of_a_fork_has_all_cells() -> None:
    """A call under way in another thread goes on in the parent only."""
    w = shared(1.0)
    cell = w.container
    begun, end = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        end.wait(60)

    other = threading.Thread(target=Exclusive([cell]).call, args=(wait,))
    other.start()
    begun.wait(60)
    child = os.fork()
    if not child:
        os._exit(0 if not cell.running and cell.lock.acquire(timeout=5) else 3)
    _, status = os.waitpid(child, 0)
    end.set()
    other.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert _free([cell])
