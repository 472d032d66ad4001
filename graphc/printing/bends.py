"""Links between neighbouring layers: an edge that passes through layers is cut, and *bends* join its pieces.

From here on a *vertex* is a node or a bend, and a *link* joins two vertices of neighbouring layers. Bends are the
dummy vertices of Sugiyama, Tagawa and Toda ("Methods for visual understanding of hierarchical system structures",
IEEE Transactions on Systems, Man, and Cybernetics 11(2), 1981). That links between bends weigh most, to make long
edges straight, is from Gansner, Koutsofios, North and Vo (1993, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from .components import Component
from .font import LABEL_HEIGHT, label_width
from .shapes import node_size

# Sizes, in pixels.
NODE_GAP = 22.0  # between two nodes side by side
LAYER_GAP = 44.0  # between two layers of nodes
LABEL_GAPS = (14.0, 22.0)  # the same if there are labels: above and below a layer of them
SLOT = 8.0  # half the width of the strip an edge has to itself where it crosses a layer
LABEL_OFFSET = 6.0  # from an edge to its label

# How much a link wants to be vertical: within a long edge much; below a leaf little, so that parameters hang
# beside the main line of a graph; and more if no other link joins its ends to their layers.
BEND_WEIGHT, NODE_WEIGHT, LEAF_WEIGHT, ONLY_LINK = 8.0, 1.0, 0.4, 2.0
MOST_BENDS = 15_000  # longer edges than fit in are drawn straight, over whatever lies between


@dataclass(frozen=True, slots=True)
class LayeredGraph:
    """A graph whose links join neighbouring layers. Vertices are numbers: first the nodes, then the bends."""

    layer: list[int]
    above: list[list[int]]
    below: list[list[int]]
    left: list[float]  # the room a vertex needs to the left of its x
    right: list[float]
    height: list[float]
    weights: dict[tuple[int, int], float]  # how much a link wants to be vertical, by its ends in either order
    chains: list[list[int]]  # the vertices on each edge, from its source to its target
    gaps: tuple[float, ...]  # between layers, in turn


def layered(component: Component, rank: Sequence[int]) -> LayeredGraph:
    """Cut the edges in each layer between their ends, and link the pieces."""
    # Labels get layers of their own between those of the nodes, and so do parallel edges, which must part.
    own_layers = any(edge.label for edge in component.edges) or len(set(component.ends)) < len(component.ends)
    step = 2 if own_layers else 1
    sizes = [node_size(node) for node in component.nodes]
    graph = LayeredGraph(
        layer=[step * value for value in rank],
        above=[[] for _ in sizes],
        below=[[] for _ in sizes],
        left=[(width + NODE_GAP) / 2 for width, _ in sizes],
        right=[(width + NODE_GAP) / 2 for width, _ in sizes],
        height=[height for _, height in sizes],
        weights={},
        chains=[[source, target] for source, target in component.ends],
        gaps=LABEL_GAPS if own_layers else (LAYER_GAP,),
    )
    _bend_edges(graph, component, step)
    _link(graph, _leaves(component))
    return graph


def layer_heights(graph: LayeredGraph) -> list[float]:
    """The height of each layer: that of its highest vertex."""
    heights = [0.0] * (max(graph.layer) + 1)
    for layer, height in zip(graph.layer, graph.height, strict=True):
        heights[layer] = max(heights[layer], height)
    return heights


def _bend_edges(graph: LayeredGraph, component: Component, step: int) -> None:
    """Put bends on the edges, where ``step`` layers lie between one rank and the next.

    Edges out of one node share their bends as far as they go. If step is 2, the last one, which has the label,
    is an edge's own.
    """
    trunks: dict[tuple[int, str], list[int]] = {}
    spans = [graph.layer[target] - graph.layer[source] for source, target in component.ends]
    short_first = sorted(range(len(spans)), key=spans.__getitem__)
    for e, bends in zip(short_first, accumulate(spans[e] - step for e in short_first), strict=True):
        if bends > MOST_BENDS:
            break
        edge, (source, target) = component.edges[e], component.ends[e]
        trunk = trunks.setdefault((source, edge.style), [])
        shared = spans[e] - step
        trunk += (_bend(graph, graph.layer[source] + depth + 1) for depth in range(len(trunk), shared))
        own = [_bend(graph, graph.layer[target] - 1, label_width(edge.label))] if step == 2 else []
        graph.chains[e] = [source, *trunk[:shared], *own, target]


def _link(graph: LayeredGraph, leaves: set[int]) -> None:
    """Link the neighbours on each edge that lie in neighbouring layers, and weigh the links."""
    for chain in graph.chains:
        for upper, lower in pairwise(chain):
            if (upper, lower) in graph.weights or graph.layer[lower] - graph.layer[upper] > 1:
                continue
            graph.below[upper].append(lower)
            graph.above[lower].append(upper)
            inner = upper != chain[0] and lower != chain[-1]
            weight = LEAF_WEIGHT if chain[0] in leaves else BEND_WEIGHT if inner else NODE_WEIGHT
            graph.weights[upper, lower] = graph.weights[lower, upper] = weight
    for upper, lower in graph.weights:
        if graph.below[upper] == [lower] and graph.above[lower] == [upper]:
            graph.weights[upper, lower] *= ONLY_LINK
            graph.weights[lower, upper] *= ONLY_LINK


def _bend(graph: LayeredGraph, layer: int, label_width: float = 0.0) -> int:
    """A new vertex, with room for a label."""
    graph.layer.append(layer)
    graph.above.append([])
    graph.below.append([])
    graph.left.append(SLOT)
    graph.right.append(SLOT + LABEL_OFFSET + label_width if label_width else SLOT)
    graph.height.append(LABEL_HEIGHT)
    return len(graph.layer) - 1


def _leaves(component: Component) -> set[int]:
    """The nodes without inputs that are used once, such as most parameters and constants."""
    uses = [0] * len(component.nodes)
    for source, _ in component.ends:
        uses[source] += 1
    computed = {target for _, target in component.ends}
    return {n for n, number in enumerate(uses) if number == 1 and n not in computed}
