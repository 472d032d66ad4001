"""Where the nodes and edges of a picture go: a layered drawing, data flowing from top to bottom.

The method is Sugiyama's, much as Graphviz has it:

1. ``_ranks`` puts each node below its inputs, so that edges are short;
2. ``_layered`` cuts edges that pass through layers into links joined by *bends*. From here on a *vertex* is a
   node or a bend, and each link joins two neighbouring layers;
3. ``_ordered`` permutes each layer to untangle crossing links;
4. ``_placed`` chooses x: nothing overlaps, long edges are straight, nodes stand amid their neighbours;
5. ``_routed`` chooses y, and the points through which each edge is drawn.

Nothing recurses, and each step does a bounded number of near-linear passes. Unconnected parts are laid out
one by one and then set on shelves.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, pairwise
from math import copysign, inf, sqrt
from typing import NamedTuple

from .picture import Picture, PictureEdge, PictureNode

# Sizes, in pixels.
FONT_SIZE = 14.0
LABEL_FONT_SIZE = 10.5  # of an edge's label
LINE_HEIGHT = 1.2  # in font sizes
LABEL_HEIGHT = LINE_HEIGHT * LABEL_FONT_SIZE
LONGEST_LINE = 72  # characters drawn of a longer line; the tooltip has them all
NODE_GAP = 22.0  # between two nodes side by side
LAYER_GAP = 44.0  # between two layers of nodes
LABEL_GAPS = (14.0, 22.0)  # the same if there are labels: above and below a layer of them
SPREAD = 0.12  # of the width of the widest link between two layers is added to their gap
PART_GAP = 36.0  # between unconnected parts
SLOT = 8.0  # half the width of the strip an edge has to itself where it crosses a layer
SLANT = 5.0  # how far an edge strays from the middle of that strip
DEEP = 20.0  # edges begin and end vertically at a node so much lower than others of its layer
LABEL_OFFSET = 6.0  # from an edge to its label

# How much a link wants to be vertical: within a long edge much; below a leaf little, so that parameters hang
# beside the main line of a graph; and more if no other link joins its ends to their layers.
BEND_WEIGHT, NODE_WEIGHT, LEAF_WEIGHT, ONLY_LINK = 8.0, 1.0, 0.4, 2.0
TOLERANCE = 1e-6

# What a large graph may cost. Small ones stop long before, because nothing is left to improve.
MOST_BENDS = 15_000  # longer edges than fit in are drawn straight, over whatever lies between
RANK_WORK = 2_000_000  # nodes and edges to visit
ORDER_WORK, MOST_ORDER_SWEEPS = 16_000, 8  # vertices to visit; sweeps of a small graph
PLACE_WORK, MOST_PLACE_SWEEPS = 8_000, 10
MOST_PUSHES = 4  # of one column in a sweep
MOST_PUSHED = 40  # vertices at once


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


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes and routes in the order of the picture's nodes and edges, from (0, 0) to (width, height)."""

    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]
    width: float
    height: float


