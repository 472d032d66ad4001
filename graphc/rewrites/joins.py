"""Joins and stacks: an index finds the piece it takes from, and pieces that follow each other become one."""

from __future__ import annotations

from typing import Any

from graphc.graph.sizes import Size
from graphc.graph.variable import Apply, Variable
from graphc.ops.indexing import Subtensor, is_basic
from graphc.ops.join import Join, Stack, concatenate, stack
from graphc.rewrites.engine.context import Context, same_sizes
from graphc.rewrites.engine.rule import rule
from graphc.rewrites.items import Item, given, is_constant, is_whole, items_of

# A join of more pieces is left alone: looking through all of them for every index would cost time.
MOST_PIECES = 64

# ---- 13, 16: an index finds its piece ----


@rule(16, "exact", Subtensor)
def part_of_stack(context: Context, node: Apply) -> Variable | None:
    """stack(a, b, c)[1] -> b"""
    inner = node.inputs[0].owner
    items = items_of(node)
    if inner is None or not isinstance(inner.op, Stack):
        return None
    item = items[inner.op.axis]
    if not isinstance(item, int) or not -len(inner.inputs) <= item < len(inner.inputs):
        return None
    rest = [other for axis, other in enumerate(items) if axis != inner.op.axis]
    part = inner.inputs[item]
    return part[tuple(rest)] if rest else part


@rule(13, "exact", Subtensor)
def lift_through_join(context: Context, node: Apply) -> Variable | None:
    """join(x, y)[i] -> x[i], if the index is inside one piece"""
    inner = node.inputs[0].owner
    op: Any = node.op
    if inner is None or not isinstance(inner.op, Join) or not is_basic(op.pattern):
        return None
    if len(inner.inputs) > MOST_PIECES:
        return None
    items, axis = items_of(node), inner.op.axis
    total = context.table.shape(node.inputs[0])[axis]
    start: Size = 0
    for piece in inner.inputs:
        stop = context.table.add(start, context.table.shape(piece)[axis])
        item = _inside(context, items[axis], start, stop, total)
        if item is not None:
            items[axis] = item
            return piece if all(map(is_whole, items)) else piece[tuple(items)]
        start = stop
    return None


def _inside(context: Context, item: Item, start: Size, stop: Size, total: Size) -> Item | None:
    """What an index of `total` elements is for those from `start` to `stop`; None if it may reach beyond."""
    if isinstance(item, int):
        return item - start if isinstance(start, int) and isinstance(stop, int) and start <= item < stop else None
    if not isinstance(item, slice):
        return None
    low: Any = context.table.find(given(item.start, 0))
    high: Any = context.table.find(given(item.stop, total))
    step = given(item.step, 1)
    if step == 1 and same_sizes([low, high], [start, stop]):
        return slice(None)
    if not all(isinstance(n, int) for n in (low, high, step, start, stop)) or step < 0:
        return None
    return slice(low - start, high - start, step) if start <= low <= high <= stop else None


# ---- 9: pieces that follow each other ----


@rule(9, "exact", Join)
def join_slices(context: Context, node: Apply) -> Variable | None:
    """join(x[:3], x[3:5]) -> x[:5]; an empty piece is dropped"""
    op: Any = node.op
    axis = op.axis
    parts = [p for p in node.inputs if context.table.shape(p)[axis] != 0]
    if parts and len(parts) < len(node.inputs) and all(p.dtype == node.outputs[0].dtype for p in parts):
        return concatenate(parts, axis)
    merged: list[Variable] = list(node.inputs[:1])
    for part in node.inputs[1:]:
        together = _adjacent(merged[-1], part, axis)
        if together is None:
            merged.append(part)
        else:
            merged[-1] = together
    return concatenate(merged, axis) if len(merged) < len(node.inputs) else None


def _adjacent(first: Variable, second: Variable, axis: int) -> Variable | None:
    """One slice for two that follow each other along `axis`."""
    a, b = first.owner, second.owner
    if a is None or b is None or not isinstance(a.op, Subtensor) or not isinstance(b.op, Subtensor):
        return None
    if a.inputs[0] is not b.inputs[0] or not is_basic(a.op.pattern) or not is_basic(b.op.pattern):
        return None
    left, right = items_of(a), items_of(b)
    if not all(isinstance(item, slice) for item in (*left, *right)) or len(left) != len(right):
        return None
    for i, (p, q) in enumerate(zip(left, right, strict=True)):
        if i != axis and not (isinstance(q, slice) and p == q and is_constant(p)):
            return None
    before: Any = left[axis]
    after: Any = right[axis]
    if not (is_constant(before) and is_constant(after)) or (before.step or 1) != 1 or (after.step or 1) != 1:
        return None
    if before.stop is None or before.stop != after.start or not 0 <= (before.start or 0) <= before.stop:
        return None
    if after.stop is not None and after.stop < before.stop:
        return None
    left[axis] = slice(before.start, after.stop)
    return a.inputs[0][tuple(left)]  # type: ignore[no-any-return]


@rule(9, "exact", Join)
def join_stacks(context: Context, node: Apply) -> Variable | None:
    """join(stack(a, b), stack(c)) -> stack(a, b, c), along the axis of the stacks"""
    op: Any = node.op
    parts: list[Variable] = []
    for piece in node.inputs:
        if piece.owner is None or piece.owner.op != Stack(op.axis):
            return None
        parts += piece.owner.inputs
    if len(parts) > MOST_PIECES or any(part.dtype != node.outputs[0].dtype for part in parts):
        return None
    return stack(parts, op.axis)


JOINS = [*part_of_stack, *lift_through_join, *join_slices, *join_stacks]
