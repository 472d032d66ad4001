"""Whether generated code runs here: asked once, by a program of its own, where the tests have never been run.

A wrong guess about a processor or an object's layout ends in a crash, so another process takes the risk: it compiles a
kernel, runs it through the native entry and around a call into Python, and compares what comes out.
"""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from graphc.backends import disk, llvm
from graphc.backends.base import Calling
from graphc.backends.llvm.executable import LlvmExecutable
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.types import TensorType
from graphc.graph.variable import Variable
from graphc.ops.join import join
from graphc.ops.transcendental import exp
from graphc.schedule.schedule import schedule

PROGRAM = "from graphc.backends.llvm.selfcheck import check; check()"

SECONDS = 60


# The name under which it is kept that the check passed here.
NOTE = "llvm-runs-here"


@cache
def failure() -> str | None:
    """None if generated code runs here, else what went wrong."""
    here = _here().encode()
    if disk.read(NOTE) == here:
        return None
    problem = _problem()
    if problem is None:
        disk.write(NOTE, here)
    return problem


def _problem() -> str | None:
    """What went wrong when the check ran in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PROGRAM]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"it ended with {signal.Signals(-done.returncode).name}"
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"it ended with exit code {done.returncode}"


def check() -> None:
    """Compile kernels and run them; AssertionError if what comes out is wrong.

    One runs on vectors with a masked tail and vector math, one has loops in loops, and one stands before and one after
    a call into Python.  What needs no such call goes through the native entry, if there is one here.
    """
    x, m = TensorType("float64", shape=(None,))("x"), TensorType("float32", shape=(None, None))("m")
    elements = _callable([x], [exp(x), (x * 2 - 1).sum()])
    rows = _callable([m], [m - m.sum(axis=1, keepdims=True)])
    around_python = _callable([x], [join(0, exp(x), x) + 1])
    table = np.linspace(0.0, 1.0, 39, dtype="float32").reshape(3, 13)
    for n in (37, 37, 8, 1, 0, 300_000):  # the second call may use memory of the first again, the last is large work
        values = np.linspace(-3.0, 3.0, n)
        exponential, total = elements(values)
        np.testing.assert_allclose(exponential, np.exp(values), rtol=1e-15)
        np.testing.assert_allclose(total, (values * 2 - 1).sum(), rtol=1e-12, atol=1e-12)
        (joined,) = around_python(values)
        np.testing.assert_allclose(joined, np.concatenate([np.exp(values), values]) + 1, rtol=1e-15)
        (centred,) = rows(table)
        np.testing.assert_allclose(centred, table - table.sum(axis=1, keepdims=True), rtol=1e-5)


def _callable(inputs: list[Variable], outputs: list[Variable]) -> Callable[..., Sequence[Any]]:
    """A function of arrays, through the native entry if there is one."""
    executable = llvm.compile(schedule(FunctionGraph.build(inputs, outputs), "check"))
    assert isinstance(executable, LlvmExecutable), "there are no kernels"

    def by_python(*values: Any) -> Sequence[Any]:
        return executable.run(values)

    types, strict = [x.type for x in inputs], [False for _ in inputs]
    entry = executable.entry(Calling(types, strict, [], [], "list", list, by_python))
    return by_python if entry is None else entry.call


# ---- the next process need not ask again ----


def _here() -> str:
    """This machine, the versions of all that takes part, and the text of this room."""
    import llvmlite

    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.*")))
    machine = [platform.node(), platform.platform(), platform.processor()]
    return " ".join([*machine, sys.version, np.__version__, llvmlite.__version__, hashlib.sha256(code).hexdigest()])
