"""The canonical form: what can be said in one way only is said in that way.

Everything here is exact: same bits for every input.  `neg` moves outwards, constants are folded, identities and
broadcasts that change nothing go.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import dtypes
from graphc.evaluate import value_of
from graphc.graph.op import Op
from graphc.graph.pattern import wildcards
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.declare import Elementwise
from graphc.ops.elementwise import Cast, Fill, Identity, add, fill, mul, neg, sub, true_div
from graphc.ops.matmul import Dot, dot
from graphc.ops.reduction import Reduction
from graphc.ops.shape import Alloc, DimShuffle, Reshape, dimshuffle
from graphc.rewrites.algebra import LAWS
from graphc.rewrites.engine import Context, rule, rules, same_sizes, table, value_of_constant
from graphc.rewrites.indexing import INDEXING
from graphc.rewrites.reductions import REDUCTIONS

x, y, z = wildcards("x y z")

# Folding never makes a constant with more elements than this out of smaller ones.
LARGEST_FOLDED = 4096


@rule(2, "exact", Op)
def fold_constants(context: Context, node: Apply) -> Variable | None:
    """op(constants) -> constant"""
    if not node.op.pure or len(node.outputs) != 1 or not node.inputs:
        return None
    if not all([isinstance(i, Constant) for i in node.inputs]):
        return None
    sizes = context.table.shape(node.outputs[0])
    total = 1
    for n in sizes:
        if not isinstance(n, int):
            return None
        total *= n
    inputs = [i.data for i in node.inputs if isinstance(i, Constant)]
    if total > max(LARGEST_FOLDED, *(data.size for data in inputs)) or isinstance(node.op, Alloc | Fill):
        return None
    try:
        with np.errstate(all="ignore"):
            (value,) = value_of(node, inputs)
    except (ValueError, IndexError, ArithmeticError, TypeError):
        return None  # the error belongs to the run, where it can be explained
    out = node.outputs[0].type
    return Constant(TensorType(out.dtype, shape=value.shape, weak=out.weak), value)


@rule(3, "exact", Identity)
def drop_identity(context: Context, node: Apply) -> Variable | None:
    """identity(x) -> x"""
    return node.inputs[0]


@rule(3, "exact", Cast)
def drop_cast(context: Context, node: Apply) -> Variable | None:
    """cast(x, its own dtype) -> x"""
    return node.inputs[0] if node.inputs[0].dtype == node.outputs[0].dtype else None


@rule(4, "exact", DimShuffle)
def compose_dimshuffles(context: Context, node: Apply) -> Variable | None:
    """dimshuffle(dimshuffle(x)) -> dimshuffle(x), and none at all if nothing moves"""
    (inner,) = node.inputs
    op: Any = node.op
    if op.new_order == tuple(range(inner.ndim)):
        return inner
    if inner.owner is None or not isinstance(inner.owner.op, DimShuffle):
        return None
    first = inner.owner.op.new_order
    return dimshuffle(inner.owner.inputs[0], *("x" if i == "x" else first[i] for i in op.new_order))


@rule(4, "exact", DimShuffle)
def transpose_of_dot(context: Context, node: Apply) -> Variable | None:
    """dot(x, y).T -> dot(y.T, x.T)"""
    (inner,) = node.inputs
    op: Any = node.op
    if op.new_order != (1, 0) or inner.owner is None or not isinstance(inner.owner.op, Dot):
        return None
    a, b = inner.owner.inputs
    if not context.read_once(inner):
        return None
    return dot(b.T, a.T)


@rule(4, "exact", DimShuffle)
def dimshuffle_of_broadcast(context: Context, node: Apply) -> Variable | None:
    """dimshuffle(alloc(scalar, shape)) -> alloc(scalar, the new shape)"""
    (inner,) = node.inputs
    if inner.owner is None or not isinstance(inner.owner.op, Alloc | Fill):
        return None
    value = inner.owner.inputs[0] if isinstance(inner.owner.op, Alloc) else inner.owner.inputs[1]
    return value if value.ndim == 0 else None  # the driver broadcasts it to the shape of the node


@rule(4, "exact", DimShuffle)
def dimshuffle_of_elementwise(context: Context, node: Apply) -> Variable | None:
    """dimshuffle(f(x, y)) -> f(dimshuffle(x), dimshuffle(y)), if nobody else reads f(x, y)"""
    (inner,) = node.inputs
    op: Any = node.op
    source = inner.owner
    if source is None or not isinstance(source.op, Elementwise) or isinstance(source.op, Fill):
        return None
    if not context.read_once(inner) or any(0 < i.ndim < inner.ndim for i in source.inputs):
        return None
    full = context.table.shape(inner)
    if any(i.ndim and not same_sizes(context.table.shape(i), full) for i in source.inputs):
        return None
    moved: Variable = source.op(*(dimshuffle(i, *op.new_order) if i.ndim else i for i in source.inputs))
    return moved


@rule(5, "exact", Reshape)
def reshape_to_own_shape(context: Context, node: Apply) -> Variable | None:
    """reshape(x, shape(x)) -> x"""
    source = node.inputs[0]
    return source if context.same_shape(source, node.outputs[0]) else None


def _is_fill(x: Variable) -> bool:
    return x.owner is not None and isinstance(x.owner.op, (Fill, Alloc))


@rule(8, "exact", Elementwise)
def drop_fill(context: Context, node: Apply) -> Variable | None:
    """f(fill(a, b), c) -> f(b, c), if c has the shape of the result"""
    if isinstance(node.op, Fill) or not node.outputs[0].ndim or not any(map(_is_fill, node.inputs)):
        return None
    out = context.table.shape(node.outputs[0])
    for i, source in enumerate(node.inputs):
        if source.owner is None or not _is_fill(source):
            continue
        value = source.owner.inputs[1] if isinstance(source.owner.op, Fill) else source.owner.inputs[0]
        others = [other for j, other in enumerate(node.inputs) if j != i]
        covered = [context.table.shape(other) for other in (*others, value)]
        if same_sizes(context.table.broadcast(covered), out):
            return node.op(*node.inputs[:i], value, *node.inputs[i + 1 :])  # type: ignore[no-any-return]
    return None


@rule(8, "exact", Elementwise)
def unary_of_fill(context: Context, node: Apply) -> Variable | None:
    """f(fill(a, b), c) -> fill(a, f(b, c)), if b and c are scalars"""
    if isinstance(node.op, Fill) or not node.outputs[0].ndim or not any(map(_is_fill, node.inputs)):
        return None
    values, like = [], None
    for source in node.inputs:
        if source.owner is not None and isinstance(source.owner.op, Fill) and source.owner.inputs[1].ndim == 0:
            like, value = source.owner.inputs
            values.append(value)
        elif source.ndim == 0:
            values.append(source)
        else:
            return None
    if like is None or not context.same_shape(like, node.outputs[0]):
        return None
    return fill(like, node.op(*values))  # type: ignore[no-any-return]


@rule(8, "exact", Fill)
def useless_fill(context: Context, node: Apply) -> Variable | None:
    """fill(a, b) -> b, if b has the shape already, else fill(x, b) for a leaf x of the shape of a"""
    like, value = node.inputs
    if context.same_shape(value, node.outputs[0]):
        return value
    leaf = context.table.leaf_like(like)
    return None if leaf is None or leaf is like else fill(leaf, value)


@rule(18, "exact", add)
def add_zero(context: Context, node: Apply) -> Variable | None:
    """x + 0 -> x, for integers; for floats only x + -0.0, since -0.0 + 0.0 is 0.0"""
    for this, other in (node.inputs, node.inputs[::-1]):
        value = value_of_constant(other)
        if value != 0 or isinstance(value, complex) or value is None:
            continue
        if dtypes.is_discrete(node.outputs[0].dtype) or np.signbit(value):
            return this
    return None


@rule(18, "exact", sub)
def sub_zero(context: Context, node: Apply) -> Variable | None:
    """x - 0 -> x, but for x - -0.0, since -0.0 - -0.0 is 0.0"""
    x, other = node.inputs
    value = value_of_constant(other)
    if value != 0 or isinstance(value, complex) or np.signbit(value):
        return None
    return x


def _real(context: Context, **found: Variable) -> bool:
    """A product with 1 + 0j has a nan where a factor is infinite."""
    return not any(dtypes.is_complex(v.dtype) for v in found.values())


def _float(context: Context, **found: Variable) -> bool:
    return all(dtypes.is_inexact(v.dtype) for v in found.values())


def _signed(context: Context, **found: Variable) -> bool:
    """-1 * x and -x are the same for signed numbers only."""
    return not any(v.dtype == "bool" or v.dtype in dtypes.UNSIGNED for v in found.values())


def _signed_real(context: Context, **found: Variable) -> bool:
    return _signed(context, **found) and _real(context, **found)


SIGNS_AND_UNITS = rules(
    18,
    "exact",
    (mul(1, x), x, _real),
    (mul(-1, x), -x, _signed_real),
    (true_div(x, 1), x, _real),
    (true_div(x, -1), -x, _real),
    (-(-x), x),
    ((-x) / (-y), x / y),
    (x + (-y), x - y),
    (x - (-y), x + y),
    ((-x) * y, -(x * y), _signed),
    ((-x) / y, -(x / y), _float),
    (x / (-y), -(x / y), _float),
)


@rule(18, "stable", Reduction)
def sum_of_neg(context: Context, node: Apply) -> Variable | None:
    """sum(-x) -> -sum(x); not exact, since an empty or zero sum changes the sign of its zero"""
    op: Any = node.op
    (inner,) = node.inputs
    if op.name != "sum" or inner.owner is None or inner.owner.op is not neg or inner.dtype != op.dtype:
        return None
    return -op(inner.owner.inputs[0])  # type: ignore[no-any-return]


@rule(23, "exact", Reduction)
def drop_reduction_of_scalar(context: Context, node: Apply) -> Variable | None:
    """sum(x) -> x, if x is a scalar"""
    op: Any = node.op
    (inner,) = node.inputs
    if inner.ndim == 0 and inner.dtype == op.dtype:
        return inner
    return None


CANONICALIZE = table(
    "canonicalize",
    fold_constants,
    drop_identity,
    drop_cast,
    compose_dimshuffles,
    transpose_of_dot,
    dimshuffle_of_broadcast,
    dimshuffle_of_elementwise,
    reshape_to_own_shape,
    useless_fill,
    drop_fill,
    unary_of_fill,
    add_zero,
    sub_zero,
    SIGNS_AND_UNITS,
    sum_of_neg,
    drop_reduction_of_scalar,
    LAWS,
    INDEXING,
    REDUCTIONS,
)
