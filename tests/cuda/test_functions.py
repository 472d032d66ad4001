"""Functions on the device that stands for a GPU: what is no matter of one kernel.  With --backend=cupy, on a GPU."""

from __future__ import annotations

import contextlib
import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import In, function, shared
from graphc.backends.cupy.chosen import current, standing_in
from graphc.backends.cupy.commands import Copy
from graphc.errors import ShapeError
from graphc.evaluator import evaluate
from graphc.ifelse import ifelse
from tests.compile.programs import Calls, Doubled
from tests.cuda.host_device import HostDevice, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ compiles the kernels for the CPU")


class Gpu:
    """What these tests need of a device, on the GPU that is there."""

    def asarray(self, value: Any) -> Any:
        """A CuPy array."""
        import cupy

        return cupy.asarray(value)


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[HostDevice | Gpu]:
    if request.config.getoption("--backend") == "cupy":
        yield Gpu()
        return
    with standing_in(HostDevice(late=True)) as made:
        yield made


def is_there(value: Any) -> bool:
    """Whether a value is an array on a device."""
    return not isinstance(value, np.ndarray) and hasattr(value, "__cuda_array_interface__")


def first_byte(array: Any) -> int:
    """Where a device array begins."""
    return int(array.__cuda_array_interface__["data"][0])


# ---- checks ----


@pytest.mark.parametrize("columns", [0, 3])
@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
@pytest.mark.parametrize("kind", ["one", "several", "accumulated"])
def test_an_index_is_checked_though_the_result_is_empty(kind: str, write: bool, columns: int) -> None:
    x, y = T.dmatrix("x"), T.dmatrix("y")
    i = T.lscalar("i") if kind == "one" else T.lvector("i")
    out = x[i]
    if write:
        out = (T.inc_subtensor if kind == "accumulated" else T.set_subtensor)(x[i], y[0])
    f = function([x, y, i], out, backend="cupy", on_unused_input="ignore")
    value = np.zeros((5, columns))
    good, bad = (4, 7) if kind == "one" else ([0, 4], [0, 7])
    assert f(value, value, good).shape == (value[good].shape if not write else value.shape)
    with pytest.raises(IndexError, match="7 is out of bounds"):
        f(value, value, bad)


@pytest.mark.parametrize("arguments", ["host", "device"])
@pytest.mark.parametrize("size", [4, 20_000], ids=["one block", "many"])
def test_a_check_takes_no_node_and_tells_of_its_own_call_only(
    device: HostDevice | Gpu, size: int, arguments: str
) -> None:
    """In the first call, in the one that records, and in recordings; the reference is asked when a check failed."""
    w, x, i = shared(np.zeros(size), "w"), T.dvector("x"), T.lvector("i")
    f = function([x, i], x[i], updates={w: w + x}, backend="cupy")
    value, good, bad = np.arange(float(size)), np.arange(3), np.array([0, size, 1])
    given = [device.asarray(v) if arguments == "device" else v for v in (value, good, bad)]
    executable, count = None, 0
    for is_good in (True, False, True, True, True, False, False, True):
        executable = executable or getattr(f._latest, "executable", None)
        if executable is not None:
            vars(executable).pop("_reference", None)
        if is_good:
            result = f(given[0], given[1])
            np.testing.assert_array_equal(getattr(result, "get", lambda r=result: r)(), value[good])
            count += 1
        else:
            with pytest.raises(IndexError, match=f"{size} is out of bounds"):
                f(given[0], given[2])
        np.testing.assert_array_equal(w.get_value(), value * count)
        assert executable is None or ("_reference" in vars(executable)) != is_good
    made: Any = f._latest.executable
    told = [*made._last.instance.commands, *made._last.instance.commits]
    assert arguments == "host" or made.nodes == len(told) == 2, "what checks and what commits"
    assert not any(isinstance(command, Copy) for command in told) or size == 4


# ---- arrays of the user ----


