"""A product of matrices and the kernel that reads it as one kernel: each element is used as soon as it is known.

    t0 = product x @ w                     kernel(x0, x1, x2) -> y0:
    t1 = kernel (t0, b): add, tanh           for i0 in n0:
                                               for i1 in n1:
                                                 for i2 in n2 with t2 = dot ...
                                                 ...
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from graphc.graph.variable import Variable
from graphc.kernels import loopir
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import (
    Accumulate,
    Array,
    Axis,
    Extent,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Number,
    Position,
    Statement,
    Store,
)  # fmt: skip
from graphc.kernels.nests import Nest, nest_of
from graphc.kernels.product import element
from graphc.kernels.shapes import Shapes
from graphc.kernels.steps import Product, Step
from graphc.kernels.uses import Uses


def with_epilogues(uses: Uses, is_own: Callable[[Product], bool], fixed: Collection[int] = ()) -> list[Step | None]:
    """The steps of a plan; those that read a product compute it, if they can, and None is where it was.

    is_own: whether a product is not a library's; fixed: the positions of steps that stay what they are.
    """
    plan = uses.plan
    steps: list[Step | None] = list(plan.steps)
    results = set(map(uses.home, plan.results))
    for position, product in enumerate(plan.steps):
        if not isinstance(product, Product) or not is_own(product):
            continue
        made = uses.home(product.node.outputs[0])
        readers = uses.of[made] - {position}
        if len(readers) != 1 or made in results:
            continue
        (reader,) = readers
        step = plan.steps[reader]
        if reader < position or reader in fixed or step is not steps[reader] or not isinstance(step, Launch):
            continue
        factors = (product.x.base, product.y.base)
        if not uses.stay(position, factors, reader) or uses.rewritten(factors, position + 1, reader):
            continue
        both = joined(product, step, plan.shapes)
        if both is not None:
            steps[position], steps[reader] = None, both
    return steps


SIMPLE = Let | Load | Number | Position | Extent | Store | Accumulate


@dataclass(frozen=True)
class Reading:
    """How a kernel reads a matrix: each element once, in a nest over all of them, at this place of its body."""

    kernel: Kernel
    array: Array
    place: int
    nest: Nest
    load: Load


def reading(step: Launch, x: Variable) -> Reading | None:
    """How a launch reads a matrix, if it does so, and may compute each element instead."""
    seen = [a for a, key in zip(step.kernel.arrays, step.arrays, strict=True) if key is x]
    if len(seen) != 1:
        return None
    kernel = unfolded(step.kernel, seen[0])
    if kernel is None:
        return None
    (array,) = (a for a, key in zip(kernel.arrays, step.arrays, strict=True) if key is x)
    found = [(i, s) for i, s in enumerate(kernel.body) if isinstance(s, Loop) and array in _read_in((s,))]
    if len(found) != 1:
        return None
    ((place, loop),) = found
    nest = nest_of(loop)
    loads = [s for s in nest.body if isinstance(s, Load) and s.array is array]
    if nest.carries or not all(isinstance(s, SIMPLE) for s in nest.body) or len(loads) != 1:
        return None
    (load,) = loads
    is_whole = load.index == nest.axes and array.sizes == tuple(axis.sizes for axis in nest.axes)
    if not is_whole or load.out.dtype != x.dtype:
        return None
    return Reading(kernel, array, place, nest, load)


def joined(product: Product, step: Launch, shapes: Shapes) -> Launch | None:
    """The launch that computes what both do, but for the product itself; None if they cannot be one.

    step: reads the product, and nothing else does.
    """
    (out,) = product.node.outputs
    found = reading(step, out)
    if found is None:
        return None
    kernel, nest = found.kernel, found.nest
    size = shapes.shape(product.node.inputs[0])[1]
    assert size is not None
    own = {} if isinstance(size, int) else {size: loopir.Size()}
    inner = Axis((size,) if isinstance(size, int) else (own[size],))
    rows, columns = nest.axes
    sums, factors = element(product, rows, columns, inner, found.load.out)
    body = _nested(nest.axes, [sums if s is found.load else s for s in nest.body])
    others = [(a, key) for a, key in zip(kernel.arrays, step.arrays, strict=True) if a is not found.array]
    arrays = [*zip(factors, (product.x.base, product.y.base), strict=True), *others]
    made = replace(
        kernel,
        sizes=(*kernel.sizes, *own.values()),
        arrays=tuple(a for a, _ in arrays),
        body=(*kernel.body[: found.place], body, *kernel.body[found.place + 1 :]),
    )
    return replace(
        step,
        kernel=made,
        sizes=(*step.sizes, *own),
        arrays=tuple(key for _, key in arrays),
        nodes=(product.node, *step.nodes),
    )


def _read_in(statements: Sequence[Statement]) -> set[Array]:
    """The arrays that statements read."""
    found: set[Array] = set()
    for s in statements:
        if isinstance(s, Loop):
            found |= _read_in(s.body)
        elif isinstance(s, Load):
            found.add(s.array)
    return found


def _nested(axes: Sequence[Axis], body: Sequence[Statement]) -> Loop:
    """Loops in each other."""
    *outer, last = axes
    loop = Loop(last, tuple(body))
    for axis in reversed(outer):
        loop = Loop(axis, (loop,))
    return loop


# ---- a loop over all elements of a matrix ----


def unfolded(kernel: Kernel, matrix: Array) -> Kernel | None:
    """The kernel with one loop over the rows of a matrix and one over its columns; None if that cannot be.

    Arrays that are read and written alike throughout may be lines to a kernel, whatever shape they have.
    """
    if len(matrix.sizes) == 2:
        return kernel
    *before, last = kernel.body
    if len(matrix.sizes) != 1 or len(matrix.sizes[0]) != 2 or not isinstance(last, Loop):
        return None
    if any(isinstance(s, Loop) for s in (*before, *last.body)) or last.carries or last.axis.sizes != matrix.sizes[0]:
        return None
    rows, columns = (Axis((n,)) for n in matrix.sizes[0])
    arrays = {a: Array(a.dtype, (rows.sizes, columns.sizes)) for a in kernel.arrays if a.sizes == matrix.sizes}
    index: tuple[Index, ...] = (rows, columns)
    body: list[Statement] = []
    for s in last.body:
        if isinstance(s, Load | Store) and s.array in arrays and s.index == (last.axis,):
            s = replace(s, array=arrays[s.array], index=index)
        elif not isinstance(s, Let | Number | Extent):
            return None
        body.append(s)
    return replace(
        kernel,
        arrays=tuple(arrays.get(a, a) for a in kernel.arrays),
        written=frozenset(arrays.get(a, a) for a in kernel.written),
        body=(*before, _nested((rows, columns), body)),
    )
