"""The memory plan: a step writes only into memory that nobody reads any more."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings

import graphc.tensor as T
from graphc.backends.base import GuardFailed
from graphc.backends.base import backend as named
from graphc.backends.numpy.spelling import writes_into
from graphc.compile.pipeline import PHASES, lowering
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.variable import Variable
from graphc.ops.declare import Elementwise
from graphc.rewrites.engine.driver import rewrite
from graphc.schedule.memory import plan
from graphc.schedule.schedule import Compute, Schedule, schedule

from ..random_graphs.programs import WORLDS, Program, programs
from ..random_graphs.test_random_graphs import leaf_values, oracle, roots
from .interpreter import Interpreter


def eager(step: Compute) -> bool:
    """Every elementwise step takes over a buffer if it can: more than any backend does."""
    return isinstance(step.node.op, Elementwise) and not step.node.op.aliases(0)


def planned(inputs: list[Variable], outputs: list[Variable], reusable: Any = eager, lower: bool = True) -> Schedule:
    graph = FunctionGraph.build(inputs, outputs)
    for phase in (*PHASES, *([lowering(named("numpy"))] if lower else [])):
        graph, _ = rewrite(graph, phase)
    return plan(schedule(graph), reusable)


@given(program=programs())
@settings(max_examples=200)
def test_nothing_that_is_still_read_is_written(program: Program) -> None:
    steps = planned([*program.inputs, *program.shared], roots(program))
    for world in range(WORLDS):
        right = oracle(program, world)
        if isinstance(right, Exception):
            continue
        arrays = list(leaf_values(program, world).values())
        before = [a.copy() for a in arrays]
        try:
            results = Interpreter(steps).run(arrays)
        except GuardFailed:
            continue  # another variant's business
        for i, result in enumerate(results):
            right.check(i, np.asarray(result), ieee=False)
        for a, b in zip(arrays, before, strict=True):
            assert np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


def intos(steps: Schedule) -> list[str]:
    return [steps.describe(step) for step in steps.steps if isinstance(step, Compute) and step.into is not None]


def test_a_chain_runs_in_one_buffer() -> None:
    x = T.dvector("x")
    y = x
    for _ in range(10):
        y = T.tanh(y + 1)
    steps = planned([x], [y])
    assert len(intos(steps)) == 19  # all but the first
    run = Interpreter(steps)
    expected = np.zeros(3)
    for _ in range(10):
        expected = np.tanh(expected + 1)
    (result,) = run.run([np.zeros(3)])
    assert run.reused == 19
    np.testing.assert_array_equal(result, expected)


def test_inputs_are_never_written() -> None:
    x = T.dvector("x")
    assert not intos(planned([x], [T.exp(x)]))


def test_results_are_never_written() -> None:
    x = T.dvector("x")
    e = T.exp(x)
    steps = planned([x], [e, T.tanh(e), T.tanh(T.tanh(e) + 1)])
    assert len(intos(steps)) == 1  # tanh into the sum, which is no result


def test_constants_are_never_written() -> None:
    x = T.dscalar("x")
    ones = T.constant(np.ones(3))
    steps = planned([x], [T.tensor_copy(ones) * x, T.tensor_copy(ones)[::-1] + x])
    assert not intos(steps)


def test_memory_of_a_live_view_is_not_written() -> None:
    x = T.dvector("x")
    e = T.exp(x)
    view = e[::-1]
    steps = planned([x], [T.tanh(e) + 1, view])  # the view is a result: e lives to the end
    assert all("into t0" not in line for line in intos(steps))
    results = Interpreter(steps).run([np.arange(3.0)])
    np.testing.assert_array_equal(results[1], np.exp(np.arange(3.0))[::-1])


def test_memory_is_free_when_its_last_view_is_read() -> None:
    x = T.dvector("x")
    e = T.exp(x)
    y = T.sin(e[::-1]) + 1
    steps = planned([x], [T.tanh(y * 2)])
    assert intos(steps)
    np.testing.assert_array_equal(
        Interpreter(steps).run([np.arange(3.0)])[0], np.tanh((np.sin(np.exp(np.arange(3.0))[::-1]) + 1) * 2)
    )


def test_steps_under_a_predicate_neither_take_nor_leave_buffers() -> None:
    from graphc.ifelse import ifelse

    x, c = T.dvector("x"), T.lscalar("c")
    y = ifelse(c, T.exp(T.tanh(x) + 1), T.log(x + 2))
    steps = planned([x, c], [T.sin(T.cos(x)) + y])
    for step in steps.steps:
        assert not (isinstance(step, Compute) and step.when and step.into is not None)


def test_sizes_are_compared_as_symbols() -> None:
    """x and y may have any lengths: only what is known to be as long as the result will do."""
    x, y = T.dvectors("x", "y")
    steps = planned([x, y], [T.exp(x).sum() + T.tanh(T.exp(y)).sum()])
    assert len(intos(steps)) == 1


def test_numpy_writes_where_its_functions_can() -> None:
    """Not into the operands of `where`, and not where the result is cast afterwards."""
    x = T.dvector("x")
    chosen = T.switch(T.exp(x) > 1, T.exp(x), 0.0)
    assert intos(planned([x], [T.exp(x * 2) + 1], writes_into)) == ["t2 = exp(t1) into t1", "t4 = add(t2, c3) into t2"]
    assert all("switch" not in line for line in intos(planned([x], [chosen], writes_into)))
