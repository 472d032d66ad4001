"""Selections: the few rules that may match a node, found by its look.

Most rules match few nodes, and the look settles most cases: the op, what makes its operands, and whether these are one
variable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.graph.look import MOST_OPERANDS, Look, look_of
from graphc.graph.op import Op
from graphc.graph.pattern import Pattern
from graphc.graph.variable import Apply, Constant
from graphc.ops.broadcasting import Fill
from graphc.rewrites.engine.rule import Rule


class Selection:
    """Rules, found by the look of a node.  Of an op that no rule names, only the class is seen."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        patterns = [r.left for r in rules if r.left is not None]
        tops = [p.op for left in patterns for p in left.operands if isinstance(p, Pattern)]
        self._named = {op for op in (*tops, *(k for r in rules for k in (r.key, *r.over))) if isinstance(op, Op)}
        self._families = {type(op) for op in self._named}
        self._by_op: dict[Any, tuple[Rule, ...]] = {}
        self._by_look: dict[Any, tuple[Rule, ...]] = {}

    def for_op(self, op: Op) -> tuple[Rule, ...]:
        """The rules to be tried on some node of an op."""
        seen = self._seen(op)
        rules = self._by_op.get(seen)
        if rules is None:
            classes = _class(seen).__mro__
            rules = self._by_op[seen] = tuple([r for r in self.rules if r.key == seen or r.key in classes])
        return rules

    def for_node(self, node: Apply) -> tuple[Rule, ...]:
        """The rules to be tried on a node."""
        seen, rules, inputs = self._seen(node.op), self.for_op(node.op), node.inputs
        if not rules or not 0 < len(inputs) <= MOST_OPERANDS:
            return rules
        look = (
            seen,
            inputs[0] is inputs[-1],
            *[type(x) if x.owner is None else self._seen(x.owner.op) for x in inputs],
        )
        found = self._by_look.get(look)
        if found is None:
            found = self._by_look[look] = tuple([r for r in rules if _may_match(r, look)])
        return found

    def _seen(self, op: Op) -> Any:
        return op if type(op) in self._families and op in self._named else type(op)


def _class(seen: Any) -> type:
    return seen if isinstance(seen, type) else type(seen)


def _may_match(r: Rule, look: Sequence[Any]) -> bool:
    """Whether a rule on the op of a node may match one of this look."""
    _, alike, *tops = look
    if r.over:
        return any(top == wanted or wanted in _class(top).__mro__ for top in tops for wanted in r.over)
    if r.left is None:
        return True
    operands = r.left.operands
    if not alike and _is_wildcard(operands[0]) and operands[0] is operands[-1]:  # x * x
        return False
    orders = [operands, operands[::-1]] if getattr(r.left.op, "commutative", False) else [operands]
    return any(all(map(_top_fits, order, tops)) for order in orders)


def _is_wildcard(pattern: Any) -> bool:
    return isinstance(pattern, Pattern) and pattern.op is None


def _top_fits(pattern: Any, top: Any) -> bool:
    if isinstance(pattern, Pattern):
        return pattern.op is None or pattern.op == top
    return issubclass(_class(top), (Constant, Fill))  # it has one known value


class SelectionById:
    """A selection that remembers what it found for nodes of one look, by the identity of ops.

    Ops are kept alive by the table of one compilation, where equal ones are one object; a `Selection` outlives it.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._found: dict[Look, tuple[Rule, ...]] = {}

    def for_node(self, node: Apply, look: Look | None = None) -> tuple[Rule, ...]:
        """The rules to be tried on a node; `look`: its look, if that is known."""
        look = look_of(node) if look is None else look
        found = self._found.get(look)
        if found is None:
            found = self._found[look] = self.selection.for_node(node)
        return found
