"""What can be printed: variables, nodes, graphs, compiled functions, and lists of these, all seen as one thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphc.graph.fgraph import FunctionGraph
from graphc.graph.op import Op
from graphc.graph.variable import Apply, Variable


@dataclass(frozen=True)
class Subject:
    """The outputs to be printed.

    graph: the FunctionGraph they belong to, which numbers its nodes; None for the user's own graph.
    updates: the shared variable that an output is the new value of, by the position of the output.
    """

    outputs: tuple[Variable, ...]
    graph: FunctionGraph | None
    updates: Mapping[int, Variable]


def subjects(obj: Any) -> list[Subject]:
    """What `obj` asks to have printed.

    A compiled function is anything with a FunctionGraph as its ``graph``; its ``updates_of`` maps positions of
    outputs to the shared variables they update.
    """
    if isinstance(obj, list | tuple):
        return [subject for item in obj for subject in subjects(item)]
    if isinstance(obj, Variable):
        return [Subject((obj,), None, {})]
    if isinstance(obj, Apply):
        return [Subject(obj.outputs, None, {})]
    if isinstance(obj, FunctionGraph):
        return [Subject(obj.outputs, obj, {})]
    graph = getattr(obj, "graph", None)
    if isinstance(graph, FunctionGraph):
        return [Subject(graph.outputs, graph, getattr(obj, "updates_of", {}))]
    if isinstance(getattr(obj, "variable", None), Variable):  # In and Out of a function's signature
        return [Subject((obj.variable,), None, {})]
    raise TypeError(
        f"cannot print {type(obj).__name__} {str(obj)[:60]!r}: expected a variable, an apply node, a function graph, "
        "a compiled function, or a list of these"
    )


def view_map(op: Op) -> dict[int, list[int]]:
    """For each output that is a view the inputs it is a view of."""
    given: dict[int, list[int]] = getattr(op, "view_map", {})
    return given or ({} if op.view_of is None else {0: [op.view_of]})


def destroy_map(op: Op) -> dict[int, list[int]]:
    """For each output that is computed in place the inputs it overwrites."""
    given: dict[int, list[int]] = getattr(op, "destroy_map", {})
    return given
