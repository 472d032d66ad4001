"""Reductions: constants go out, reductions of reductions become one, and an argmax sees through what is monotonic."""

from __future__ import annotations

from typing import Any

from graphc import dtypes
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.elementwise import Fill, cast, exp, log, mul, sqr, tanh, true_div
from graphc.ops.matmul import Dot
from graphc.ops.nnet import AlongAxis, sigmoid, softplus
from graphc.ops.reduction import ArgExtremum, Reduction
from graphc.ops.reduction import sum as total
from graphc.ops.shape import Alloc, DimShuffle, dimshuffle
from graphc.rewrites.engine import Context, rule, value_of_constant

# Constants outside these bounds may overflow or underflow where the sum of the rest does not.
SMALLEST, LARGEST = 2.0**-20, 2.0**20

# Functions that grow with their argument: the place of the largest value is that of the largest argument.
MONOTONIC = (exp, tanh, sigmoid, softplus)


@rule(23, "rounding", Reduction)
def constant_out_of_sum(context: Context, node: Apply) -> Variable | None:
    """sum(c * x) -> c * sum(x), sum(x / c) -> sum(x) / c, for a constant 2**-20 <= |c| <= 2**20"""
    return _out_of_sum(node, lambda c: not isinstance(c, complex) and SMALLEST <= abs(c) <= LARGEST)


@rule(23, "algebraic", Reduction)
def any_constant_out_of_sum(context: Context, node: Apply) -> Variable | None:
    """sum(c * x) -> c * sum(x), for any constant: may overflow where the left side does not"""
    return _out_of_sum(node, lambda c: True)


def _out_of_sum(node: Apply, allowed: Any) -> Variable | None:
    op: Any = node.op
    (inner,) = node.inputs
    if op.name != "sum" or inner.owner is None or not dtypes.is_inexact(inner.dtype) or inner.dtype != op.dtype:
        return None
    first, second = inner.owner.inputs[0], inner.owner.inputs[-1]
    if inner.owner.op is mul:
        for c, x in ((first, second), (second, first)):
            value = value_of_constant(c)
            if value is not None and c.ndim == 0 and x.dtype == op.dtype and x.ndim == inner.ndim and allowed(value):
                return c * op(x)  # type: ignore[no-any-return]
    if inner.owner.op is true_div:
        value = value_of_constant(second)
        if value and second.ndim == 0 and first.dtype == op.dtype and allowed(value):
            return op(first) / second  # type: ignore[no-any-return]
    return None


@rule(23, "exact", Reduction)
def extremum_of_extremum(context: Context, node: Apply) -> Variable | None:
    """max(max(x, axis)) -> max(x), and likewise min, any, all"""
    return _merged(node, ("max", "min", "any", "all"))


@rule(23, "exact", Reduction)
def sum_of_sum_of_integers(context: Context, node: Apply) -> Variable | None:
    """sum(sum(x, axis)) -> sum(x), of integers: their arithmetic is modular, so the order does not matter"""
    return _merged(node, ("sum", "prod")) if dtypes.is_discrete(node.outputs[0].dtype) else None


@rule(23, "algebraic", Reduction)
def sum_of_sum(context: Context, node: Apply) -> Variable | None:
    """sum(sum(x, axis)) -> sum(x); the order of floating-point additions changes"""
    return _merged(node, ("sum", "prod"))


def _merged(node: Apply, names: tuple[str, ...]) -> Variable | None:
    op: Any = node.op
    inner = node.inputs[0].owner
    if op.name not in names or inner is None or not isinstance(inner.op, Reduction) or inner.op.name != op.name:
        return None
    if inner.op.keepdims or op.keepdims or inner.op.dtype != op.dtype:
        return None
    x = inner.inputs[0]
    if op.axis is None:
        return Reduction(op.name, None, False, op.dtype)(x)  # type: ignore[no-any-return]
    left = [axis for axis in range(x.ndim) if axis not in inner.op.axes(x)]
    axes = sorted({*inner.op.axes(x), *(left[axis] for axis in op.axis)})
    return Reduction(op.name, tuple(axes), False, op.dtype)(x)  # type: ignore[no-any-return]


@rule(23, "exact", Reduction)
def reduction_over_ones(context: Context, node: Apply) -> Variable | None:
    """max(x, axis) -> x without the axis, if its size is 1"""
    op: Any = node.op
    inexact_sum = op.name == "sum" and dtypes.is_inexact(node.outputs[0].dtype)
    return None if inexact_sum else _over_ones(context, node)


@rule(23, "stable", Reduction)
def sum_over_ones(context: Context, node: Apply) -> Variable | None:
    """sum(x, axis) -> x without the axis, if its size is 1; not exact: a sum begins at 0.0, and -0.0 + 0.0 is 0.0"""
    return _over_ones(context, node) if node.op.name == "sum" else None


