"""The sizes of a graph as kernels see them: some that are not known to be equal are taken to be.

``p[arange(n), y]`` reads one element of each row of `p`, as long as `p` has n rows.  It nearly always has, and a
kernel over whole rows needs it to; so it is assumed, checked at every call, and a plan without assumptions takes
over where it does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphc.graph.fgraph import FunctionGraph
from graphc.graph.sizes import Shape, Size
from graphc.graph.variable import Apply, Constant, Variable
from graphc.kernels.launch import Memory
from graphc.ops.indexing import IncSubtensor, Subtensor, entries
from graphc.ops.ranges import ARange


class Shapes(dict["Variable | Memory", Shape]):
    """The shapes of a graph's variables, each worked out when it is first asked for.

    assumed: sizes and those they are taken to equal.
    """

    def __init__(self, graph: FunctionGraph) -> None:
        self.graph = graph
        self.assumed: dict[Variable, Variable] = {}

    def assume(self, k: Variable, n: Variable) -> None:
        """From now on the two sizes are taken to be equal."""
        self.assumed[k] = n
        self.clear()

    def size(self, n: Size) -> Size:
        """The size that stands for all that are taken to be equal."""
        while isinstance(n, Variable) and n in self.assumed:
            n = self.assumed[n]
        return n

    def __missing__(self, x: Variable | Memory) -> Shape:
        if isinstance(x, Memory):
            return x.shape
        shape = self.graph.shape(x)
        found = self[x] = tuple([self.size(n) for n in shape]) if self.assumed else shape
        return found

    #: The sizes of a variable or a memory.
    shape = dict.__getitem__


def counts(x: Variable) -> bool:
    """Whether `x` is 0, 1, 2, ..."""
    if x.owner is None or not isinstance(x.owner.op, ARange):
        return False
    start, _, step = x.owner.inputs
    return isinstance(start, Constant) and start.data == 0 and isinstance(step, Constant) and step.data == 1


def assuming(graph: FunctionGraph, nodes: Iterable[Apply]) -> Shapes:
    """The shapes with what indices that count the rows let us assume."""
    shapes = Shapes(graph)
    for node in nodes:
        if not isinstance(node.op, Subtensor | IncSubtensor):
            continue
        arguments = node.inputs[2 if isinstance(node.op, IncSubtensor) else 1 :]
        rows = shapes.shape(node.inputs[0])
        if any(entry.startswith("mask:") for entry in node.op.pattern):
            continue
        for n, (entry, given) in zip(rows, entries(node.op.pattern, arguments), strict=True):
            if entry == "array" and counts(given[0]):
                (k,) = shapes.shape(given[0])
                if isinstance(k, Variable) and isinstance(n, Variable) and k is not n:
                    shapes.assume(k, n)
    return shapes
