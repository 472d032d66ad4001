"""From loops to threads: who runs which iterations on a GPU.

A stage (stages.py) is one loop nest.  Where all its loops are nested in each other, every thread of the grid takes
iterations.  Where rows are reduced and used again (softmax), or where inner loops are long, a team of threads takes a
row and shares out its columns.  Of the two layouts of teams that one is chosen in which neighbouring threads touch
neighbouring memory.  Sums over rows that a CPU adds to memory row by row are turned round: a team has a column.
Products of matrices go by tiles (tiling.py).

The choices rest on the sizes of one call, but what is generated holds for all sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from graphc.kernels.apart import apart
from graphc.kernels.early import filled_early
from graphc.kernels.fills import without_fills
from graphc.kernels.gpuir import (
    COLUMNS,
    GRID,
    LANES,
    SPLIT,
    STRIDES,
    TEAMS,
    GpuKernel,
    GpuStatement,
    Once,
    Spread,
    Sync,
    walk,
)
from graphc.kernels.loopir import (
    Accumulate,
    Array,
    Axis,
    Carry,
    Extent,
    Kernel,
    Load,
    Loop,
    Output,
    Size,
    Statement,
    Store,
    Value,
    uses,
)
from graphc.kernels.nests import Nest, by_columns, flattened, is_sum, met_elsewhere, nest_of, ordered, rows_of, turned
from graphc.kernels.stages import Stage, staged
from graphc.kernels.tiling import TILE, tiled, tiling

THREADS = 256
"""Of a block, where nothing else decides."""

SHORT = 16
"""Inner loops of no more iterations are left to one thread."""

WARP = 32

MOST_LANES = 512
"""Of a team: each may have 128 registers.  With 1024 there are 64, and long loops over doubles spill some on sm_90."""

ALONE = (WARP, 8)
"""The shape of a block that runs all kernels of a small function: every layout of teams fits it."""

# A sum over so many rows into so few columns is shared out over blocks.
LONG_COLUMNS, FEW_COLUMNS = 4096, 4096

PARTS = 64
"""Into so many parts."""

MOST_SHARED = 40 * 1024
"""Bytes of shared memory that the rows of a block may take."""

Count = Callable[[Sequence[Sequence[int | Size]]], int]
"""How many elements some dimensions have."""


@dataclass(frozen=True)
class Mapped:
    """The launches of a kernel, in order; `kept` are arrays that pass values between them."""

    kernels: tuple[GpuKernel, ...]
    kept: tuple[Array, ...]


def mapped(kernel: Kernel, size_of: Callable[[Size], int], alone: bool = False) -> Mapped:
    """The launches of a kernel that is called with such sizes.

    alone: one block of the shape `ALONE` is to run it.
    """

    def count(sizes: Sequence[Sequence[int | Size]]) -> int:
        return prod(n if isinstance(n, int) else size_of(n) for dims in sizes for n in dims)

    found = staged(kernel)
    mapper = _Mapper(kernel, found.kept, count, alone)
    kernels = [launch for stage in found.stages for launch in mapper.stage(stage)]
    return Mapped(tuple(without_fills(kernels)), tuple(mapper.kept))


class _Mapper:
    def __init__(self, kernel: Kernel, kept: tuple[Array, ...], count: Count, alone: bool) -> None:
        self.kernel = kernel
        self.kept = list(kept)
        self.count = count
        self.alone = alone

    def extent(self, axes: Sequence[Axis]) -> int:
        """How many iterations loops have."""
        return self.count([axis.sizes for axis in axes])

    def stage(self, stage: Stage) -> list[GpuKernel]:
        """The launches of one stage."""
        if stage.loop is None:
            return [self._kernel((*stage.before, Once(stage.after)), (), (), (WARP, 1))]
        in_order = ordered(stage.loop)
        if in_order:
            return [self._in_order(stage, in_order)]
        nest = nest_of(stage.loop)
        if not self.extent(flattened(nest).axes):  # what is checked for every row must stay outside of the columns
            return [self._nest(stage, nest)]
        nest = turned(nest)
        if self._is_long(nest):
            return self._in_parts(stage, nest)
        found = apart(nest)
        self.kept += found.made
        sums = [launch for loop in found.sums for launch in self.stage(Stage((), loop, ()))]
        return [self._nest(stage, found.nest), *sums]

    def _nest(self, stage: Stage, nest: Nest) -> GpuKernel:
        """The launch of a nest."""
        rows = rows_of(nest)
        top, block = self._spread(nest, rows)
        if top.carries:
            return self._kernel((*stage.before, top), stage.after, rows, block)
        beside = (Once(stage.after),) if stage.after else ()
        return self._kernel((*stage.before, *beside, top), (), rows, block)

    def _is_long(self, nest: Nest) -> bool:
        """Whether a nest is long sums of few columns."""
        within = max((self.extent(nest_of(loop).axes) for loop in nest.inner), default=0)
        if self.alone or within < LONG_COLUMNS or self.extent(nest.axes) >= FEW_COLUMNS:
            return False
        return not nest.carries and not rows_of(nest) and by_columns(nest) and is_sum(nest)

    def _in_parts(self, stage: Stage, nest: Nest) -> list[GpuKernel]:
        """Sums in two launches: each column of threads has a part of a column, then the parts are added up."""
        part, again = Axis((PARTS,)), Axis((PARTS,))
        sums: list[GpuStatement] = []
        totals: list[GpuStatement] = [Once(stage.after)] if stage.after else []
        ends: list[GpuStatement] = []
        for statement in nest.body:
            if isinstance(statement, Loop):
                inner = nest_of(statement)
                axes = (*nest.axes, *inner.axes)
                sums.append(Spread(inner.axes, SPLIT, _marked(inner.body, axes), inner.carries, part))
            elif isinstance(statement, Accumulate):
                kept = Array(statement.value.dtype, (part.sizes, *(axis.sizes for axis in nest.axes)))
                self.kept.append(kept)
                value, total = Value(kept.dtype), Value(kept.dtype)
                sums.append(Once((Store(kept, (part, *nest.axes), statement.value),)))
                load = Load(value, kept, (again, *nest.axes))
                ends.append(Spread((again,), STRIDES, (load,), (Carry(total, statement.kind, value),)))
                ends.append(Once((replace(statement, value=total),)))
            else:
                sums.append(statement)
        first = Spread((part, *nest.axes), COLUMNS, tuple(sums))
        second = Spread(nest.axes, COLUMNS, tuple(ends))
        return [
            self._kernel((*stage.before, first), (), (), (WARP, 8)),
            self._kernel((*totals, second), (), (), (WARP, 8)),
        ]

    def _kernel(
        self,
        body: tuple[GpuStatement, ...],
        finish: tuple[Statement, ...],
        rows: tuple[Array, ...],
        block: tuple[int, int],
    ) -> GpuKernel:
        """A launch with the parameters that it uses."""
        used = set(_parameters((*body, *finish)))
        kernel = self.kernel
        arrays = tuple(a for a in (*kernel.arrays, *self.kept) if a in used and a not in rows)
        own = Kernel(
            tuple(n for n in kernel.sizes if n in used),
            tuple(s for s in kernel.scalars if s in used),
            arrays,
            tuple(o for o in kernel.outputs if o in used),
            (),
            frozenset(s.array for s in walk((*body, *finish)) if isinstance(s, Store | Accumulate)) & frozenset(arrays),
        )
        return GpuKernel(own, body, finish, rows, ALONE if self.alone else block)

    def _in_order(self, stage: Stage, kept: set[Axis]) -> GpuKernel:
        """A launch of a loop that stores to the same place several times: one thread has all iterations that may."""
        assert stage.loop is not None
        nest = flattened(nest_of(stage.loop))
        free = tuple(axis for axis in nest.axes if axis not in kept)
        if nest.inner or nest.carries or not free or not self.extent(nest.axes):
            return self._kernel((*stage.before, Once((stage.loop, *stage.after))), (), (), (WARP, 1))
        body = _marked(nest.body, free)
        for axis in reversed([axis for axis in nest.axes if axis in kept]):
            body = (Loop(axis, body),)
        beside = (Once(stage.after),) if stage.after else ()
        return self._kernel((*stage.before, *beside, Spread(free, GRID, body)), (), (), (THREADS, 1))

    def _spread(self, nest: Nest, rows: tuple[Array, ...]) -> tuple[Spread, tuple[int, int]]:
        """The outermost loop, and the shape of a block."""
        inner = nest.inner
        within = max((self.extent(nest_of(loop).axes) for loop in inner), default=1)
        if not inner or (within <= SHORT and not rows):
            return Spread(nest.axes, GRID, _marked(nest.body, nest.axes), nest.carries), (THREADS, 1)
        if not rows and self._has_tiles(nest):
            return tiled(nest), ALONE
        columns = self.extent(nest.axes)
        if not rows and by_columns(nest):  # a row lies along the lanes of a team
            body = self._team(nest, STRIDES)
            return Spread(nest.axes, COLUMNS, body, nest.carries), (WARP, 8 if columns >= FEW_COLUMNS else WARP)
        lanes = WARP if self.alone or within <= 4 * WARP else min(MOST_LANES, max(128, _power_of_two(within // 8)))
        block = (lanes, 8 if lanes == WARP else 1)
        if shared_bytes(row_bytes(rows, self.count), block[1]):
            nest = filled_early(nest, rows)
        return Spread(nest.axes, TEAMS, self._team(nest, LANES), nest.carries), block

    def _has_tiles(self, nest: Nest) -> bool:
        """Whether a nest is a product of matrices neither of which is much narrower than a tile."""
        return not self.alone and tiling(nest) is not None and min(self.extent((n,)) for n in nest.axes) >= TILE // 4

    def _team(self, nest: Nest, over: str) -> tuple[GpuStatement, ...]:
        """What a team does in one iteration: its inner loops are shared out, and one thread does the rest."""
        between = met_elsewhere(nest)
        result: list[GpuStatement] = []
        for statement in nest.body:
            if isinstance(statement, Loop):
                inner = nest_of(statement)
                axes = (*nest.axes, *inner.axes)
                result.append(Spread(inner.axes, over, _marked(inner.body, axes), inner.carries))
            elif isinstance(statement, Store | Accumulate | Output):
                result.append(Once(_marked((statement,), nest.axes)))
            else:
                result.append(statement)
                continue
            if between & {s.array for s in walk((result[-1],)) if isinstance(s, Store | Accumulate)}:
                result.append(Sync())
        return tuple([*result, Sync()] if between else result)


def row_bytes(rows: Sequence[Array], count: Count) -> int:
    """What the rows of a team take, each in multiples of 16 bytes."""
    return sum(-(-count(row.sizes) * np.dtype(row.dtype).itemsize // 16) * 16 for row in rows)


def shared_bytes(needed: int, teams: int) -> int:
    """The bytes of shared memory for the rows of a team, given what they take; 0 if those of a block do not fit."""
    shared = max(1 << (needed - 1).bit_length(), 256) if needed else 0
    return shared if shared * teams <= MOST_SHARED else 0


def _marked(statements: Sequence[Statement], axes: Sequence[Axis]) -> tuple[Statement, ...]:
    """The statements; additions that other threads may make to the same place say so.

    axes: those whose iterations are shared out.
    """
    result: list[Statement] = []
    for s in statements:
        if isinstance(s, Loop):
            s = replace(s, body=_marked(s.body, axes))
        elif isinstance(s, Accumulate):
            s = replace(s, shared=not set(axes) <= {i for i in s.index if isinstance(i, Axis)})
        result.append(s)
    return tuple(result)


def _power_of_two(n: int) -> int:
    """The largest power of two that is no more than `n`, or 1."""
    return 1 << max(n.bit_length() - 1, 0)


def _parameters(statements: Sequence[GpuStatement]) -> Iterator[Size | Value | Array]:
    """The parameters that statements use, among other things."""
    for s in walk(statements):
        if isinstance(s, Spread | Loop):
            axes = s.axes if isinstance(s, Spread) else (s.axis,)
            yield from (n for axis in axes for n in axis.sizes if isinstance(n, Size))
            yield from (x for carry in s.carries for x in carry.uses)
        elif isinstance(s, Extent):
            if isinstance(s.size, Size):
                yield s.size
        elif isinstance(s, Load | Store | Accumulate):
            yield s.array
            yield from (n for dims in s.array.sizes for n in dims if isinstance(n, Size))
        elif isinstance(s, Output):
            yield s.parameter
        if not isinstance(s, Spread | Once | Sync):
            yield from uses(s)
