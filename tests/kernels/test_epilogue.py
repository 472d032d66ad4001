"""Products that are computed where they are read: which of them, and that the plan still means the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc.backends.cupy import spelling
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.epilogue import with_epilogues
from graphc.kernels.launch import Launch
from graphc.kernels.plan import Plan, plan
from graphc.kernels.steps import Product
from graphc.kernels.uses import Uses
from graphc.ops.matmul import Dot
from graphc.tensor import nnet
from tests.kernels.machine import Machine
from tests.kernels.programs import Program

# Programs, and how many of their products are computed where they are read, and how many are not.
CASES = [
    (Program("layer", "nm mk k", lambda x, y, z: T.tanh(T.dot(x, y) + z)), 1, 0),
    (Program("two_layers", "nm mm mm", lambda x, y, z: T.tanh(T.dot(T.tanh(T.dot(x, y)), z))), 2, 0),
    (Program("added", "nm nk mk", lambda x, y, z: z - 0.5 * T.dot(x.T, y)), 1, 0),
    (Program("columns", "nm km nk", lambda x, y, z: [(d := T.dot(x, y.T) * (z > 0)), d.sum(axis=0)]), 1, 0),
    (Program("of_a_temporary", "nn nn nn", lambda x, y, z: T.exp(T.dot(T.tanh(x + z), y) - z)), 1, 0),
    (Program("gates", "nm mk nk kk", lambda x, y, z, w: nnet.sigmoid(T.dot(x, y) + T.dot(z, w))), 1, 1),
    (Program("result", "nm mk", lambda x, y: [(p := T.dot(x, y)), T.tanh(p)]), 0, 1),
    (Program("transposed", "nm mk kn", lambda x, y, z: T.dot(x, y).T * z), 1, 0),
    (Program("rows", "nm mk", lambda x, y: nnet.softmax(T.dot(x, y))), 0, 1),
    (Program("total", "nm mk", lambda x, y: T.exp(T.dot(x, y)).sum()), 0, 1),
    (Program("some_rows", "nm mk", lambda x, y: T.exp(T.dot(x, y)[:1])), 1, 0),
    (Program("some_columns", "nm mk", lambda x, y: T.exp(T.dot(y.T, x.T)[:, :2])), 1, 0),
    (Program("with_itself", "nn", lambda x: T.dot(x, x) + x), 1, 0),
    (Program("reshaped", "nm mk", lambda x, y: T.exp(T.dot(x, y).reshape((-1,)))), 0, 1),
]


def planned(program: Program) -> Plan:
    """The plan of a program, with every product by a library."""
    f = program.function("numpy")
    f(*program.values())
    return plan(f.schedule, kernel_ops(spelling.spells), windows=False, atomic=True)


@pytest.mark.parametrize("program, joined, left", CASES, ids=[str(p) for p, *_ in CASES])
@pytest.mark.parametrize("sizes", [{}, {"n": 1, "m": 1, "k": 1}, {"m": 0}, {"n": 0}], ids=str)
def test_a_product_is_computed_where_it_is_read(program: Program, joined: int, left: int, sizes: Any) -> None:
    before = planned(program)
    steps = with_epilogues(Uses(before), lambda _: True)
    assert len(steps) == len(before.steps)
    assert sum(s is None for s in steps) == joined
    assert sum(isinstance(s, Product) for s in steps) == left
    assert sum(isinstance(s, Launch) and any(isinstance(n.op, Dot) for n in s.nodes) for s in steps) == joined
    kept = [(s, when) for s, when in zip(steps, before.whens, strict=True) if s is not None]
    after = replace(before, steps=tuple(s for s, _ in kept), whens=tuple(when for _, when in kept))
    values = program.values(**sizes)
    expected = as_list(program.function("numpy")(*values))
    for got, want in zip(Machine(after).run(values), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def as_list(results: Any) -> list[Any]:
    """The results of a function with one or several."""
    return list(results) if isinstance(results, list | tuple) else [results]


def test_a_step_that_is_fixed_reads_its_product() -> None:
    before = planned(CASES[0][0])
    uses = Uses(before)
    (reader,) = (i for i, s in enumerate(with_epilogues(uses, lambda _: True)) if s is not before.steps[i] and s)
    assert with_epilogues(uses, lambda _: True, {reader}) == list(before.steps)
    assert with_epilogues(uses, lambda _: False) == list(before.steps)
