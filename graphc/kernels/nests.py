"""Nests of loops, and what they permit: which iterations may run at the same time, and which memory they meet in.

Loops that are nested in each other with nothing between count as one.  Nothing here knows of threads; it is what
`map_gpu` asks before it gives iterations to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphc.kernels.gpuir import walk
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
    Statement,
    Store,
    Value,
    defines,
    uses,
)  # fmt: skip


@dataclass(frozen=True)
class Nest:
    """Loops nested in each other with nothing between, as one."""

    axes: tuple[Axis, ...]
    body: tuple[Statement, ...]
    carries: tuple[Carry, ...]

    @property
    def inner(self) -> list[Loop]:
        """The loops of its body."""
        return [s for s in self.body if isinstance(s, Loop)]


def nest_of(loop: Loop) -> Nest:
    """A loop with the loops that are nested in it and nothing else, as one."""
    axes, body, carries = [loop.axis], loop.body, loop.carries
    while len(body) == 1:
        inner = body[0]
        if not isinstance(inner, Loop) or not _passes_on(carries, inner.carries):
            break
        by_value = {carry.out: carry for carry in inner.carries}
        passed = [by_value[carry.value] for carry in carries]
        carries = tuple(replace(p, out=c.out) for c, p in zip(carries, passed, strict=True))
        axes.append(inner.axis)
        body = inner.body
    return Nest(tuple(axes), body, carries)


def _passes_on(outer: tuple[Carry, ...], inner: tuple[Carry, ...]) -> bool:
    """Whether a loop reduces what the loop in it carries, in the same way, and nothing else."""
    kinds = {carry.out: _plain(carry.kind) for carry in inner}
    return len(inner) == len(outer) and all(kinds.get(carry.value) == _plain(carry.kind) for carry in outer)


def _plain(kind: str) -> str:
    return "sum" if kind == "dot" else kind


def turned(nest: Nest) -> Nest:
    """A nest that adds to memory again and again, with the loops over what is added inside: each sum is added once."""
    flat = flattened(nest)
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
    return Nest(outer, (loop, *ends), ())


def flattened(nest: Nest) -> Nest:
    """A nest that computes in its innermost loop what it computed before it: again and again, but in any order."""
    *before, last = nest.body
    if (
        not isinstance(last, Loop)
        or nest.carries
        or not all(isinstance(s, Let | Load | Number | Position | Extent | Require) for s in before)
    ):
        return nest
    inner = flattened(nest_of(last))
    return nest if inner.carries else Nest((*nest.axes, *inner.axes), (*before, *inner.body), ())


def ordered(loop: Loop) -> set[Axis]:
    """The axes whose iterations may store to the same place, so that the last one must come last.

    An index that follows from the number of the iteration alone, as those of slices do, is another in each.
    """
    follows: dict[Value, Axis] = {}
    varying: set[Value] = set()
    stores: list[tuple[Store, tuple[Axis, ...]]] = []

    def visit(statements: Sequence[Statement], around: tuple[Axis, ...]) -> None:
        for s in statements:
            if isinstance(s, Loop):
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


def rows_of(nest: Nest) -> tuple[Array, ...]:
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


def met_elsewhere(nest: Nest) -> set[Array]:
    """The arrays in which a thread may meet what another thread of its team wrote."""
    written = {s.array for s in walk(nest.body) if isinstance(s, Store | Accumulate)}
    met: set[Array] = set()
    accesses: dict[Array, set[object]] = {}
    for statement in nest.body:
        axes = nest_of(statement).axes if isinstance(statement, Loop) else ()
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


def by_columns(nest: Nest) -> bool:
    """Whether neighbouring memory belongs to neighbouring iterations of the outer loop."""
    votes = 0
    for loop in nest.inner:
        inner = nest_of(loop).axes
        for s in walk((loop,)):
            if isinstance(s, Load | Store | Accumulate) and s.index:
                last = s.index[-1].axis if isinstance(s.index[-1], Shifted) else s.index[-1]
                # The more indices, the larger the array, the more it counts.
                votes += len(s.index) * ((last is nest.axes[-1]) - (last is inner[-1]))
    return votes > 0


def is_sum(nest: Nest) -> bool:
    """Whether all that a nest does is to add something up: then it can be done by parts."""
    return all(isinstance(s, Accumulate) for s in nest.body if isinstance(s, Store | Accumulate | Output)) and not any(
        carry.out in uses(s) and not isinstance(s, Accumulate)
        for loop in nest.inner
        for carry in loop.carries
        for s in nest.body
    )


def elementwise(kernel: Kernel) -> list[Store]:
    """What a kernel stores, if it is one nest of loops in which each iteration stores to a place of its own."""
    *before, last = kernel.body
    if kernel.outputs or not isinstance(last, Loop) or not all(isinstance(s, Number | Let | Extent) for s in before):
        return []
    nest = nest_of(last)
    if nest.carries or not all(isinstance(s, Load | Let | Number | Extent | Position | Store) for s in nest.body):
        return []
    stores = [s for s in nest.body if isinstance(s, Store)]
    apart = all(len(s.index) == len(nest.axes) and set(s.index) == set(nest.axes) for s in stores)
    loaded = {s.array for s in nest.body if isinstance(s, Load)}
    return stores if apart and loaded.isdisjoint(s.array for s in stores) else []


def same_place(load: Load, store: Store) -> bool:
    """Whether a load reads the element that a store writes, if both arrays are the same memory."""
    return load.index == store.index and load.array.sizes == store.array.sizes
