"""Cheaper ways to say the same, once nothing else will be matched."""

from __future__ import annotations

from graphc import dtypes
from graphc.graph.pattern import wildcards
from graphc.graph.variable import Apply, Variable
from graphc.ops.elementwise import Fill, pow, reciprocal, sqr
from graphc.ops.shape import alloc
from graphc.rewrites.engine import Context, rule, rules, table
from graphc.rewrites.stabilize import STABILIZE

(x,) = wildcards("x")


def _float(context: Context, x: Variable) -> bool:
    return dtypes.is_inexact(x.dtype)


POWERS = rules(
    19,
    "rounding",
    (pow(x, 1), x, _float),
    (pow(x, 2), sqr(x)),
    (pow(x, 3), sqr(x) * x),
    (pow(x, -1), reciprocal(x), _float),
    (pow(x, -2), reciprocal(sqr(x)), _float),
)

@rule(8, "exact", Fill)
def fill_to_alloc(context: Context, node: Apply) -> Variable | None:
    """fill(a, b) -> alloc(b, shape(a)): so that `a` is not computed for its shape"""
    if node.inputs[0].owner is None:
        return None
    return alloc(node.inputs[1], [context.table.size_variable(n) for n in context.table.shape(node.outputs[0])])


SPECIALIZE = table("specialize", STABILIZE, POWERS, fill_to_alloc)

