"""Pictures of graphs: the layout keeps its promises, the SVG is valid, the DOT text is well quoted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.printing.dot import render_dot
from graphc.printing.font import LABEL_HEIGHT, LONGEST_LINE, drawn_lines, label_width, text_width
from graphc.printing.geometry import Point
from graphc.printing.layout import Layout, arrange
from graphc.printing.picture import EDGE_COLOURS, NODE_COLOURS, SHAPES, Picture, PictureEdge, PictureNode
from graphc.printing.svg import TEXT_COLOUR, render_svg

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "a<b> & \"c\" 'd' \\n \\ é 中 ]]> \x00\x1b\ud800"

# left, top, right, bottom
Rectangle = tuple[float, float, float, float]


def picture_of(*edges: str, nodes: str = "", title: str = "") -> Picture:
    """A picture from words such as ``x-mul`` or ``x-mul:label``."""
    split = [re.fullmatch(r"(.*?)-(.*?)(?::(.*))?", edge) for edge in edges]
    ends = [(match[1], match[2], match[3] or "") for match in split if match]
    keys = dict.fromkeys([*nodes.split(), *(key for source, target, _ in ends for key in (source, target))])
    return Picture(
        tuple(PictureNode(key, key, "other") for key in keys),
        tuple(PictureEdge(*end) for end in ends),
        title,
    )


MLP = picture_of(
    *("X-dot1:0 matrix", "W1-dot1:1 matrix", "dot1-tanh:0 matrix", "b1-tanh:1 vector", "tanh-dot2:0 matrix"),
    *("W2-dot2:1 matrix", "dot2-add:0 matrix", "b2-add:1 vector", "add-softmax:matrix", "softmax-out:matrix"),
    title="a perceptron",
)
SKIP = picture_of("x-a", "x-b", "a-c", "b-c", "c-d", "d-e", "x-e")
EXAMPLES = {
    "empty": Picture((), ()),
    "empty with a title": Picture((), (), "nothing"),
    "single": picture_of(nodes="x"),
    "unconnected": picture_of("a-b", "c-d", "c-e", nodes="f g h"),
    "parallel": picture_of("x-mul:0", "x-mul:1", "mul-y"),
    "parallel without labels": picture_of("x-mul", "x-mul"),
    "perceptron": MLP,
    "diamond and skip": SKIP,
    "nasty": Picture(
        (PictureNode(NASTY, NASTY, "input", "box", NASTY), PictureNode("y", NASTY, "output")),
        (PictureEdge(NASTY, "y", NASTY, "destroy"),),
        NASTY,
    ),
}


every_example = pytest.mark.parametrize("picture", EXAMPLES.values(), ids=EXAMPLES.keys())


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Any small acyclic graph."""
    labels = st.sampled_from(["", "0", "dot", "Composite{tanh(i0 + i1)}", "two\nlines", NASTY])
    kinds, shapes, styles = (st.sampled_from(list(table)) for table in (NODE_COLOURS, SHAPES, EDGE_COLOURS))
    count = draw(st.integers(0, 16))
    nodes = [PictureNode(f"n{n}", draw(labels), draw(kinds), draw(shapes)) for n in range(count)]
    ends = st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True).map(sorted)
    edges = [
        PictureEdge(f"n{source}", f"n{target}", draw(labels), draw(styles))
        for source, target in (draw(st.lists(ends, max_size=30)) if count > 1 else [])
    ]
    return Picture(tuple(draw(st.permutations(nodes))), tuple(edges), draw(labels))


# ---- layout ------------------------------------------------------------------------------------------------


def rectangles(layout: Layout) -> list[Rectangle]:
    return [
        (
            box.centre.x - box.width / 2,
            box.centre.y - box.height / 2,
            box.centre.x + box.width / 2,
            box.centre.y + box.height / 2,
        )
        for box in layout.boxes
    ]


def label_rectangles(picture: Picture, layout: Layout) -> list[Rectangle]:
    return [
        (
            route.label.x,
            route.label.y - LABEL_HEIGHT / 2,
            route.label.x + label_width(edge.label),
            route.label.y + LABEL_HEIGHT / 2,
        )
        for edge, route in zip(picture.edges, layout.routes, strict=True)
        if edge.label
    ]


def overlap(a: Rectangle, b: Rectangle) -> bool:
    slack = 1e-3
    return a[0] < b[2] - slack and b[0] < a[2] - slack and a[1] < b[3] - slack and b[1] < a[3] - slack


