"""The way in for calls like the last one: the same sizes, shared variables where they were, and all arguments on the
host, or on the device where they were.

Nothing is looked up and nothing is bound.  Arguments from the host go to pinned memory, the recording runs, results
come from pinned memory.  Results on the device are those of a call before, when nobody has them any more.  Every other
call goes the long way, which sets up this one.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter
from typing import Any, Protocol

import numpy as np

from graphc.backends.base import Calling
from graphc.backends.cupy.calls import MOST_BLOCKS, Block, Caller
from graphc.backends.cupy.device import Device, Recording
from graphc.backends.cupy.resident import Resident
from graphc.backends.vectorcall import Callee
from graphc.graph.shared import Cell, acquire, in_order, release


class Way(Protocol):
    """How arguments come in and results go out."""

    def run(self, args: Sequence[Any]) -> list[Any] | None:
        """The results, or None, before anything is done, if the arguments are others than they were."""


@dataclass(frozen=True)
class FromHost:
    """Arguments from the host, and results to it.

    dtypes: of the arguments.
    """

    caller: Caller
    recording: Recording
    dtypes: tuple[np.dtype[Any], ...]

    def run(self, args: Sequence[Any]) -> list[Any] | None:
        """Any arrays of these dtypes and of the same shapes will do."""
        staging = self.caller.staging
        for value, shape, dtype in zip(args, staging.shapes, self.dtypes, strict=False):
            if type(value) is not np.ndarray or value.dtype is not dtype or value.shape != shape:
                return None
        for value, view in zip(args, staging.views, strict=False):
            if view is not None:
                view[...] = value
        self.recording.launch()
        self.caller.device.synchronize()
        return [view.copy() for view in self.caller.returning.views]


@dataclass(frozen=True)
class OnTheDevice:
    """Arguments and results on the device.

    marks: of the arguments; blocks: where results are, each with the recording that puts them there.
    """

    device: Device
    marks: tuple[Any, ...]
    blocks: tuple[tuple[Block, Recording], ...]

    def run(self, args: Sequence[Any]) -> list[Any] | None:
        """The very same places, and results that nobody has."""
        mark = self.device.mark
        for value, known in zip(args, self.marks, strict=False):
            if mark(value) != known:
                return None
        for block, recording in self.blocks:
            if block.is_free(self.device):
                recording.launch()
                return list(block.arrays)
        return None

    def after(self, before: Way | None) -> OnTheDevice:
        """With the blocks of another one, if its arguments are the same."""
        if not isinstance(before, OnTheDevice) or before.marks != self.marks:
            return self
        others = [pair for pair in before.blocks if pair[0] is not self.blocks[0][0]]
        return OnTheDevice(self.device, self.marks, (*self.blocks, *others)[:MOST_BLOCKS])


@dataclass(frozen=True)
class Hot:
    """What the last call did, if the next one may do the same.

    cells: the shared variables with the values that must still be theirs; written: those that are replaced.
    """

    caller: Caller
    way: Way
    cells: tuple[tuple[Cell, Any], ...]
    written: tuple[Resident, ...]

    def holds(self) -> bool:
        """Whether shared variables are as they were, and nobody reads what is replaced."""
        for cell, value in self.cells:
            if cell.value is not value:
                return False
        return all([written.is_free for written in self.written])


class HotEntry:
    """The entry of an executable.

    lock: held by whoever uses its instances; `hot` is set by the long way.
    """

    def __init__(self, calling: Calling, lock: Any, device: Device) -> None:
        self.hot: Hot | None = None
        self.dtypes = tuple([np.dtype(kind.dtype) for kind in calling.types])
        self.call = _entry(self, calling, lock, device)

    def take(self, callee: Callee, cls: type[Callee]) -> None:
        """Take the calls of a function: Python looks for `__call__` in its class, so it gets a class of its own."""
        own = {
            "__slots__": (),
            "__call__": staticmethod(self.call),
            "__module__": cls.__module__,
            "__doc__": cls.__doc__,
            "__signature__": inspect.signature(lambda *args, **kwargs: None),
        }
        callee.__class__ = type(cls.__name__, (cls,), own)

    def free(self) -> None:
        """Forget the last call."""
        self.hot = None


def _entry(this: HotEntry, calling: Calling, lock: Any, device: Device) -> Callable[..., Any]:
    """The function that is called."""
    slow, pack, form = calling.slow, calling.pack, calling.form
    count, device_lock = len(calling.types), device.lock
    cells = in_order((*calling.shared, *calling.targets)) if calling.targets else []
    locks, is_running = [cell.lock for cell in cells], attrgetter("running")

    def call(*args: Any, **kwargs: Any) -> Any:
        """The results."""
        hot = this.hot
        if hot is None or kwargs or len(args) != count:
            return slow(*args, **kwargs)
        results = None
        taken: list[bool] = []
        try:
            taken.extend(map(acquire, locks))  # as `Exclusive` takes them
            with device_lock, lock:
                if this.hot is hot and not any(map(is_running, cells)) and hot.holds():
                    this.hot = None  # for a call within this one, by a finaliser
                    results = hot.way.run(args)
                    this.hot = hot
        finally:
            deque(map(release, compress(locks, taken)), maxlen=0)
        if results is None:
            return slow(*args)
        if form == "one":
            return results[0]
        return results if form == "list" else pack(results)

    return call
