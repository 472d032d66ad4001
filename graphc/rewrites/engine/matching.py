"""Matching: the ways in which an expression is an instance of a pattern, and what a replacement stands for then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graphc.graph.pattern import Pattern
from graphc.graph.variable import Constant, Variable
from graphc.ops.broadcasting import Fill

Bindings = dict[Pattern, Variable]


def match(pattern: Any, variable: Variable, found: Bindings) -> Iterator[Bindings]:
    """All ways in which `variable` is an instance of `pattern`, given the bindings found so far."""
    if not isinstance(pattern, Pattern):
        if value_of_constant(variable) == pattern:
            yield found
        return
    if pattern.op is None:
        bound = found.get(pattern)
        if bound is None:
            yield {**found, pattern: variable}
        elif bound is variable:
            yield found
        return
    node = variable.owner
    if node is None or (node.op is not pattern.op and node.op != pattern.op):
        return
    yield from _match_operands(pattern.operands, node.inputs, found)
    if getattr(pattern.op, "commutative", False):
        yield from _match_operands(pattern.operands, node.inputs[::-1], found)


def _match_operands(patterns: Sequence[Any], variables: Sequence[Variable], found: Bindings) -> Iterator[Bindings]:
    if not patterns:
        yield found
        return
    for bindings in match(patterns[0], variables[0], found):
        yield from _match_operands(patterns[1:], variables[1:], bindings)


def substitute(pattern: Any, found: Bindings) -> Any:
    """The expression that a replacement stands for."""
    if not isinstance(pattern, Pattern):
        return pattern
    if pattern.op is None:
        return found[pattern]
    return pattern.op(*[substitute(p, found) for p in pattern.operands])


def value_of_constant(variable: Variable) -> Any:
    """The number that every element of `variable` is known to be, or None."""
    while variable.owner is not None and isinstance(variable.owner.op, Fill):
        variable = variable.owner.inputs[1]
    return variable.scalar() if isinstance(variable, Constant) else None
