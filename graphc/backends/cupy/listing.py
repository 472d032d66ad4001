"""What a schedule on a device prints: the plan, how it runs, and what crosses between host and device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.backends.cupy.numbers import is_static, roots, wanted
from graphc.graph.variable import Variable
from graphc.kernels.describe import Description, KernelSchedule
from graphc.kernels.plan import Plan
from graphc.kernels.steps import Call


@dataclass(frozen=True, repr=False)
class DeviceSchedule(KernelSchedule):
    """A schedule that a device runs.

    schedule function(x, w)
        0  t1 = kernel 0 (x, w): mul
        1  t2 = call Cumsum(t1)  # ...
    commit  t2
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
    waited = [x for x in wanted(plan) if roots(plan, [x]) is None]
    if waited:
        lines.append(f"waits   for {', '.join(map(description.name, waited))}")
    for i, step in enumerate(plan.steps):
        if isinstance(step, Call):
            there = _names(description, [x for x in step.node.inputs if x.owner is not None or x.ndim])
            back = _names(description, step.node.outputs)
            lines.append(f"moves   {there} to the host, {back} to the device  (step {i})")
    return lines


def _names(description: Description, variables: Sequence[Variable]) -> str:
    return ", ".join(dict.fromkeys(map(description.name, variables))) or "nothing"
