"""The connected components of a picture: each is laid out alone, and then set beside the others on shelves.

The shelves are those of *next fit*: a rectangle that has no room on the last shelf opens a new one (Coffman, Garey,
Johnson and Tarjan, "Performance bounds for level-oriented two-dimensional packing algorithms", 1980). The order
stays that of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from .geometry import Point
from .picture import Picture, PictureEdge, PictureNode

COMPONENT_GAP = 36.0  # pixels between two components


@dataclass(frozen=True, slots=True)
class Component:
    """A connected part of a picture."""

    nodes: Sequence[PictureNode]
    edges: Sequence[PictureEdge]
    ends: Sequence[tuple[int, int]]  # the positions in ``nodes`` of each edge's source and target
    node_numbers: Sequence[int]  # the position in the picture of each node
    edge_numbers: Sequence[int]  # the same of each edge


def components(picture: Picture) -> list[Component]:
    """The components in the order of their first nodes."""
    number = {node.key: n for n, node in enumerate(picture.nodes)}
    ends = [(number[edge.source], number[edge.target]) for edge in picture.edges]
    return [_component(picture, ends, *numbers) for numbers in _connected(len(picture.nodes), ends)]


def _component(
    picture: Picture, ends: Sequence[tuple[int, int]], nodes: Sequence[int], edges: Sequence[int]
) -> Component:
    """The component that has the nodes and edges with these numbers."""
    here = {n: position for position, n in enumerate(nodes)}
    return Component(
        nodes=[picture.nodes[n] for n in nodes],
        edges=[picture.edges[e] for e in edges],
        ends=[(here[ends[e][0]], here[ends[e][1]]) for e in edges],
        node_numbers=nodes,
        edge_numbers=edges,
    )


def _connected(count: int, ends: Sequence[tuple[int, int]]) -> list[tuple[list[int], list[int]]]:
    """The numbers of the nodes and of the edges of each component."""
    beside: list[list[int]] = [[] for _ in range(count)]
    for source, target in ends:
        beside[source].append(target)
        beside[target].append(source)
    component_of = [-1] * count
    found: list[tuple[list[int], list[int]]] = []
    for start in range(count):
        if component_of[start] >= 0:
            continue
        component_of[start] = len(found)
        waiting = [start]
        while waiting:
            for node in beside[waiting.pop()]:
                if component_of[node] < 0:
                    component_of[node] = len(found)
                    waiting.append(node)
        found.append(([], []))
    for node, component in enumerate(component_of):
        found[component][0].append(node)
    for edge, (source, _) in enumerate(ends):
        found[component_of[source]][1].append(edge)
    return found


def shelved(sizes: Sequence[tuple[float, float]]) -> tuple[list[Point], float, float]:
    """Upper left corners that set rectangles side by side on shelves, and the width and height of it all."""
    area = sum((width + COMPONENT_GAP) * (height + COMPONENT_GAP) for width, height in sizes)
    room = max([1.8 * sqrt(area), *(width for width, _ in sizes)])
    corners: list[Point] = []
    x = y = shelf_height = total_width = 0.0
    for width, height in sizes:
        if x > 0 and x + width > room:
            x, y, shelf_height = 0.0, y + shelf_height + COMPONENT_GAP, 0.0
        corners.append(Point(x, y))
        total_width = max(total_width, x + width)
        shelf_height = max(shelf_height, height)
        x += width + COMPONENT_GAP
    return corners, total_width, y + shelf_height
