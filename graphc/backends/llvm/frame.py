"""The layout of a frame: which word holds what of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.backends.llvm.program import Place, Slot
from graphc.backends.llvm.support import FIRST_FREE
from graphc.graph.variable import Constant, Variable
from graphc.kernels.plan import Plan
from graphc.kernels.steps import Key, memory_of
from graphc.ops.shape import ShapeOf


def word_of(value: Any) -> int:
    """The bytes of a number as a signed 64-bit word."""
    raw = np.asarray(value).tobytes()
    return int.from_bytes(raw.ljust(8, b"\0"), "little", signed=True)


class Layout:
    """Gives every array, number and size of a plan its word of the frame."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.words: list[int] = [0] * FIRST_FREE
        self.keep: list[object] = []
        self._slots: dict[Key, int] = {}
        self._sizes: dict[object, int] = {}
        self.inputs = tuple(self._input(x) for x in plan.schedule.graph.inputs)

    def fresh(self, word: int = 0) -> int:
        """A new word."""
        self.words.append(word)
        return len(self.words) - 1

    def _input(self, x: Variable) -> Place:
        slot = self._slots[x] = self.fresh()
        return Place(x.dtype, slot, self.dimensions(x))

    def dimensions(self, x: Variable) -> tuple[Slot, ...]:
        """Words for all sizes of an array that comes from outside."""
        slots = tuple(Slot(self.fresh()) for _ in range(x.ndim))
        for axis, slot in enumerate(slots):
            self._sizes[(x, axis)] = slot.index
        return slots

    def dimension(self, x: Variable, axis: int) -> int:
        """The word of one size of an array that comes from outside."""
        return self._sizes[(x, axis)]

    def slot(self, key: Key) -> int:
        """The word of a memory's address, or of a number."""
        if isinstance(key, Variable) and key.owner is not None and isinstance(key.owner.op, ShapeOf):
            return self.size(key)
        key = memory_of(key, self.plan.home)
        key = self.plan.regions.get(key, key)
        found = self._slots.get(key)
        if found is None:
            word = 0
            if isinstance(key, Constant):
                if key.ndim:
                    array = np.ascontiguousarray(key.data)
                    self.keep.append(array)
                    word = int(array.__array_interface__["data"][0])
                else:
                    word = word_of(key.data)
            found = self._slots[key] = self.fresh(word)
        return found

    def size(self, n: int | Variable | None) -> int:
        """The word of a size."""
        assert n is not None
        if isinstance(n, int):
            if n not in self._sizes:
                self._sizes[n] = self.fresh(n)
            return self._sizes[n]
        if n.owner is not None and isinstance(n.owner.op, ShapeOf):
            return self._sizes[(n.owner.inputs[0], n.owner.op.axis)]
        return self.slot(n)

    def place(self, key: Key, shape: Sequence[int | Variable | None]) -> Place:
        """Where an array of this program's is described."""
        sizes = tuple(n if isinstance(n, int) else Slot(self.size(n)) for n in shape)
        return Place(key.dtype, self.slot(key), sizes)
