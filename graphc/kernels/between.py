"""What stands between groups: checks of sizes and choices of branches, each as soon as it can be made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphc.graph.predicates import ALWAYS, Choice, Predicate
from graphc.graph.variable import Apply, Variable
from graphc.kernels.fuse import Fuser
from graphc.kernels.order import is_known
from graphc.schedule.schedule import Check, Compute, Schedule


class Between:
    """Has a fuser form the groups of some nodes, and puts checks and choices between them.

    checks: for a position among the items of the fuser the checks that are made before that item.
    """

    def __init__(
        self,
        schedule: Schedule,
        fuser: Fuser,
        known: Iterable[Variable],
        checks: Iterable[Check],
        choices: Iterable[Choice],
    ) -> None:
        self.fuser = fuser
        self.checks: dict[int, list[Check]] = {}
        self._known = set(known)
        self._waiting = list(checks)
        self._undecided = list(choices)
        self._has_branches = bool(self._undecided)
        self._whens: dict[Apply, Predicate] = {s.node: s.when for s in schedule.steps if isinstance(s, Compute)}

    def add(self, nodes: Sequence[Apply]) -> None:
        """Place all nodes, checks and choices."""
        for node in nodes:
            when = self._when(node)
            self._decide(when, node)
            self.fuser.add(node, when)
            self._known.update(node.outputs)
            self._check()
        assert not self._waiting, f"sizes are never compared: {self._waiting}"
        for choice in self._undecided:
            self.fuser.decide(choice)

    def _when(self, node: Apply) -> Predicate:
        """When a node is needed; a size, which is no step of the schedule, where what it depends on is."""
        when = self._whens.get(node)
        if when is None:
            of = [self._whens.get(x.owner, ALWAYS) for x in node.inputs if x.owner is not None]
            when = self._whens[node] = next((w for w in of if w), ALWAYS) if self._has_branches else ALWAYS
        return when

    def _check(self) -> None:
        """Place the checks of sizes that are known by now."""
        for check in self._waiting.copy():
            if all(isinstance(x, int) or is_known(x, self._known) for x in check.sides):
                self._decide(check.when, None)
                self._waiting.remove(check)
                self.checks.setdefault(len(self.fuser.items), []).append(check)
                self.fuser.barrier()

    def _decide(self, when: Predicate, node: Apply | None) -> None:
        """Place the choices that a predicate, or an `ifelse` itself, rests on, those that they rest on before."""
        undecided = self._undecided
        if not undecided:
            return
        wanted = [choice for choice, _ in when]
        if node is not None and node.op.lazy:
            wanted += [c for c in undecided if c.condition is node.inputs[0]]
        pending = [c for c in wanted if c in undecided]
        while pending:
            choice = pending[-1]
            before = [c for c, _ in choice.when if c in undecided]
            if before:
                pending += before
                continue
            pending.pop()
            if choice in undecided:
                undecided.remove(choice)
                self.fuser.decide(choice)
