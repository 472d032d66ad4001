"""Schedules and generated source as they print."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.ifelse import ifelse
from graphc.schedule.schedule import Compute


def training_step(backend: str) -> graphc.Function:
    x, y = T.dmatrix("x"), T.dvector("y")
    w = graphc.shared(np.zeros(3), "w")
    error = T.nnet.sigmoid(T.dot(x, w)) - y
    cost = T.sqr(error).mean()
    return graphc.function([x, y], cost, updates={w: w - 0.1 * T.grad(cost, w)}, name="train", backend=backend)


def choosing(backend: str) -> graphc.Function:
    x, y, c = T.dvector("x"), T.dvector("y"), T.dscalar("c")
    inner = ifelse(c > 1, T.exp(x) + y, T.log(y))
    return graphc.function([x, y, c], [ifelse(c > 0, inner, x), x], name="choose", backend=backend)


def test_a_schedule_prints_its_steps(golden: Any) -> None:
    golden("schedule/training_step").check(repr(training_step("numpy").schedule))


def test_a_schedule_prints_its_choices(golden: Any) -> None:
    golden("schedule/choices").check(repr(choosing("numpy").schedule))


@pytest.mark.parametrize("make", [training_step, choosing], ids=["training_step", "choices"])
def test_a_schedule_of_kernels_prints_its_steps(make: Any, golden: Any) -> None:
    """What runs, what is read and written, and which arrays share memory."""
    name = "training_step" if make is training_step else "choices"
    f = make("llvm")
    golden(f"schedule/{name}_llvm").check(repr(f.schedule))
    golden(f"source/llvm/{name}").check(f.source)


def test_source_of_a_training_step(golden: Any) -> None:
    golden("source/numpy/training_step").check(training_step("numpy").source)


def test_source_of_choices(golden: Any) -> None:
    golden("source/numpy/choices").check(choosing("numpy").source)


def test_every_node_is_computed_once_and_before_it_is_read(backend: str) -> None:
    for f in (training_step(backend), choosing(backend)):
        made = set(f.schedule.inputs)
        for step in f.schedule.steps:
            if isinstance(step, Compute):
                assert {b for b in step.reads if b.kind != "constant"} <= made
                assert made.isdisjoint(step.writes)
                made |= set(step.writes)


def test_names_are_unique_and_no_keywords(backend: str) -> None:
    names = ("x", "x", "lambda", "t0", "c0", "exp", None, "a b", "bool")
    inputs = [T.dscalar(name) for name in names]
    f = graphc.function(inputs, sum(map(T.exp, inputs[1:]), T.exp(inputs[0])), backend=backend)
    assert len({b.name for b in f.schedule.inputs}) == len(names)
    assert f(*[0.0] * len(names)) == len(names)


def test_results_that_belong_to_others_are_copied(backend: str) -> None:
    x, s = T.dvector("x"), graphc.shared(np.ones(2))
    e = T.exp(x)
    f = graphc.function([x], [x, s, e, e, e[::-1], T.constant(np.ones(2))], backend=backend)
    assert f.schedule.copies == (True, True, False, True, True, True)
