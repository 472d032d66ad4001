"""A schedule, executed step by step with poisoned memory: what it means, apart from any backend.

A step with ``into`` fills that buffer with garbage before its result goes there, so that whoever still reads the old
value, or a view of it, gets garbage; and it may not be memory that belongs to the caller, a constant or a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.backends.base import GuardFailed
from graphc.evaluator import value_of
from graphc.graph.predicates import Choice, Predicate
from graphc.graph.variable import Constant
from graphc.schedule.schedule import Buffer, Check, Choose, Compute, Schedule


class Interpreter:
    """Runs a schedule; `performed` counts the nodes that ran, `reused` the buffers that were written again."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.performed: list[Any] = []
        self.reused = 0

    def run(self, values: Sequence[Any]) -> list[np.ndarray]:
        schedule = self.schedule
        memory: dict[Buffer, np.ndarray] = dict(zip(schedule.inputs, values, strict=True))
        taken: dict[Choice, bool] = {}
        foreign = list(memory.values())
        with np.errstate(all="ignore"):
            for step in schedule.steps:
                if not self._runs(step.when, taken):
                    continue
                if isinstance(step, Check):
                    left, right = (
                        n if isinstance(n, int) else int(self._value(n, memory)) for n in (step.left, step.right)
                    )
                    if left != right:
                        raise GuardFailed(step.guard, left, right)
                elif isinstance(step, Choose):
                    taken[step.choice] = bool(self._value(step.condition, memory))
                else:
                    self._compute(step, memory, foreign)
        results = [self._value(b, memory) for b in schedule.results]
        return [np.array(r) if copy else r for r, copy in zip(results, schedule.copies, strict=True)]

    @staticmethod
    def _runs(when: Predicate, taken: dict[Choice, bool]) -> bool:
        return not when or any(taken.get(choice) is branch for choice, branch in when)

    @staticmethod
    def _value(buffer: Buffer, memory: dict[Buffer, np.ndarray]) -> np.ndarray:
        if buffer.kind == "constant":
            assert isinstance(buffer.variable, Constant)
            return buffer.variable.data
        return memory[buffer]

    def _compute(self, step: Compute, memory: dict[Buffer, np.ndarray], foreign: list[np.ndarray]) -> None:
        given = [self._value(b, memory) if b in memory or b.kind == "constant" else None for b in step.reads]
        results = value_of(step.node, given)
        self.performed.append(step.node)
        if step.into is not None:
            target = memory[step.into]
            assert step.into.kind == "temporary", f"{step.into} is no memory of the schedule's own"
            assert not any(np.may_share_memory(target, v) for v in foreign), f"{step.into} is the caller's memory"
            (out,) = results
            assert (target.shape, target.dtype) == (out.shape, out.dtype)
            out = out.copy()
            target[...] = poison(target.dtype)
            target[...] = out
            results = (target,)
            self.reused += 1
        for i, (buffer, value) in enumerate(zip(step.writes, results, strict=True)):
            if not step.node.op.aliases(i) and step.into is None:
                value = np.array(value)  # own memory, whatever `perform` did
            memory[buffer] = value


def poison(dtype: np.dtype) -> Any:
    """A value that nobody expects."""
    if dtype.kind in "fc":
        return np.nan
    return True if dtype.kind == "b" else 99
