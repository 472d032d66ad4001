"""A kernel as stages of one loop each, for machines where nobody waits for all iterations of a loop but by ending.

What one loop carries and a later one needs passes through memory.  Other values are computed again where they are
needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from graphc.kernels.loopir import Array, Kernel, Load, Loop, Require, Statement, Store, Value, defines, uses


@dataclass(frozen=True)
class Stage:
    """One loop, and the statements outside of all loops that belong to it.

    before: values the loop needs, and checks; after: what is done with what it carries, and checks that come first.
    """

    before: tuple[Statement, ...]
    loop: Loop | None
    after: tuple[Statement, ...]


@dataclass(frozen=True)
class Staged:
    """The stages in order; `kept` are arrays of rank 0 that pass values from one to a later one."""

    stages: tuple[Stage, ...]
    kept: tuple[Array, ...]


def staged(kernel: Kernel) -> Staged:
    """The stages of a kernel."""
    return _Stager(kernel).run()


@dataclass
class _Part:
    """A stage that is being put together: its loop, the checks before it, and what is done after it."""

    loop: Loop | None
    checks: tuple[Require, ...]
    effects: list[Statement] = field(default_factory=list)


class _Stager:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.made: dict[Value, Statement] = {}
        """The statements outside of all loops that only define a value."""
        self.carried: dict[Value, int] = {}
        """The number of the loop that carries a value."""
        self.checks: list[Require] = []
        self.kept: dict[Value, Array] = {}
        self.order = {s: i for i, s in enumerate(kernel.body)}

    def run(self) -> Staged:
        """Put every statement into a stage, then add what each stage needs."""
        parts: list[_Part] = []
        waiting: list[Statement] = []
        for statement in self.kernel.body:
            if isinstance(statement, Loop):
                self.carried.update((c.out, len(parts)) for c in statement.carries)
                parts.append(_Part(statement, tuple(self.checks)))
            elif isinstance(statement, Require):
                self.checks.append(statement)
            elif defined := defines(statement):
                self.made.update((x, statement) for x in defined)
            elif last := self._loops(uses(statement)):
                parts[max(last)].effects.append(statement)
            else:
                waiting.append(statement)
        if waiting or not parts:
            # What depends on no loop is done beside the first one.
            parts = parts or [_Part(None, tuple(self.checks))]
            parts[0].effects[:0] = waiting
        stages = [self._stage(number, part) for number, part in enumerate(parts)]
        for value, array in self.kept.items():
            number = self.carried[value]
            stage = stages[number]
            stages[number] = Stage(stage.before, stage.loop, (*stage.after, Store(array, (), value)))
        return Staged(tuple(stages), tuple(self.kept.values()))

    def _loops(self, values: Iterable[Value]) -> set[int]:
        """The loops that some values depend on."""
        found: set[int] = set()
        seen: set[Value] = set()
        pending = list(values)
        while pending:
            value = pending.pop()
            if value in seen:
                continue
            seen.add(value)
            if value in self.carried:
                found.add(self.carried[value])
            elif value in self.made:
                pending += uses(self.made[value])
        return found

    def _stage(self, number: int, part: _Part) -> Stage:
        wanted = [] if part.loop is None else free((part.loop,))
        before = self._needed(wanted, part.checks, number, set())
        known = {x for s in before for x in defines(s)}
        wanted = [x for effect in part.effects for x in uses(effect)]
        after = self._needed(wanted, self._checks_after(number, part), number, known)
        return Stage(before, part.loop, (*after, *part.effects))

    def _checks_after(self, number: int, part: _Part) -> list[Require]:
        """The checks after a loop that can be made after it: for the first time, or to guard what is done there."""
        late = [check for check in self.checks if check not in part.checks]
        made = {check: max(self._loops(uses(check)), default=0) for check in late}
        return [check for check in late if made[check] == number or (made[check] < number and part.effects)]

    def _needed(
        self, wanted: Iterable[Value], checks: Sequence[Require], number: int, known: set[Value]
    ) -> tuple[Statement, ...]:
        """The statements that define some values in a stage, and some checks, in order."""
        loads: list[Statement] = []
        found: set[Statement] = set(checks)
        pending = [*wanted, *(check.value for check in checks)]
        seen = set(known)
        while pending:
            value = pending.pop()
            if value in seen:
                continue
            seen.add(value)
            if value in self.made:
                found.add(self.made[value])
                pending += uses(self.made[value])
            elif self.carried.get(value, number) != number:
                if value not in self.kept:
                    self.kept[value] = Array(value.dtype, ())
                loads.append(Load(value, self.kept[value], ()))
        return (*loads, *sorted(found, key=self.order.__getitem__))


def free(statements: Sequence[Statement]) -> list[Value]:
    """The values that statements use and do not define."""
    used: list[Value] = []
    defined: set[Value] = set()
    pending = list(statements)
    while pending:
        statement = pending.pop()
        used += uses(statement)
        defined.update(defines(statement))
        if isinstance(statement, Loop):
            used += [x for carry in statement.carries for x in carry.uses]
            pending += statement.body
    return list(dict.fromkeys(x for x in used if x not in defined))
