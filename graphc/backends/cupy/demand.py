"""What a static function asks for in memory while it is made: everything gets its place in one buffer in the end.

In front lie numbers, 8 bytes each, which are 0 at first: what is cleared, then what is given, then what is computed on
the device.  Then come arrays, which may share a place (arena.py), and what launches have for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.backends.cupy.arena import Life, aligned, packed
from graphc.backends.cupy.commands import Address, address_of
from graphc.backends.cupy.device import Buffer, Device, pointer
from graphc.kernels.steps import Key


class Demand:
    """The cells of all that was asked for.

    needs: those of arrays and numbers of the plan, with their bytes; free: those (by id) whose address is set by who
    calls.
    """

    def __init__(self) -> None:
        self.needs: dict[Key, tuple[Address, int]] = {}
        self.free: set[int] = set()
        self._scratch: list[tuple[Address, int]] = []
        self._cleared: list[Address] = []
        self._given: list[tuple[Address, np.ndarray[Any, Any]]] = []

    def array(self, key: Key, nbytes: int) -> Address:
        """An array, or a number that is computed on the device."""
        cell = Address()
        self.needs[key] = (cell, nbytes)
        return cell

    def scratch(self, nbytes: int) -> Address:
        """Memory for a launch alone."""
        cell = Address()
        self._scratch.append((cell, nbytes))
        return cell

    def cleared(self) -> Address:
        """A word that is 0 at first."""
        cell = Address()
        self._cleared.append(cell)
        return cell

    def given(self, number: np.ndarray[Any, Any]) -> Address:
        """A number that goes to the device once."""
        cell = Address()
        self._given.append((cell, number))
        return cell

    def arrange(self, device: Device, lives: Mapping[Key, Life]) -> Buffer:
        """Give everything its place, but for what is free; lives: when arrays are needed."""
        fixed = [*self._cleared, *(cell for cell, _ in self._given)]
        fixed += [cell for key, (cell, _) in self.needs.items() if not key.ndim and id(cell) not in self.free]
        head = aligned(8 * len(fixed))
        offsets, total = packed(lives)
        tail = sum(aligned(nbytes) for _, nbytes in self._scratch)
        buffer = device.allocate(head + total + tail)
        base = buffer.address
        device.clear(base, head)
        for i, cell in enumerate(fixed):
            cell.value = base + 8 * i
        for key, offset in offsets.items():
            self.needs[key][0].value = base + head + offset
        at = base + head + total
        for cell, nbytes in self._scratch:
            cell.value = at
            at += aligned(nbytes)
        self._upload(device)
        return buffer

    def _upload(self, device: Device) -> None:
        """The numbers that are the same in every call."""
        if not self._given:
            return
        staged = device.pinned(8 * len(self._given))
        for i, (_, value) in enumerate(self._given):
            staged[8 * i : 8 * i + value.nbytes] = value.reshape(1).view(np.uint8)
        device.copy(address_of(self._given[0][0]), pointer(staged), 8 * len(self._given))
        device.synchronize()
