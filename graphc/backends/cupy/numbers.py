"""What the host knows of a call: the sizes of arrays, and the numbers from which sizes are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.backends.cupy.libraries import library_of
from graphc.graph.variable import Constant, Variable
from graphc.kernels.groups import Decide
from graphc.kernels.interpret import interpret
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Extent, Kernel, Loop, Output, Require, Statement, Value, defines, uses
from graphc.kernels.plan import Plan
from graphc.kernels.steps import (
    Assumed,
    Call,
    Commit,
    Key,
    NotEmpty,
    Pick,
    SameCount,
    SizesEqual,
    Undecide,
    Window,
    read_by,
)
from graphc.ops.shape import ShapeOf


class Unknown(Exception):
    """A number that only the device knows."""

    def __init__(self, variable: Variable) -> None:
        super().__init__(f"{variable!r} is computed on the device")
        self.variable = variable


class Numbers:
    """The numbers of one call that the host can tell: given ones, sizes, and what follows from them.

    shapes: of the arrays that are there; given: the values of rank 0 that are on the host.
    """

    def __init__(self, plan: Plan, shapes: Mapping[Variable, tuple[int, ...]], given: Mapping[Variable, Any]) -> None:
        self.plan = plan
        self.shapes = dict(shapes)
        self.known: dict[Variable, Any] = dict(given)
        self.makers = makers(plan)

    def number(self, x: Variable) -> Any:
        """The value of a variable of rank 0; raises Unknown if the host cannot tell."""
        if isinstance(x, Constant):
            return x.data[()]
        if x in self.known:
            return self.known[x]
        if x.owner is not None and isinstance(x.owner.op, ShapeOf):
            shape = self.shapes.get(x.owner.inputs[0])
            if shape is not None:
                return np.int64(shape[x.owner.op.axis])
        launch = self.makers.get(x)
        if launch is None or launch.arrays:
            return self.fetch(x)
        sizes = [self.size(n) for n in launch.sizes]
        values = interpret(launch.kernel, sizes, [self.number(s) for s in launch.scalars], [])
        self.known.update(zip(launch.outputs, values, strict=True))
        return self.known[x]

    def fetch(self, x: Variable) -> Any:
        """A number that must come from the device."""
        raise Unknown(x)

    def size(self, n: int | Variable | None) -> int:
        """A size."""
        assert n is not None
        return n if isinstance(n, int) else int(self.number(n))

    def shape(self, key: Key) -> tuple[int, ...]:
        """The sizes of a memory or a variable."""
        return tuple(self.size(n) for n in self.plan.shape(key))


def makers(plan: Plan) -> dict[Variable, Launch]:
    """Which kernel computes a value of rank 0; of one without arrays, the part that does."""
    steps = [step for step in plan.steps if isinstance(step, Launch)]
    return {x: step if step.arrays else part(step, x) for step in steps for x in step.outputs}


def part(step: Launch, x: Variable) -> Launch:
    """What of a kernel without arrays computes one of its numbers: others may follow from what is not known yet."""
    kernel = step.kernel
    if any(isinstance(s, Loop | Require) for s in kernel.body):
        return step
    output = kernel.outputs[step.outputs.index(x)]
    kept: list[Statement] = []
    needed: set[Value] = set()
    for s in reversed(kernel.body):
        if s.parameter is output if isinstance(s, Output) else not needed.isdisjoint(defines(s)):
            kept.append(s)
            needed.update(uses(s))
    read = {s.size for s in kept if isinstance(s, Extent)}
    sizes = [(n, v) for n, v in zip(kernel.sizes, step.sizes, strict=True) if n in read]
    scalars = [(s, v) for s, v in zip(kernel.scalars, step.scalars, strict=True) if s in needed]
    alone = Kernel(tuple(n for n, _ in sizes), tuple(s for s, _ in scalars), (), (output,), tuple(reversed(kept)))
    return Launch(alone, tuple(v for _, v in sizes), tuple(v for _, v in scalars), (), (x,), step.nodes)


def wanted(plan: Plan) -> list[Variable]:
    """The numbers that must be known on the host to run a plan: all sizes, and what is compared."""
    found: dict[Variable, None] = {}

    def add(sizes: Sequence[int | Variable | None]) -> None:
        found.update((n, None) for n in sizes if isinstance(n, Variable))

    for step in plan.steps:
        for key in read_by(step):
            add(plan.shape(key))
        if isinstance(step, Launch | Commit):
            add((step.launch if isinstance(step, Commit) else step).sizes)
        elif isinstance(step, SizesEqual | Assumed):
            add((step.left, step.right))
        elif isinstance(step, SameCount):
            add((*step.before, *step.after))
        elif isinstance(step, NotEmpty):
            add((step.size,))
        elif isinstance(step, Decide):
            add((step.choice.condition,))
        elif isinstance(step, Pick):
            add((step.node.inputs[0],))
        elif isinstance(step, Call) and (library := library_of(step.node)) is not None:
            add(library.numbers(step.node))
    for x in plan.schedule.graph.outputs:
        add(plan.shape(x))
    return list(found)


def roots(plan: Plan, numbers: Sequence[Variable]) -> set[Variable] | None:
    """The inputs of rank 0 that some numbers follow from; None if some follow from what a device computes."""
    made = makers(plan)
    inputs = set(plan.schedule.graph.inputs)
    found: set[Variable] = set()
    seen: set[Variable] = set()
    pending = list(numbers)
    while pending:
        x = pending.pop()
        if x in seen or isinstance(x, Constant):
            continue
        seen.add(x)
        if x in inputs:
            found.add(x)
        elif x.owner is not None and isinstance(x.owner.op, ShapeOf) and x.owner.inputs[0] in inputs:
            continue
        elif x in made and not made[x].arrays:
            pending += (*made[x].scalars, *made[x].sizes)
        elif (found_by := _found_by(plan, x)) is not None:
            pending += found_by
        else:
            return None
    return found


def _found_by(plan: Plan, x: Variable) -> Sequence[Variable] | None:
    """The numbers by which a library finds a size without waiting; None if it does not."""
    node = x.owner.inputs[0].owner if x.owner is not None and isinstance(x.owner.op, ShapeOf) else None
    library = None if node is None else library_of(node)
    if node is None or library is None or not library.finds(node) or library.waits(node):
        return None
    return [*library.numbers(node), *(n for n in plan.shape(node.inputs[0]) if isinstance(n, Variable))]


def is_static(plan: Plan) -> bool:
    """Whether all steps can be recorded once the sizes are known: no branches, no calls into Python."""
    if any(isinstance(step, Call | Pick | Decide | Undecide | Window) for step in plan.steps):
        return False
    return roots(plan, wanted(plan)) is not None
