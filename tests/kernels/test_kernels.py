"""Kernels of a few programs: how they read, and that three ways to run them agree."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from graphc.backends.llvm import spelling
from graphc.compile.function import Function
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.interpret import interpret
from graphc.kernels.launch import Launch
from graphc.kernels.plan import Plan, plan
from tests.kernels.machine import Machine
from tests.kernels.programs import PROGRAMS, Program
from tests.ops.arrays import check

BY_NAME = {program.name: program for program in PROGRAMS}


def plan_of(f: Function, fuses: bool = True) -> Plan:
    """The plan of the variant used last."""
    return plan(f.schedule, kernel_ops(spelling.spells), fuses)


def launches(plan: Plan) -> list[Launch]:
    return [step for step in plan.steps if isinstance(step, Launch)]


def close(results: list[Any], wanted: list[Any], ulps: float = 64) -> None:
    """Equal, but for rounding that depends on the order of a few additions, relative to the largest element."""
    assert len(results) == len(wanted)
    for got, want in zip(results, wanted, strict=True):
        if want.dtype.kind != "f":
            check(got, want)
            continue
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        scale = np.abs(want[np.isfinite(want)]).max(initial=1)
        np.testing.assert_allclose(got, want, ulps * np.finfo(want.dtype).eps, ulps * np.finfo(want.dtype).eps * scale)


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_how_kernels_read(program: Program, golden: Any) -> None:
    f = program.function("llvm")
    f(*program.values())  # the variant of these shapes
    golden(f"kernels/{program.name}").check(f"{f.schedule!r}\n\n{f.source}")


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_interpreter_numpy_and_machine_code_agree(program: Program) -> None:
    reference, compiled = program.function("numpy"), program.function("llvm")
    ones = {"n": 1, "m": 1, "k": 1}
    choices: list[dict[str, int]] = [{}, {"n": 1, "m": 9}, {"n": 4, "m": 17, "k": 1}, {"n": 2, "m": 1}, ones]
    for sizes in choices:
        values = program.values(**sizes)
        wanted = reference(*values)
        close(compiled(*values), wanted)
        if not sizes:
            for fuses in (True, False):
                for backwards in (True, False):
                    run = partial(interpret, backwards=backwards)
                    close(Machine(plan_of(compiled, fuses), run).run(values), wanted)


def test_nothing_is_reduced_to_what_changes_nothing() -> None:
    for name in ("column_sum", "row_reductions", "total_after_rows"):
        program = BY_NAME[name]
        reference, compiled = program.function("numpy"), program.function("llvm")
        for sizes in ({"n": 0, "m": 5}, {"n": 3, "m": 0}, {"n": 0, "m": 0}):
            values = program.values(**sizes)
            try:
                wanted = reference(*values)
            except ValueError:
                with pytest.raises(ValueError, match="zero-size"):
                    compiled(*values)
            else:
                close(compiled(*values), wanted, 8)
                close(Machine(plan_of(compiled)).run(values), wanted, 8)
