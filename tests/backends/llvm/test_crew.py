"""The crew when things go wrong: interrupts at any moment, no more threads, a job under way when the process ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import graphc.tensor as T
from graphc import config, function
from graphc.backends.llvm.crew import MOST_THREADS, most_threads, processors

_ROOT = Path(__file__).parents[3]

_BEGIN = """
import signal, sys, threading, time
import numpy as np
import graphc.tensor as T
from graphc import config, function, shared
config.threads = 3
x, m = T.dvector("x"), T.dmatrix("m")
value = np.arange(500_000.0) / 1e6
"""


def _printed(program: str, **environment: str) -> list[str]:
    """The lines that a program of its own process prints."""
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + program],
        env={**os.environ, "PYTHONPATH": str(_ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "said, meant",
    [("", 0), (" ", 0), ("0", 0), ("-3", 0), ("many", 0), ("1e3", 0), ("1", 1), (" 1 ", 1), ("1,2", 1)],
)
def test_what_omp_num_threads_says(monkeypatch: pytest.MonkeyPatch, said: str, meant: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert most_threads() == (meant or processors())


def test_there_is_a_limit_to_threads() -> None:
    with config.change_flags(threads=10**9):
        assert most_threads() == MOST_THREADS


def test_a_function_keeps_the_threads_it_was_made_for() -> None:
    x = T.dvector("x")
    with config.change_flags(threads=5):
        f = function([x], T.exp(x), backend="llvm")
    with config.change_flags(threads=2):
        executable: Any = next(iter(f.variants.values())).executable
        assert executable._larger.threads == 5


def test_an_interrupt_while_the_crew_is_prepared() -> None:
    """What is interrupted is done the next time."""
    program = """
from graphc.backends.llvm import crew
real, times = crew.machine_code, []
def interrupted(target):
    times.append(1)
    if len(times) == 1:
        raise KeyboardInterrupt
    return real(target)
crew.machine_code = interrupted
f = function([x], T.tanh(x * 0).sum() + x.shape[0], backend="llvm")
for _ in range(2):
    try:
        print(round(float(f(value))))
    except KeyboardInterrupt:
        print("interrupted")
"""
    assert _printed(program) == ["interrupted", "500000"]


def test_an_interrupt_while_a_worker_starts() -> None:
    """He may be there all the same: no other worker gets his number, so that each has rows of his own."""
    program = """
start, times = threading.Thread.start, []
def interrupted(self):
    start(self)
    if self.name == "graphc-1" and not times:
        times.append(1)
        raise KeyboardInterrupt
f = function([m], T.nnet.softmax(m), backend="llvm")
threading.Thread.start = interrupted
try:
    f(value.reshape(-1, 500))
except KeyboardInterrupt:
    print("interrupted")
expected = function([m], T.nnet.softmax(m), backend="numpy")(value.reshape(-1, 500))
for _ in range(50):
    np.testing.assert_allclose(f(value.reshape(-1, 500)), expected)
from graphc.backends.llvm.crew import crew
print(next(crew._numbers))  # three have one, of whom two were wanted
"""
    assert _printed(program) == ["interrupted", "4"]


def test_without_more_threads_fewer_do() -> None:
    program = """
def refused(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refused
print(round(float(function([x], T.tanh(x * 0).sum() + x.shape[0], backend="llvm")(value))))
"""
    assert _printed(program) == ["500000"]


def test_a_handler_that_calls_what_must_be_compiled() -> None:
    """Meanwhile the same thread compiles another function, and has the lock for that."""
    program = """
from graphc.backends.llvm import codes
link, times = codes.link, []
def handled(*args):
    times.append(1)
    if len(times) == 1:
        print(function([x], T.tanh(x) * 3, backend="llvm")(np.zeros(2)).tolist())
    return link(*args)
codes.link = handled
print(function([x], T.exp(x), backend="llvm")(np.zeros(2)).tolist())
"""
    assert _printed(program) == ["[0.0, 0.0]", "[1.0, 1.0]"]


def test_the_process_ends_while_a_daemon_has_a_job() -> None:
    """Nobody waits for the job: the workers take no more of it."""
    program = """
f = function([x], T.exp(T.outer(x, x)).sum(axis=1), backend="llvm")
f(np.zeros(3_000))
threading.Thread(target=f, args=(np.zeros(300_000),), daemon=True).start()  # a minute of work
time.sleep(0.2)
began = time.monotonic()
from graphc.backends.llvm.crew import crew
crew.dismiss()
print(time.monotonic() - began < 5)
"""
    assert _printed(program) == ["True"]
