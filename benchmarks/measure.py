"""Timing: interleaved rounds, medians, and peers that may be missing."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds for each system, for one piece of work."""

    work: str
    seconds: Mapping[str, float]
    note: str = ""

    def ratio(self, system: str, peer: str) -> float | None:
        """How many times as long as `peer` the `system` takes."""
        if system not in self.seconds or peer not in self.seconds:
            return None
        return self.seconds[system] / self.seconds[peer]


def interleaved(calls: Mapping[str, Call], rounds: int = 25, budget: float = 0.02) -> dict[str, float]:
    """The median time of one call of each system, in seconds.

    Each round times a batch of calls of every system in turn, so that a busy moment of the machine hits them all.
    """
    batch = {name: _batch_size(call, budget) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in calls.items():
                n = batch[name]
                start = time.perf_counter()
                for _ in range(n):
                    call()
                times[name].append((time.perf_counter() - start) / n)
    finally:
        if enabled:
            gc.enable()
    return {name: statistics.median(values) for name, values in times.items()}


def _batch_size(call: Call, budget: float) -> int:
    """How many calls take about `budget` seconds."""
    call()
    n = 1
    while True:
        start = time.perf_counter()
        for _ in range(n):
            call()
        elapsed = time.perf_counter() - start
        if elapsed > budget / 4 or n >= 1_000_000:
            return max(1, round(n * budget / max(elapsed, 1e-9)))
        n *= 4


def duration(seconds: float) -> str:
    """Seconds in a unit that reads well."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(rows: list[Row]) -> str:
    """The rows as text: one column a system, then graphc's ratio to each peer."""
    systems = list(dict.fromkeys(name for row in rows for name in row.seconds))
    peers = [name for name in systems if name != "graphc"]
    header = ["work", *systems, *(f"graphc/{peer}" for peer in peers), ""]
    lines = [header]
    for row in rows:
        cells = [row.work]
        cells += [duration(row.seconds[name]) if name in row.seconds else "-" for name in systems]
        for peer in peers:
            ratio = row.ratio("graphc", peer)
            cells.append("-" if ratio is None else f"{ratio:.2f}")
        lines.append([*cells, row.note])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    text = []
    for line in lines:
        figures = [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
        text.append("  ".join([line[0].ljust(widths[0]), *figures, line[-1]]).rstrip())
    text.insert(1, "-" * max(map(len, text)))
    return "\n".join(text)
