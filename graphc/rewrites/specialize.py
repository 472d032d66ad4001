"""Cheaper ways to say the same, once nothing else will be matched."""

from __future__ import annotations

from graphc import dtypes
from graphc.graph.pattern import wildcards
from graphc.graph.variable import Variable
from graphc.ops.elementwise import pow, reciprocal, sqr
from graphc.rewrites.engine import Context, rules, table
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

SPECIALIZE = table("specialize", STABILIZE, POWERS)

