"""Graphs as pictures: which boxes, ellipses and arrows there are; `layout` and `svg` draw them.

As in Theano, an ellipse is an op and a box is a variable: the inputs, the outputs, and what has a name.  The arrows
carry the number of the argument, and the type of what has no box.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graphc.graph.op import Op
from graphc.graph.shared import SharedVariable
from graphc.graph.traverse import toposort
from graphc.graph.variable import Apply, Constant, Variable, constant_text
from graphc.ops.broadcasting import Alloc
from graphc.ops.control import IfElse
from graphc.ops.declare import Elementwise
from graphc.ops.indexing import IncSubtensor, Subtensor

from .composites import Composite, shown
from .dot import render_dot
from .picture import NODE_COLOURS, Picture, PictureEdge, PictureNode
from .subject import Subject, destroy_map, view_map
from .svg import render_svg

KINDS: tuple[tuple[type[Op], str], ...] = (
    (Elementwise, "elementwise"),
    (Composite, "elementwise"),
    (Subtensor, "subtensor"),
    (IncSubtensor, "subtensor"),
    (Alloc, "alloc"),
    (IfElse, "ifelse"),
)

# The kinds that the colours of Theano's colorCodes stand for.
THEANO_COLOURS = {
    "yellow": "scan",
    "magenta": "ifelse",
    "#FFAABB": "elementwise",
    "pink": "elementwise",
    "#FFAAFF": "subtensor",
    "purple": "subtensor",
    "#FFAA22": "alloc",
    "orange": "alloc",
    "blue": "output",
    "green": "input",
    "cyan": "shared",
    "grey": "constant",
    "white": "other",
}


def graph_picture(
    obj: Any,
    compact: bool = True,
    with_ids: bool = False,
    cond_highlight: Any = None,
    colorCodes: Mapping[str, str] | None = None,
    max_label_size: int = 70,
    var_with_name_simple: bool = True,
    title: str = "",
    fused: bool = True,
) -> Picture:
    """The picture of a variable, a node, a graph, a compiled function, or a list of variables.

    Parameters
    ----------
    compact: leave out the boxes of intermediate variables that have no name.
    with_ids: number all nodes in the order of execution, and not only those that look like an earlier one.
    cond_highlight: an `ifelse`, or its name: say of each op which branches it belongs to.
    colorCodes: kinds of the picture (or Theano's names of colours) for the ops whose class has this word in its name.
    max_label_size: longer labels are cut.
    var_with_name_simple: show variables with a name by the name alone, without their type.
    fused: of a function that has kernels, show each tree of elementwise nodes as one.
    """
    parts = shown(obj, fused)
    return _Drawing(
        parts, compact, with_ids, cond_highlight, colorCodes or {}, max_label_size, var_with_name_simple
    ).picture(title)


class _Drawing:
    """The picture while it is made."""

    def __init__(
        self,
        parts: list[Subject],
        compact: bool,
        with_ids: bool,
        cond_highlight: Any,
        colour_codes: Mapping[str, str],
        max_label_size: int,
        simple: bool,
    ) -> None:
        self.compact = compact
        self.with_ids = with_ids
        self.max_label_size = max_label_size
        self.simple = simple
        self.kinds = {word: _kind_of_colour(colour) for word, colour in colour_codes.items()}
        self.targets = [
            (output, subject.updates.get(i)) for subject in parts for i, output in enumerate(subject.outputs)
        ]
        self.outputs = {x for x, updated in self.targets if updated is None}
        self.order = toposort(x for x, _ in self.targets)
        self.position = {node: i for i, node in enumerate(self.order)}
        self.used = {x for node in self.order for x in node.inputs} | {x for x, _ in self.targets}
        self.branch = {} if cond_highlight is None else _branches(self.order, cond_highlight)
        self.nodes: dict[str, PictureNode] = {}
        self.edges: list[PictureEdge] = []
        self.labels: set[str] = set()
        self.keys: dict[Variable, str] = {}  # of boxes

    def picture(self, title: str) -> Picture:
        for x, _ in self.targets:
            if x.owner is None:
                self._box(x)
        for node in self.order:
            for i, x in enumerate(node.inputs):
                if x.owner is None:
                    self._box(x)
                self._arrow(x, f"n{self.position[node]}", _number(i, node.inputs), _edge_style(node.op, i))
            self._ellipse(node)
            for i, x in enumerate(node.outputs):
                if self._has_box(x):
                    source = f"n{self.position[node]}"
                    self.edges.append(PictureEdge(source, self._box(x), _number(i, node.outputs)))
        for i, (x, updated) in enumerate(self.targets):
            if updated is not None:
                key = f"u{i}"
                label = self._cut(f"{updated.name or 'shared variable'} (update)")
                self.nodes[key] = PictureNode(key, label, "shared", "box", repr(updated.type))
                self._arrow(x, key, "UPDATE", "")
        return Picture(tuple(self.nodes.values()), tuple(self.edges), title)

    # ---- ops ----

    def _ellipse(self, node: Apply) -> None:
        label = node.op.text()
        number = self.position[node]
        if self.with_ids or label in self.labels:
            label = self._cut(label, f" id={number}")
        elif len(label) > self.max_label_size:
            label = self._cut(label)
            if label in self.labels:
                label = self._cut(node.op.text(), f"... id={number}")
        self.labels.add(label)
        if node in self.branch:
            label += f"\n({self.branch[node]})"
        types = ", ".join(repr(x.type) for x in node.outputs)
        place = "" if node.site is None else f"\n{Path(node.site.filename).name}:{node.site.lineno}"
        key = f"n{number}"
        self.nodes[key] = PictureNode(key, label, self._kind(node.op), "ellipse", f"{node.op.text()}: {types}{place}")

    def _kind(self, op: Op) -> str:
        name = type(op).__name__
        for word, kind in self.kinds.items():
            if word in name:
                return kind
        if "Scan" in name:
            return "scan"
        return next((kind for family, kind in KINDS if isinstance(op, family)), "other")

    # ---- variables ----

    def _has_box(self, x: Variable) -> bool:
        return x.owner is None or not self.compact or bool(x.name) or x in self.outputs or x not in self.used

    def _box(self, x: Variable) -> str:
        """The key of the box of a variable."""
        if x not in self.keys:
            key = self.keys[x] = f"v{len(self.keys)}"
            self.nodes[key] = PictureNode(key, self._variable_label(x), self._variable_kind(x), "box", repr(x.type))
        return self.keys[x]

    def _variable_kind(self, x: Variable) -> str:
        if isinstance(x, SharedVariable):
            return "shared"
        if isinstance(x, Constant):
            return "constant"
        if x.owner is None:
            return "input"
        return "output" if x in self.outputs else "other"

    def _variable_label(self, x: Variable) -> str:
        if x.name:
            label = x.name if self.simple else f"name={x.name} {x.type!r}"
        elif isinstance(x, Constant):
            value = constant_text(x.data)
            label = value if self.simple else f"val={value} {x.type!r}"
        else:
            label = repr(x.type)
        label = self._cut(label)
        self.labels.add(label)
        return label

    def _arrow(self, x: Variable, target: str, label: str, style: str) -> None:
        """The arrow from where `x` comes from, which says its type if `x` itself is not shown."""
        if self._has_box(x):
            self.edges.append(PictureEdge(self._box(x), target, label, style))
            return
        assert x.owner is not None
        label = self._cut(f"{label} {x.type!r}".lstrip())
        self.edges.append(PictureEdge(f"n{self.position[x.owner]}", target, label, style))

    def _cut(self, label: str, suffix: str = "") -> str:
        """The label with its suffix, cut to the size that is allowed."""
        if len(label) + len(suffix) <= self.max_label_size:
            return label + suffix
        return label[: max(self.max_label_size - len(suffix) - 3, 1)] + "..." + suffix.removeprefix("...")


def _number(i: int, among: tuple[Variable, ...]) -> str:
    return str(i) if len(among) > 1 else ""


def _edge_style(op: Op, position: int) -> str:
    if any(position in inputs for inputs in view_map(op).values()):
        return "view"
    return "destroy" if any(position in inputs for inputs in destroy_map(op).values()) else ""


def _kind_of_colour(colour: str) -> str:
    kind = THEANO_COLOURS.get(colour, colour)
    if kind not in NODE_COLOURS:
        known = ", ".join([*NODE_COLOURS, *THEANO_COLOURS])
        raise ValueError(f"graph_picture: colorCodes has the colour {colour!r}. Use one of {known}.")
    return kind


def _branches(order: Iterable[Apply], which: Any) -> dict[Apply, str]:
    """For the nodes that an `ifelse` chooses between: "then", "else" or "both"."""
    order = list(order)
    lazy = [node for node in order if isinstance(node.op, IfElse)]
    chosen = [node for node in lazy if which in (True, node, node.op, node.op.name, *(x.name for x in node.outputs))]
    if not chosen:
        warnings.warn("pydotprint: cond_highlight is set but there is no IfElse node in the graph", stacklevel=5)
        return {}
    node = chosen[0]
    assert isinstance(node.op, IfElse)
    then = set(toposort(node.inputs[1 : 1 + node.op.count]))
    otherwise = set(toposort(node.inputs[1 + node.op.count :]))
    return {
        n: "both" if n in then and n in otherwise else "then" if n in then else "else"
        for n in order
        if n in then or n in otherwise
    }


# ---- the formats ----


def to_svg(obj: Any, **options: Any) -> str:
    """A drawing of a graph, as SVG text; the options are those of `graph_picture`."""
    return render_svg(graph_picture(obj, **options))


def to_dot(obj: Any, **options: Any) -> str:
    """A graph in Graphviz's language; the options are those of `graph_picture`."""
    return render_dot(graph_picture(obj, **options))


FORMATS = {"svg": to_svg, "dot": to_dot}


def pydotprint(
    fct: Any,
    outfile: Any = None,
    compact: bool = True,
    format: str | None = None,
    with_ids: bool = False,
    high_contrast: bool = True,
    cond_highlight: Any = None,
    colorCodes: Mapping[str, str] | None = None,
    max_label_size: int = 70,
    scan_graphs: bool = False,
    var_with_name_simple: bool = False,
    print_output_file: bool = True,
    assert_nb_all_strings: int = -1,
    return_image: bool = False,
    fused: bool = True,
) -> str | None:
    """Draw a graph into a file, or return the drawing; neither pydot nor Graphviz is needed.

    Inputs are green, outputs blue, shared variables cyan, constants grey; elementwise ops are pink, indexing is
    purple, allocation orange, scan yellow, ifelse magenta.  An arrow into a view is blue, one into an op that
    overwrites its input red.

    Parameters
    ----------
    outfile: the file; by default ``graphc.pydotprint.svg``.
    format: "svg" or "dot"; by default what the name of the file ends in, else "svg".
    assert_nb_all_strings: check that the nodes have this many different labels (-1: do not).
    return_image: return the drawing instead of writing it, for ``IPython.display.SVG``.
    high_contrast, scan_graphs: taken for the sake of Theano's programs; nodes are always filled.

    The others are those of `graph_picture`.

        >>> SVG(pydotprint(f, return_image=True, format="svg"))
    """
    format = _format(format, outfile)
    options: dict[str, Any] = {
        "compact": compact, "with_ids": with_ids, "cond_highlight": cond_highlight, "colorCodes": colorCodes,
        "max_label_size": max_label_size, "var_with_name_simple": var_with_name_simple, "fused": fused,
    }  # fmt: skip
    if assert_nb_all_strings != -1:
        _check_labels(graph_picture(fct, **options), assert_nb_all_strings)
    text = FORMATS[format](fct, **options)
    if return_image:
        return text
    path = _path(outfile, format)
    path.write_text(text, encoding="utf-8")
    if print_output_file:
        print("The output file is available at", path)
    return None


def _format(asked: str | None, outfile: Any) -> str:
    """The format that is asked for, if it can be written; by default that of the file."""
    found = asked
    if found is None:
        suffix = "" if outfile is None else Path(outfile).suffix
        found = suffix[1:] or "svg"
    if found not in FORMATS:
        raise ValueError(
            f"pydotprint: cannot write the format {found!r}. Use one of {', '.join(map(repr, FORMATS))}; browsers and "
            "notebooks show svg, and `dot -Tpng` and rsvg-convert turn the two into anything else."
        )
    return found


def _path(outfile: Any, format: str) -> Path:
    """The file to write: its name ends in its format."""
    path = Path("graphc.pydotprint" if outfile is None else outfile)
    return path if path.suffix == f".{format}" else path.with_name(f"{path.name}.{format}")


def _check_labels(picture: Picture, expected: int) -> None:
    """Complain unless the nodes of a picture have so many different labels."""
    found = len({node.label for node in picture.nodes})
    if found != expected:
        raise AssertionError(f"pydotprint: {found} different labels, expected {expected}")
