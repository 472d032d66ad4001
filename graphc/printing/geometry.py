"""Places in a drawing: points, the boxes of nodes and the routes of edges; y points down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Point(NamedTuple):
    """A place in the drawing; y points down."""

    x: float
    y: float

    def moved(self, dx: float, dy: float) -> Point:
        """The point ``dx`` to the right and ``dy`` down."""
        return Point(self.x + dx, self.y + dy)


@dataclass(frozen=True, slots=True)
class Box:
    """The place of a node: its centre and its size."""

    centre: Point
    width: float
    height: float

    def moved(self, dx: float, dy: float) -> Box:
        """The box ``dx`` to the right and ``dy`` down."""
        return Box(self.centre.moved(dx, dy), self.width, self.height)


@dataclass(frozen=True, slots=True)
class Route:
    """The way of an edge: points with ever larger y, and the left end of the middle of its label."""

    points: tuple[Point, ...]
    label: Point

    def moved(self, dx: float, dy: float) -> Route:
        """The route ``dx`` to the right and ``dy`` down."""
        return Route(tuple(point.moved(dx, dy) for point in self.points), self.label.moved(dx, dy))
