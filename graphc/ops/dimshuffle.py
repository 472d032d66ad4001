"""Axes in another order, new axes of size 1, and axes of size 1 dropped: one op, `dimshuffle`, and its common cases.

Each axis stays whole, so that the result is a view, and rules and kernels see through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.graph.op import Gradient, Op, as_variables, refuse, through, typed
from graphc.graph.sizes import Shape, Sizes
from graphc.graph.variable import Apply, Variable, as_variable
from graphc.ops.declare import Tensor, function, normalise_axis


class DimShuffle(Op):
    """Axes in a new order, new axes of size 1 (``'x'``), and axes of size 1 dropped."""

    __props__ = ("input_ndim", "new_order")
    view_of = 0

    def __init__(self, input_ndim: int, new_order: tuple[int | str, ...]) -> None:
        self.input_ndim = input_ndim
        self.new_order = new_order
        self.dropped = tuple(i for i in range(input_ndim) if i not in new_order)

    def make_node(self, *inputs: Any) -> Apply:
        (x,) = as_variables(self, inputs)
        if x.ndim != self.input_ndim:
            raise refuse(TypeError, "dimshuffle", f"the pattern is for {self.input_ndim} axes", [x])
        for axis in self.dropped:
            if x.type.shape[axis] not in (1, None):
                raise refuse(ValueError, "dimshuffle", f"cannot drop axis {axis}: its size is not 1", [x])
        return typed(self, [x], x.dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        for axis in self.dropped:
            sizes.same(shapes[0][axis], 1)
        return [tuple(1 if i == "x" else shapes[0][int(i)] for i in self.new_order)]

    def perform(self, node: Apply, *values: Any) -> Any:
        kept = [int(i) for i in self.new_order if i != "x"]
        moved = np.transpose(values[0], kept + list(self.dropped))
        rest = np.squeeze(moved, tuple(range(len(kept), moved.ndim)))  # a ValueError if a size is not 1
        return rest[tuple(None if i == "x" else slice(None) for i in self.new_order)]

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        back = ["x" if i in self.dropped else self.new_order.index(i) for i in range(self.input_ndim)]
        return [through(gs[0], lambda g: dimshuffle(g, *back))]

    def text(self) -> str:
        return f"DimShuffle{{{','.join(map(str, self.new_order))}}}"


@function
def dimshuffle(x: Tensor, *pattern: Any) -> Variable:
    """The axes of `x` in the order of `pattern`; ``'x'`` makes a new axis of size 1.

    An axis that is left out must have size 1.

        >>> dimshuffle(vector, 0, 'x')        # a column
    """
    x = as_variable(x)
    if len(pattern) == 1 and isinstance(pattern[0], list | tuple):
        pattern = tuple(pattern[0])
    order: list[int | str] = []
    for i in pattern:
        if i == "x":
            order.append("x")
        elif isinstance(i, int | np.integer) and -x.ndim <= i < x.ndim:
            order.append(int(i) % x.ndim)
        else:
            raise refuse(ValueError, "dimshuffle", f"{i!r} is neither an axis of {x.ndim} nor 'x'", [x])
    axes = [i for i in order if i != "x"]
    if len(set(axes)) != len(axes):
        raise refuse(ValueError, "dimshuffle", f"pattern {tuple(order)} names one axis twice", [x])
    if order == list(range(x.ndim)):
        return x  # type: ignore[no-any-return]
    out: Variable = DimShuffle(x.ndim, tuple(order))(x)
    return out


@function
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Variable:
    """`x` with its axes in the order `axes`, by default reversed."""
    x = as_variable(x)
    axes = list(range(x.ndim))[::-1] if axes is None else list(axes)
    if len(axes) != x.ndim:
        raise refuse(ValueError, "transpose", f"axes {tuple(axes)} must name each of {x.ndim} axes once", [x])
    return dimshuffle(x, *axes)


@function
def swapaxes(x: Tensor, axis1: int, axis2: int) -> Variable:
    """`x` with two axes exchanged."""
    x = as_variable(x)
    axes = list(range(x.ndim))
    (first,), (second,) = (normalise_axis("swapaxes", axis, x) or () for axis in (axis1, axis2))
    axes[first], axes[second] = second, first
    return dimshuffle(x, *axes)


@function
def expand_dims(x: Tensor, axis: int | Sequence[int]) -> Variable:
    """`x` with new axes of size 1 at the given positions of the result."""
    x = as_variable(x)
    axes = [axis] if isinstance(axis, int) else list(axis)
    ndim = x.ndim + len(axes)
    if any(not -ndim <= a < ndim for a in axes) or len({a % ndim for a in axes}) != len(axes):
        raise refuse(ValueError, "expand_dims", f"axis {axis} does not name new axes of a result with {ndim}", [x])
    new = {a % ndim for a in axes}
    old = iter(range(x.ndim))
    return dimshuffle(x, *("x" if i in new else next(old) for i in range(ndim)))


@function
def squeeze(x: Tensor, axis: Any = None) -> Variable:
    """`x` without the axes of size 1: those given, or all that are known to be."""
    x = as_variable(x)
    if axis is None:
        dropped: Sequence[int] = [i for i, one in enumerate(x.broadcastable) if one]
    else:
        dropped = normalise_axis("squeeze", axis, x) or ()
    return dimshuffle(x, *(i for i in range(x.ndim) if i not in dropped))


def shape_padleft(x: Tensor, n_ones: int = 1) -> Variable:
    """`x` with `n_ones` new axes on the left."""
    x = as_variable(x)
    return dimshuffle(x, *["x"] * n_ones, *range(x.ndim))


def shape_padright(x: Tensor, n_ones: int = 1) -> Variable:
    """`x` with `n_ones` new axes on the right."""
    x = as_variable(x)
    return dimshuffle(x, *range(x.ndim), *["x"] * n_ones)


def shape_padaxis(x: Tensor, axis: int) -> Variable:
    """`x` with one new axis at position `axis` of the result."""
    return expand_dims(x, axis)


def addbroadcast(x: Tensor, *axes: int) -> Variable:
    """`x`, of which the given axes are declared (and, at run time, checked) to have size 1."""
    x = as_variable(x)
    kept = [i for i in range(x.ndim) if i not in axes]
    return dimshuffle(dimshuffle(x, *kept), *("x" if i in axes else kept.index(i) for i in range(x.ndim)))
