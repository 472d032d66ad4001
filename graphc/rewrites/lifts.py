"""Lifts: an index goes through what is made element by element, or row by row, so that less of it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.graph.sizes import Shape
from graphc.graph.variable import Apply, Variable
from graphc.ops.broadcasting import Fill
from graphc.ops.cost import is_cheap
from graphc.ops.declare import Elementwise
from graphc.ops.dimshuffle import DimShuffle, dimshuffle
from graphc.ops.indexing import AdvancedSubtensor, Subtensor, is_basic
from graphc.ops.matmul import Dot, dot
from graphc.ops.nnet import AlongAxis
from graphc.ops.reduction import Reduction
from graphc.rewrites.engine.context import Context, same_sizes
from graphc.rewrites.engine.rule import rule
from graphc.rewrites.items import Item, cannot_fail, is_whole, items_of
from graphc.rewrites.shapes import is_one, value_broadcast

# ---- 13: element by element ----


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


@rule(13, "exact", Subtensor)
def lift_through_broadcast(context: Context, node: Apply) -> Variable | None:
    """alloc(x, shape)[i] -> alloc(x[i], the new shape), where the index cannot be out of range"""
    source = node.inputs[0]
    value = value_broadcast(source)
    op: Any = node.op
    if value is None or not is_basic(op.pattern) or not cannot_fail(context, node):
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
    return x if all(map(is_whole, own)) else x[tuple(own)]


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
        elif not (is_whole(item) or item in (0, -1)):
            return None
    if all(map(is_whole, items)) and any(p == "x" for p in inner.op.new_order):
        return None
    taken = [axis for axis, item in enumerate(items) if isinstance(item, slice)]
    order: list[int | str] = []
    for place, item in zip(inner.op.new_order, items_of(node), strict=True):
        if isinstance(item, slice):
            order.append("x" if place == "x" else taken.index(int(place)))
    return x[tuple(items)].dimshuffle(*order)  # type: ignore[no-any-return]


# ---- 13: row by row ----


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
    if x.ndim == 2 and not is_whole(items[0]):
        x = x[items[0]]
    if y.ndim == 2 and not is_whole(items[-1]):
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
    if not is_basic(op.pattern) or not is_whole(items[axis]) or not context.read_once(source):
        return None
    new_axis = sum(isinstance(item, slice) for item in items[:axis])
    return AlongAxis(inner.op.name, new_axis)(inner.inputs[0][tuple(items)])  # type: ignore[no-any-return]


# ---- 39: vectors of indices ----


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


# So many cheap steps are done again for an index that repeats, as kernels do rather than read memory.
MOST_REPEATED = 3


@rule(39, "exact", AdvancedSubtensor)
def gather_before_cheap_steps(context: Context, node: Apply) -> Variable | None:
    """f(x, s)[i] -> f(x[i], s) for an array of indices, if f is cheap and only read here, and s has no such rows"""
    source, *indices = node.inputs
    op: Any = node.op
    if op.pattern[0] != "array" or any(entry != "slice:---" for entry in op.pattern[1:]):
        return None
    found = _cheap_steps(context, source)
    if found is None:
        return None
    x, steps = found
    gathered: dict[Variable, Variable] = {x: op(x, *indices)}

    def image(y: Variable) -> Variable:
        if y in steps and y not in gathered:
            assert y.owner is not None
            gathered[y] = y.owner.op(*map(image, y.owner.inputs))
        return gathered.get(y, y)

    return image(source)


def _cheap_steps(context: Context, source: Variable) -> tuple[Variable, list[Variable]] | None:
    """The one array that `source` has its rows of, and the few cheap steps between them, which nobody else reads."""
    n = context.table.shape(source)[0]
    reads = {source: 1}
    arrays = [source]
    steps: list[Variable] = []
    for x in arrays:  # more are found on the way
        if x.owner is None or not isinstance(x.owner.op, Elementwise) or isinstance(x.owner.op, Fill):
            continue
        if not is_cheap(x) or len(steps) == MOST_REPEATED:
            return None
        steps.append(x)
        for y in x.owner.inputs:
            if y.ndim == source.ndim and (is_one(n) or not is_one(context.table.shape(y)[0])):
                if y not in reads:
                    arrays.append(y)
                reads[y] = reads.get(y, 0) + 1
    if len(arrays) != len(steps) + 1 or not steps or not all(context.read(x, reads[x]) for x in steps):
        return None
    (x,) = set(arrays) - set(steps)
    return x, steps


# Not before formulas have been recognised: log(softmax(x))[i] is one, log(softmax(x)[i]) of its parts is none.
LIFTS = [
    *lift_through_reduction,
    *lift_through_dimshuffle,
    *lift_through_elementwise,
    *lift_through_dot,
    *lift_through_softmax,
]

# Last, when ops have become their bodies.
GATHERS = [
    *gather_before_elementwise,
    *gather_before_cheap_steps,
]
