"""Indexing: an index of an index is one index, and an index goes through what is made element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc import dtypes
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.declare import Elementwise
from graphc.ops.elementwise import Fill, add
from graphc.ops.indexing import IncSubtensor, Subtensor, as_index, entries, is_basic
from graphc.ops.reduction import Reduction
from graphc.ops.shape import Alloc, ARange, DimShuffle, Join, Stack, concatenate
from graphc.rewrites.engine import Context, rule, same_sizes, value_of_constant

Item = Any  # what stands between the brackets for one axis: an int, a Variable or a slice


def items_of(node: Apply, first: int = 1) -> list[Item]:
    """The index of a node as a user would write it, with ints for constants."""
    op: Any = node.op
    arguments = [int(a.data) if isinstance(a, Constant) and a.ndim == 0 else a for a in node.inputs[first:]]
    return list(as_index(op.pattern, arguments))


def _whole(item: Item) -> bool:
    return isinstance(item, slice) and item == slice(None)


# ---- 11: an index that takes everything ----


@rule(11, "exact", Subtensor)
def drop_useless_bounds(context: Context, node: Apply) -> Variable | None:
    """x[0:shape(x)[0]] -> x[:], x[:] -> x; x[-1] -> x[n - 1] for a known length n"""
    source = node.inputs[0]
    sizes = context.table.shape(source)
    items = items_of(node)
    if len(items) != len(sizes):
        return None  # a mask
    simpler = [_simpler(context, item, n) for item, n in zip(items, sizes, strict=True)]
    if all(map(_whole, simpler)):
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
        start = None if isinstance(start, int) and start == 0 else start
        stop = None if _reaches(context, stop, n) else stop
    new = slice(start, stop, step)
    return item if new == item else new


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
    if _whole(first):
        return second
    if isinstance(second, slice) and second == slice(None):
        return first
    if isinstance(n, int) and _constant(first) and _constant(second):
        positions = range(n)[first]
        if isinstance(second, int):
            return positions[second] if -len(positions) <= second < len(positions) else None
        left: Any = positions[second]
        if not left:
            return slice(0, 0)
        stop = left[-1] + (1 if left.step > 0 else -1)
        return slice(left[0], None if stop < 0 else stop, left.step)
    # Without the length: from the front, forwards, with no end that could cut the second index short.
    start, step = first.start or 0, first.step or 1
    plain = isinstance(start, int) and start >= 0 and isinstance(step, int) and step > 0 and first.stop is None
    if not plain:
        return None
    if isinstance(second, slice) and _constant(second):
        a, b, c = second.start or 0, second.stop, second.step or 1
        if a >= 0 and c > 0 and (b is None or b >= 0):
            return slice(start + a * step, None if b is None else start + b * step, step * c)
    return None


def _constant(item: Item) -> bool:
    if isinstance(item, slice):
        return all(bound is None or isinstance(bound, int) for bound in (item.start, item.stop, item.step))
    return isinstance(item, int)


# ---- 13: an index of something that is made element by element ----


@rule(13, "exact", Subtensor)
def lift_through_elementwise(context: Context, node: Apply) -> Variable | None:
    """f(x, y)[i] -> f(x[i], y[i]), if nobody else reads f(x, y)"""
    (source, *arguments) = node.inputs
    inner = source.owner
    op: Any = node.op
    if inner is None or not isinstance(inner.op, Elementwise) or isinstance(inner.op, Fill):
        return None
    if not is_basic(op.pattern) or not context.read_once(source):
        return None
    shape = context.table.shape(source)
    if any(x.ndim and not same_sizes(context.table.shape(x), shape) for x in inner.inputs):
        return None
    return inner.op(*(op(x, *arguments) if x.ndim else x for x in inner.inputs))  # type: ignore[no-any-return]


@rule(13, "exact", Subtensor)
def lift_through_broadcast(context: Context, node: Apply) -> Variable | None:
    """alloc(scalar, shape)[i] -> alloc(scalar, the new shape), for slices"""
    inner = node.inputs[0].owner
    op: Any = node.op
    if inner is None or not isinstance(inner.op, Alloc | Fill):
        return None
    if not all(entry.startswith("slice:") for entry in op.pattern):
        return None  # an index may be out of range, and must say so
    value = inner.inputs[0] if isinstance(inner.op, Alloc) else inner.inputs[1]
    return value if value.ndim == 0 else None  # the driver broadcasts it


@rule(13, "exact", Subtensor)
def lift_through_reduction(context: Context, node: Apply) -> Variable | None:
    """sum(x, axis=1)[i] -> sum(x[i], axis=0), if nobody else reads the sum"""
    (source, *_) = node.inputs
    inner = source.owner
    op: Any = node.op
    if inner is None or not isinstance(inner.op, Reduction) or inner.op.axis is None or inner.op.keepdims:
        return None
    if not is_basic(op.pattern) or not context.read_once(source):
        return None
    x = inner.inputs[0]
    outer = iter(items_of(node))
    items = [slice(None) if axis in inner.op.axis else next(outer) for axis in range(x.ndim)]
    kept = [axis for axis, item in enumerate(items) if isinstance(item, slice)]
    axes = tuple(kept.index(axis) for axis in inner.op.axis)
    return Reduction(inner.op.name, axes, False, inner.op.dtype)(x[tuple(items)])  # type: ignore[no-any-return]


@rule(13, "exact", Subtensor)
def lift_through_dimshuffle(context: Context, node: Apply) -> Variable | None:
    """x.dimshuffle(1, 0)[i] -> x[:, i].dimshuffle(...)"""
    inner = node.inputs[0].owner
    op: Any = node.op
    if inner is None or not isinstance(inner.op, DimShuffle) or not is_basic(op.pattern) or inner.op.dropped:
        return None
    x = inner.inputs[0]
    items: list[Item] = [slice(None)] * x.ndim
    for place, item in zip(inner.op.new_order, items_of(node), strict=True):
        if place != "x":
            items[int(place)] = item
        elif not (_whole(item) or item in (0, -1)):
            return None
    if all(map(_whole, items)) and any(p == "x" for p in inner.op.new_order):
        return None
    taken = [axis for axis, item in enumerate(items) if isinstance(item, slice)]
    order: list[int | str] = []
    for place, item in zip(inner.op.new_order, items_of(node), strict=True):
        if isinstance(item, slice):
            order.append("x" if place == "x" else taken.index(int(place)))
    return x[tuple(items)].dimshuffle(*order)  # type: ignore[no-any-return]


# ---- 9, 16: the parts of what was put together ----


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
        if i != axis and not (isinstance(q, slice) and p == q and _constant(p)):
            return None
    before: Any = left[axis]
    after: Any = right[axis]
    if not (_constant(before) and _constant(after)) or (before.step or 1) != 1 or (after.step or 1) != 1:
        return None
    if before.stop is None or before.stop != after.start or not 0 <= (before.start or 0) <= before.stop:
        return None
    if after.stop is not None and after.stop < before.stop:
        return None
    left[axis] = slice(before.start, after.stop)
    return a.inputs[0][tuple(left)]  # type: ignore[no-any-return]


# ---- 14, 15: writing and reading ----


@rule(14, "exact", Subtensor)
def read_what_was_written(context: Context, node: Apply) -> Variable | None:
    """set_subtensor(x[i], y)[i] -> y; inc_subtensor(x[i], y)[i] -> x[i] + y, where no index is repeated"""
    write = node.inputs[0].owner
    op: Any = node.op
    if write is None or not isinstance(write.op, IncSubtensor) or write.op.pattern != op.pattern:
        return None
    if not is_basic(op.pattern) or not _same(write.inputs[2:], node.inputs[1:]):
        return None
    x, y = write.inputs[:2]
    if write.op.add:
        return add(op(x, *node.inputs[1:]), y)  # type: ignore[no-any-return]
    return y if _cannot_fail(context, x, node) else None  # the driver broadcasts it to the shape of the place


@rule(14, "exact", IncSubtensor)
def write_that_changes_nothing(context: Context, node: Apply) -> Variable | None:
    """set(x[i], x[i]) -> x; set(set(x[i], y)[i], z) -> set(x[i], z); set(x[:], y) -> y"""
    op: Any = node.op
    x, y, *index = node.inputs
    read = y.owner
    if not op.add and read is not None and isinstance(read.op, Subtensor) and read.op.pattern == op.pattern:
        same = read.inputs[0] is x and _same(read.inputs[1:], index)
        if same and _cannot_fail(context, x, read):
            return x
    inner = x.owner
    if not op.add and inner is not None and isinstance(inner.op, IncSubtensor) and inner.op.pattern == op.pattern:
        same = _same(inner.inputs[2:], index)
        if same:
            return op(inner.inputs[0], y, *index)  # type: ignore[no-any-return]
    if all(entry == "slice:---" for entry in op.pattern):
        return add(x, y) if op.add else y
    return None


@rule(14, "exact", IncSubtensor)
def increment_of_zeros(context: Context, node: Apply) -> Variable | None:
    """inc(zeros[i], y) -> set(zeros[i], y), where no index is repeated"""
    op: Any = node.op
    x, y, *index = node.inputs
    # 0 + -0.0 is 0.0: only integers keep their bits.
    if not op.add or not is_basic(op.pattern) or value_of_constant(x) != 0 or not dtypes.is_discrete(x.dtype):
        return None
    return IncSubtensor(op.pattern, add=False)(x, y, *index)  # type: ignore[no-any-return]


@rule(15, "rounding", add)
def chain_increments(context: Context, node: Apply) -> Variable | None:
    """inc(zeros[i], a) + inc(zeros[j], b) -> inc(inc(zeros[i], a)[j], b), for bases of one shape"""
    first, second = node.inputs
    for base, other in ((first, second), (second, first)):
        write = other.owner
        if write is None or not isinstance(write.op, IncSubtensor) or not write.op.add:
            continue
        zeros, y, *index = write.inputs
        if value_of_constant(zeros) != 0 or base.dtype != other.dtype or not context.same_shape(base, other):
            continue
        if base.owner is None or not isinstance(base.owner.op, IncSubtensor):
            continue
        if not context.read_once(other):
            continue
        return write.op(base, y, *index)  # type: ignore[no-any-return]
    return None


def _cannot_fail(context: Context, x: Variable, read: Apply) -> bool:
    """Whether an index is in range for certain: a write that is dropped must not take its IndexError along."""
    if not is_basic(read.op.pattern):  # type: ignore[attr-defined]
        return False
    items = items_of(read)
    sizes = context.table.shape(x)
    return all(
        isinstance(item, slice) or (isinstance(item, int) and isinstance(n, int) and -n <= item < n)
        for item, n in zip(items, sizes, strict=True)
    )


def _same(first: Sequence[Variable], second: Sequence[Variable]) -> bool:
    return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))


# Not before formulas have been recognised: log(softmax(x))[i] is one, log(softmax(x)[i]) of its parts is none.
LIFTS = [*lift_through_reduction, *lift_through_dimshuffle, *lift_through_elementwise]

INDEXING = [
    *drop_useless_bounds,
    *merge_indices,
    *part_of_stack,
    *read_what_was_written,
    *write_that_changes_nothing,
    *increment_of_zeros,
    *lift_through_broadcast,
    *gather_of_range,
    *join_slices,
    *chain_increments,
]

