"""What an example of the demo reports: results with what is expected of them, times, and pictures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Band:
    """A range in which a result has to lie, because the run is random."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Check:
    """One result beside the expected one: a text, numbers that agree to within `tolerance`, or a `Band`."""

    what: str
    found: Any
    expected: Any
    tolerance: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the result is as expected; nan never is."""
        if isinstance(self.expected, str):
            return str(self.found) == self.expected
        found = np.asarray(self.found, dtype=float)
        if isinstance(self.expected, Band):
            return bool(np.all((found >= self.expected.low) & (found <= self.expected.high)))
        expected = np.asarray(self.expected, dtype=float)
        return found.shape == expected.shape and bool(np.all(np.abs(found - expected) <= self.tolerance))


@dataclass(frozen=True)
class Timing:
    """Seconds that one step takes in graphc, and in NumPy when a person writes it by hand."""

    graphc: float
    numpy: float


@dataclass(frozen=True)
class Outcome:
    """What came out of an example.

    plots: (name of the file, function that draws into a matplotlib Figure); graphs: (name, title, what to draw).
    """

    checks: tuple[Check, ...]
    timing: Timing | None = None
    plots: tuple[tuple[str, Callable[[Any], None]], ...] = ()
    graphs: tuple[tuple[str, str, Any], ...] = ()


@dataclass(frozen=True)
class Example:
    """One example: its title, and the function that runs it, quickly or in full."""

    title: str
    run: Callable[[bool], Outcome]


def seconds_per_call(call: Callable[[], Any], batches: int = 21, batch_seconds: float = 0.004) -> float:
    """The median over batches of the time that one call takes."""
    call()
    count = 1
    while (elapsed := _elapsed(call, count)) < batch_seconds / 2:
        count *= 2
    count = max(1, round(count * batch_seconds / elapsed))
    return statistics.median(_elapsed(call, count) / count for _ in range(batches))


def _elapsed(call: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - start
