"""Pictures of graphs: what is drawn, how it is labelled, and the files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc.gradient import grad
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.op import Op
from graphc.graph.shared import shared
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Variable
from graphc.ops.broadcasting import alloc
from graphc.ops.control import ifelse
from graphc.ops.elementwise import lt
from graphc.ops.indexing import set_subtensor
from graphc.ops.matmul import dot
from graphc.ops.nnet import softmax
from graphc.ops.transcendental import tanh
from graphc.printing import graph_picture, pydotprint, to_dot, to_svg
from graphc.printing.picture import NODE_COLOURS, Picture

Golden = Callable[[str], Any]

scalar, vector, matrix = (TensorType("float64", shape=(None,) * n) for n in range(3))
x, v, X = scalar("x"), vector("v"), matrix("X")
W1, W2 = shared(np.ones((2, 4)), "W1"), shared(np.ones((4, 2)), "W2")
b1, b2 = shared(np.zeros(4), "b1"), shared(np.zeros(2), "b2")
y_hat = softmax(dot(tanh(dot(X, W1) + b1), W2) + b2)
forward = FunctionGraph.build([X], [y_hat])


class Compiled:
    """What a compiled function looks like from here."""

    def __init__(self, graph: FunctionGraph, updates_of: dict[int, Variable]) -> None:
        self.graph = graph
        self.updates_of = updates_of


def listing(picture: Picture) -> str:
    """A picture as text."""
    labels = {node.key: node.label.replace("\n", " / ") for node in picture.nodes}
    nodes = [f"{node.kind} {node.shape}: {labels[node.key]}" for node in picture.nodes]
    edges = [
        f"{labels[edge.source]} -> {labels[edge.target]}: {edge.label} {edge.style}".rstrip(": ")
        for edge in picture.edges
    ]
    return "\n".join([*nodes, "", *edges])


def kinds(picture: Picture) -> dict[str, str]:
    return {node.label: node.kind for node in picture.nodes}


# ---- the picture ----


def test_the_network_of_the_article(golden: Golden) -> None:
    golden("printing/picture_network").check(listing(graph_picture(forward)))


def test_a_training_step(golden: Golden) -> None:
    cost = ((y_hat - 1) ** 2).sum()
    step = FunctionGraph.build([X], [cost, *(w - 0.1 * g for w, g in zip([W2, b2], grad(cost, [W2, b2]), strict=True))])
    golden("printing/picture_training").check(listing(graph_picture(Compiled(step, {1: W2, 2: b2}))))


def test_kinds_are_theanos_colours() -> None:
    part = set_subtensor(X[:1], ifelse(lt(x, 0), alloc(x, 1, 2), dot(X, W1)))
    found = kinds(graph_picture(FunctionGraph.build([x, X], [part])))
    assert found["x"] == "input"
    assert found["W1"] == "shared"
    assert found["TensorType(float64, matrix)"] == "output"
    assert found["lt"] == "elementwise"
    assert found["Alloc"] == "alloc"
    assert found["if"] == "ifelse"
    assert found["dot"] == "other"
    assert found["1"] == "constant"
    assert [kind for label, kind in found.items() if label.startswith("SetSubtensor")] == ["subtensor"]


class ScanLike(Op):
    """An op named as loops are, which overwrites its second input."""

    destroy_map = {0: [1]}  # noqa: RUF012

    def make_node(self, *inputs: Any) -> Apply:
        return Apply(self, inputs, [inputs[0].type, inputs[0].type])


def test_edges_into_views_and_overwriting_ops() -> None:
    first, _ = ScanLike()(v, x)
    picture = graph_picture(first[:1])
    assert Counter(edge.style for edge in picture.edges) == {"": 4, "destroy": 1, "view": 1}
    assert kinds(picture)["ScanLike"] == "scan"


def test_an_unused_output_is_drawn() -> None:
    first, _ = ScanLike()(v, x)
    picture = graph_picture(first)
    assert Counter(node.kind for node in picture.nodes) == {"input": 2, "scan": 1, "output": 1, "other": 1}
    assert sorted(edge.label for edge in picture.edges if edge.source == "n0") == ["0", "1"]


def test_named_variables_have_boxes() -> None:
    h = tanh(X)
    h.name = "h"
    assert kinds(graph_picture(h + 1))["h"] == "other"
    labels = {node.label for node in graph_picture(h + 1, var_with_name_simple=False).nodes}
    assert {"name=X TensorType(float64, matrix)", "name=h TensorType(float64, matrix)"} <= labels
    assert "val=1 TensorType(int64, scalar)" in labels
    assert len(graph_picture(forward, compact=False).nodes) == len(graph_picture(forward).nodes) + 5


def test_equal_labels_are_numbered() -> None:
    assert {"dot", "dot id=3", "add", "add id=4"} <= set(kinds(graph_picture(forward)))
    assert {"dot id=0", "add id=1", "tanh id=2", "dot id=3"} <= set(kinds(graph_picture(forward, with_ids=True)))


def test_long_labels_are_cut() -> None:
    picture = graph_picture([x * 2, x + x, x - 2, softmax(X)], max_label_size=8)
    assert max(len(node.label) for node in picture.nodes) <= 8
    long = scalar("a_name_that_is_long")
    assert "a_nam..." in kinds(graph_picture(-long, max_label_size=8))


def test_x_plus_x_has_two_arrows() -> None:
    edges = graph_picture(x + x).edges
    assert [(edge.label, edge.style) for edge in edges] == [("0", ""), ("1", ""), ("", "")]


def test_a_leaf_alone() -> None:
    assert listing(graph_picture(FunctionGraph.build([x], [x]))) == "input box: x\n"


def test_branches_are_highlighted() -> None:
    both = tanh(x)
    graph = ifelse(lt(x, 0), both + 1, both * 2, name="choice")
    labels = set(kinds(graph_picture(graph, cond_highlight="choice")))
    assert {"tanh\n(both)", "add\n(then)", "mul\n(else)", "lt", "if"} <= labels
    with pytest.warns(UserWarning, match="no IfElse node"):
        graph_picture(both, cond_highlight=True)


def test_colour_codes() -> None:
    assert kinds(graph_picture(forward, colorCodes={"Dot": "yellow"}))["dot"] == "scan"
    assert kinds(graph_picture(forward, colorCodes={"Dot": "alloc"}))["dot"] == "alloc"
    with pytest.raises(ValueError, match=r"the colour 'mauve'\. Use one of input, output"):
        graph_picture(forward, colorCodes={"Dot": "mauve"})


# ---- the drawing ----


def drawn(svg: str) -> tuple[Counter[str], Counter[str]]:
    """How many shapes there are of each kind, and how many texts."""
    kind_of = {colours.fill: kind for kind, colours in NODE_COLOURS.items()}
    shapes: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    for element in ET.fromstring(svg).iter():
        name = element.tag.rpartition("}")[2]
        if name in ("rect", "ellipse") and element.get("fill") in kind_of:
            shapes[kind_of[element.get("fill", "")]] += 1
        if name == "text":
            texts[element.text or ""] += 1
    return shapes, texts


def test_the_drawing_shows_the_picture() -> None:
    image = pydotprint(forward, var_with_name_simple=True, compact=True, return_image=True, format="svg")
    assert image is not None
    shapes, texts = drawn(image)
    assert shapes == {"input": 1, "shared": 4, "elementwise": 3, "other": 3, "output": 1}
    assert {"X", "W1", "b1", "dot", "dot id=3", "tanh", "Softmax{axis=1}"} <= set(texts)
    assert texts["0 TensorType(float64, matrix)"] == 3
    assert sum(texts.values()) == 12 + 4 + 6  # nodes, arguments that are leaves, and those that are not


@pytest.mark.parametrize("name", ["<&>\"'", "größe θ", "a\nb", "\x00\x1b", "", "{|}"])
def test_strange_names_are_well_formed(name: str) -> None:
    strange = tanh(scalar(name))
    strange.name = name
    for options in ({}, {"compact": False, "var_with_name_simple": False}):
        ET.fromstring(to_svg(strange + 1, **options))
        assert to_dot(strange + 1, **options).startswith("digraph")


def test_ipython_shows_it() -> None:
    display = pytest.importorskip("IPython.display")
    image = display.SVG(pydotprint(forward, return_image=True, format="svg"))
    assert image._repr_svg_().startswith("<svg")


def test_a_graph_draws_itself() -> None:
    assert forward.to_svg() == to_svg(forward)
    assert forward._repr_svg_() == to_svg(forward)
    assert forward.to_dot(with_ids=True) == to_dot(forward, with_ids=True)


# ---- the files ----


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    pydotprint(forward)
    assert capsys.readouterr().out == "The output file is available at graphc.pydotprint.svg\n"
    assert Path("graphc.pydotprint.svg").read_text() == pydotprint(forward, return_image=True)
    pydotprint(forward, "drawing", format="dot", print_output_file=False)
    assert Path("drawing.dot").read_text().startswith("digraph")
    pydotprint(forward, tmp_path / "my.first.svg", print_output_file=False)
    assert ET.parse(tmp_path / "my.first.svg")
    assert capsys.readouterr().out == ""


def test_formats_that_need_other_programs() -> None:
    with pytest.raises(ValueError, match=r"cannot write the format 'png'\. Use one of 'svg', 'dot'"):
        pydotprint(forward, "network.png")


def test_counting_the_labels() -> None:
    pydotprint(forward, return_image=True, assert_nb_all_strings=12, var_with_name_simple=True)
    with pytest.raises(AssertionError, match="12 different labels, expected 3"):
        pydotprint(forward, return_image=True, assert_nb_all_strings=3)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(TypeError, match="cannot print str"):
        pydotprint("forward", return_image=True)
