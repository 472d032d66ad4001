"""Addresses: the parameters of a kernel, and where in its arrays an iteration reads and writes."""

from __future__ import annotations

from collections.abc import Callable

from graphc.graph.sizes import Size
from graphc.graph.variable import Variable
from graphc.kernels import loopir
from graphc.kernels.arithmetic import converted, let, number
from graphc.kernels.groups import Along, Axes, Group, Member
from graphc.kernels.launch import Memory
from graphc.kernels.loopir import Accumulate, Array, Axis, Index, Load, Statement, Store, Value
from graphc.kernels.runs import runs_of
from graphc.kernels.shapes import Shapes
from graphc.ops.elementwise import add, and_, ge, lt, maximum, minimum, mul, sub, switch
from graphc.ops.indexing import IncSubtensor

# What an operand of a node is here, by its number among what the node reads.
Read = Callable[[int], Value]


class Addressing:
    """The parameters of a kernel, in the order it comes to need them, and indices into its arrays.

    loops: the loop over each run of axes; sizes, scalars, arrays: what is a parameter, and which; written: the arrays
    with results.  What takes a `body` writes its arithmetic there.
    """

    def __init__(self, group: Group, shapes: Shapes, wanted: set[Variable]) -> None:
        self.shapes = shapes
        self.sizes: dict[Variable, loopir.Size] = {}
        self.scalars: dict[Variable, Value] = {}
        self.arrays: dict[object, tuple[Array, Variable | Memory]] = {}
        self.written: set[Array] = set()
        self.loops = {run: Axis(tuple(self.size(group.domain[a]) for a in run)) for run in runs_of(group, wanted)}
        # An axis of size 1 has no loop; a run of dimensions has one index, where it begins.
        self._loop_over: dict[int | None, Axis] = {a: loop for run, loop in self.loops.items() for a in run}
        self._loop_from: dict[int | None, Axis] = {run[0]: loop for run, loop in self.loops.items()}

    # ---- parameters ----

    def size(self, size: Size) -> int | loopir.Size:
        """A size as the kernel knows it."""
        if isinstance(size, int):
            return size
        assert size is not None
        if size not in self.sizes:
            self.sizes[size] = loopir.Size()
        return self.sizes[size]

    def scalar(self, x: Variable) -> Value:
        """The parameter for a number."""
        if x not in self.scalars:
            self.scalars[x] = Value(x.dtype)
        return self.scalars[x]

    def array(self, base: Variable | Memory, index: tuple[Axis, ...]) -> Array:
        """The parameter for an array that is indexed so."""
        return self._array(base, tuple(axis.sizes for axis in index))

    def target(self, base: Variable | Memory, index: tuple[Axis, ...]) -> Array:
        """The same for an array that is written."""
        array = self.array(base, index)
        self.written.add(array)
        return array

    def _array(self, base: Variable | Memory, sizes: tuple[tuple[int | loopir.Size, ...], ...]) -> Array:
        key = (base, sizes)
        if key not in self.arrays:
            self.arrays[key] = (Array(base.dtype, sizes), base)
        return self.arrays[key][0]

    # ---- indices ----

    def index(self, axes: Axes) -> tuple[Axis, ...]:
        """The index of an element: one loop for each run of dimensions."""
        return tuple([self._loop_from[a] for a in axes if a in self._loop_from])

    def position(self, body: list[Statement], axis: int | None) -> Value:
        """The number of the iteration along an axis; 0 along one of size 1."""
        if axis not in self._loop_over:
            return number(body, 0)
        out = Value("int64")
        body.append(loopir.Position(out, self._loop_over[axis]))
        return out

    def extent(self, body: list[Statement], size: Size) -> Value:
        """A size as a value."""
        out = Value("int64")
        body.append(loopir.Extent(out, self.size(size)))
        return out

    def inside(self, body: list[Statement], at: Value, extent: Value) -> Value:
        """An index counted from the start; the kernel fails if it is out of range."""
        at = _from_end(body, at, extent)
        above = let(body, ge, at, number(body, 0), dtype="bool")
        below = let(body, lt, at, extent, dtype="bool")
        body.append(loopir.Require(let(body, and_, above, below)))
        return at

    # ---- elements of indexed arrays ----

    def element(self, body: list[Statement], member: Member, read: Read) -> Value:
        """The element that a node reads."""
        array, index = self._dimensions(body, member, read)
        out = Value(array.dtype)
        body.append(Load(out, array, index))
        return out

    def scatter(self, body: list[Statement], member: Member, read: Read) -> None:
        """Write the element that a node writes, or add to it."""
        array, index = self._dimensions(body, member, read)
        self.written.add(array)
        value = converted(body, read(len(member.reads) - 1), array.dtype)
        op = member.node.op
        assert isinstance(op, IncSubtensor)
        body.append(Accumulate("sum", array, index, value) if op.add else Store(array, index, value))

    def _dimensions(self, body: list[Statement], member: Member, read: Read) -> tuple[Array, tuple[Index, ...]]:
        """The array that a node indexes, and the index of the element for this iteration."""
        base, _ = member.reads[0]
        index: list[Index] = []
        sizes: list[tuple[int | loopir.Size, ...]] = []
        for along, size in zip(member.index, self.shapes.shape(base), strict=True):
            if along.is_plain:
                loop = self._loop_from.get(along.axis)
                if loop is not None:
                    index.append(loop)
                    sizes.append(loop.sizes)
            elif size != 1 or along.start is not None:
                index.append(self._along(body, along, size, read))
                sizes.append((self.size(size),))
        return self._array(base, tuple(sizes)), tuple(index)

    def _along(self, body: list[Statement], along: Along, size: Size, read: Read) -> Index:
        """The index along one dimension."""
        extent = self.extent(body, size)
        zero = number(body, 0)
        start: Value | None = None
        if along.start is not None:
            start = converted(body, read(along.start), "int64")
        if along.axis is None and not along.is_part:
            assert start is not None
            return self.inside(body, start, extent)
        if start is not None:
            start = _from_end(body, start, extent)
        last = extent if along.step > 0 else let(body, sub, extent, number(body, 1))
        if start is None:
            start = zero if along.step > 0 else last
        else:
            start = let(body, maximum, start, zero if along.step > 0 else number(body, -1))
            start = let(body, minimum, start, last)
        if along.axis is None:  # a slice of one element
            return start
        if along.step == 1 and along.axis in self._loop_over:
            return loopir.Shifted(self._loop_over[along.axis], start)
        at = let(body, mul, self.position(body, along.axis), number(body, along.step))
        return let(body, add, start, at)


def _from_end(body: list[Statement], at: Value, extent: Value) -> Value:
    """A negative index counts from the end."""
    below = let(body, lt, at, number(body, 0), dtype="bool")
    return let(body, switch, below, let(body, add, at, extent), at, dtype="int64")
