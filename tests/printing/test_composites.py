"""Functions with kernels are shown with trees of elementwise nodes as one; their graphs stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import graphc
import graphc.tensor as T
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.traverse import toposort
from graphc.graph.variable import Variable
from graphc.ops.transcendental import exp, tanh
from graphc.printing import debugprint, to_dot, to_svg
from graphc.printing.composites import MOST_NODES, Composite, composed

from .test_debugprint import network, text

Golden = Callable[[str], Any]

x, y = T.dmatrix("x"), T.dmatrix("y")
v = T.dvector("v")


def function(inputs: Sequence[Variable], outputs: Sequence[Variable], **more: Any) -> Any:
    """What printing sees of a function with kernels."""
    return SimpleNamespace(graph=FunctionGraph.build(inputs, outputs), kernels=["one"], **more)


def expressions(outputs: Sequence[Variable], called: frozenset[Any] = frozenset()) -> list[str]:
    graph = FunctionGraph.build([x, y, v], outputs)
    return [n.op.expression for n in toposort(composed(graph, called)) if isinstance(n.op, Composite)]


def test_the_network_of_the_article(golden: Golden) -> None:
    of_network = SimpleNamespace(graph=network(), kernels=["one"])
    golden("printing/composites_network").check(text(of_network))
    golden("printing/composites_picture").check(to_dot(of_network))
    assert "Elemwise{Composite{tanh((i0 + i1))}} [id D] ''   1" in text(of_network)


def test_a_compiled_function() -> None:
    pytest.importorskip("llvmlite")
    f = graphc.function([x, v], tanh(x + v) * 2, backend="llvm")
    before = f.graph.outputs
    assert text(f).splitlines()[0] == "Elemwise{Composite{(tanh((i0 + i1)) * i2)}} [id A] ''   0"
    assert text(f, fused=False) == text(f.graph)
    assert "tanh [id" in text(f, fused=False)
    assert "Composite" in to_svg(f)
    assert "Composite" not in to_svg(f, fused=False)
    assert f.graph.outputs == before
    assert "Composite" not in text(graphc.function([x, v], tanh(x + v) * 2, backend="numpy"))


def test_an_op_that_python_computes_stays_alone() -> None:
    pytest.importorskip("llvmlite")
    i = T.lmatrix("i")
    f = graphc.function([i], (i**i + 1) * 2, backend="llvm")
    assert [op.text() for op in f.called] == ["pow"]
    assert re.sub(r" \[id.*", "", text(f)).split("\n")[:2] == ["Elemwise{Composite{((i0 + i1) * i2)}}", " |pow"]


def test_operands_are_numbered_as_they_are_read() -> None:
    assert expressions([exp(y) + x * y]) == ["(exp(i0) + (i1 * i0))"]
    assert expressions([T.switch(x < y, x, v)]) == ["switch(lt(i0, i1), i0, i2)"]


def test_a_lone_node_stays_as_it_is() -> None:
    assert expressions([tanh(x), x + y]) == []


def test_what_two_need_is_a_node() -> None:
    shared = tanh(x + y)
    assert expressions([shared * x, exp(shared)]) == ["tanh((i0 + i1))"]
    assert expressions([shared * shared]) == ["tanh((i0 + i1))"]
    assert expressions([shared, exp(shared) - 1]) == ["tanh((i0 + i1))", "(exp(i0) - i1)"]


def test_another_shape_is_another_node() -> None:
    assert expressions([x * exp(-v)]) == ["exp((-i0))"]


def test_called_ops_are_left_out() -> None:
    assert expressions([exp(tanh(x) + y)], frozenset({tanh})) == ["exp((i0 + i1))"]


def test_names_and_updates_stay() -> None:
    w = graphc.shared(1.0, "w")
    new = w * 2 - 1
    new.name = "new"
    of_updates = function([w], [new], updates_of={0: w})
    assert text(of_updates).splitlines()[0] == "Elemwise{Composite{((i0 * i1) - i2)}} [id A] 'new'   0 -> w"


def test_lists() -> None:
    f = function([x, y], [tanh(x + y)])
    listing = text([f, f.graph, tanh(x)])
    assert [line.split(" [id")[0] for line in listing.splitlines() if not line.startswith(" ")] == [
        "Elemwise{Composite{tanh((i0 + i1))}}", "tanh", "tanh",
    ]  # fmt: skip


def test_long_chains() -> None:
    z: Any = x
    for _ in range(5_000):
        z = exp(z) + y
    found = expressions([z])
    assert len(found) == -(-10_000 // MOST_NODES)
    assert debugprint(function([x, y], [z]), file="str").count("Composite") == len(found)
