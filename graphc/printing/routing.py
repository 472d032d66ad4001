"""The way of each edge: from the border of one node, through a strip of its own in each layer, to that of another.

`svg` draws a smooth curve through these points.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign

from .bends import LABEL_OFFSET, NODE_GAP, LayeredGraph, layer_heights
from .components import Component
from .geometry import Box, Point, Route
from .shapes import border_point

SLANT = 5.0  # how far an edge strays from the middle of that strip
DEEP = 20.0  # edges begin and end vertically at a node so much lower than others of its layer, or where these are near
FLATTEST_END = 1.8  # how far sideways, for each unit down, an edge may leave or enter a node


def routed(component: Component, graph: LayeredGraph, boxes: Sequence[Box], places: Sequence[Point]) -> list[Route]:
    """A route for each edge between the boxes of the nodes, through the places of its bends."""
    band = layer_heights(graph)
    routes: list[Route] = []
    for chain, (source, target) in zip(graph.chains, component.ends, strict=True):
        way = [places[vertex] for vertex in chain]
        start = _end(boxes[source], component.nodes[source].shape, way[1], band[graph.layer[source]])
        end = _end(boxes[target], component.nodes[target].shape, way[-2], band[graph.layer[target]])
        points = list(start)
        label = Point(*((a + b) / 2 for a, b in zip(start[0], end[0], strict=True)))
        for vertex, before, bend, after in zip(chain[1:], way, way[1:], way[2:], strict=False):
            half = band[graph.layer[vertex]] / 2
            slant = _slant(before, bend, after, half)
            points += [bend.moved(-slant, -half), bend.moved(slant, half)]
            label = bend.moved(abs(slant), 0.0)  # in the end that of the last bend
        points += reversed(end)
        routes.append(Route(tuple(points), label.moved(LABEL_OFFSET, 0.0)))
    return routes


def _slant(before: Point, bend: Point, after: Point, half: float) -> float:
    """How far right of a bend an edge leaves its layer, and how far left it enters: 0 where it turns."""
    arriving = (bend.x - before.x) / (bend.y - before.y)
    leaving = (after.x - bend.x) / (after.y - bend.y)
    if arriving * leaving <= 0:
        return 0.0
    return copysign(min(abs(arriving) * half, abs(leaving) * half, SLANT), leaving)


def _end(box: Box, shape: str, toward: Point, band: float) -> list[Point]:
    """Where an edge begins, or ends, and how it clears the higher nodes beside."""
    point = border_point(box, shape, toward)
    drop = band / 2 - abs(point.y - box.centre.y)
    room = box.width / 2 - abs(point.x - box.centre.x) + NODE_GAP
    if band - box.height < DEEP and _stray(point, toward, drop) < room:
        return [point]
    return [point, point.moved(0.0, copysign(max(drop, DEEP / 2), toward.y - box.centre.y))]


def _stray(point: Point, toward: Point, drop: float) -> float:
    """About how far sideways the curve of `svg` goes in the first ``drop`` units of height.

    It is a cubic that begins with a limited slope, and bends from there to the slope of the line.
    """
    height = abs(toward.y - point.y)
    slope = abs(toward.x - point.x) / height
    return drop * (min(slope, FLATTEST_END) + 3 * slope * drop / height)
