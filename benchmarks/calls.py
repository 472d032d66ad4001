"""What a call costs: programs that compute nothing, entered natively, beside the cheapest calls of Python and NumPy."""

from __future__ import annotations

import itertools
import statistics
import timeit
from typing import Any

import numpy as np

from benchmarks.measure import Row
from graphc.backends.base import Calling
from graphc.backends.llvm.link import Code, link
from graphc.backends.llvm.native import native_entry
from graphc.backends.llvm.program import Place, Program, Slot
from graphc.backends.llvm.target import host
from graphc.graph.shared import Cell
from graphc.graph.types import TensorType

NOTHING = "define i32 @nothing(ptr %frame) {\n  ret i32 0\n}\n"


class Nothing:
    """A function that computes nothing; `call` is an object whose calls reach it like those of compiled functions."""

    def __init__(self, ranks: list[int], result_ranks: list[int], shared: int = 0, form: str = "list") -> None:
        self.code = link(NOTHING, host(), ["nothing"])
        cells = [Cell(np.ones(4)) for _ in range(shared)]
        program = empty_program(self.code, ranks + [1] * shared, result_ranks + [1] * shared)
        types = [TensorType("float64", shape=(None,) * rank) for rank in ranks]
        calling = Calling(types, [False] * len(types), cells, cells, form, list, slow)
        entry = native_entry(program, calling)
        assert entry is not None
        self.call = entry.call


def slow(*args: Any, **kwargs: Any) -> Any:
    """Where no call may end up."""
    raise AssertionError("the native entry was left")


def empty_program(code: Code, ranks: list[int], result_ranks: list[int]) -> Program:
    """A program that leaves its results as they are; vectors have the size of the first input."""
    slots = itertools.count()
    inputs = [Place("float64", next(slots), tuple(Slot(next(slots)) for _ in range(rank))) for rank in ranks]
    results = [Place("float64", next(slots), inputs[0].sizes if rank else ()) for rank in result_ranks]
    nothing = code["nothing"]
    return Program((0,) * next(slots), tuple(inputs), tuple(results), (), nothing, nothing, (code,))


def three(x: Any, y: Any, z: Any) -> None:
    """A function in Python."""


def works() -> dict[str, tuple[Nothing, str]]:
    """What is called, and with what."""
    return {
        "f() -> []": (Nothing([], []), ""),
        "f(x) -> number": (Nothing([1], [0], form="one"), "x"),
        "f(2.0) -> number": (Nothing([0], [0], form="one"), "2.0"),
        "f(x) -> vector": (Nothing([1], [1], form="one"), "x"),
        "f(x, y, z) -> [vector, number]": (Nothing([1, 1, 1], [1, 0]), "x, y, z"),
        "f(x, y) -> [vector, number], two updates": (Nothing([1, 1], [1, 0], shared=2), "x, y"),
    }


# Statements to compare with.
PEERS = {"len(x)": "len(x)", "np.add": "np.add(x, y)", "python": "three(x, y, z)"}


def statements(codes: dict[str, str], names: dict[str, Any], rounds: int = 200, batch: int = 2_000) -> dict[str, float]:
    """The median seconds that each statement takes, timed in turns, each turn shorter than a slice of the processor."""
    timers = {name: timeit.Timer(code, globals=names) for name, code in codes.items()}
    times: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(rounds):
        for name, timer in timers.items():
            times[name].append(timer.timeit(batch) / batch)
    return {name: statistics.median(values) for name, values in times.items()}


def rows() -> list[Row]:
    """The rows of this part."""
    found = []
    for work, (nothing, arguments) in works().items():
        names = {"x": np.ones(4), "y": np.ones(4), "z": np.ones(4), "np": np, "three": three}
        names |= {"f": nothing.call}
        codes = {"graphc": f"f({arguments})", **PEERS}
        found.append(Row(work, statements(codes, names)))
    return found
