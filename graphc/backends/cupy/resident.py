"""The value of a shared variable in device memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.backends.cupy.device import Buffer, Device


class Resident:
    """An array in device memory that stands in a cell where NumPy's arrays stand otherwise.

    ``np.asarray(resident)`` is a copy on the host; `array` is the live CuPy array.  A function writes its updates into
    the memory, so that its address stays what it is.
    """

    def __init__(self, device: Device, dtype: str, shape: tuple[int, ...], buffer: Buffer | None = None) -> None:
        self.device = device
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self.buffer = buffer if buffer is not None else device.allocate(self.nbytes)

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.size * self.dtype.itemsize

    @property
    def address(self) -> int:
        """Of the first element."""
        return self.buffer.address

    @property
    def array(self) -> Any:
        """The array itself, as CuPy has it."""
        return self.device.array(self.buffer, 0, self.dtype.name, self.shape)

    def fill(self, value: Any) -> None:
        """Take the elements of a host array of the same dtype and size."""
        staged = self.device.pinned(self.nbytes)
        staged[:] = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        self.device.copy(self.address, staged.__array_interface__["data"][0], self.nbytes)
        self.device.synchronize()  # the staged copy may go

    def copy(self) -> Any:
        """A copy on the host."""
        staged = self.device.pinned(self.nbytes)
        self.device.copy(staged.__array_interface__["data"][0], self.address, self.nbytes)
        self.device.synchronize()
        return np.array(staged[: self.nbytes].view(self.dtype).reshape(self.shape))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if copy is False:
            raise ValueError("a value in device memory becomes a NumPy array by a copy only")
        host = self.copy()
        return host if dtype is None else host.astype(dtype, copy=False)

    def __reduce__(self) -> Any:
        return np.array, (self.copy(),)

    def __repr__(self) -> str:
        return f"<{self.dtype}{list(self.shape)} in device memory>"
