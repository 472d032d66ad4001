"""What compiling says on stderr, by the environment variable ``GRAPHC_DEBUG``.

1   a line for each function (and each variant of it): its size, and how long each stage took
2   before that its schedule and its source: NumPy's, or the loops of its kernels
3   before that every rule that was applied
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping

from graphc.backends.base import Executable
from graphc.graph.fgraph import FunctionGraph
from graphc.rewrites.engine.rule import Applied

VARIABLE = "GRAPHC_DEBUG"


def level() -> int:
    """How much is to be said; 0 is nothing."""
    asked = os.environ.get(VARIABLE, "")
    return int(asked) if asked.isdecimal() else 0


def rules(trace: Iterable[Applied]) -> None:
    """Say which rules were applied.  Before scheduling, so that it is said even if that fails."""
    if level() >= 3:
        for entry in trace:
            print(entry, file=sys.stderr)


def compiled(name: str, graph: FunctionGraph, executable: Executable, seconds: Mapping[str, float]) -> None:
    """Say what a function has become."""
    if level() >= 2:
        print(executable.schedule, executable.source.rstrip("\n"), sep="\n\n", end="\n\n", file=sys.stderr)
    if level() >= 1:
        kernels = len({kernel.text for kernel in getattr(executable, "kernels", [])})
        size = f"nodes {len(graph.nodes)}, kernels {kernels}"
        times = ", ".join(f"{stage} {1e3 * t:.1f}" for stage, t in seconds.items())
        print(f"graphc: {name}: {size}, {1e3 * sum(seconds.values()):.1f} ms ({times})", file=sys.stderr)
