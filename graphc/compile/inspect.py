"""What a function shows of itself: its profile, and Theano's ``f.maker``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphc.compile.function import Function


class Maker:
    """What Theano programs reach through ``f.maker``: ``f.maker.fgraph.toposort()``."""

    def __init__(self, function: Function) -> None:
        self.fgraph = function.graph
        self.inputs = function.inputs
        self.function = function


class Profile:
    """How often a function was called and how long that took."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self.fcn_callcount = 0
        self.fcn_call_time = 0.0

    def timed(self, entry: Callable[..., Any]) -> Callable[..., Any]:
        """`entry`, with its calls counted."""

        def counted(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return entry(*args)
            finally:
                self.fcn_callcount += 1
                self.fcn_call_time += time.perf_counter() - start

        return counted

    def summary(self) -> str:
        """Print (and return) calls, the time in calls, and the time each stage of compiling took."""
        calls, total = self.fcn_callcount, self.fcn_call_time
        lines = [
            "Function profiling",
            "==================",
            f"  {self._function}",
            f"  Time in {calls} calls: {total:.6e}s" + (f"  ({total / calls:.3e}s a call)" if calls else ""),
            f"  {len(self._function.schedule.steps)} steps",
        ]
        for variant in self._function.variants.values():
            lines.append(f"  Compile time: {sum(variant.seconds.values()):.6e}s")
            lines += [f"    {stage:14s} {seconds:.6e}s" for stage, seconds in variant.seconds.items()]
        text = "\n".join(lines)
        print(text)
        return text
