"""A schedule on a GPU: which instance runs a call, and how values come and go.

Arguments are arrays on the host or on the device; if one is on the device, results are too.  Shared variables are
moved to the device by the first function that needs them there and stay (resident.py).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from graphc.backends.base import Calling
from graphc.backends.cupy.calls import Caller, OnDevice
from graphc.backends.cupy.commands import Address
from graphc.backends.cupy.device import Buffer, Device, pointer
from graphc.backends.cupy.hot import Hot, HotEntry
from graphc.backends.cupy.instance import Instance, instance
from graphc.backends.cupy.numbers import Numbers, is_static, roots, wanted
from graphc.backends.cupy.programs import Programs
from graphc.backends.cupy.resident import Resident
from graphc.backends.cupy.spelling import spells
from graphc.backends.cupy.stepped import Stepped
from graphc.backends.cupy.walk import Mistaken, Refused
from graphc.graph.shared import Cell
from graphc.graph.variable import Constant, Variable
from graphc.kernels.describe import KernelSchedule
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Kernel
from graphc.kernels.plan import Plan
from graphc.kernels.plan import plan as make_plan
from graphc.kernels.steps import Step, read_by
from graphc.schedule.schedule import Schedule

# Instances that are kept: sets of sizes.
MOST_INSTANCES = 32


class CupyExecutable:
    """A plan on a device."""

    def __init__(self, schedule: Schedule, plan: Plan, device: Device, programs: Programs) -> None:
        self.schedule: Schedule = KernelSchedule.of(schedule, plan, why_called)
        self.plan = plan
        self.device = device
        self.programs = programs
        self.static = is_static(plan)
        self.numbers = wanted(plan)
        self._roots = sorted(roots(plan, self.numbers) or (), key=plan.schedule.graph.inputs.index)
        self._lock = threading.RLock()
        self._callers: OrderedDict[object, Caller] = OrderedDict()
        self._shared: Sequence[Cell] = ()
        self._targets: Sequence[Cell] = ()
        self._homes: dict[int, Resident] = {}
        self._hot: HotEntry | None = None

    # ---- what there is to see ----

    @property
    def kernels(self) -> list[Kernel]:
        """The kernels, in the order they run, before their loops are given to threads."""
        return [step.kernel for step in self.plan.steps if isinstance(step, Launch)]

    @cached_property
    def source(self) -> str:
        """The loop IR of every kernel, with the number it has in the schedule."""
        texts = dict.fromkeys(kernel.text for kernel in self.kernels)
        return "\n\n".join(f"# kernel {i}\n{text}" for i, text in enumerate(texts)) + "\n"

    @property
    def cuda(self) -> str:
        """The CUDA C of the last call's sizes; empty before the first call."""
        with self._lock:
            caller = next(reversed(self._callers.values()), None)
        return "" if caller is None else caller.instance.cuda

    # ---- calls ----

    def entry(self, calling: Calling) -> HotEntry | None:
        """A way in for calls like the last one."""
        self._shared, self._targets = calling.shared, calling.targets
        self._hot = HotEntry(calling, self._lock) if self.static and calling.types else None
        return self._hot

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for the values of the schedule's inputs."""
        with self._lock:
            given, keep, on_device = self._given(values)
            try:
                return self._run(values, given, not on_device)
            except Mistaken:
                return self._general.run(values)
            except Refused:
                return self._instead(values)
            finally:
                del keep

    def _given(self, values: Sequence[Any]) -> tuple[list[Any], list[object], bool]:
        """The inputs as instances take them, what keeps them alive, and whether an argument is on the device."""
        first = len(values) - len(self._shared)
        given: list[Any] = []
        keep: list[object] = []
        on_device = False
        for i, (x, value) in enumerate(zip(self.plan.schedule.graph.inputs, values, strict=True)):
            if i >= first and x.ndim:
                resident = self._resident(i, self._shared[i - first], value)
                keep.append(resident)
                given.append(OnDevice(resident.address, resident.nbytes, resident.shape, stays=True))
            elif isinstance(value, Resident):
                keep.append(value)
                given.append(OnDevice(value.address, value.nbytes, value.shape, stays=True))
            elif self.device.holds(value):
                address, shape, owner = self.device.adopt(value, x.dtype)
                keep.append(owner)
                given.append(OnDevice(address, int(np.prod(shape)) * np.dtype(x.dtype).itemsize, shape))
                on_device = True
            else:
                given.append(np.asarray(value))
        return given, keep, on_device

    def _resident(self, i: int, cell: Cell, value: Any) -> Resident:
        """The value of a shared variable, moved to the device if it is not there."""
        if isinstance(value, Resident) and value.device is self.device:
            self._homes[i] = value
            return value
        array = np.asarray(value)
        home = self._homes.get(i)
        if home is None or (home.shape, home.dtype) != (array.shape, array.dtype):
            home = self._homes[i] = Resident(self.device, array.dtype.name, array.shape)
        home.fill(array)
        if cell.value is value:
            cell.value = home  # type: ignore[assignment]
        return home

    def _run(self, values: Sequence[Any], given: Sequence[Any], to_host: bool) -> tuple[Any, ...]:
        inputs = self.plan.schedule.graph.inputs
        shapes = {x: tuple(v.shape) for x, v in zip(inputs, given, strict=True)}
        returned = len(self.plan.results) - len(self._targets)
        if not self.static:
            walk = Stepped(self, given, shapes)
            walk.run()
            results = walk.results(returned, to_host)
            new = walk.new_values(returned)
            return (*results, *(self._committed(i, x) for i, x in enumerate(new)))
        numbers = {x: self._number(v) for x, v in zip(inputs, values, strict=True) if x in self._roots}
        caller = self._caller(shapes, numbers, returned)
        residents = [self._target(i, caller.instance, returned) for i in range(len(self._targets))]
        results = caller.call(given, tuple([r.address for r in residents]), to_host)
        self._heat(caller, values, to_host, residents)
        return (*results, *residents)

    def _heat(self, caller: Caller, values: Sequence[Any], to_host: bool, residents: Sequence[Resident]) -> None:
        """Let the next call do what this one did, if it is one that comes from the host and checks nothing."""
        if self._hot is None:
            return
        recording = caller.last
        known: dict[int, Any] = {id(cell): cell.value for cell in self._shared}
        stays = all(known.get(id(cell)) is value for cell, value in zip(self._targets, residents, strict=True))
        usual = to_host and recording is not None and stays and not caller.instance.checks and not self._roots
        count = len(values) - len(self._shared)
        if usual and all(isinstance(cell.value, Resident) for cell in self._shared):
            assert recording is not None
            cells = tuple((cell, cell.value) for cell in self._shared)
            self._hot.hot = Hot(caller, recording, cells) if count else None
        else:
            self._hot.hot = None

    def _number(self, value: Any) -> Any:
        """A number that decides about sizes, on the host."""
        return np.asarray(self._on_host(value))[()]

    def _on_host(self, value: Any) -> Any:
        return value.get() if self.device.holds(value) else np.asarray(value)

    def _caller(self, shapes: Mapping[Variable, Any], numbers: Mapping[Variable, Any], returned: int) -> Caller:
        key = (tuple(shapes.values()), tuple(numbers.values()), returned)
        found = self._callers.pop(key, None)
        if found is None:
            known = Numbers(self.plan, shapes, numbers)
            found = Caller(instance(self.plan, known, self.device, self.programs, self.constants, returned))
        self._callers[key] = found
        while len(self._callers) > MOST_INSTANCES:
            self._callers.popitem(last=False)
        return found

    def _target(self, i: int, instance: Instance, returned: int) -> Resident:
        """Where the new value of a shared variable goes: to where it is, if the shape stays."""
        shape, dtype = instance.shapes[returned + i], instance.dtypes[returned + i]
        value = self._targets[i].value
        if isinstance(value, Resident) and (value.shape, value.dtype) == (shape, dtype) and value.device is self.device:
            return value
        return Resident(self.device, dtype.name, shape)

    def _committed(self, i: int, value: Resident) -> Resident:
        """A new value, brought to where the variable has its value, if the shape stays."""
        held = self._targets[i].value
        if isinstance(held, Resident) and (held.shape, held.dtype) == (value.shape, value.dtype):
            self.device.copy(held.address, value.address, value.nbytes)
            return held
        return value

    # ---- what is made once ----

    @cached_property
    def constants(self) -> dict[Constant, Address]:
        """The constant arrays, on the device."""
        found: dict[Constant, Address] = {}
        self._buffers: list[Buffer] = []
        for step in self.plan.steps:
            for key in self._arrays(step):
                if isinstance(key, Constant) and key not in found:
                    data = np.ascontiguousarray(key.data)
                    buffer = self.device.allocate(max(data.nbytes, 1))
                    staged = self.device.pinned(max(data.nbytes, 1))
                    staged[: data.nbytes] = data.reshape(-1).view(np.uint8)
                    self.device.copy(buffer.address, pointer(staged), data.nbytes)
                    self.device.synchronize()
                    self._buffers.append(buffer)
                    found[key] = Address(buffer.address)
        return found

    def _arrays(self, step: Step) -> list[Any]:
        keys = [self.plan.home.get(k, k) if isinstance(k, Variable) else k for k in read_by(step)]
        return [key for key in keys if isinstance(key, Constant) and key.ndim]

    @cached_property
    def _general(self) -> CupyExecutable:
        """The same schedule without assumptions."""
        plan = make_plan(self.plan.schedule, kernel_ops(spells), assumes=False, windows=False)
        general = CupyExecutable(self.plan.schedule, plan, self.device, self.programs)
        general._shared, general._targets = self._shared, self._targets
        return general

    def _instead(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """What the reference makes of a call in which a check failed: its error, or its results."""
        from graphc.backends.numpy.executable import compile

        host = list(map(self._on_host, values))
        if self._reference is None:
            self._reference = compile(self.plan.schedule)
        return tuple(self._reference.run(host))

    _reference: Any = None


def why_called(node: Any) -> str:
    """Why a node is not part of a kernel."""
    return f"{node.op} has no CUDA C for {', '.join(x.dtype for x in node.inputs)}"
