"""Arrays put one after the other, `concatenate` and `stack`: one loop for each of them, into its part of the result."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.graph.sizes import Size
from graphc.graph.variable import Apply, Variable
from graphc.kernels import loopir
from graphc.kernels.arithmetic import converted, let
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Array, Axis, Extent, Kernel, Load, Loop, Shifted, Statement, Store, Value
from graphc.kernels.shapes import Shapes
from graphc.ops.elementwise import add, mul
from graphc.ops.join import Join, Stack

# More arrays than this make a kernel of too many parameters.
MOST_PARTS = 32

DTYPES = frozenset("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split())


def is_joined(node: Apply) -> bool:
    """Whether a node puts arrays together in a way that `joined` can."""
    if not isinstance(node.op, Join | Stack) or len(node.inputs) > MOST_PARTS:
        return False
    return all(x.dtype in DTYPES for x in (*node.inputs, *node.outputs))


def joined(node: Apply, shapes: Shapes) -> Launch:
    """The kernel of such a node; its arrays are in memory."""
    return _Joining(node, shapes).run()


class _Joining:
    def __init__(self, node: Apply, shapes: Shapes) -> None:
        assert isinstance(node.op, Join | Stack)
        self.node = node
        self.shapes = shapes
        self.axis = node.op.axis
        self.sizes: dict[Variable, loopir.Size] = {}
        self.body: list[Statement] = []

    def run(self) -> Launch:
        """The kernel and its parameters."""
        node = self.node
        (out,) = node.outputs
        is_stack = isinstance(node.op, Stack)
        shape = self.shapes.shape(out)
        before, after = self._sizes(shape[: self.axis]), self._sizes(shape[self.axis + 1 :])
        # The elements of one line of the result: those of all parts, one after the other.
        lines = (before,) if before else ()
        target = Array(out.dtype, (*lines, (*self._sizes(shape[self.axis : self.axis + 1]), *after)))
        arrays: dict[Variable, Array] = {}
        scalars: dict[Variable, Value] = {}
        start: Value | None = None
        for i, x in enumerate(node.inputs):
            length = () if is_stack else self._sizes(self.shapes.shape(x)[self.axis : self.axis + 1])
            around = tuple(map(Axis, lines))
            inside: list[Statement] = []
            if not x.ndim:
                value = scalars.setdefault(x, Value(x.dtype))
                inside.append(Store(target, (i,), converted(inside, value, out.dtype)))
                self.body += inside
                continue
            element = Axis((*length, *after) or (1,))
            array = arrays.setdefault(x, Array(x.dtype, (*lines, element.sizes)))
            value = Value(x.dtype)
            inside.append(Load(value, array, (*around, element)))
            value = converted(inside, value, out.dtype)
            place = element if start is None else Shifted(element, start)
            inside.append(Store(target, (*around, place), value))
            nest = Loop(element, tuple(inside))
            for line in around:
                nest = Loop(line, (nest,))
            self.body.append(nest)
            if i < len(node.inputs) - 1:
                count = self._product(element.sizes)
                start = count if start is None else let(self.body, add, start, count)
        return self._launch(arrays, scalars, target)

    def _launch(self, arrays: dict[Variable, Array], scalars: dict[Variable, Value], target: Array) -> Launch:
        (out,) = self.node.outputs
        kernel = Kernel(
            tuple(self.sizes.values()),
            tuple(scalars.values()),
            (*arrays.values(), target),
            (),
            tuple(self.body),
            frozenset({target}),
        )
        return Launch(kernel, tuple(self.sizes), tuple(scalars), (*arrays, out), (), (self.node,))

    def _sizes(self, shape: Sequence[Size]) -> tuple[int | loopir.Size, ...]:
        """Sizes as the kernel knows them."""
        known = [n for n in shape if n is not None]
        return tuple(n if isinstance(n, int) else self.sizes.setdefault(n, loopir.Size()) for n in known)

    def _product(self, sizes: Sequence[int | loopir.Size]) -> Value:
        """How many elements there are."""
        factors: list[Value] = []
        for n in sizes:
            factors.append(Value("int64"))
            self.body.append(Extent(factors[-1], n))
        result = factors[0]
        for factor in factors[1:]:
            result = let(self.body, mul, result, factor)
        return result
