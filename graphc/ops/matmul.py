"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.graph.op import Gradient, Op, as_variables, refuse, typed
from graphc.graph.sizes import Shape, Sizes
from graphc.graph.variable import Apply, Variable, as_variable
from graphc.ops.declare import Tensor, function
from graphc.ops.dimshuffle import dimshuffle, transpose
from graphc.ops.elementwise import mul


class Dot(Op):
    """The product of vectors and matrices: the last axis of `x` with the first (or only) one of `y`."""

    __props__ = ()
    name = "dot"
    numpy = "dot"

    def make_node(self, *inputs: Any) -> Apply:
        x, y = as_variables(self, inputs)
        if not (1 <= x.ndim <= 2 and 1 <= y.ndim <= 2):
            raise refuse(TypeError, "dot", "takes vectors and matrices", [x, y], "x.reshape((-1, n)) of more axes")
        # A Python number cannot get here, so the operands' dtypes are what they are.
        dtype = dtypes.promote(((x.dtype, False), (y.dtype, False)))
        n, m = x.type.shape[-1], y.type.shape[0]
        if n is not None and m is not None and n != m:
            raise refuse(ShapeError, "dot", f"{n} != {m}", [x, y], _advice(x, y))
        return typed(self, [x, y], dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        x, y = shapes
        sizes.same(x[-1], y[0])
        return [(*x[:-1], *y[1:])]

    def perform(self, node: Apply, *values: Any) -> Any:
        dtype = node.outputs[0].dtype
        x, y = (np.asarray(v, dtype) for v in values)
        return np.asarray(np.dot(x, y))

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        (g,) = gs
        x, y = inputs
        if not isinstance(g, Variable):
            return [g, g]
        if x.ndim == 1 and y.ndim == 1:  # a number: g is a scalar
            return [g * y, g * x]
        if x.ndim == 1:  # g (n,), y (k, n)
            return [dot(y, g), outer(x, g)]
        if y.ndim == 1:  # g (m,), x (m, k)
            return [outer(g, y), dot(transpose(x), g)]
        return [dot(g, transpose(y)), dot(transpose(x), g)]


def _advice(x: Variable, y: Variable) -> str:
    """Which transpose would make the sizes agree."""
    if y.ndim == 2 and x.type.shape[-1] == y.type.shape[1]:
        return f"did you mean {y}.T?"
    if x.ndim == 2 and x.type.shape[0] == y.type.shape[0]:
        return f"did you mean {x}.T?"
    return "the last axis of the first operand must be as long as the first axis of the second"


_dot = Dot()


@function
def dot(x: Tensor, y: Tensor) -> Variable:
    """The matrix product of vectors and matrices; with a scalar the ordinary product.

    Shapes: ``(k) (k) -> ()``, ``(m, k) (k) -> (m)``, ``(k) (k, n) -> (n)``, ``(m, k) (k, n) -> (m, n)``.
    """
    x, y = as_variable(x), as_variable(y)
    out: Variable = mul(x, y) if x.ndim == 0 or y.ndim == 0 else _dot(x, y)
    return out


@function
def matmul(x: Tensor, y: Tensor) -> Variable:
    """``x @ y``: like `dot`, but a scalar is an error."""
    x, y = as_variable(x), as_variable(y)
    if x.ndim == 0 or y.ndim == 0:
        raise refuse(TypeError, "matmul", "takes no scalars", [x, y], "x * y")
    out: Variable = _dot(x, y)
    return out


@function
def outer(x: Tensor, y: Tensor) -> Variable:
    """The matrix of all products of two vectors."""
    x, y = as_variable(x), as_variable(y)
    out: Variable = mul(dimshuffle(x, 0, "x"), dimshuffle(y, "x", 0))
    return out


