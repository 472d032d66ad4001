"""Fusion: which nodes run together in one kernel.

The nodes of a schedule are taken in order, and each joins the earliest group in which it can run: one over the same
domain, that comes after everything the node reads.  Groups run one after the other, so no circle can arise.  Two
things are known only later, and put right then: that a group goes by rows, so that it takes in what others compute for
its rows (`_absorb`); and that only one later group reads what a group makes, so that it moves there (`sink`), be it
one that writes to an index.

A group has a *domain*, the axes its loops run over, and a *split* that parts them into outer and inner axes:

    rank of a node's result        level     where it is computed
    (n, m), the domain             INNER     in the inner loops; several *phases*, one pass each
    (n,) or (n, 1), the outer axes OUTER     in the outer loop, between the passes
    ()                             WHOLE     before or after all loops

A reduction over the inner axes makes an OUTER value of the next phase (softmax: maximum, sum, quotient are three
phases over one row); one over everything makes a WHOLE value.  One that keeps the last axis adds to memory, and its
result is there only after the group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphc.graph.predicates import Choice, Predicate
from graphc.graph.sizes import Shape
from graphc.graph.variable import Apply, Variable
from graphc.kernels.drafts import Draft, Drafter, same_shape, same_size, without_ones
from graphc.kernels.groups import INDEXED, INNER, OUTER, WHOLE, Axes, Decide, Group, Item, Member, Placed, Single
from graphc.kernels.shapes import Shapes
from graphc.kernels.views import view, written_into
from graphc.ops.cost import is_cheap
from graphc.ops.declare import Elementwise
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.indexing import IncSubtensor
from graphc.ops.shape import ShapeOf

# A kernel of more nodes takes long to compile, and keeps more values than there are registers.
MOST_NODES = 64
MOST_ARRAYS = 24

# So many cheap steps in a row are done again rather than kept in memory.
MOST_REPEATED = 3


def _is_one_step(x: Variable) -> bool:
    """Whether `x` is as well computed again: one cheap step from one array."""
    assert x.owner is not None
    arrays = [y for y in x.owner.inputs if y.ndim]
    return isinstance(x.owner.op, Elementwise) and is_cheap(x) and len(arrays) <= 1 and x.ndim > 0


def _is_of_rows(group: Group, other: Group) -> bool:
    """Whether a group has the domain of the rows that another goes by."""
    domain = group.domain
    while domain and domain[-1] == 1:
        domain = domain[:-1]
    return bool(other.split) and same_shape(domain, other.domain[: other.split])


def _read_by(item: Item) -> list[Variable]:
    """What an item reads of others; who reads a view reads what it is a view of."""
    if isinstance(item, Decide):
        return [item.choice.condition]
    if isinstance(item, Single):
        return [] if isinstance(item.node.op, DimShuffle) else [view(x).base for x in item.node.inputs]
    copied = [written_into(member.node) for member in item.members if member.scatters]
    return [*copied, *(base for member in item.members for base, _ in member.reads if base not in item.placed)]


class Fuser:
    """Forms the groups of a schedule's nodes."""

    def __init__(
        self,
        graph: Shapes,
        fits: Callable[[Apply], bool],
        fuses: bool = True,
        apart: frozenset[Apply] = frozenset(),
        atomic: bool = False,
    ) -> None:
        self.graph = graph
        self.fits = fits
        self.fuses = fuses
        self.apart = apart
        self.atomic = atomic
        self.drafter = Drafter(graph, fits)
        self.items: list[Item] = []
        self.home: dict[Variable, int] = {}
        self._latest: dict[tuple[Predicate, Shape], int] = {}
        self._first = 0

    def add(self, node: Apply, when: Predicate) -> None:
        """Place a node; those it depends on have been placed."""
        if isinstance(node.op, ShapeOf):
            return
        if isinstance(node.op, DimShuffle) or not self.fits(node):
            self._single(node, when)
            return
        draft = self.drafter.draft(node)
        if self.fuses and not draft.scatters:
            for position in self._candidates(draft, when):
                group = self.items[position]
                if isinstance(group, Group) and group.when == when:
                    self._repeat(group, draft, MOST_REPEATED)
                    if self._join(group, draft):
                        self._settle(node, position)
                        return
        group = Group(draft.domain, when, len(self.items))
        if self.fuses:
            self._repeat(group, draft, MOST_REPEATED)
        joined = self._join(group, draft)
        assert joined, f"{node} does not fit a group of its own"
        self.items.append(group)
        self._settle(node, group.position)
        self._latest[(when, draft.domain)] = group.position

    def _repeat(self, group: Group, draft: Draft, steps: int) -> None:
        """Compute operands again that are a few steps from what is in memory, rather than keep them there too."""
        if not steps or len(group.members) > MOST_NODES // 2:
            return
        for base, own in draft.operands:
            if base in group.placed or base.owner is None or base not in self.home:
                continue
            if not _is_one_step(base) or not self.fits(base.owner):
                continue
            again = self.drafter.draft(base.owner)
            same = same_shape(again.domain, draft.domain) and own == again.axes
            if same and draft.reduced is None and not draft.index:
                self._repeat(group, again, steps - 1)
                self._join(group, again)

    def decide(self, choice: Choice) -> None:
        """Place the choice of a branch, after its condition."""
        self.items.append(Decide(choice))

    def dear_rows(self) -> frozenset[Apply]:
        """Nodes computed once a row, one by one, that would rather run over all rows at a time, on vectors.

        They are not cheap, and no later pass over the row needs them.  What is only added to memory is as well done
        by another kernel.
        """
        found: set[Apply] = set()
        for group in self.items:
            if isinstance(group, Group) and group.split:
                needed: set[Variable] = set()
                for member in reversed(group.members):
                    out = member.node.outputs[0]
                    if member.closed and member.node not in found:
                        continue
                    if member.out.level == INNER or out in needed:
                        needed.update(base for base, _ in member.reads)
                    elif member.out.level == OUTER and member.reduced is None and not is_cheap(out):
                        found.add(member.node)
        return frozenset(found)

    def barrier(self) -> None:
        """What comes from now on runs after all that is there."""
        self._first = len(self.items)

    def sink(self) -> None:
        """Move groups whose results only one later group reads into that one, where they need no memory."""
        readers: dict[Variable, set[int]] = {}
        for position, item in enumerate(self.items):
            for x in _read_by(item):
                readers.setdefault(x, set()).add(position)
        for position, group in reversed(list(enumerate(self.items))):
            if isinstance(group, Group) and group.members and all(x.ndim for x in group.placed):
                made = [x for x in group.placed if self.home[x] == position]
                read = {p for x in made for p in readers.get(x, ())} - {position}
                reads = _read_by(group)
                if len(read) == 1 and self._sink_into(group, self.items[read.pop()]):
                    for x in reads:
                        readers[x].discard(position)
                        readers[x].add(self.home[made[0]])
                    group.clear()

    def _sink_into(self, group: Group, later: Item) -> bool:
        """Move a group into one that comes later, if it can run there."""
        if not isinstance(later, Group) or later.when != group.when:
            return False
        if not (same_shape(group.domain, later.domain) or _is_of_rows(group, later)):
            return False
        made = Group(later.domain, later.when, later.position, later.split)
        if not all(self._join(made, self.drafter.draft(node)) for node in dict.fromkeys((*group.nodes, *later.nodes))):
            return False
        later.restore(made)
        for node in group.nodes:
            if self.home[node.outputs[0]] == group.position:
                self._settle(node, later.position)
        return True

    def _single(self, node: Apply, when: Predicate) -> None:
        self.items.append(Single(node, when))
        self._settle(node, len(self.items) - 1)

    def _settle(self, node: Apply, position: int) -> None:
        for out in node.outputs:
            self.home[out] = position

    def _candidates(self, draft: Draft, when: Predicate) -> Iterable[int]:
        """Groups the node may join: the last that makes an operand of it, then the last over the same domain."""
        made = [self.home[base] for base, _ in draft.operands if base in self.home]
        first = max(made, default=-1)
        found = [] if first < self._first else [first]
        latest = self._latest.get((when, draft.domain), -1)
        return found if latest <= first or latest < self._first else [*found, latest]

    # ---- joining ----

    def _join(self, group: Group, draft: Draft) -> bool:
        """Put the node into the group if it can run there."""
        if len(group.members) >= MOST_NODES:
            return False
        if draft.node.outputs[0] in group.arrays:  # what is in the group reads it from memory: it is made before
            return False
        external = [b for b, _ in draft.operands if b not in group.placed and b.ndim]
        new = {b for b in external if b not in group.arrays}
        if len(group.arrays) + len(new) >= MOST_ARRAYS:
            return False
        if group.sealed or (draft.scatters and group.members and not self._feeds(group, draft)):
            return False
        place = self._reduction(group, draft) if draft.reduced is not None else self._map(group, draft)
        if place is None:
            return False
        group.sealed = draft.scatters
        member, split = place
        goes_by_rows = split and not group.split
        group.split = split
        group.members.append(member)
        group.placed[draft.node.outputs[0]] = member.out
        if member.closed:
            group.closed.add(draft.node.outputs[0])
        group.arrays.update(dict.fromkeys(external))
        if split and goes_by_rows:
            for ones in range(len(group.domain) - split + 1):
                self._latest[(group.when, group.domain[:split] + (1,) * ones)] = group.position
            self._absorb(group)
        return True

    def _feeds(self, group: Group, draft: Draft) -> bool:
        """Whether a group computes, element by element, what a node writes to an index: it may be done there.

        Where an index may repeat, elements are written one after the other, by one thread and on no vectors, unless a
        machine adds atomically.  Dear functions are better computed before.
        """
        op = draft.node.op
        assert isinstance(op, IncSubtensor)
        if draft.operands[-1][0] not in group.placed or written_into(draft.node) in group.placed:
            return False
        at_once = (op.add and self.atomic) or not any(along.by_element for along in draft.index)
        return all(
            isinstance(m.node.op, Elementwise) and m.out.level == INNER and (at_once or is_cheap(m.node.outputs[0]))
            for m in group.members
        )

    def _absorb(self, group: Group) -> None:
        """Take in what is computed for the rows of a group, by groups made before it was known to go by rows."""
        for later in self.items[group.position + 1 :]:
            if isinstance(later, Group) and later.when == group.when and self._is_about_rows(later, group):
                before = group.copy()
                if all(self._join(group, self.drafter.draft(node)) for node in later.nodes):
                    for node in later.nodes:
                        self._settle(node, group.position)
                    later.clear()
                else:
                    group.restore(before)

    def _is_about_rows(self, later: Group, group: Group) -> bool:
        """Whether a group has the domain of another's rows, and needs nothing that is made after that one."""
        return (
            bool(later.members)
            and later.split is None
            and not later.sealed
            and _is_of_rows(later, group)
            and all(
                self.home.get(base, -1) <= group.position
                for member in later.members
                for base, _ in member.reads
                if base not in later.placed
            )
        )

    def _map(self, group: Group, draft: Draft) -> tuple[Member, int | None] | None:
        axes = self._axes_in(group, draft)
        if axes is None:
            return None
        reads = draft.operands
        if axes is not draft.axes:  # else the node's own loops are those of the group
            reads = tuple(
                [
                    (base, tuple([None if a is None else a if a == INDEXED else axes[a] for a in own]))
                    for base, own in draft.operands
                ]
            )
        used = {a for a in axes if a is not None}
        full = {a for a, n in enumerate(group.domain) if n != 1}
        split = group.split
        if not used:
            level = WHOLE
        elif used == full:
            level = INNER
        elif split and used == {a for a in full if a < split}:
            if draft.node in self.apart:
                return None
            level = OUTER
        else:
            return None
        phase = 0
        for base, mapped in reads:
            placed = group.placed.get(base)
            if placed is None:
                continue
            if base in group.closed or placed.axes != mapped or placed.level > level:
                return None
            if placed.level == WHOLE and placed.phase and level != WHOLE:
                if split:
                    return None
                split = 0
            phase = max(phase, placed.phase)
        index = tuple(a if a.axis is None else a._replace(axis=axes[a.axis]) for a in draft.index)
        if index and draft.operands[0][0] in group.placed:
            return None
        made = Placed(level, phase, axes)
        return Member(draft.node, made, reads, closed=draft.scatters, phase=phase, index=index), split

    def _axes_in(self, group: Group, draft: Draft) -> Axes | None:
        """The axis of each dimension of an elementwise result in the group's domain."""
        out = draft.domain
        if same_shape(out, group.domain):
            return draft.axes
        if all(n == 1 for n in out):
            return tuple(None for _ in out)
        # By an operand that the group computes: a row's sum, say, and what follows from it.
        for base, own in draft.operands:
            placed = group.placed.get(base)
            if placed is None or placed.level == WHOLE:
                continue
            found: dict[int, int | None] = {
                a: to for a, to in zip(own, placed.axes, strict=True) if a is not None and to is not None
            }
            axes = tuple(found.get(i) for i in range(len(out)))
            if all((n == 1) if a is None else same_size(group.domain[a], n) for a, n in zip(axes, out, strict=True)):
                return axes
        if group.split and len(out) >= group.split and same_shape(out[: group.split], group.domain[: group.split]):
            rest = out[group.split :]  # a row's number, perhaps with the axes it is a row of
            if all(n == 1 for n in rest):
                return without_ones((*range(group.split), *(None for _ in rest)), group.domain)
        return None

    def _reduction(self, group: Group, draft: Draft) -> tuple[Member, int | None] | None:
        assert draft.reduced is not None
        if not same_shape(draft.domain, group.domain):
            return self._outer_total(group, draft)
        phase = 0
        for base, own in draft.operands:
            placed = group.placed.get(base)
            if placed is None:
                continue
            if base in group.closed or placed.axes != own:
                return None
            if placed.level == WHOLE and placed.phase and group.split:
                return None
            phase = max(phase, placed.phase)
        full = {a for a, n in enumerate(group.domain) if n != 1}
        reduced = draft.reduced & full
        kept = full - reduced
        split = group.split
        if not reduced:  # all have size 1: nothing to add up
            out = Placed(INNER if full else WHOLE, phase, draft.axes)
            return Member(draft.node, out, draft.operands, frozenset(), phase=phase), split
        if not kept:
            out = Placed(WHOLE, phase + 1 if not split else 1, draft.axes)
            if phase and split is None:
                split = 0
            return Member(draft.node, out, draft.operands, frozenset(reduced), phase=phase), split
        if max(kept) < min(reduced):
            want = min(reduced)
            later = any(m.out.level == INNER and m.out.phase for m in group.members)
            if split is not None and split != want:
                return None
            if split is None and later:
                return None
            out = Placed(OUTER, phase + 1, draft.axes)
            return Member(draft.node, out, draft.operands, frozenset(reduced), phase=phase), want
        # Columns, or axes in between: added to memory.
        out = Placed(INNER, phase, draft.axes)
        return Member(draft.node, out, draft.operands, frozenset(reduced), closed=True, phase=phase), split

    def _outer_total(self, group: Group, draft: Draft) -> tuple[Member, int | None] | None:
        """A reduction of a group's OUTER value over all of it: carried by the outer loop."""
        if not group.split or len(draft.operands) != 1:
            return None
        ((base, _),) = draft.operands
        placed = group.placed.get(base)
        if placed is None or placed.level != OUTER or base in group.closed:
            return None
        if any(a is not None for a in draft.axes):
            return None
        reduced = frozenset(a for a in placed.axes if a is not None)
        out = Placed(WHOLE, 1, draft.axes)
        return Member(draft.node, out, ((base, placed.axes),), reduced, phase=placed.phase, over=OUTER), group.split
