"""What a value costs, as far as it matters whether it is kept or computed again."""

from __future__ import annotations

from graphc.graph.variable import Variable
from graphc.ops.broadcasting import Alloc, Fill
from graphc.ops.conversion import Cast

# Elementwise ops of an instruction or two: anything dearer is worth a place in memory.
CHEAP = frozenset(
    {
        "add", "sub", "mul", "neg", "abs_", "sqr", "sgn", "switch", "maximum", "minimum", "lt", "le", "gt", "ge", "eq",
        "neq", "and_", "or_", "xor", "invert", "isnan", "isinf", "isfinite", "floor", "ceil", "trunc", "clip",
    }
)  # fmt: skip


def is_cheap(x: Variable) -> bool:
    """Whether `x` is there already, or an instruction or two from its operands."""
    return x.owner is None or x.owner.op.name in CHEAP or isinstance(x.owner.op, Alloc | Cast | Fill)
