"""A value in a larger shape: that of another array (`fill`), or one given by its sizes (`alloc`); and the way back.

Arrays of one value, as `zeros` and `ones_like` make them, are such broadcasts.  `sum_to` is the transpose of both: it
is how a gradient comes back from a larger shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.bindings import ops
from graphc.graph.op import Gradient, Op, as_variables, refuse, through, typed
from graphc.graph.sizes import KnownSizes, Shape, Sizes
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable, as_variable
from graphc.ops.conversion import cast
from graphc.ops.declare import Elementwise, Tensor, function
from graphc.ops.dimshuffle import dimshuffle
from graphc.ops.shape import as_sizes

# ---- to the shape of another array ----


def _fill_dtypes(operands: tuple[dtypes.Operand, ...]) -> tuple[tuple[str, ...], str]:
    return tuple(dtype for dtype, _ in operands), operands[1][0]


class Fill(Elementwise):
    """``fill(x, value)``: elementwise, but only the shape of the first operand matters."""

    def __reduce__(self) -> Any:
        return self.name

    def make_node(self, *inputs: Any) -> Apply:
        node = super().make_node(*inputs)
        # A Python number takes the dtype of what it fills only in the *_like functions, which cast it first.
        (out,) = node.outputs
        out.type = TensorType(out.dtype, shape=out.type.shape)
        return node

    def perform(self, node: Apply, *values: Any) -> Any:
        x, value = values
        shape = np.broadcast_shapes(np.shape(x), np.shape(value))
        return np.full(shape, value, node.outputs[0].dtype)


fill = Fill(
    "fill",
    2,
    _fill_dtypes,
    grad=lambda g, out, x, value: (None, g),
    doc="`value` in the shape of `x` (broadcast against each other).",
)
ops.bind("fill", fill)


@function
def full_like(x: Any, value: Any, dtype: Any = None) -> Variable:
    """`value` in the shape (and, unless given, the dtype) of `x`."""
    (x,) = as_variables(fill, [x])
    value = cast(value, x.dtype if dtype is None else dtype)
    if x.ndim == 0 and value.ndim == 0 and isinstance(value, Constant):
        return value
    out: Variable = fill(x, value)
    return out


@function
def zeros_like(x: Any, dtype: Any = None) -> Variable:
    """Zeros in the shape (and, unless given, the dtype) of `x`."""
    return full_like(x, 0, dtype)


@function
def ones_like(x: Any, dtype: Any = None) -> Variable:
    """Ones in the shape (and, unless given, the dtype) of `x`."""
    return full_like(x, 1, dtype)


def empty_like(x: Tensor, dtype: Any = None) -> Variable:
    """An array in the shape of `x` whose values do not matter (they are zeros)."""
    return zeros_like(x, dtype)


# ---- to sizes ----


class Alloc(Op):
    """``alloc(value, n0, n1, ...)``: `value` broadcast to a given shape."""

    __props__ = ()
    name = "Alloc"

    def make_node(self, *inputs: Any) -> Apply:
        value, *sizes = as_variables(self, inputs)
        if value.ndim > len(sizes):
            text = f"cannot broadcast {value.ndim} axes to {len(sizes)}"
            raise refuse(ValueError, "alloc", text, [value, *sizes])
        return typed(self, [value, *sizes], value.dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        wanted = [sizes.value(n) for n in inputs[1:]]
        offset = len(wanted) - len(shapes[0])
        for axis, have in enumerate(shapes[0], start=offset):
            wanted[axis] = sizes.stretch(have, wanted[axis])
        return [tuple(wanted)]

    def perform(self, node: Apply, *values: Any) -> Any:
        return np.full(tuple(int(n) for n in values[1:]), values[0], values[0].dtype)

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        return [through(gs[0], lambda g: sum_to(g, inputs[0])), *[None] * (len(inputs) - 1)]


_alloc = Alloc()


@function
def alloc(value: Tensor, *shape: Any) -> Variable:
    """`value` broadcast to `shape`."""
    sizes = as_sizes("alloc", shape[0] if len(shape) == 1 else shape)
    out: Variable = _alloc(value, *sizes)
    return out


@function
def broadcast_to(x: Tensor, shape: Any) -> Variable:
    """`x` broadcast to `shape`."""
    return alloc(x, *as_sizes("broadcast_to", shape))


def full(shape: Any, fill_value: Tensor, dtype: Any = None) -> Variable:
    """An array of `shape` in which every element is `fill_value`."""
    value = as_variable(fill_value)
    return alloc(cast(value, value.dtype if dtype is None else dtype), *as_sizes("full", shape))


@function
def zeros(shape: Any, dtype: Any = None) -> Variable:
    """Zeros; dtype is floatX unless given."""
    return full(shape, 0, dtypes.check("floatX" if dtype is None else dtype))


@function
def ones(shape: Any, dtype: Any = None) -> Variable:
    """Ones; dtype is floatX unless given."""
    return full(shape, 1, dtypes.check("floatX" if dtype is None else dtype))


def empty(shape: Any, dtype: Any = None) -> Variable:
    """An array of `shape` whose values do not matter (they are zeros)."""
    return zeros(shape, dtype)


# ---- and back ----


class SumTo(Op):
    """``sum_to(g, x)``: `g`, which has the shape of `x` or one that `x` broadcasts to, summed to the shape of `x`.

    It is how a gradient comes back through broadcasting.  In a FunctionGraph, where it is known which axes
    broadcast, it becomes a plain sum or nothing.
    """

    __props__ = ()
    name = "SumTo"

    def make_node(self, *inputs: Any) -> Apply:
        g, x = as_variables(self, inputs)
        return Apply(self, [g, x], [TensorType(g.dtype, shape=x.type.shape)])

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        return [shapes[1]]

    def with_sizes(self, sizes: KnownSizes, inputs: Sequence[Variable]) -> Variable | None:
        g, x = inputs
        have, want = sizes.shape(g), sizes.shape(x)
        extra = len(have) - len(want)
        axes = list(range(extra))
        for axis, size in enumerate(want):
            if isinstance(size, int) and size == 1 and have[extra + axis] != 1:
                axes.append(extra + axis)
            else:
                # Where `x` turns out to have size 1, this is a sum after all.
                (sizes.same if have[extra + axis] == 1 else sizes.meet)(have[extra + axis], size)
        if not axes:
            return g
        if len(axes) == extra:  # new axes on the left are all there is to sum
            plain: Variable = ops.sum(g, axes, g.dtype)
            return plain
        summed: Variable = ops.sum(g, axes, g.dtype, True)
        return dimshuffle(summed, *range(extra, g.ndim)) if extra else summed

    def perform(self, node: Apply, *values: Any) -> Any:
        g, x = values
        extra = np.ndim(g) - np.ndim(x)
        axes = list(range(extra))
        axes += [extra + i for i, n in enumerate(np.shape(x)) if n == 1 and np.shape(g)[extra + i] != 1]
        return np.sum(g, axis=tuple(axes), keepdims=True, dtype=g.dtype).reshape(np.shape(x)) if axes else g

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        return [through(gs[0], lambda g: fill(inputs[0], g)), None]


sum_to = SumTo()
ops.bind("sum_to", sum_to)
