"""From a kernel and the sizes of a call to launches: how many blocks, which index type, where the rows of teams are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from graphc.backends.cupy.layout import Layout, extras
from graphc.backends.cupy.render import render
from graphc.kernels.gpuir import COLUMNS, GRID, TILES, GpuKernel, GpuStatement, Once, Spread, walk
from graphc.kernels.loopir import Array, Kernel, Loop, Require, Size
from graphc.kernels.map_gpu import mapped, row_bytes, shared_bytes
from graphc.kernels.tiling import TILE

# Blocks of one multiprocessor that take iterations in turns; more would only begin later.
BLOCKS = 8

# Iterations and elements up to here are counted in 32 bits; a step beyond the end must fit too.
MOST_SMALL = 2**30


@dataclass(frozen=True)
class Prepared:
    """One launch: a kernel, how it is written, and how many blocks run it; with the bytes of rows beside it."""

    kernel: GpuKernel
    layout: Layout
    grid: int
    row_bytes: int

    @property
    def extras(self) -> tuple[str, ...]:
        """The parameters that are no part of the loop IR."""
        return extras(self.kernel, self.layout)

    @property
    def totals(self) -> int:
        """How many totals over the grid it has: each takes 8 bytes a block."""
        top = self.kernel.shared_out
        return 0 if top is None else len(top.carries)

    def source(self, name: str) -> str:
        """The CUDA C of the kernel."""
        return render(self.kernel, self.layout, name)


@dataclass(frozen=True)
class Sequel:
    """The launches of a kernel, in order; `kept` are arrays that pass values between them."""

    launches: tuple[Prepared, ...]
    kept: tuple[Array, ...]


def prepare(
    kernel: Kernel,
    size_of: Callable[[Size], int],
    processors: int,
    aliased: bool = False,
    alone: bool = False,
) -> Sequel:
    """The launches for a kernel that is called with such sizes on so many multiprocessors.

    aliased: whether two of its parameters may be the same memory, one of them written; alone: whether one block runs
    it, with others before and after it.
    """
    found = mapped(kernel, size_of, alone)
    preparers = [_Preparer(k, size_of, 0 if alone else processors, aliased or alone) for k in found.kernels]
    return Sequel(tuple(preparer.run() for preparer in preparers), found.kept)


class _Preparer:
    def __init__(self, kernel: GpuKernel, size_of: Callable[[Size], int], processors: int, aliased: bool) -> None:
        self.kernel = kernel
        self.size_of = size_of
        self.processors = processors  # 0: one block
        self.aliased = aliased

    def run(self) -> Prepared:
        """The launch."""
        needed, teams = row_bytes(self.kernel.rows, self._count), self.kernel.block[1]
        shared = shared_bytes(needed, teams)
        grid = self._grid()
        return Prepared(
            self.kernel,
            Layout(self._is_small(), shared, self.aliased, not self.processors),
            grid,
            0 if shared else grid * teams * needed,
        )

    def _count(self, sizes: Sequence[Sequence[int | Size]]) -> int:
        return prod(n if isinstance(n, int) else self.size_of(n) for dims in sizes for n in dims)

    def _is_small(self) -> bool:
        counts = [self._count(a.sizes) for a in self.kernel.kernel.arrays]
        for s in walk(self.kernel.body):
            if isinstance(s, Spread):
                counts.append(self._count([axis.sizes for axis in s.axes]))
        return max(counts, default=0) < MOST_SMALL

    def _grid(self) -> int:
        """How many blocks."""
        top = self.kernel.shared_out
        if top is None or not self.processors:
            return 1
        count = self._count([axis.sizes for axis in top.axes])
        wide, high = self.kernel.block
        most = self.processors * max(BLOCKS, BLOCKS * 256 // (wide * high))
        if top.over == COLUMNS:
            return min(max(-(-count // wide), 1), most)
        if top.over == TILES:
            down, across = (-(-self._count([axis.sizes]) // TILE) for axis in top.axes)
            return max(1, min(down * across, most))
        each = wide * high if top.over == GRID else high
        return max(1, min(-(-count // each), most))


def iterations(launch: Prepared, size_of: Callable[[Size], int]) -> int:
    """How often the innermost statements of a launch run, all together."""

    def count(statements: Sequence[GpuStatement]) -> int:
        total = 1
        for s in statements:
            if isinstance(s, Spread | Loop):
                axes = s.axes if isinstance(s, Spread) else (s.axis,)
                times = prod(n if isinstance(n, int) else size_of(n) for axis in axes for n in axis.sizes)
                total += times * count(s.body)
            elif isinstance(s, Once):
                total += count(s.body)
        return total

    return count(launch.kernel.body)


def does_nothing(launch: Prepared, size_of: Callable[[Size], int]) -> bool:
    """Whether a launch has no iteration and nothing to do or to check besides."""
    top = launch.kernel.shared_out
    if top is None or top.carries or any(isinstance(s, Once | Require) for s in launch.kernel.body):
        return False
    return not prod(n if isinstance(n, int) else size_of(n) for axis in top.axes for n in axis.sizes)
