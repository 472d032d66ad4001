"""What a device is told to do.  Addresses stand in cells, so that the same commands can run on other memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphc.backends.cupy.device import Device, Matrix, MatrixProduct, Recording

Address = ctypes.c_void_p
"""The cell of an address.  A launch reads it when it is told to run."""


def address_of(cell: Address) -> int:
    """The address in a cell, 0 if there is none."""
    return cell.value or 0


class Command(Protocol):
    """One piece of work."""

    @property
    def cells(self) -> tuple[Any, ...]:
        """What it depends on when it is told."""

    @property
    def written(self) -> tuple[Any, ...]:
        """The cells of the memory that it writes, but for what commands write in any order."""

    def run(self, device: Device) -> None:
        """Tell a device."""


@dataclass
class RunKernel:
    """A launch; `kernel` is set once it has been compiled.

    parameters: the ctypes array that the driver reads; arguments: the cells it points to; work: how many iterations
    there are in all; written: the arguments to whose memory it writes.
    """

    kernel: Any
    grid: int
    block: tuple[int, int]
    arguments: tuple[Any, ...]
    parameters: Any
    work: int
    written: tuple[Any, ...]

    @classmethod
    def of(
        cls,
        grid: int,
        block: tuple[int, int],
        arguments: tuple[Any, ...],
        work: int = 0,
        written: tuple[Any, ...] = (),
    ) -> RunKernel:
        """A launch with its parameters packed."""
        pointers = [ctypes.addressof(cell) for cell in arguments]
        packed = (ctypes.c_void_p * max(len(pointers), 1))(*pointers)
        return cls(None, grid, block, arguments, packed, work, written)

    def with_present_addresses(self) -> RunKernel:
        """The same launch on the memory of now, whatever is written into the cells later."""
        cells = tuple(type(cell)(cell.value) for cell in self.arguments)
        made = RunKernel.of(self.grid, self.block, cells, self.work)
        made.kernel = self.kernel
        return made

    @property
    def cells(self) -> tuple[Any, ...]:
        """What it depends on."""
        return self.arguments

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
    """A product of matrices, or ``old + scale * product`` if there is an `old`: a matrix of the form of `out`.

    precision: of float32: "highest" or "tf32".
    """

    dtype: str
    x: Operand
    y: Operand
    out: Operand
    scale: float = 1.0
    old: Address | None = None
    precision: str = "highest"

    @property
    def cells(self) -> tuple[Any, ...]:
        """What it depends on."""
        return (self.x.cell, self.y.cell, self.out.cell, *([] if self.old is None else [self.old]))

    @property
    def written(self) -> tuple[Any, ...]:
        """What it writes."""
        return (self.out.cell,)

    def run(self, device: Device) -> None:
        """Multiply; a sum of nothing is 0."""
        nbytes = self.out.rows * self.out.columns * (4 if self.dtype == "float32" else 8)
        if not nbytes:
            return
        if self.old is not None and address_of(self.old) != address_of(self.out.cell):
            device.copy(address_of(self.out.cell), address_of(self.old), nbytes)
        if self.x.columns:
            x, y, out = self.x.matrix, self.y.matrix, self.out.matrix
            is_added = self.old is not None
            device.multiply(MatrixProduct(self.dtype, x, y, out, self.scale, is_added, self.precision))
        elif self.old is None:
            device.clear(address_of(self.out.cell), nbytes)


@dataclass(frozen=True)
class Copy:
    """Bytes from one place to another; nothing if that is the same."""

    target: Address
    source: Address
    nbytes: int

    @property
    def cells(self) -> tuple[Any, ...]:
        """What it depends on."""
        return (self.target, self.source)

    @property
    def written(self) -> tuple[Any, ...]:
        """What it writes."""
        return (self.target,)

    def run(self, device: Device) -> None:
        """Copy."""
        if self.nbytes and self.target.value != self.source.value:
            device.copy(address_of(self.target), address_of(self.source), self.nbytes)


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
