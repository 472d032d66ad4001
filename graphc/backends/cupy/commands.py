"""What a device is told to do.  Addresses stand in cells, so that the same commands can run on other memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphc.backends.cupy.device import Device, Matrix, Recording

Address = ctypes.c_void_p
"""The cell of an address.  A launch reads it when it is told to run."""


def address_of(cell: Address) -> int:
    """The address in a cell, 0 if there is none."""
    return cell.value or 0


class Command(Protocol):
    """One piece of work."""

    def run(self, device: Device) -> None:
        """Tell a device."""


@dataclass
class RunKernel:
    """A launch; `kernel` is set once it has been compiled.

    parameters: the ctypes array that the driver reads; arguments: the cells it points to; work: how many iterations
    there are in all.
    """

    kernel: Any
    grid: int
    block: tuple[int, int]
    arguments: tuple[Any, ...]
    parameters: Any
    work: int

    @classmethod
    def of(cls, grid: int, block: tuple[int, int], arguments: tuple[Any, ...], work: int = 0) -> RunKernel:
        """A launch with its parameters packed."""
        pointers = [ctypes.addressof(cell) for cell in arguments]
        return cls(None, grid, block, arguments, (ctypes.c_void_p * max(len(pointers), 1))(*pointers), work)

    def with_present_addresses(self) -> RunKernel:
        """The same launch on the memory of now, whatever is written into the cells later."""
        cells = tuple(type(cell)(cell.value) for cell in self.arguments)
        made = RunKernel.of(self.grid, self.block, cells, self.work)
        made.kernel = self.kernel
        return made

    def run(self, device: Device) -> None:
        """Launch."""
        device.launch(self.kernel, self.grid, self.block, self.parameters)


@dataclass(frozen=True)
class Operand:
    """A matrix whose address is in a cell."""

    cell: Address
    rows: int
    columns: int
    stride: int
    transposed: bool = False

    @property
    def matrix(self) -> Matrix:
        """Where it is now."""
        return Matrix(address_of(self.cell), self.rows, self.columns, self.stride, self.transposed)


@dataclass(frozen=True)
class Multiply:
    """A product of matrices."""

    dtype: str
    x: Operand
    y: Operand
    out: Operand

    def run(self, device: Device) -> None:
        """Multiply; a sum of nothing is 0."""
        if not self.out.rows or not self.out.columns:
            return
        if not self.x.columns:
            itemsize = 4 if self.dtype == "float32" else 8
            device.clear(address_of(self.out.cell), self.out.rows * self.out.columns * itemsize)
            return
        device.multiply(self.dtype, self.x.matrix, self.y.matrix, self.out.matrix)


@dataclass(frozen=True)
class Copy:
    """Bytes from one place to another."""

    target: Address
    source: Address
    nbytes: int

    def run(self, device: Device) -> None:
        """Copy."""
        if self.nbytes:
            device.copy(address_of(self.target), address_of(self.source), self.nbytes)


@dataclass(frozen=True)
class Clear:
    """Bytes that are set to 0."""

    target: Address
    nbytes: int

    def run(self, device: Device) -> None:
        """Clear."""
        device.clear(address_of(self.target), self.nbytes)


def recorded(device: Device, commands: Sequence[Command]) -> Recording:
    """Commands that can be run again and again as a whole."""
    device.begin()
    try:
        for command in commands:
            command.run(device)
    finally:
        made = device.end()
    return made


def at_once(device: Device, commands: Sequence[Command]) -> None:
    """Run commands such that all of them have been told to the device, or none, if the user interrupts."""
    if len(commands) == 1:
        commands[0].run(device)
    elif commands:
        recorded(device, commands).launch()
