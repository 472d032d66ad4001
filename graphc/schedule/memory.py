"""The memory plan: which dead buffer a step may write its result into.

A buffer is dead when no later step reads it or a view of it and it is no result.  Sizes are compared as the symbols
they are, so the plan holds for every run-time shape that passes the guards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from graphc.schedule.schedule import Buffer, Choose, Compute, Schedule, Step

Test = Callable[[Compute], bool]


def plan(schedule: Schedule, reusable: Test, fresh: Test = lambda step: True) -> Schedule:
    """The schedule with `into` set for the steps for which `reusable` holds and a dead buffer of equal size exists.

    fresh: whether the results of a step are new arrays that nobody else may hold; only such memory is used again.
    Steps under a predicate neither take nor leave buffers: whether they ran is not known afterwards.
    """
    owned = schedule.owned
    foreign = {b for s in schedule.steps if isinstance(s, Compute) and (s.when or not fresh(s)) for b in s.writes}
    last_use = {
        b: position for b, position in _last_uses(schedule, owned).items() if b.kind == "temporary" and b not in foreign
    }
    free: dict[object, list[Buffer]] = {}
    steps: list[Step] = []
    for position, step in enumerate(schedule.steps):
        if not isinstance(step, Compute) or step.when:
            steps.append(step)
            continue
        dying = [b for b in _memory_read(step, owned) if last_use.get(b) == position]
        into = None
        key = _key(step.writes[0])
        if step.writes[0].variable.ndim and (dying or free.get(key)) and reusable(step):
            # An operand that dies here is as good as a buffer that died before: elementwise steps read before they
            # write.  Only the operand itself will do, not memory it is a view of.
            # The result lives on in the memory of `into`, and may be taken over from there.
            operands = [b for b in dying if b in step.reads and _key(b) == key]
            if operands:
                into = operands[0]
                dying.remove(into)
            elif free.get(key):
                into = free[key].pop()
        steps.append(step if into is None else Compute(step.node, step.reads, step.writes, step.when, into))
        for b in dying:
            free.setdefault(_key(b), []).append(b)
    return replace(schedule, steps=tuple(steps))


def _key(buffer: Buffer) -> object:
    """Equal for buffers of one dtype and one size."""
    return buffer.variable.type.dtype, buffer.shape


def _memory_read(step: Compute, owned: Mapping[Buffer, Sequence[Buffer]]) -> Iterable[Buffer]:
    if not owned:
        return dict.fromkeys(step.reads)
    return dict.fromkeys([b for read in step.reads for b in owned.get(read, (read,))])


def _last_uses(schedule: Schedule, owned: Mapping[Buffer, Sequence[Buffer]]) -> dict[Buffer, int]:
    """The position of the last step that touches each piece of memory; results are read at the end."""
    last: dict[Buffer, int] = {}
    for position, step in enumerate(schedule.steps):
        for b in _touched_by(step):
            if b in owned:
                last.update(dict.fromkeys(owned[b], position))
            else:
                last[b] = position
    for b in schedule.results:
        last.update(dict.fromkeys(owned.get(b, (b,)), len(schedule.steps)))
    return last


def _touched_by(step: Step) -> Sequence[Buffer]:
    if isinstance(step, Compute):
        return step.reads + step.writes
    if isinstance(step, Choose):
        return (step.condition,)
    return [b for b in (step.left, step.right) if isinstance(b, Buffer)]