def arrange(picture: Picture) -> Layout:
    """Give every node and edge of the picture its place."""
    number = {node.key: n for n, node in enumerate(picture.nodes)}
    ends = [(number[edge.source], number[edge.target]) for edge in picture.edges]
    boxes: dict[int, Box] = {}
    routes: dict[int, Route] = {}
    parts = _connected_parts(len(picture.nodes), ends)
    layouts = [_arrange_part(picture, ends, nodes, edges) for nodes, edges in parts]
    corners, width, height = _shelved([(layout.width, layout.height) for layout in layouts])
    for (nodes, edges), layout, corner in zip(parts, layouts, corners, strict=True):
        boxes.update((n, box.moved(*corner)) for n, box in zip(nodes, layout.boxes, strict=True))
        routes.update((e, route.moved(*corner)) for e, route in zip(edges, layout.routes, strict=True))
    return Layout(
        tuple(boxes[n] for n in range(len(picture.nodes))),
        tuple(routes[e] for e in range(len(picture.edges))),
        width,
        height,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A connected part of a picture; ``ends`` has the numbers in ``nodes`` of each edge's two ends."""

    nodes: Sequence[PictureNode]
    edges: Sequence[PictureEdge]
    ends: Sequence[tuple[int, int]]


def _arrange_part(
    picture: Picture, ends: Sequence[tuple[int, int]], nodes: Sequence[int], edges: Sequence[int]
) -> Layout:
    """The layout of one connected part: of the nodes and edges with these numbers."""
    here = {n: position for position, n in enumerate(nodes)}
    part = _Part(
        [picture.nodes[n] for n in nodes],
        [picture.edges[e] for e in edges],
        [(here[ends[e][0]], here[ends[e][1]]) for e in edges],
    )
    graph = _layered(part, _ranks(part))
    layers = _ordered(graph)
    return _routed(part, graph, layers, _placed(graph, layers))


def _connected_parts(count: int, ends: Sequence[tuple[int, int]]) -> list[tuple[list[int], list[int]]]:
    """The numbers of the nodes and of the edges of each connected part."""
    beside: list[list[int]] = [[] for _ in range(count)]
    for source, target in ends:
        beside[source].append(target)
        beside[target].append(source)
    part_of = [-1] * count
    parts: list[tuple[list[int], list[int]]] = []
    for start in range(count):
        if part_of[start] >= 0:
            continue
        part_of[start] = len(parts)
        waiting = [start]
        while waiting:
            for node in beside[waiting.pop()]:
                if part_of[node] < 0:
                    part_of[node] = len(parts)
                    waiting.append(node)
        parts.append(([], []))
    for node, part in enumerate(part_of):
        parts[part][0].append(node)
    for edge, (source, _) in enumerate(ends):
        parts[part_of[source]][1].append(edge)
    return parts


def _shelved(sizes: Sequence[tuple[float, float]]) -> tuple[list[Point], float, float]:
    """Upper left corners that set rectangles side by side on shelves, and the width and height of it all."""
    area = sum((width + PART_GAP) * (height + PART_GAP) for width, height in sizes)
    room = max([1.8 * sqrt(area), *(width for width, _ in sizes)])
    corners: list[Point] = []
    x = y = shelf_height = total_width = 0.0
    for width, height in sizes:
        if x > 0 and x + width > room:
            x, y, shelf_height = 0.0, y + shelf_height + PART_GAP, 0.0
        corners.append(Point(x, y))
        total_width = max(total_width, x + width)
        shelf_height = max(shelf_height, height)
        x += width + PART_GAP
    return corners, total_width, y + shelf_height


# ---- text --------------------------------------------------------------------------------------------------

# Widths of Helvetica, and so of Arial and Liberation Sans, in thousandths of the font size.
_WIDTHS = {
    character: width
    for width, characters in {
        191: "'",
        222: "ijl",
        260: "|",
        278: " !,./:;I[\\]ft",
        333: "()-`r",
        334: "{}",
        355: '"',
        389: "*",
        469: "^",
        500: "Jcksvxyz",
        556: "#$0123456789?L_abdeghnopqu",
        584: "+<=>~",
        611: "FTZ",
        667: "&ABEKPSVXY",
        722: "CDHNRUw",
        778: "GOQ",
        833: "Mm",
        889: "%",
        944: "W",
        1015: "@",
    }.items()
    for character in characters
}


def text_width(text: str, font_size: float) -> float:
    """How wide the text is in a sans-serif font."""
    width = 0
    for character in unicodedata.normalize("NFD", text):
        if not unicodedata.combining(character):
            wide = unicodedata.east_asian_width(character) in "WF"
            width += _WIDTHS.get(character, 1000 if wide else 620)
    return width * font_size / 1000


def drawn_lines(label: str) -> list[str]:
    """The lines of a node's label as they are drawn: a very long one loses its middle."""
    return [_shortened(line) for line in label.split("\n")]


def drawn_label(label: str) -> str:
    """The label of an edge as it is drawn: on one line."""
    return _shortened(label.replace("\n", " "))


def _shortened(line: str) -> str:
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[:half]} \N{HORIZONTAL ELLIPSIS} {line[-half:]}"


def _label_width(edge: PictureEdge) -> float:
    return text_width(drawn_label(edge.label), LABEL_FONT_SIZE)


def _node_size(node: PictureNode) -> tuple[float, float]:
    """Width and height of a shape that has room for the node's label."""
    lines = drawn_lines(node.label)
    width = max(text_width(line, FONT_SIZE) for line in lines)
    height = len(lines) * LINE_HEIGHT * FONT_SIZE
    if node.shape == "box":
        return max(width + 20.0, 40.0), height + 14.0
    # The corners of the text, which is less high than its lines, must lie within the ellipse.
    ellipse_height = 1.3 * height + 11.0
    inside = sqrt(1.0 - (0.8 * height / ellipse_height) ** 2)
    return max(width / inside + 18.0, 48.0), ellipse_height