def check_layout(picture: Picture) -> None:
    layout = arrange(picture)
    boxes = rectangles(layout)
    assert len(boxes) == len(picture.nodes)
    assert len(layout.routes) == len(picture.edges)
    for a, b in combinations([*boxes, *label_rectangles(picture, layout)], 2):
        assert not overlap(a, b)
    for left, top, right, bottom in boxes:
        assert -1e-6 <= left < right <= layout.width + 1e-6
        assert -1e-6 <= top < bottom <= layout.height + 1e-6

    number = {node.key: n for n, node in enumerate(picture.nodes)}
    for edge, route in zip(picture.edges, layout.routes, strict=True):
        source, target = layout.boxes[number[edge.source]], layout.boxes[number[edge.target]]
        assert source.centre.y + source.height / 2 < target.centre.y - target.height / 2
        assert source.centre.y < route.points[0].y <= source.centre.y + source.height / 2 + 1e-6
        assert target.centre.y - target.height / 2 - 1e-6 <= route.points[-1].y < target.centre.y
        assert abs(route.points[0].x - source.centre.x) < source.width / 2
        assert abs(route.points[-1].x - target.centre.x) < target.width / 2
        assert all(upper.y < lower.y for upper, lower in pairwise(route.points))


@every_example
def test_layout(picture: Picture) -> None:
    check_layout(picture)


@given(pictures())
def test_layout_of_any_graph(picture: Picture) -> None:
    check_layout(picture)


def places(picture: Picture) -> dict[str, Point]:
    return {node.key: box.centre for node, box in zip(picture.nodes, arrange(picture).boxes, strict=True)}


def test_a_chain_is_a_vertical_line() -> None:
    assert len({round(place.x, 3) for place in places(picture_of("a-b", "b-c", "c-d:label")).values()}) == 1


def test_parameters_hang_beside_the_main_line() -> None:
    place = places(MLP)
    spine = {round(place[key].x, 3) for key in ("dot1", "tanh", "dot2", "add", "softmax", "out")}
    assert len(spine) == 1
    for parameter, user in (("b1", "tanh"), ("W2", "dot2"), ("b2", "add")):
        assert place[parameter].x > place[user].x


def test_leaves_stand_just_above_their_consumer() -> None:
    place = places(picture_of("x-a", "a-b", "b-c", "c-d", "w-d"))
    assert place["w"].y == place["c"].y


def test_operands_keep_their_order() -> None:
    place = places(picture_of("a-f", "b-f", "c-f"))
    assert place["a"].x < place["b"].x < place["c"].x


def test_a_parent_stands_amid_its_children() -> None:
    place = places(picture_of("x-a", "x-b"))
    assert place["x"].x == pytest.approx((place["a"].x + place["b"].x) / 2)


def test_a_long_edge_is_straight_between_its_ends() -> None:
    bends = arrange(SKIP).routes[-1].points[1:-1]
    assert len(bends) >= 4
    assert len({round(point.x, 3) for point in bends}) == 1


def test_a_planar_graph_is_drawn_without_crossings() -> None:
    place = places(picture_of("a-p", "b-q", "c-r", "r-z", "q-z", "p-z"))
    assert sorted("abc", key=lambda key: place[key].x) == ["c", "b", "a"]
    assert sorted("pqr", key=lambda key: place[key].x) == ["r", "q", "p"]


def test_long_edges_out_of_one_node_share_their_way() -> None:
    steps = [f"h{t}-h{t + 1}:0" for t in range(5)]
    layout = arrange(picture_of(*steps, *(f"w-h{t}:1" for t in range(1, 6))))
    *_, shorter, longer = (route.points for route in layout.routes)
    assert shorter[1:4] == longer[1:4]


def test_parallel_edges_part() -> None:
    layout = arrange(EXAMPLES["parallel without labels"])
    first, second = (route.points[1].x for route in layout.routes)
    assert abs(first - second) > 10


def test_a_cycle_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cycle among or above the nodes \['b', 'c'\]"):
        arrange(picture_of("a-b", "b-c", "c-b"))


def test_a_chain_of_3000_nodes() -> None:
    picture = picture_of(*(f"n{n}-n{n + 1}:0" for n in range(3000)))
    place = places(picture)
    assert all(place[f"n{n}"].y < place[f"n{n + 1}"].y for n in range(3000))
    ElementTree.fromstring(render_svg(picture))


