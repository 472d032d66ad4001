"""Rows that are filled early: which nests, and that they still mean the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc.backends.cupy import spelling
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.early import filled_early
from graphc.kernels.gpuir import walk
from graphc.kernels.interpret import interpret
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Array, Kernel, Load, Loop
from graphc.kernels.nests import nest_of, rows_of
from graphc.kernels.plan import plan
from graphc.tensor import nnet
from tests.kernels.machine import Machine
from tests.kernels.programs import PROGRAMS, Program

# Programs, and how often the loops of their kernels read what is in memory, before and after.
CASES = [
    (Program("softmax", "nm", lambda x: nnet.softmax(x)), 2, 1),
    (Program("float32", "nm", lambda x: nnet.softmax(x), "float32"), 2, 1),
    (Program("log_softmax", "nm", lambda x: nnet.logsoftmax(x)), 3, 3),
    (Program("another_dtype", "nm", lambda x: nnet.softmax(T.cast(x, "float64")), "float32"), 2, 2),
    (Program("two_arrays", "nm nm", lambda x, y: nnet.softmax(x + y)), 4, 3),
    (Program("read_afterwards", "nm", lambda x: nnet.softmax(x) * x), 3, 3),
]


def early(kernel: Kernel) -> Kernel:
    """The kernel with its outermost nests so changed."""
    body = []
    for s in kernel.body:
        if isinstance(s, Loop):
            nest = nest_of(s)
            changed = filled_early(nest, rows_of(nest)).body
            s = Loop(nest.axes[-1], changed, s.carries) if len(nest.axes) == 1 else s
        body.append(s)
    return Kernel(kernel.sizes, kernel.scalars, kernel.arrays, kernel.outputs, tuple(body), kernel.written)


def launches(program: Program) -> list[Launch]:
    """The kernels of a program."""
    f = program.function("numpy")
    f(*program.values())
    made = plan(f.schedule, kernel_ops(spelling.spells), windows=False, atomic=True)
    return [step for step in made.steps if isinstance(step, Launch)]


def reads(kernel: Kernel) -> int:
    """How many statements in inner loops read what no row has."""
    rows: set[Array] = {row for s in kernel.body if isinstance(s, Loop) for row in rows_of(nest_of(s))}
    inner = [x for s in kernel.body if isinstance(s, Loop) for x in nest_of(s).inner]
    return sum(isinstance(s, Load) and s.array not in rows for s in walk(inner))


@pytest.mark.parametrize("program, before, after", CASES, ids=[str(p) for p, *_ in CASES])
def test_what_is_read_again_is_in_a_row(program: Program, before: int, after: int) -> None:
    kernels = [launch.kernel for launch in launches(program)]
    assert sum(map(reads, kernels)) == before
    assert sum(map(reads, map(early, kernels))) == after


@pytest.mark.parametrize("program", [*PROGRAMS, *(p for p, *_ in CASES)], ids=str)
def test_kernels_mean_the_same(program: Program) -> None:
    def run(kernel: Kernel, *given: Any) -> list[Any]:
        return interpret(early(kernel), *given)

    f = program.function("numpy")
    values = program.values()
    f(*values)
    made = plan(f.schedule, kernel_ops(spelling.spells), windows=False, atomic=True)
    for got, want in zip(Machine(made, run).run(values), Machine(made).run(values), strict=True):
        np.testing.assert_array_equal(got, want)
