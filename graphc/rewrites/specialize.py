"""Cheaper ways to say the same, once nothing else will be matched."""

from __future__ import annotations

from graphc.graph.variable import Apply, Variable
from graphc.ops.broadcasting import Fill, alloc
from graphc.rewrites.algebra import CHEAPER
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.rule import rule
from graphc.rewrites.engine.table import table
from graphc.rewrites.lifts import LIFTS
from graphc.rewrites.shapes import RESHAPE_LIFTS
from graphc.rewrites.stabilize import STABILIZE


@rule(8, "exact", Fill)
def fill_to_alloc(context: Context, node: Apply) -> Variable | None:
    """fill(a, b) -> alloc(b, shape(a)): so that `a` is not computed for its shape"""
    if node.inputs[0].owner is None:
        return None
    return alloc(node.inputs[1], [context.table.size_variable(n) for n in context.table.shape(node.outputs[0])])


SPECIALIZE = table("specialize", STABILIZE, CHEAPER, LIFTS, RESHAPE_LIFTS, fill_to_alloc)
