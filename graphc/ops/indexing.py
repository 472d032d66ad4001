"""Indexing: ``x[...]``, and `set_subtensor` / `inc_subtensor`.

An index is split into a *pattern*, which is part of the op, and the numbers in it, which are inputs: ``x[1:n, 0]`` has
the pattern ``("slice:11-", "int")`` and the inputs ``x, 1, n, 0``.  Entries of a pattern:

    int          one element; the axis goes
    slice:abc    a slice; a, b, c are 1 where start, stop, step are inputs and ``-`` where they are absent
    array        an integer array (gather)
    mask:k       a boolean array over k axes

With ints and slices alone the result is a view (`Subtensor`); arrays and masks gather (`AdvancedSubtensor`).
NumPy's rules hold throughout: negative indices count from the end, and an index out of range is an IndexError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.bindings import ops
from graphc.graph.op import Gradient, Op, as_variables, refuse, through, typed
from graphc.graph.sizes import Shape, Size, Sizes
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable, as_variable, constant
from graphc.ops.bounds import FORGIVEN, within
from graphc.ops.broadcasting import fill, sum_to
from graphc.ops.conversion import cast
from graphc.ops.declare import Tensor, function
from graphc.ops.dimshuffle import DimShuffle, dimshuffle
from graphc.ops.join import Stack

Pattern = tuple[str, ...]

_INDEX = TensorType("int64", shape=())


# ---- patterns ----


def number_inputs(entry: str) -> int:
    """How many inputs an entry of a pattern takes."""
    return entry.count("1") if entry.startswith("slice:") else 1


def axes_taken(entry: str) -> int:
    """How many axes of the array an entry of a pattern is for."""
    return int(entry[5:]) if entry.startswith("mask:") else 1


def entries(pattern: Pattern, arguments: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Each entry of a pattern with its arguments; an absent bound of a slice is None."""
    position = 0
    for entry in pattern:
        count = number_inputs(entry)
        given = list(arguments[position : position + count])
        position += count
        if entry.startswith("slice:"):
            bounds = iter(given)
            given = [next(bounds) if flag == "1" else None for flag in entry[6:]]
        yield entry, given


