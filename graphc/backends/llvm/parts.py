"""Parts: a plan cut where Python must act between its steps.

A part ends where a node's `perform` is called, or where an array is allocated whose size the part has computed.  Most
plans have two parts: sizes, and everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from graphc.backends.llvm.encoder import SCRATCH
from graphc.backends.llvm.frame import Layout
from graphc.backends.llvm.program import Place
from graphc.graph.predicates import Predicate
from graphc.graph.variable import Apply, Constant, Variable
from graphc.kernels.launch import InShares, Launch
from graphc.kernels.plan import Plan
from graphc.kernels.steps import Call, Commit, Key, Pick, Product, Step, Verify
from graphc.ops.shape import ShapeOf


@dataclass(frozen=True)
class Callback:
    """A node that Python computes, where its operands and results are described, and under which condition."""

    node: Apply
    operands: tuple[Place | Constant, ...]
    places: tuple[Place, ...]
    when: Predicate


@dataclass(eq=False)
class Part:
    """Steps that run without Python.

    allocates: arrays that are made before, with their place; steps: what runs, each under its condition; callback:
    what Python computes after.
    """

    allocates: list[tuple[Key, Place]] = field(default_factory=list)
    steps: list[tuple[Step, Predicate]] = field(default_factory=list)
    callback: Callback | None = None


def partition(plan: Plan, layout: Layout) -> list[Part]:
    """The parts of a plan, two or more; what they allocate gets its place in the layout.

    The last one is the commit, if the plan has one.
    """
    parts = [Part()] if plan.early else [Part(), Part()]
    pending: set[Variable] = set()  # what this part computes: no size of an array that it allocates
    allocated: set[int] = set()
    for position, (step, when) in enumerate(zip(plan.steps, plan.whens, strict=True)):
        made = made_by(step)
        sizes = {n for key in made for n in plan.shape(key) if isinstance(n, Variable)}
        begins = position in (plan.early, plan.commit) and position > 0
        if begins or not pending.isdisjoint(sizes | set(map(_sized_by, sizes))):
            parts.append(Part())
            pending = set()
        part = parts[-1]
        if isinstance(step, Call):
            places = [Place(out.dtype, layout.slot(out), layout.dimensions(out)) for out in step.node.outputs]
            operands = [x if isinstance(x, Constant) else layout.place(x, plan.shape(x)) for x in step.node.inputs]
            part.callback = Callback(step.node, tuple(operands), tuple(places), when)
            parts.append(Part())
            pending = set()
            continue
        for key in made:
            slot = layout.slot(key)
            if slot not in allocated:
                allocated.add(slot)
                part.allocates.append((key, layout.place(key, plan.shape(key))))
        if isinstance(step, Pick):
            pending.update(step.node.outputs)
            for out in step.node.outputs:
                layout.dimensions(out)
        if isinstance(step, Launch | InShares):
            pending.update((step if isinstance(step, Launch) else step.launch).outputs)
        part.steps.append((step, when))
    return parts if len(parts) > 1 else [*parts, Part()]


def made_by(step: Step) -> list[Key]:
    """The memories a step writes."""
    if isinstance(step, Product):
        return [step.node.outputs[0], SCRATCH]
    if isinstance(step, InShares | Commit):
        return made_by(step.launch)
    if isinstance(step, Launch):
        pairs = zip(step.arrays, step.kernel.arrays, strict=True)
        return [key for key, array in pairs if array in step.kernel.written]
    return []


def nodes_of(step: Step) -> tuple[Apply, ...]:
    """What a step that writes memories computes."""
    if isinstance(step, InShares | Commit):
        return step.launch.nodes
    if isinstance(step, Verify):
        return step.of.nodes
    if isinstance(step, Launch):
        return step.nodes
    return (step.node,) if isinstance(step, Product) else ()


def _sized_by(size: Variable) -> Variable:
    """The array whose size this is, or the size itself."""
    return size.owner.inputs[0] if size.owner is not None and isinstance(size.owner.op, ShapeOf) else size
