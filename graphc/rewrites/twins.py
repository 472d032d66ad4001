"""Twins: what is computed twice, but for axes of size 1, is computed once and seen as the other.

These are the last rules of all.  They need both twins to be there, so that a sum with ``keepdims`` stays what it is
where nobody wants the plain one; and no rule comes after them that would move a dimshuffle again.
"""

from __future__ import annotations

from graphc.graph.variable import Apply, Variable
from graphc.ops.declare import Elementwise
from graphc.ops.dimshuffle import DimShuffle, dimshuffle
from graphc.ops.reduction import Reduction
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.rule import rule
from graphc.rewrites.engine.table import table


@rule(1, "exact", Reduction)
def reduction_with_and_without_keepdims(context: Context, node: Apply) -> Variable | None:
    """sum(x, axis, keepdims=True) -> sum(x, axis) with new axes, where that is computed, too"""
    op = node.op
    (x,) = node.inputs
    if type(op) is not Reduction or not op.keepdims:
        return None
    plain = context.computed(Reduction(op.name, op.axis, False, op.dtype), x)
    if plain is None:
        return None
    left = iter(range(plain.ndim))
    return dimshuffle(plain, *("x" if axis in op.axes(x) else next(left) for axis in range(x.ndim)))


@rule(1, "exact", Elementwise, over=(DimShuffle,))
def elementwise_with_and_without_new_axes(context: Context, node: Apply) -> Variable | None:
    """f(dimshuffle(x), dimshuffle(y)) -> dimshuffle(f(x, y)), which adds axes, where f(x, y) is computed, too"""
    orders = {_order(x) for x in node.inputs if x.ndim}
    order = orders.pop() if len(orders) == 1 else None
    if order is None:
        return None
    plain = context.computed(node.op, *(_source(x) if x.ndim else x for x in node.inputs))
    return None if plain is None else dimshuffle(plain, *order)


@rule(1, "exact", Elementwise, over=(DimShuffle,))
def elementwise_with_and_without_leading_axes(context: Context, node: Apply) -> Variable | None:
    """f(x, y.dimshuffle('x', 0)) -> f(x, y), which puts that axis back by broadcasting, where it is computed, too"""
    operands = [_source(x) if _only_leads(_order(x)) else x for x in node.inputs]
    if max(x.ndim for x in operands) < node.out.ndim:
        return None
    return context.computed(node.op, *operands)


def _order(x: Variable) -> tuple[int | str, ...] | None:
    """The order of the dimshuffle that makes `x`, if that only adds axes."""
    op = None if x.owner is None else x.owner.op
    if not isinstance(op, DimShuffle) or [i for i in op.new_order if i != "x"] != list(range(op.input_ndim)):
        return None
    return op.new_order


def _only_leads(order: tuple[int | str, ...] | None) -> bool:
    """Whether all new axes come before the others."""
    return order is not None and "x" not in order[order.count("x") :]


def _source(x: Variable) -> Variable:
    """What a dimshuffle is of."""
    assert x.owner is not None
    return x.owner.inputs[0]


TWINS = table(
    "twins",
    reduction_with_and_without_keepdims,
    elementwise_with_and_without_new_axes,
    elementwise_with_and_without_leading_axes,
)
