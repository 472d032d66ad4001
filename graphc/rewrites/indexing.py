"""Indexing: useless bounds go, an index of an index is one index, and a range of indices is a slice."""

from __future__ import annotations

from typing import Any

from graphc.graph.variable import Apply, Variable
from graphc.ops.indexing import Subtensor, entries, is_basic
from graphc.ops.ranges import ARange
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.matching import value_of_constant
from graphc.rewrites.engine.rule import rule
from graphc.rewrites.items import Item, given, is_constant, is_whole, items_of
from graphc.rewrites.joins import JOINS
from graphc.rewrites.lifts import lift_through_broadcast
from graphc.rewrites.writes import WRITES

# ---- 11: an index that takes everything ----


@rule(11, "exact", Subtensor)
def drop_useless_bounds(context: Context, node: Apply) -> Variable | None:
    """x[0:shape(x)[0]] -> x[:], x[:] -> x; x[-1] -> x[n - 1] and x[-2:] -> x[n - 2:] for a known length n"""
    source = node.inputs[0]
    sizes = context.table.shape(source)
    items = items_of(node)
    if len(items) != len(sizes):
        return None  # a mask
    simpler = [_simpler(context, item, n) for item, n in zip(items, sizes, strict=True)]
    if all(map(is_whole, simpler)):
        return source
    if all(new is old for new, old in zip(simpler, items, strict=True)):
        return None
    return source[tuple(simpler)]  # type: ignore[no-any-return]


def _simpler(context: Context, item: Item, n: Any) -> Item:
    if isinstance(item, int):
        return item + n if item < 0 and isinstance(n, int) and item + n >= 0 else item
    if not isinstance(item, slice) or item == slice(None):
        return item
    step = None if item.step == 1 else item.step
    start, stop = item.start, item.stop
    if step is None or (isinstance(step, int) and step > 0):
        start, stop = _from_front(start, n), _from_front(stop, n)
        start = None if isinstance(start, int) and start == 0 else start
        stop = None if _reaches(context, stop, n) else stop
    new = slice(start, stop, step)
    return item if new == item else new


def _from_front(bound: Item, n: Any) -> Item:
    """The bound of a slice, counted from the front where the length is known."""
    return max(bound + n, 0) if isinstance(bound, int) and bound < 0 and isinstance(n, int) else bound


def _reaches(context: Context, stop: Item, n: Any) -> bool:
    """Whether a bound is at or beyond the end."""
    if isinstance(stop, Variable):
        found = context.table.find(stop)
        return found is n
    return isinstance(stop, int) and isinstance(n, int) and stop >= n


# ---- 12: an index of an index ----


@rule(12, "exact", Subtensor)
def merge_indices(context: Context, node: Apply) -> Variable | None:
    """x[a][b] -> x[c], for constant bounds"""
    inner = node.inputs[0].owner
    if inner is None or not isinstance(inner.op, Subtensor):
        return None
    op: Any = node.op
    if not is_basic(op.pattern) or not is_basic(inner.op.pattern):
        return None
    source = inner.inputs[0]
    outer = iter(items_of(node))
    merged = []
    for item, n in zip(items_of(inner), context.table.shape(source), strict=True):
        if not isinstance(item, slice):
            merged.append(item)
            continue
        one = _composed(item, next(outer), n)
        if one is None:
            return None
        merged.append(one)
    return source[tuple(merged)]  # type: ignore[no-any-return]


def _composed(first: slice, second: Item, n: Any) -> Item:
    """``x[first][second]`` on one axis of length `n`, or None where that cannot be said."""
    if is_whole(first):
        return second
    if isinstance(second, slice) and second == slice(None):
        return first
    if isinstance(n, int) and is_constant(first) and is_constant(second):
        positions = range(n)[first]
        if isinstance(second, int):
            return positions[second] if -len(positions) <= second < len(positions) else None
        left: Any = positions[second]
        if not left:
            return slice(0, 0)
        stop = left[-1] + (1 if left.step > 0 else -1)
        return slice(left[0], None if stop < 0 else stop, left.step)
    # Without the length: from the front, forwards, with no end that could cut the second index short.
    start, step = given(first.start, 0), given(first.step, 1)
    plain = isinstance(start, int) and start >= 0 and isinstance(step, int) and step > 0 and first.stop is None
    if not plain:
        return None
    if isinstance(second, int):
        return start + second * step if second >= 0 else None
    if isinstance(second, slice) and is_constant(second):
        a, b, c = second.start or 0, second.stop, second.step or 1
        if a >= 0 and c > 0 and (b is None or b >= 0):
            return slice(start + a * step, None if b is None else start + b * step, step * c)
    return None


# ---- 16: a range of indices ----


@rule(16, "exact", Subtensor)
def gather_of_range(context: Context, node: Apply) -> Variable | None:
    """x[arange(a, b)] -> x[a:b], for constant 0 <= a <= b within the known length of x"""
    op: Any = node.op
    source = node.inputs[0]
    if sum(entry == "array" for entry in op.pattern) != 1 or any(entry in ("int",) for entry in op.pattern):
        return None
    if any(entry.startswith("mask") for entry in op.pattern):
        return None
    items = items_of(node)
    axis = next(i for i, (entry, _) in enumerate(entries(op.pattern, node.inputs[1:])) if entry == "array")
    made = items[axis].owner if isinstance(items[axis], Variable) else None
    if made is None or not isinstance(made.op, ARange):
        return None
    start, stop, step = (value_of_constant(v) for v in made.inputs)
    n = context.table.shape(source)[axis]
    stop_size = context.table.find(made.inputs[1])
    if step != 1 or start is None or start < 0:
        return None
    if not ((isinstance(n, int) and stop is not None and start <= stop <= n) or (start == 0 and stop_size is n)):
        return None
    items[axis] = slice(int(start), None if stop is None else int(stop))
    return source[tuple(items)]  # type: ignore[no-any-return]


INDEXING = [
    *drop_useless_bounds,
    *merge_indices,
    *lift_through_broadcast,
    *JOINS,
    *WRITES,
    *gather_of_range,
]
