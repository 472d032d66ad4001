"""Reductions: constants go out, reductions of reductions become one, and an argmax sees through what is monotonic."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from graphc import dtypes
from graphc.graph.sizes import Size
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.conversion import cast
from graphc.ops.declare import Elementwise
from graphc.ops.dimshuffle import DimShuffle, dimshuffle
from graphc.ops.elementwise import add, maximum, minimum, mul, sqr, true_div
from graphc.ops.join import Stack
from graphc.ops.matmul import Dot
from graphc.ops.nnet import AlongAxis, sigmoid, softplus
from graphc.ops.reduction import ArgExtremum, Reduction
from graphc.ops.reduction import sum as total
from graphc.ops.transcendental import exp, log, tanh
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.matching import value_of_constant
from graphc.rewrites.engine.rule import rule
from graphc.rewrites.shapes import is_one, value_broadcast

# Constants outside these bounds may overflow or underflow where the sum of the rest does not.
SMALLEST, LARGEST = 2.0**-20, 2.0**20

# Functions that grow with their argument: the place of the largest value is that of the largest argument.
MONOTONIC = (exp, tanh, sigmoid, softplus)


@rule(23, "rounding", Reduction)
def constant_out_of_sum(context: Context, node: Apply) -> Variable | None:
    """sum(c * x) -> c * sum(x), sum(x / c) -> sum(x) / c, for a constant 2**-20 <= |c| <= 2**20"""
    return _out_of_sum(context, node, lambda c: _moderate(value_of_constant(c)))


@rule(23, "algebraic", Reduction)
def factor_out_of_sum(context: Context, node: Apply) -> Variable | None:
    """sum(c * x) -> c * sum(x), sum(x / c) -> sum(x) / c, for any c without the axes summed: the sum may overflow"""
    return _out_of_sum(context, node, lambda c: True)


def _moderate(c: Any) -> bool:
    return c is not None and not isinstance(c, complex) and SMALLEST <= abs(c) <= LARGEST


def _out_of_sum(context: Context, node: Apply, allowed: Callable[[Variable], bool]) -> Variable | None:
    op: Any = node.op
    (inner,) = node.inputs
    if op.name != "sum" or inner.owner is None or not dtypes.is_inexact(inner.dtype) or inner.dtype != op.dtype:
        return None
    if inner.owner.op not in (mul, true_div):
        return None
    first, second = inner.owner.inputs
    for c, x in [(second, first)] if inner.owner.op is true_div else [(first, second), (second, first)]:
        if x.dtype != op.dtype or not context.same_shape(x, inner) or not allowed(c):
            continue
        factor = _without_reduced(context, c, op, inner)
        if factor is not None and not (inner.owner.op is true_div and value_of_constant(c) == 0):
            return inner.owner.op(op(x), factor)  # type: ignore[no-any-return]
    return None


def _without_reduced(context: Context, c: Variable, op: Reduction, x: Variable) -> Variable | None:
    """`c`, which broadcasts against `x`, in the shape of the reduced `x`; None if it varies along a reduced axis."""
    missing = x.ndim - c.ndim
    reduced = [axis - missing for axis in op.axes(x) if axis >= missing]
    if not all(is_one(context.shape(c)[axis]) for axis in reduced):
        return None
    return c if op.keepdims else dimshuffle(c, *(axis for axis in range(c.ndim) if axis not in reduced))


@rule(23, "rounding", Reduction)
def constant_out_of_prod(context: Context, node: Apply) -> Variable | None:
    """prod(c * x) -> c ** n * prod(x), for a constant c and a known n with 2**-20 <= |c ** n| <= 2**20"""
    return _out_of_prod(context, node, lambda c, n: isinstance(n, int) and _moderate(c) and _moderate(float(c) ** n))


@rule(23, "algebraic", Reduction)
def any_constant_out_of_prod(context: Context, node: Apply) -> Variable | None:
    """prod(c * x) -> c ** n * prod(x), for any constant: c ** n may overflow where the left side does not"""
    return _out_of_prod(context, node, lambda c, n: c is not None)


def _out_of_prod(context: Context, node: Apply, allowed: Callable[[Any, Size], bool]) -> Variable | None:
    op: Any = node.op
    (inner,) = node.inputs
    if op.name != "prod" or inner.owner is None or not dtypes.is_inexact(inner.dtype) or inner.dtype != op.dtype:
        return None
    if inner.owner.op is not mul:
        return None
    n = context.table.total([context.shape(inner)[axis] for axis in op.axes(inner)])
    for c, x in (inner.owner.inputs, inner.owner.inputs[::-1]):
        if c.ndim == 0 and x.dtype == op.dtype and allowed(value_of_constant(c), n):
            return c ** cast(context.table.size_variable(n), op.dtype) * op(x)  # type: ignore[no-any-return]
    return None


@rule(23, "exact", Reduction)
def reduction_over_all_axes(context: Context, node: Apply) -> Variable | None:
    """sum(x, axis=(0, 1)) -> sum(x), if these are all axes"""
    op: Any = node.op
    (x,) = node.inputs
    if type(op) is not Reduction or op.axis is None or len(op.axis) < x.ndim:
        return None
    return Reduction(op.name, None, op.keepdims, op.dtype)(x)  # type: ignore[no-any-return]


@rule(23, "exact", Reduction)
def extremum_of_stack(context: Context, node: Apply) -> Variable | None:
    """max(stack(x, y)) -> maximum(x, y), and likewise min, along the axis of the stack"""
    return _of_stack(node, {"max": maximum, "min": minimum})


@rule(23, "stable", Reduction)  # not exact: a sum begins at 0.0
def sum_of_stack(context: Context, node: Apply) -> Variable | None:
    """sum(stack(x, y)) -> x + y, and likewise prod, along the axis of the stack"""
    return _of_stack(node, {"sum": add, "prod": mul})


# So many numbers NumPy adds one after the other; of more it makes eight sums.
MOST_PARTS = 7


def _of_stack(node: Apply, functions: dict[str, Elementwise]) -> Variable | None:
    op: Any = node.op
    (stacked,) = node.inputs
    function = functions.get(op.name)
    if type(op) is not Reduction or function is None or op.keepdims:
        return None
    if stacked.owner is None or not isinstance(stacked.owner.op, Stack) or len(stacked.owner.inputs) > MOST_PARTS:
        return None
    if op.axes(stacked) != (stacked.owner.op.axis,):
        return None
    parts = [cast(cast(x, stacked.dtype), op.dtype) for x in stacked.owner.inputs]
    return reduce(function, parts)


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
    value = value_broadcast(node.inputs[0])
    if op.name != "sum" or value is None or value.ndim or value.dtype != op.dtype:
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
    *reduction_over_all_axes,
    *reduction_over_ones,
    *sum_over_ones,
    *extremum_of_extremum,
    *sum_of_sum_of_integers,
    *sum_of_sum,
    *sum_of_broadcast,
    *extremum_of_stack,
    *sum_of_stack,
    *argmax_of_monotonic,
    *argmax_of_log,
    *dot_of_zeros,
    *sum_of_squared_outer,
    *constant_out_of_sum,
    *factor_out_of_sum,
    *constant_out_of_prod,
    *any_constant_out_of_prod,
]
