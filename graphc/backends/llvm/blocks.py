"""The reductions of a loop on vectors, of which sums of floats go block by block.

Sums of blocks are added with more care than elements (see `accumulate`); other reductions go through all the blocks.
The first block has nothing before it: its sum is the total, at once, so that the sums of a few numbers do not wait for
care that they do not need.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphc.backends.llvm.accumulate import Accumulator, State, compensated
from graphc.backends.llvm.emit import Builder, Kind, Value
from graphc.kernels.loopir import Loop

# Vectors that are added up without a look at rounding errors.
BLOCK = 16


@dataclass(frozen=True)
class Blocks:
    """The registers of reductions, before, inside and after blocks.

    kinds: one vector of each; ways: how each is carried inside a block; sums: whether it is a sum of floats.
    """

    b: Builder
    kinds: Sequence[Kind]
    ways: Sequence[Accumulator]
    sums: Sequence[bool]

    @classmethod
    def of(cls, b: Builder, loop: Loop, ways: Sequence[Accumulator], lanes: int) -> Blocks:
        """Those of a loop; if all of it is known to be one block, none needs more care."""
        kinds = [Kind(c.value.dtype, lanes) for c in loop.carries]
        size = loop.axis.sizes[0] if len(loop.axis.sizes) == 1 else None
        is_one = isinstance(size, int) and size <= BLOCK * lanes
        sums = [
            c.kind in ("sum", "dot") and k.is_float and not is_one for c, k in zip(loop.carries, kinds, strict=True)
        ]
        return cls(b, kinds, ways, sums)

    @property
    def _outer(self) -> list[Accumulator]:
        return [compensated() if is_sum else way for is_sum, way in zip(self.sums, self.ways, strict=True)]

    def start(self) -> list[State]:
        """The registers before the loop."""
        return [way.start(self.b, kind) for way, kind in zip(self._outer, self.kinds, strict=True)]

    def opened(self, states: Sequence[State]) -> list[State]:
        """The registers at the start of a block."""
        every = zip(self.sums, self.ways, self.kinds, states, strict=True)
        return [way.start(self.b, kind) if is_sum else state for is_sum, way, kind, state in every]

    def first(self, block: Sequence[State]) -> list[State]:
        """Those after the first block: what `closed` would give, sooner."""
        nothing = [self.b.constant(0.0, kind) for kind in self.kinds]
        every = zip(self.sums, block, nothing, strict=True)
        return [(new[0], zero) if is_sum else new for is_sum, new, zero in every]

    def closed(self, states: Sequence[State], block: Sequence[State]) -> list[State]:
        """Those after a block, with those before it."""
        every = zip(self.sums, self._outer, states, block, strict=True)
        return [way.step(self.b, old, new[0]) if is_sum else new for is_sum, way, old, new in every]

    def finish(self, states: Sequence[State]) -> list[State]:
        """What scalars they are, after the loop."""
        return [way.finish(self.b, state) for way, state in zip(self._outer, states, strict=True)]


def flat(states: Iterable[State]) -> list[Value]:
    """The registers of several reductions, one after another."""
    return [register for state in states for register in state]
