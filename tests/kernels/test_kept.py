"""Rows of what is gathered: which kernels keep them, and that the plan still means the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc.backends.llvm import spelling
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.launch import Launch, Memory
from graphc.kernels.plan import Plan, plan
from tests.kernels.machine import Machine
from tests.kernels.programs import PROGRAMS, Program


def normalised(x: Any) -> Any:
    """Rows of mean 0 and variance 1."""
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / T.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)


# Programs, and how many rows their kernels keep for this reason.
CASES = [
    (Program("transposed", "mn", lambda x: normalised(x.T)), 1),
    (Program("two_of_them", "mn mn", lambda x, y: normalised(x.T * y.T)), 2),
    (Program("one_of_them", "mn nm", lambda x, y: normalised(x.T * y)), 1),
    (Program("float32", "mn", lambda x: normalised(x.T), "float32"), 1),
    (Program("in_order", "nm", normalised), 0),
    (Program("read_once", "mn", lambda x: x.T * 2), 0),
    (Program("of_rank_3", "kmn", lambda x: normalised(x.dimshuffle(2, 1, 0).reshape((x.shape[2], -1)))), 0),
]


def planned(program: Program, rows: bool, **sizes: int) -> Plan:
    """The plan of a program."""
    f = program.function("numpy")
    f(*program.values(**sizes))
    return plan(f.schedule, kernel_ops(spelling.spells), rows=rows)


def kept(made: Plan) -> int:
    """How many rows its kernels have."""
    return sum(isinstance(key, Memory) for step in made.steps if isinstance(step, Launch) for key in step.arrays)


@pytest.mark.parametrize("program, rows", CASES, ids=[str(p) for p, _ in CASES])
def test_what_is_gathered_twice_is_kept(program: Program, rows: int) -> None:
    assert kept(planned(program, rows=True)) - kept(planned(program, rows=False)) == rows


@pytest.mark.parametrize("program", [*PROGRAMS, *(p for p, _ in CASES)], ids=str)
@pytest.mark.parametrize("sizes", [{"n": 3, "m": 5, "k": 2}, {"n": 1, "m": 4, "k": 1}], ids=str)
def test_a_plan_with_rows_means_the_same(program: Program, sizes: dict[str, int]) -> None:
    values = program.values(**sizes)
    without = Machine(planned(program, rows=False, **sizes)).run(values)
    for got, want in zip(Machine(planned(program, rows=True, **sizes)).run(values), without, strict=True):
        np.testing.assert_array_equal(got, want)
