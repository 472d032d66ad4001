"""The shapes of nodes, a box or an ellipse: how large one is around its label, and where edges meet its border."""

from __future__ import annotations

from math import copysign, sqrt

from .font import FONT_SIZE, LINE_HEIGHT, drawn_lines, text_width
from .geometry import Box, Point
from .picture import PictureNode


def node_size(node: PictureNode) -> tuple[float, float]:
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


def border_point(box: Box, shape: str, toward: Point) -> Point:
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
