"""A kernel with its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.graph.sizes import Shape
from graphc.graph.variable import Apply, Variable
from graphc.kernels.loopir import Kernel


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
