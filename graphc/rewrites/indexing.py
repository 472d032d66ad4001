"""Indexing: an index of an index is one index, and an index goes through what is made element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.sizes import Shape, Size
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.broadcasting import Fill
from graphc.ops.cost import is_cheap
from graphc.ops.declare import Elementwise
from graphc.ops.dimshuffle import DimShuffle, dimshuffle
from graphc.ops.elementwise import add
from graphc.ops.indexing import AdvancedSubtensor, IncSubtensor, Subtensor, as_index, entries, is_basic
from graphc.ops.join import Join, Stack, concatenate, stack
from graphc.ops.matmul import Dot, dot
from graphc.ops.nnet import AlongAxis
from graphc.ops.ranges import ARange
from graphc.ops.reduction import Reduction
from graphc.rewrites.engine.context import Context, same_sizes
from graphc.rewrites.engine.matching import value_of_constant
from graphc.rewrites.engine.rule import rule
from graphc.rewrites.shapes import is_one, value_broadcast

# A join of more pieces is left alone: looking through all of them for every index would cost time.
MOST_PIECES = 64

Item = Any  # what stands between the brackets for one axis: an int, a Variable or a slice


def items_of(node: Apply) -> list[Item]:
    """The index of a node that reads or writes, as a user would write it, with ints for constants."""
    op: Any = node.op
    first = 2 if isinstance(op, IncSubtensor) else 1
    arguments = [int(a.data) if isinstance(a, Constant) and a.ndim == 0 else a for a in node.inputs[first:]]
    return list(as_index(op.pattern, arguments))


def _whole(item: Item) -> bool:
    return isinstance(item, slice) and item == slice(None)


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
    start, step = _given(first.start, 0), _given(first.step, 1)
    plain = isinstance(start, int) and start >= 0 and isinstance(step, int) and step > 0 and first.stop is None
    if not plain:
        return None
    if isinstance(second, int):
        return start + second * step if second >= 0 else None
    if isinstance(second, slice) and _constant(second):
        a, b, c = second.start or 0, second.stop, second.step or 1
        if a >= 0 and c > 0 and (b is None or b >= 0):
            return slice(start + a * step, None if b is None else start + b * step, step * c)
    return None


def _given(bound: Item, default: Any) -> Any:
    """A bound of a slice, or what its absence stands for."""
    return default if bound is None else bound


def _constant(item: Item) -> bool:
    if isinstance(item, slice):
        return all(bound is None or isinstance(bound, int) for bound in (item.start, item.stop, item.step))
    return isinstance(item, int)


# ---- 13: an index of something that is made element by element ----


@rule(13, "exact", Subtensor)
def lift_through_elementwise(context: Context, node: Apply) -> Variable | None:
    """f(x, y)[i] -> f(x[i], y[i]), if nobody else reads f(x, y); an axis that is broadcast needs no index"""
    source = node.inputs[0]
    inner = source.owner
    op: Any = node.op
    if inner is None or not isinstance(inner.op, Elementwise) or isinstance(inner.op, Fill):
        return None
    if not is_basic(op.pattern) or not context.read_once(source):
        return None
    items, shape = items_of(node), context.table.shape(source)
    parts = [_part(context, x, items, shape) for x in inner.inputs]
    return None if any(x is None for x in parts) else inner.op(*parts)


@rule(39, "exact", AdvancedSubtensor)
def gather_before_elementwise(context: Context, node: Apply) -> Variable | None:
    """f(x, y)[i, j] -> f(x[i, j], y[i, j]) for vectors of indices, if f is cheap or nobody else reads it"""
    source, *indices = node.inputs
    inner = source.owner
    op: Any = node.op
    if inner is None or not isinstance(inner.op, Elementwise) or isinstance(inner.op, Fill):
        return None
    if any(entry != "array" for entry in op.pattern) or any(i.ndim != 1 for i in indices):
        return None
    if source.ndim < 2 or not (is_cheap(source) or context.read_once(source)):
        return None
    parts = [_gathered(context, x, indices, context.table.shape(source)) for x in inner.inputs]
    return None if any(x is None for x in parts) else inner.op(*parts)


def _gathered(context: Context, x: Variable, indices: Sequence[Variable], shape: Shape) -> Variable | None:
    """What a gather from an array of this shape takes of `x`, which broadcasts to that; None where sizes may differ."""
    sizes = context.table.shape(x)
    missing = len(shape) - len(sizes)
    kept: list[int] = []
    for axis, (n, size) in enumerate(zip(sizes, shape[missing:], strict=True)):
        if same_sizes([n], [size]):
            kept.append(axis)
        elif not is_one(n):
            return None
    if len(kept) < x.ndim:
        x = dimshuffle(x, *kept)
    return x[tuple(indices[missing + axis] for axis in kept)] if kept else x


@rule(13, "exact", Subtensor)
def lift_through_broadcast(context: Context, node: Apply) -> Variable | None:
    """alloc(x, shape)[i] -> alloc(x[i], the new shape), where the index cannot be out of range"""
    source = node.inputs[0]
    value = value_broadcast(source)
    op: Any = node.op
    if value is None or not is_basic(op.pattern) or not _cannot_fail(context, node):
        return None
    return _part(context, value, items_of(node), context.table.shape(source))  # the driver broadcasts it


def _part(context: Context, x: Variable, items: Sequence[Item], shape: Shape) -> Variable | None:
    """What the index of an array of this shape takes of `x`, which broadcasts to that; None where sizes may differ."""
    sizes = context.table.shape(x)
    missing = len(shape) - len(sizes)
    own: list[Item] = []
    for item, n, size in zip(items[missing:], sizes, shape[missing:], strict=True):
        if is_one(n) and not is_one(size):
            own.append(slice(None) if isinstance(item, slice) else 0)
        elif same_sizes([n], [size]):
            own.append(item)
        else:
            return None
    return x if all(map(_whole, own)) else x[tuple(own)]


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
    if inner is None or not isinstance(inner.op, DimShuffle) or not is_basic(op.pattern):
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
            return piece if all(map(_whole, items)) else piece[tuple(items)]
        start = stop
    return None


def _inside(context: Context, item: Item, start: Size, stop: Size, total: Size) -> Item | None:
    """What an index of `total` elements is for those from `start` to `stop`; None if it may reach beyond."""
    if isinstance(item, int):
        return item - start if isinstance(start, int) and isinstance(stop, int) and start <= item < stop else None
    if not isinstance(item, slice):
        return None
    low: Any = context.table.find(_given(item.start, 0))
    high: Any = context.table.find(_given(item.stop, total))
    step = _given(item.step, 1)
    if step == 1 and same_sizes([low, high], [start, stop]):
        return slice(None)
    if not all(isinstance(n, int) for n in (low, high, step, start, stop)) or step < 0:
        return None
    return slice(low - start, high - start, step) if start <= low <= high <= stop else None


@rule(13, "rounding", Subtensor)  # BLAS adds up one row in another order than a matrix
def lift_through_dot(context: Context, node: Apply) -> Variable | None:
    """dot(x, y)[i] -> dot(x[i], y), dot(x, y)[:, j] -> dot(x, y[:, j]), if nobody else reads the product"""
    source = node.inputs[0]
    op: Any = node.op
    if source.owner is None or not isinstance(source.owner.op, Dot):
        return None
    if not is_basic(op.pattern) or not context.read_once(source):
        return None
    x, y = source.owner.inputs
    items = items_of(node)
    if x.ndim == 2 and not _whole(items[0]):
        x = x[items[0]]
    if y.ndim == 2 and not _whole(items[-1]):
        y = y[:, items[-1]]
    return dot(x, y)


@rule(13, "rounding", Subtensor)  # NumPy adds up a row alone in another order than the rows of a matrix
def lift_through_softmax(context: Context, node: Apply) -> Variable | None:
    """softmax(x, axis=1)[i] -> softmax(x[i], axis=0), and likewise logsoftmax, if nobody else reads it"""
    source = node.inputs[0]
    inner = source.owner
    op: Any = node.op
    if inner is None or not isinstance(inner.op, AlongAxis) or not inner.op.definition.keeps_axis:
        return None
    items, axis = items_of(node), inner.op.axis
    if not is_basic(op.pattern) or not _whole(items[axis]) or not context.read_once(source):
        return None
    new_axis = sum(isinstance(item, slice) for item in items[:axis])
    return AlongAxis(inner.op.name, new_axis)(inner.inputs[0][tuple(items)])  # type: ignore[no-any-return]


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
    return y if _cannot_fail(context, node) else None  # the driver broadcasts it to the shape of the place


@rule(14, "exact", IncSubtensor)
def write_that_changes_nothing(context: Context, node: Apply) -> Variable | None:
    """set(x[i], x[i]) -> x; set(set(x[i], y)[i], z) -> set(x[i], z); set(x[:], y) -> y; inc(x[i], 0) -> x"""
    op: Any = node.op
    x, y, *index = node.inputs
    read = y.owner
    if not op.add and read is not None and isinstance(read.op, Subtensor) and read.op.pattern == op.pattern:
        same = read.inputs[0] is x and _same(read.inputs[1:], index)
        if same and _cannot_fail(context, read):
            return x
    inner = x.owner
    if not op.add and inner is not None and isinstance(inner.op, IncSubtensor) and inner.op.pattern == op.pattern:
        same = _same(inner.inputs[2:], index)
        if same:
            return op(inner.inputs[0], y, *index)  # type: ignore[no-any-return]
    if all(entry == "slice:---" for entry in op.pattern):
        return add(x, y) if op.add else y
    if op.add and _adds_nothing(y) and _cannot_fail(context, node):
        return x
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


def _cannot_fail(context: Context, node: Apply) -> bool:
    """Whether an index is in range for certain: a node that is dropped must not take its IndexError along."""
    op: Any = node.op
    return is_basic(op.pattern) and all(
        isinstance(item, slice) or (isinstance(item, int) and isinstance(n, int) and -n <= item < n)
        for item, n in zip(items_of(node), context.table.shape(node.inputs[0]), strict=True)
    )


def _adds_nothing(y: Variable) -> bool:
    """Whether `y` is an integer 0, or -0.0: -0.0 + 0.0 is 0.0."""
    value = value_of_constant(y)
    return value == 0 and not isinstance(value, complex) and bool(dtypes.is_discrete(y.dtype) or np.signbit(value))


def _same(first: Sequence[Variable], second: Sequence[Variable]) -> bool:
    return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))


# Not before formulas have been recognised: log(softmax(x))[i] is one, log(softmax(x)[i]) of its parts is none.
LIFTS = [
    *lift_through_reduction,
    *lift_through_dimshuffle,
    *lift_through_elementwise,
    *lift_through_dot,
    *lift_through_softmax,
]

INDEXING = [
    *drop_useless_bounds,
    *merge_indices,
    *part_of_stack,
    *read_what_was_written,
    *write_that_changes_nothing,
    *increment_of_zeros,
    *lift_through_broadcast,
    *lift_through_join,
    *gather_of_range,
    *join_slices,
    *join_stacks,
    *chain_increments,
]
