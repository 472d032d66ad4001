"""Arrays whose elements follow from their places alone: ranges, and ones on a diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.op import Gradient, Op, as_variables, refuse, typed, zero
from graphc.graph.sizes import Shape, Size, Sizes
from graphc.graph.variable import Apply, Constant, Variable, as_variable
from graphc.ops.declare import Tensor, function
from graphc.ops.shape import ShapeOf, as_size, length, shape_of


class ARange(Op):
    """``arange(start, stop, step)``."""

    __props__ = ("dtype",)
    name = "ARange"

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def make_node(self, *inputs: Any) -> Apply:
        xs = as_variables(self, inputs)
        if any(x.ndim for x in xs):
            raise refuse(TypeError, "arange", "start, stop and step must be scalars", xs)
        return typed(self, xs, self.dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        if not all(dtypes.is_discrete(x.dtype) for x in inputs):
            known = all(isinstance(x, Constant) for x in inputs)
            return [(len(self.perform(None, *(x.data for x in inputs))),)] if known else [sizes.unknown(1)]  # type: ignore[attr-defined,arg-type]
        start, stop, step = (sizes.value(x) for x in inputs)
        if isinstance(step, int) and step == 0:
            raise refuse(ValueError, "arange", "step must not be zero", inputs)
        span = sizes.sub(stop, start)
        if not (isinstance(step, int) and step == 1):
            span = sizes.sub(0, sizes.floordiv(sizes.sub(start, stop), step))  # ceil((stop - start) / step)
        return [(span if _is_length(span) else sizes.maximum(span, 0),)]

    def perform(self, node: Apply, *values: Any) -> Any:
        return np.arange(*(v[()] for v in values), dtype=self.dtype)

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        if all(dtypes.is_discrete(x.dtype) for x in inputs) or not isinstance(gs[0], Variable):
            return [zero] * 3
        g = gs[0]
        ramp = arange(shape_of(g, 0), dtype=g.dtype)
        return [g.sum(), zero, (g * ramp).sum()]


def _is_length(n: Size) -> bool:
    """Whether `n` is the size of an axis, and so not negative."""
    return isinstance(n, Variable) and n.owner is not None and isinstance(n.owner.op, ShapeOf)


@function
def arange(start: Tensor, stop: Tensor = None, step: Tensor = 1, dtype: Any = None) -> Variable:
    """``start, start + step, ...`` up to but without `stop`; with one argument from 0 to that."""
    if stop is None:
        start, stop = 0, start
    xs = as_variables(ARange("int64"), [start, stop, step])
    if dtype is None:
        dtype = dtypes.promote(tuple((x.dtype, x.type.weak) for x in xs))
        if dtypes.is_discrete(dtype):
            dtype = dtypes.promote(((dtype, False), ("int64", False)))
    out: Variable = ARange(dtypes.check(dtype))(*xs)
    return out


class Eye(Op):
    """``eye(n, m, k)``: ones on the k-th diagonal of an n x m matrix."""

    __props__ = ("dtype",)
    name = "Eye"

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def make_node(self, *inputs: Any) -> Apply:
        return typed(self, as_variables(self, inputs), self.dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        return [(sizes.value(inputs[0]), sizes.value(inputs[1]))]

    def perform(self, node: Apply, *values: Any) -> Any:
        n, m, k = (int(v) for v in values)
        return np.eye(n, m, k, dtype=self.dtype)

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        return [None, None, None]


def eye(n: Tensor, m: Tensor = None, k: Tensor = 0, dtype: Any = None) -> Variable:
    """A matrix with ones on the `k`-th diagonal and zeros elsewhere."""
    m = n if m is None else m
    sizes = [as_size("eye", value) for value in (n, m, k)]
    out: Variable = Eye(dtypes.check("floatX" if dtype is None else dtype))(*sizes)
    return out


def identity_like(x: Tensor) -> Variable:
    """The identity matrix in the shape and dtype of the matrix `x`."""
    x = as_variable(x)
    return eye(length(x, 0), length(x, 1), dtype=x.dtype)
