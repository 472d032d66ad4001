"""The loop IR of a GPU: loops whose iterations are shared out over threads.

    kernel(x0: f32[n0, n1]) -> y0: f32[n0, n1]
      for i0 in n0 over teams:
        for i1 in n1 over lanes with t1 = max t0:
          t0 = x0[i0, i1]
        for i2 in n1 over lanes:
          ...

Threads come in two layouts.  In the first, a *team* is a row of a block's threads, its *lanes*: neighbouring lanes take
neighbouring iterations.  In the second, a team is a column of them, its *strides*: neighbouring teams, *columns*, take
neighbouring iterations.  The choice decides which memory neighbouring threads touch.  Where iterations are not shared
out further, all threads of the *grid* take their part.  Of products of matrices a block takes *tiles*: its threads
bring what they all need of the factors into shared memory, a *stage* of the inner loop at a time.

What a loop over lanes or strides carries is known to the whole team after it; of split strides, which several teams
share, each knows its own part.  What a loop over the grid, teams or
columns carries is known to the last block that ends, which runs `finish`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphc.kernels.loopir import Array, Axis, Carry, Kernel, Loop, Printer, Statement

# Which threads run the iterations of a loop.
GRID, TEAMS, LANES, COLUMNS, STRIDES, SPLIT = "grid", "teams", "lanes", "columns", "strides", "split strides"
TILES, STAGES = "tiles", "stages"


@dataclass(frozen=True)
class Spread:
    """A loop over several axes at once, the last the fastest, its iterations shared out over threads.

    part: of split strides, the axis around them whose iterations have a part each.
    """

    axes: tuple[Axis, ...]
    over: str
    body: tuple[GpuStatement, ...]
    carries: tuple[Carry, ...] = ()
    part: Axis | None = None


@dataclass(frozen=True)
class Once:
    """Statements that one thread of a team runs; outside of all loops, one thread of all."""

    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Sync:
    """The threads of a team wait for each other, and see what each wrote."""


GpuStatement = Statement | Spread | Once | Sync


@dataclass(frozen=True, eq=False)
class GpuKernel:
    """What one launch runs.

    Attributes
    ----------
    kernel: the parameters, those of the kernel it was mapped from or some of them; its own body is empty.
    body: the statements; of loops over the grid, teams, columns or tiles there is at most one.
    finish: what runs once everything the body carries is known.
    rows: arrays of which every team has its own.
    block: how many threads a block has along lanes (or columns), and how many rows of them.
    """

    kernel: Kernel
    body: tuple[GpuStatement, ...]
    finish: tuple[Statement, ...]
    rows: tuple[Array, ...]
    block: tuple[int, int]

    @property
    def shared_out(self) -> Spread | None:
        """The loop over the grid, teams, columns or tiles."""
        return next((s for s in self.body if isinstance(s, Spread)), None)

    @property
    def text(self) -> str:
        """The kernel as text."""
        return GpuPrinter(self).text()

    def __repr__(self) -> str:
        return self.text


def walk(statements: Sequence[GpuStatement]) -> Iterator[GpuStatement]:
    """The statements, and those inside of them."""
    for s in statements:
        yield s
        if isinstance(s, Loop | Spread | Once):
            yield from walk(s.body)


class GpuPrinter(Printer):
    """Writes a kernel with names given in order of appearance."""

    def __init__(self, mapped: GpuKernel) -> None:
        super().__init__(mapped.kernel)
        self.mapped = mapped
        self.names |= {row: f"r{i}" for i, row in enumerate(mapped.rows)}

    def text(self) -> str:
        """The whole kernel."""
        head, *_ = super().text().split("\n", 1)
        lines = [head]
        if self.mapped.rows:
            lines.append(f"  rows {', '.join(map(self._array, self.mapped.rows))}")
        self._block(self.mapped.body, lines, "  ")
        if self.mapped.finish:
            lines.append("  finish:")
            self._block(self.mapped.finish, lines, "    ")
        return "\n".join(lines)

    def _block(self, statements: Sequence[GpuStatement], lines: list[str], indent: str) -> None:
        for statement in statements:
            if isinstance(statement, Spread):
                self._spread(statement, lines, indent)
            elif isinstance(statement, Once):
                lines.append(f"{indent}once:")
                self._block(statement.body, lines, indent + "  ")
            elif isinstance(statement, Sync):
                lines.append(f"{indent}sync")
            else:
                super()._block((statement,), lines, indent)

    def _spread(self, spread: Spread, lines: list[str], indent: str) -> None:
        ranges = []
        for axis in spread.axes:
            self.names[axis] = f"i{self._axes}"
            self._axes += 1
            ranges.append(f"{self.names[axis]} in {self._size(axis.sizes)}")
        held: list[str] = []
        self._block(spread.body, held, indent + "  ")
        carried = ", ".join(map(self._carried, spread.carries))
        head = f"for {', '.join(ranges)} over {spread.over}"
        head += f" of {self.names[spread.part]}" if spread.part is not None else ""
        lines.append(f"{indent}{head}{' with ' + carried if carried else ''}:")
        lines.extend(held)
