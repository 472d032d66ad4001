"""The kernel that copies an array: into the order of its dimensions, or to a place of its own."""

from __future__ import annotations

from graphc.graph.sizes import Shape, Size
from graphc.graph.variable import Variable
from graphc.kernels import loopir
from graphc.kernels.launch import Launch, Memory
from graphc.kernels.loopir import Array, Axis, Kernel, Load, Loop, Output, Statement, Store, Value
from graphc.kernels.shapes import Shapes
from graphc.kernels.views import View, view

# Numbers that kernels do not compute with can be copied as what they do know.
_BITS = {"float16": "int16"}


def copied(x: Variable, to: Variable | Memory, graph: Shapes) -> Launch:
    """The kernel that copies `x`, seen through its dimshuffles, to memory or to a place of rank 0."""
    seen = view(x)
    dtype = _BITS.get(x.dtype, x.dtype)
    if not to.ndim:
        return _taken_out(seen, to, dtype)
    shape = graph.shape(x) if isinstance(to, Memory) or to is x else graph.shape(to)
    sizes: dict[Variable, loopir.Size] = {}

    def axis(dimensions: tuple[int, ...]) -> Axis:
        return Axis(tuple([_parameter(shape[d], sizes) for d in dimensions]))

    runs = _runs(seen, shape)
    axes = {d: made for run in runs for made in [axis(run)] for d in run}
    walk = tuple(dict.fromkeys(axes.values()))
    target = Array(dtype, tuple([a.sizes for a in walk]))
    value = Value(dtype)
    body: tuple[Statement, ...] = (Store(target, walk, value),)
    if seen.base.ndim:
        places = sorted((place, d) for d, place in enumerate(seen.dims) if place is not None and d in axes)
        index = tuple(dict.fromkeys(axes[d] for _, d in places))
        source = Array(dtype, tuple([a.sizes for a in index]))
        body = (Load(value, source, index), *body)
    for a in reversed(walk):
        body = (Loop(a, body),)
    if not seen.base.ndim:
        kernel = Kernel(tuple(sizes.values()), (value,), (target,), (), body, frozenset({target}))
        return Launch(kernel, tuple(sizes), (seen.base,), (to,), (), ())
    kernel = Kernel(tuple(sizes.values()), (), (source, target), (), body, frozenset({target}))
    return Launch(kernel, tuple(sizes), (), (seen.base, to), (), ())


def _taken_out(seen: View, to: Variable | Memory, dtype: str) -> Launch:
    """The one element of an array as a number."""
    source, value, out = Array(dtype, ()), Value(dtype), Value(dtype)
    kernel = Kernel((), (), (source,), (out,), (Load(value, source, ()), Output(out, value)))
    assert isinstance(to, Variable)
    return Launch(kernel, (), (), (seen.base,), (to,), ())


def _runs(seen: View, shape: Shape) -> list[tuple[int, ...]]:
    """The dimensions, those together that one loop can run over: all of them if their order is that of memory."""
    if seen.dims == tuple(range(seen.base.ndim)) or not seen.base.ndim:
        return [tuple(range(len(shape)))] if any(n != 1 for n in shape) else []
    return [(d,) for d, n in enumerate(shape) if n != 1]


def _parameter(size: Size, sizes: dict[Variable, loopir.Size]) -> int | loopir.Size:
    """A size as the kernel knows it."""
    if isinstance(size, int):
        return size
    assert size is not None
    return sizes.setdefault(size, loopir.Size())


def copying(nbytes: int) -> Kernel:
    """The kernel that copies bytes, in the largest pieces of which there are a whole number."""
    size = next(size for size in (8, 4, 2, 1) if nbytes % size == 0)
    dtype = f"int{8 * size}"
    axis = Axis((nbytes // size,))
    value = Value(dtype)
    source, target = Array(dtype, (axis.sizes,)), Array(dtype, (axis.sizes,))
    body = (Load(value, source, (axis,)), Store(target, (axis,), value))
    return Kernel((), (), (source, target), (), (Loop(axis, body),), frozenset({target}))
