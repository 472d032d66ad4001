"""From a kernel and the sizes of a call to launches: how many blocks, which index type, where the rows of teams are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from math import prod

from graphc.backends.cupy.layout import Layout, extras
from graphc.backends.cupy.render import render
from graphc.backends.cupy.several import render_beside
from graphc.kernels.gpuir import (
    COLUMNS,
    GRID,
    LANES,
    SPLIT,
    STRIDES,
    TILES,
    GpuKernel,
    GpuStatement,
    Once,
    Spread,
    walk,
)
from graphc.kernels.loopir import Array, Kernel, Loop, Require, Size
from graphc.kernels.map_gpu import ALONE, mapped, row_bytes, shared_bytes
from graphc.kernels.tiling import TILE

# Blocks of one multiprocessor that take iterations in turns; more would only begin later.
BLOCKS = 8

# Iterations and elements up to here are counted in 32 bits; a step beyond the end must fit too.
MOST_SMALL = 2**30

# A launch of more iterations does not run beside others: it fills a GPU by itself for longer than a launch takes to
# begin, and with registers and a shape of its own.
MOST_LITTLE = 1 << 20

# Nor one in which a thread of a block of the common shape would have so many iterations, one after the other, that
# they take longer than a launch.
MOST_TURNS = 32


@dataclass(frozen=True)
class Prepared:
    """One launch: a kernel, how it is written, and how many blocks run it; with the bytes of rows beside it.

    beside: the same, with the same arguments, for blocks of the shape `ALONE`, in which it can run beside others; None
    if it had better not.
    """

    kernel: GpuKernel
    layout: Layout
    grid: int
    row_bytes: int
    beside: Prepared | None = None

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

    @cached_property
    def text(self) -> str:
        """What is equal for kernels that do the same."""
        return self.source("kernel")


@dataclass(frozen=True)
class Beside:
    """Launches that run as one, beside each other: each has some of its blocks."""

    launches: tuple[Prepared, ...]

    @property
    def ends(self) -> list[int]:
        """Behind the last block of each; the last of them is the grid."""
        return list(accumulate(launch.grid for launch in self.launches))

    def source(self, name: str) -> str:
        """The CUDA C of the kernel, which is given all ends but the last before what the launches are given."""
        return render_beside([(launch.kernel, launch.layout) for launch in self.launches], name)


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
    beside: bool = False,
) -> Sequel:
    """The launches for a kernel that is called with such sizes on so many multiprocessors.

    aliased: whether two of its parameters may be the same memory, one of them written; alone: whether one block runs
    it, with others before and after it; beside: whether its launches may run beside others.
    """
    found = mapped(kernel, size_of, alone)

    def prepared(kernel: GpuKernel) -> Prepared:
        return _Preparer(kernel, size_of, 0 if alone else processors, aliased or alone).run()

    def with_another(own: Prepared) -> Prepared:
        if not can_be_beside(own.kernel, size_of):
            return own
        if own.kernel.block == ALONE:
            return replace(own, beside=own)
        other = prepared(replace(own.kernel, block=ALONE))
        is_same = other.extras == own.extras and other.grid <= own.grid and other.row_bytes <= own.row_bytes
        return replace(own, beside=other) if is_same else own

    launches = tuple(map(prepared, found.kernels))
    return Sequel(tuple(map(with_another, launches)) if beside else launches, found.kept)


def can_be_beside(kernel: GpuKernel, size_of: Callable[[Size], int]) -> bool:
    """Whether a kernel may run beside others: of little work, or in tiles, which have the common shape anyway."""
    top = kernel.shared_out
    if top is not None and top.over == TILES:
        return True
    return turns(kernel, size_of) <= MOST_TURNS and iterations(kernel, size_of) <= MOST_LITTLE


def turns(kernel: GpuKernel, size_of: Callable[[Size], int]) -> int:
    """The most iterations that a thread has of a loop that its team shares out, in a block of the common shape."""
    wide, high = ALONE
    most = 1
    for s in walk(kernel.body):
        if isinstance(s, Spread) and s.over in (LANES, STRIDES, SPLIT):
            count, parts = (
                prod(n if isinstance(n, int) else size_of(n) for axis in axes for n in axis.sizes)
                for axes in (s.axes, () if s.part is None else (s.part,))
            )
            most = max(most, -(-count // (parts * (wide if s.over == LANES else high))))
    return most


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


def iterations(kernel: GpuKernel, size_of: Callable[[Size], int]) -> int:
    """How often the innermost statements of a kernel run, all together."""

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

    return count(kernel.body)


def does_nothing(launch: Prepared, size_of: Callable[[Size], int]) -> bool:
    """Whether a launch has no iteration and nothing to do or to check besides."""
    top = launch.kernel.shared_out
    if top is None or top.carries or any(isinstance(s, Once | Require) for s in launch.kernel.body):
        return False
    return not prod(n if isinstance(n, int) else size_of(n) for axis in top.axes for n in axis.sizes)
