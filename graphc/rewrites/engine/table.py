"""Tables: the rules of a phase, and which of them a value of `numerics=` allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graphc.rewrites.engine.rule import Rule
from graphc.rewrites.engine.selection import Selection

# Which classes each value of `numerics=` allows.
ALLOWED: dict[str, frozenset[str]] = {
    "ieee": frozenset({"exact"}),
    "default": frozenset({"exact", "rounding", "stable"}),
    "algebraic": frozenset({"exact", "rounding", "stable", "algebraic"}),
}


@dataclass(frozen=True)
class Table:
    """The rules of one phase, in the order in which they are tried."""

    name: str
    rules: tuple[Rule, ...]
    _selections: dict[Any, Selection] = field(default_factory=dict, compare=False, repr=False)

    def selection(self, allowed: frozenset[str], settled: Table | None = None) -> Selection:
        """The rules of the classes `allowed`; those of `settled` have been tried already."""
        key = (allowed, settled.name if settled else None)
        found = self._selections.get(key)
        if found is None:
            tried = set(map(id, settled.rules)) if settled else ()
            chosen = [r for r in self.rules if r.numerics in allowed and id(r) not in tried]
            found = self._selections[key] = Selection(chosen)
        return found


def table(name: str, *parts: Table | Sequence[Rule] | Rule) -> Table:
    """A table out of rules, lists of rules, and other tables."""
    collected: list[Rule] = []
    for part in parts:
        if isinstance(part, Table):
            collected += part.rules
        else:
            collected += [part] if isinstance(part, Rule) else part
    return Table(name, tuple(collected))
