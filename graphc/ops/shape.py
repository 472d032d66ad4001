"""Shapes as values: those that a program asks of an array, and those that it gives to an op.

A size is an int64 scalar, a shape one such scalar an axis.  The ops that take a shape read it with `as_sizes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.bindings import ops
from graphc.graph.op import Gradient, Op, as_variables, refuse
from graphc.graph.sizes import KnownSizes, Shape, Sizes
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Variable, as_variable, constant
from graphc.ops.declare import Tensor, function

# ---- asking for a shape ----


class ShapeOf(Op):
    """``shape_of(x, axis)``: one entry of the shape of `x`, an int64 scalar.  Never computes `x`."""

    __props__ = ("axis",)

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def make_node(self, *inputs: Any) -> Apply:
        (x,) = as_variables(self, inputs)
        return Apply(self, [x], [TensorType("int64", ())])

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        return [()]

    def with_sizes(self, sizes: KnownSizes, inputs: Sequence[Variable]) -> Variable | None:
        # Rule 6: the size is known without the array.
        size: Variable = sizes.size_variable(sizes.shape(inputs[0])[self.axis])
        return size

    def perform(self, node: Apply, *values: Any) -> Any:
        return np.int64(values[0].shape[self.axis])

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        return [None]

    def text(self) -> str:
        return f"Shape_i{{{self.axis}}}"


def shape_of(x: Variable, axis: int) -> Variable:
    """The size of `x` along `axis`, as an int64 scalar."""
    out: Variable = ShapeOf(axis)(x)
    return out


ops.bind("shape_of", shape_of)


def length(x: Variable, axis: int) -> Variable:
    """The size of `x` along `axis`: a constant if it is known."""
    n = x.type.shape[axis]
    return shape_of(x, axis) if n is None else constant(np.int64(n))


@function
def shape(x: Tensor) -> Variable:
    """The shape of `x`: an int64 vector with one entry an axis."""
    x = as_variable(x)
    if not x.ndim:
        return constant(np.zeros(0, np.int64))
    vector: Variable = ops.stack([length(x, i) for i in range(x.ndim)])
    return vector


@function
def size(x: Tensor) -> Variable:
    """The number of elements of `x`."""
    x = as_variable(x)
    total: Any = constant(np.int64(1))
    for axis in range(x.ndim):
        total = shape_of(x, axis) if axis == 0 else total * shape_of(x, axis)
    return total  # type: ignore[no-any-return]


# ---- being told one ----


def as_sizes(op: str, shape: Any, ndim: int | None = None) -> list[Variable]:
    """A shape that the user gave (an int, a sequence, a symbolic vector) as a list of integer scalars."""
    if isinstance(shape, Variable) and shape.ndim == 1:
        length = shape.type.shape[0] if ndim is None else ndim
        if length is None:
            raise refuse(ValueError, op, "the length of the shape vector is not known", [shape], "pass ndim=")
        return [shape[i] for i in range(length)]
    if isinstance(shape, int | np.integer | Variable):
        shape = [shape]
    sizes = [as_size(op, int(n) if isinstance(n, np.integer) else n) for n in shape]
    if ndim is not None and len(sizes) != ndim:
        raise ValueError(f"{op}: ndim={ndim}, but the shape has {len(sizes)} entries")
    return sizes


def as_size(op: str, value: Any) -> Variable:
    """A size that the user gave, as an integer scalar; TypeError for anything else."""
    size = constant(np.int64(value)) if isinstance(value, int) else as_variable(value)
    if size.ndim != 0 or not (dtypes.is_discrete(size.dtype) and size.dtype != "bool"):
        raise refuse(TypeError, op, f"a size must be an integer scalar, got {size!r}", [size], "T.cast(n, 'int64')")
    return size