def test_arguments_on_the_device(device: HostDevice | Gpu) -> None:
    """If one argument is there, so are the results; values are what NumPy's would be."""
    x, y = T.dmatrix("x"), T.dvector("y")
    f = function([x, y], [T.exp(x) + y, x.sum()], backend="cupy")
    a, b = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    wanted = [np.exp(a) + b, a.sum()]
    given = device.asarray(a), device.asarray(b)
    for arguments in [given, (a, given[1]), (given[0], b), (a.tolist(), given[1])] * 2:
        results = f(*arguments)
        assert all(map(is_there, results))
        for got, want in zip(results, wanted, strict=True):
            np.testing.assert_allclose(got.get(), want, rtol=1e-15)
            assert got.dtype == "float64"
    assert all(type(r) is np.ndarray for r in f(a, b))
    np.testing.assert_array_equal(given[0].get(), a)


def test_a_device_array_of_any_layout_and_dtype_that_fits(device: HostDevice | Gpu) -> None:
    x = T.dmatrix("x")
    f = function([x], x + 1, backend="cupy")
    whole = device.asarray(np.arange(12.0).reshape(3, 4))
    for given in [whole.T, whole[:, 1:3], whole[::2], whole[1:], device.asarray(np.ones((2, 2), "float32"))]:
        np.testing.assert_array_equal(f(given).get(), given.get().astype("float64") + 1)


