"""The device that functions are compiled for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from graphc.backends.cupy.device import Device

AnyDevice = TypeVar("AnyDevice", bound=Device)

_standing_in: list[Device] = []


def current() -> Device:
    """The device functions are compiled for: the current GPU, or what stands in for one."""
    if _standing_in:
        return _standing_in[-1]
    found: Device = importlib.import_module("graphc.backends.cupy.cuda").device()
    return found


def problem() -> str | None:
    """Why there is no device; None if there is one."""
    if _standing_in:
        return None
    reason: str | None = importlib.import_module("graphc.backends.cupy.available").problem()
    return reason


@contextmanager
def standing_in(device: AnyDevice) -> Iterator[AnyDevice]:
    """Let another device stand for the GPU: the tests run kernels on the CPU."""
    _standing_in.append(device)
    try:
        yield device
    finally:
        _standing_in.remove(device)
