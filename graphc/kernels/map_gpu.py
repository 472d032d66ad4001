"""From loops to threads: who runs which iterations on a GPU.

A stage (stages.py) is one loop nest.  Where all its loops are nested in each other, every thread of the grid takes
iterations.  Where rows are reduced and used again (softmax), or where inner loops are long, a team of threads takes a
row and shares out its columns.  Of the two layouts of teams that one is chosen in which neighbouring threads touch
neighbouring memory.  Sums over rows that a CPU adds to memory row by row are turned round: a team has a column.

The choices rest on the sizes of one call, but what is generated holds for all sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

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
    Let,
    Load,
    Loop,
    Number,
    Output,
    Position,
    Require,
    Shifted,
    Size,
    Statement,
    Store,
    Value,
    defines,
    uses,
)
from graphc.kernels.stages import Stage, staged

THREADS = 256
"""Of a block, where nothing else decides."""

SHORT = 16
"""Inner loops of no more iterations are left to one thread."""

WARP = 32

ALONE = (WARP, 8)
"""The shape of a block that runs all kernels of a small function: every layout of teams fits it."""

# A sum over so many rows into so few columns is shared out over blocks.
LONG_COLUMNS, FEW_COLUMNS = 4096, 4096


@dataclass(frozen=True)
class Mapped:
    """The launches of a kernel, in order; `kept` are arrays of rank 0 that pass values between them."""

    kernels: tuple[GpuKernel, ...]
    kept: tuple[Array, ...]


def mapped(kernel: Kernel, size_of: Callable[[Size], int], alone: bool = False) -> Mapped:
    """The launches of a kernel that is called with such sizes.

    alone: one block of the shape `ALONE` is to run it.
    """

    def extent(axes: Sequence[Axis]) -> int:
        return prod(n if isinstance(n, int) else size_of(n) for axis in axes for n in axis.sizes)

    found = staged(kernel)
    kernels = tuple(_Mapper(kernel, found.kept, extent, alone).stage(stage) for stage in found.stages)
    return Mapped(kernels, found.kept)


@dataclass(frozen=True)
class _Nest:
    """Loops nested in each other with nothing between, as one."""

    axes: tuple[Axis, ...]
    body: tuple[Statement, ...]
    carries: tuple[Carry, ...]

    @property
    def inner(self) -> list[Loop]:
        """The loops of its body."""
        return [s for s in self.body if isinstance(s, Loop)]


class _Mapper:
    def __init__(
        self, kernel: Kernel, kept: tuple[Array, ...], extent: Callable[[Sequence[Axis]], int], alone: bool
    ) -> None:
        self.kernel = kernel
        self.kept = kept
        self.extent = extent
        self.alone = alone

    def stage(self, stage: Stage) -> GpuKernel:
        """The launch of one stage."""
        if stage.loop is None:
            return self._kernel((*stage.before, Once(stage.after)), (), (), (WARP, 1))
        ordered = _ordered(stage.loop)
        if ordered:
            return self._in_order(stage, ordered)
        nest = _turned(_nest(stage.loop))
        rows = _rows(nest)
        top, block = self._spread(nest, rows)
        if top.carries:
            return self._kernel((*stage.before, top), stage.after, rows, block)
        beside = (Once(stage.after),) if stage.after else ()
        return self._kernel((*stage.before, *beside, top), (), rows, block)

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

    def _in_order(self, stage: Stage, ordered: set[Axis]) -> GpuKernel:
        """A launch of a loop that stores to the same place several times: one thread has all iterations that may."""
        assert stage.loop is not None
        nest = _flattened(_nest(stage.loop))
        free = tuple(axis for axis in nest.axes if axis not in ordered)
        if nest.inner or nest.carries or not free or not self.extent(nest.axes):
            return self._kernel((*stage.before, Once((stage.loop, *stage.after))), (), (), (WARP, 1))
        body = _marked(nest.body, free)
        for axis in reversed([axis for axis in nest.axes if axis in ordered]):
            body = (Loop(axis, body),)
        beside = (Once(stage.after),) if stage.after else ()
        return self._kernel((*stage.before, *beside, Spread(free, GRID, body)), (), (), (THREADS, 1))

    def _spread(self, nest: _Nest, rows: tuple[Array, ...]) -> tuple[Spread, tuple[int, int]]:
        """The outermost loop, and the shape of a block."""
        inner = nest.inner
        within = max((self.extent(_nest(loop).axes) for loop in inner), default=1)
        if not inner or (within <= SHORT and not rows):
            return Spread(nest.axes, GRID, _marked(nest.body, nest.axes), nest.carries), (THREADS, 1)
        columns = self.extent(nest.axes)
        if not rows and _by_columns(nest):  # a row lies along the lanes of a team
            is_long = columns < FEW_COLUMNS and within >= LONG_COLUMNS
            split = is_long and not self.alone and not nest.carries and _is_sum(nest)
            body = self._team(nest, SPLIT if split else STRIDES)
            return Spread(nest.axes, COLUMNS, body, nest.carries), (WARP, 8 if columns >= FEW_COLUMNS else WARP)
        body = self._team(nest, LANES)
        lanes = WARP if self.alone or within <= 4 * WARP else min(1024, max(128, _power_of_two(within // 8)))
        return Spread(nest.axes, TEAMS, body, nest.carries), (lanes, 8 if lanes == WARP else 1)

    def _team(self, nest: _Nest, over: str) -> tuple[GpuStatement, ...]:
        """What a team does in one iteration: its inner loops are shared out, and one thread does the rest."""
        between = _met_elsewhere(nest)
        result: list[GpuStatement] = []
        for statement in nest.body:
            if isinstance(statement, Loop):
                inner = _nest(statement)
                axes = (*nest.axes, *inner.axes)
                result.append(Spread(inner.axes, over, _marked(inner.body, axes), inner.carries))
            elif isinstance(statement, Store | Accumulate | Output):
                result.append(Once(_marked((statement,), nest.axes, by_parts=over == SPLIT)))
            else:
                result.append(statement)
                continue
            if between & {s.array for s in walk((result[-1],)) if isinstance(s, Store | Accumulate)}:
                result.append(Sync())
        return tuple([*result, Sync()] if between else result)


def _nest(loop: Loop) -> _Nest:
    """A loop with the loops that are nested in it and nothing else, as one."""
    axes, body, carries = [loop.axis], loop.body, loop.carries
    while len(body) == 1:
        inner = body[0]
        if not isinstance(inner, Loop) or not _passes_on(carries, inner.carries):
            break
        by_value = {carry.out: carry for carry in inner.carries}
        passed = [by_value[carry.value] for carry in carries]
        carries = tuple(Carry(c.out, p.kind, p.value) for c, p in zip(carries, passed, strict=True))
        axes.append(inner.axis)
        body = inner.body
    return _Nest(tuple(axes), body, carries)


def _passes_on(outer: tuple[Carry, ...], inner: tuple[Carry, ...]) -> bool:
    """Whether a loop reduces what the loop in it carries, in the same way, and nothing else."""
    kinds = {carry.out: _plain(carry.kind) for carry in inner}
    return len(inner) == len(outer) and all(kinds.get(carry.value) == _plain(carry.kind) for carry in outer)


def _plain(kind: str) -> str:
    return "sum" if kind == "dot" else kind


def _turned(nest: _Nest) -> _Nest:
    """A nest that adds to memory again and again, with the loops over what is added inside: each sum is added once."""
    flat = _flattened(nest)
    sums = [s for s in flat.body if isinstance(s, Accumulate)]
    kept = {frozenset(i for i in s.index if isinstance(i, Axis)) for s in sums}
    if flat.inner or flat.carries or len(kept) != 1 or any(not isinstance(i, Axis) for s in sums for i in s.index):
        return nest
    (axes,) = kept
    outer = tuple(axis for axis in flat.axes if axis in axes)
    added = [axis for axis in flat.axes if axis not in axes]
    if not added or not outer:
        return nest
    carries = tuple(Carry(Value(s.value.dtype), s.kind, s.value) for s in sums)
    loop = Loop(added[-1], tuple(s for s in flat.body if not isinstance(s, Accumulate)), carries)
    for axis in reversed(added[:-1]):
        loop = Loop(axis, (loop,), tuple(Carry(Value(c.out.dtype), c.kind, c.out) for c in loop.carries))
    ends = [replace(s, value=carry.out) for s, carry in zip(sums, loop.carries, strict=True)]
    return _Nest(outer, (loop, *ends), ())


def _flattened(nest: _Nest) -> _Nest:
    """A nest that computes in its innermost loop what it computed before it: again and again, but in any order."""
    *before, last = nest.body
    if (
        not isinstance(last, Loop)
        or nest.carries
        or not all(isinstance(s, Let | Load | Number | Position | Extent | Require) for s in before)
    ):
        return nest
    inner = _flattened(_nest(last))
    return nest if inner.carries else _Nest((*nest.axes, *inner.axes), (*before, *inner.body), ())


def _marked(statements: Sequence[Statement], axes: Sequence[Axis], by_parts: bool = False) -> tuple[Statement, ...]:
    """The statements; additions that other threads may make to the same place say so.

    axes: those whose iterations are shared out; by_parts: other blocks hold other parts of what is added.
    """
    result: list[Statement] = []
    for s in statements:
        if isinstance(s, Loop):
            s = replace(s, body=_marked(s.body, axes, by_parts))
        elif isinstance(s, Accumulate):
            s = replace(s, shared=by_parts or not set(axes) <= {i for i in s.index if isinstance(i, Axis)})
        result.append(s)
    return tuple(result)


def _ordered(loop: Loop) -> set[Axis]:
    """The axes whose iterations may store to the same place, so that the last one must come last.

    An index that follows from the number of the iteration alone, as those of slices do, is another in each.
    """
    axes: dict[Axis, None] = {}
    follows: dict[Value, Axis] = {}
    varying: set[Value] = set()
    stores: list[tuple[Store, tuple[Axis, ...]]] = []

    def visit(statements: Sequence[Statement], around: tuple[Axis, ...]) -> None:
        for s in statements:
            if isinstance(s, Loop):
                axes[s.axis] = None
                visit(s.body, (*around, s.axis))
                varying.update(carry.out for carry in s.carries)
            elif isinstance(s, Position):
                follows[s.out] = s.axis
            elif isinstance(s, Let) and s.op.name in ("add", "sub", "mul"):
                found = [follows[x] for x in s.args if x in follows]
                if len(found) == 1 and not any(x in varying for x in s.args):
                    follows[s.out] = found[0]
                elif found or any(x in varying for x in s.args):
                    varying.add(s.out)
            elif isinstance(s, Let | Load):
                varying.update(defines(s))
            elif isinstance(s, Store) and any(isinstance(i, Value) for i in s.index):
                stores.append((s, around))

    visit((loop,), ())
    result: set[Axis] = set()
    for s, around in stores:
        plain = {i.axis if isinstance(i, Shifted) else i for i in s.index if isinstance(i, Axis | Shifted)}
        plain |= {follows[i] for i in s.index if isinstance(i, Value) and i in follows}
        result |= {axis for axis in around if axis not in plain}
    return result


def _rows(nest: _Nest) -> tuple[Array, ...]:
    """The arrays that an iteration keeps for itself: it stores to them without saying which iteration it is."""
    found: dict[Array, None] = {}
    for loop in nest.inner:
        for s in walk((loop,)):
            if (
                isinstance(s, Store)
                and all(isinstance(i, Axis) for i in s.index)
                and not set(nest.axes) <= set(s.index)
            ):
                found[s.array] = None
    return tuple(found)


def _met_elsewhere(nest: _Nest) -> set[Array]:
    """The arrays in which a thread may meet what another thread of its team wrote."""
    written = {s.array for s in walk(nest.body) if isinstance(s, Store | Accumulate)}
    met: set[Array] = set()
    accesses: dict[Array, set[object]] = {}
    for statement in nest.body:
        axes = _nest(statement).axes if isinstance(statement, Loop) else ()
        for s in walk((statement,)):
            if not isinstance(s, Load | Store | Accumulate) or s.array not in written:
                continue
            places = tuple(i for i in s.index if i not in nest.axes)
            # Threads take the same iterations of loops over the same sizes.
            accesses.setdefault(s.array, set()).add(tuple(axis.sizes for axis in axes))
            if places != axes:
                met.add(s.array)
    read = {s.array for s in walk(nest.body) if isinstance(s, Load)}
    return {a for a in written & read if a in met or len(accesses[a]) > 1}


def _by_columns(nest: _Nest) -> bool:
    """Whether neighbouring memory belongs to neighbouring iterations of the outer loop."""
    votes = 0
    for loop in nest.inner:
        inner = _nest(loop).axes
        for s in walk((loop,)):
            if isinstance(s, Load | Store | Accumulate) and s.index:
                last = s.index[-1].axis if isinstance(s.index[-1], Shifted) else s.index[-1]
                # The more indices, the larger the array, the more it counts.
                votes += len(s.index) * ((last is nest.axes[-1]) - (last is inner[-1]))
    return votes > 0


def _is_sum(nest: _Nest) -> bool:
    """Whether all that a nest does is to add something up: then it can be done by parts."""
    return all(isinstance(s, Accumulate) for s in nest.body if isinstance(s, Store | Accumulate | Output)) and not any(
        carry.out in uses(s) and not isinstance(s, Accumulate)
        for loop in nest.inner
        for carry in loop.carries
        for s in nest.body
    )


def _power_of_two(n: int) -> int:
    """The largest power of two that is no more than `n`, or 1."""
    return 1 << max(n.bit_length() - 1, 0)


def _parameters(statements: Sequence[GpuStatement]) -> Iterator[Size | Value | Array]:
    """The parameters that statements use, among other things."""
    for s in walk(statements):
        if isinstance(s, Spread | Loop):
            axes = s.axes if isinstance(s, Spread) else (s.axis,)
            yield from (n for axis in axes for n in axis.sizes if isinstance(n, Size))
            yield from (carry.value for carry in s.carries)
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
