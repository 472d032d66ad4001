"""Patterns: expressions with wildcards, built by calling ops on wildcards.

    >>> x, y = wildcards("x y")
    >>> log(1 + x)                       # a Pattern: log of the sum of 1 and anything
    log(add(1, x))

They are what a rewrite rule is written in; `graphc.rewrites.engine.matching` matches them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

from graphc.errors import Site
from graphc.graph.operators import Operators

_BELOW = tuple(str(Path(__file__).parent.parent / room) for room in ("graph", "ops"))


class Pattern(Operators):
    """A wildcard (no op) or an op applied to patterns and numbers."""

    __slots__ = ("name", "op", "operands", "site")

    def __init__(self, name: str = "", op: Any = None, operands: tuple[Any, ...] = ()) -> None:
        self.name = name
        self.op = op
        self.operands = operands
        self.site = written_at()

    def __repr__(self) -> str:
        return self.name if self.op is None else f"{self.op}({', '.join(map(repr, self.operands))})"


def written_at() -> Site | None:
    """The line of the table in which a pattern is written: the first frame above the graph and the ops."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith(_BELOW):
            return Site(filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back
    return None


def wildcards(names: str) -> tuple[Pattern, ...]:
    """One wildcard a name: ``x, y = wildcards("x y")``."""
    return tuple(Pattern(name) for name in names.split())
