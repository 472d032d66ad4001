"""What a mapped kernel means, thread by thread: values as the interpreter makes them, and races between threads.

Two threads race if both touch a place, at least one writes, neither had to wait for the other, and not both are
atomic additions.  Iterations of a loop run on as many threads as there are, or on `lanes` of them; the iterations of
the outermost loop on as many teams as there are, or one after another on one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from graphc.backends.cupy.launches import Prepared
from graphc.kernels.gpuir import COLUMNS, GRID, TEAMS, GpuKernel, GpuStatement, Once, Spread, Sync
from graphc.kernels.interpret import PAIRS, _Interpreter
from graphc.kernels.loopir import Accumulate, Array, Load, Size, Store, Value
from graphc.kernels.neutral import neutral
from tests.schedule.interpreter import poison

ALL = -1
"""The thread number of what every thread of a team does, or every thread there is."""

Memory = np.ndarray[Any, Any]


class Access(NamedTuple):
    """Who touched a place, how, and how often its team had waited before."""

    team: int
    thread: int
    phase: int
    how: str

    def races(self, other: Access) -> bool:
        """Whether nothing says which of two accesses comes first, and it matters."""
        if self.how == other.how != "write":  # two reads, or two atomic additions
            return False
        if self.team == other.team:
            same = self.thread == other.thread != ALL or (self.thread == other.thread == ALL and self.team != ALL)
            return self.phase == other.phase and not same
        return True


class Threads(_Interpreter):
    """One launch.  Its memory is given by the parameters, and changed."""

    def __init__(
        self,
        mapped: GpuKernel,
        memory: Mapping[Any, Memory],
        size_of: Mapping[Size, int],
        lanes: int = 2**30,
        one_team: bool = False,
    ) -> None:
        own = mapped.kernel
        given = [memory[x][()] for x in own.scalars], [memory[x] for x in own.arrays]
        writable = replace(own, written=own.written | set(mapped.rows))
        super().__init__(writable, [size_of[n] for n in own.sizes], *given, False)
        self.mapped = mapped
        self.memory = memory
        self.lanes = lanes
        self.one_team = one_team
        self.team = self.thread = ALL
        self.phase = 0
        self.ended = False
        self.over = GRID
        self.accesses: defaultdict[tuple[Array, tuple[int, ...], int, bool], set[Access]] = defaultdict(set)
        for row in mapped.rows:
            self._make_row(row)

    def run(self) -> list[Any]:
        """Run it."""
        with np.errstate(all="ignore"):
            self._block(self.mapped.body)
            if self.mapped.finish:
                self.team = self.thread = 0
                self.ended = True  # the last block has waited for all
                self._block(self.mapped.finish)
        for o, value in self.outputs.items():
            self.memory[o][()] = value
        return []

    def _make_row(self, row: Array) -> None:
        self.arrays[row] = np.full([self._size(n) for n in row.sizes], poison(np.dtype(row.dtype)), row.dtype)

    def races(self) -> list[str]:
        """The races, as text."""
        found = []
        for (array, place, *_), accesses in self.accesses.items():
            every = list(accesses)
            for i, x in enumerate(every):
                found += [f"{x} and {y} at {place} of {array}" for y in every[i:] if x.races(y)]
        return found

    # ---- statements ----

    def _block(self, statements: Sequence[GpuStatement]) -> None:
        for s in statements:
            if isinstance(s, Spread):
                self._spread(s)
            elif isinstance(s, Once):
                self._as_thread(0 if self.over != GRID else 2**20, s.body)
            elif isinstance(s, Sync):
                self.phase += 1
            else:
                self._statement(s)

    def _as_thread(self, thread: int, statements: Sequence[Any]) -> None:
        before, self.thread = self.thread, thread
        team, self.team = self.team, 2**20 if self.over == GRID else self.team
        self._block(statements)
        self.thread, self.team = before, team

    def _spread(self, s: Spread) -> None:
        totals = {c: np.dtype(c.out.dtype).type(neutral(c.kind, c.out.dtype)) for c in s.carries}
        outer, before = self.over, (self.team, self.thread)
        is_top = s.over in (GRID, TEAMS, COLUMNS)
        self.over = s.over
        for k, places in enumerate(product(*(range(self._size(axis.sizes)) for axis in s.axes))):
            self.axes.update(zip(s.axes, places, strict=True))
            if s.over == GRID:
                self.team, self.thread = (0, 0) if self.one_team else (k, 0)
            elif is_top:
                self.team, self.thread = 0 if self.one_team else k, ALL
                if not self.one_team:
                    for row in self.mapped.rows:
                        self._make_row(row)
            elif s.part is not None and k % self._size(s.part.sizes) != self.axes[s.part]:
                continue
            else:
                self.thread = k % self.lanes
            self._block(s.body)
            totals = {c: PAIRS[c.kind](total, self.values[c.value]) for c, total in totals.items()}
        self.over, (self.team, self.thread) = outer, before
        for carry, total in totals.items():
            self._define(carry.out, total)

    def _statement(self, s: Any) -> None:
        if isinstance(s, Load | Store | Accumulate):
            atomic = isinstance(s, Accumulate) and s.shared
            how = "read" if isinstance(s, Load) else "add" if atomic else "write"
            self._note(s.array, self._at(s.array, s.index), how)
        super()._statement(s)

    def _note(self, array: Array, place: tuple[int, ...], how: str) -> None:
        own = self.team if array in self.mapped.rows and not self.one_team else 0
        self.accesses[array, place, own, self.ended].add(Access(self.team, self.thread, self.phase, how))


def run_launch(launch: Prepared, memory: dict[Any, Memory], size_of: Mapping[Size, int], **threads: Any) -> list[str]:
    """Run a launch on memory, and tell of its races."""
    runner = Threads(launch.kernel, memory, size_of, **threads)
    runner.run()
    return runner.races()


def memory_of(
    kept: Sequence[Array], outputs: Sequence[Value], size_of: Mapping[Size, int]
) -> dict[Any, Memory]:
    """Memory for what kernels hand on, full of garbage."""
    handed_on: list[Array | Value] = [*kept, *outputs]
    return {x: garbage(x, size_of) for x in handed_on}


def garbage(x: Array | Value, size_of: Mapping[Size, int]) -> Memory:
    """Memory that nobody has written to."""
    sizes = x.sizes if isinstance(x, Array) else ()
    shape = [math.prod(n if isinstance(n, int) else size_of[n] for n in dims) for dims in sizes]
    return np.full(shape, poison(np.dtype(x.dtype)), x.dtype)
