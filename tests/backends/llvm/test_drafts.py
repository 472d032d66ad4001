"""Code is a draft at first; after some calls it is made with care, and nothing else changes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import function, shared
from graphc.backends import disk
from graphc.backends.llvm import codes, executable
from graphc.backends.llvm.executable import DRAFT_CALLS, LlvmExecutable
from graphc.compile.function import Function
from tests.kernels.programs import PROGRAMS, Program

_ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def drafts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Drafts, also where the environment says that there be none, and nothing that is finished already."""
    monkeypatch.setattr(executable, "DRAFTS", True)
    monkeypatch.setattr(codes, "_kept", {})
    monkeypatch.setenv("GRAPHC_CACHE", "off")
    disk.directory.cache_clear()
    yield
    disk.directory.cache_clear()


def is_draft(f: Function) -> bool:
    """Whether the next call runs a draft."""
    (variant,) = f.variants.values()
    made: Any = variant.executable
    assert isinstance(made, LlvmExecutable)
    return made._runs_left >= 0


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_the_bits_are_the_same(program: Program) -> None:
    f = program.function("llvm")
    values = program.values(n=37, m=19, k=5)
    results = [f(*values) for _ in range(DRAFT_CALLS + 3)]
    for other in results[1:]:
        for first, later in zip(_list(results[0]), _list(other), strict=True):
            assert np.asarray(first).tobytes() == np.asarray(later).tobytes()


def _list(results: Any) -> list[Any]:
    return list(results) if isinstance(results, list | tuple) else [results]


@pytest.mark.parametrize("way", ["native", "buffer", "python"])
def test_a_draft_is_replaced_while_variables_are_updated(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_ENTRY", way)
    x, w = T.dvector("x"), shared(np.zeros(5), name="w")
    f = function([x], T.exp(w).sum(), updates=[(w, w + x)], backend="llvm")
    assert is_draft(f)
    for i in range(2 * DRAFT_CALLS):
        np.testing.assert_allclose(f(np.full(5, 0.25)), 5 * np.exp(0.25 * i), rtol=1e-15)
        assert w.get_value().tolist() == [0.25 * (i + 1)] * 5
    assert not is_draft(f)


def test_functions_of_many_kernels() -> None:
    """Their steps are in a table, with the addresses of kernels."""
    x, w = T.dvector("x"), T.dmatrix("w")
    y = x
    for i in range(9):
        y = T.tanh(T.dot(w, y) + i)
    f = function([x, w], y, backend="llvm")
    values = np.linspace(-1, 1, 6), np.linspace(-2, 1, 36).reshape(6, 6)
    results = [f(*values) for _ in range(DRAFT_CALLS + 2)]
    assert not is_draft(f)
    assert all(np.array_equal(results[0], other) for other in results)


def test_a_draft_is_replaced_while_other_threads_call() -> None:
    x = T.dvector("x")
    f = function([x], T.sin(x) + x.sum(), backend="llvm")
    value = np.linspace(0, 3, 50)
    expected = f(value)
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(i for i in range(500) if not np.array_equal(f(value), expected))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not is_draft(f)


def test_calls_by_python_finish_code_that_calls_past_python_still_run() -> None:
    """Who asks for a copy of an argument in another order goes by Python; the table of steps is needed further on."""
    x, w = T.dmatrix("x"), T.dmatrix("w")
    y = x
    for i in range(9):
        y = T.tanh(T.dot(w, y) + i)
    f = function([x, w], y, backend="llvm")
    (variant,) = f.variants.values()
    made: Any = variant.executable
    value = np.linspace(-2, 1, 36).reshape(6, 6)
    expected = f(value, value)
    for _ in range(DRAFT_CALLS + 2):
        made.run([value, value])
    assert not is_draft(f)
    garbage = [np.full(200, -1) for _ in range(2_000)]  # where the table of the draft may have been
    assert np.array_equal(f(value, value), expected)
    assert len(garbage) == 2_000


def test_what_fails_while_code_is_made_fails_that_call_only(monkeypatch: pytest.MonkeyPatch) -> None:
    w = shared(0.0, name="w")
    f = function([], w * 3, updates=[(w, w + 1)], backend="llvm")
    for i in range(DRAFT_CALLS):
        assert f() == 3 * i
    with monkeypatch.context() as patch:

        def interrupted(*_: Any) -> Any:
            raise KeyboardInterrupt

        patch.setattr(executable, "assembled", interrupted)
        with pytest.raises(KeyboardInterrupt):
            f()
    assert w.get_value() == DRAFT_CALLS
    assert f() == 3 * DRAFT_CALLS
    assert not is_draft(f)


def test_without_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executable, "DRAFTS", False)
    x = T.dvector("x")
    assert not is_draft(function([x], T.exp(x), backend="llvm"))


def test_the_next_process_finds_what_was_finished(tmp_path: Path) -> None:
    program = f"""
import numpy as np
import graphc.tensor as T
from graphc import function
x = T.dvector("x")
f = function([x], T.exp(x) * 2, backend="llvm")
(variant,) = f.variants.values()
print(variant.executable._runs_left >= 0)
for _ in range({DRAFT_CALLS + 1}):
    f(np.ones(3))
"""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "GRAPHC_CACHE": str(tmp_path), "GRAPHC_DRAFTS": "1"}
    said = [
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [done.stdout.strip() for done in said] == ["True", "False"]
    endings = {path.name.partition(".")[2] for path in tmp_path.iterdir()}
    assert {"o", "draft.o"} <= endings