BAD: dict[str, tuple[Any, str]] = {
    "rank": (np.zeros(3), "expected matrix .2 axes., got 1 axes"),
    "dtype": (np.zeros((2, 2), "complex128"), "cannot make float64 from complex128 without risking loss"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_device_array_of_another_type(device: HostDevice | Gpu, case: str) -> None:
    """The same error as for an array on the host."""
    value, text = BAD[case]
    x = T.dmatrix("x")
    f = function([x], x + 1, backend="cupy")
    for given in (value, device.asarray(value)):
        with pytest.raises(TypeError, match=rf"bad argument for input 0 \(x\): {text}"):
            f(given)
    strict = function([In(x, strict=True)], x + 1, backend="cupy")
    with pytest.raises(TypeError, match="strict=True"):
        strict(device.asarray(np.zeros((2, 2), "float32")))
    downcast = function([In(T.fvector("v"), allow_downcast=True)], [], backend="cupy", on_unused_input="ignore")
    downcast(device.asarray(np.zeros(3)))


def test_sizes_of_device_arrays_that_do_not_agree(device: HostDevice | Gpu) -> None:
    x, y = T.dvector("x"), T.dvector("y")
    f = function([x, y], x + y, backend="cupy")
    one, three = device.asarray(np.ones(1)), device.asarray(np.arange(3.0))
    assert f(one, three).get().tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ShapeError, match=r"sizes 3 and 4|sizes 4 and 3"):
        f(three, device.asarray(np.ones(4)))


def test_other_backends_do_not_take_device_arrays(device: HostDevice | Gpu) -> None:
    x = T.dvector("x")
    with pytest.raises(TypeError, match=r"bad argument for input 0 \(x\)"):
        function([x], x + 1, backend="numpy")(device.asarray(np.ones(3)))


FORMS = {
    "static": lambda x: x * 2,
    "stepped": lambda x: x[x > 0],
    "branches": lambda x: ifelse(x.sum() > 0, x, -x),
    "checked": lambda x: x[T.cast(x.shape[0] - 1, "int64")] + x,
    "on the host": lambda x: Doubled()(x),
}


@pytest.mark.parametrize("form", FORMS)
def test_results_are_where_arguments_are(device: HostDevice | Gpu, form: str) -> None:
    x = T.dvector("x")
    made = FORMS[form](x)
    f = function([x], [made, x], backend="cupy")
    value = np.array([1.0, -2.0, 3.0])
    wanted = function([x], made, backend="numpy")(value)
    for _ in range(2):
        for got, want in zip(f(value), (wanted, value), strict=True):
            np.testing.assert_array_equal(got, want)
        given = device.asarray(value)
        for got, want in zip(f(given), (wanted, value), strict=True):
            np.testing.assert_array_equal(got.get(), want)
            assert first_byte(got) != first_byte(given)


# ---- shared variables ----


def test_a_value_moves_to_the_device_and_stays(device: HostDevice | Gpu) -> None:
    w, x = shared(np.arange(3.0), "w"), T.dvector("x")
    f = function([x], w.sum(), updates={w: w + x}, backend="cupy")
    assert f(np.ones(3)) == 3.0
    there = w.get_value(borrow=True, return_internal_type=True)
    assert is_there(there)
    assert there.get().tolist() == [1.0, 2.0, 3.0]
    f(np.ones(3))
    assert there.get().tolist() == [2.0, 3.0, 4.0], "it is live"
    copy = w.get_value(return_internal_type=True)
    assert is_there(copy)
    for host in (w.get_value(), w.get_value(borrow=True), w.container.data, np.asarray(w.container.value)):
        assert type(host) is np.ndarray
        host[...] = 0
    w.set_value(np.full(3, 7.0))
    assert there.get().tolist() == [7.0] * 3, "of the same shape it goes to the same place"
    assert copy.get().tolist() == [2.0, 3.0, 4.0]
    w.set_value(np.full(2, 7.0))
    assert f(np.ones(2)) == 14.0
    assert there.get().tolist() == [7.0] * 3
    w.zero()
    assert w.get_value().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("borrow", [False, True])
def test_set_value_of_a_device_array(device: HostDevice | Gpu, borrow: bool) -> None:
    w = shared(np.zeros(3), "w")
    step = function([], w * 1, updates={w: w + 1}, backend="cupy")
    for _ in range(2):
        given = device.asarray(np.arange(3.0))
        w.set_value(given, borrow=borrow)
        assert (w.get_value(borrow=True, return_internal_type=True) is given) == borrow
        for i in range(3):
            assert step().tolist() == [0.0 + i, 1.0 + i, 2.0 + i]
        assert given.get().tolist() == [0.0, 1.0, 2.0], "a function does not write into the user's memory"
    w.set_value(device.asarray(np.ones(2, "float32")))
    assert step().tolist() == [1.0, 1.0]
    for bad, text in [(np.ones((2, 2)), "got 2 axes"), (np.ones(2, complex), "loss of precision")]:
        with pytest.raises(TypeError, match=text):
            w.set_value(device.asarray(bad))
    assert w.get_value().tolist() == [2.0, 2.0]


def test_a_shared_variable_made_of_a_device_array(device: HostDevice | Gpu) -> None:
    given = device.asarray(np.arange(3.0))
    w, lent = shared(given, "w"), shared(given, "lent", borrow=True)
    assert (w.dtype, w.ndim) == ("float64", 1)
    for x in (w, lent):
        function([], updates={x: x * 2}, backend="cupy")()
        assert x.get_value().tolist() == [0.0, 2.0, 4.0]
    assert given.get().tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_functions_of_other_backends_on_the_same_variables(backend: str) -> None:
    w, n, x = shared(np.arange(3.0), "w"), shared(0, "n"), T.dvector("x")
    there = function([x], w * n, updates={w: w + x, n: n + 1}, backend="cupy")
    here = function([x], [w[::-1].T * 2, n], updates={w: w * 10 + x, n: n * 2}, backend=backend)
    look = function([], [w.sum(), n + 1], backend=backend)
    value, count = np.arange(3.0), 0
    for _ in range(3):
        np.testing.assert_array_equal(there(np.ones(3)), value * count)
        value, count = value + 1, count + 1
        assert [float(r) for r in look()] == [value.sum(), count + 1]
        np.testing.assert_array_equal(here(np.ones(3))[0], value[::-1] * 2)
        value, count = value * 10 + 1, count * 2
        np.testing.assert_array_equal(w.get_value(), value)
        assert n.get_value() == count
        assert evaluate(w.sum(), {}) == value.sum()


@pytest.mark.parametrize("kind", ["numbers", "small", "large"])
def test_new_values_are_made_of_old_ones(kind: str) -> None:
    """Also when they are values of each other, and handed back beside; a small function is one kernel."""
    shape = {"numbers": (), "small": (4,), "large": (50_000,)}[kind]
    a, b, c = (shared(np.full(shape, float(i)), name) for i, name in enumerate("abc"))
    f = function([], [a, b, c, a], updates={a: b, b: c, c: a}, backend="cupy")
    for i in range(5):
        for j, got in enumerate(f()):
            np.testing.assert_array_equal(got, np.full(shape, (j % 3 + i) % 3.0))
        for j, x in enumerate((a, b, c)):
            np.testing.assert_array_equal(x.get_value(), np.full(shape, (j + i + 1) % 3.0))


def test_the_live_value_as_an_argument(device: HostDevice | Gpu) -> None:
    for n in (3, 300_000):
        w, x = shared(np.ones(n), "w"), T.dvector("x")
        f = function([x], [x, x + w], updates={w: w * 2 + x}, backend="cupy")
        f(np.zeros(n))
        for _ in range(4):
            before = w.get_value()
            same, total = f(w.get_value(borrow=True, return_internal_type=True))
            np.testing.assert_array_equal(same.get(), before)
            np.testing.assert_array_equal(total.get(), before * 2)
            np.testing.assert_array_equal(w.get_value(), before * 3)


def test_a_call_within_a_call_reads_what_the_outer_one_does_not(device: HostDevice | Gpu) -> None:
    """What a call under way reads is not written into, though the variable gets its new value."""
    w = shared(np.ones(3), "w")
    bump = function([], updates={w: w + 1}, backend="cupy")
    bump()
    x = T.dvector("x")
    look = function([x], [Calls(lambda v: bump() or None)(x) * 0 + w, w * 2], backend="cupy")
    for i in range(2, 5):
        first, second = look(np.zeros(3))
        assert (first.tolist(), second.tolist()) == ([float(i)] * 3, [2.0 * i] * 3)
        assert w.get_value().tolist() == [i + 1.0] * 3


def test_pickles_and_copies_are_arrays_of_the_host() -> None:
    w = shared(np.arange(3.0), "w")
    f = function([], w * 2, updates={w: w + 1}, backend="cupy")
    f()
    for twin in (pickle.loads(pickle.dumps(f)), copy.deepcopy(f)):
        assert twin().tolist() == [2.0, 4.0, 6.0]
        assert w.get_value().tolist() == [1.0, 2.0, 3.0]
    again = pickle.loads(pickle.dumps(w))
    assert type(again.container.value) is np.ndarray
    assert again.get_value().tolist() == [1.0, 2.0, 3.0]


# ---- calls that fail ----


class Breaking(HostDevice):
    """A device of which something fails: the work that is told after so many others."""

    left = -1

    def _count(self) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1

    def allocate(self, nbytes: int) -> Any:
        self._count()
        return super().allocate(nbytes)

    def launch(self, *arguments: Any) -> None:
        self._count()
        super().launch(*arguments)

    def copy(self, target: int, source: int, nbytes: int) -> None:
        self._count()
        super().copy(target, source, nbytes)

    def synchronize(self) -> None:
        self._count()
        super().synchronize()

    def end(self) -> Any:
        made = super().end()
        self._count()
        return made


UPDATES: dict[str, Callable[[Any, Any, Any], dict[Any, Any]]] = {
    "one kernel": lambda a, b, n: {a: a + 1, b: T.tanh(b * 0) + b + 1, n: n + 1},
    "checked": lambda a, b, n: {a: a + a[n - n] * 0 + 1, b: b + 1, n: n + 1},
    "stepped": lambda a, b, n: {a: a + a[a > 0].sum() * 0 + 1, b: b + 1, n: n + 1},
    "swapped": lambda a, b, n: {a: b + 1, b: a + 1, n: n + 1},
}


@pytest.mark.parametrize("arguments", ["host", "device"])
@pytest.mark.parametrize("size", [3, 20_000])
@pytest.mark.parametrize("case", UPDATES)
def test_an_interrupt_at_any_moment(case: str, size: int, arguments: str) -> None:
    """All variables have their old values, or all their new ones; and the function still works."""
    broken = Breaking()
    with standing_in(broken):
        a, b, n = shared(np.zeros(size), "a"), shared(np.zeros(size), "b"), shared(0, "n")
        x = T.dvector("x")
        f = function([x], [x * 2, a.sum()], updates=UPDATES[case](a, b, n), backend="cupy")
        value: Any = np.ones(size) if arguments == "host" else broken.asarray(np.ones(size))
        count = 0
        for moment in range(60):
            broken.left = moment % 20
            with contextlib.suppress(KeyboardInterrupt):
                f(value)
            broken.left = -1
            now = int(n.get_value())
            assert now in (count, count + 1)
            count = now
            np.testing.assert_array_equal(a.get_value(), np.full(size, float(count)))
            np.testing.assert_array_equal(b.get_value(), np.full(size, float(count)))
        doubled, total = (np.asarray(getattr(r, "get", lambda r=r: r)()) for r in f(value))
        np.testing.assert_array_equal(doubled, np.full(size, 2.0))
        assert total == count * size


# ---- threads ----


@pytest.mark.parametrize("stepped", [False, True])
def test_who_reads_sees_all_updates_of_a_call_or_none(stepped: bool) -> None:
    a, b = shared(np.zeros(2000), "a"), shared(np.zeros(2000), "b")
    write = function([], updates={a: a + 1, b: b + 1}, backend="cupy")
    x = T.dscalar("x")
    first = Calls(lambda v: None)(x) * 0 + a if stepped else a + x * 0
    read = function([x], [first.sum(), b.sum()], backend="cupy")
    done = threading.Event()
    problems: list[Any] = []

    def work() -> None:
        while not done.is_set():
            left, right = read(0.0)
            if left != right:
                problems.append((left, right))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(60):
        write()
    done.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not problems


LOCKED: dict[str, Callable[[Any], Any]] = {
    "static": lambda x: T.exp(x).sum(),
    "with a constant": lambda x: (x + np.arange(3.0)).sum(),
    "stepped": lambda x: x[x > 0].sum(),
}


@pytest.mark.parametrize("warm", [False, True], ids=["first call", "later call"])
@pytest.mark.parametrize("case", LOCKED)
def test_a_finaliser_in_a_thread_that_has_the_device(case: str, warm: bool) -> None:
    """It may call a function that another thread is calling, which waits for the device."""
    x = T.dvector("x")
    f = function([x], LOCKED[case](x), backend="cupy")
    value = np.arange(1.0, 4.0)
    if warm:
        f(value)
    results: list[Any] = []

    def call() -> None:
        results.append(f(value))

    def have() -> None:
        with current().lock:
            other.start()
            other.join(0.2)
            call()

    other, first = (threading.Thread(target=target, daemon=True) for target in (call, have))
    first.start()
    for thread in (first, other):
        thread.join(60)
        assert not thread.is_alive()
    assert results[0] == results[1]


# ---- large functions ----


def test_numbers_that_are_shared_by_many_paths() -> None:
    """2**60 paths lead from the result to the sum: each number is looked at once."""
    x = T.dvector("x")
    y = x.sum()
    for _ in range(60):
        y = y + y
    assert function([x], y, backend="cupy")(np.ones(4)) == 2.0**62


# ---- listed transfers ----


def transfers(f: Any) -> list[str]:
    """What a schedule says now about shared variables on the other side."""
    return [line for line in str(f.schedule).splitlines() if line.startswith(("moves ", "copies "))]


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_schedules_list_what_the_next_call_moves(backend: str) -> None:
    """A function that updates a shared variable becomes its owner, on either side."""
    w = shared(np.arange(3.0), "w")
    there = function([], w.sum(), updates={w: w + 1}, backend="cupy")
    here = function([], w * 2, updates={w: w * 10}, backend=backend)
    for _ in range(2):
        assert (transfers(there), transfers(here)) == (["moves   w to the device"], [])
        there()
        assert (transfers(there), transfers(here)) == ([], ["moves   w to the host"])
        here()


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_a_function_of_the_host_that_only_reads_copies_in_every_call(backend: str) -> None:
    v, w = shared(np.ones(3), "v"), shared(np.arange(3.0), "w")
    look = function([], v + w, updates={v: v * 2}, backend=backend)
    function([], updates={v: v + 1, w: w + 1}, backend="cupy")()
    assert transfers(look) == ["moves   v to the host", "copies  w to the host"]
    for _ in range(2):
        look()
        assert transfers(look) == ["copies  w to the host"]
        assert type(v.container.value) is np.ndarray
        assert type(w.container.value) is not np.ndarray


def test_a_number_that_is_only_read_is_not_moved() -> None:
    rate, w = shared(0.5, "rate"), shared(np.ones(3), "w")
    read = function([], w * rate, backend="cupy")
    assert transfers(read) == ["moves   w to the device"]
    read()
    assert transfers(read) == []
    assert type(rate.container.value) is np.ndarray
    halve = function([], updates={rate: rate / 2}, backend="cupy")
    assert transfers(halve) == ["moves   rate to the device"]
    halve()
    assert transfers(halve) == []


def test_a_schedule_that_the_host_runs_for_the_device_lists_them_too() -> None:
    w = shared(np.ones(3), "w")
    f = function([], w * (1 + 2j), backend="cupy")
    assert transfers(f) == []
    function([], updates={w: w + 1}, backend="cupy")()
    assert transfers(f) == ["copies  w to the host"]
