"""A function that no kernel can run yet: the host computes it, and the first line of ``f.source`` says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.backends.cupy.device import Device
from graphc.backends.cupy.resident import Resident
from graphc.backends.numpy.executable import NumpyExecutable, compile
from graphc.schedule.schedule import Schedule


class Hosted:
    """A schedule run by NumPy; arguments come from the device, and results go there, as in any other function."""

    def __init__(self, schedule: Schedule, device: Device, reason: str) -> None:
        self.device = device
        self._executable: NumpyExecutable = compile(schedule)
        self.schedule = self._executable.schedule
        self.source = f"# run on the host: {reason}\n{self._executable.source}"

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for the values of the schedule's inputs."""
        device = self.device
        arrays = [device.holds(v) for v in values]
        host = [v.get() if there else np.asarray(v) for v, there in zip(values, arrays, strict=True)]
        results = self._executable.run(host)
        return tuple(map(self._moved, results)) if any(arrays) else results

    def _moved(self, value: Any) -> Any:
        array = np.asarray(value)
        resident = Resident(self.device, array.dtype.name, array.shape)
        resident.fill(array)
        return resident.array
