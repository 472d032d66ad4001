"""Runs a kernel of the loop IR as a GPU does: mapped to threads, as CUDA C, on the device that stands for one."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.backends.cupy.functions import translation_unit
from graphc.backends.cupy.launches import Prepared, Sequel, does_nothing, prepare
from graphc.kernels.interpret import Refused
from graphc.kernels.loopir import Array, Kernel, Value
from tests.cuda.host_device import HostDevice
from tests.cuda.threads import garbage


class Simulator:
    """Like `interpret`, by way of a device."""

    def __init__(self, device: HostDevice) -> None:
        self.device = device

    def __call__(
        self, kernel: Kernel, sizes: Sequence[int], scalars: Sequence[Any], arrays: Sequence[Any]
    ) -> list[Any]:
        device = self.device
        size_of = dict(zip(kernel.sizes, map(int, sizes), strict=True)).__getitem__
        sequel = prepare(kernel, size_of, device.processors)
        memory: dict[Any, Any] = {}
        for a, value in zip(kernel.arrays, arrays, strict=True):
            memory[a] = device.asarray(value)
        for s, value in zip(kernel.scalars, scalars, strict=True):
            memory[s] = device.asarray(np.asarray(value, s.dtype))
        handed_on: list[Array | Value] = [*kernel.outputs, *sequel.kept]
        for o in handed_on:
            memory[o] = device.asarray(garbage(o, dict(zip(kernel.sizes, map(int, sizes), strict=True))))
        error = device.asarray(np.zeros((), "uint32"))
        run(device, sequel, size_of, memory, error)
        device.synchronize()
        if error.get():
            raise Refused
        for a, value in zip(kernel.arrays, arrays, strict=True):
            if a in kernel.written:
                value[...] = memory[a].get()
        return [memory[o].get()[()] for o in kernel.outputs]


def run(device: HostDevice, sequel: Sequel, size_of: Any, memory: dict[Any, Any], error: Any) -> None:
    """Launch."""
    live = [launch for launch in sequel.launches if not does_nothing(launch, size_of)]
    if not live:
        return
    module = device.compile(translation_unit([launch.source(f"k{i}") for i, launch in enumerate(live)]))
    for i, launch in enumerate(live):
        parameters = arguments(device, launch, size_of, memory, error)
        device.launch(module[f"k{i}"], launch.grid, launch.kernel.block, parameters)


def arguments(device: HostDevice, launch: Prepared, size_of: Any, memory: dict[Any, Any], error: Any) -> Any:
    """What a launch is given, in order."""
    kernel = launch.kernel.kernel
    cells: list[Any] = [ctypes.c_longlong(size_of(n)) for n in kernel.sizes]
    cells += [ctypes.c_void_p(address_of(memory[x])) for x in (*kernel.scalars, *kernel.arrays, *kernel.outputs)]
    machine = {
        "error": error,
        "parts": device.asarray(np.zeros(launch.totals * launch.grid, "float64")),
        "ticket": device.asarray(np.zeros((), "uint32")),
        "rows": device.asarray(np.zeros(math.ceil(launch.row_bytes), "uint8")),
    }
    cells += [ctypes.c_void_p(address_of(machine[name])) for name in launch.extras]
    parameters = (ctypes.c_void_p * len(cells))(*[ctypes.addressof(cell) for cell in cells])
    parameters.keep = (cells, machine)  # type: ignore[attr-defined]
    return parameters


def address_of(array: Any) -> int:
    """Where a device array begins."""
    return int(array.__cuda_array_interface__["data"][0])
