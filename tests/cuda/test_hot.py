"""The short way of calls whose arguments are on the device, and the memory of their results."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from benchmarks.steps import T_AND, X_AND, and_function
from graphc import function, shared
from graphc.backends.cupy.calls import MOST_COPIED
from graphc.backends.cupy.chosen import standing_in
from graphc.backends.cupy.cuda import CupyBuffer, CupyDevice
from graphc.backends.cupy.hot import OnTheDevice
from tests.cuda.host_device import compiler
from tests.cuda.test_host_rules import Counting

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ compiles the kernels for the CPU")

N = 140  # products of such matrices are cuBLAS's, so that a step is several launches


@pytest.fixture(autouse=True)
def device() -> Iterator[Counting]:
    with standing_in(made := Counting()):
        yield made


def small(backend: str) -> Any:
    """A step that is one launch."""
    return and_function(graphc, T, T.grad, {"backend": backend})


def large(backend: str) -> Any:
    """A step that is several."""
    x, y, w = T.dmatrix("x"), T.dvector("y"), shared(np.full((2, N), 0.1), "w")
    out = T.tanh(T.dot(T.dot(x, w), T.dot(w.T, w)))
    outputs = [out.sum(axis=1), (out.sum(axis=1) * y).sum()]
    return function([x, y], outputs, updates={w: w * 0.5 + out.max(axis=0)}, backend=backend)


STEPS: dict[str, Callable[[str], Any]] = {"one launch": small, "several launches": large}


def way_of(f: Any) -> Any:
    """The short way that the next call may take."""
    hot = f._latest.executable._hot.hot
    return None if hot is None else hot.way


def view_of(results: list[Any]) -> Any:
    return results[0][1:]


def memory_of(results: list[Any]) -> Any:
    return results[0].memory


# What the user keeps of the results of every call.
KEEPS: dict[str, Callable[[list[Any]], Any]] = {
    "nothing": lambda results: None,
    "all": list,
    "one": lambda results: results[1],
    "a view": view_of,
    "memory": memory_of,
    "a weak reference": lambda results: weakref.ref(results[0]),
}


def host(kept: Any) -> Any:
    """The values of what was kept."""
    if isinstance(kept, list):
        return [host(x) for x in kept]
    return kept.get() if hasattr(kept, "get") else np.array(kept)


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("step", STEPS)
def test_what_the_user_has_is_not_written_again(device: Counting, step: str, keep: str) -> None:
    f, reference = STEPS[step]("cupy"), STEPS[step]("numpy")
    given = device.asarray(X_AND), device.asarray(T_AND)
    kept: list[Any] = []
    expected: list[Any] = []
    for _ in range(8):
        results, wanted = f(*given), reference(X_AND, T_AND)
        for got, want in zip(results, wanted, strict=True):
            np.testing.assert_allclose(got.get(), want, rtol=1e-12)
        kept.append(KEEPS[keep](results))
        del results, got
        expected.append({"all": wanted, "one": wanted[1]}.get(keep, wanted[0][1:] if keep == "a view" else wanted[0]))
    if keep == "a weak reference":
        assert all(ref() is None for ref in kept[:-2])
    elif keep != "nothing":
        for got, want in zip(map(host, kept), expected, strict=True):
            for left, right in zip(got, want, strict=True) if keep == "all" else [(got, want)]:
                np.testing.assert_allclose(left, right, rtol=1e-12)


@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_allocated_recorded_or_waited_for(device: Counting, step: str) -> None:
    f = STEPS[step]("cupy")
    given = device.asarray(X_AND), device.asarray(T_AND)
    for _ in range(8):
        result = f(*given)
    assert isinstance(way_of(f), OnTheDevice)
    before = Counter(device.asked)
    for _ in range(5):
        result = f(*given)  # that of the call before is held while the next one is made
    assert not device.since(before)
    assert result is not None


def test_results_that_are_kept_do_not_keep_a_step_from_being_recorded(device: Counting) -> None:
    """They come from a fixed place, by a copy."""
    f = large("cupy")
    given = device.asarray(X_AND), device.asarray(T_AND)
    costs = [f(*given) for _ in range(4)]
    before = Counter(device.asked)
    launched = len(device.launches)
    costs += [f(*given) for _ in range(4)]
    device.synchronize()
    assert device.since(before)["record"] == 0
    assert len(device.launches) > launched
    reference = large("numpy")
    for found in costs:
        for got, want in zip(found, reference(X_AND, T_AND), strict=True):
            np.testing.assert_allclose(got.get(), want, rtol=1e-12)


def other_values(device: Counting, f: Any, x: Any, target: Any) -> tuple[Any, Any]:
    x[...] = X_AND * 2
    return x, target


def other_array(device: Counting, f: Any, x: Any, target: Any) -> tuple[Any, Any]:
    return device.asarray(X_AND + 1), target


def other_layout(device: Counting, f: Any, x: Any, target: Any) -> tuple[Any, Any]:
    """Another array that begins where the last one did."""
    columns = np.lib.stride_tricks.as_strided(x.memory, x.shape, (8, 8 * len(X_AND)))
    return type(x)(device, columns), target


def other_place(device: Counting, f: Any, x: Any, target: Any) -> tuple[Any, Any]:
    return X_AND, T_AND


def one_on_the_host(device: Counting, f: Any, x: Any, target: Any) -> tuple[Any, Any]:
    return x, T_AND


def other_weights(device: Counting, f: Any, x: Any, target: Any) -> tuple[Any, Any]:
    f.get_shared()[0].set_value(np.array([0.5, -3.0]))
    return x, target


def own_result(device: Counting, f: Any, x: Any, target: Any) -> tuple[Any, Any]:
    return x, f(x, target)[0]


def fewer_rows(device: Counting, f: Any, x: Any, target: Any) -> tuple[Any, Any]:
    return x[:3], target[:3]


OTHERS = (
    other_values, other_array, other_layout, other_place, one_on_the_host, other_weights, own_result, fewer_rows,
)  # fmt: skip


@pytest.mark.parametrize("change", OTHERS, ids=lambda change: change.__name__)
def test_calls_that_are_not_like_the_last(device: Counting, change: Callable[..., tuple[Any, Any]]) -> None:
    f = small("cupy")
    given = device.asarray(X_AND), device.asarray(T_AND)
    for _ in range(4):
        f(*given)
    assert isinstance(way_of(f), OnTheDevice)
    given = change(device, f, *given)
    reference = small("numpy")
    for mine, other in zip(reference.get_shared(), f.get_shared(), strict=True):
        mine.set_value(other.get_value())
    for _ in range(4):
        values = [host(value) for value in given]
        for got, want in zip(f(*given), reference(*values), strict=True):
            np.testing.assert_allclose(host(got), want, rtol=1e-12)
    for mine, other in zip(reference.get_shared(), f.get_shared(), strict=True):
        np.testing.assert_allclose(other.get_value(), mine.get_value(), rtol=1e-12)


def test_memory_goes_with_the_function(device: Counting) -> None:
    f = small("cupy")
    given = device.asarray(X_AND), device.asarray(T_AND)
    for _ in range(6):
        f(*given)
    (block, _), *_ = way_of(f).blocks
    gone = weakref.ref(block.arrays[0])
    del block, f
    gc.collect()
    assert gone() is None


def test_large_results_are_not_kept(device: Counting) -> None:
    x, w = T.dvector("x"), shared(1.0, "w")
    f = function([x], x * w, updates={w: w + 1}, backend="cupy")
    given = device.asarray(np.ones(MOST_COPIED // 8 + 1))
    for i in range(6):
        assert f(given).get()[0] == i + 1.0
    assert way_of(f) is None


# ---- with CuPy's own arrays, in memory of the host ----


def test_marks_and_uses_of_cupy_arrays() -> None:
    cupy = pytest.importorskip("cupy", exc_type=ImportError)
    memory = np.arange(8.0)
    there = cupy.cuda.UnownedMemory(memory.ctypes.data, memory.nbytes, memory, 0)
    buffer = CupyBuffer(cupy.cuda.MemoryPointer(there, 0))
    device: Any = SimpleNamespace(_cupy=cupy)
    arrays = [CupyDevice.array(device, buffer, at, "float64", (2, 2)) for at in (0, 32)]
    first = CupyDevice.mark(device, arrays[0])
    assert first is not None
    assert first == CupyDevice.mark(device, arrays[0].reshape(2, 2))
    for other in (arrays[1], arrays[0].T, arrays[0].reshape(4), arrays[0].view("int64"), arrays[0][:1], memory):
        assert CupyDevice.mark(device, other) != first
    free = CupyDevice.uses(device, buffer, arrays)
    keeps: list[Callable[[Any], Any]] = [
        lambda x: x, lambda x: x[1:], lambda x: x.T, lambda x: x.data, lambda x: x.data + 8, weakref.ref,
    ]  # fmt: skip
    for keep in keeps:
        kept = keep(arrays[1])
        assert CupyDevice.uses(device, buffer, arrays) != free
        del kept
        assert CupyDevice.uses(device, buffer, arrays) == free
    arrays[0].shape = (4,)
    assert CupyDevice.uses(device, buffer, arrays) != free
