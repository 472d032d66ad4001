"""The place of each vertex: x, where nothing overlaps and links are steep, and y, the same for a whole layer.

The weighted sum of the links' widths is to be small, as in Gansner, Koutsofios, North and Vo (1993, section 4).
They solve this by network simplex. Here aligned vertices move together, downhill, until no move helps or the work
allowed is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, pairwise
from math import inf

from .bends import LAYER_GAP, LayeredGraph, layer_heights
from .geometry import Point

SPREAD = 0.12  # of the width of the widest link between two layers is added to their gap
TOLERANCE = 1e-6  # of a pixel, or of a weight

# What a large graph may cost. Small ones stop long before, because nothing is left to improve.
PLACE_WORK, MOST_PLACE_SWEEPS = 8_000, 10  # vertices to visit; sweeps of a small graph
MOST_PUSHES = 4  # of one column in a sweep
MOST_PUSHED = 40  # vertices at once


def placed(graph: LayeredGraph, layers: Sequence[Sequence[int]]) -> list[Point]:
    """The place of each vertex, that is of its centre."""
    x = _x_positions(graph, layers)
    y = _layer_positions(graph, layers, x)
    return [Point(x[vertex], y[layer]) for vertex, layer in enumerate(graph.layer)]


@dataclass(frozen=True, slots=True)
class _Rows:
    """What an x depends on besides the others: the graph, and who is next to whom."""

    graph: LayeredGraph
    near: list[list[int]]  # the neighbours of each vertex, above and below
    beside: dict[int, list[int]]  # the vertex to the right (1) or to the left (-1) of each, or -1 for none


def _x_positions(graph: LayeredGraph, layers: Sequence[Sequence[int]]) -> list[float]:
    """An x for each vertex: nothing overlaps, and the weighted sum of the links' widths is small.

    The layers start packed around their middle. Then *columns* move sideways. A column is what vertical links
    join. It moves as one, for a part that moved alone would bend the line, and pushes the columns it touches.
    """
    x = [0.0] * len(graph.layer)
    beside = {1: [-1] * len(x), -1: [-1] * len(x)}
    for layer in layers:
        steps = (graph.right[left] + graph.left[right] for left, right in pairwise(layer))
        offsets = list(accumulate(steps, initial=0.0))
        for vertex, offset in zip(layer, offsets, strict=True):
            x[vertex] = offset - offsets[-1] / 2
        for left, right in pairwise(layer):
            beside[1][left], beside[-1][right] = right, left
    near = [above + below for above, below in zip(graph.above, graph.below, strict=True)]
    rows = _Rows(graph, near, beside)
    for _ in range(min(MOST_PLACE_SWEEPS, 2 + PLACE_WORK // len(x))):
        if not _improved(rows, x):
            break
    _centre(rows, x)
    return x


def _improved(rows: _Rows, x: list[float]) -> bool:
    """Move columns as long as links become less wide in sum. Did any move?"""
    moved = False
    column = _columns(rows, x)
    for start in _distinct(column):
        for direction in (1, -1):
            for _ in range(MOST_PUSHES):
                moving = _pushed(rows, x, column, start, direction)
                gain, step = _prospect(rows, x, moving, direction)
                if gain < TOLERANCE:
                    break
                moved = True
                for vertex in moving:
                    x[vertex] += direction * step
    return moved


def _centre(rows: _Rows, x: list[float]) -> None:
    """Move columns that might as well stand elsewhere to the middle of where they might."""
    column = _columns(rows, x)
    for start in _distinct(column):
        moving = _pushed(rows, x, column, start, 1)
        right, left = (
            step if abs(gain) < TOLERANCE else 0.0
            for gain, step in (_prospect(rows, x, moving, 1), _prospect(rows, x, moving, -1))
        )
        if max(left, right) < inf:
            for vertex in moving:
                x[vertex] += (right - left) / 2


def _columns(rows: _Rows, x: Sequence[float]) -> list[list[int]]:
    """For each vertex the column that it is in."""
    none: list[int] = []
    column = [none] * len(x)
    for start in range(len(x)):
        if column[start] is none:
            column[start] = members = [start]
            for vertex in members:  # which grows meanwhile
                for other in rows.near[vertex]:
                    if column[other] is none and abs(x[other] - x[vertex]) < TOLERANCE:
                        column[other] = members
                        members.append(other)
    return column


def _distinct(column: Sequence[list[int]]) -> list[list[int]]:
    """Each column once."""
    return [members for vertex, members in enumerate(column) if members[0] == vertex]


def _pushed(rows: _Rows, x: Sequence[float], column: Sequence[list[int]], start: list[int], direction: int) -> set[int]:
    """The vertices that must move if the column ``start`` does, or none if they are too many to try."""
    moving = set(start)
    waiting = list(start)
    for vertex in waiting:  # which grows meanwhile
        if len(moving) > MOST_PUSHED:
            return set()
        other = rows.beside[direction][vertex]
        if other >= 0 and other not in moving and _gap(rows, x, vertex, direction) < TOLERANCE:
            moving.update(column[other])
            waiting += column[other]
    return moving


def _gap(rows: _Rows, x: Sequence[float], vertex: int, direction: int) -> float:
    """How far a vertex may move before it touches the next one in its layer."""
    other = rows.beside[direction][vertex]
    if other < 0:
        return inf
    left, right = (vertex, other) if direction > 0 else (other, vertex)
    return x[right] - rows.graph.left[right] - x[left] - rows.graph.right[left]


def _prospect(rows: _Rows, x: Sequence[float], moving: set[int], direction: int) -> tuple[float, float]:
    """How much less wide links become per pixel that these vertices move, and how many pixels that holds."""
    gain = 0.0
    step = inf
    for vertex in moving:
        if rows.beside[direction][vertex] not in moving:
            step = min(step, _gap(rows, x, vertex, direction))
        for other in rows.near[vertex]:
            if other not in moving:
                distance = (x[other] - x[vertex]) * direction
                if distance > TOLERANCE:
                    gain += rows.graph.weights[vertex, other]
                    step = min(step, distance)
                else:
                    gain -= rows.graph.weights[vertex, other]
    return gain, step


def _layer_positions(graph: LayeredGraph, layers: Sequence[Sequence[int]], x: Sequence[float]) -> list[float]:
    """The y of each layer. Layers stand further apart if a link between them goes far sideways."""
    positions: list[float] = []
    y = gap = 0.0
    for layer, height, least in zip(layers, layer_heights(graph), cycle(graph.gaps), strict=False):
        y += gap + height / 2
        positions.append(y)
        y += height / 2
        widths = (abs(x[lower] - x[upper]) for upper in layer for lower in graph.below[upper])
        gap = least + min(SPREAD * max(widths, default=0.0), 2 * LAYER_GAP)
    return positions
