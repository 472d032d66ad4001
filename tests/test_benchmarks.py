"""Every row of the benchmarks runs, at sizes at which its figures say nothing, and its systems agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import native, patterns, threads
from benchmarks.gpu import bench, collect
from benchmarks.measure import Figure, figures, least, statement
from benchmarks.steps import installed

pytestmark = pytest.mark.skipif(not installed("llvmlite"), reason="the benchmarks are of machine code")

SHAPES = ((8, 8), (5, 3))


@pytest.mark.parametrize("work", native.WORK, ids=lambda work: work.__name__)
def test_rows_of_the_targets_run(work: Callable[[bool], list[Figure]]) -> None:
    rows = work(True)
    assert rows
    assert all(row.value > 0 for row in rows)
    assert figures(rows).count("\n") == len(rows) + 1


def flat(results: Any) -> Any:
    """All numbers of one result or several."""
    several = results if isinstance(results, list | tuple) else [results]
    return np.concatenate([np.ravel(result) for result in several])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", patterns.LAYOUTS)
@pytest.mark.parametrize("name", patterns.PATTERNS)
def test_patterns_are_the_same_in_all_systems(name: str, layout: str, shape: tuple[int, int]) -> None:
    pattern = patterns.PATTERNS[name]
    a, b, i = patterns.arguments(shape, layout)
    expected = flat(pattern.numpy(*patterns.LAYOUTS[layout](a, b), i))
    f = patterns.fused(pattern, layout)
    np.testing.assert_allclose(flat(f(a, b, i)), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(flat(patterns.unfused(f)(a, b, i)), expected, rtol=1e-12, atol=1e-14)
    if pattern.numexpr and installed("numexpr"):
        np.testing.assert_allclose(flat(patterns.with_numexpr(pattern, layout, a, b)()), expected, rtol=1e-12)


def test_a_pattern_makes_a_row() -> None:
    found = patterns.row("map", "contiguous", (8, 8), rounds=1)
    assert found.peer in ("unfused", "numpy", "numexpr")
    assert found.ratio is not None


def test_a_figure_is_met_or_not() -> None:
    assert Figure("work", 1.0, 2.0).is_met
    assert not Figure("work", 3.0, 2.0).is_met
    assert Figure("work", 1.0, 0.5, "peer", 2.0).is_met
    assert Figure("work", 1.0, 0.5, "peer", None).is_met is None
    assert "1/25" in figures([Figure("work", 1e-9, 1 / 25, "peer", 1e-7)])


def test_least_runs_every_statement() -> None:
    seen: list[int] = []
    times = least({"one": statement("f(1)", f=seen.append), "two": statement("f(2)", f=seen.append)}, 2, 1e-5)
    assert set(seen) == {1, 2}
    assert all(0 < seconds < 1 for seconds in times.values())


def test_rows_of_a_gpu_run(tmp_path: Path) -> None:
    """On the CPU, to see that they are right programs."""
    options = ["--small", "--systems", "graphc", "--rounds", "2", "--budget", "0.001", "--json", str(tmp_path / "rows")]
    bench.main(["--backend", "llvm", *options])
    rows = json.loads((tmp_path / "rows").read_text())
    assert len(rows) == len(bench.WORK)
    assert all(figure["value"] is None for figure in collect.figures(rows)), "small work says nothing"


def test_figures_of_a_gpu_run() -> None:
    """Each is met, missed, or not measured; a rate is wanted high, a time low."""
    works = {work for work, *_ in collect.FIGURES}
    assert works <= set(bench.WORK)
    assert all(figure["met"] is None for figure in collect.figures([]))
    sigmoid = "sigmoid(x + b), 2^28 float32"
    rows = [
        {"work": sigmoid, "system": "copy", "rate": 4000.0},
        {"work": sigmoid, "system": "graphc", "rate": 3800.0},
        {"work": "MLP 784-512-512-10 float32, batch 128", "system": "graphc", "seconds": 7e-5, "nodes": 21},
        {"work": "MLP 784-512-512-10 float32, batch 128", "system": "jax", "seconds": 1e-4},
    ]
    found = {(figure["work"], figure["what"]): figure["met"] for figure in collect.figures(rows)}
    assert found[sigmoid, "rate over copy's"] is True
    assert [met for (_, what), met in found.items() if what in ("nodes", "seconds over jax's")] == [False, False, None]


def test_a_gpu_run_keeps_what_it_found(tmp_path: Path) -> None:
    """Rehearsed without a GPU, and with time for its first parts only."""
    script = Path(bench.__file__).with_name("h200.sh")
    given = {"OUT": str(tmp_path), "BACKEND": "llvm", "SMALL": "--small", "LIMIT": "28", "PYTHON": sys.executable}
    done = subprocess.run(["bash", str(script)], env={**os.environ, **given}, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    (path,) = tmp_path.glob("h200-*.json")
    record = json.loads(path.read_text())
    assert record["bench"]
    assert record["failed"]
    assert (tmp_path / "bench.log").exists()


def test_rows_of_several_threads_run() -> None:
    for row in threads.rows(quick=True):
        assert {"graphc", "one thread"} <= set(row.seconds)
        assert all(seconds > 0 for seconds in row.seconds.values())
