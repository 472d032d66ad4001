"""A picture of a graph: labelled nodes and edges with a meaning, before anyone decides where they go.

``layout`` gives every node a place, ``svg`` draws the result, and ``dot`` writes the picture for Graphviz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Colours(NamedTuple):
    """The inside and the outline of a node."""

    fill: str
    stroke: str


# Theano's pydotprint colours, lightened until black text reads well on each of them.
NODE_COLOURS: dict[str, Colours] = {
    "input": Colours("#b9e6b3", "#4b9a45"),
    "output": Colours("#b3d4fb", "#3f7fc9"),
    "shared": Colours("#aeeaea", "#2f9c9c"),
    "constant": Colours("#ececec", "#9a9a9a"),
    "elementwise": Colours("#ffc9da", "#d0668b"),
    "subtensor": Colours("#dcc8f7", "#8f63c9"),
    "alloc": Colours("#ffd3a1", "#d98a2b"),
    "scan": Colours("#fff3a3", "#bfa21c"),
    "ifelse": Colours("#f9bdf3", "#bd4fb1"),
    "other": Colours("#fafafa", "#777777"),
}

# An edge to an op that makes a view of its input, or overwrites it, is worth a second look.
EDGE_COLOURS: dict[str, str] = {"": "#4a4a4a", "view": "#2465d6", "destroy": "#d62828"}

SHAPES = ("ellipse", "box")


@dataclass(frozen=True, slots=True)
class PictureNode:
    """One node. ``key`` names it in edges, ``kind`` chooses its colours, the mouse shows ``tooltip``."""

    key: str
    label: str
    kind: str
    shape: str = "ellipse"
    tooltip: str = ""

    def __post_init__(self) -> None:
        _check(self.kind, tuple(NODE_COLOURS), f"kind of node {self.key!r}")
        _check(self.shape, SHAPES, f"shape of node {self.key!r}")


@dataclass(frozen=True, slots=True)
class PictureEdge:
    """An arrow from the node ``source`` to the node ``target``, in the direction in which data flows."""

    source: str
    target: str
    label: str = ""
    style: str = ""

    def __post_init__(self) -> None:
        _check(self.style, tuple(EDGE_COLOURS), f"style of edge {self.source!r} -> {self.target!r}")


@dataclass(frozen=True, slots=True)
class Picture:
    """A directed acyclic graph to look at. Several edges may join the same two nodes."""

    nodes: tuple[PictureNode, ...]
    edges: tuple[PictureEdge, ...]
    title: str = ""

    def __post_init__(self) -> None:
        keys: set[str] = set()
        for node in self.nodes:
            if node.key in keys:
                raise ValueError(f"Picture: two nodes have the key {node.key!r}. Give each node its own.")
            keys.add(node.key)
        for edge in self.edges:
            for key in (edge.source, edge.target):
                if key not in keys:
                    raise ValueError(
                        f"Picture: the edge {edge.source!r} -> {edge.target!r} names the node {key!r}, "
                        "which is not in the picture. Add a PictureNode with that key."
                    )


def _check(value: str, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise ValueError(f"Picture: the {what} is {value!r}. Use one of {', '.join(map(repr, allowed))}.")
