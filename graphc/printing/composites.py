"""Fused nodes as Theano showed them: ``Elemwise{Composite{tanh((i0 + i1))}}`` for ``tanh(dot(X, W) + b)``.

A graph is drawn as its user thinks of it: a tree of elementwise nodes that run together in one kernel is one node.
This is for display only; ``f.graph`` stays as it is, and ``f.source`` shows what really runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any

from graphc.graph.fgraph import FunctionGraph
from graphc.graph.op import Op
from graphc.graph.traverse import rebuild
from graphc.graph.variable import Apply, Variable
from graphc.ops.declare import Elementwise

from .pretty import pp
from .subject import Subject, subjects

# Nodes in one composite; a longer line is not read, and kernels end somewhere too.
MOST_NODES = 64


class Composite(Op):
    """Several elementwise nodes as one, for display."""

    name = "Elemwise"

    def __init__(self, expression: str) -> None:
        self.expression = expression

    def text(self) -> str:
        return f"Elemwise{{Composite{{{self.expression}}}}}"


def shown(obj: Any, fused: bool = True) -> list[Subject]:
    """What `obj` asks to have printed, where functions that have kernels are seen with composites, if `fused`."""
    if isinstance(obj, list | tuple):
        return [subject for item in obj for subject in shown(item, fused)]
    found = subjects(obj)
    if not fused or not getattr(obj, "kernels", None):
        return found
    called: Container[Op] = getattr(obj, "called", ())
    return [_fused(subject, subject.graph, called) if subject.graph is not None else subject for subject in found]


def _fused(subject: Subject, graph: FunctionGraph, called: Container[Op]) -> Subject:
    outputs = composed(graph, called)
    return replace(subject, outputs=outputs, graph=replace(graph, outputs=outputs))


def composed(graph: FunctionGraph, called: Container[Op] = ()) -> tuple[Variable, ...]:
    """The outputs of a graph in which each tree of elementwise nodes of one shape is one node.

    A node is part of the tree above it if nothing else needs its result.  Ops that are `called`, and not computed in a
    kernel, stay by themselves.
    """
    order = graph.toposort()
    uses = Counter([*graph.outputs, *(x for node in order for x in node.inputs)])
    trees: dict[Apply, list[Apply]] = {}  # of each elementwise node: itself and the nodes it takes in
    inner: set[Apply] = set()
    for node in order:
        if not isinstance(node.op, Elementwise) or node.op in called:
            continue
        tree = [node]
        for x in dict.fromkeys(node.inputs):
            below = trees.get(x.owner) if x.owner is not None else None
            if below is None or uses[x] > 1 or graph.shape(x) != graph.shape(node.out):
                continue
            if len(tree) + len(below) <= MOST_NODES:
                tree += below
                inner.add(below[0])
        trees[node] = tree
    image: dict[Variable, Variable] = {}
    for node in order:
        if node not in inner:
            made = _made(node, trees.get(node, [node]), image)
            image.update(zip(node.outputs, made.outputs, strict=True))
    return tuple(image.get(x, x) for x in graph.outputs)


def _made(node: Apply, tree: Sequence[Apply], image: dict[Variable, Variable]) -> Apply:
    """The node, with all of its tree, on operands that are shown."""
    operands = node.inputs if len(tree) == 1 else _operands(node, set(tree))
    op = node.op if len(tree) == 1 else Composite(_expression(node.out, operands))
    inputs = [image.get(x, x) for x in operands]
    made = Apply(op, inputs, [out.type for out in node.outputs], node.site)
    for old, new in zip(node.outputs, made.outputs, strict=True):
        new.name = old.name
    return made


def _operands(root: Apply, tree: Container[Apply]) -> tuple[Variable, ...]:
    """What a tree reads, in the order in which its expression says it."""
    found: dict[Variable, None] = {}
    pending = list(reversed(root.inputs))
    while pending:
        x = pending.pop()
        if x.owner is not None and x.owner in tree:
            pending.extend(reversed(x.owner.inputs))
        else:
            found[x] = None
    return tuple(found)


def _expression(root: Variable, operands: Sequence[Variable]) -> str:
    """The expression of a tree in ``i0, i1, ...``."""
    names = {x: Variable(x.type, name=f"i{i}") for i, x in enumerate(operands)}
    return pp(rebuild([root], names)[0], max_length=None)
