"""The same elements, in row-major order, in another shape.

What only moves, adds or drops axes is a `dimshuffle`, which keeps each axis whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.graph.op import Gradient, Op, as_variables, refuse, through, typed
from graphc.graph.sizes import Shape, Size, Sizes
from graphc.graph.variable import Apply, Constant, Variable, as_variable
from graphc.ops.declare import Tensor, function
from graphc.ops.shape import as_sizes, length


class Reshape(Op):
    """``reshape(x, n0, n1, ...)``: the elements of `x` in row-major order in a new shape; one size may be -1."""

    __props__ = ("ndim",)
    view_of = 0

    def __init__(self, ndim: int) -> None:
        self.ndim = ndim

    def make_node(self, *inputs: Any) -> Apply:
        x, *sizes = as_variables(self, inputs)
        if sum(isinstance(n, Constant) and n.data == -1 for n in sizes) > 1:
            raise refuse(ValueError, "reshape", "only one size can be -1", [x, *sizes])
        return typed(self, [x, *sizes], x.dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        wanted = [sizes.value(n) for n in inputs[1:]]
        if -1 in [n for n in wanted if isinstance(n, int)]:
            hole = next(i for i, n in enumerate(wanted) if isinstance(n, int) and n == -1)
            rest = [n for i, n in enumerate(wanted) if i != hole]
            wanted[hole] = self._quotient(sizes, list(shapes[0]), rest)
        elif all(isinstance(n, int) for n in (*wanted, *shapes[0])):
            before, after = sizes.total(shapes[0]), sizes.total(wanted)
            if before != after:
                text = f"cannot reshape {before} elements of shape {tuple(shapes[0])} into shape {tuple(wanted)}"
                raise refuse(ShapeError, "reshape", text, inputs[:1])
        return [tuple(wanted)]

    @classmethod
    def _quotient(cls, sizes: Sizes, have: list[Size], rest: list[Size]) -> Size:
        """The size that -1 stands for; factors found on both sides cancel, so that (n, m) -> (n, -1) gives m."""
        have, remaining = cls._cancelled(have, rest)
        return sizes.floordiv(sizes.total(have), sizes.total(remaining))

    @staticmethod
    def _cancelled(have: list[Any], rest: list[Any]) -> tuple[list[Any], list[Any]]:
        """The sizes of the array and those asked for, without the ones that occur in both."""
        remaining = []
        for n in rest:
            for i, factor in enumerate(have):
                if factor is n or (isinstance(factor, int) and factor == n):
                    del have[i]
                    break
            else:
                remaining.append(n)
        return have, remaining

    def with_sizes(self, graph: Any, inputs: Sequence[Variable]) -> Variable | None:
        # A -1 whose size is a product of known ones is that product: so (0, m) -> (0, -1) keeps its m.
        x, *wanted = inputs
        hole = next((i for i, n in enumerate(wanted) if isinstance(n, Constant) and n.data == -1), None)
        if hole is None:
            return None
        rest = [graph.value(n) for i, n in enumerate(wanted) if i != hole]
        have, remaining = self._cancelled(list(graph.shape(x)), rest)
        if remaining:
            return None
        wanted[hole] = graph.size_variable(graph.total(have))
        out: Variable = self(x, *wanted)
        return out

    def perform(self, node: Apply, *values: Any) -> Any:
        x, *rest = values
        wanted = [int(n) for n in rest]
        if not x.size and wanted.count(-1) == 1:
            have, remaining = self._cancelled(list(x.shape), [n for n in wanted if n != -1])
            if not remaining:
                wanted[wanted.index(-1)] = int(np.prod(have))
        return np.reshape(x, tuple(wanted))

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        x = inputs[0]
        return [through(gs[0], lambda g: reshape(g, [length(x, i) for i in range(x.ndim)])), *[None] * self.ndim]

    def text(self) -> str:
        return f"Reshape{{{self.ndim}}}"


@function
def reshape(x: Tensor, newshape: Any, ndim: int | None = None) -> Variable:
    """`x` with its elements, in row-major order, in a new shape.

    newshape: ints and integer scalars, of which one may be -1, or a symbolic vector (then give `ndim`).
    """
    out: Variable = Reshape(len(sizes := as_sizes("reshape", newshape, ndim)))(x, *sizes)
    return out


@function
def flatten(x: Tensor, ndim: int = 1, outdim: int | None = None) -> Variable:
    """`x` with its last axes run together so that `ndim` axes remain."""
    ndim = ndim if outdim is None else outdim
    x = as_variable(x)
    if ndim < 1 or (ndim > x.ndim and x.ndim > 0):
        raise refuse(ValueError, "flatten", f"ndim must be between 1 and {max(x.ndim, 1)}, got {ndim}", [x])
    if ndim == x.ndim:
        return x  # type: ignore[no-any-return]
    return reshape(x, [*(length(x, i) for i in range(ndim - 1)), -1])
