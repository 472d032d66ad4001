"""What rewriting does to the articles' steps, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import graphc
import graphc.tensor as T
from benchmarks.measure import Row, interleaved
from benchmarks.scale import chain
from benchmarks.steps import T_AND, X_AND, and_function, moons_data, moons_function
from graphc.schedule.schedule import Compute


def steps(f: Any) -> int:
    """How many nodes a call computes, sizes aside."""
    return sum(isinstance(s, Compute) and s.node.op.text()[:5] != "Shape" for s in f.schedule.steps)


def rows() -> list[Row]:
    """As written (``numerics="ieee"``) beside rewritten, and the time rewriting takes for a long chain."""
    x, y, start = moons_data()
    work: dict[str, Callable[[Any], Any]] = {
        "AND step": lambda options: (and_function(graphc, T, T.grad, options), (X_AND, T_AND)),
        "moons network step": lambda options: (moons_function(start, len(y), options), (x, y)),
    }
    result = []
    for name, build in work.items():
        written, arguments = build({"backend": "numpy", "numerics": "ieee"})
        rewritten, _ = build({"backend": "numpy"})
        times = interleaved({"as written": partial(written, *arguments), "graphc": partial(rewritten, *arguments)})
        result.append(Row(name, times, f"{steps(written)} steps as written, {steps(rewritten)} rewritten"))
    v, out = chain(10_000)
    gradient = T.grad(out.sum(), v)
    start_time = time.perf_counter()
    f = graphc.function([v], [out.sum(), gradient], backend="numpy")
    total = time.perf_counter() - start_time
    (variant,) = f.variants.values()
    spent = sum(variant.seconds[phase] for phase in ("canonicalize", "stabilize", "specialize", "lower"))
    nodes = len(f.graph.toposort())
    result.append(Row("compile: chain of 10,000 with gradient", {"graphc": total}, f"{nodes:,} nodes"))
    result.append(Row("  of which rewriting", {"graphc": spent}, f"{len(f.rewrites):,} rules applied"))
    return result
