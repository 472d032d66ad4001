"""The canonical form: what can be said in one way only is said in that way.

Everything here is exact: same bits for every input.  `neg` moves outwards, constants are folded, identities and
broadcasts that change nothing go.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import dtypes
from graphc.evaluator import value_of
from graphc.graph.op import Op
from graphc.graph.pattern import wildcards
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.broadcasting import Alloc, Fill
from graphc.ops.conversion import Cast
from graphc.ops.elementwise import add, mul, neg, sub, true_div
from graphc.ops.identities import Identity
from graphc.ops.reduction import Reduction
from graphc.rewrites.algebra import LAWS
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.matching import value_of_constant
from graphc.rewrites.engine.rule import rule, rules
from graphc.rewrites.engine.table import table
from graphc.rewrites.indexing import INDEXING
from graphc.rewrites.reductions import REDUCTIONS
from graphc.rewrites.shapes import SHAPES

x, y, z = wildcards("x y z")

# Folding never makes a constant with more elements than this out of smaller ones.
LARGEST_FOLDED = 4096


@rule(2, "exact", Op, over=(Constant,))
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
    SHAPES,
    add_zero,
    sub_zero,
    SIGNS_AND_UNITS,
    sum_of_neg,
    drop_reduction_of_scalar,
    LAWS,
    INDEXING,
    REDUCTIONS,
)
