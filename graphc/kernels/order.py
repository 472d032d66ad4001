"""The order of a plan's nodes: the sizes of an array before it, and what needs no array before everything else."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from functools import cached_property

from graphc.graph.predicates import ALWAYS, Choice, Predicate
from graphc.graph.sizes import Shape
from graphc.graph.traverse import toposort
from graphc.graph.variable import Apply, Constant, Variable
from graphc.kernels.drafts import written_shape
from graphc.kernels.shapes import Shapes
from graphc.ops.indexing import IncSubtensor
from graphc.ops.shape import ShapeOf
from graphc.schedule.schedule import Check, Choose, Compute, Schedule


def is_known(x: Variable, available: Container[Variable]) -> bool:
    """Whether a number can be read once what is `available` is there: a size can if its array is."""
    if x in available or isinstance(x, Constant):
        return True
    return x.owner is not None and isinstance(x.owner.op, ShapeOf) and x.owner.inputs[0] in available


class Order:
    """Which of a schedule's nodes come first, and where between the others sizes are computed.

    fits: whether a node can be part of a kernel; when_of: for what is not always needed the condition.
    """

    def __init__(
        self, schedule: Schedule, shapes: Shapes, fits: Callable[[Apply], bool], when_of: Mapping[Variable, Predicate]
    ) -> None:
        self.schedule = schedule
        self.graph = schedule.graph
        self.nodes = [s.node for s in schedule.steps if isinstance(s, Compute)]
        self.shapes = shapes
        self.fits = fits
        self.when_of = when_of

    @cached_property
    def sizes(self) -> list[Variable]:
        """The sizes of all arrays."""
        return self._sizes_of(self.nodes)

    def _sizes_of(self, nodes: Iterable[Apply]) -> list[Variable]:
        """The sizes of all arrays that these nodes make or read."""
        shapes: dict[Shape, None] = {}
        shape_of = self.shapes.shape
        for node in nodes:
            for x in (*node.outputs, *node.inputs):
                shapes[shape_of(x)] = None
        found: dict[Variable, None] = dict.fromkeys(n for shape in shapes for n in shape if isinstance(n, Variable))
        for node in nodes:
            if isinstance(node.op, IncSubtensor) and self.fits(node):
                found.update((n, None) for n in written_shape(self.shapes, node) if isinstance(n, Variable))
        return list(found)

    @cached_property
    def early(self) -> list[Apply]:
        """The nodes that need no array: those that sizes and guards depend on, and other arithmetic of numbers."""
        known = {*self.graph.inputs}
        wanted = list(self.sizes)
        for x in self.graph.outputs:
            wanted += [n for n in self.shapes.shape(x) if isinstance(n, Variable)]
        numbers: list[Apply] = []
        for step in self.schedule.steps:
            if isinstance(step, Check):
                wanted += [x for x in step.sides if isinstance(x, Variable)]
            elif isinstance(step, Compute) and not step.when and step.writes[0].variable.ndim == 0:
                numbers.append(step.node)
        done: set[Apply | None] = set()
        order = toposort(wanted, stop=known, done=done)
        order += [node for node in numbers if node not in done]  # in the order of the schedule
        result: list[Apply] = []
        fine = set(known)
        for node in order:
            if isinstance(node.op, ShapeOf):
                if node.inputs[0] in known:
                    fine.update(node.outputs)
            elif self.when_of.get(node.outputs[0], ALWAYS):
                continue  # only the branch that is taken runs
            elif (
                self.fits(node)
                and not any(out.ndim for out in node.outputs)
                and all(isinstance(x, Constant) or (x in fine and x.ndim == 0) for x in node.inputs)
            ):
                fine.update(node.outputs)
                result.append(node)
        return result

    @cached_property
    def late(self) -> list[Apply]:
        """The other nodes in order, those for the sizes of what a node makes before it."""
        wanted: list[Variable] = []
        chooses = any(isinstance(step, Choose) for step in self.schedule.steps)
        seen: set[Shape] = set()
        shape_of = self.shapes.shape
        for node in self.nodes:
            shapes = [shape_of(x) for x in (*node.outputs, *node.inputs)]
            known = seen.issuperset(shapes) and not isinstance(node.op, IncSubtensor)
            seen.update(shapes)
            sizes = [] if known else self._sizes_of([node])
            if chooses:  # a size of a branch is computed after the choice
                for made in toposort(sizes):
                    wanted += _conditions(self.when_of.get(made.outputs[0], ALWAYS))
            wanted += [*sizes, *node.outputs]
        placed = set(self.early)
        return [node for node in toposort(wanted) if node not in placed]


def _conditions(when: Predicate) -> list[Variable]:
    """The conditions of all choices that a predicate rests on, the first to be made first."""
    found: list[Choice] = []
    pending = [choice for choice, _ in when]
    while pending:
        found.append(pending.pop())
        pending += [choice for choice, _ in found[-1].when]
    return [choice.condition for choice in reversed(found)]
