"""What of a call's sizes shapes the code of a kernel, and the parameters that the code has beyond those of the loop IR.

    error     a word that is set where a check fails; who fails touches no memory that the check was for
    parts     for each total over the grid one number a block; ticket: counts the blocks that are done
    rows      memory for the rows of teams, if they do not fit into shared memory
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.kernels.gpuir import GpuKernel, walk
from graphc.kernels.loopir import Require


@dataclass(frozen=True)
class Layout:
    """What of a call's sizes shapes the code.

    is_small: whether all indices fit into 32 bits; shared_bytes: of shared memory for the rows of a team, 0 if they
    must be elsewhere; aliased: whether some array is reached by two parameters; alone: whether there is one block.
    """

    is_small: bool
    shared_bytes: int = 0
    aliased: bool = False
    alone: bool = False


# The parameters of the machine, with their types.
EXTRAS = {"error": "unsigned int", "parts": "char", "ticket": "unsigned int", "rows": "char"}


def has_checks(kernel: GpuKernel) -> bool:
    """Whether a kernel may find that a check fails."""
    return any(isinstance(s, Require) for s in walk((*kernel.body, *kernel.finish)))


def extras(kernel: GpuKernel, layout: Layout) -> tuple[str, ...]:
    """The parameters of the machine that a kernel has, in order."""
    top = kernel.shared_out
    totals = top is not None and bool(top.carries) and not layout.alone
    wanted = {
        "error": has_checks(kernel), "parts": totals, "ticket": totals,
        "rows": bool(kernel.rows) and not layout.shared_bytes,
    }  # fmt: skip
    return tuple(name for name in EXTRAS if wanted[name])
