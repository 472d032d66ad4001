"""A function that no kernel can run yet: the host computes it, and the first line of ``f.source`` says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.backends.base import Calling, Executable, backend
from graphc.backends.cupy.device import Device
from graphc.backends.cupy.resident import described, moved, on_host
from graphc.schedule.schedule import Schedule


class Hosted:
    """A schedule run by NumPy; arguments come from the device, and results go there, as in any other function."""

    def __init__(self, schedule: Schedule, device: Device, reason: str) -> None:
        self.device = device
        self._targets = 0
        self._executable: Executable = backend("numpy").compile(schedule)
        self.schedule = self._executable.schedule
        self.source = f"# run on the host: {reason}\n{self._executable.source}"

    def attach(self, calling: Calling) -> None:
        """Learn how many results are new values, which stay on the host."""
        self._targets = len(calling.targets)

    def described(self, value: Any) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
        """The dtype and shape of an argument on the device, which is taken as it is; None for any other."""
        return described(self.device, value)

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for the values of the schedule's inputs."""
        device = self.device
        results = self._executable.run([on_host(device, v) for v in values])
        if not any(map(device.holds, values)):
            return results
        returned = len(results) - self._targets
        return (*(moved(device, x).array for x in results[:returned]), *results[returned:])
