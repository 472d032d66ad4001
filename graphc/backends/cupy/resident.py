"""The value of a shared variable in device memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.backends.cupy.chosen import current
from graphc.backends.cupy.device import Buffer, Device
from graphc.graph.types import TensorType


class Resident:
    """An array in device memory that stands in a cell where NumPy's arrays stand otherwise.

    ``np.asarray(resident)`` is a copy on the host; `array` is the live CuPy array.  A function writes its updates into
    the memory, so that its address stays what it is, unless the array is `lent`: the user's own.

    readers: how many calls under way still read it; counted by who holds the lock of the device.
    """

    def __init__(self, device: Device, dtype: str, shape: tuple[int, ...]) -> None:
        self.device = device
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self.readers = 0
        self.lent: Any = None
        self._buffer: Buffer | None = device.allocate(self.nbytes)
        self.address = self._buffer.address

    @classmethod
    def lending(cls, device: Device, value: Any, dtype: str) -> Resident:
        """A device array of the user's, where it is; a copy if its dtype or layout is another one."""
        self = cls.__new__(cls)
        self.device, self.dtype, self.readers, self._buffer = device, np.dtype(dtype), 0, None
        self.address, self.shape, self.lent = device.adopt(value, dtype)
        return self

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
    def array(self) -> Any:
        """The array itself, as CuPy has it."""
        if self._buffer is None:
            return self.lent
        return self.device.array(self._buffer, 0, self.dtype.name, self.shape)

    @property
    def is_free(self) -> bool:
        """Whether its elements may be replaced; to be asked by who holds the lock of the device."""
        return self.lent is None and not self.readers

    def fits(self, device: Device, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
        """Whether it is on a device, and of this kind."""
        return self.device is device and (self.dtype, self.shape) == (dtype, shape)

    def take(self, value: Any) -> bool:
        """Get the elements of an array of the same kind; False if it is of another, or someone reads these now."""
        with self.device.lock:
            if not self.is_free or not self.fits(self.device, value.dtype, value.shape):
                return False
            if isinstance(value, Resident) and value.device is self.device:
                self.device.copy(self.address, value.address, self.nbytes)
            else:
                self.fill(np.asarray(value))
            return True

    def fill(self, value: Any) -> None:
        """Get the elements of a host array of the same dtype and size."""
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

    def __str__(self) -> str:
        return str(self.copy())


def moved(device: Device, value: Any) -> Resident:
    """A value in memory of its own on a device."""
    array = np.asarray(value)
    made = Resident(device, array.dtype.name, array.shape)
    made.fill(array)
    return made


def on_host(device: Device, value: Any) -> Any:
    """A value that may be on a device as a NumPy array."""
    if not device.holds(value):
        return np.asarray(value)
    found = described(device, value)
    assert found is not None
    return Resident.lending(device, value, found[0].name).copy()


def described(device: Device, value: Any) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
    """The dtype and shape of an array in a device's memory, of whatever library; None for anything else."""
    if isinstance(value, Resident):
        return value.dtype, value.shape
    if not device.holds(value):
        return None
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is None:  # it offers DLPack alone
        return np.dtype(value.dtype), tuple(value.shape)
    return np.dtype(interface["typestr"]), tuple(interface["shape"])


def elsewhere(
    value: Any,
    type: TensorType | None,
    borrow: bool,
    allow_downcast: bool | None = None,
    strict: bool = False,
) -> Resident:
    """What stands in a cell for a device array: itself with `borrow`, else a copy.  TypeError if it is of no `type`."""
    device = current()
    found = described(device, value)
    if found is None:
        raise TypeError(f"expected an array on the host or on the current GPU, got {value!r:.60}")
    dtype, shape = found
    if type is not None:
        type.check(dtype, shape, allow_downcast, strict)
        dtype = np.dtype(type.dtype)
    given = Resident.lending(device, value, dtype.name)
    if borrow:
        return given
    made = Resident(device, dtype.name, shape)
    device.copy(made.address, given.address, given.nbytes)
    return made
