"""Draw a picture as a standalone SVG, with nothing but the standard library.

Colours and fonts are attributes of the elements and arrow heads are plain paths: a style sheet, or a marker
with an id, would leak into the other drawings of a notebook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from math import hypot

from .font import FONT_SIZE, LABEL_FONT_SIZE, LINE_HEIGHT, drawn_label, drawn_lines, text_width
from .geometry import Box, Point, Route
from .layout import arrange
from .picture import EDGE_COLOURS, NODE_COLOURS, Picture, PictureEdge, PictureNode
from .routing import FLATTEST_END

FONTS = "Helvetica, Arial, 'Liberation Sans', sans-serif"
TEXT_COLOUR = "#1a1a1a"
BACKGROUND = "#ffffff"
MARGIN = 16.0
TITLE_FONT_SIZE = 15.0
TITLE_SPACE = 32.0
BASELINE = 0.35  # from the middle of a line of text down to its baseline, in font sizes
ARROW_LENGTH, ARROW_WIDTH = 9.0, 7.0


def render_svg(picture: Picture) -> str:
    """The picture as the text of an SVG file."""
    return "\n".join(_elements(picture)) + "\n"


def _elements(picture: Picture) -> Iterator[str]:
    """The lines of the file. Nodes cover the ends of edges, and no line covers a text."""
    layout = arrange(picture)
    top = MARGIN + (TITLE_SPACE if picture.title else 0.0)
    title_width = 1.1 * text_width(picture.title, TITLE_FONT_SIZE)  # which is bold
    width = max(layout.width, title_width) + 2 * MARGIN
    height = top + layout.height + MARGIN
    size = f'width="{_number(width)}" height="{_number(height)}"'
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {_number(width)} {_number(height)}" '
        f'style="max-width: 100%; height: auto" font-family="{FONTS}" text-anchor="middle">'
    )
    if picture.title:
        yield f"<title>{_escaped(picture.title)}</title>"
    yield f'<rect {size} rx="8" fill="{BACKGROUND}"/>'
    if picture.title:
        middle = Point(width / 2, MARGIN + TITLE_FONT_SIZE / 2)
        yield _text(picture.title, middle, TITLE_FONT_SIZE, f'font-weight="bold" fill="{TEXT_COLOUR}"')

    left = (width - layout.width) / 2
    boxes = [box.moved(left, top) for box in layout.boxes]
    routes = [route.moved(left, top) for route in layout.routes]
    labels = {node.key: node.label for node in picture.nodes}
    for edge, route in zip(picture.edges, routes, strict=True):
        tooltip = f"{labels[edge.source]} \N{RIGHTWARDS ARROW} {labels[edge.target]}"
        yield from _drawn_edge(edge, route, tooltip)
    for node, box in zip(picture.nodes, boxes, strict=True):
        yield from _drawn_node(node, box)
    for edge, route in zip(picture.edges, routes, strict=True):
        if edge.label:
            paint = f'text-anchor="start" fill="{EDGE_COLOURS[edge.style]}"'
            yield _text(drawn_label(edge.label), route.label, LABEL_FONT_SIZE, paint)
    yield "</svg>"


def _drawn_edge(edge: PictureEdge, route: Route, tooltip: str) -> Iterator[str]:
    """A smooth line and its arrow head."""
    colour = EDGE_COLOURS[edge.style]
    slopes = _slopes(route.points)
    tip, direction = route.points[-1], slopes[-1]
    scale = ARROW_LENGTH / hypot(direction, 1.0)
    base = tip.moved(-direction * scale, -scale)
    side = Point(scale, -direction * scale)  # across the arrow, as long as the arrow itself
    half = ARROW_WIDTH / ARROW_LENGTH / 2
    corners = (tip, base.moved(half * side.x, half * side.y), base.moved(-half * side.x, -half * side.y))
    yield f"<g><title>{_escaped(tooltip)}</title>"
    line = _curve((*route.points[:-1], base), slopes)
    yield f'<path d="{line}" fill="none" stroke="{colour}" stroke-width="1.2"/>'
    yield f'<path d="M{" L".join(map(_pair, corners))} Z" fill="{colour}"/></g>'


def _slopes(points: Sequence[Point]) -> list[float]:
    """dx/dy of a curve at each of its points.

    With a harmonic mean of the slopes on both sides, and 0 at a turning point, a cubic never overshoots its
    points (Fritsch and Butland, 1984), so an edge stays in the strip that the layout keeps free for it.
    """
    heights = [lower.y - upper.y for upper, lower in pairwise(points)]
    chords = [(lower.x - upper.x) / (lower.y - upper.y) for upper, lower in pairwise(points)]
    slopes = [chords[0]]
    for (above, below), (chord, next_chord) in zip(pairwise(heights), pairwise(chords), strict=True):
        if chord * next_chord <= 0:
            slopes.append(0.0)
        else:
            near, far = 2 * below + above, below + 2 * above
            slopes.append((near + far) / (near / chord + far / next_chord))
    slopes.append(chords[-1])
    for end in (0, -1):
        slopes[end] = min(max(slopes[end], -FLATTEST_END), FLATTEST_END)
    return slopes


def _curve(points: Sequence[Point], slopes: Sequence[float]) -> str:
    """The path through the points with these slopes, as cubic Bezier pieces."""
    pieces = [f"M{_pair(points[0])}"]
    for (upper, lower), (slope, next_slope) in zip(pairwise(points), pairwise(slopes), strict=True):
        third = (lower.y - upper.y) / 3
        controls = (upper.moved(slope * third, third), lower.moved(-next_slope * third, -third), lower)
        pieces.append("C" + " ".join(map(_pair, controls)))
    return " ".join(pieces)


def _drawn_node(node: PictureNode, box: Box) -> Iterator[str]:
    """A coloured shape around the lines of the label."""
    fill, stroke = NODE_COLOURS[node.kind]
    x, y = box.centre
    paint = f'fill="{fill}" stroke="{stroke}" stroke-width="1.2"'
    yield f"<g><title>{_escaped(node.tooltip or node.label)}</title>"
    if node.shape == "box":
        corner = f'x="{_number(x - box.width / 2)}" y="{_number(y - box.height / 2)}"'
        yield f'<rect {corner} width="{_number(box.width)}" height="{_number(box.height)}" rx="4" {paint}/>'
    else:
        radii = f'rx="{_number(box.width / 2)}" ry="{_number(box.height / 2)}"'
        yield f'<ellipse cx="{_number(x)}" cy="{_number(y)}" {radii} {paint}/>'
    lines = drawn_lines(node.label)
    for number, line in enumerate(lines):
        offset = (number - (len(lines) - 1) / 2) * LINE_HEIGHT * FONT_SIZE
        yield _text(line, box.centre.moved(0.0, offset), FONT_SIZE, f'fill="{TEXT_COLOUR}"')
    yield "</g>"


def _text(text: str, middle: Point, font_size: float, attributes: str) -> str:
    """One line of text, ``middle`` half way up its letters."""
    return (
        f'<text x="{_number(middle.x)}" y="{_number(middle.y + BASELINE * font_size)}" '
        f'font-size="{font_size:g}" {attributes}>{_escaped(text)}</text>'
    )


def _pair(point: Point) -> str:
    return f"{_number(point.x)},{_number(point.y)}"


def _number(value: float) -> str:
    """A coordinate to a hundredth of a pixel, without trailing zeros or a minus before 0."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def _escaped(text: str) -> str:
    """The text as XML can hold it: ``<&>"`` escaped, characters that XML forbids replaced."""
    return escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text))


_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
