"""Long chains: every stage must grow linearly, under the default recursion limit."""

from __future__ import annotations

import copy
import gc
import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc
import graphc.tensor as T
from benchmarks.measure import Row

SIZES = (1_000, 10_000, 100_000)


def chain(n: int) -> tuple[Any, Any]:
    """``x`` and ``tanh(tanh(...) * x + 1)``: a chain of `n` nodes."""
    x = T.dvector("x")
    y = x
    for i in range(n):
        y = (T.tanh, lambda v: v * x, lambda v: v + 1)[i % 3](y)
    return x, y


def stages(n: int) -> dict[str, float]:
    """Seconds for each stage of the life of a chain of `n` nodes."""
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        gc.collect()
        start = time.perf_counter()
        result = work()
        times[name] = time.perf_counter() - start
        return result

    x, y = timed("build", lambda: chain(n))
    g = timed("differentiate", lambda: T.grad(y.sum(), x))
    timed("debugprint", lambda: graphc.debugprint(g, file="str"))
    timed("pp", lambda: graphc.pp(y))
    timed("copy", lambda: copy.deepcopy(y))
    data = timed("pickle", lambda: pickle.dumps(g))
    timed("unpickle", lambda: pickle.loads(data))
    f = timed("compile with gradient", lambda: graphc.function([x], [y.sum(), g], backend="numpy"))
    timed("run", lambda: f(np.linspace(0, 1, 5)))

    def delete() -> None:
        nonlocal x, y, g, f
        del x, y, g, f
        gc.collect()

    timed("delete", delete)
    return times


def rows(sizes: tuple[int, ...] = SIZES) -> list[Row]:
    """The rows of this part: one a stage, one column a size."""
    measured = {n: stages(n) for n in sizes}
    result = []
    for stage in measured[sizes[0]]:
        columns = {f"{n:,} nodes": measured[n][stage] for n in sizes}
        per_node = ", ".join(f"{measured[n][stage] / n * 1e6:.2f}" for n in sizes)
        result.append(Row(f"chain: {stage}", columns, f"{per_node} us a node"))
    return result
