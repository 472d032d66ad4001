"""Ops whose value is their operand: they say what becomes of the gradient, which is stopped, clipped or scaled.

They are for `grad` to see; rewriting, which comes after it, takes them away.  `tensor_copy` lets the gradient pass.
"""

from __future__ import annotations

from typing import Any

from graphc.graph.bindings import ops
from graphc.graph.op import zero
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Variable
from graphc.ops.declare import Elementwise
from graphc.ops.elementwise import clip


class Identity(Elementwise):
    """The same value; subclasses change what the gradient sees."""

    view_of = 0

    def __init__(self, name: str, grad: Any) -> None:
        super().__init__(name, 1, lambda operands: ((operands[0][0],), operands[0][0]), grad=grad)

    def __reduce__(self) -> Any:
        return self.name

    def make_node(self, *inputs: Any) -> Apply:
        node = super().make_node(*inputs)
        (out,) = node.outputs
        out.type = TensorType(out.dtype, shape=out.type.shape)
        return node

    def perform(self, node: Apply, *values: Any) -> Any:
        return values[0]


tensor_copy = Identity("tensor_copy", lambda g, out, x: (g,))
ops.bind("copy", tensor_copy)
zero_grad = Identity("zero_grad", lambda g, out, x: (zero,))
consider_constant = Identity("consider_constant", lambda g, out, x: (zero,))
disconnected_grad = Identity("disconnected_grad", lambda g, out, x: (None,))


class GradClip(Identity):
    """The identity whose gradient is clipped to a range."""

    __props__ = ("low", "high")

    def __init__(self, low: float, high: float) -> None:
        super().__init__("grad_clip", lambda g, out, x: (clip(g, low, high),))
        self.low, self.high = low, high

    def __reduce__(self) -> Any:
        return GradClip, (self.low, self.high)


def grad_clip(x: Any, lower_bound: float, upper_bound: float) -> Variable:
    """`x`, whose gradient is limited to ``[lower_bound, upper_bound]``."""
    out: Variable = GradClip(lower_bound, upper_bound)(x)
    return out


class GradScale(Identity):
    """The identity whose gradient is multiplied by a number."""

    __props__ = ("factor",)

    def __init__(self, factor: float) -> None:
        super().__init__("grad_scale", lambda g, out, x: (g * factor,))
        self.factor = factor

    def __reduce__(self) -> Any:
        return GradScale, (self.factor,)


def grad_scale(x: Any, multiplier: float) -> Variable:
    """`x`, whose gradient is multiplied by `multiplier`."""
    out: Variable = GradScale(multiplier)(x)
    return out
