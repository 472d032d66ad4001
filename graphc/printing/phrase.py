"""Phrases: how one node is written in terms of its operands, and how a text is put together from them.

A printer says of one variable only: "``#1 + #2``, which binds like a sum; the second operand must bind tighter".  That
is a `Phrase`: pieces of text with holes for other variables.  `write` fills the holes of a whole graph, puts brackets
where they are needed, and gives names to what would otherwise be repeated too often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from graphc.graph.variable import Variable

# How tightly a phrase binds.  The numbers from sum to power are Theano's.
LOWEST = -1000.0  # whatever stands here needs no brackets: the argument of a function
CHOICE = -9.0  # a if c else b
COMPARISON = -8.0
BIT_OR = -7.0
BIT_XOR = -6.0
BIT_AND = -5.0
SUM = -2.0
SERIES = -1.5  # the sum sign of mathematics: it takes the product that follows
PRODUCT = -1.0
SIGN = 0.0
POWER = 1.0
ATOM = 1000.0
TIGHTER = 1e-6  # added for an operand that must bind more tightly than its operator


class Hole(NamedTuple):
    """The place of an operand, which is put in brackets if it binds less tightly than `precedence`."""

    variable: Variable
    precedence: float = LOWEST


class Phrase(NamedTuple):
    """Pieces of text and holes in the order in which they are read."""

    parts: tuple[str | Hole, ...]
    precedence: float = ATOM

    @property
    def holes(self) -> list[Hole]:
        """The places of the operands."""
        return [part for part in self.parts if isinstance(part, Hole)]


# What a printer says: a phrase, or the variable whose text stands for this one too (an op that is not shown).
Wording = Phrase | Variable
Printer = Callable[[Variable], Wording]


class Text(NamedTuple):
    """An expression as text, and the definitions (name, text) of the names in it."""

    definitions: list[tuple[str, str]]
    result: str


# A name saves nothing for a subexpression that is about as short as the name: ``exp(x)`` keeps its place.
LONGEST_UNNAMED = 6


def write(
    root: Variable,
    printer: Printer,
    brackets: tuple[str, str] = ("(", ")"),
    eager: bool = False,
    max_length: int | None = None,
    name: Callable[[int], str] = "t{}".format,
) -> Text:
    """The text of `root`, to which `printer` gives the words.

    eager: operators are bracketed everywhere, as Theano does, and not only where the precedence asks for it.
    max_length: in a longer text every subexpression that occurs several times is written once and gets a `name`.
    """
    root, phrases = _phrases(root, printer)
    names: dict[Variable, str] = {}
    if max_length is not None and _lengths(phrases, max_length)[root] > max_length:
        names = _names(root, phrases, name)

    def text(x: Variable) -> str:
        pieces: list[str] = []
        stack: list[str | Hole] = [Hole(x)]
        while stack:
            part = stack.pop()
            if isinstance(part, str):
                pieces.append(part)
                continue
            if part.variable in names and part.variable is not x:
                pieces.append(names[part.variable])
                continue
            phrase = phrases[part.variable]
            enclosed = phrase.precedence < (ATOM if eager else part.precedence)
            if enclosed:
                stack.append(brackets[1])
            stack.extend(reversed(phrase.parts))
            if enclosed:
                stack.append(brackets[0])
        return "".join(pieces)

    return Text([(names[x], text(x)) for x in names], text(root))


def _phrases(root: Variable, printer: Printer) -> tuple[Variable, dict[Variable, Phrase]]:
    """The variable shown for `root`, and the phrases of all that it is written with, operands first."""
    shown: dict[Variable, tuple[Variable, Phrase]] = {}

    def see(x: Variable) -> tuple[Variable, Phrase]:
        """The variable whose text stands for `x`, and its phrase."""
        hidden = []
        while x not in shown:
            wording = printer(x)
            if isinstance(wording, Phrase):
                shown[x] = x, wording
                break
            hidden.append(x)
            x = wording
        shown.update((y, shown[x]) for y in hidden)
        return shown[x]

    top, _ = see(root)
    entered: dict[Variable, Phrase] = {}
    finished: dict[Variable, Phrase] = {}
    stack = [(top, False)]
    while stack:
        x, ready = stack.pop()
        if ready:
            finished[x] = entered[x]
        elif x not in entered:
            phrase = see(x)[1]
            parts = tuple(
                part if isinstance(part, str) else Hole(see(part.variable)[0], part.precedence) for part in phrase.parts
            )
            entered[x] = Phrase(parts, phrase.precedence)
            stack.append((x, True))
            stack.extend((hole.variable, False) for hole in reversed(entered[x].holes))
    return top, finished


def _lengths(phrases: Mapping[Variable, Phrase], limit: int) -> dict[Variable, int]:
    """About how long each text would be, written out in full; not counted beyond `limit`."""
    length: dict[Variable, int] = {}
    for x, phrase in phrases.items():
        total = sum(len(part) if isinstance(part, str) else length[part.variable] for part in phrase.parts)
        # With every operator doubling its operand the true number would have as many digits as the graph has nodes.
        length[x] = min(total, limit + 1)
    return length


def _names(root: Variable, phrases: Mapping[Variable, Phrase], name: Callable[[int], str]) -> dict[Variable, str]:
    """Names for what occurs several times and is longer than a name, in an order in which they can be defined."""
    uses = Counter(hole.variable for phrase in phrases.values() for hole in phrase.holes)
    length = _lengths(phrases, LONGEST_UNNAMED)
    repeated = [x for x in phrases if uses[x] > 1 and length[x] > LONGEST_UNNAMED and x is not root and x.owner]
    taken = {part for phrase in phrases.values() for part in phrase.parts if isinstance(part, str)}
    return dict(zip(repeated, _fresh(name, taken), strict=False))


def _fresh(name: Callable[[int], str], taken: set[str]) -> Iterable[str]:
    number = 0
    while True:
        number += 1
        if name(number) not in taken:
            yield name(number)
