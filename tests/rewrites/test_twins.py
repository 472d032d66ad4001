"""What is computed with and without axes of size 1 is computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.evaluator import evaluate
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.variable import Variable
from graphc.ops.reduction import KINDS
from graphc.rewrites.engine.driver import rewrite
from graphc.rewrites.specialize import SPECIALIZE
from graphc.rewrites.twins import TWINS

Build = Callable[[Any, Any], list[Variable]]

# Outputs of a matrix and a vector as they are written, and what they become; the others stay.
MERGED: list[tuple[str, Build, Build]] = [
    (
        "reduction_with_and_without_keepdims",
        lambda m, v: [m.sum(axis=1), m.sum(axis=1, keepdims=True)],
        lambda m, v: [m.sum(axis=1), m.sum(axis=1).dimshuffle(0, "x")],
    ),
    (
        "reduction_with_and_without_keepdims",
        lambda m, v: [T.log(m.max()), m - m.max(keepdims=True)],
        lambda m, v: [T.log(m.max()), m - m.max().dimshuffle("x", "x")],
    ),
    (
        "elementwise_with_and_without_new_axes",
        lambda m, v: [T.tanh(v), T.tanh(v.dimshuffle(0, "x"))],
        lambda m, v: [T.tanh(v), T.tanh(v).dimshuffle(0, "x")],
    ),
    (
        "elementwise_with_and_without_new_axes",
        lambda m, v: [T.exp(v / m.sum()), T.exp(v[None, :] / m.sum())],
        lambda m, v: [T.exp(v / m.sum()), T.exp(v / m.sum())[None, :]],
    ),
    (
        "elementwise_with_and_without_new_axes",
        lambda m, v: [v * m.max(axis=0), v[:, None] * m.max(axis=0)[:, None]],
        lambda m, v: [v * m.max(axis=0), (v * m.max(axis=0))[:, None]],
    ),
    (
        "elementwise_with_and_without_leading_axes",
        lambda m, v: [T.exp(m - v), (m - v.dimshuffle("x", 0)).sum()],
        lambda m, v: [T.exp(m - v), (m - v).sum()],
    ),
]

ALONE: list[Build] = [
    lambda m, v: [m / m.sum(axis=1, keepdims=True)],
    lambda m, v: [m.sum(axis=0, keepdims=True), m.sum(axis=1), m.max(axis=0)],
    lambda m, v: [m.sum(axis=1, keepdims=True), m.sum(axis=1, dtype="float32")],
    lambda m, v: [m * T.tanh(v.dimshuffle(0, "x")), T.exp(v)],
    lambda m, v: [T.tanh(m), T.tanh(m.T.dimshuffle("x", 0, 1))],
    lambda m, v: [v - 1, v[None, :] - m.sum()],
    lambda m, v: [v - v, v[None, :] - v[:, None]],
    lambda m, v: [v * 2.0, v[None, :] * v[None, :]],
]


def graph(build: Build) -> FunctionGraph:
    m, v = T.dmatrix("m"), T.dvector("v")
    return FunctionGraph.build([m, v], build(m, v))


def values(outputs: Any, given: FunctionGraph) -> list[np.ndarray]:
    m, v = np.arange(9.0).reshape(3, 3) - 4.5, np.array([0.5, -1.0, np.inf])
    found: list[np.ndarray] = evaluate(list(outputs), dict(zip(given.inputs, [m, v], strict=True)))
    return found


@pytest.mark.parametrize("name, written, normal", MERGED)
def test_twins_are_computed_once(name: str, written: Build, normal: Build) -> None:
    before = graph(written)
    want = [before.intern(x) for x in normal(*before.inputs)]
    after, trace = rewrite(before, TWINS)
    assert any(str(applied).split(": ")[0].endswith(name) for applied in trace)
    assert list(after.outputs) == want, [graphc.pp(x) for x in after.outputs]
    for new, old in zip(values(after.outputs, before), values(before.outputs, before), strict=True):
        assert new.dtype == old.dtype
        np.testing.assert_array_equal(new, old)


def test_every_rule_is_tried() -> None:
    assert {rule.text.split(":")[0] for rule in TWINS.rules} == {name for name, _, _ in MERGED}


@pytest.mark.parametrize("written", ALONE)
def test_without_a_twin_nothing_changes(written: Build) -> None:
    before = graph(written)
    after, trace = rewrite(before, TWINS)
    assert not trace
    assert after.outputs == before.outputs


@pytest.mark.parametrize("kind", KINDS)
def test_any_reduction_has_a_twin(kind: str) -> None:
    x = T.tensor("float64", shape=[None] * 3, name="x")
    y = x > 0 if kind in ("any", "all") else x
    reduced = getattr(T, kind)
    for axis in (0, 1, (0, 2), None):
        both = [reduced(y, axis=axis, keepdims=True), reduced(y, axis=axis)]
        after, _ = rewrite(rewrite(FunctionGraph.build([x], both), SPECIALIZE)[0], TWINS)
        made = after.outputs[0].owner
        assert made is not None
        assert list(made.inputs) == [after.outputs[1]]


def test_what_follows_from_twins_is_computed_once() -> None:
    m = T.dmatrix("m")
    f = graphc.function([m], [(m - m.mean(axis=0)) / m.std(axis=0)], backend="numpy")
    (variant,) = f.variants.values()
    ops = [node.op.text() for node in variant.schedule.graph.nodes]
    assert (ops.count("Sum{axis=[0]}"), ops.count("sub")) == (2, 1)
    a = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, -1.0]])
    np.testing.assert_allclose(f(a)[0], (a - a.mean(axis=0)) / a.std(axis=0))