def as_index(pattern: Pattern, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """The index of NumPy that a pattern with its arguments stands for."""
    given_entries = entries(pattern, arguments)
    return tuple(slice(*given) if entry.startswith("slice:") else given[0] for entry, given in given_entries)


def parse(x: Variable, index: Any) -> tuple[Variable, Pattern, list[Variable]]:
    """An index as the user wrote it: the array (with its new axes), the pattern and the inputs."""
    items = list(index) if isinstance(index, tuple) else [index]
    items = [_array_item(x, item) for item in items]
    taken = sum(_axes_of(item) for item in items)
    if sum(item is Ellipsis for item in items) > 1:
        raise refuse(IndexError, "index", "an index can have only one Ellipsis ('...')", [x])
    if taken > x.ndim:
        raise refuse(IndexError, "index", f"too many indices: {taken} for {x.ndim} axes", [x])
    fill_up = [slice(None)] * (x.ndim - taken)
    if Ellipsis in [item for item in items if item is Ellipsis]:
        at = next(i for i, item in enumerate(items) if item is Ellipsis)
        items[at : at + 1] = fill_up
    else:
        items += fill_up
    if None in [item for item in items if item is None]:
        x, items = _with_new_axes(x, items)
    pattern: list[str] = []
    arguments: list[Variable] = []
    for item in items:
        entry, given = _entry(x, item)
        pattern.append(entry)
        arguments += given
    return x, tuple(pattern), arguments


def _with_new_axes(x: Variable, items: list[Any]) -> tuple[Variable, list[Any]]:
    """New axes (None) are made first; the index then takes them whole."""
    order: list[Any] = []
    axis = 0
    for item in items:
        if item is None:
            order.append("x")
        else:
            order += range(axis, axis + _axes_of(item))
            axis += _axes_of(item)
    return dimshuffle(x, *order), [slice(None) if item is None else item for item in items]


def _array_item(x: Variable, item: Any) -> Any:
    """Lists, arrays and symbolic indices as Variables; everything else as it is."""
    if item is None or item is Ellipsis or isinstance(item, slice | Variable):
        return item
    if isinstance(item, bool | np.bool_):
        raise refuse(TypeError, "index", "a lone True or False is no index", [x])
    if isinstance(item, int | np.integer):
        return int(item)
    if isinstance(item, list | np.ndarray):
        array = np.asarray(item) if not any(isinstance(i, Variable) for i in item) else None
        if array is not None and array.size == 0:
            array = array.astype(np.int64)
        return as_variable(item) if array is None else constant(array)
    raise refuse(TypeError, "index", f"cannot index with {type(item).__name__} {item!r}", [x])


def _axes_of(item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, Variable) and item.dtype == "bool" else 1


def _entry(x: Variable, item: Any) -> tuple[str, list[Variable]]:
    if isinstance(item, slice):
        bounds = [item.start, item.stop, item.step]
        if isinstance(item.step, int) and item.step == 0:
            raise refuse(ValueError, "index", "slice step cannot be zero", [x])
        flags = "".join("-" if bound is None else "1" for bound in bounds)
        return f"slice:{flags}", [_integer(x, bound) for bound in bounds if bound is not None]
    if isinstance(item, int):
        return "int", [Constant(_INDEX, item)]
    if item.dtype == "bool":
        if not item.ndim:
            raise refuse(TypeError, "index", "a scalar bool is no index", [x, item], "T.switch(condition, a, b)")
        return f"mask:{item.ndim}", [item]
    if not dtypes.is_discrete(item.dtype):
        hint = "T.cast(i, 'int64')"
        raise refuse(TypeError, "index", f"indices must be integers or bools, got {item.dtype}", [x, item], hint)
    return ("int" if item.ndim == 0 else "array"), [item]


def _integer(x: Variable, bound: Any) -> Variable:
    value = constant(np.int64(bound)) if isinstance(bound, int | np.integer) else as_variable(bound)
    if value.ndim or not dtypes.is_discrete(value.dtype):
        raise refuse(TypeError, "index", "the bounds of a slice must be integer scalars", [x, value])
    return value


def is_basic(pattern: Pattern) -> bool:
    """Whether only ints and slices occur, so that the result is a view."""
    return all(entry == "int" or entry.startswith("slice:") for entry in pattern)


def pattern_text(pattern: Pattern) -> str:
    """A pattern as it is shown: ``::`` for a slice with a step, and so on."""
    words = {"slice:---": ":", "slice:-1-": ":stop", "slice:1--": "start:", "slice:11-": "start:stop"}
    return ", ".join(words.get(entry, "start:stop:step" if entry.startswith("slice:") else entry) for entry in pattern)


# ---- shapes ----


def slice_length(sizes: Sizes, n: Size, bounds: Sequence[Size], given: Sequence[bool]) -> Size:
    """The length of ``range(n)[start:stop:step]``; `given` tells which bounds are there.

    For bounds that are not known this is arithmetic on sizes, as in ``slice.indices`` of Python.
    """
    start, stop, step = bounds
    step = step if given[2] else 1
    if not isinstance(step, int):
        return None
    forward = step > 0
    zero_, last = (0, n) if forward else (-1, sizes.sub(n, 1))

    def bound(value: Size) -> Size:
        if isinstance(value, int):
            if value < 0:
                return sizes.maximum(sizes.add(n, value), zero_)
            return sizes.minimum(value, last)
        if value is n and forward:
            return n
        if value is None:
            return None
        return sizes.minimum(sizes.maximum(sizes.from_end(value, n), zero_), last)

    low = bound(start) if given[0] else (0 if forward else last)
    high = bound(stop) if given[1] else (last if forward else -1)
    span = sizes.sub(high, low) if forward else sizes.sub(low, high)
    pace = abs(step)
    if pace != 1:
        span = sizes.floordiv(sizes.add(span, pace - 1), pace)
    if span is n:
        return n
    return sizes.maximum(span, 0)


def index_shape(
    sizes: Sizes, pattern: Pattern, arguments: Sequence[Variable], shape: Shape, shapes: Sequence[Shape]
) -> Shape | None:
    """The shape of ``x[index]``, or None if a mask makes it unknown; `shapes` are those of the arguments."""
    if any(entry.startswith("mask:") for entry in pattern):
        return None
    result: list[Size] = []
    gathered: list[Shape] = []
    where: list[int] = []  # positions of the entries that gather, for NumPy's rule on where their axes go
    place = 0
    advanced = not is_basic(pattern)
    for axis, (entry, given) in enumerate(entries(pattern, arguments)):  # without a mask, each entry is for one axis
        if entry.startswith("slice:"):
            values = [None if a is None else sizes.value(a) for a in given]
            result.append(slice_length(sizes, shape[axis], values, [a is not None for a in given]))
        elif entry == "array" or advanced:
            if not where:
                place = len(result)
            where.append(axis)
            gathered.append(shapes[_position(arguments, given[0])])
    if gathered:
        if where != list(range(where[0], where[-1] + 1)):
            place = 0  # separated by a slice: NumPy puts the gathered axes first
        result[place:place] = list(sizes.broadcast(gathered))
    return tuple(result)


def _position(arguments: Sequence[Variable], wanted: Variable) -> int:
    return next(i for i, argument in enumerate(arguments) if argument is wanted)


def mask_rank(pattern: Pattern, arguments: Sequence[Variable]) -> int:
    """The number of axes of ``x[index]``."""
    slices = sum(entry.startswith("slice:") for entry in pattern)
    ranks = [
        1 if entry.startswith("mask:") else given[0].ndim
        for entry, given in entries(pattern, arguments)
        if not entry.startswith("slice:")
    ]
    return slices + max(ranks, default=0)


# ---- reading ----


class Subtensor(Op):
    """``x[index]`` with ints and slices: a view."""

    __props__ = ("pattern",)
    view_of: int | None = 0

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern

    def make_node(self, *inputs: Any) -> Apply:
        return typed(self, as_variables(self, inputs), inputs[0].dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        shape = index_shape(sizes, self.pattern, inputs[1:], shapes[0], shapes[1:])
        return [sizes.unknown(mask_rank(self.pattern, inputs[1:])) if shape is None else shape]

    def perform(self, node: Apply, *values: Any) -> Any:
        index = as_index(self.pattern, [v if v.ndim else v[()] for v in values[1:]])
        return (within(values[0], index) if FORGIVEN else values[0])[index]

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        x, *arguments = inputs
        base = fill(x, constant(np.zeros((), x.dtype)))
        inc = IncSubtensor(self.pattern, add=True)
        return [through(gs[0], lambda g: inc(base, g, *arguments)), *[None] * len(arguments)]

    def text(self) -> str:
        return f"{type(self).__name__}{{{pattern_text(self.pattern)}}}"


class AdvancedSubtensor(Subtensor):
    """``x[index]`` with integer arrays or masks: a gather."""

    view_of = None


class IncSubtensor(Op):
    """`x` with `y` added to ``x[index]`` (repeated indices add up), or put in its place (the last one stays)."""

    __props__ = ("pattern", "add")

    def __init__(self, pattern: Pattern, add: bool) -> None:
        self.pattern = pattern
        self.add = add

    def make_node(self, *inputs: Any) -> Apply:
        x, y, *arguments = as_variables(self, inputs)
        common = dtypes.promote(((x.dtype, False), (y.dtype, y.type.weak)))
        if common != x.dtype:
            problem = f"cannot put {y.dtype} into {x.dtype} without losing precision"
            raise refuse(TypeError, self.verb, problem, [x, y], f"T.cast(y, {x.dtype!r})")
        if y.ndim > mask_rank(self.pattern, arguments):
            problem = f"{y.ndim} axes do not fit into {mask_rank(self.pattern, arguments)}"
            raise refuse(ValueError, self.verb, problem, [x, y])
        return typed(self, [x, cast(y, x.dtype), *arguments], x.dtype)

    @property
    def verb(self) -> str:
        """The name of the function that builds this op."""
        return "inc_subtensor" if self.add else "set_subtensor"

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        target = index_shape(sizes, self.pattern, inputs[2:], shapes[0], shapes[2:])
        if target is not None:
            # The size of a gather is checked where it is written: an index out of range is the first thing to tell.
            agree = sizes.stretch if is_basic(self.pattern) else sizes.meet
            for axis, n in enumerate(shapes[1], start=len(target) - len(shapes[1])):
                agree(n, target[axis])
        return [shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        x, y, *arguments = values
        out = np.array(x)
        index = as_index(self.pattern, [v if v.ndim else v[()] for v in arguments])
        if FORGIVEN:
            within(out, index)
        if not self.add:
            out[index] = y
        elif is_basic(self.pattern):
            out[index] += y
        else:
            np.add.at(out, index, y)
        return out

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        x, y, *arguments = inputs
        read = subtensor_op(self.pattern)
        nothing = constant(np.zeros((), x.dtype))
        replace = IncSubtensor(self.pattern, add=False)

        def to_y(g: Variable) -> Variable:
            part = read(g, *arguments)
            # With repeated indices only the element written last is there: a gather of the result cannot tell.
            if not self.add and not is_basic(self.pattern):
                part = part * last_written(x, part, self.pattern, arguments)
            summed: Variable = sum_to(part, y)
            return summed

        to_x = (lambda g: g) if self.add else (lambda g: replace(g, nothing, *arguments))
        return [through(gs[0], to_x), through(gs[0], to_y), *[None] * len(arguments)]

    def text(self) -> str:
        name = "Inc" if self.add else "Set"
        return f"{name}Subtensor{{{pattern_text(self.pattern)}}}"


def last_written(x: Variable, part: Variable, pattern: Pattern, arguments: Sequence[Variable]) -> Variable:
    """1 for each element of the written values that stays, 0 for one that a later write replaces.

    Every written element gets a number; what is read back after the write is the number that stayed.
    """
    numbers = ops.arange_like(part)
    base = fill(x, constant(np.int64(-1)))
    written = IncSubtensor(pattern, add=False)(base, numbers, *arguments)
    return cast(ops.eq(subtensor_op(pattern)(written, *arguments), numbers), x.dtype)


def subtensor_op(pattern: Pattern) -> Subtensor:
    """The op that reads with this pattern."""
    return Subtensor(pattern) if is_basic(pattern) else AdvancedSubtensor(pattern)


@function
def arange_like(x: Variable) -> Variable:
    """0, 1, 2, ... in the shape of `x`, in row-major order."""
    count: Variable = ops.arange(ops.size(x))
    return ops.reshape(count, [ops.shape_of(x, i) for i in range(x.ndim)])  # type: ignore[no-any-return]


@function
def getitem(x: Variable, index: Any) -> Variable:
    """``x[index]``."""
    element = _stacked_element(x, index)
    if element is not None:
        return element
    stretched, pattern, arguments = parse(x, index)
    if stretched is not x and all(entry == "slice:---" for entry in pattern):
        return stretched  # x[None]: the new axes are all there is
    x = stretched
    out: Variable = subtensor_op(pattern)(x, *arguments)
    return out


def _stacked_element(x: Variable, index: Any) -> Variable | None:
    """``stack([a, b])[1]`` is b: so that ``x.shape[0]`` is a size and nothing else."""
    if x.owner is None or not isinstance(x.owner.op, Stack) or x.owner.op.axis or not isinstance(index, int):
        return None
    parts = x.owner.inputs
    if not -len(parts) <= index < len(parts):
        raise refuse(IndexError, "index", f"{index} is out of bounds for {len(parts)} elements", [x])
    part = parts[index]
    return part if part.dtype == x.dtype else cast(part, x.dtype)


# ---- writing ----


def _write(x: Tensor, y: Tensor, add: bool, name: str) -> Variable:
    x = as_variable(x)
    # x[None] and x[i] with new axes were made by a DimShuffle below the index; writing goes through it.
    node = x.owner
    if node is None or not isinstance(node.op, Subtensor):
        if node is not None and isinstance(node.op, DimShuffle):
            inner = node.inputs[0]
            kept = [node.op.new_order.index(i) for i in range(inner.ndim)] if not node.op.dropped else None
            if kept is not None:
                y = as_variable(y)
                y = dimshuffle(y, *["x"] * (x.ndim - y.ndim), *range(y.ndim)) if y.ndim < x.ndim else y
                return _write(inner, dimshuffle(y, *kept), add, name)
        raise refuse(TypeError, name, "the first argument must be an index of a variable, such as x[1:3]", [x])
    source, *arguments = node.inputs
    out: Variable = IncSubtensor(node.op.pattern, add)(source, y, *arguments)
    return out


@function
def set_subtensor(x: Tensor, y: Tensor, inplace: bool = False, tolerate_inplace_aliasing: bool = False) -> Variable:
    """``set_subtensor(a[i], y)``: `a` with ``a[i]`` replaced by `y`; of repeated indices the last one stays.

        >>> set_subtensor(x[0], 10)
    """
    return _write(x, y, False, "set_subtensor")


@function
def inc_subtensor(
    x: Tensor,
    y: Tensor,
    inplace: bool = False,
    set_instead_of_inc: bool = False,
    tolerate_inplace_aliasing: bool = False,
    ignore_duplicates: bool = False,
) -> Variable:
    """``inc_subtensor(a[i], y)``: `a` with `y` added to ``a[i]``; repeated indices add up."""
    return _write(x, y, not set_instead_of_inc, "inc_subtensor")



@function
def from_end(index: Tensor, n: Tensor) -> Variable:
    """The position that a bound of a slice stands for: negative ones count from the end."""
    out: Variable = ops.switch(ops.lt(index, 0), ops.add(index, n), index)
    return out
