"""Groups of nodes that run in one kernel, and where in its loops each node is computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from graphc.graph.predicates import Choice, Predicate
from graphc.graph.sizes import Shape
from graphc.graph.variable import Apply, Variable

# Where a node is computed: before or after all loops, once for each outer iteration, in the inner loops.
WHOLE, OUTER, INNER = 0, 1, 2

# The rank-wise position of a dimension: an axis of the domain, or None where the size is 1.
Axes = tuple[int | None, ...]


# Nobody changes a `Placed` or a `Member`, of which each node has one.  They are no frozen dataclasses because it takes
# three times as long to make those.


class Placed(NamedTuple):
    """Where a value of a group is computed: level, phase, and the axis of each of its dimensions."""

    level: int
    phase: int
    axes: Axes


class Along(NamedTuple):
    """How one dimension of an indexed array is read: ``start + step * axis``.

    axis: of the domain, or None for one place; start: the position of the operand that says where it begins, or None
    for the natural end; by_element: that operand is an array of indices, one for each element of the result;
    is_part: it is a slice, and not of all elements in order.
    """

    axis: int | None
    start: int | None = None
    step: int = 1
    by_element: bool = False
    is_part: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the whole dimension is read, in order."""
        return self.start is None and self.axis is not None and not self.is_part


# The axis of a dimension that is read in another way than one after the other.
INDEXED = -1


@dataclass(eq=False, slots=True)
class Member:
    """A node of a group.

    reads: for each operand the variable it is read from, and the axis of each dimension of that.
    reduced: for a reduction, the axes of the domain that it reduces, else None.
    closed: the result is complete only after the group.
    """

    node: Apply
    out: Placed
    reads: tuple[tuple[Variable, Axes], ...]
    reduced: frozenset[int] | None = None
    closed: bool = False
    phase: int = 0
    """The pass in which a reduction is carried."""
    over: int = INNER
    """The level of what a reduction reduces."""
    index: tuple[Along, ...] = ()
    """For indexing: how each dimension of the first operand is read or written."""

    @property
    def scatters(self) -> bool:
        """Whether it writes to an indexed array."""
        return bool(self.index) and self.closed


@dataclass(eq=False)
class Group:
    """Nodes that run in one kernel."""

    domain: Shape
    when: Predicate
    position: int
    """Its place among the items of a schedule."""
    split: int | None = None
    members: list[Member] = field(default_factory=list)
    placed: dict[Variable, Placed] = field(default_factory=dict)
    closed: set[Variable] = field(default_factory=set)
    arrays: dict[Variable, None] = field(default_factory=dict)
    sealed: bool = False
    """Nothing else may join."""

    @property
    def nodes(self) -> list[Apply]:
        """The nodes, in order."""
        return [member.node for member in self.members]

    def clear(self) -> None:
        """Compute nothing."""
        self.restore(Group(self.domain, self.when, self.position))

    def copy(self) -> Group:
        """What it is now."""
        held = (list(self.members), dict(self.placed), set(self.closed), dict(self.arrays))
        return Group(self.domain, self.when, self.position, self.split, *held, self.sealed)

    def restore(self, before: Group) -> None:
        """Be what it was."""
        self.split, self.sealed = before.split, before.sealed
        self.members, self.placed = before.members, before.placed
        self.closed, self.arrays = before.closed, before.arrays


class Single(NamedTuple):
    """A node that is a step of its own: a matrix product, a library call, an alias."""

    node: Apply
    when: Predicate


@dataclass(frozen=True)
class Decide:
    """The choice of a branch, once its condition is known."""

    choice: Choice


Item = Group | Single | Decide