def test_the_gradient_of_a_deep_chain_takes_seconds_at_most() -> None:
    # Each step is used again by its gradient at the other end: the edges between are as long as can be.
    depth = 500
    edges = [f"f{n}-f{n + 1}" for n in range(depth)]
    edges += [f"g{n + 1}-g{n}" for n in range(depth)] + [f"f{n}-g{n}" for n in range(depth + 1)]
    start = time.perf_counter()
    ElementTree.fromstring(render_svg(picture_of(*edges)))
    assert time.perf_counter() - start < 20


# ---- text --------------------------------------------------------------------------------------------------


def test_text_width() -> None:
    assert text_width("", 10) == 0
    assert text_width("il", 10) < text_width("xx", 10) < text_width("WW", 10)
    assert text_width("é", 10) == text_width("e", 10)
    assert text_width("中", 10) == 10
    assert text_width("abc", 20) == 2 * text_width("abc", 10)


def test_a_long_label_loses_its_middle_but_not_in_the_tooltip() -> None:
    label = "x" * LONGEST_LINE + "y" * LONGEST_LINE
    (line,) = drawn_lines(label)
    assert len(line) < LONGEST_LINE + 5
    assert line.startswith("xxx")
    assert line.endswith("yyy")
    root = ElementTree.fromstring(render_svg(Picture((PictureNode("n", label, "other"),), ())))
    assert label in [title.text for title in root.iter(f"{SVG}title")]


# ---- SVG ---------------------------------------------------------------------------------------------------


def texts(svg: str, tag: str = "text") -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}{tag}")]


