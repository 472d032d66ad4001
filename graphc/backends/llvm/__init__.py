"""The LLVM backend: fused kernels as machine code, run from a table of steps."""

from __future__ import annotations

from graphc.backends.base import Executable, backend
from graphc.backends.llvm import spelling
from graphc.backends.llvm.executable import LlvmExecutable
from graphc.backends.llvm.spelling import known
from graphc.graph.op import Op
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.plan import Unplanned, plan
from graphc.ops.declare import Elementwise
from graphc.ops.reduction import Place
from graphc.schedule.schedule import Schedule


def compile(schedule: Schedule) -> Executable:
    """Make a schedule run.  One that kernels cannot run yet is run by NumPy, and `source` says why."""
    try:
        return LlvmExecutable(schedule, plan(schedule, kernel_ops(spelling.spells), rows=True, in_place=True))
    except Unplanned as reason:
        executable = backend("numpy").compile(schedule)
        executable.source = f"# run by NumPy: {reason}\n{executable.source}"  # type: ignore[misc]
        return executable


def spells(op: Op) -> bool:
    """Whether the backend has an own spelling for the op; otherwise its body is compiled."""
    return isinstance(op, Place) or (isinstance(op, Elementwise) and known(op))
