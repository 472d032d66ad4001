"""`debugprint`: a graph as an indented list of its nodes, in Theano's layout, and `min_informative_str`.

    Softmax{axis=1} [id A] ''   4
     |add [id B] ''   3
       |dot [id C] ''   2
       ...
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from graphc.graph.shared import SharedVariable
from graphc.graph.traverse import clients
from graphc.graph.variable import Apply, Constant, Variable, constant_text

from .composites import shown
from .printers import leaf_text
from .subject import Subject, destroy_map, view_map

# Every so many levels the indentation starts anew with a note of the level, or a chain of n nodes would take n*n
# characters.
LEVELS_SHOWN = 100

IDS = ("CHAR", "int", "id", "")

Printed = Apply | Variable


def debugprint(
    obj: Any,
    depth: int = -1,
    print_type: bool = False,
    file: Any = None,
    ids: str = "CHAR",
    stop_on_name: bool = False,
    done: dict[Printed, str] | None = None,
    print_storage: bool = False,
    print_clients: bool = False,
    used_ids: dict[Printed, str] | None = None,
    print_destroy_map: bool = False,
    print_view_map: bool = False,
    print_shape: bool = False,
    diff: bool = False,
    fused: bool = True,
) -> Any:
    """Print a graph, one line a node, inputs indented below what they are used for.

    A line shows the op (or the leaf), an identifier, the name, and for a function graph the position of the node in
    the order of execution.  A node that was printed before is printed without its inputs.  ``.1`` behind an op is its
    second output; ``-> w`` at the end says that this output is the new value of the shared variable w.

    Parameters
    ----------
    obj: a variable, an apply node, a function graph, a compiled function, or a list of these.
    depth: how many levels to print; -1 for all.
    print_type, print_shape: add the type, or the sizes that are known, of each variable.
    file: where to print to; "str" returns the text, None prints it.
    ids: the identifiers are letters ("CHAR"), numbers ("int"), ids of Python ("id"), or left out ("").
    stop_on_name: do not print what is below a named variable.
    done, used_ids: the identifiers of what has been printed, and of what has been mentioned: pass the same
        dictionaries to several calls to have them share identifiers.
    print_storage: add the stored values that a function reads.
    print_clients: add for each node of a function with several clients who they are.
    diff: for a compiled function, what rewriting changed: lines that went (-) and lines that came (+).
    fused: of a function that has kernels, show each tree of elementwise nodes as one, ``Elemwise{Composite{...}}``;
        False shows ``f.graph`` as it is.
    print_destroy_map, print_view_map: add ``d={0: [1]}`` (output 0 overwrites input 1) and ``v={0: [1]}`` (is a view).

        >>> debugprint(f)
    """
    options = Options(
        depth, print_type, ids, stop_on_name, print_storage,
        print_clients, print_destroy_map, print_view_map, print_shape,
    )  # fmt: skip
    return _written(_difference(obj) if diff else _listed(obj, options, done, used_ids, fused), file)


@dataclass(frozen=True)
class Options:
    """What is shown of a graph, and of each line, and how."""

    depth: int
    print_type: bool
    ids: str
    stop_on_name: bool
    print_storage: bool
    print_clients: bool
    print_destroy_map: bool
    print_view_map: bool
    print_shape: bool

    def __post_init__(self) -> None:
        if not isinstance(self.depth, int):
            raise TypeError(f"debugprint: depth is {self.depth!r}, expected an int")
        if self.ids not in IDS:
            raise ValueError(f"debugprint: ids is {self.ids!r}. Use one of {', '.join(map(repr, IDS))}.")


def _written(lines: Iterable[str], file: Any) -> Any:
    """Write lines to a file or the screen, and return the file; or return the text."""
    if file == "str":
        return "".join(lines)
    target = sys.stdout if file is None else file
    for line in lines:
        target.write(line)
    return file


def _difference(function: Any) -> Iterator[str]:
    """The graph of a function before rewriting and after it, as a unified diff."""
    if not hasattr(function, "built"):
        raise TypeError(f"debugprint: diff=True compares the graphs of a compiled function, got {function!r}")
    before, after = (
        debugprint([graph], file="str", ids="").splitlines(keepends=True) for graph in (function.built, function.graph)
    )
    return difflib.unified_diff(before, after, "as written", "as compiled", n=1000)


def _listed(
    obj: Any, options: Options, done: dict[Printed, str] | None, used_ids: dict[Printed, str] | None, fused: bool
) -> Iterator[str]:
    """The lines for an object, or for each of a list."""
    done = {} if done is None else done
    used_ids = {} if used_ids is None else used_ids
    used_ids.update(done)
    for item in obj if isinstance(obj, list | tuple) else [obj]:
        if isinstance(item, int | float | np.ndarray):
            yield f"{item}\n"
            continue
        for subject in shown(item, fused):
            yield from (f"{line}\n" for line in _Listing(subject, options, done, used_ids).lines())


class _Line(NamedTuple):
    """A variable that is to be printed: the indentation of its line, that of its inputs, and its level."""

    variable: Variable
    prefix: str
    prefix_below: str
    level: int
    updated: Variable | None = None


class _Listing:
    """The lines for the outputs of one subject."""

    def __init__(
        self, subject: Subject, options: Options, done: dict[Printed, str], used_ids: dict[Printed, str]
    ) -> None:
        self.subject = subject
        self.options = options
        self.done = done
        self.used_ids = used_ids
        order = [] if subject.graph is None else subject.graph.toposort()
        self.position = {node: i for i, node in enumerate(order)}
        self.clients = clients(order) if options.print_clients else {}

    def lines(self) -> Iterator[str]:
        """The lines down to the depth of the options."""
        for i, output in enumerate(self.subject.outputs):
            stack = [_Line(output, "", "", 0, self.subject.updates.get(i))]
            while stack:
                line = stack.pop()
                if line.level == self.options.depth:
                    continue
                node = line.variable.owner
                if node is None:
                    yield self._leaf(line)
                    continue
                seen = node in self.done
                yield self._node(line, node)
                if not seen and not (self.options.stop_on_name and line.variable.name is not None):
                    stack.extend(reversed(self._below(line, node)))

    @staticmethod
    def _below(line: _Line, node: Apply) -> list[_Line]:
        """The lines of the inputs of a node."""
        level = line.level + 1
        indent = line.prefix_below if level % LEVELS_SHOWN else f" +{level}"
        last = len(node.inputs) - 1
        return [
            _Line(x, f"{indent} |", f"{indent}  " if i == last else f"{indent} |", level)
            for i, x in enumerate(node.inputs)
        ]

    def _identifier(self, thing: Printed) -> str:
        """The identifier of a node or leaf, a new one if it has none yet."""
        if thing not in self.used_ids:
            number = len(self.used_ids)
            shown = {"CHAR": letters(number), "int": str(number), "id": str(id(thing)), "": ""}[self.options.ids]
            self.used_ids[thing] = f"[id {shown}]" if shown else ""
        return self.used_ids[thing]

    def _leaf(self, line: _Line) -> str:
        x = line.variable
        self.done[x] = self._identifier(x)
        return f"{line.prefix}{leaf_text(x)} {self.done[x]}{self._type(x)}{self._storage(x)}{self._target(line)}"

    def _node(self, line: _Line, node: Apply) -> str:
        x, op = line.variable, node.op
        self.done[node] = self._identifier(node)
        index = "" if len(node.outputs) == 1 else f".{x.index}"
        head = f"{line.prefix}{op.text()}{index} {self.done[node]}{self._type(x)} '{x.name or ''}'"
        destroyed = f"d={destroy_map(op)}" if self.options.print_destroy_map and destroy_map(op) else ""
        viewed = f"v={view_map(op)}" if self.options.print_view_map and view_map(op) else ""
        tail = f"{self.position.get(node, '')}{self._storage(x)}{self._clients_of(x)}{self._target(line)}"
        return f"{head} {destroyed} {viewed} {tail}"

    def _type(self, x: Variable) -> str:
        shape = ", ".join("?" if n is None else str(n) for n in x.type.shape)
        return (f" <{x.type!r}>" if self.options.print_type else "") + (
            f" shape=({shape})" if self.options.print_shape else ""
        )

    def _storage(self, x: Variable) -> str:
        if not self.options.print_storage or self.subject.graph is None:
            return ""
        value = x.data if isinstance(x, Constant) else x.container.data if isinstance(x, SharedVariable) else None
        return " [None]" if value is None else f" [{constant_text(value)}]"

    def _clients_of(self, x: Variable) -> str:
        if not self.options.print_clients:
            return ""
        found: list[tuple[str, Any]] = [
            (self._identifier(node), self.position[node]) for node, _ in self.clients.get(x, [])
        ]
        found += [("output", "") for output in self.subject.outputs if output is x]
        return f" clients:{found}" if len(found) > 1 else ""

    @staticmethod
    def _target(line: _Line) -> str:
        return "" if line.updated is None else f" -> {line.updated}"


def letters(number: int) -> str:
    """A number in base 26 with letters for digits, as in Theano: A, B, ..., Z, BA, BB, ..."""
    text = ""
    while number or not text:
        number, digit = divmod(number, 26)
        text = chr(ord("A") + digit) + text
    return text


def min_informative_str(obj: Any, indent_level: int = 0) -> str:
    """The graph down to its named variables, for messages.

        >>> print(min_informative_str(C + (D + E)))
        A. add
         B. C
         C. add
          D. D
          E. E
    """
    if not isinstance(obj, Variable):
        return " " * indent_level + "A. " + ("<ndarray>" if isinstance(obj, np.ndarray) else str(obj))
    tags: dict[Variable, str] = {}
    lines: list[str] = []
    stack = [(obj, indent_level)]
    while stack:
        x, level = stack.pop()
        # A chain of n nodes would take n*n characters: the indentation starts anew, as in debugprint.
        indent = " " * (level % LEVELS_SHOWN)
        if x in tags:
            lines.append(f"{indent}<{tags[x]}>")
            continue
        tags[x] = letters(len(tags))
        shown = x.name or (leaf_text(x) if x.owner is None else x.owner.op.text())
        lines.append(f"{indent}{tags[x]}. {shown}")
        if not x.name and x.owner is not None:
            stack.extend((y, level + 1) for y in reversed(x.owner.inputs))
    return "\n".join(lines)
