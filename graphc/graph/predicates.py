"""Predicates: the condition under which a consumer needs a node.

A branch of a lazy op (`ifelse`) is needed only if its condition selects it.  Each lazy node makes one `Choice`, taken
when it is known that the node itself is needed; a node's predicate is the set of (choice, branch) pairs under any of
which it is needed, or `ALWAYS`.  Two facts keep these sets small: a choice implies the predicate of its own node, and
both branches of one choice together are just that predicate.

The set is written as a tuple, the pairs of older choices first, so that one program gives one source in every process.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from graphc.graph.traverse import NOWHERE, Stop, toposort
from graphc.graph.variable import Apply, Variable


@dataclass(frozen=True, eq=False)
class Choice:
    """The decision of a lazy op: on which condition, under which predicate, and how many were made before."""

    condition: Variable
    when: Predicate
    age: int = field(default_factory=itertools.count().__next__, repr=False)


Branch = tuple[Choice, bool]
Predicate = tuple[Branch, ...]

# The empty set of alternatives stands for "always": there is nothing to be decided.
ALWAYS: Predicate = ()


def any_of(branches: Iterable[Branch]) -> Predicate:
    """The predicate of these alternatives."""
    return tuple(sorted(set(branches), key=_by_age))


def _by_age(branch: Branch) -> tuple[int, bool]:
    choice, taken = branch
    return choice.age, taken


def either(first: Predicate | None, second: Predicate) -> Predicate:
    """Needed under the one or under the other; None stands for "never"."""
    if first is None or first == second:
        return second
    if not first or not second:
        return ALWAYS
    branches = {*first, *second}
    while True:
        for choice, taken in any_of(branches):
            if (choice, not taken) in branches:  # both branches: whenever the choice is taken at all
                if not choice.when:
                    return ALWAYS
                branches -= {(choice, True), (choice, False)}
                branches.update(choice.when)
                break
            if _implied((choice, taken), branches):  # by what is there already
                branches.discard((choice, taken))
                break
        else:
            return any_of(branches)


def _implied(branch: Branch, branches: set[Branch]) -> bool:
    """Whether a branch is taken only if another one of `branches` is: one that it rests on, directly or not.

    What it rests on, but under the opposite truth of its own condition, cannot be the case.
    """
    choice, taken = branch
    pending = set(choice.when)
    seen: set[Branch] = set()
    found = False
    while pending:
        other = pending.pop()
        if other in seen or (other[0].condition is choice.condition and other[1] is not taken):
            continue
        seen.add(other)
        if other in branches:
            found = True
        elif not other[0].when:
            return False
        else:
            pending.update(other[0].when)
    return found


def choices_of(all_predicates: Iterable[Predicate]) -> list[Choice]:
    """Every choice that the predicates depend on, each after those it depends on itself."""
    order: dict[Choice, None] = {}
    stack = [(choice, False) for when in all_predicates for choice, _ in when]
    while stack:
        choice, ready = stack.pop()
        if choice in order:
            continue
        if ready:
            order[choice] = None
            continue
        stack.append((choice, True))
        stack.extend((outer, False) for outer, _ in choice.when)
    return list(order)


def map_predicates(all_predicates: list[Predicate], image: Callable[[Variable], Variable]) -> list[Predicate]:
    """The predicates with the conditions of their choices mapped."""
    mapped: dict[Choice, Choice] = {}

    def convert(when: Predicate) -> Predicate:
        return any_of((mapped[choice], taken) for choice, taken in when)

    table = _Choices()
    for choice in choices_of(all_predicates):
        mapped[choice] = table.choice(image(choice.condition), convert(choice.when))
    return [convert(when) for when in all_predicates]


class _Choices:
    """One Choice for each (condition, predicate)."""

    def __init__(self, known: Iterable[Choice] = ()) -> None:
        self._table = {(choice.condition, choice.when): choice for choice in known}

    def choice(self, condition: Variable, when: Predicate) -> Choice:
        return self._table.setdefault((condition, when), Choice(condition, when))


def predicates(
    outputs: Iterable[Variable],
    extra: Iterable[tuple[Variable, Predicate]] = (),
    stop: Stop = NOWHERE,
    order: Sequence[Apply] | None = None,
) -> dict[Apply, Predicate]:
    """The predicate of every node that makes `outputs` (always needed) and `extra` (needed under its predicate).

    order: these nodes, sorted, if they are known already.
    """
    outputs = list(outputs)
    extra = list(extra)
    if order is None:
        order = toposort([*outputs, *(x for x, _ in extra)], stop)
    if not any([node.op.lazy for node in order]):
        return dict.fromkeys(order, ALWAYS)
    table = _Choices(choices_of(when for _, when in extra))
    needed: dict[Apply, Predicate] = {}

    def need(x: Variable, when: Predicate) -> None:
        if x.owner is not None and x not in stop:
            needed[x.owner] = either(needed.get(x.owner), when)

    for x in outputs:
        need(x, ALWAYS)
    for x, when in extra:
        need(x, when)
    for node in reversed(order):
        when = needed[node]
        for i, x in enumerate(node.inputs):
            branch = node.op.branch_of(node, i) if node.op.lazy else None
            need(x, when if branch is None else ((table.choice(node.inputs[0], when), branch),))
    return needed
