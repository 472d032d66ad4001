"""Where the nodes and edges of a picture go: a layered drawing, data flowing from top to bottom.

The method is that of Sugiyama, Tagawa and Toda (1981), much as Graphviz has it. Each step is a module:

1. ``components`` takes the picture apart into what is connected;
2. ``layering`` puts each node below its inputs, so that edges are short;
3. ``bends`` cuts edges that pass through layers into links, each of which joins two neighbouring layers;
4. ``ordering`` permutes each layer to untangle crossing links;
5. ``coordinates`` chooses x and y: nothing overlaps, long edges are straight, nodes stand amid their neighbours;
6. ``routing`` chooses the points through which each edge is drawn.

Nothing recurses, and each step does a bounded number of near-linear passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .bends import layered
from .components import Component, components, shelved
from .coordinates import placed
from .font import label_width
from .geometry import Box, Route
from .layering import ranks
from .ordering import ordered
from .picture import Picture
from .routing import routed
from .shapes import node_size


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes and routes in the order of the picture's nodes and edges, from (0, 0) to (width, height)."""

    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]
    width: float
    height: float


def arrange(picture: Picture) -> Layout:
    """Give every node and edge of the picture its place."""
    parts = components(picture)
    layouts = [_arranged(part) for part in parts]
    corners, width, height = shelved([(layout.width, layout.height) for layout in layouts])
    boxes: dict[int, Box] = {}
    routes: dict[int, Route] = {}
    for part, layout, corner in zip(parts, layouts, corners, strict=True):
        boxes.update((n, box.moved(*corner)) for n, box in zip(part.node_numbers, layout.boxes, strict=True))
        routes.update((e, route.moved(*corner)) for e, route in zip(part.edge_numbers, layout.routes, strict=True))
    return Layout(
        tuple(boxes[n] for n in range(len(picture.nodes))),
        tuple(routes[e] for e in range(len(picture.edges))),
        width,
        height,
    )


def _arranged(component: Component) -> Layout:
    """The layout of one component."""
    graph = layered(component, ranks(component))
    layers = ordered(graph)
    places = placed(graph, layers)
    boxes = [Box(place, *node_size(node)) for place, node in zip(places, component.nodes, strict=False)]
    return _framed(component, boxes, routed(component, graph, boxes, places))


def _framed(component: Component, boxes: Sequence[Box], routes: Sequence[Route]) -> Layout:
    """The layout moved to start at (0, 0), and its size."""
    left = [box.centre.x - box.width / 2 for box in boxes]
    right = [box.centre.x + box.width / 2 for box in boxes]
    for edge, route in zip(component.edges, routes, strict=True):
        left += (point.x for point in route.points)
        right += (point.x for point in route.points)
        if edge.label:
            right.append(route.label.x + label_width(edge.label))
    dx = -min(left)
    return Layout(
        tuple(box.moved(dx, 0.0) for box in boxes),
        tuple(route.moved(dx, 0.0) for route in routes),
        max(right) + dx,
        max(box.centre.y + box.height / 2 for box in boxes),
    )
