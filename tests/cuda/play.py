"""A call of a kernel as plain data: its launches, its memory before and after.  Any process can play it."""

from __future__ import annotations

import ctypes
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.cuda.host_device import DeviceError, HostDevice

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Step:
    """A launch.  An argument is the number of a buffer, or a size."""

    name: str
    grid: int
    block: tuple[int, int]
    buffers: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Script:
    """The launches of one kernel, on its memory.

    buffers: before the first launch; wanted: some of them after the last, None if a check must fail; error: the number
    of the buffer that tells of it; ulps: how far floats may be from what is wanted, relative to the largest;
    exact: whether all orders of threads give the same bits.
    """

    what: str
    steps: tuple[Step, ...]
    buffers: tuple[Array, ...]
    wanted: Mapping[int, Array] | None
    error: int
    ulps: float
    exact: bool

    def __str__(self) -> str:
        return self.what


def play(device: HostDevice, kernels: Mapping[str, Any], script: Script) -> list[Array]:
    """The memory after the launches."""
    memory = [device.asarray(buffer) for buffer in script.buffers]
    for step in script.steps:
        cells: list[Any] = [ctypes.c_longlong(n) for n in step.sizes]
        cells += [ctypes.c_void_p(memory[i].address) for i in step.buffers]
        parameters = (ctypes.c_void_p * len(cells))(*[ctypes.addressof(cell) for cell in cells])
        device.launch(kernels[step.name], step.grid, step.block, parameters)
    device.synchronize()
    return [array.get() for array in memory]


def wrong(script: Script, after: Sequence[Array]) -> str | None:
    """What is not as it is wanted."""
    if (script.wanted is None) != bool(after[script.error]):
        return "a check failed" if script.wanted is not None else "no check failed"
    for i, want in (script.wanted or {}).items():
        if not close(after[i], want, script.ulps):
            return f"buffer {i} is\n{after[i]}\ninstead of\n{want}"
    return None


def close(got: Array, want: Array, ulps: float) -> bool:
    """Whether two arrays are equal, but for roundings relative to the largest element."""
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        return False
    if want.dtype.kind != "f":
        return bool(np.array_equal(got, want))
    scale = np.abs(want[np.isfinite(want)]).max(initial=1)
    bound = ulps * float(np.finfo(want.dtype).eps)
    return bool(np.allclose(got, want, bound, bound * scale, equal_nan=True))


def other_bits(script: Script, after: Sequence[Array], again: Sequence[Array]) -> str | None:
    """Where two orders of threads gave other bits, if that may not be."""
    if not script.exact:
        return None
    for i in script.wanted or {}:
        if after[i].tobytes() != again[i].tobytes():
            return f"buffer {i} is\n{after[i]}\nand in another order\n{again[i]}"
    return None


def noticed(devices: Sequence[HostDevice], modules: Sequence[Mapping[str, Any]], script: Script) -> str | None:
    """What is wrong with a script, in one of the orders of some devices or between them."""
    first: list[Array] | None = None
    for device, kernels in zip(devices, modules, strict=True):
        try:
            after = play(device, kernels, script)
        except DeviceError as error:
            return f"{device.order}: {error}"
        found = wrong(script, after)
        if found:
            return f"{device.order}: {found}"
        if first is None:
            first = after
        elif found := other_bits(script, first, after):
            return f"{device.order}: {found}"
    return None


def save(path: Path, sources: Sequence[str], scripts: Sequence[Script]) -> None:
    """Keep scripts, and the sources of their kernels, for another process."""
    path.write_bytes(pickle.dumps((list(sources), list(scripts))))


def load(path: Path) -> tuple[list[str], list[Script]]:
    """What was saved."""
    sources, scripts = pickle.loads(path.read_bytes())
    return sources, scripts