# ---- 1. layers ---------------------------------------------------------------------------------------------


def _ranks(part: _Part) -> list[int]:
    """A rank for each node such that every edge points to a larger one and the edges are short in sum.

    This is the network simplex of Gansner et al. (1993) in its plainest form. A spanning tree holds edges of
    length one. Each of them cuts the nodes in two. If more edges run back across the cut than forth, one side
    moves away until one of those has length one, and that takes the place of the tree edge.
    """
    rank = _first_ranks(part)
    tree = _tight_tree(part, rank)
    for _ in range(1 + RANK_WORK // (len(part.nodes) + len(part.ends))):
        gain, leaving, side = _best_cut(part, tree)
        if gain <= 0:
            break
        down = part.ends[leaving][1] in side
        slack, entering = min(
            (rank[target] - rank[source] - 1, e)
            for e, (source, target) in enumerate(part.ends)
            if (source in side) == down and (target in side) != down
        )
        for node in side:
            rank[node] += slack if down else -slack
        tree.remove(leaving)
        tree.add(entering)
    top = min(rank)
    return [value - top for value in rank]


def _first_ranks(part: _Part) -> list[int]:
    """Ranks by the longest path to a node; then the nodes without inputs move down, next to a consumer."""
    count = len(part.nodes)
    targets: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for source, target in part.ends:
        targets[source].append(target)
        missing[target] += 1
    inputs = [node for node in range(count) if not missing[node]]
    rank = [0] * count
    ready = list(inputs)
    for node in ready:  # which grows meanwhile
        for target in targets[node]:
            rank[target] = max(rank[target], rank[node] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    if len(ready) < count:
        keys = [part.nodes[node].key for node in range(count) if missing[node]]
        raise ValueError(
            f"arrange: there is a cycle among or above the nodes {keys[:5]}. A picture is drawn in layers, "
            "which only an acyclic graph has: leave out one edge of the cycle."
        )
    for node in inputs:
        rank[node] = min((rank[target] for target in targets[node]), default=1) - 1
    return rank


def _tight_tree(part: _Part, rank: list[int]) -> set[int]:
    """The edges of a spanning tree, all of length one. Ranks move, many together, where there is none."""
    beside: list[list[tuple[int, int]]] = [[] for _ in part.nodes]
    for e, (source, target) in enumerate(part.ends):
        beside[source].append((target, e))
        beside[target].append((source, e))
    tree: set[int] = set()
    inside = {0}
    waiting = [0]
    while True:
        while waiting:
            node = waiting.pop()
            for other, e in beside[node]:
                if other not in inside and abs(rank[other] - rank[node]) == 1:
                    tree.add(e)
                    inside.add(other)
                    waiting.append(other)
        if len(inside) == len(part.nodes):
            return tree
        length, e = min(
            (rank[target] - rank[source], e)
            for e, (source, target) in enumerate(part.ends)
            if (source in inside) != (target in inside)
        )
        shift = length - 1 if part.ends[e][0] in inside else 1 - length
        for node in inside:
            rank[node] += shift
        waiting = [node for node in part.ends[e] if node in inside]


def _best_cut(part: _Part, tree: set[int]) -> tuple[int, int, set[int]]:
    """The tree edge that most wants to be longer: by how many edges, which it is, the nodes on one side."""
    beside: list[list[tuple[int, int]]] = [[] for _ in part.nodes]
    for e in sorted(tree):
        source, target = part.ends[e]
        beside[source].append((target, e))
        beside[target].append((source, e))
    order: list[int] = []  # depth first, so that a subtree is a slice
    edge_up = [-1] * len(part.nodes)
    waiting = [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        for other, e in beside[node]:
            if e != edge_up[node]:
                edge_up[other] = e
                waiting.append(other)

    size = [1] * len(part.nodes)  # of the subtree below each node
    surplus = [0] * len(part.nodes)  # edges out of that subtree, less edges into it
    for source, target in part.ends:
        surplus[source] += 1
        surplus[target] -= 1
    best = (0, -1, 0)
    for position in reversed(range(1, len(order))):
        node = order[position]
        source, target = part.ends[edge_up[node]]
        best = max(best, (surplus[node] if node == target else -surplus[node], edge_up[node], position))
        parent = source + target - node
        size[parent] += size[node]
        surplus[parent] += surplus[node]
    gain, e, position = best
    return gain, e, set(order[position : position + size[order[position]]])


# ---- 2. bends ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layered:
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


def _layered(part: _Part, rank: Sequence[int]) -> _Layered:
    """Cut the edges in each layer between their ends, and link the pieces."""
    # Labels get layers of their own between those of the nodes, and so do parallel edges, which must part.
    own_bends = any(edge.label for edge in part.edges) or len(set(part.ends)) < len(part.ends)
    step = 2 if own_bends else 1
    sizes = [_node_size(node) for node in part.nodes]
    graph = _Layered(
        layer=[step * value for value in rank],
        above=[[] for _ in sizes],
        below=[[] for _ in sizes],
        left=[(width + NODE_GAP) / 2 for width, _ in sizes],
        right=[(width + NODE_GAP) / 2 for width, _ in sizes],
        height=[height for _, height in sizes],
        weights={},
        chains=[[source, target] for source, target in part.ends],
        gaps=LABEL_GAPS if own_bends else (LAYER_GAP,),
    )
    # Edges out of one node share their bends as far as they go; the last one, with the label, is their own.
    trunks: dict[tuple[int, str], list[int]] = {}
    spans = [graph.layer[target] - graph.layer[source] for source, target in part.ends]
    short_first = sorted(range(len(spans)), key=spans.__getitem__)
    for e, bends in zip(short_first, accumulate(spans[e] - step for e in short_first), strict=True):
        if bends > MOST_BENDS:
            break
        edge, (source, target) = part.edges[e], part.ends[e]
        trunk = trunks.setdefault((source, edge.style), [])
        shared = spans[e] - step
        trunk += (_bend(graph, graph.layer[source] + depth + 1) for depth in range(len(trunk), shared))
        own = [_bend(graph, graph.layer[target] - 1, _label_width(edge))] if own_bends else []
        graph.chains[e] = [source, *trunk[:shared], *own, target]

    leaves = _leaves(part)
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
    return graph


def _bend(graph: _Layered, layer: int, label_width: float = 0.0) -> int:
    """A new vertex, with room for a label."""
    graph.layer.append(layer)
    graph.above.append([])
    graph.below.append([])
    graph.left.append(SLOT)
    graph.right.append(SLOT + LABEL_OFFSET + label_width if label_width else SLOT)
    graph.height.append(LABEL_HEIGHT)
    return len(graph.layer) - 1


def _leaves(part: _Part) -> set[int]:
    """The nodes without inputs that are used once, such as most parameters and constants."""
    uses = [0] * len(part.nodes)
    for source, _ in part.ends:
        uses[source] += 1
    computed = {target for _, target in part.ends}
    return {n for n, number in enumerate(uses) if number == 1 and n not in computed}


# ---- 3. order within layers --------------------------------------------------------------------------------


def _ordered(graph: _Layered) -> list[list[int]]:
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


def _first_order(graph: _Layered) -> list[list[int]]:
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


def _places(graph: _Layered, layers: Sequence[Sequence[int]]) -> list[int]:
    """The position of each vertex within its layer."""
    place = [0] * len(graph.layer)
    for layer in layers:
        for position, vertex in enumerate(layer):
            place[vertex] = position
    return place


def _crossings(graph: _Layered, layers: Sequence[Sequence[int]]) -> int:
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


def _swept(graph: _Layered, layers: Sequence[Sequence[int]], downwards: bool) -> list[list[int]]:
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


def _swapped(graph: _Layered, layers: Sequence[Sequence[int]], ties: bool) -> list[list[int]]:
    """Exchange neighbours within a layer where that undoes more crossings than it makes.

    With ``ties``, also exchange, once, those for which it makes no difference: that leads out of dead ends.
    """
    place = _places(graph, layers)
    result = [list(layer) for layer in layers]
    for layer in result:
        ends = [
            [sorted(place[other] for other in side[vertex]) for side in (graph.above, graph.below)]
            for vertex in layer
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


# ---- 4. x positions ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """What an x depends on besides the others: the graph, and who is next to whom."""

    graph: _Layered
    near: list[list[int]]  # the neighbours of each vertex, above and below
    beside: dict[int, list[int]]  # the vertex to the right (1) or to the left (-1) of each, or -1 for none


def _placed(graph: _Layered, layers: Sequence[Sequence[int]]) -> list[float]:
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


def _pushed(
    rows: _Rows, x: Sequence[float], column: Sequence[list[int]], start: list[int], direction: int
) -> set[int]:
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


# ---- 5. y positions and routes -----------------------------------------------------------------------------


def _routed(part: _Part, graph: _Layered, layers: Sequence[Sequence[int]], x: Sequence[float]) -> Layout:
    """Boxes for the nodes and routes for the edges, in a frame that just holds them."""
    band = [max(graph.height[vertex] for vertex in layer) for layer in layers]
    level = _levels(graph, layers, x, band)
    place = [Point(*xy) for xy in zip(x, (level[layer] for layer in graph.layer), strict=True)]
    boxes = [Box(centre, *_node_size(node)) for centre, node in zip(place, part.nodes, strict=False)]
    routes: list[Route] = []
    for chain, (source, target) in zip(graph.chains, part.ends, strict=True):
        start = _end(boxes[source], part.nodes[source].shape, place[chain[1]], band[graph.layer[source]])
        end = _end(boxes[target], part.nodes[target].shape, place[chain[-2]], band[graph.layer[target]])
        points = start
        label = Point(*((a + b) / 2 for a, b in zip(start[0], end[0], strict=True)))
        for before, bend, after in zip(chain, chain[1:], chain[2:], strict=False):
            half = band[graph.layer[bend]] / 2
            slant = _slant(place[before], place[bend], place[after], half)
            points += [place[bend].moved(-slant, -half), place[bend].moved(slant, half)]
            label = place[bend].moved(abs(slant), 0.0)  # in the end that of the last bend
        points += reversed(end)
        routes.append(Route(tuple(points), label.moved(LABEL_OFFSET, 0.0)))
    return _framed(part, boxes, routes)


def _levels(
    graph: _Layered, layers: Sequence[Sequence[int]], x: Sequence[float], band: Sequence[float]
) -> list[float]:
    """The y of each layer. Layers stand further apart if a link between them goes far sideways."""
    levels: list[float] = []
    y = gap = 0.0
    for layer, height, least in zip(layers, band, cycle(graph.gaps), strict=False):
        y += gap + height / 2
        levels.append(y)
        y += height / 2
        widths = (abs(x[lower] - x[upper]) for upper in layer for lower in graph.below[upper])
        gap = least + min(SPREAD * max(widths, default=0.0), 2 * LAYER_GAP)
    return levels


def _slant(before: Point, bend: Point, after: Point, half: float) -> float:
    """How far right of a bend an edge leaves its layer, and how far left it enters: 0 where it turns."""
    arriving = (bend.x - before.x) / (bend.y - before.y)
    leaving = (after.x - bend.x) / (after.y - bend.y)
    if arriving * leaving <= 0:
        return 0.0
    return copysign(min(abs(arriving) * half, abs(leaving) * half, SLANT), leaving)


def _end(box: Box, shape: str, toward: Point, band: float) -> list[Point]:
    """Where an edge begins, or ends, and how it clears the higher nodes beside."""
    border = _border(box, shape, toward)
    if band - box.height < DEEP:
        return [border]
    return [border, Point(border.x, box.centre.y + copysign(band / 2, toward.y - box.centre.y))]


def _border(box: Box, shape: str, toward: Point) -> Point:
    """Where an edge to the middle of a box meets its upper or lower side."""
    dx, dy = toward.x - box.centre.x, toward.y - box.centre.y
    half_width, half_height = box.width / 2, box.height / 2
    if shape == "box":
        x = half_height * dx / abs(dy)
    else:
        x = dx / sqrt((dx / half_width) ** 2 + (dy / half_height) ** 2)
    x = min(max(x, -0.75 * half_width), 0.75 * half_width)
    y = half_height if shape == "box" else half_height * sqrt(1.0 - (x / half_width) ** 2)
    return box.centre.moved(x, copysign(y, dy))


def _framed(part: _Part, boxes: Sequence[Box], routes: Sequence[Route]) -> Layout:
    """The layout moved to start at (0, 0), and its size."""
    left = [box.centre.x - box.width / 2 for box in boxes]
    right = [box.centre.x + box.width / 2 for box in boxes]
    for edge, route in zip(part.edges, routes, strict=True):
        left += (point.x for point in route.points)
        right += (point.x for point in route.points)
        if edge.label:
            right.append(route.label.x + _label_width(edge))
    dx = -min(left)
    return Layout(
        tuple(box.moved(dx, 0.0) for box in boxes),
        tuple(route.moved(dx, 0.0) for route in routes),
        max(right) + dx,
        max(box.centre.y + box.height / 2 for box in boxes),
    )
