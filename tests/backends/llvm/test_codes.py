"""The machine code that a process keeps: a bound on its number, and none that is still used is lost."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc.backends.llvm import assemble, codes
from graphc.compile.function import function

# The first functions of a process, compiled and called by several threads at once.
THREADS = """
import sys, threading
import numpy as np, graphc, graphc.tensor as T
from graphc.backends.llvm import assemble
assemble.MOST_INLINED = 0
sys.setswitchinterval(1e-6)
wrong, start = [], threading.Barrier(8)
def work(n):
    x = T.dvector()
    start.wait()
    f = graphc.function([x], x * n + n, backend="llvm")
    for _ in range(200):
        if f(np.ones(3)).tolist() != [2 * n] * 3:
            wrong.append(n)
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(wrong)
"""


@pytest.fixture(params=["one piece of code", "a table of steps"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """A cache for two pieces of code, empty."""
    monkeypatch.setattr(codes, "MOST_KEPT", 2)
    monkeypatch.setattr(codes, "_kept", {})
    if request.param == "a table of steps":
        monkeypatch.setattr(assemble, "MOST_INLINED", 0)
    return codes._kept


def powers(n: int) -> Callable[..., Any]:
    x = T.dvector("x")
    return function([x], x * float(n) + x**n, backend="llvm")


def test_code_lives_as_long_as_a_function_uses_it(kept: dict[Any, Any]) -> None:
    made = [powers(n) for n in range(2, 9)]
    assert len(kept) <= 2
    gc.collect()
    x = np.array([0.5, 1.0, 3.0])
    for n, f in enumerate(made, 2):
        np.testing.assert_allclose(f(x), x * n + x**n, rtol=1e-15)


def test_what_was_used_last_is_kept(kept: dict[Any, Any]) -> None:
    powers(2)
    (key,) = kept
    code = kept[key]
    powers(3)
    powers(2)
    powers(4)
    assert kept[key] is code
    assert next(iter(kept)) == key


def test_threads_that_compile_first_share_the_code() -> None:
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
