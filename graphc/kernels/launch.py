"""A kernel with its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.graph.sizes import Shape
from graphc.graph.variable import Apply, Variable
from graphc.kernels.loopir import Array, Kernel, Value


@dataclass(frozen=True, eq=False)
class Memory:
    """Memory that is no variable's: a row that a kernel keeps between its passes, or the copy of a result."""

    dtype: str
    shape: Shape

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.shape)


@dataclass(frozen=True)
class Launch:
    """A kernel and what its parameters stand for, in the same order.

    arrays: those with `written` results; a scalar or a size is the rank-0 variable that has the value.
    nodes: what it computes, in order.
    """

    kernel: Kernel
    sizes: tuple[Variable, ...]
    scalars: tuple[Variable, ...]
    arrays: tuple[Variable | Memory, ...]
    outputs: tuple[Variable, ...]
    nodes: tuple[Apply, ...]


# How the iterations of a kernel's only loop may be shared out: there is no such loop; every iteration writes places of
# its own, so that shares may run at the same time; iterations write to the same places, so that one share follows the
# other; what the loop carries is the reduction of what its shares carry.
WHOLE, AT_ONCE, IN_ORDER, TOTALS = MANNERS = ("whole", "at once", "in order", "totals")

PARTS = 512
"""The most shares of a loop that carries something."""


@dataclass(frozen=True)
class Shared:
    """A kernel of one loop at most, and the manner in which its iterations may be shared out.

    rows: arrays that an iteration keeps for itself, of which each thread has its own; totals: for each value the loop
    carries an array of `PARTS` elements, to which a share writes what it carried.
    """

    kernel: Kernel
    manner: str
    rows: tuple[Array, ...] = ()
    totals: tuple[tuple[Value, Array], ...] = ()


@dataclass(frozen=True, eq=False)
class InShares:
    """A kernel that is run in shares, with the arguments of its `launch`."""

    shared: Shared
    launch: Launch
