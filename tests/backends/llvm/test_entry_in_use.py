"""The native entry in use: calls within calls, threads, functions as objects, what is kept, and other Pythons."""

from __future__ import annotations

import copy
import ctypes
import gc
import inspect
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc import function, shared
from graphc.backends.llvm import capi, entry, native
from graphc.backends.llvm.native import WAYS
from graphc.compile.function import Function
from graphc.errors import ShapeError
from tests.backends.llvm import programs
from tests.backends.llvm.functions import DOUBLE, adding, counter, doubling, moving
from tests.backends.llvm.programs import calling_back, elementwise, through

pytestmark = pytest.mark.skipif(not capi.supported(), reason="no native entry on this Python")


@pytest.fixture(params=[way for way in WAYS if way != "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(native.FORCED, request.param)
    return str(request.param)


# ---- calls within calls, and threads ----


def test_a_call_within_a_call() -> None:
    x = T.dvector("x")
    f = function([x], x + x, backend="numpy")
    depth, inner = [0], []

    def again() -> int:
        depth[0] += 1
        if depth[0] < 3:
            inner.append(f(np.full(2, float(depth[0]))))
        return 0

    hybrid = through(f, calling_back(elementwise([1], [1], DOUBLE), again), atomic=False)
    assert f(np.full(4, 5.0)).tolist() == [10] * 4
    assert [a.tolist() for a in inner] == [[2, 2]]
    assert hybrid.slow_calls == 1


def test_programs_that_call_python_and_update_are_called_through_python() -> None:
    f, w, hybrid = moving()
    through(f, hybrid.program, atomic=False)
    f(np.ones(3))
    assert w.get_value().tolist() == [1, 1, 1]
    assert type(f).__call__ is Function.__call__


def in_threads(works: list[Callable[[], None]]) -> None:
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.fixture
def quick_switches() -> Any:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switches")
def test_eight_threads() -> None:
    f, hybrid = counter()
    g, _ = doubling()

    def work() -> None:
        for i in range(3000):
            f(1.0)
            assert g(np.full(3, float(i))).tolist() == [2.0 * i] * 3

    in_threads([work] * 8)
    assert f(0.0) == 24_000
    assert hybrid.slow_calls == 0


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("others", [["native", "python"], ["python", "other cells"]])
def test_functions_that_share_a_variable(others: list[str]) -> None:
    count = shared(0.0, name="count")
    f, _ = counter(count)
    step, more = T.dscalar(), shared(0.0)
    through_python = function([step], [], updates=[(count, count + step)], backend="numpy")
    with_others = function([step], [], updates=[(count, count + step), (more, more + count)], backend="numpy")
    known = {"native": counter(count)[0], "python": through_python, "other cells": with_others}

    def work(g: Any, n: int) -> Callable[[], None]:
        def calls() -> None:
            for _ in range(n):
                g(1.0)

        return calls

    in_threads([work(f, 20_000), work(f, 20_000), *(work(known[name], 1000) for name in others)])
    assert f(0.0) == 42_000
    assert not count.container.running


@pytest.mark.usefixtures("quick_switches")
def test_large_work_lets_other_threads_run_and_updates_exactly() -> None:
    n = (native.LARGE_BYTES >> 4) + 1
    w, x = shared(np.zeros(n), name="w"), T.dvector("x")
    f = function([x], (w + x)[0], updates=[(w, w + x)], backend="numpy")
    code = "  %r1 = fadd double %x1, %x0\n  %r0 = fadd double %r1, 0.0\n"
    hybrid = through(f, elementwise([1, 1], [0, 1], code))
    g = function([], [], updates=[(w, w + 1)], backend="numpy")
    ones, seen = np.ones(n), []

    def work() -> None:
        for _ in range(20):
            seen.append(float(f(ones)))

    def other() -> None:
        for _ in range(20):
            g()

    in_threads([work, work, other])
    assert hybrid.slow_calls < 40  # those that met another on its way
    assert w.get_value().tolist() == [60.0] * n
    assert len(set(seen)) == 40


def test_large_work_runs_beside_other_calls() -> None:
    """A result is written while another thread calls the same function and gives back its memory."""
    x = T.dvector("x")
    f = function([x], x + x, backend="numpy")
    program = elementwise([1], [1], DOUBLE)
    code = programs.module(
        "declare i32 @usleep(i32)\ndeclare i32 @inner(ptr)\ndefine i32 @body(ptr %f) {\n"
        "  %slept = call i32 @usleep(i32 100000)\n  %status = call i32 @inner(ptr %f)\n  ret i32 %status\n}",
        ["body"],
        usleep=capi.address(ctypes.CDLL(None).usleep),
        inner=program.body,
    )
    hybrid = through(f, replace(program, body=code["body"], keep=(program, code)))
    value = np.ones(native.LARGE_BYTES >> 3)
    for i in range(1, 5):
        results: list[float] = []
        thread = threading.Thread(target=lambda into=results: into.append(f(value)[-1]))
        thread.start()
        threading.Event().wait(0.02)
        assert not results
        f.free()
        assert f(value)[-1] == 2  # in a frame of its own
        assert hybrid.slow_calls == i
        thread.join()
        assert results == [2.0]
        f(value)  # leaves an array to use again


@pytest.mark.usefixtures("quick_switches")
def test_memory_that_is_given_back_while_variables_are_updated() -> None:
    n = (native.LARGE_BYTES >> 4) + 1
    w, x = shared(np.zeros(n), name="w"), T.dvector("x")
    f = function([x], [w + x], updates=[(w, w + x)], backend="numpy")
    code = "  %r1 = fadd double %x1, %x0\n  %r0 = fadd double %r1, 0.0\n"
    hybrid = through(f, elementwise([1, 1], [1, 1], code))
    ones, stop = np.ones(n), threading.Event()

    def frees() -> None:
        while not stop.is_set():
            f.free()

    thread = threading.Thread(target=frees)
    thread.start()
    for i in range(1, 60):
        (result,) = f(ones)
        assert result.min() == result.max() == i
    stop.set()
    thread.join()
    assert hybrid.slow_calls == 0
    assert w.get_value().tolist() == [59.0] * n


# ---- functions as objects ----


def test_functions_are_still_functions(way: str) -> None:
    f, _ = adding()
    x = np.ones(2)
    assert isinstance(f, graphc.Function)
    assert type(f).__name__ == "Function"
    assert type(f).__mro__[1] is graphc.Function
    assert repr(f) == "<graphc.Function>"
    assert str(inspect.signature(f)) == "(*args, **kwargs)"
    for twin in (copy.copy(f), copy.deepcopy(f), pickle.loads(pickle.dumps(f)), f.copy()):
        assert isinstance(twin, graphc.Function)
        assert [r.tolist() for r in twin(x, x)] == [[2, 2], 4]
    assert weakref.ref(f)() is f


def test_dropped_functions_are_freed(way: str) -> None:
    f, hybrid = doubling()
    f.extra = f  # type: ignore[attr-defined]
    out = f(np.ones(3))
    call = f.__call__
    gone: list[Callable[[], Any]] = [weakref.ref(f), weakref.ref(hybrid)]
    del f, hybrid
    gc.collect()
    assert call(np.ones(3)).tolist() == [2, 2, 2]  # which keeps all it needs
    del call
    gc.collect()
    assert [reference() for reference in gone] == [None] * 2
    assert out.tolist() == [2, 2, 2]


def test_profiled_calls_are_counted() -> None:
    x = T.dvector("x")
    f = function([x], x + x, backend="numpy", profile=True)
    hybrid = through(f, elementwise([1], [1], DOUBLE))
    f(np.ones(3))
    assert f.profile is not None
    assert f.profile.fcn_callcount == 1
    assert hybrid.slow_calls == 1


# ---- what is kept ----


def resident() -> int:
    """Bytes of memory in use."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_million_calls_leave_nothing(request: pytest.FixtureRequest) -> None:
    f, w, _ = moving()
    g, _ = adding()
    h, _ = counter()
    x, strided, short = np.ones(3), np.ones(6)[::2], np.ones(2)
    wrong: tuple[Callable[[], Any], ...] = (lambda: g(x, short), lambda: g(x), lambda: f(None))

    def calls(n: int) -> None:
        for _ in range(n):
            f(x)
            g(x, x)
            g(x, x)
            h(1.0)
        for _ in range(n // 100):
            f(strided)
            g(x, y=x)
            for bad in wrong:
                with pytest.raises((TypeError, ShapeError)):
                    bad()

    calls(2000)
    gc.collect()
    references = [sys.getrefcount(a) for a in (x, strided, short, None, np.dtype("float64"), w.container)]
    before = resident()
    rounds = 10 if request.config.getoption("--full") else 2
    for _ in range(rounds):
        calls(25_000)
    gc.collect()
    after = [sys.getrefcount(a) for a in (x, strided, short, None, np.dtype("float64"), w.container)]
    assert all(abs(a - b) < 50 for a, b in zip(references, after, strict=True))
    assert resident() - before < 2 << 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_entries_that_are_dropped_leave_nothing(request: pytest.FixtureRequest) -> None:
    f, _, _ = moving()
    x = np.ones(3)

    def make(n: int) -> None:
        for _ in range(n):
            f._fast.clear()
            f._use(f._latest)
            f(x)

    make(500)
    gc.collect()
    before = resident()
    make(100_000 if request.config.getoption("--full") else 5000)
    gc.collect()
    assert resident() - before < 1 << 20


# ---- when objects do not look as expected ----


def test_offsets_are_as_expected() -> None:
    offsets = capi.offsets()
    assert offsets is not None
    assert capi.objects_agree(offsets)
    assert capi.arrays_agree(offsets)


@pytest.mark.parametrize(
    "field",
    """object.references object.type array.data array.ndim array.dims array.base array.descr array.flags array.weakrefs
    descr.order descr.number""".split(),
)
def test_the_self_test_notices(field: str) -> None:
    offsets = capi.offsets()
    assert offsets is not None
    wrong = dict(offsets) | {field: offsets[field] + (1 if field.startswith("descr") else 8)}
    assert not (capi.objects_agree(wrong) and capi.arrays_agree(wrong))


def test_arrays_that_look_otherwise_are_asked_for_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    real = entry.machine_code
    monkeypatch.setattr(native, "machine_code", lambda arrays=True: None if arrays else real(False))
    f, hybrid = doubling()
    assert f(np.ones(3)).tolist() == [2, 2, 2]
    assert hybrid.slow_calls == 0


def test_without_offsets_functions_are_called_through_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "machine_code", lambda arrays=True: None)
    f, hybrid = doubling()
    assert type(f) is Function
    assert f(np.ones(3)).tolist() == [2, 2, 2]
    assert hybrid.slow_calls == 1


def test_the_way_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.FORCED, "python")
    assert type(doubling()[0]) is Function
    monkeypatch.setenv(native.FORCED, "teleport")
    with pytest.raises(ValueError, match="GRAPHC_ENTRY=teleport: it is one of native, buffer, python"):
        doubling()
