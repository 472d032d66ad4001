"""Nested `ifelse` on the same conditions in any order, with gradients: a condition may rest on its own choice."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import function
from graphc.evaluator import evaluate
from graphc.ifelse import ifelse


def program(seed: int) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of a random nest of branches; half of the programs are gradients."""
    draw = random.Random(seed)
    x, y, c = T.dvector("x"), T.dvector("y"), T.dscalar("c")
    pool = [x, y]
    conditions = [c > 0, c > 0.5]
    for _ in range(draw.randrange(2, 9)):
        a, b = draw.choice(pool), draw.choice(pool)
        kind = draw.randrange(6)
        pool.append(ifelse(draw.choice(conditions), a, b) if kind < 3 else a + b if kind < 5 else T.tanh(a))
    outputs: Any = [pool[-1]]
    if draw.random() < 0.5:
        outputs = T.grad(pool[-1].sum(), [x, y], disconnected_inputs="ignore")
    return [x, y, c], list(outputs)


@pytest.mark.parametrize("seeds", [range(i, i + 25) for i in range(0, 200, 25)] + [[4275, 564]], ids=str)
def test_branches_in_any_order(seeds: Any) -> None:
    for seed in seeds:
        inputs, outputs = program(seed)
        f = function(inputs, outputs, on_unused_input="ignore", backend="numpy")
        for c in (-1.0, 0.2, 0.7):
            values = [np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.array(c)]
            expected = evaluate(outputs, dict(zip(inputs, values, strict=True)))
            for got, wanted in zip(f(*values), expected, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_a_condition_that_rests_on_its_own_choice() -> None:
    x, y, c = T.dvector("x"), T.dvector("y"), T.dscalar("c")
    second = ifelse(c > 0, x, y)
    third = ifelse(c > 0, y, second)
    fourth = ifelse(c > 0.5, x, third)
    f = function([x, y, c], T.grad(fourth.sum(), [x, y]), on_unused_input="ignore", backend="numpy")
    for value, dx in ((-1.0, 0.0), (0.2, 0.0), (0.7, 1.0)):
        gx, gy = f([1.0, 2.0], [3.0, 4.0], value)
        np.testing.assert_array_equal(gx, [dx, dx])
        np.testing.assert_array_equal(gy, [1 - dx, 1 - dx])
