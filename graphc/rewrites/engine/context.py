"""The context of a rule: what it may ask about the graph it works in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from graphc.graph.fgraph import FunctionGraph
from graphc.graph.interner import Interner
from graphc.graph.op import Op
from graphc.graph.variable import Variable


class Context:
    """What a rule may ask about the graph it works in."""

    def __init__(self, graph: FunctionGraph) -> None:
        self.table: Interner = graph.table
        #: Whether a rule was told that a variable has several readers, or is not there: that may have changed when this
        #: phase is through.
        self.doubtful = False
        self._graph = graph
        self._former: dict[Variable, Variable | None] = {}  # variable -> the one of the graph whose place it took

    def shape(self, variable: Variable) -> tuple[Any, ...]:
        """The sizes of a variable."""
        return self.table.shape(self.table.intern(variable))

    def same_shape(self, a: Variable, b: Variable) -> bool:
        """Whether two variables are known to have the same shape."""
        return same_sizes(self.shape(a), self.shape(b))

    @cached_property
    def _readers(self) -> dict[Variable, int]:
        """Variable of the graph, as it was before this phase -> how many readers it had."""
        found = dict.fromkeys(self._graph.roots, 1)
        for node in self._graph.nodes:
            for x in node.inputs:
                found[x] = found.get(x, 0) + 1
        return found

    def read_once(self, variable: Variable) -> bool:
        """Whether a variable of the graph, as it was before this phase, had exactly one reader."""
        return self.read(variable, 1)

    def read(self, variable: Variable, times: int) -> bool:
        """Whether a variable of the graph, as it was before this phase, was read exactly so many times."""
        known = variable if variable in self._readers else self._former.get(variable)
        right = known is not None and self._readers.get(known) == times
        self.doubtful = self.doubtful or not right
        return right

    def computed(self, op: Op, *inputs: Variable) -> Variable | None:
        """The result of `op` on some inputs, if it was in the graph, as that was before this phase."""
        found = self.table.known(op, inputs)
        if found is not None and found.out in self._readers:
            return found.out
        self.doubtful = True
        return None

    def succeed(self, new: Variable, old: Variable) -> None:
        """Note that `new` takes the place of `old`: what read the one reads the other from now on."""
        former = self._former.get(old, old)
        if self._former.setdefault(new, former) is not former:
            self._former[new] = None  # it takes the place of several

    def occurs(self, op: Op) -> bool:
        """Whether there is, or was, a node of this op."""
        return op in self.table.ops


def same_sizes(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two shapes are known to be equal."""
    if a is b:
        return True
    return len(a) == len(b) and all(n is m or (isinstance(n, int) and n == m) for n, m in zip(a, b, strict=True))
