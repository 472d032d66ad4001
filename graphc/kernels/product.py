"""A small product of matrices as a kernel: what calls a library elsewhere, and is part of a larger kernel here."""

from __future__ import annotations

from graphc.graph.variable import Variable
from graphc.kernels import loopir
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Array, Axis, Carry, Kernel, Let, Load, Loop, Statement, Store, Value
from graphc.kernels.shapes import Shapes
from graphc.kernels.steps import Product
from graphc.kernels.views import View
from graphc.ops.elementwise import mul


def multiplied(step: Product, shapes: Shapes) -> Launch:
    """The kernel that computes ``out = x @ y``, each seen through the order of its dimensions."""
    (out,) = step.node.outputs
    x, y = step.node.inputs
    sizes: dict[Variable, loopir.Size] = {}

    def axis(size: int | Variable | None) -> Axis:
        assert size is not None
        return Axis((size,) if isinstance(size, int) else (sizes.setdefault(size, loopir.Size()),))

    rows, columns, inner = axis(shapes.shape(x)[0]), axis(shapes.shape(y)[1]), axis(shapes.shape(x)[1])
    target, total = Array(out.dtype, (rows.sizes, columns.sizes)), Value(out.dtype)
    sums, arrays = element(step, rows, columns, inner, total)
    nest = Loop(rows, (Loop(columns, (sums, Store(target, (rows, columns), total))),))
    kernel = Kernel(tuple(sizes.values()), (), (*arrays, target), (), (nest,), frozenset({target}))
    return Launch(kernel, tuple(sizes), (), (step.x.base, step.y.base, out), (), (step.node,))


def element(step: Product, row: Axis, column: Axis, inner: Axis, total: Value) -> tuple[Loop, tuple[Array, Array]]:
    """The loop that computes an element of a product, and the arrays of the factors."""
    x, y = _read(step.x, (row, inner), total.dtype), _read(step.y, (inner, column), total.dtype)
    term = Value(total.dtype)
    body: tuple[Statement, ...] = (x, y, Let(term, mul, (x.out, y.out)))
    return Loop(inner, body, (Carry(total, "dot", term),)), (x.array, y.array)


def _read(seen: View, axes: tuple[Axis, Axis], dtype: str) -> Load:
    """An element of a matrix."""
    places = sorted((place, axis) for place, axis in zip(seen.dims, axes, strict=True) if place is not None)
    index = tuple(axis for _, axis in places)
    return Load(Value(dtype), Array(dtype, tuple(axis.sizes for axis in index)), index)
