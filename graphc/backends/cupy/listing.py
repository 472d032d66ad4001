"""What a schedule on a device prints: the plan, how it runs, and what crosses between host and device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphc.backends.cupy.libraries import library_of
from graphc.backends.cupy.numbers import is_static, roots, wanted
from graphc.graph.variable import Apply, Variable
from graphc.kernels.describe import Description, KernelSchedule
from graphc.kernels.plan import Plan
from graphc.kernels.steps import Call
from graphc.ops.indexing import IncSubtensor


@dataclass(frozen=True, repr=False)
class DeviceSchedule(KernelSchedule):
    """A schedule that a device runs.

    schedule function(x, w)
        0  t1 = kernel 0 (x, w): mul
        1  t2 = call Cumsum(t1)  # ...
        2  t3 = call dot(t0, t0)  # CuPy computes it, on the device
    commit  t2, t3
    runs    step by step
    moves   w to the device
    moves   t1 to the host, t2 to the device  (step 1)
    """

    side = "device"

    def __repr__(self) -> str:
        description = Description(self.plan, self.why)
        return "\n".join([description.text(), *_crossings(self.plan, description, self.transfers)])


def _crossings(plan: Plan, description: Description, shared: Sequence[str]) -> list[str]:
    if is_static(plan):
        return ["runs    recorded, for each set of sizes", *shared]
    lines = ["runs    step by step", *shared]
    waited = [description.name(x) for x in wanted(plan) if roots(plan, [x]) is None]
    waited += [f"the places of {name}" for name in dict.fromkeys(_counted(plan, description))]
    if waited:
        lines.append(f"waits   for {', '.join(waited)}")
    for i, step in enumerate(plan.steps):
        if isinstance(step, Call) and library_of(step.node) is None:
            there = _names(description, [x for x in step.node.inputs if x.owner is not None or x.ndim])
            back = _names(description, step.node.outputs)
            lines.append(f"moves   {there} to the host, {back} to the device  (step {i})")
    return lines


def _counted(plan: Plan, description: Description) -> Iterator[str]:
    """The masks by which a library writes, after it has looked where they are true."""
    for node in (step.node for step in plan.steps if isinstance(step, Call)):
        library = library_of(node)
        if isinstance(node.op, IncSubtensor) and library is not None and library.waits(node):
            yield from (description.name(x) for x in node.inputs[2:] if x.dtype == "bool")


def why_called(node: Apply) -> str:
    """What computes a node that is not part of a kernel, and why."""
    if library_of(node) is not None:
        return "CuPy computes it, on the device"
    return f"{node.op} has no CUDA C for {', '.join(x.dtype for x in node.inputs)}"


def _names(description: Description, variables: Sequence[Variable]) -> str:
    return ", ".join(dict.fromkeys(map(description.name, variables))) or "nothing"
