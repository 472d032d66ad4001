"""What the CuPy backend asks of a GPU.

There are two devices: `CupyDevice` (cuda.py), and in the tests one that runs the same kernels on the CPU.  Everything
is asynchronous and in order, on one stream, until `synchronize`.

Between `begin` and `end` launches, products and copies are recorded instead of run; what else touches the device then
is an error, as it is on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Matrix:
    """A float matrix in device memory.

    address: of its first element; rows, columns: its sizes; stride: elements from one line to the next, where lines
    are rows, or columns if it is `transposed`.
    """

    address: int
    rows: int
    columns: int
    stride: int
    transposed: bool = False


@dataclass(frozen=True)
class MatrixProduct:
    """``out = scale * (x @ y)``, or ``out += ...`` if it is added, for float32 or float64.

    `out` is not transposed and has no gaps.  All sizes are above 0.  precision: of float32: "highest" or "tf32".
    """

    dtype: str
    x: Matrix
    y: Matrix
    out: Matrix
    scale: float = 1.0
    is_added: bool = False
    precision: str = "highest"


@dataclass(frozen=True)
class Placed:
    """An array in device memory, in C order, that has elements."""

    address: int
    dtype: str
    shape: tuple[int, ...]


class Buffer(Protocol):
    """Memory that lives as long as this object."""

    @property
    def address(self) -> int:
        """Of its first byte; a multiple of 256."""


class Recording(Protocol):
    """What was recorded, to be run again and again as a whole."""

    def launch(self) -> None:
        """Run it."""


class Module(Protocol):
    """Compiled kernels."""

    def __getitem__(self, name: str) -> Any:
        """The kernel called `name`, for `Device.launch`."""


class Device(Protocol):
    """One GPU, or what stands for one."""

    @property
    def processors(self) -> int:
        """How many multiprocessors there are."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """What a thread holds that has several pieces of work with nothing of other threads in between.

        From `begin` to `end` the device holds it by itself.
        """

    def compile(self, source: str) -> Module:
        """The kernels of a CUDA C source, all ``extern "C" __global__``."""

    def allocate(self, nbytes: int) -> Buffer:
        """Device memory."""

    def pinned(self, nbytes: int) -> Any:
        """Host memory that copies may run from and to while Python goes on: an array of uint8."""

    def launch(self, kernel: Any, grid: int, block: tuple[int, int], parameters: Any) -> None:
        """Run a kernel on `grid` blocks of ``block[0] * block[1]`` threads.

        parameters: a ctypes array of pointers to the arguments, which the caller keeps.
        """

    def multiply(self, product: MatrixProduct) -> None:
        """Compute a product."""

    def compute(self, function: Callable[..., Any], operands: Sequence[Placed | int], out: Placed) -> None:
        """Have a library compute an array: ``out[...] = function(library, *operands)``, and do not wait for it.

        The library is CuPy, or what stands for it; the operands are its arrays, and numbers.
        """

    def find(self, function: Callable[..., Any], operands: Sequence[Placed | int]) -> tuple[Placed, object]:
        """What a library computes, of a size that follows from elements, and what keeps it alive; waits if it must."""

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """Copy between any two memories, pinned or on the device."""

    def clear(self, address: int, nbytes: int) -> None:
        """Set memory to zero."""

    def begin(self) -> None:
        """From now on record."""

    def end(self) -> Recording:
        """What was recorded."""

    def synchronize(self) -> None:
        """Wait until all is done."""

    # ---- arrays of the user ----

    def holds(self, value: Any) -> bool:
        """Whether a value is an array in this device's memory (a CuPy array, or one that offers DLPack from there)."""

    def adopt(self, value: Any, dtype: str) -> tuple[int, tuple[int, ...], object]:
        """The address and shape of a device array in C order, and what keeps it alive; a copy if it must be."""

    def mark(self, value: Any) -> tuple[Any, ...] | None:
        """The address of an array of this device, and all else that tells it from others; None for any other value."""

    def uses(self, buffer: Buffer, arrays: Sequence[Any]) -> object:
        """How arrays in a buffer are used: what is equal to what it was when they were made if nobody has them now."""

    def array(self, buffer: Buffer, offset: int, dtype: str, shape: Sequence[int]) -> Any:
        """A device array (a CuPy array) in the memory of a buffer, which it keeps alive."""


def pointer(array: Any) -> int:
    """Where an array on the host begins."""
    return int(array.__array_interface__["data"][0])
