"""Several arrays as one: one after the other along an axis (`concatenate`), side by side on a new one (`stack`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.op import Gradient, Op, as_variables, refuse, typed
from graphc.graph.sizes import Shape, Sizes
from graphc.graph.variable import Apply, Variable, as_variable
from graphc.ops.declare import Tensor, function, normalise_axis
from graphc.ops.shape import shape_of


class Join(Op):
    """``concatenate([x, y, ...], axis)``."""

    __props__ = ("axis",)
    name = "Join"

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def make_node(self, *inputs: Any) -> Apply:
        xs = as_variables(self, inputs)
        if len({x.ndim for x in xs}) != 1:
            raise refuse(TypeError, "concatenate", "the arrays must have the same number of axes", xs)
        dtype = dtypes.promote(tuple((x.dtype, x.type.weak) for x in xs))
        return typed(self, xs, dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        result = list(shapes[0])
        for shape in shapes[1:]:
            for axis, n in enumerate(shape):
                result[axis] = sizes.add(result[axis], n) if axis == self.axis else sizes.same(result[axis], n)
        return [tuple(result)]

    def perform(self, node: Apply, *values: Any) -> Any:
        return np.concatenate(values, axis=self.axis).astype(node.outputs[0].dtype, copy=False)

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        g = gs[0]
        if not isinstance(g, Variable):
            return [g] * len(inputs)
        parts: list[Gradient] = []
        start: Any = 0
        for i, x in enumerate(inputs):
            stop = start + shape_of(x, self.axis) if i else shape_of(x, self.axis)
            parts.append(g[(slice(None),) * self.axis + (slice(start, stop),)])
            start = stop
        return parts


@function
def concatenate(tensor_list: Sequence[Tensor], axis: int = 0) -> Variable:
    """Arrays of one rank put one after the other along `axis`."""
    xs = [as_variable(x) for x in tensor_list]
    if not xs:
        raise ValueError("concatenate: needs at least one array")
    (axis,) = normalise_axis("concatenate", axis, xs[0]) or (0,)
    out: Variable = xs[0] if len(xs) == 1 else Join(axis)(*xs)
    return out


def join(axis: int, *tensors: Tensor) -> Variable:
    """``concatenate(tensors, axis)``."""
    return concatenate(tensors, axis)


class Stack(Op):
    """``stack([x, y, ...], axis)``: arrays of one shape along a new axis."""

    __props__ = ("axis",)
    name = "Stack"

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def make_node(self, *inputs: Any) -> Apply:
        xs = as_variables(self, inputs)
        if len({x.ndim for x in xs}) != 1:
            raise refuse(TypeError, "stack", "the arrays must have the same number of axes", xs)
        dtype = dtypes.promote(tuple((x.dtype, x.type.weak) for x in xs))
        return typed(self, xs, dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        common = list(shapes[0])
        for shape in shapes[1:]:
            common = [sizes.same(n, m) for n, m in zip(common, shape, strict=True)]
        return [(*common[: self.axis], len(shapes), *common[self.axis :])]

    def perform(self, node: Apply, *values: Any) -> Any:
        dtype = node.outputs[0].dtype
        if not np.ndim(values[0]):  # np.stack gives every number an axis first, which takes ten times as long
            return np.array(values, dtype)
        return np.stack(values, axis=self.axis).astype(dtype, copy=False)

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        g = gs[0]
        if not isinstance(g, Variable):
            return [g] * len(inputs)
        return [g[(slice(None),) * self.axis + (i,)] for i in range(len(inputs))]

    def text(self) -> str:
        return "MakeVector" if self.axis == 0 else f"Stack{{{self.axis}}}"


@function
def stack(tensors: Sequence[Tensor], axis: int = 0) -> Variable:
    """Arrays of one shape put side by side along a new axis; scalars make a vector."""
    xs = [as_variable(x) for x in tensors]
    if not xs:
        raise ValueError("stack: needs at least one array")
    ndim = max(x.ndim for x in xs) + 1
    if not -ndim <= axis < ndim:
        raise refuse(ValueError, "stack", f"axis {axis} is out of bounds for {ndim} axes", xs)
    out: Variable = Stack(axis % ndim)(*xs)
    return out


def stacklists(arg: Any) -> Variable:
    """Nested lists of Variables as one array."""
    return stack([stacklists(a) if isinstance(a, list | tuple) else a for a in arg])
