"""A node on its own: the loops it would run in, and how its operands and its result lie in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphc import dtypes
from graphc.graph.sizes import Shape, Size
from graphc.graph.variable import Apply, Constant, Variable
from graphc.kernels.groups import INDEXED, Along, Axes
from graphc.kernels.shapes import Shapes, counts
from graphc.kernels.views import View, filling, view
from graphc.ops.broadcasting import Alloc, Fill
from graphc.ops.conversion import Cast
from graphc.ops.declare import Elementwise
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.identities import Identity
from graphc.ops.indexing import IncSubtensor, Subtensor, entries, index_shape
from graphc.ops.matmul import Dot
from graphc.ops.ranges import ARange
from graphc.ops.reduction import Place, Reduction


@dataclass(eq=False, slots=True)  # not frozen only because that takes three times as long, for every node
class Draft:
    """A node on its own: domain, operands (what is read, axis of each dimension), axes of the result."""

    node: Apply
    domain: Shape
    operands: tuple[tuple[Variable, Axes], ...]
    axes: Axes
    reduced: frozenset[int] | None
    index: tuple[Along, ...] = ()
    scatters: bool = False


def is_computable(node: Apply, known: Collection[str], spells: Callable[[Apply, str], bool]) -> bool:
    """Whether a kernel can compute a node with numbers of the dtypes that are `known`.

    spells: of an elementwise node whose arguments have one dtype, but for a condition, whether its op has a spelling
    for this dtype.
    """
    op = node.op
    if any(x.dtype not in known for x in (*node.inputs, *node.outputs)):
        return False
    if isinstance(op, ARange):
        return not dtypes.is_float(node.outputs[0].dtype)
    if not isinstance(op, Elementwise):
        return isinstance(op, Reduction | Place | Alloc | Dot | Subtensor | IncSubtensor)
    if isinstance(op, Cast | Fill | Identity):
        return True
    loop, made = op.signature(node.inputs)
    values = loop[1:] if op.name == "switch" else loop
    return {*loop, made} <= set(known) and len(set(values)) == 1 and spells(node, values[0])


def kernel_ops(spells: Callable[[Apply], bool]) -> Callable[[Apply], bool]:
    """Whether a node can be part of a kernel, given which elementwise nodes can be computed there."""

    known: dict[object, bool] = {}

    def fits(node: Apply) -> bool:
        op = node.op
        if not isinstance(op, Elementwise) or op.name == "pow":
            return decided(node)
        key = (op, *[x.type.dtype for x in node.inputs], node.outputs[0].type.dtype)
        found = known.get(key)
        if found is None:
            found = known[key] = decided(node)
        return found

    def decided(node: Apply) -> bool:
        op = node.op
        if isinstance(op, Elementwise | Reduction | Place | Alloc):
            return spells(node)
        if isinstance(op, Subtensor | IncSubtensor):
            return spells(node) and indexes_simply(op.pattern, node.inputs[2 if isinstance(op, IncSubtensor) else 1 :])
        if isinstance(op, ARange):
            return spells(node) and all(isinstance(x, Constant) for x in (node.inputs[0], node.inputs[2]))
        return isinstance(op, Dot) and (min(x.ndim for x in node.inputs) == 1 or is_outer(node)) and spells(node)

    return fits


def is_outer(node: Apply) -> bool:
    """Whether a product of matrices is one of a column and a row, where nothing is added up."""
    x, y = node.inputs
    return x.ndim == y.ndim == 2 and 1 in (x.type.shape[1], y.type.shape[0])


def indexes_simply(pattern: tuple[str, ...], arguments: Sequence[Variable]) -> bool:
    """Whether an index is one that kernels know: no masks, steps that are known, arrays of one shape side by side."""
    arrays = []
    for place, (entry, given) in enumerate(entries(pattern, arguments)):
        if entry.startswith("mask:") or any(x is not None and x.dtype not in dtypes.INTEGERS for x in given):
            return False
        if entry.startswith("slice:") and given[2] is not None and not isinstance(given[2], Constant):
            return False
        if entry == "array":
            arrays.append((place, given[0].ndim))
    advanced = [p for p, (entry, _) in enumerate(entries(pattern, arguments)) if not entry.startswith("slice:")]
    if not arrays:
        return True
    return advanced == list(range(advanced[0], advanced[-1] + 1)) and len({ndim for _, ndim in arrays}) == 1


def written_shape(graph: Shapes, node: Apply) -> Shape:
    """The shape of ``x[index]`` for a node that writes to it."""
    assert isinstance(node.op, IncSubtensor)
    x, _, *arguments = node.inputs
    shape = index_shape(
        graph.graph.table, node.op.pattern, arguments, graph.shape(x), [graph.shape(a) for a in arguments]
    )
    assert shape is not None, "there is no mask among its indices"
    return tuple([graph.size(n) for n in shape])


def mismatched(graph: Shapes, node: Apply) -> list[tuple[Size, Size]]:
    """The sizes of what is written to an index that may not be those of the index: they must be equal, or 1."""
    if not isinstance(node.op, IncSubtensor) or any(entry.startswith("mask:") for entry in node.op.pattern):
        return []
    y = graph.shape(node.inputs[1])
    wanted = written_shape(graph, node)
    pairs = zip(y, wanted[len(wanted) - len(y) :], strict=True)
    return [(n, m) for n, m in pairs if not (n is m or (isinstance(n, int) and (n in (1, m))))]


class Drafter:
    """Drafts nodes; `fits` tells which nodes can be part of a kernel at all."""

    def __init__(self, graph: Shapes, fits: Callable[[Apply], bool]) -> None:
        self.graph = graph
        self.fits = fits
        self._axes: dict[Shape, Axes] = {}

    def draft(self, node: Apply) -> Draft:
        """A node's own loops: its domain, and how its operands and its result lie in it."""
        op = node.op
        shape_of = self.graph.shape
        if isinstance(op, Dot):
            return self._outer(node) if is_outer(node) else self._dot(node)
        if isinstance(op, Subtensor):
            return self._indexed(node, shape_of(node.outputs[0]), node.inputs[0], node.inputs[1:], ())
        if isinstance(op, IncSubtensor):
            return self._one_hot(node) or self._scattered(node)
        if isinstance(op, ARange):
            shape = shape_of(node.outputs[0])
            scalars = tuple((x, ()) for x in node.inputs)
            return Draft(node, shape, scalars, without_ones((0,), shape), None)
        if isinstance(op, Reduction) and (simple := self._sum_of_one_hot(node)) is not None:
            return simple
        if isinstance(op, Reduction | Place):
            (x,) = node.inputs
            seen = view(x)
            if isinstance(op, Place) and seen.dims[-1] != seen.base.ndim - 1:
                seen = View(x, tuple(range(x.ndim)))  # a row that does not lie in memory as one is put there
            shape = shape_of(seen.base)
            position = {d: i for i, d in enumerate(seen.dims) if d is not None}
            reduced = {d for d in range(len(shape)) if position.get(d) in op.axes(x)}
            kept = [i for i in range(x.ndim) if op.keepdims or i not in op.axes(x)]
            out = tuple(None if i in op.axes(x) else seen.dims[i] for i in kept)
            axes = self._whole(shape)
            return Draft(node, shape, ((seen.base, axes),), without_ones(out, shape), frozenset(reduced))
        out_shape = shape_of(node.outputs[0])
        operands = node.inputs[:1] if isinstance(op, Alloc) else node.inputs
        axes = self._whole(out_shape)
        # Operands of the same shape, the most common ones, lie like the result.
        reads = tuple(
            [
                (x, axes)
                if shape_of(x) is out_shape and (x.owner is None or not isinstance(x.owner.op, DimShuffle))
                else self._aligned(x, out_shape)
                for x in operands
            ]
        )
        return Draft(node, out_shape, reads, axes, None)

    def _whole(self, shape: Shape) -> Axes:
        """The axes of all dimensions of a shape, as they are."""
        found = self._axes.get(shape)
        if found is None:
            found = self._axes[shape] = without_ones(tuple(range(len(shape))), shape)
        return found

    def _indexed(
        self,
        node: Apply,
        domain: Shape,
        x: Variable,
        arguments: Sequence[Variable],
        others: tuple[tuple[Variable, Axes], ...],
    ) -> Draft:
        """Indexing: the domain is the shape of ``x[index]``; operands: x, the arguments of the index, others."""
        is_read = isinstance(node.op, Subtensor)
        seen = view(x) if is_read else View(node.outputs[0], tuple(range(x.ndim)))
        along, reads = self._along(node.op, self.graph.shape(x), domain, arguments)
        if any(d is None and a.start is not None for d, a in zip(seen.dims, along, strict=True)):
            seen = View(x, tuple(range(x.ndim)))  # an index into a dimension that is not in memory is checked as well
        # In the order of the dimensions in memory.
        place = {d: i for i, d in enumerate(seen.dims) if d is not None}
        index_of = tuple(along[place[d]] if d in place else Along(None) for d in range(seen.base.ndim))
        own = tuple(
            (None if domain[a.axis] == 1 else a.axis) if a.is_plain and a.axis is not None else INDEXED
            for a in index_of
        )
        axes = self._whole(domain)
        if is_read and not reads and all(a.is_plain for a in index_of):
            return Draft(node, domain, ((seen.base, own),), axes, None)  # everything, in order
        return Draft(node, domain, ((seen.base, own), *reads, *others), axes, None, index_of)

    def _along(
        self, op: Any, sizes: Shape, domain: Shape, arguments: Sequence[Variable]
    ) -> tuple[list[Along], list[tuple[Variable, Axes]]]:
        """How each dimension of an indexed array is read, and what the index is read from: operands 1, 2, ..."""
        given_at = list(entries(op.pattern, arguments))
        rank = max((given[0].ndim for entry, given in given_at if entry == "array"), default=0)
        along: list[Along] = []
        reads: list[tuple[Variable, Axes]] = []
        axis = 0
        first_array: int | None = None
        for size, (entry, given) in zip(sizes, given_at, strict=True):
            if entry.startswith("slice:"):
                start, step = given[0], 1 if given[2] is None else int(given[2].data)
                whole = domain[axis] is size or domain[axis] == 1 == size
                if step == 1 and whole and domain[axis] is not None:
                    start = None  # it cannot begin elsewhere
                is_part = step != 1 or not whole
                along.append(Along(axis, None if start is None else len(reads) + 1, step, is_part=is_part))
                if start is not None:
                    reads.append((start, ()))
                axis += 1
            elif entry == "array":
                if first_array is None:
                    first_array, axis = axis, axis + rank
                if rank == 1 and self._counts(given[0], size):
                    along.append(Along(first_array))
                    continue
                along.append(Along(None, len(reads) + 1, by_element=True))
                reads.append(self._indices(given[0], first_array))
            else:
                along.append(Along(None, len(reads) + 1))
                reads.append((given[0], ()))
        return along, reads

    def _indices(self, x: Variable, first: int) -> tuple[Variable, Axes]:
        """An array of indices, whose dimensions lie along the axes from `first` on: what it is read from, and how."""
        seen = view(x)
        axes: list[int | None] = [None] * seen.base.ndim
        for axis, (d, size) in enumerate(zip(seen.dims, self.graph.shape(x), strict=True), first):
            if d is not None:
                axes[d] = None if size == 1 else axis
        return seen.base, tuple(axes)

    def _counts(self, x: Variable, size: Size) -> bool:
        """Whether `x` is 0, 1, 2, ... up to a size."""
        return counts(x) and same_size(self.graph.shape(x)[0], size)

    def _one_hot(self, node: Apply) -> Draft | None:
        """One number in each row of zeros, ``inc_subtensor(zeros[arange(n), i], y)``: elementwise over the matrix."""
        x, y, *arguments = node.inputs
        shape = self.graph.shape(x)
        value = filling(x)
        if getattr(node.op, "pattern", None) != ("array", "array") or y.ndim > 1 or arguments[1].ndim != 1:
            return None
        if value is None or not isinstance(value, Constant) or value.data != 0:
            return None
        if not self._counts(arguments[0], shape[0]) or y.dtype != x.dtype:
            return None
        rows = without_ones((0,), self.graph.shape(arguments[1]))
        if rows == (None,) and shape[0] != 1:
            return None
        reads: list[tuple[Variable, Axes]] = []
        for operand in (y, arguments[1]):
            seen = view(operand)
            if seen.dims != tuple(range(operand.ndim)):
                return None
            reads.append((operand, without_ones((0,), self.graph.shape(operand)) if operand.ndim else ()))
        return Draft(node, shape, tuple(reads), without_ones((0, 1), shape), None)

    def _sum_of_one_hot(self, node: Apply) -> Draft | None:
        """The sum of each row of a `_one_hot`: its one number."""
        op, made = node.op, node.inputs[0].owner
        if not isinstance(op, Reduction) or op.name != "sum" or op.axis != (1,) or made is None:
            return None
        if not isinstance(made.op, IncSubtensor) or not self.fits(made) or node.outputs[0].dtype != made.out.dtype:
            return None
        draft = self._one_hot(made)
        if draft is None:
            return None
        shape = self.graph.shape(node.outputs[0])
        return Draft(node, shape, draft.operands, self._whole(shape), None)

    def _scattered(self, node: Apply) -> Draft:
        """Writing to ``x[index]``: over the elements of the index, what is written last among the operands."""
        x, y, *arguments = node.inputs
        domain = written_shape(self.graph, node)
        draft = self._indexed(node, domain, x, arguments, (self._aligned(y, domain),))
        return replace(draft, scatters=True)

    def _aligned(self, x: Variable, out: Shape) -> tuple[Variable, Axes]:
        """An operand of an elementwise op: what it is read from, and the axis of each of that one's dimensions."""
        seen = view(x)
        axes: list[int | None] = [None] * seen.base.ndim
        shift = len(out) - x.ndim
        for i, (d, size) in enumerate(zip(seen.dims, self.graph.shape(x), strict=True)):
            if d is not None and size != 1 and out[shift + i] != 1:
                axes[d] = shift + i
        return seen.base, tuple(axes)

    def _dot(self, node: Apply) -> Draft:
        """A product with a vector: a sum over the matrix (or the other vector) as it lies in memory."""
        x, y = node.inputs
        matrix, vector = (x, y) if x.ndim >= y.ndim else (y, x)
        seen, other = self._in_memory(matrix), self._in_memory(vector)
        shape = self.graph.shape(seen.base)
        summed = matrix.ndim - 1 if matrix is x else 0
        axis = seen.dims[summed]
        assert axis is not None
        everything = tuple(range(len(shape)))
        along = tuple(axis if d == other.dims[0] else None for d in range(other.base.ndim))
        kept = tuple(d for i, d in enumerate(seen.dims) if i != summed)
        operands = {id(matrix): (seen.base, everything), id(vector): (other.base, along)}
        reads = tuple((base, without_ones(axes, shape)) for base, axes in (operands[id(x)], operands[id(y)]))
        return Draft(node, shape, reads, without_ones(kept, shape), frozenset({axis}))

    def _outer(self, node: Apply) -> Draft:
        """A product of a column and a row: elementwise."""
        shape = self.graph.shape(node.outputs[0])
        reads: list[tuple[Variable, Axes]] = []
        for axis, x in enumerate(node.inputs):
            base, dims = view(x)
            reads.append((base, without_ones([axis if d == dims[axis] else None for d in range(base.ndim)], shape)))
        return Draft(node, shape, tuple(reads), self._whole(shape), None)

    @staticmethod
    def _in_memory(x: Variable) -> View:
        """What `x` is a view of; `x` itself if one of its dimensions is new, and not there."""
        seen = view(x)
        return View(x, tuple(range(x.ndim))) if None in seen.dims else seen


def without_ones(axes: Sequence[int | None], shape: Shape) -> Axes:
    return tuple(None if a is None or shape[a] == 1 else a for a in axes)


def same_size(a: Size, b: Size) -> bool:
    return a is b or (isinstance(a, int) and isinstance(b, int) and a == b)


def same_shape(a: Shape, b: Shape) -> bool:
    return a is b or (len(a) == len(b) and all(map(same_size, a, b)))
