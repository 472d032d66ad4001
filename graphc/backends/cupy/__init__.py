"""The CuPy backend: fused kernels as CUDA C, run on a GPU."""

from __future__ import annotations

from graphc.backends.base import Executable
from graphc.backends.cupy import spelling
from graphc.backends.cupy.chosen import current
from graphc.backends.cupy.executable import CupyExecutable
from graphc.backends.cupy.hosted import Hosted
from graphc.backends.cupy.programs import programs_of
from graphc.backends.cupy.spelling import known
from graphc.graph.op import Op
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.plan import Unplanned, plan
from graphc.ops.declare import Elementwise
from graphc.schedule.schedule import Schedule


def compile(schedule: Schedule) -> Executable:
    """Make a schedule run on the current GPU.  One that kernels cannot run yet is run on the host, and says so."""
    device = current()
    try:
        made = plan(schedule, kernel_ops(spelling.spells), windows=False, atomic=True, in_place=True)
    except Unplanned as reason:
        return Hosted(schedule, device, str(reason))
    return CupyExecutable(schedule, made, device, programs_of(device))


def spells(op: Op) -> bool:
    """Whether the backend has an own spelling for the op; otherwise its body is compiled."""
    return isinstance(op, Elementwise) and known(op)
