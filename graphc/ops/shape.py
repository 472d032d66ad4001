"""Ops that make shapes and change them: reshape, dimshuffle, broadcast, join, stack, and arrays from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.graph.bindings import ops
from graphc.graph.op import Gradient, Op, as_variables, refuse, typed, zero
from graphc.graph.sizes import KnownSizes, Shape, Size, Sizes
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable, as_variable, constant
from graphc.ops.declare import function, normalise_axis
from graphc.ops.elementwise import Tensor, cast, fill, zeros_like


def as_size(op: str, value: Any) -> Variable:
    """A size that the user gave, as an integer scalar; TypeError for anything else."""
    size = constant(np.int64(value)) if isinstance(value, int) else as_variable(value)
    if size.ndim != 0 or not (dtypes.is_discrete(size.dtype) and size.dtype != "bool"):
        raise refuse(TypeError, op, f"a size must be an integer scalar, got {size!r}", [size], "T.cast(n, 'int64')")
    return size


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
    return stack([length(x, i) for i in range(x.ndim)])


@function
def size(x: Tensor) -> Variable:
    """The number of elements of `x`."""
    x = as_variable(x)
    total: Any = constant(np.int64(1))
    for axis in range(x.ndim):
        total = shape_of(x, axis) if axis == 0 else total * shape_of(x, axis)
    return total  # type: ignore[no-any-return]


# ---- the same elements in another shape ----


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


def through(g: Gradient, rule: Any) -> Gradient:
    """``rule(g)``, where `g` is an expression; zero and None pass as they are."""
    result: Gradient = rule(g) if isinstance(g, Variable) else g
    return result


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


# ---- broadcasting ----


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


def empty_like(x: Tensor, dtype: Any = None) -> Variable:
    """An array in the shape of `x` whose values do not matter (they are zeros)."""
    return zeros_like(x, dtype)


# ---- arrays from nothing ----


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


# ---- several arrays into one ----


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
        return np.stack(values, axis=self.axis).astype(node.outputs[0].dtype, copy=False)

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

