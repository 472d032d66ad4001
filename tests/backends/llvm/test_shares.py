"""Large work: how kernels are taken apart, and that shares give what the whole gives, on however many threads."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import config, function, shared
from graphc.backends.llvm import capi, support
from graphc.backends.llvm.crew import processors
from graphc.backends.llvm.executable import DRAFT_CALLS
from graphc.backends.llvm.link import link
from graphc.backends.llvm.target import host
from graphc.backends.llvm.work import IS_LARGE
from graphc.graph.variable import Variable
from graphc.kernels.launch import AT_ONCE, IN_ORDER, PARTS, TOTALS, WHOLE, InShares, Launch, Memory
from graphc.kernels.shares import in_shares, taken_apart

x, y, m, k, i = T.dvector("x"), T.dvector("y"), T.dmatrix("m"), T.dmatrix("k"), T.lvector("i")

# A program, and the manners of the kernels it is taken apart into.
PROGRAMS: dict[str, tuple[list[Variable], Variable | list[Variable], list[str]]] = {
    "map": ([x, y], T.exp(x) * y, [AT_ONCE]),
    "gather": ([m, i], m[i] * 2, [AT_ONCE]),
    "rows": ([m], m.sum(axis=1), [AT_ONCE]),
    "softmax": ([m], T.nnet.softmax(m), [AT_ONCE]),
    "total": ([x], (x * x).sum(), [TOTALS, WHOLE]),
    "two totals": ([x], [x.sum(), x.max()], [TOTALS, WHOLE]),
    "total, then map": ([x], x / x.sum(), [TOTALS, WHOLE, AT_ONCE]),
    "place": ([x], T.argmax(x), [TOTALS, WHOLE]),
    "largest and its place": ([x], T.max_and_argmax(x), [TOTALS, WHOLE]),
    "columns": ([m], m.sum(axis=0), [AT_ONCE, IN_ORDER]),
    "scatter": ([x, i, y], T.set_subtensor(x[i], y), [AT_ONCE, IN_ORDER]),
    "scattered sum": ([x, i, y], T.inc_subtensor(x[i], y), [AT_ONCE, IN_ORDER]),
    "slice": ([x, y], T.set_subtensor(x[1:3], y), [WHOLE, AT_ONCE, AT_ONCE]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_how_kernels_are_taken_apart(name: str) -> None:
    inputs, outputs, manners = PROGRAMS[name]
    executable: Any = next(iter(function(inputs, outputs, backend="llvm").variants.values())).executable
    launches = [step for step in executable.plan.steps if isinstance(step, Launch)]
    assert [step.shared.manner for launch in launches for step in taken_apart(launch, 4)] == manners


@pytest.mark.skipif(not capi.supported(), reason="no native entry on this Python")
@pytest.mark.parametrize("name", PROGRAMS)
def test_large_work_has_an_entry_of_its_own(name: str) -> None:
    """Python is in between only where it must compute something."""
    inputs, outputs, _ = PROGRAMS[name]
    executable: Any = next(iter(function(inputs, outputs, backend="llvm").variants.values())).executable
    assert executable.program is not None
    assert executable._larger.program is not None


def test_each_thread_has_rows_of_its_own() -> None:
    executable: Any = next(iter(function([m], T.nnet.softmax(m), backend="llvm").variants.values())).executable
    (step,) = [s for s in in_shares(executable.plan, 5).steps if isinstance(s, InShares)]
    pairs = zip(step.launch.arrays, step.launch.kernel.arrays, strict=True)
    rows = [key for key, array in pairs if array in step.shared.rows]
    assert rows
    for row in rows:
        assert isinstance(row, Memory)
        assert row.shape[0] == 5


def test_the_parts_of_a_total_have_a_place_each() -> None:
    executable: Any = next(iter(function([x], x.sum(), backend="llvm").variants.values())).executable
    first, second = [s for s in in_shares(executable.plan, 5).steps if isinstance(s, InShares)]
    ((_, array),) = first.shared.totals
    key = dict(zip(first.launch.kernel.arrays, first.launch.arrays, strict=True))[array]
    assert key.shape == (PARTS,)
    assert key in second.launch.arrays


# ---- what comes out ----

_ROOT = Path(__file__).parents[3]
_SMALL_IS_LARGE = {**os.environ, "GRAPHC_LARGE": "1", "PYTHONPATH": str(_ROOT), "CI": "true"}


@pytest.mark.parametrize(
    "tests",
    [
        ["tests/backends/test_agreement.py", "-k", "llvm and (float32 or float64 or int64 or bool)"],
        ["tests/random_graphs/test_random_graphs.py", "-k", "test_compiled_equals_evaluated and llvm"],
        ["tests/kernels/test_kernels.py"],
    ],
    ids=lambda tests: Path(tests[0]).stem,
)
def test_all_work_as_if_it_were_large(tests: list[str]) -> None:
    """The same tests once more, with shares of single iterations."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "--backend=llvm", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=_ROOT, env=_SMALL_IS_LARGE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def _large() -> list[tuple[list[Variable], list[Variable], list[Any]]]:
    """Programs whose work is large, with values."""
    rng = np.random.default_rng(0)
    vector, matrix = rng.normal(size=400_003), rng.normal(size=(1_501, 333))
    return [
        ([x], [T.tanh(x), (x * x).sum(), x.max(), x / x.sum()], [vector]),
        ([m], [T.nnet.softmax(m), m.sum(axis=0), m.sum(axis=1), T.exp(m).sum()], [matrix]),
        ([m, i], [m[i] * 2, T.inc_subtensor(m[i], 1.0)], [matrix, rng.integers(0, 1_501, 2_000)]),
    ]


