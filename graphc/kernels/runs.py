"""Runs of axes: those next to each other in all memory a group touches, so that one loop runs over them together."""

from __future__ import annotations

from collections.abc import Iterable

from graphc.graph.variable import Variable
from graphc.kernels.groups import INDEXED, Axes, Group
from graphc.ops.indexing import IncSubtensor
from graphc.ops.ranges import ARange

Run = tuple[int, ...]


def runs_of(group: Group, wanted: set[Variable]) -> list[Run]:
    """The axes of the domain in order, those together that one loop can run over."""
    split = group.split or 0
    accesses = list(_accesses(group, wanted))
    memory = [[a for a in dims if a is not None] for dims, is_memory in accesses if is_memory]
    parted = [set(dims) for dims, is_memory in accesses if not is_memory]
    runs: list[Run] = []
    for a in [a for a, n in enumerate(group.domain) if n != 1]:
        before = runs[-1][-1] if runs else None
        if (
            before is not None
            and (before < split) == (a < split)
            and all(_adjacent(before, a, dims) for dims in memory)
            and all((before in some) == (a in some) for some in parted)
        ):
            runs[-1] = (*runs[-1], a)
        else:
            runs.append((a,))
    return runs


def _accesses(group: Group, wanted: set[Variable]) -> Iterable[tuple[Axes, bool]]:
    """The axes of the dimensions of everything in memory, and whether it may be indexed by collapsed axes."""
    for member in group.members:
        for base, axes in member.reads:
            if base not in group.placed or INDEXED in axes:
                yield axes, True
        if (member.node.outputs[0] in wanted or member.closed) and not member.scatters:
            yield member.out.axes, True
        for along in member.index:
            if along.axis is not None and not along.is_plain:
                yield (along.axis,), False
        if isinstance(member.node.op, ARange):
            yield member.out.axes, False
        if isinstance(member.node.op, IncSubtensor) and not member.closed:
            yield member.out.axes[1:], False
        if member.reduced:
            everything = tuple(a for a, n in enumerate(group.domain) if n != 1)
            yield tuple(a for a in everything if a not in member.reduced), True
            yield tuple(sorted(member.reduced)), False


def _adjacent(a: int, b: int, dims: list[int]) -> bool:
    """Whether memory has neither of two axes, or the second right after the first."""
    if a in dims and b in dims:
        return dims.index(b) == dims.index(a) + 1
    return a not in dims and b not in dims
