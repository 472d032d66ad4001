"""Compiled kernels: each text once in a process, those of a function in one compilation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from graphc.backends.cupy.device import Device, Module
from graphc.backends.cupy.functions import translation_unit
from graphc.backends.cupy.launches import Prepared
from graphc.backends.cupy.several import render_alone


class Launched(Protocol):
    """What one kernel of the device does: a launch, or several."""

    def source(self, name: str) -> str:
        """The CUDA C of the kernel."""


class Programs:
    """The kernels that were compiled for one device.

    Two threads may compile the same kernel; nobody waits here, for that might be a finaliser.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._modules: dict[str, Module] = {}

    def load(self, launches: Sequence[Launched]) -> list[Any]:
        """The kernels of some launches, ready to be run."""
        names = [self.name(launch) for launch in launches]
        missing = {n: launch for n, launch in zip(names, launches, strict=True) if n not in self._modules}
        if missing:
            module = self.device.compile(source(missing))
            self._modules.update(dict.fromkeys(missing, module))
        return [self._modules[name][name] for name in names]

    def load_whole(self, launches: Sequence[Prepared]) -> Any:
        """One kernel that runs some launches one after the other, in one block."""
        text = whole_source(launches, "graphc_whole")
        name = f"graphc_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if name not in self._modules:
            self._modules[name] = self.device.compile(whole_source(launches, name))
        return self._modules[name][name]

    @staticmethod
    def name(launch: Launched) -> str:
        """A name that says what the kernel does, if only to a machine: equal kernels have equal names."""
        return f"graphc_{hashlib.sha256(launch.source('kernel').encode()).hexdigest()[:16]}"


_of_devices: dict[Device, Programs] = {}


def programs_of(device: Device) -> Programs:
    """The kernels of a device, in this process."""
    if device not in _of_devices:
        _of_devices[device] = Programs(device)
    return _of_devices[device]


def source(named: Mapping[str, Launched]) -> str:
    """The CUDA C of some launches."""
    return translation_unit([launch.source(name) for name, launch in named.items()])


def whole_source(launches: Sequence[Prepared], name: str) -> str:
    """The CUDA C of launches that one block runs, as one kernel."""
    return translation_unit([render_alone([(p.kernel, p.layout) for p in launches], name)])
