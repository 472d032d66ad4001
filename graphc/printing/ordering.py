"""The order of the vertices within each layer, such that few links cross.

Layers are sorted by the means of their neighbours (barycentres), down and up in turn, after Sugiyama, Tagawa and
Toda (1981). The first order by a search in depth, the exchange of neighbours and keeping the best order found are
those of Gansner, Koutsofios, North and Vo (1993, section 3). Crossings are counted by insertion into a sorted list
(Barth, Jünger and Mutzel, "Simple and efficient bilayer cross counting", 2002).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import pairwise

from .bends import LayeredGraph

# What a large graph may cost. Small ones stop long before, because nothing is left to improve.
ORDER_WORK, MOST_ORDER_SWEEPS = 16_000, 8  # vertices to visit; sweeps of a small graph


def ordered(graph: LayeredGraph) -> list[list[int]]:
    """The vertices of each layer from left to right, such that few links cross: the best order found."""
    layers = best = _first_order(graph)
    fewest = _crossings(graph, best)
    sweeps = min(MOST_ORDER_SWEEPS, 2 + ORDER_WORK // len(graph.layer))
    for sweep in range(2 * sweeps):
        if not fewest:
            break
        if sweep < sweeps:
            layers = _swapped(graph, _swept(graph, layers, downwards=sweep % 2 == 0), ties=True)
        else:
            layers = _swapped(graph, best if sweep == sweeps else layers, ties=sweep % 2 == 0)
        crossings = _crossings(graph, layers)
        if crossings < fewest:
            best, fewest = layers, crossings
    return best


def _first_order(graph: LayeredGraph) -> list[list[int]]:
    """Layers filled depth first, from the outputs up: trees come out untangled, operands in their order."""
    layers: list[list[int]] = [[] for _ in range(max(graph.layer) + 1)]
    seen: set[int] = set()
    stack = [vertex for vertex in reversed(range(len(graph.layer))) if not graph.below[vertex]]
    while stack:
        vertex = stack.pop()
        if vertex < 0:  # all that lies above it has its place
            layers[graph.layer[~vertex]].append(~vertex)
        elif vertex not in seen:
            seen.add(vertex)
            stack.append(~vertex)
            stack.extend(reversed(graph.above[vertex]))
    return layers


def _places(graph: LayeredGraph, layers: Sequence[Sequence[int]]) -> list[int]:
    """The position of each vertex within its layer."""
    place = [0] * len(graph.layer)
    for layer in layers:
        for position, vertex in enumerate(layer):
            place[vertex] = position
    return place


def _crossings(graph: LayeredGraph, layers: Sequence[Sequence[int]]) -> int:
    """How many pairs of links cross."""
    place = _places(graph, layers)
    crossings = 0
    for layer in layers:
        ends: list[int] = []  # of the links met so far, sorted
        for vertex in layer:
            new = [place[lower] for lower in graph.below[vertex]]
            crossings += sum(len(ends) - bisect_right(ends, end) for end in new)
            for end in new:
                insort(ends, end)
    return crossings


def _swept(graph: LayeredGraph, layers: Sequence[Sequence[int]], downwards: bool) -> list[list[int]]:
    """Sort each layer by the mean place of its neighbours in the layer sorted before."""
    neighbours = graph.above if downwards else graph.below
    place = _places(graph, layers)
    result = [list(layer) for layer in layers]
    for layer in result if downwards else reversed(result):
        means = {
            vertex: sum(place[other] for other in neighbours[vertex]) / len(neighbours[vertex])
            if neighbours[vertex]
            else float(place[vertex])
            for vertex in layer
        }
        layer.sort(key=means.__getitem__)  # stable, so that ties keep their order
        for position, vertex in enumerate(layer):
            place[vertex] = position
    return result


def _swapped(graph: LayeredGraph, layers: Sequence[Sequence[int]], ties: bool) -> list[list[int]]:
    """Exchange neighbours within a layer where that undoes more crossings than it makes.

    With ``ties``, also exchange, once, those for which it makes no difference: that leads out of dead ends.
    """
    place = _places(graph, layers)
    result = [list(layer) for layer in layers]
    for layer in result:
        ends = [
            [sorted(place[other] for other in side[vertex]) for side in (graph.above, graph.below)] for vertex in layer
        ]
        enough = 0 if ties else 1
        improved = True
        while improved:
            improved = False
            for left, right in pairwise(range(len(layer))):
                now = sum(map(_inversions, ends[left], ends[right]))
                gain = now - sum(map(_inversions, ends[right], ends[left])) if now else -1
                if gain >= enough:
                    layer[left], layer[right] = layer[right], layer[left]
                    ends[left], ends[right] = ends[right], ends[left]
                    improved = improved or gain > 0
            enough = 1
        for position, vertex in enumerate(layer):
            place[vertex] = position
    return result


def _inversions(first: Sequence[int], second: Sequence[int]) -> int:
    """How many pairs have the larger number in the first list; the second is sorted."""
    return sum(bisect_left(second, number) for number in first)
