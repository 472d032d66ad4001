"""Timing: interleaved rounds, medians or minima, and peers that may be missing."""

from __future__ import annotations

import gc
import statistics
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Call = Callable[[], object]

WARM_UP, MOST_WARM_UP = 12, 0.5
"""Runs before the first that counts, and seconds for them: graphc makes code with care at the eighth call."""

BACKEND: dict[str, Any] = {"backend": "llvm"}
"""What the tables of targets are about: options of `graphc.function`."""


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


@dataclass(frozen=True)
class Figure:
    """One line of a table of targets.

    value: what graphc takes, in seconds, or a number of something if `unit` says of what; peer, peer_value: what it is
    compared with, None if that is not installed; target: the ratio to the peer, or the value, that is not to be
    exceeded.
    """

    work: str
    value: float
    target: float
    peer: str = ""
    peer_value: float | None = None
    note: str = ""
    unit: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as much as the peer."""
        return None if self.peer_value is None else self.value / self.peer_value

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None if the peer is missing."""
        measured = self.ratio if self.peer else self.value
        return None if measured is None else measured <= self.target


def statement(code: str, **names: Any) -> timeit.Timer:
    """A statement to be timed, without a function call around it; what it returns is dropped."""
    return timeit.Timer(code, globals=names)


def least(
    statements: Mapping[str, timeit.Timer],
    rounds: int = 30,
    budget: float = 0.002,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """The least seconds that one run of each statement takes.

    The statements take turns, each for about `budget` seconds: shorter than a slice of the processor, so that on a
    busy machine some turns are not disturbed.  Work that takes longer, and runs in one thread, is better measured by
    ``time.process_time``, which stands still while others have the processor.
    """
    for timer in statements.values():
        timer.timer = clock  # type: ignore[attr-defined]
    batch = {name: _batch_size(timer.timeit, budget) for name, timer in statements.items()}
    times = dict.fromkeys(statements, float("inf"))
    for _ in range(rounds):
        for name, timer in statements.items():
            times[name] = min(times[name], timer.timeit(batch[name]) / batch[name])
    return times


def interleaved(calls: Mapping[str, Call], rounds: int = 25, budget: float = 0.02) -> dict[str, float]:
    """The median time of one call of each system, in seconds.

    Each round times a batch of calls of every system in turn, so that a busy moment of the machine hits them all.
    """
    batch = {name: _batch_size(_timed(call), budget) for name, call in calls.items()}
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


def _timed(call: Call) -> Callable[[int], float]:
    """The seconds that a number of calls take."""

    def seconds(number: int) -> float:
        start = time.perf_counter()
        for _ in range(number):
            call()
        return time.perf_counter() - start

    return seconds


def _batch_size(seconds: Callable[[int], float], budget: float) -> int:
    """How many runs take about `budget` seconds, once the first ones have compiled what they need."""
    spent, runs = 0.0, 0
    while runs < WARM_UP and spent < MOST_WARM_UP:
        spent, runs = spent + seconds(1), runs + 1
    n = 1
    while True:
        elapsed = seconds(n)
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
    return _aligned(lines)


def figures(rows: Sequence[Figure]) -> str:
    """Figures as text: what graphc takes, what its peer takes, the ratio, the target, and whether it is met."""
    lines = [["work", "graphc", "peer", "", "ratio", "target", "met", ""]]
    for row in rows:
        amount = duration if not row.unit else lambda value, unit=row.unit: f"{value:g} {unit}"
        peer = "-" if row.peer_value is None else amount(row.peer_value)
        ratio = "-" if row.ratio is None else f"{row.ratio:.3g}"
        met = {None: "-", True: "yes", False: "NO"}[row.is_met]
        target = f"<= {_fraction(row.target) if row.peer else amount(row.target)}"
        lines.append([row.work, amount(row.value), row.peer, peer, ratio, target, met, row.note])
    return _aligned(lines)


def _fraction(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.5 else f"1/{1 / ratio:g}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as columns; the first and the last start at the left."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = []
    for line in lines:
        figures = [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
        text.append("  ".join([line[0].ljust(widths[0]), *figures, line[-1]]).rstrip())
    text.insert(1, "-" * max(map(len, text)))
    return "\n".join(text)
