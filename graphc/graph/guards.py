"""Guards: what a compiled function takes to be true of the sizes of its arguments, and checks when it runs."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.graph.predicates import ALWAYS, Predicate
from graphc.graph.sizes import Size
from graphc.graph.variable import Apply, Variable

# An axis of a variable of the user's whose size is assumed to be 1: `(variable, axis)`.
Axis = tuple[Variable, int]


@dataclass(frozen=True)
class Guard:
    """Two sizes that must be equal when the function runs.

    left, right: sizes: ints or interned int64 scalars.
    node: the user's node whose operands must agree, for the message; None for an assumption of a variant.
    axes: the axes (of the user's variables) that have these sizes.  If one of the two turns out to be 1 and
        `broadcasts`, a variant with that axis of static size 1 can run.
    when: the predicate of the node: a branch that is not taken is not checked.
    """

    left: Size
    right: Size
    node: Apply | None
    axes: tuple[Axis | None, Axis | None]
    broadcasts: bool
    when: Predicate = ALWAYS
