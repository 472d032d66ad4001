"""Kernels as stages of one loop each: what tests/cuda/test_mapping.py asks of a corpus, and what is not in it."""

from __future__ import annotations

import pytest

import graphc.tensor as T
from graphc import function
from graphc.graph.variable import Variable
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Load, Require, Statement, Value
from graphc.kernels.stages import Stage, staged
from tests.kernels.test_kernels import plan_of

x, y = T.dvector("x"), T.dvector("y")
element = x[T.cast(x.sum(), "int64")]  # an index that follows from a total


def in_order(stage: Stage) -> tuple[Statement, ...]:
    return (*stage.before, *([stage.loop] if stage.loop else []), *stage.after)


@pytest.mark.parametrize("outputs", [[element], [element, y * element], [element, T.exp(x)]], ids=str)
def test_checks_after_a_loop_guard_what_comes_after_them(outputs: list[Variable]) -> None:
    f = function([x, y], outputs, backend="numpy", on_unused_input="ignore")
    some = 0
    for kernel in (step.kernel for step in plan_of(f).steps if isinstance(step, Launch)):
        stages = [in_order(stage) for stage in staged(kernel).stages]
        checks = {s for s in kernel.body if isinstance(s, Require)}
        assert checks == {s for stage in stages for s in stage if isinstance(s, Require)}
        for stage in stages:
            for i, s in enumerate(stage):
                if isinstance(s, Load) and any(isinstance(at, Value) for at in s.index):
                    assert checks & set(stage[:i]), f"nothing guards {s}\n{kernel}"
                    some += 1
    assert some
