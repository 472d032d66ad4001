"""The op that prints a value when it is computed."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from graphc.evaluator import evaluate
from graphc.gradient import grad
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.types import TensorType
from graphc.ops.elementwise import sqr
from graphc.printing import Print, debugprint

v = TensorType("float64", shape=(None,))("v")
VALUE = np.array([1.0, 2.0, 3.0])


def test_it_prints_and_passes_the_value_on(capsys: pytest.CaptureFixture[str]) -> None:
    out = Print("hello world")(v)
    assert out.type == v.type
    assert np.array_equal(evaluate(out * 2, {v: VALUE}), VALUE * 2)
    assert capsys.readouterr().out == "hello world __str__ = [1. 2. 3.]\n"


def test_attributes(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(Print("v:", attrs=["shape", "max"])(v), {v: VALUE})
    assert capsys.readouterr().out == "v: shape = (3,)\nv: max = 3.0\n"


def test_a_function_of_ones_own() -> None:
    seen: list[Any] = []
    evaluate(Print("v", global_fn=lambda op, value: seen.append((op.message, value)))(v), {v: VALUE})
    assert seen[0][0] == "v"
    assert seen[0][1] is not None


def test_it_runs_as_often_as_it_stands_there(capsys: pytest.CaptureFixture[str]) -> None:
    show = Print("once")
    graph = FunctionGraph.build([v], [show(v) + show(v)])
    assert sum(node.op is show for node in graph.toposort()) == 2
    assert graph.shape(graph.outputs[0]) == graph.shape(v)
    evaluate(graph.outputs[0], {v: VALUE})
    assert capsys.readouterr().out.count("once") == 2


def test_the_gradient_passes(capsys: pytest.CaptureFixture[str]) -> None:
    cost = sqr(Print("v")(v)).sum()
    assert np.array_equal(evaluate(grad(cost, v), {v: VALUE}), 2 * VALUE)


def test_how_it_prints_itself() -> None:
    assert debugprint(Print("hello")(v), file="str").startswith("Print{message='hello'} [id A]")


def test_it_pickles() -> None:
    twin = pickle.loads(pickle.dumps(Print("hello", attrs=("shape",))))
    assert (twin.message, twin.attrs, twin.global_fn) == ("hello", ("shape",), Print().global_fn)
