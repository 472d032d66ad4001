"""The native entry: every call gives what the way through Python gives, and nothing is written that somebody holds."""

from __future__ import annotations

import ctypes
import pickle
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc import In, function, shared
from graphc.backends.llvm import capi, entry, native
from graphc.backends.llvm.native import WAYS
from graphc.compile.function import Function
from graphc.errors import ShapeError
from tests.backends.llvm import programs
from tests.backends.llvm.functions import DOUBLE, SUM, adding, counter, doubling, moving, outcome
from tests.backends.llvm.programs import calling_back, copying, elementwise, through

pytestmark = pytest.mark.skipif(not capi.supported(), reason="no native entry on this Python")


@pytest.fixture(params=[way for way in WAYS if way != "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(native.FORCED, request.param)
    return str(request.param)


# ---- arguments ----

SWAPPED = np.arange(3.0).astype(">f8")
UNPICKLED = pickle.loads(pickle.dumps(np.arange(3.0)))


class Subclass(np.ndarray[Any, Any]):
    pass


VECTORS: list[tuple[Any, bool]] = [
    (np.arange(3.0), True),
    (np.zeros(0), True),
    (UNPICKLED, True),
    (np.frombuffer(np.arange(3.0).tobytes()), True),
    (np.arange(6.0)[::2], False),
    (np.arange(3.0)[::-1], False),
    (SWAPPED, False),
    (np.arange(3.0).view(Subclass), False),
    (np.arange(3, dtype="float32"), False),
    (np.arange(3), False),
    ([1, 2, 3], False),
    (np.zeros((2, 2)), False),
    (np.zeros(3, complex), False),
    (np.zeros(3, "longdouble"), False),
    (1.0, False),
    (None, False),
    ("text", False),
    (T.dvector(), False),
]


@pytest.mark.parametrize("value, native", VECTORS, ids=lambda v: str(type(v).__name__))
def test_vectors(value: Any, native: bool, way: str) -> None:
    f, hybrid = doubling()
    expected = outcome(lambda: Function.__call__(f, value))
    before = hybrid.slow_calls
    assert outcome(lambda: f(value)) == expected
    assert not native or hybrid.slow_calls == before
    if not native and "Error" not in expected:
        assert hybrid.slow_calls == before + 1


def test_unaligned() -> None:
    f, hybrid = doubling()
    odd = np.zeros(25, np.uint8)[1:].view(np.float64)
    assert not odd.flags.aligned
    assert f(odd).tolist() == [0.0, 0.0, 0.0]
    assert hybrid.slow_calls == 1


# None: not where arrays are asked for buffers.
NUMBERS: list[tuple[Any, bool | None]] = [
    (1.5, True),
    (float("inf"), True),
    (3, True),
    (-(2**62) - 1, True),
    (np.float64(2.5), None),
    (np.array(2.5), True),
    (np.array(2.5, "float32"), False),
    (np.float32(2.5), False),
    (np.int64(3), False),
    (2**64, False),
    (2**5000, False),
    (True, False),
    (1j, False),
    (np.zeros(1), False),
    ([], False),
]


@pytest.mark.parametrize("value, native", NUMBERS, ids=lambda v: str(v)[:20])
def test_numbers(value: Any, native: bool | None, way: str) -> None:
    native = way != "buffer" if native is None else native
    x = T.dscalar("x")
    f = function([x], x + x, backend="numpy")
    hybrid = through(f, elementwise([0], [0], DOUBLE))
    expected = outcome(lambda: Function.__call__(f, value))
    before = hybrid.slow_calls
    assert outcome(lambda: f(value)) == expected
    assert hybrid.slow_calls == before if native else "Error" in expected or hybrid.slow_calls == before + 1


@pytest.mark.parametrize("ndim", [0, 1, 3])
@pytest.mark.parametrize("dtype", capi.DTYPES)
def test_dtypes(dtype: str, ndim: int) -> None:
    x = graphc.TensorType(dtype, shape=(None,) * ndim)("x")
    f = function([x], x, backend="numpy")
    hybrid = through(f, copying(dtype, ndim))
    value = np.arange(24).reshape({0: (24,), 1: (24,), 3: (2, 3, 4)}[ndim]).astype(dtype)
    value = value if ndim else value[1:2].reshape(())
    for given in (value, value + np.ones((), dtype)) if ndim else (value, np.dtype(dtype).type(1)):
        result = f(given)
        assert type(result) is np.ndarray
        assert result.dtype == dtype
        assert result.shape == np.shape(given)
        assert np.array_equal(result, given)
    assert hybrid.slow_calls == 0


@pytest.mark.parametrize(
    "value, native", [(1, True), (-1, True), (2**63 - 1, True), (np.int64(4), True), (2**63, False), (1.0, False)]
)
def test_integers(value: Any, native: bool) -> None:
    x = T.lscalar("x")
    f = function([x], x, backend="numpy")
    hybrid = through(f, copying("int64", 0))
    expected = outcome(lambda: Function.__call__(f, value))
    before = hybrid.slow_calls
    assert outcome(lambda: f(value)) == expected
    assert hybrid.slow_calls == before if native else "Error" in expected or hybrid.slow_calls == before + 1


def test_ways_to_call(way: str) -> None:
    f, _ = adding(value=np.ones(2))
    y = np.array([1.0, 2.0])
    calls: list[Callable[[], Any]] = [
        lambda: f(y, y),
        lambda: f(y, y=y),
        lambda: f(y=y, x=y),
        lambda: f(y=y),
        lambda: f(y, y, y),
        lambda: f(),
        lambda: f(y, x=y),
        lambda: f(y, y, z=y),
        lambda: f(y, np.zeros(3)),
        lambda: f(*[y, y], **{}),
    ]
    native = [outcome(call) for call in calls]
    f.__class__ = Function
    assert [outcome(call) for call in calls] == native


def test_sizes_that_are_fixed() -> None:
    f, hybrid = adding(shape=(3,))
    assert f(np.ones(3), np.ones(3))[1] == 6
    assert hybrid.slow_calls == 0
    with pytest.raises(TypeError, match="expected size 3 on axis 0"):
        f(np.ones(4), np.ones(4))


def test_strict_inputs_take_no_numbers() -> None:
    x = T.dscalar("x")
    f = function([In(x, strict=True)], x + x, backend="numpy")
    hybrid = through(f, elementwise([0], [0], DOUBLE))
    assert f(np.array(2.0)) == 4
    assert hybrid.slow_calls == 0
    for number in (2.0, 2, np.float64(2)):
        with pytest.raises(TypeError, match="strict=True"):
            f(number)


def test_trusted_arguments() -> None:
    f, hybrid = doubling()
    f.trust_input = True
    assert f(np.arange(3.0)).tolist() == [0, 2, 4]
    assert hybrid.slow_calls == 0
    assert f(np.arange(6.0)[::2]).tolist() == [0, 4, 8]
    assert hybrid.slow_calls == 1


def test_forms_of_results(way: str) -> None:
    x = T.dscalar("x")
    code = "  %r0 = fadd double %x0, 1.0\n  %r1 = fmul double %x0, 2.0\n"
    for outputs, count in (([], 0), ([x + 1], 1), ([x + 1, x * 2], 2), ({"a": x + 1, "b": x * 2}, 2), (x + 1, 1)):
        f = function([x], outputs, backend="numpy", on_unused_input="ignore")
        expected = Function.__call__(f, 3.0)
        hybrid = through(f, elementwise([0], [0] * count, code))
        assert repr(f(3.0)) == repr(expected)
        assert hybrid.slow_calls == 0


# ---- results are new arrays, or may be taken for such ----


def test_results_that_are_kept_stay_as_they_are() -> None:
    f, hybrid = doubling()
    kept = [f(np.full(3, float(i))) for i in range(50)]
    assert [a.tolist() for a in kept] == [[2.0 * i] * 3 for i in range(50)]
    assert len({a.ctypes.data for a in kept}) == 50
    assert hybrid.slow_calls == 0


def test_results_that_are_dropped_are_used_again() -> None:
    f, _ = doubling()
    x = np.ones(3)
    seen = set()
    for _ in range(50):
        out = f(x)
        seen.add(out.ctypes.data)
        assert out.tolist() == [2, 2, 2]
    assert len(seen) == 2


def _frozen(a: Any) -> None:
    a.flags.writeable = False


def _reshaped(a: Any) -> None:
    a.shape = (3, 1)


def _retyped(a: Any) -> None:
    a.dtype = np.int64


CHANGES: dict[str, Callable[[Any], Any]] = {
    "view": lambda a: a[1:],
    "buffer": memoryview,
    "weak reference": weakref.ref,
    "frozen": _frozen,
    "reshaped": _reshaped,
    "retyped": _retyped,
    "resized": lambda a: a.resize(5, refcheck=False),
    "iterator": iter,
    "other name": lambda a: a,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", CHANGES)
def test_results_that_somebody_can_tell_are_not_used_again(name: str) -> None:
    f, _ = doubling()
    held = []
    for i in range(6):
        out = f(np.full(3, float(i)))
        assert (type(out), out.dtype, out.shape, out.tolist()) == (np.ndarray, np.float64, (3,), [2.0 * i] * 3)
        assert out.flags.writeable
        assert out.flags.owndata
        held.append(CHANGES[name](out))
    if name in ("view", "buffer"):
        assert [np.asarray(part)[-1] for part in held] == [2.0 * i for i in range(6)]


def test_memory_is_given_back() -> None:
    f, hybrid = doubling()
    gone = weakref.ref(f(np.ones(3)))
    assert gone() is not None  # kept for a later call
    f.free()
    assert gone() is None
    assert f(np.ones(3)).tolist() == [2, 2, 2]
    assert hybrid.slow_calls == 0


def test_large_results_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(entry._NUMBERS, "kept_bytes", 1000)
    uncached: Any = entry.machine_code
    code = uncached.__wrapped__(True)
    monkeypatch.setattr(native, "machine_code", lambda arrays=True: code)
    f, hybrid = doubling()
    small, large = weakref.ref(f(np.ones(125))), weakref.ref(f(np.ones(126)))
    assert small() is not None
    assert large() is None
    assert hybrid.slow_calls == 0


# ---- updates ----


def test_updates_take_turns_with_two_arrays(way: str) -> None:
    f, w, hybrid = moving()
    x = np.ones(3)
    seen = set()
    for i in range(1, 20):
        assert f(x).tolist() == [2.0 * i] * 3
        assert w.get_value().tolist() == [float(i)] * 3
        seen.add(w.get_value(borrow=True).ctypes.data)
    assert hybrid.slow_calls == 0
    assert way == "buffer" or len(seen) == 2


def test_a_borrowed_value_stays_as_it_is() -> None:
    f, w, _ = moving()
    x = np.ones(3)
    held = []
    for _i in range(6):
        held.append(w.get_value(borrow=True))
        f(x)
    assert [a.tolist() for a in held] == [[float(i)] * 3 for i in range(6)]
    mine = np.full(3, 7.0)
    w.set_value(mine, borrow=True)
    f(x)
    f(x)
    assert mine.tolist() == [7, 7, 7]
    assert w.get_value().tolist() == [9, 9, 9]


def test_values_that_are_set() -> None:
    f, w, hybrid = moving()
    w.set_value(np.ones(5))
    assert f(np.ones(5)).tolist() == [4.0] * 5
    assert w.get_value().tolist() == [2.0] * 5
    w.set_value(np.arange(10.0)[::2], borrow=True)
    assert f(np.ones(5)).tolist() == [2, 6, 10, 14, 18]
    assert hybrid.slow_calls == 1


def test_an_argument_that_is_the_shared_array() -> None:
    f, w, hybrid = moving()
    w.set_value(np.ones(3))
    for i in range(1, 6):
        assert f(w.get_value(borrow=True)).tolist() == [2.0 ** (i + 1)] * 3
        assert w.get_value().tolist() == [2.0**i] * 3
    view = w.get_value(borrow=True)[:]
    f(view)
    assert view.tolist() == [32.0] * 3
    assert hybrid.slow_calls == 0


def test_two_variables_on_one_array() -> None:
    mine = np.ones(2)
    v, w = shared(mine, "v", borrow=True), shared(mine, "w", borrow=True)
    f = function([], [], updates=[(v, v + w), (w, w + w)], backend="numpy")
    hybrid = through(f, elementwise([1, 1], [1, 1], "  %r0 = fadd double %x0, %x1\n  %r1 = fadd double %x1, %x1\n"))
    f()
    f()
    assert (v.get_value().tolist(), w.get_value().tolist(), mine.tolist()) == ([4, 4], [4, 4], [1, 1])
    assert hybrid.slow_calls == 0


def test_numbers_are_returned_as_they_were_before_the_update(way: str) -> None:
    f, hybrid = counter()
    assert [float(f(1.0)) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert hybrid.slow_calls == 0


def test_private_state() -> None:
    x, total = T.dscalar("x"), T.dscalar("total")
    f = function([x, In(total, value=0.0, update=total + x)], total, backend="numpy")
    hybrid = through(f, elementwise([0, 0], [0, 0], "  %r0 = fadd double %x1, 0.0\n  %r1 = fadd double %x1, %x0\n"))
    assert [float(f(1.0)) for _ in range(3)] == [0, 1, 2]
    assert hybrid.slow_calls == 3
    assert f(1.0, 10.0) == 10
    assert hybrid.slow_calls == 3
    assert f.value[total] == 11


# ---- failures ----


def test_a_body_that_fails_is_followed_by_the_slow_path() -> None:
    f, w, hybrid = moving()
    through(f, calling_back(hybrid.program, lambda: 1))
    before = w.get_value(borrow=True)
    references = sys.getrefcount(before)
    assert f(np.ones(3)).tolist() == [2, 2, 2]
    assert w.get_value().tolist() == [1, 1, 1]
    assert sys.getrefcount(before) == references - 1


def test_a_body_that_raises() -> None:
    x = T.dvector("x")
    f = function([x], [x + x], backend="numpy")
    program = elementwise([1], [1], DOUBLE)
    raising = ctypes.pythonapi.PyErr_NoMemory
    code = programs.module(
        "declare ptr @PyErr_NoMemory()\n"
        "define i32 @body(ptr %f) {\n  %nothing = call ptr @PyErr_NoMemory()\n  ret i32 1\n}",
        ["body"],
        PyErr_NoMemory=capi.address(raising),
    )
    hybrid = through(f, replace(program, body=code["body"], keep=(program, code)))
    value = np.ones(3)
    references = sys.getrefcount(value)
    for _ in range(100):
        with pytest.raises(MemoryError):
            f(value)
    assert hybrid.slow_calls == 0
    assert sys.getrefcount(value) == references


def test_results_that_are_too_large() -> None:
    """NumPy refuses; the slow path decides."""
    x = T.dvector("x")
    f = function([x], [x + x], backend="numpy")
    program = elementwise([1], [1], DOUBLE)
    huge = replace(program.results[0], sizes=(1 << 60,))
    for changed in (
        replace(program, results=(huge,)),
        replace(program, temporaries=(replace(huge, slot=0),)),
        replace(program, temporaries=(replace(huge, slot=0, sizes=(1 << 40, 1 << 40)),)),
    ):
        hybrid = through(f, changed)
        assert f(np.ones(2))[0].tolist() == [2, 2]
        assert hybrid.slow_calls == 1


def test_another_variant() -> None:
    x, y = T.dvector("x"), T.dvector("y")
    f = function([x, y], x + y, backend="numpy")
    hybrid = through(f, elementwise([1, 1], [1], SUM))
    assert f(np.ones(3), np.ones(3)).tolist() == [2, 2, 2]
    assert hybrid.slow_calls == 0
    assert f(np.ones(1), np.ones(3)).tolist() == [2, 2, 2]  # compiled for NumPy
    assert hybrid.slow_calls == 1
    assert len(f.variants) == 2
    assert f(np.ones(3), np.ones(3)).tolist() == [2, 2, 2]  # back to the first
    before = hybrid.slow_calls
    assert f(np.ones(3), np.ones(3)).tolist() == [2, 2, 2]
    assert hybrid.slow_calls == before
    assert len(f._fast) == 2
    with pytest.raises(ShapeError, match="sizes 2 and 3 do not agree"):
        f(np.ones(2), np.ones(3))
