"""The text of a drawing: its sizes, what is drawn of a long line, and how wide that is.

An SVG is written before anyone knows the font that shows it. The widths are those of Helvetica, as its
font metrics (Adobe's AFM file) have them; Arial and Liberation Sans were made to the same widths.
"""

from __future__ import annotations

import unicodedata

# Sizes, in pixels.
FONT_SIZE = 14.0
LABEL_FONT_SIZE = 10.5  # of an edge's label
LINE_HEIGHT = 1.2  # in font sizes
LABEL_HEIGHT = LINE_HEIGHT * LABEL_FONT_SIZE
LONGEST_LINE = 72  # characters drawn of a longer line; the tooltip has them all

# In thousandths of the font size.
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


def label_width(label: str) -> float:
    """How wide the label of an edge is."""
    return text_width(drawn_label(label), LABEL_FONT_SIZE)


def _shortened(line: str) -> str:
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[:half]} \N{HORIZONTAL ELLIPSIS} {line[-half:]}"
