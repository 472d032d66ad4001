"""Walks over graphs, without recursion: a chain of 100,000 nodes is a graph like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

from graphc.graph.variable import Apply, Constant, Variable

# Where a walk stops.  Every edge is looked up in it, so it is nothing that has to be searched.
Stop = AbstractSet[Variable] | Mapping[Variable, object]
NOWHERE: Stop = frozenset()


def toposort(
    outputs: Iterable[Variable], stop: Stop = NOWHERE, done: set[Apply | None] | None = None
) -> list[Apply]:
    """The nodes that make `outputs`, each after the nodes it depends on; nothing above a variable in `stop`.

    The order is that of a depth-first walk from the first output's first input: the order of a printout.
    done: nodes that are sorted already; those found are added.
    """
    order: list[Apply] = []
    done = set() if done is None else done
    done.add(None)  # leaves have no owner, and need none
    entered: set[Apply] = set()  # nodes above which, on the stack, is what they depend on
    for output in outputs:
        if output.owner is None or output in stop:
            continue
        stack = [output.owner]
        while stack:
            node = stack.pop()
            if node in entered:
                if node not in done:
                    done.add(node)
                    order.append(node)
            elif node not in done:
                entered.add(node)
                stack.append(node)
                for x in reversed(node.inputs):
                    if x.owner not in done and x not in stop:
                        stack.append(x.owner)  # type: ignore[arg-type]
    return order


def leaves_of(nodes: Iterable[Apply], outputs: Iterable[Variable], stop: Stop = NOWHERE) -> list[Variable]:
    """The variables without an owner (and those in `stop`) among the inputs of sorted nodes and the outputs."""
    found: dict[Variable, None] = {}
    for node in nodes:
        for x in node.inputs:
            if x.owner is None or x in stop:
                found[x] = None
    for x in outputs:
        if x.owner is None or x in stop:
            found[x] = None
    return list(found)


def leaves(outputs: Iterable[Variable], stop: Stop = NOWHERE) -> list[Variable]:
    """The variables without an owner (and those in `stop`) that `outputs` depend on, in order of appearance."""
    outputs = list(outputs)
    return leaves_of(toposort(outputs, stop), outputs, stop)


def inputs_of(outputs: Iterable[Variable]) -> list[Variable]:
    """The leaves that are no constants."""
    return [x for x in leaves(outputs) if not isinstance(x, Constant)]


def clients(nodes: Iterable[Apply]) -> dict[Variable, list[tuple[Apply, int]]]:
    """For each variable the nodes that read it, with the position at which they do."""
    result: dict[Variable, list[tuple[Apply, int]]] = {}
    for node in nodes:
        for i, x in enumerate(node.inputs):
            result.setdefault(x, []).append((node, i))
    return result


def depends_on(outputs: Iterable[Variable], targets: Iterable[Variable]) -> bool:
    """Whether any output depends on any target."""
    wanted = set(targets)
    outputs = list(outputs)
    return any(x in wanted for x in outputs) or any(
        x in wanted for node in toposort(outputs) for x in (*node.inputs, *node.outputs)
    )


def rebuild(
    outputs: Iterable[Variable],
    replacements: Mapping[Variable, Variable],
    remake: Callable[[Apply, list[Variable]], Apply] | None = None,
) -> list[Variable]:
    """`outputs` with variables replaced; what depends on no replaced variable is shared with the old graph.

    Replacements are not replaced again: ``{a: b, b: a}`` exchanges the two.
    """
    outputs = list(outputs)
    image: dict[Variable, Variable] = dict(replacements)
    for node in toposort(outputs, stop=replacements):
        inputs = [image.get(x, x) for x in node.inputs]
        if all(new is old for new, old in zip(inputs, node.inputs, strict=True)):
            continue
        copy = remake(node, inputs) if remake else remake_node(node, inputs)
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            if old not in replacements:
                image[old] = new
    return [image.get(x, x) for x in outputs]


def remake_node(node: Apply, inputs: list[Variable]) -> Apply:
    """The same op on other inputs, with the names and the site of the old node.

    If the types of the inputs changed, the op works out those of its outputs anew.
    """
    same = all(
        new.type == old.type and new.type.weak == old.type.weak for new, old in zip(inputs, node.inputs, strict=True)
    )
    copy = Apply(node.op, inputs, [o.type for o in node.outputs], node.site) if same else node.op.make_node(*inputs)
    copy.site = node.site
    for old, new in zip(node.outputs, copy.outputs, strict=True):
        new.name = old.name
        new.site = node.site
    return copy
