"""Reductions: one result out of many elements, along some axes or all.

Dtypes are NumPy's: sums and products of integers and bools are int64 (uint64 for unsigned), those of floats keep their
dtype.  `dtype` chooses that of the result, `acc_dtype` that of the accumulation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.configuration import config
from graphc.graph.op import Gradient, Op, as_variables, refuse, typed, zero
from graphc.graph.sizes import Shape, Sizes
from graphc.graph.variable import Apply, Variable, as_variable
from graphc.ops.broadcasting import fill
from graphc.ops.conversion import cast
from graphc.ops.declare import Tensor, function, normalise_axis
from graphc.ops.dimshuffle import DimShuffle, dimshuffle, squeeze
from graphc.ops.elementwise import abs_, eq, isnan, maximum, neq, or_, sqr, sqrt, switch
from graphc.ops.ranges import arange
from graphc.ops.reshape import reshape
from graphc.ops.shape import shape_of

ReductionGradient = Callable[["Reduction", Variable, Variable, Variable], Gradient]


class Reduction(Op):
    """A reduction over `axis` (None: all) with a NumPy function.

    Attributes
    ----------
    name: the name of the reduction; `KINDS` holds what else is known about it.
    axis: sorted axes, or None for all.
    keepdims: reduced axes stay, with size 1.
    dtype: of the accumulation and of the result.
    """

    __props__ = ("name", "axis", "keepdims", "dtype")

    def __init__(self, name: str, axis: tuple[int, ...] | None, keepdims: bool, dtype: str) -> None:
        self.name = name
        self.axis = axis
        self.keepdims = keepdims
        self.dtype = dtype

    @property
    def numpy(self) -> str:
        """NumPy's function for it."""
        return KINDS[self.name].numpy

    def axes(self, x: Variable) -> tuple[int, ...]:
        """The reduced axes of `x`."""
        return tuple(range(x.ndim)) if self.axis is None else self.axis

    def make_node(self, *inputs: Any) -> Apply:
        xs = as_variables(self, inputs)
        return typed(self, xs, self.dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        axes = self.axes(inputs[0])
        if self.keepdims:
            return [tuple(1 if i in axes else n for i, n in enumerate(shapes[0]))]
        return [tuple(n for i, n in enumerate(shapes[0]) if i not in axes)]

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the NumPy call."""
        kwargs: dict[str, Any] = {}
        if self.axis is not None:
            kwargs["axis"] = self.axis[0] if len(self.axis) == 1 else self.axis
        if self.keepdims:
            kwargs["keepdims"] = True
        if KINDS[self.name].accumulates:
            kwargs["dtype"] = self.dtype
        return kwargs

    def perform(self, node: Apply, *values: Any) -> Any:
        out = getattr(np, self.numpy)(values[0], **self.arguments())
        return np.asarray(out).astype(self.dtype, copy=False)

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        (g,) = gs
        if not isinstance(g, Variable):
            return [g]
        rule = KINDS[self.name].gradient
        return [zero if rule is None else rule(self, g, outs[0], inputs[0])]

    def expanded(self, reduced: Variable, x: Variable) -> Variable:
        """A result of this reduction with its axes back, of size 1, so that it broadcasts against `x`."""
        if self.keepdims or reduced.ndim == x.ndim:
            return reduced
        axes = self.axes(x)
        if not reduced.ndim:
            return reduced
        old = iter(range(reduced.ndim))
        return dimshuffle(reduced, *("x" if i in axes else next(old) for i in range(x.ndim)))

    def text(self) -> str:
        shown = "" if self.axis is None else f"{{axis={list(self.axis)}}}"
        return f"{self.name.capitalize()}{shown}"


class Kind:
    """What is known about a reduction by its name."""

    def __init__(self, numpy: str, gradient: ReductionGradient | None, accumulates: bool = False) -> None:
        self.numpy = numpy
        self.gradient = gradient
        self.accumulates = accumulates


def _sum_gradient(op: Reduction, g: Variable, out: Variable, x: Variable) -> Gradient:
    return fill(x, op.expanded(g, x))  # type: ignore[no-any-return]


def _prod_gradient(op: Reduction, g: Variable, out: Variable, x: Variable) -> Gradient:
    """``g * (product of the others)``: out / x where no element is 0; where one is, only that one has a gradient."""
    g, out = op.expanded(g, x), op.expanded(out, x)
    is_zero = eq(x, 0)
    zeros = op.expanded(sum(is_zero, op.axis, "int64", op.keepdims), x)
    others = op.expanded(prod(switch(is_zero, 1, x), op.axis, op.dtype, op.keepdims), x)
    without = switch(eq(zeros, 0), out / switch(is_zero, 1, x), 0)
    return g * switch(is_zero, switch(eq(zeros, 1), others, 0), without)  # type: ignore[no-any-return]


def _extremum_gradient(op: Reduction, g: Variable, out: Variable, x: Variable) -> Gradient:
    """The gradient goes to the elements that attain the extremum, in equal parts."""
    chosen = eq(x, op.expanded(out, x))
    count = op.expanded(sum(chosen, op.axis, g.dtype, op.keepdims), x)
    return switch(chosen, op.expanded(g, x) / count, 0)  # type: ignore[no-any-return]


KINDS: dict[str, Kind] = {
    "sum": Kind("sum", _sum_gradient, accumulates=True),
    "prod": Kind("prod", _prod_gradient, accumulates=True),
    "max": Kind("max", _extremum_gradient),
    "min": Kind("min", _extremum_gradient),
    "any": Kind("any", None),
    "all": Kind("all", None),
}


def _reduce(name: str, x: Tensor, axis: Any, keepdims: bool, dtype: Callable[[Variable], str]) -> Variable:
    x = as_variable(x)
    out: Variable = Reduction(name, normalise_axis(name, axis, x), bool(keepdims), dtype(x))(x)
    return out


def _accumulated(
    name: str, x: Tensor, axis: Any, dtype: Any, keepdims: bool, acc_dtype: Any
) -> Variable:
    """A sum or product: accumulated in `acc_dtype`, then cast to `dtype`."""

    def default(x: Variable) -> str:
        if not dtypes.is_discrete(x.dtype):
            return x.dtype
        return "uint64" if x.dtype in dtypes.UNSIGNED else "int64"

    x = as_variable(x)
    wanted = default(x) if dtype is None else dtypes.check(dtype)
    accumulated = wanted if acc_dtype is None else dtypes.check(acc_dtype)
    if dtypes.is_complex(x.dtype) and not dtypes.is_complex(accumulated):
        raise refuse(TypeError, name, f"cannot accumulate {x.dtype} in {accumulated}", [x])
    return cast(_reduce(name, x, axis, keepdims, lambda _: accumulated), wanted)


@function
def sum(x: Tensor, axis: Any = None, dtype: Any = None, keepdims: bool = False, acc_dtype: Any = None) -> Variable:
    """The sum of the elements along `axis` (default: all)."""
    return _accumulated("sum", x, axis, dtype, keepdims, acc_dtype)


@function
def prod(
    x: Tensor,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    acc_dtype: Any = None,
    no_zeros_in_input: bool = False,
) -> Variable:
    """The product of the elements along `axis` (default: all)."""
    return _accumulated("prod", x, axis, dtype, keepdims, acc_dtype)


@function
def max(x: Tensor, axis: Any = None, keepdims: bool = False) -> Variable:
    """The largest element along `axis`; nan if there is one.  The gradient of a tie is split equally."""
    return _reduce("max", x, axis, keepdims, lambda x: x.dtype)


@function
def min(x: Tensor, axis: Any = None, keepdims: bool = False) -> Variable:
    """The smallest element along `axis`; nan if there is one.  The gradient of a tie is split equally."""
    return _reduce("min", x, axis, keepdims, lambda x: x.dtype)


@function
def any(x: Tensor, axis: Any = None, keepdims: bool = False) -> Variable:
    """Whether some element along `axis` is not zero."""
    return _reduce("any", x, axis, keepdims, lambda x: "bool")


@function
def all(x: Tensor, axis: Any = None, keepdims: bool = False) -> Variable:
    """Whether no element along `axis` is zero."""
    return _reduce("all", x, axis, keepdims, lambda x: "bool")


def count(x: Variable, axis: Any, dtype: str) -> Variable:
    """The number of elements that a reduction over `axis` takes together, in `dtype`."""
    axes = normalise_axis("mean", axis, x)
    total: Any = None
    for a in range(x.ndim) if axes is None else axes:
        size = x.type.shape[a]
        n = shape_of(x, a) if size is None else size
        total = n if total is None else total * n
    return cast(1 if total is None else total, dtype)


@function
def mean(x: Tensor, axis: Any = None, dtype: Any = None, keepdims: bool = False, acc_dtype: Any = None) -> Variable:
    """The arithmetic mean along `axis`: of integers in floatX, of floats in their own dtype."""
    x = as_variable(x)
    if dtype is None:
        dtype = config.floatX if dtypes.is_discrete(x.dtype) else x.dtype
    # Like np.mean: float16 is summed in float32.
    wide = "float32" if dtype == "float16" else dtype
    total = sum(x, axis, wide, keepdims, acc_dtype)
    return cast(total / count(x, axis, wide), dtype)


@function
def var(x: Tensor, axis: Any = None, ddof: int = 0, keepdims: bool = False, corrected: bool = False) -> Variable:
    """The variance along `axis`: the mean of the squared distances from the mean; divisor ``n - ddof``."""
    x = as_variable(x)
    distances = _squared(x - mean(x, axis, keepdims=True))
    if not ddof:
        return mean(distances, axis, keepdims=keepdims)
    return sum(distances, axis, keepdims=keepdims) / (count(x, axis, distances.dtype) - ddof)  # type: ignore[no-any-return]


def _squared(x: Variable) -> Variable:
    """``|x| ** 2``, a real number also for complex `x`."""
    out: Variable = sqr(abs_(x) if dtypes.is_complex(x.dtype) else x)
    return out


@function
def std(x: Tensor, axis: Any = None, ddof: int = 0, keepdims: bool = False, corrected: bool = False) -> Variable:
    """The standard deviation along `axis`: the square root of `var`."""
    out: Variable = sqrt(var(x, axis, ddof, keepdims))
    return out


@function
def norm(x: Tensor, L: Any, axis: Any = None, keepdims: bool = False) -> Variable:
    """The `L`-norm along `axis`; ``L=0`` counts the elements that are not zero, ``L='inf'`` is the largest."""
    x = as_variable(x)
    if L is None:
        raise TypeError("norm: give the norm's order, such as L=2")
    if L == 0:
        return sum(neq(x, 0), axis, keepdims=keepdims)
    if L == "inf" or float("inf") == L:
        return max(abs_(x), axis, keepdims)
    if L == 1:
        return sum(abs_(x), axis, keepdims=keepdims)
    if L == 2:
        out: Variable = sqrt(sum(_squared(x), axis, keepdims=keepdims))
        return out
    return sum(abs_(x) ** L, axis, keepdims=keepdims) ** (1.0 / L)  # type: ignore[no-any-return]


class Peak(Reduction):
    """The largest element along one axis, which is kept, and -inf where there is none: what exponentials shift by."""

    def __init__(self, name: str, axis: tuple[int, ...] | None, keepdims: bool, dtype: str) -> None:
        super().__init__("max", axis, True, dtype)

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "initial": float("-inf")}


def peak(x: Variable, axis: int) -> Variable:
    """The `Peak` of `x` along `axis`."""
    out: Variable = Peak("max", (axis,), True, x.dtype)(x)
    return out


class ArgExtremum(Op):
    """The position of the (first) largest or smallest element: ``argmax`` and ``argmin``."""

    __props__ = ("name", "axis", "keepdims")

    def __init__(self, name: str, axis: int | None, keepdims: bool) -> None:
        self.name = name
        self.axis = axis
        self.keepdims = keepdims

    @property
    def numpy(self) -> str:
        """NumPy's function for it."""
        return self.name

    def make_node(self, *inputs: Any) -> Apply:
        return typed(self, as_variables(self, inputs), "int64")

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        axes = range(len(shapes[0])) if self.axis is None else (self.axis,)
        if self.keepdims:
            return [tuple(1 if i in axes else n for i, n in enumerate(shapes[0]))]
        return [tuple(n for i, n in enumerate(shapes[0]) if i not in axes)]

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the NumPy call."""
        kwargs: dict[str, Any] = {} if self.axis is None else {"axis": self.axis}
        return {**kwargs, "keepdims": True} if self.keepdims else kwargs

    def perform(self, node: Apply, *values: Any) -> Any:
        return np.asarray(getattr(np, self.name)(values[0], **self.arguments()))

    def expand(self, *inputs: Variable) -> Variable | None:
        """A `Place` in rows; in columns, of which many are passed together, the least position of the extremum."""
        (x,) = inputs
        if x.dtype == "float16" or x.dtype.startswith("complex"):
            return None
        if self.axis is None:
            found: Variable = Place(self.name, 0, False)(reshape(x, (-1,), 1))
            return reshape(found, (1,) * x.ndim) if self.keepdims else found
        if not _are_rows(x, self.axis):
            found = _position(self.name, x, self.axis)
            return found if self.keepdims else squeeze(found, self.axis)
        found = Place(self.name, self.axis, False)(x)
        return dimshuffle(found, *range(found.ndim), "x") if self.keepdims else found

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        return [zero]

    def text(self) -> str:
        return self.name.capitalize() + ("" if self.axis is None else f"{{axis={self.axis}}}")


class Place(ArgExtremum):
    """The position of the extremum along the last axis: one pass, where a kernel can carry it with the extremum."""

    def axes(self, x: Variable) -> tuple[int, ...]:
        """The axis as those of a reduction."""
        return (x.ndim - 1,)

    def expand(self, *inputs: Variable) -> Variable | None:
        """The least of the positions where the extremum is."""
        (x,) = inputs
        return squeeze(_position(self.name, x, x.ndim - 1), x.ndim - 1)


def _are_rows(x: Variable, axis: int) -> bool:
    """Whether what lies along an axis lies as a row in memory."""
    if axis != x.ndim - 1:
        return False
    made = x.owner
    return made is None or not isinstance(made.op, DimShuffle) or made.op.new_order[-1] == made.op.input_ndim - 1


def _position(name: str, x: Variable, axis: int) -> Variable:
    """The first position of the extremum, or of nan, which is taken for it, along an axis, which is kept."""
    extremum = max if name == "argmax" else min
    found = eq(x, extremum(x, axis, keepdims=True))
    if dtypes.is_float(x.dtype):
        found = or_(found, isnan(x))  # nan is the extremum where there is one, and equals nothing
    length = shape_of(x, axis)
    order = [0 if i == axis else "x" for i in range(x.ndim)]
    positions = dimshuffle(arange(length), *order)
    # As `switch(found, positions, length)`, but the positions, which depend on nothing, come first.
    return min(maximum(positions, switch(found, 0, length)), axis, keepdims=True)


def _arg(name: str, x: Tensor, axis: Any, keepdims: bool) -> Variable:
    x = as_variable(x)
    axes = normalise_axis(name, axis, x)
    if axes is not None and len(axes) != 1:
        if len(axes) != x.ndim:
            raise refuse(ValueError, name, "takes one axis, or None for all", [x])
        axes = None
    out: Variable = ArgExtremum(name, None if axes is None else axes[0], bool(keepdims))(x)
    return out


@function
def argmax(x: Tensor, axis: Any = None, keepdims: bool = False) -> Variable:
    """The position of the first largest element along `axis` (None: in the flattened array)."""
    return _arg("argmax", x, axis, keepdims)


@function
def argmin(x: Tensor, axis: Any = None, keepdims: bool = False) -> Variable:
    """The position of the first smallest element along `axis` (None: in the flattened array)."""
    return _arg("argmin", x, axis, keepdims)


def max_and_argmax(x: Tensor, axis: Any = None, keepdims: bool = False) -> list[Variable]:
    """``[max(x, axis), argmax(x, axis)]``."""
    return [max(x, axis, keepdims), argmax(x, axis, keepdims)]


def is_reduction(variable: Variable, name: str) -> bool:
    """Whether `variable` is the result of the reduction called `name`."""
    return variable.owner is not None and isinstance(variable.owner.op, Reduction) and variable.owner.op.name == name

