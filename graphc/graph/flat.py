"""A graph as a flat table, so that pickling and copying need no recursion.

Leaves are kept as objects: a leaf that is pickled together with other things stays one object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphc.errors import Site
from graphc.graph.bindings import ops
from graphc.graph.op import Op
from graphc.graph.traverse import leaves_of, toposort
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Variable


@dataclass(frozen=True)
class FlatNode:
    """One Apply: variables are numbered, leaves first, then the outputs of the nodes in order."""

    op: Op
    inputs: tuple[int, ...]
    types: tuple[TensorType, ...]
    names: tuple[str | None, ...]
    site: Site | None


@dataclass(frozen=True)
class FlatGraph:
    """Leaves, nodes, and the numbers of the variables that were asked for."""

    leaves: tuple[Variable, ...]
    nodes: tuple[FlatNode, ...]
    wanted: tuple[int, ...]

    def build(self) -> list[Variable]:
        """The variables that were flattened, on the same leaves."""
        variables = list(self.leaves)
        for flat in self.nodes:
            node = Apply(flat.op, [variables[i] for i in flat.inputs], flat.types, flat.site or _UNKNOWN)
            node.site = flat.site
            for out, name in zip(node.outputs, flat.names, strict=True):
                out.name = name
                out.site = flat.site
            variables += node.outputs
        return [variables[i] for i in self.wanted]


_UNKNOWN = Site("<unknown>", 0, "<unknown>")


def flatten(variables: Sequence[Variable]) -> FlatGraph:
    """The ancestors of `variables` as a table."""
    order = toposort(variables)
    roots = leaves_of(order, variables)
    number: dict[Variable, int] = {x: i for i, x in enumerate(roots)}
    nodes = []
    for node in order:
        nodes.append(
            FlatNode(
                node.op,
                tuple(number[x] for x in node.inputs),
                tuple(x.type for x in node.outputs),
                tuple(x.name for x in node.outputs),
                node.site,
            )
        )
        for x in node.outputs:
            number[x] = len(number)
    return FlatGraph(tuple(roots), tuple(nodes), tuple(number[x] for x in variables))


def _first(graph: FlatGraph) -> Variable:
    return graph.build()[0]


def _reduce(variable: Variable) -> Any:
    return _first, (flatten([variable]),)


ops.bind("pickle_graph", _reduce)
