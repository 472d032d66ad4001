"""The elements of an array several times: each of them (`repeat`), or all of them in turn (`tile`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.graph.op import refuse
from graphc.graph.variable import Constant, Variable, as_variable, constant
from graphc.ops.broadcasting import alloc
from graphc.ops.declare import Tensor, function, normalise_axis
from graphc.ops.dimshuffle import dimshuffle, shape_padleft
from graphc.ops.reshape import flatten, reshape
from graphc.ops.shape import as_size, as_sizes, length


@function
def repeat(x: Tensor, repeats: Any, axis: int | None = None) -> Variable:
    """`x` with each element `repeats` times along `axis`; without an axis, of the flattened `x`.

    repeats: an int or an integer scalar.
    """
    x = as_variable(x)
    if axis is None:
        x, axis = flatten(x), 0
    (axis,) = normalise_axis("repeat", axis, x) or ()
    if as_variable(repeats).ndim:
        raise refuse(TypeError, "repeat", "takes one number for all elements", [x, as_variable(repeats)], "x[indices]")
    times = as_size("repeat", repeats)
    sizes = [length(x, i) for i in range(x.ndim)]
    apart = dimshuffle(x, *range(axis + 1), "x", *range(axis + 1, x.ndim))
    copies = alloc(apart, *sizes[: axis + 1], times, *sizes[axis + 1 :])
    return reshape(copies, [*sizes[:axis], _product(sizes[axis], times), *sizes[axis + 1 :]])


def tile(x: Tensor, reps: int | Variable | Sequence[Any], ndim: int | None = None) -> Variable:
    """Copies of `x` side by side, ``reps[i]`` of them along axis `i`; the result has at least `ndim` axes.

    As in NumPy, axes are matched from the last one.
    """
    x = as_variable(x)
    times = as_sizes("tile", reps)
    if ndim is not None and ndim < max(x.ndim, len(times)):
        text = f"ndim={ndim} is less than the {max(x.ndim, len(times))} axes of the result"
        raise refuse(ValueError, "tile", text, [x])
    count = max(x.ndim, len(times), ndim or 0)
    x = shape_padleft(x, count - x.ndim)
    times = [*as_sizes("tile", [1] * (count - len(times))), *times]
    sizes = [length(x, i) for i in range(count)]
    apart = dimshuffle(x, *(i for axis in range(count) for i in ("x", axis)))
    copies = alloc(apart, *(n for pair in zip(times, sizes, strict=True) for n in pair))
    return reshape(copies, list(map(_product, times, sizes)))


def _product(n: Variable, m: Variable) -> Variable:
    """A size that is the product of two; a number if they are, so that the type of the result knows it."""
    if isinstance(n, Constant) and isinstance(m, Constant):
        return constant(n.data * m.data)
    out: Variable = n * m
    return out
