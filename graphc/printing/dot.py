"""Write a picture in Graphviz's DOT language, for those who have Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from .picture import EDGE_COLOURS, NODE_COLOURS, Picture


def render_dot(picture: Picture) -> str:
    """The picture as the text of a ``.dot`` file."""
    return "\n".join(_statements(picture)) + "\n"


def _statements(picture: Picture) -> Iterator[str]:
    yield "digraph {"
    if picture.title:
        yield f"    graph [{_attributes(label=picture.title, labelloc='t', fontname='Helvetica')}];"
    yield f"    node [{_attributes(style='filled', fontname='Helvetica', fontsize='14')}];"
    yield f"    edge [{_attributes(fontname='Helvetica', fontsize='10')}];"
    for node in picture.nodes:
        fill, stroke = NODE_COLOURS[node.kind]
        attributes = _attributes(
            label=node.label,
            shape=node.shape,
            fillcolor=fill,
            color=stroke,
            tooltip=node.tooltip or node.label,
        )
        yield f"    {_quoted(node.key)} [{attributes}];"
    for edge in picture.edges:
        colour = EDGE_COLOURS[edge.style]
        attributes = _attributes(label=edge.label, color=colour, fontcolor=colour)
        yield f"    {_quoted(edge.source)} -> {_quoted(edge.target)} [{attributes}];"
    yield "}"


def _attributes(**values: str) -> str:
    return ", ".join(f"{name}={_quoted(value)}" for name, value in values.items())


def _quoted(text: str) -> str:
    r"""A DOT string that shows just this text, in spite of Graphviz's own escapes ``\N`` and ``&lt;``."""
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return f'"{text}"'


# The backslash comes first, for the others bring their own. A C string cannot hold a zero byte.
_ESCAPES = (
    ("\\", "\\\\"),
    ('"', '\\"'),
    ("\n", "\\n"),
    ("&", "&amp;"),
    ("\0", "\N{REPLACEMENT CHARACTER}"),
)
