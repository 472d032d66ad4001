"""Printers: the words that tables of spellings are written with, under Theano's names.

    "add": OperatorPrinter("+", SUM),          # (x + y)
    "sinh": FunctionPrinter("sinh"),           # sinh(x)
    "abs_": PatternPrinter(("|#1|", LOWEST)),  # |x|
    "tensor_copy": IgnorePrinter(),            # x

A printer takes a variable, the result of an op, and returns its `Phrase`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from graphc.graph.variable import Apply, Constant, Variable, constant_text
from graphc.ops.indexing import Pattern, entries

from .phrase import ATOM, LOWEST, TIGHTER, Hole, Phrase


def made_by(x: Variable) -> Apply:
    """The node that makes `x`; the printer of an op cannot be asked about a leaf."""
    if x.owner is None:
        raise TypeError(f"pprint: {x!r} is a leaf, and this printer is for the results of ops. Check the condition.")
    return x.owner


def listed(items: Iterable[str | Hole], separator: str = ", ") -> list[str | Hole]:
    """The items with a separator between them."""
    parts: list[str | Hole] = []
    for item in items:
        parts += [separator, item] if parts else [item]
    return parts


class OperatorPrinter:
    """``x + y``, or ``-x`` for one operand; `assoc` is the side that needs no brackets: left, right or either."""

    def __init__(self, operator: str, precedence: float, assoc: str = "left") -> None:
        if assoc not in ("left", "right", "either"):
            raise ValueError(f"OperatorPrinter: assoc is {assoc!r}. Use 'left', 'right' or 'either'.")
        self.operator = operator
        self.precedence = precedence
        self.assoc = assoc

    def __call__(self, x: Variable) -> Phrase:
        inputs = made_by(x).inputs
        if len(inputs) == 1:
            return Phrase((self.operator, Hole(inputs[0], self.precedence)), self.precedence)
        levels = [self.precedence + (0.0 if self.assoc == "either" else TIGHTER)] * len(inputs)
        levels[-1 if self.assoc == "right" else 0] = self.precedence
        return Phrase(tuple(listed(map(Hole, inputs, levels), f" {self.operator} ")), self.precedence)


class FunctionPrinter:
    """``name(x, y)``: one name for each output of the op."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, x: Variable) -> Phrase:
        index = x.index or 0
        name = self.names[min(index, len(self.names) - 1)]
        phrase = Phrase((f"{name}(", *listed(Hole(y) for y in made_by(x).inputs), ")"))
        return phrase if index < len(self.names) and len(self.names) > 1 else of_several(x, phrase)


def of_several(x: Variable, phrase: Phrase) -> Phrase:
    """`phrase`, with ``[i]`` behind it if `x` is one of several outputs."""
    return phrase if len(made_by(x).outputs) == 1 else Phrase((*phrase.parts, f"[{x.index}]"))


class PatternPrinter:
    """Any notation: ``#1``, ``#2`` (or Theano's ``%(0)s``, ``%(1)s``) stand for the operands.

    patterns: one for each output: a text, or a tuple of a text and the precedence from which on each operand needs no
        brackets.  By default an operand is bracketed unless it is a name or a call.
    precedence: that of the result.
    """

    def __init__(self, *patterns: str | tuple[str | float, ...], precedence: float = ATOM) -> None:
        rows = [(pattern,) if isinstance(pattern, str) else pattern for pattern in patterns]
        self.patterns = [re.split(r"#(\d+)", _THEANO.sub(_theano_hole, str(text))) for text, *_ in rows]
        self.operands = [[float(level) for level in levels] for _, *levels in rows]
        self.precedence = precedence

    def __call__(self, x: Variable) -> Phrase:
        pieces, levels = self.patterns[x.index or 0], self.operands[x.index or 0]
        inputs = made_by(x).inputs
        parts: list[str | Hole] = []
        for position, piece in enumerate(pieces):  # texts at even positions, numbers of operands between them
            if position % 2 == 0:
                parts.append(piece)
            else:
                i = int(piece) - 1
                parts.append(Hole(inputs[i], levels[i] if i < len(levels) else ATOM))
        return Phrase(tuple(parts), self.precedence)


_THEANO = re.compile(r"%\((\d+)\)s")


def _theano_hole(match: re.Match[str]) -> str:
    return f"#{int(match[1]) + 1}"


def enclosing(pattern: str, precedence: float = ATOM) -> PatternPrinter:
    """A notation that shows by itself where each operand ends, such as ``\\sqrt{#1}``: no operand needs brackets."""
    return PatternPrinter((pattern, *[LOWEST] * pattern.count("#")), precedence=precedence)


class IgnorePrinter:
    """An op that is not shown: one of its operands stands for it."""

    def __init__(self, shown: int = 0) -> None:
        self.shown = shown

    def __call__(self, x: Variable) -> Variable:
        return made_by(x).inputs[self.shown]


def leaf_text(x: Variable) -> str:
    """A leaf as Theano shows it: its name, else the value of a constant, else its type."""
    if x.name:
        return x.name
    return f"TensorConstant{{{constant_text(x.data)}}}" if isinstance(x, Constant) else f"<{x.type!r}>"


def indices(pattern: Pattern, arguments: Sequence[Variable], colon: str = ":") -> list[str | Hole]:
    """What stands between the brackets of ``x[...]``; whole axes at the end are left out."""
    shown: list[list[str | Hole]] = []
    for entry, given in entries(pattern, arguments):
        if entry.startswith("slice:"):
            start, stop, step = ([] if bound is None else [_index(bound)] for bound in given)
            shown.append([*start, colon, *stop, *([colon, *step] if step else [])])
        else:
            shown.append([_index(given[0])])
    while len(shown) > 1 and shown[-1] == [colon]:
        shown.pop()
    parts: list[str | Hole] = []
    for i, words in enumerate(shown):
        parts += [", ", *words] if i else words
    return parts


def _index(x: Variable) -> str | Hole:
    """A bound of a slice: a number is shown as one in every style."""
    return str(x.data) if isinstance(x, Constant) and x.ndim == 0 else Hole(x)


def new_axes_first(order: Sequence[int | str]) -> int:
    """How many new axes a dimshuffle puts in front, where broadcasting would put them too."""
    return next((i for i, axis in enumerate(order) if axis != "x"), len(order))
