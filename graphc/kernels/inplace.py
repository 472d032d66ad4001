"""Updates of a few elements that are made where the array is, instead of in a copy of all of it.

    t9 = kernel 1 (w): copy                         0  weigh kernel 2
    t9 = kernel 2 (i, x): IncSubtensor              1  t9 = kernel 1 (w): copy   if t9 is apart
                                                    2  verify kernel 2 (i)
                                                    commit
                                                    3  t9 = kernel 2 (i, x): IncSubtensor

Whoever calls the plan gives `t9` the memory of `w` if nobody else has it and there is little to do (`Weigh`), as the
commit goes on to its end without a look at signals.  So the kernel runs when nothing can fail any more: its checks are
made before (`Verify`), and all that reads the old value has done so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace

from graphc.graph.predicates import ALWAYS, Choice, Predicate
from graphc.graph.variable import Constant, Variable
from graphc.kernels.emit import Emitter
from graphc.kernels.handover import copy_of
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Accumulate, Loop, Require, Statement, Store
from graphc.kernels.prune import pruned
from graphc.kernels.steps import Commit, Key, Step, Verify, Weigh, memory_of, read_by, written_by
from graphc.ops.shape import ShapeOf


@dataclass(frozen=True)
class InPlace:
    """What may be made where it is.

    apart: whether it is made elsewhere nevertheless: true until the caller knows better; updates: pairs of the number
    of a result and that of the input whose memory it may have.
    """

    apart: Choice
    updates: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Parted:
    """The steps of a plan, those of the commit last.

    early: how many need no array; commit: how many come before the commit.
    """

    steps: Sequence[Step]
    whens: Sequence[Predicate]
    early: int
    commit: int
    in_place: InPlace | None = None


def parted(emitter: Emitter, early: int, inputs: Sequence[Variable], replaces: Sequence[int | None]) -> Parted:
    """The steps with those in the commit that may change an old value where it is.

    early: how many of them need no array; replaces: for each result the number of the input whose value it replaces.
    """
    steps, whens = emitter.steps, emitter.whens
    unchanged = Parted(steps, whens, early, len(steps))
    if not any(input is not None and emitter.results[i].ndim for i, input in enumerate(replaces)):
        return unchanged
    found = _Finder(emitter, early, inputs, replaces).found()
    if not found:
        return unchanged
    commits = {p for update in found for p in update.changes}
    copies = {update.copy for update in found}
    launches: list[Launch] = [step for p in sorted(commits) if isinstance(step := steps[p], Launch)]
    # No value of the graph tells which; an old value stands for the condition.
    apart = Choice(inputs[found[0].input], ALWAYS)
    pairs: list[tuple[Step, Predicate]] = []
    for position, (step, when) in enumerate(zip(steps, whens, strict=True)):
        if position == early:
            pairs.append((Weigh(apart, tuple(launches)), ALWAYS))
        if position in commits:
            assert isinstance(step, Launch)
            pairs.append((Verify(checks(step), step), when))
        else:
            pairs.append((step, ((apart, True),) if position in copies else when))
    commit = len(pairs)
    pairs += [(Commit(launch), ALWAYS) for launch in launches]
    in_place = InPlace(apart, tuple((update.result, update.input) for update in found))
    return Parted([step for step, _ in pairs], [when for _, when in pairs], early + 1, commit, in_place)


@dataclass(frozen=True)
class _Update:
    """A new value: its number and that of the input it replaces, the step that copies the old one, those that change
    the copy."""

    result: int
    input: int
    copy: int
    changes: tuple[int, ...]


class _Finder:
    """Looks for new values that are copies of old ones with some elements changed."""

    def __init__(
        self, emitter: Emitter, early: int, inputs: Sequence[Variable], replaces: Sequence[int | None]
    ) -> None:
        self.steps, self.whens, self.home, self.made = emitter.steps, emitter.whens, emitter.home, emitter.made
        self.results, self.inputs, self.replaces = emitter.results, inputs, replaces
        self.times = Counter(self.results)
        first = self.steps[:early]
        self.known = {*inputs, *(x for step in first if isinstance(step, Launch) for x in step.outputs)}
        self.touched: dict[Key, list[int]] = {}
        self.complete: dict[Key, int] = {}  # after which step
        for position, step in enumerate(self.steps):
            self.complete.update(dict.fromkeys(map(self._home, written_by(step)), position))
            for key in dict.fromkeys(map(self._home, read_by(step))):
                self.touched.setdefault(key, []).append(position)

    def _home(self, key: Key) -> Key:
        return memory_of(key, self.home)

    def found(self) -> list[_Update]:
        """Those whose steps do nothing else, and read nothing that the commit changes."""
        numbers = ((i, input) for i, input in enumerate(self.replaces) if input is not None)
        updates = [update for i, input in numbers if (update := self._update(i, input)) is not None]
        while True:
            changed = {self.results[update.result] for update in updates}
            old = {self.inputs[update.input] for update in updates}
            kept = [u for u in updates if all(self._does_only(p, changed, old) for p in u.changes)]
            if len(kept) == len(updates):
                return kept
            updates = kept

    def _update(self, result: int, input: int) -> _Update | None:
        """A result as a copy that is changed, if it is one."""
        key, old = self.results[result], self.inputs[input]
        touched = self.touched.get(key, [])
        if not key.ndim or self.times[key] > 1 or len(touched) < 2 or any(self.whens[p] for p in touched):
            return None
        first, *others = touched
        return _Update(result, input, first, tuple(others)) if copy_of(self.steps[first]) == (old, key) else None

    def _does_only(self, position: int, changed: Set[Key], old: Set[Variable]) -> bool:
        """Whether a step only writes what is `changed`, and reads what stays as it is to the end.

        What the plan has not made itself may be a part of an old value.  What it has made may be written again, under
        another name (`handover.py`).
        """
        step = self.steps[position]
        if not isinstance(step, Launch) or step.outputs or not all(map(self._is_known, step.sizes)):
            return False
        written = set(map(self._home, written_by(step)))
        read = {self._home(key) for key in step.arrays} - written
        own = [key for key in read if key in self.made or isinstance(key, Constant) or key in self.inputs]
        complete = all(self.complete.get(key, -1) < position for key in read)
        return written <= changed and len(own) == len(read) and complete and old.isdisjoint(read)

    def _is_known(self, size: Variable) -> bool:
        """Whether a size is known before there are arrays."""
        if isinstance(size, Constant) or size in self.known:
            return True
        return size.owner is not None and isinstance(size.owner.op, ShapeOf) and size.owner.inputs[0] in self.known


def checks(launch: Launch) -> Launch:
    """What a kernel checks, without what it writes.  It has the same sizes: they tell how much work that is."""
    kernel = launch.kernel
    body = _checks(kernel.body)
    made = pruned(replace(launch, kernel=replace(kernel, body=body, written=frozenset())))
    return replace(made, kernel=replace(made.kernel, sizes=kernel.sizes), sizes=launch.sizes)


def _checks(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    found: list[Statement] = []
    for s in statements:
        if isinstance(s, Loop):
            body = _checks(s.body)
            if s.carries or any(isinstance(x, Require | Loop) for x in body):
                found.append(replace(s, body=body))
        elif not isinstance(s, Store | Accumulate):
            found.append(s)
    return tuple(found)
