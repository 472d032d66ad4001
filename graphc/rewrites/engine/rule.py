"""Rules, and how they are written.

A rule is one line of a table, written in the user's own syntax:

    rules(30, "stable", (log(sigmoid(x)), -softplus(-x)))

or, where a pattern cannot say it, a function from a node to its replacement (or None):

    @rule(2, "exact", Op)
    def fold(graph, node): ...

The numerics classes are those of docs/rewrites.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphc.errors import Site
from graphc.graph.bindings import ops
from graphc.graph.pattern import Pattern
from graphc.graph.variable import Apply, Variable
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.matching import match, substitute

# What a node is replaced by, or None: of a node with several results the replacements of each.
Replacement = Callable[[Context, Apply], Variable | list[Variable] | None]


@dataclass(frozen=True)
class Rule:
    """One rewrite.

    number: of the rule in the specification; numerics: its class; key: the op (or class of ops) it is tried on;
    replace: from a node to its replacement or None; text: how it is shown; site: where it is written.
    left, right: both sides, for a rule that is written as a pattern.
    over: where not empty, it is tried only if an operand is made by one of these (ops, or classes of ops), or is a leaf
        of such a class.
    """

    number: int
    numerics: str
    key: Any
    replace: Replacement
    text: str
    site: Site | None
    left: Pattern | None = None
    right: Any = None
    over: tuple[Any, ...] = ()

    def __str__(self) -> str:
        where = f" ({os.path.basename(self.site.filename)}:{self.site.lineno})" if self.site else ""
        return f"rule {self.number} [{self.numerics}] {self.text}{where}"


@dataclass(frozen=True)
class Applied:
    """One entry of a trace: which rule turned what into what."""

    rule: Rule
    before: Variable
    after: Variable

    def __str__(self) -> str:
        return f"{self.rule}\n    {ops.short_text(self.before)}\n  ->\n    {ops.short_text(self.after)}"


def rules(number: int, numerics: str, *pairs: tuple[Any, ...]) -> list[Rule]:
    """Rules written as ``(pattern, replacement)`` or ``(pattern, replacement, condition)``.

    The condition is called with the Context and the variables of the wildcards, by name.
    """
    made = []
    for left, right, *condition in pairs:
        assert isinstance(left, Pattern), f"{left!r} is no pattern"
        assert left.op is not None, f"{left!r} would match everything"
        replace = _pattern_rule(left, right, condition[0] if condition else None)
        text = f"{left!r} -> {right!r}"
        made.append(Rule(number, numerics, left.op, replace, text, left.site, left, right))
    return made


def _pattern_rule(left: Pattern, right: Any, condition: Callable[..., bool] | None) -> Replacement:
    def replace(context: Context, node: Apply) -> Variable | None:
        dtype = node.outputs[0].dtype
        for found in match(left, node.outputs[0], {}):
            # A law of arithmetic holds within one dtype: int ** 2.0 is no integer, and x + (-y) no x - y of uint8 y.
            if any(v.dtype != dtype for v in found.values()):
                continue
            if condition is None or condition(context, **{p.name: v for p, v in found.items()}):
                result: Variable = substitute(right, found)
                return result
        return None

    return replace


def rule(number: int, numerics: str, *keys: Any, over: tuple[Any, ...] = ()) -> Callable[[Replacement], list[Rule]]:
    """Declare a rule by a function; it is tried on nodes of the ops, or classes of ops, in `keys`.

    over: only if an operand is made by one of these (ops, or classes of ops), or is a leaf of such a class.
    """

    def declare(function: Replacement) -> list[Rule]:
        code = function.__code__
        site = Site(code.co_filename, code.co_firstlineno, function.__name__)
        text = f"{function.__name__}: {(function.__doc__ or '').strip().splitlines()[0]}"
        return [Rule(number, numerics, key, function, text, site, over=over) for key in keys]

    return declare