def curves(svg: str) -> Iterator[list[Point]]:
    """Points on each edge of the drawing."""
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        if path.get("fill") != "none":
            continue
        numbers = [float(number) for number in re.findall(r"[-\d.]+", path.get("d", ""))]
        points = [Point(x, y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
        curve = [points[0]]
        for a, b, c, d in zip(points[::3], points[1::3], points[2::3], points[3::3], strict=False):
            for step in range(1, 17):
                t = step / 16
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                x, y = (sum(w * p[i] for w, p in zip(weights, (a, b, c, d), strict=True)) for i in (0, 1))
                curve.append(Point(x, y))
        yield curve


@every_example
def test_svg_is_valid_xml(picture: Picture) -> None:
    svg = render_svg(picture)
    root = ElementTree.fromstring(svg.encode())
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    shapes = [element for element in root.iter() if element.tag in (f"{SVG}rect", f"{SVG}ellipse")]
    assert len(shapes) == 1 + len(picture.nodes)  # one is the background
    assert len(list(curves(svg))) == len(picture.edges)


@given(pictures())
def test_edges_point_down_and_keep_clear_of_nodes(picture: Picture) -> None:
    layout = arrange(picture)
    svg = render_svg(Picture(picture.nodes, picture.edges))  # without a title it has just the layout's size
    margin = (float(ElementTree.fromstring(svg.encode()).get("width", "")) - layout.width) / 2
    for edge, curve in zip(picture.edges, curves(svg), strict=True):
        assert all(upper.y < lower.y for upper, lower in pairwise(curve))
        for node, box in zip(picture.nodes, layout.boxes, strict=True):
            if node.key not in (edge.source, edge.target):
                for point in curve:
                    dx = abs(point.x - margin - box.centre.x) / (box.width / 2)
                    dy = abs(point.y - margin - box.centre.y) / (box.height / 2)
                    assert (max(dx, dy) if node.shape == "box" else dx * dx + dy * dy) > 1


def test_text_is_escaped() -> None:
    svg = render_svg(EXAMPLES["nasty"])
    shown = NASTY.translate({0: "\ufffd", 0x1B: "\ufffd", 0xD800: "\ufffd"})
    assert "a&lt;b&gt; &amp; &quot;c&quot;" in svg
    assert texts(svg) == [shown] * 4  # the title, two nodes, an edge
    assert texts(svg, "title").count(shown) == 3


def test_labels_of_parallel_edges_are_both_visible() -> None:
    svg = render_svg(EXAMPLES["parallel"])
    assert {"0", "1"} < set(texts(svg))
    first, second, _ = curves(svg)
    assert max(abs(a.x - b.x) for a, b in zip(first, second, strict=True)) > 10


def test_lines_of_a_label() -> None:
    assert texts(render_svg(Picture((PictureNode("n", "one\ntwo", "other"),), ()))) == ["one", "two"]


def test_styles_have_their_colours() -> None:
    for style, colour in EDGE_COLOURS.items():
        nodes = (PictureNode("a", "a", "input"), PictureNode("b", "b", "output"))
        picture = Picture(nodes, (PictureEdge("a", "b", "label", style),))
        assert f'stroke="{colour}"' in render_svg(picture)
        assert f'color="{colour}"' in render_dot(picture)


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("kind", NODE_COLOURS)
def test_text_reads_well_on_every_colour(kind: str) -> None:
    fill = NODE_COLOURS[kind].fill
    assert (luminance(fill) + 0.05) / (luminance(TEXT_COLOUR) + 0.05) > 7  # the strictest level of WCAG
    picture = Picture((PictureNode("n", "n", kind),), ())
    assert f'fill="{fill}"' in render_svg(picture)
    assert f'fillcolor="{fill}"' in render_dot(picture)


def test_drawings_do_not_depend_on_the_hash_seed() -> None:
    edges = ", ".join(f"PictureEdge('{edge.source}', '{edge.target}', '{edge.label}')" for edge in MLP.edges)
    code = (
        "from graphc.printing.picture import *; from graphc.printing.svg import render_svg\n"
        f"keys = {[node.key for node in MLP.nodes]}\n"
        "nodes = tuple(PictureNode(key, key, 'other') for key in keys)\n"
        f"print(render_svg(Picture(nodes, ({edges}), 'a perceptron')), end='')"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        assert run.stdout.decode().splitlines() == render_svg(MLP).splitlines()


# ---- DOT ---------------------------------------------------------------------------------------------------


def test_dot() -> None:
    picture = Picture(
        (PictureNode("x", "x", "input", "box", "a matrix"), PictureNode("y", "exp", "elementwise")),
        (PictureEdge("x", "y", "0", "view"),),
        "title",
    )
    assert render_dot(picture) == (
        "digraph {\n"
        '    graph [label="title", labelloc="t", fontname="Helvetica"];\n'
        '    node [style="filled", fontname="Helvetica", fontsize="14"];\n'
        '    edge [fontname="Helvetica", fontsize="10"];\n'
        '    "x" [label="x", shape="box", fillcolor="#b9e6b3", color="#4b9a45", tooltip="a matrix"];\n'
        '    "y" [label="exp", shape="ellipse", fillcolor="#ffc9da", color="#d0668b", tooltip="exp"];\n'
        '    "x" -> "y" [label="0", color="#2465d6", fontcolor="#2465d6"];\n'
        "}\n"
    )


@every_example
def test_dot_names_each_node_and_edge(picture: Picture) -> None:
    lines = render_dot(picture).splitlines()
    assert lines[0] == "digraph {"
    assert lines[-1] == "}"
    assert sum(" -> " in line for line in lines) == len(picture.edges)
    assert len(lines) == 4 + len(picture.nodes) + len(picture.edges) + bool(picture.title)


@pytest.mark.parametrize(
    "text, quoted",
    [
        ('say "x"', r'"say \"x\""'),
        ("back\\slash", r'"back\\slash"'),
        ("ends in \\", r'"ends in \\"'),
        ("\\N", r'"\\N"'),
        ('\\"', r'"\\\""'),
        ("two\nlines", r'"two\nlines"'),
        ("&lt; & <b>", '"&amp;lt; &amp; <b>"'),
        ("zero\0byte", '"zero\ufffdbyte"'),
        ("", '""'),
    ],
)
def test_dot_strings_are_quoted(text: str, quoted: str) -> None:
    dot = render_dot(Picture((PictureNode(text, text, "other"),), (), text))
    assert f"    {quoted} [label={quoted}, shape=" in dot
    assert f"tooltip={quoted}]" in dot
    assert not text or f"graph [label={quoted}," in dot


# ---- the data ----------------------------------------------------------------------------------------------


def test_pictures_are_checked() -> None:
    a = PictureNode("a", "a", "other")
    with pytest.raises(ValueError, match="two nodes have the key 'a'"):
        Picture((a, a), ())
    with pytest.raises(ValueError, match="'a' -> 'b' names the node 'b', which is not in the picture"):
        Picture((a,), (PictureEdge("a", "b"),))
    with pytest.raises(ValueError, match=r"kind of node 'a' is 'blue'\. Use one of 'input', 'output'"):
        PictureNode("a", "a", "blue")
    with pytest.raises(ValueError, match="shape of node 'a' is 'star'"):
        PictureNode("a", "a", "other", "star")
    with pytest.raises(ValueError, match=r"style of edge 'a' -> 'b' is 'dotted'\. Use one of '', 'view'"):
        PictureEdge("a", "b", style="dotted")