@pytest.mark.parametrize("program", range(3))
def test_the_number_of_threads_changes_no_bit(program: int) -> None:
    inputs, outputs, values = _large()[program]
    results = []
    for threads in (1, 2, 7):
        with config.change_flags(threads=threads):
            results.append(function(inputs, outputs, backend="llvm")(*values))
    expected = function(inputs, outputs, backend="numpy")(*values)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))
    for have, want in zip(results[0], expected, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("place", [0, 1, 399_999, 123_456])
def test_a_place_in_large_work_is_the_first_of_equals(place: int) -> None:
    f = function([x], [T.argmax(x), T.argmin(x), *T.max_and_argmax(T.sqr(x))], backend="llvm")
    for before, there in ((0.0, np.nan), (0.0, 2.0), (0.0, -2.0), (-np.inf, 2.0), (np.inf, -2.0), (2.0, 2.0)):
        value = np.full(400_000, before)
        value[place:] = there
        value[place + 1 :: 2] = before
        expected = [value.argmax(), value.argmin(), (value**2).max(), (value**2).argmax()]
        np.testing.assert_array_equal(f(value), expected, err_msg=f"{there} among {before}")


def test_the_work_of_many_threads_at_once() -> None:
    """One of them has the crew, the others do their work alone; all get what one gets."""
    with config.change_flags(threads=3):
        made = [(function(inputs, outputs, backend="llvm"), values) for inputs, outputs, values in _large()]
    expected = [f(*values) for f, values in made]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            for number, (f, values) in enumerate(made):
                results = f(*values)
                if not all(np.array_equal(a, b) for a, b in zip(results, expected[number], strict=True)):
                    wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_same_function_for_small_and_large_work() -> None:
    w = shared(0.0, name="w")
    f = function([x], T.exp(x), updates=[(w, w + x.sum())], backend="llvm")
    total = 0.0
    for n in (3, 400_000, 0, 5, 300_000, 300_001, 7):
        value = np.full(n, 0.5)
        np.testing.assert_allclose(f(value), np.exp(value), rtol=1e-15)
        total += 0.5 * n
        assert w.get_value() == total


def test_an_index_out_of_bounds_in_large_work() -> None:
    w = shared(np.zeros(2), name="w")
    f = function([m, i], m[i].sum(axis=1), updates=[(w, w + 1)], backend="llvm")
    matrix, index = np.ones((100, 1_000)), np.zeros(5_000, int)
    assert f(matrix, index).tolist() == [1000.0] * 5_000
    index[4_321] = 100
    with pytest.raises(IndexError, match="index 100 is out of bounds for axis 0 with size 100"):
        f(matrix, index)
    assert w.get_value().tolist() == [1.0, 1.0]


def test_an_index_that_follows_from_large_work_is_checked() -> None:
    f = function([x], x[T.cast(T.exp(x).sum(), "int64")], backend="llvm")
    value = np.full(400_000, -20.0)
    assert f(value) == -20.0
    with pytest.raises(IndexError, match="index 400000 is out of bounds for axis 0 with size 400000"):
        f(np.zeros(400_000))


# ---- interrupts, forks, the end ----

_LONG: dict[str, Callable[[Variable], Variable]] = {
    "at once": lambda outer: outer.sum(axis=1),
    "in order": lambda outer: outer.sum(axis=0),
    "totals": lambda outer: outer.sum(),
}


class _Alarm(Exception):
    pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such timer on Windows")
@pytest.mark.parametrize("name", _LONG)
def test_an_interrupt_ends_the_call_and_changes_nothing(name: str) -> None:
    def handler(*_: Any) -> None:
        raise _Alarm

    w = shared(np.zeros(2), name="w")
    f = function([x, y], _LONG[name](T.exp(T.outer(x, y))), updates=[(w, w + 1)], backend="llvm")
    few, many = np.zeros(3), np.zeros(200_000)
    expected = f(few, few)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(_Alarm):
            f(many, many)  # would take half a minute
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert w.get_value().tolist() == [1.0, 1.0]
    assert np.array_equal(f(few, few), expected)


_LONG_ROWS: dict[str, Callable[[Any], Variable]] = {
    "max": lambda m: m.max(axis=1),
    "argmax": lambda m: T.argmax(m, axis=1),
    "softmax": T.nnet.softmax,
}


def _tangents(z: Variable, times: int) -> Variable:
    """What takes long."""
    for _ in range(times):
        z = T.tan(z)
    return z


def _lateness(call: Callable[[], Any]) -> float:
    """How long it takes a call to hear a signal, which ends it."""
    heard = [0.0]

    def handler(*_: Any) -> None:
        heard[0] = perf_counter()
        raise _Alarm

    before = signal.signal(signal.SIGALRM, handler)
    due = perf_counter() + 0.1
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(_Alarm):
            call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return heard[0] - due


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such timer on Windows")
@pytest.mark.parametrize("name", _LONG_ROWS)
def test_an_interrupt_ends_the_work_of_one_long_row(name: str) -> None:
    f = function([m], _LONG_ROWS[name](_tangents(m, 8)), backend="llvm")
    row = np.linspace(0.1, 1.2, 20_000_000)[None]
    for _ in range(DRAFT_CALLS + 2):
        f(row[:, :3])
    f(row[:, :1_000_000])  # compiles what large work needs
    assert _lateness(lambda: f(row)) < 0.1


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such timer on Windows")
def test_an_interrupt_ends_the_work_of_many_rows_in_one_iteration() -> None:
    """None of these rows is so long that a loop over one asks."""
    f = function([m, k], _tangents(m[:, :, None] * k[:, None, :], 3).max(axis=2), backend="llvm")
    few, many = np.full((2, 200), 0.5), np.full((2, 32_000), 0.5)
    for _ in range(DRAFT_CALLS + 2):
        f(few[:, :3], many[:, :3])
    f(few, many)
    assert _lateness(lambda: f(many[:, :4_000], many)) < 0.1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
def test_a_fork_has_a_crew_of_its_own() -> None:
    program = """
import os, sys, warnings
import numpy as np
import graphc.tensor as T
from graphc import config, function
warnings.simplefilter("ignore")  # of forks where there are threads
config.threads = 3
x = T.dvector("x")
f = function([x], [T.exp(x), x.sum()], backend="llvm")
value = np.arange(1_000_000.0) / 1e6
first = f(value)
child = os.fork()
again = f(value)
same = all(map(np.array_equal, first, again))
if not child:
    os._exit(0 if same else 3)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) if same else 4)
"""
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(_ROOT)}, timeout=120)
    assert done.returncode == 0