def _over_ones(context: Context, node: Apply) -> Variable | None:
    op: Any = node.op
    (x,) = node.inputs
    sizes = context.table.shape(x)
    axes = op.axes(x)
    if not axes or not all(isinstance(sizes[a], int) and sizes[a] == 1 for a in axes) or op.name in ("any", "all"):
        return None
    kept = x if op.keepdims else dimshuffle(x, *(a for a in range(x.ndim) if a not in axes))
    return cast(kept, op.dtype)


@rule(23, "stable", Reduction)
def sum_of_broadcast(context: Context, node: Apply) -> Variable | None:
    """sum(alloc(c, n)) -> c * n"""
    op: Any = node.op
    inner = node.inputs[0].owner
    if op.name != "sum" or inner is None or not isinstance(inner.op, Alloc | Fill):
        return None
    value = inner.inputs[0] if isinstance(inner.op, Alloc) else inner.inputs[1]
    if value.ndim or value.dtype != op.dtype:
        return None
    sizes = context.table.shape(node.inputs[0])
    count: Any = None
    for axis in op.axes(node.inputs[0]):
        n = context.table.size_variable(sizes[axis])
        count = n if count is None else count * n
    return value if count is None else value * cast(count, op.dtype)


@rule(33, "stable", ArgExtremum)
def argmax_of_monotonic(context: Context, node: Apply) -> Variable | None:
    """argmax(softmax|exp|tanh|sigmoid|softplus(x)) -> argmax(x), also where those are too flat to tell"""
    inner = node.inputs[0].owner
    op: Any = node.op
    if inner is None:
        return None
    if inner.op in MONOTONIC and inner.inputs[0].dtype == node.inputs[0].dtype:
        return op(inner.inputs[0])  # type: ignore[no-any-return]
    if isinstance(inner.op, AlongAxis) and inner.op.name in ("softmax", "logsoftmax") and op.axis == inner.op.axis:
        return op(inner.inputs[0])  # type: ignore[no-any-return]
    return None


@rule(33, "algebraic", ArgExtremum)
def argmax_of_log(context: Context, node: Apply) -> Variable | None:
    """argmax(log(x)) -> argmax(x); the logarithm of a negative number is nan, which argmax finds first"""
    inner = node.inputs[0].owner
    if inner is None or inner.op is not log or inner.inputs[0].dtype != node.inputs[0].dtype:
        return None
    return node.op(inner.inputs[0])  # type: ignore[no-any-return]


@rule(36, "algebraic", Dot)
def dot_of_zeros(context: Context, node: Apply) -> Variable | None:
    """dot(0, x) -> 0; nan where x is inf or nan"""
    if any(value_of_constant(x) == 0 for x in node.inputs):
        return Constant(TensorType(node.outputs[0].dtype, ()), 0)
    return None


@rule(37, "rounding", Reduction)
def sum_of_squared_outer(context: Context, node: Apply) -> Variable | None:
    """sum(sqr(outer(x, y))) -> sum(sqr(x)) * sum(sqr(y)): the matrix is never made"""
    op: Any = node.op
    (inner,) = node.inputs
    if op.name != "sum" or len(op.axes(inner)) != inner.ndim or op.keepdims or inner.ndim != 2:
        return None
    if inner.owner is None or inner.owner.op is not sqr or not dtypes.is_float(inner.dtype) or inner.dtype != op.dtype:
        return None
    product = inner.owner.inputs[0].owner
    if product is None or product.op is not mul:
        return None
    vectors = [_vector_along(x) for x in product.inputs]
    if None in vectors or {axis for axis, _ in vectors} != {0, 1}:  # type: ignore[misc]
        return None
    return total(sqr(vectors[0][1])) * total(sqr(vectors[1][1]))  # type: ignore[index,no-any-return]


def _vector_along(x: Variable) -> tuple[int, Variable] | None:
    """The axis of a matrix that a vector stretched by a dimshuffle lies along, and the vector."""
    node = x.owner
    if node is None or not isinstance(node.op, DimShuffle) or node.inputs[0].ndim != 1:
        return None
    return node.op.new_order.index(0), node.inputs[0]


REDUCTIONS = [
    *reduction_over_ones,
    *sum_over_ones,
    *extremum_of_extremum,
    *sum_of_sum_of_integers,
    *sum_of_sum,
    *sum_of_broadcast,
    *argmax_of_monotonic,
    *argmax_of_log,
    *dot_of_zeros,
    *sum_of_squared_outer,
    *constant_out_of_sum,
    *any_constant_out_of_sum,
]