def _outcome(steps: list[str]) -> int:
    """What comes of a table of steps, each of which sleeps for 2 or 100 milliseconds, or does nothing."""
    usleep = ctypes.CDLL(None).usleep
    times = {"sleep": 2_000, "pause": 100_000, "nothing": 0}
    text = "declare i32 @usleep(i32)\n"
    for name, time in times.items():
        sleep = f"%slept = call i32 @usleep(i32 {time})" if time else ""
        text += f"define i32 @{name}(ptr %frame, ptr %slots) {{\n{sleep}\n  ret i32 0\n}}\n"
    code = link(text, host(), list(times), {"usleep": capi.address(usleep)})
    words = [word for step in steps for word in (code[step], 0, 0)]
    frame = (ctypes.c_int64 * support.FIRST_FREE)()
    return support.driver(host())(frame, (ctypes.c_int64 * len(words))(*words), len(steps))


@pytest.mark.skipif(os.name == "nt", reason="usleep is POSIX")
def test_many_small_steps_are_large_work_too() -> None:
    """A table of steps that take long all together is left to those who look at signals."""
    assert _outcome(["sleep"] * 50) == 0
    assert _outcome(["sleep"] * 200) == IS_LARGE


@pytest.mark.skipif(os.name == "nt", reason="usleep is POSIX")
def test_a_pause_does_not_make_work_large() -> None:
    """As of a process that is stopped, or has to wait for a processor: the work is as small the next time."""
    assert _outcome([*["nothing"] * 100, "pause", *["nothing"] * 200]) == 0


def test_threads_are_made_when_they_are_needed_and_no_more_than_that() -> None:
    program = """
import threading
import numpy as np
import graphc.tensor as T
from graphc import config, function
config.threads = 3
x = T.dvector("x")
f = function([x], T.exp(x), backend="llvm")
f(np.ones(3))
print(threading.active_count())
for _ in range(3):
    f(np.ones(1_000_000))
print(threading.active_count())
"""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == ["1", "3"]


def test_no_more_threads_than_processors_unless_asked() -> None:
    assert 1 <= processors() <= (os.cpu_count() or 1)
