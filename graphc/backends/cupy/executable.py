"""A schedule on a GPU: which instance runs a call, and how values come and go.

Arguments are arrays on the host or on the device; if one is on the device, results are too.  Shared variables are
moved to the device by the first function that needs them there and stay (resident.py).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from graphc.backends.base import Calling, Executable, backend
from graphc.backends.cupy.calls import Caller, OnDevice
from graphc.backends.cupy.commands import Address, Copy, at_once
from graphc.backends.cupy.device import Device
from graphc.backends.cupy.hot import FromHost, Hot, HotEntry, OnTheDevice, Way
from graphc.backends.cupy.instance import Task, instance
from graphc.backends.cupy.listing import DeviceSchedule, why_called
from graphc.backends.cupy.numbers import Numbers, is_static, roots, wanted
from graphc.backends.cupy.programs import Programs
from graphc.backends.cupy.resident import Resident, described, moved, on_host
from graphc.backends.cupy.spelling import spells
from graphc.backends.cupy.stepped import Stepped
from graphc.backends.cupy.walk import Mistaken, Refused
from graphc.graph.shared import Cell
from graphc.graph.variable import Constant, Variable
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.loopir import Kernel
from graphc.kernels.plan import Plan
from graphc.kernels.plan import plan as make_plan
from graphc.kernels.steps import Step, memory_of, read_by
from graphc.schedule.schedule import Schedule

# Instances that are kept: sets of sizes.
MOST_INSTANCES = 32


class CupyExecutable:
    """A plan on a device."""

    def __init__(self, schedule: Schedule, plan: Plan, device: Device, programs: Programs) -> None:
        self.schedule: Schedule = DeviceSchedule.of(schedule, plan, why_called)
        self.plan = plan
        self.device = device
        self.programs = programs
        self.static = is_static(plan)
        self._roots = sorted(roots(plan, wanted(plan)) or (), key=schedule.graph.inputs.index)
        self._lock = threading.RLock()
        self._callers: OrderedDict[object, Caller] = OrderedDict()
        self._hot: HotEntry | None = None
        self._shared: Sequence[Cell] = ()
        self._targets: Sequence[Cell] = ()
        self._inputs = schedule.graph.inputs
        self._constants: dict[Constant, Resident] | None = None

    # ---- what there is to see ----

    @property
    def kernels(self) -> list[Kernel]:
        """The kernels, in the order they run, before their loops are given to threads."""
        return self.plan.kernels

    @cached_property
    def source(self) -> str:
        """The loop IR of every kernel, with the number it has in the schedule."""
        return self.plan.source

    @property
    def cuda(self) -> str:
        """The CUDA C of the last call's sizes; empty before the first call."""
        caller = self._last
        return "" if caller is None else caller.instance.cuda

    @property
    def nodes(self) -> int | None:
        """How many nodes the CUDA graphs have that the last call of a static function ran; None before it."""
        caller = self._last
        return None if caller is None else caller.nodes

    @property
    def _last(self) -> Caller | None:
        """What ran the last call."""
        with self._lock:
            return next(reversed(self._callers.values()), None)

    # ---- calls ----

    def attach(self, calling: Calling) -> None:
        """Learn which cells the last inputs come from, and which the last results go to."""
        self._shared, self._targets = calling.shared, calling.targets

    def entry(self, calling: Calling) -> HotEntry | None:
        """A way in for calls like the last one."""
        self._hot = HotEntry(calling, self._lock, self.device) if self.static and calling.types else None
        return self._hot

    def described(self, value: Any) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
        """The dtype and shape of an argument on the device, which is taken as it is; None for any other."""
        return described(self.device, value)

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for the values of the schedule's inputs."""
        try:
            return self._at_once(values) if self.static else self._step_by_step(values)
        except Mistaken:
            return self._general.run(values)
        except Refused:
            return self._instead(values)

    def _at_once(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """A call of a static function.  Nothing that other threads do comes between reading and writing."""
        shapes = dict(zip(self._inputs, map(np.shape, values), strict=True))
        value_of = dict(zip(self._inputs, values, strict=True))
        numbers = {x: on_host(self.device, value_of[x])[()] for x in self._roots}
        key = (tuple(shapes.values()), tuple(numbers.values()))
        to_host = not self._is_there(values)
        # The lock of the device first, always: a finaliser may call any function in a thread that holds it.
        with self.device.lock, self._lock:
            before = None if self._hot is None else self._hot.hot
            if self._hot is not None:
                self._hot.hot = None
            # A call within this one, by a finaliser, finds no caller and makes another one.
            caller = self._callers.pop(key, None) or self._caller(shapes, numbers)
            try:
                given, kept = self._given(values)
                homes = self._homes(caller.instance.new)
                new = [Resident(self.device, d.name, s) for d, s in caller.instance.new] if homes is None else homes
                given = [self._apart(value, new, kept) for value in given]
                results = caller.call(given, tuple([x.address for x in new]), to_host)
                del kept
            except Refused:
                self._keep(key, caller)
                raise
            self._keep(key, caller)
            if homes is not None:
                way = self._way(caller, values, given, to_host, before)
                self._heat(caller, way, len(values), homes)
        return (*results, *new)

    def _caller(self, shapes: Mapping[Variable, Any], numbers: Mapping[Variable, Any]) -> Caller:
        known = Numbers(self.plan, shapes, numbers)
        old_of = dict(zip(map(id, self._shared), self._inputs[len(self._inputs) - len(self._shared) :], strict=True))
        old = [old_of.get(id(cell)) for cell in self._targets]
        task = Task(self.plan, known, self.device, self.programs, self.constants, self._returned, old)
        return Caller(instance(task))

    def _keep(self, key: object, caller: Caller) -> None:
        """A caller that did its work is there for the next call of its sizes."""
        self._callers[key] = caller
        while len(self._callers) > MOST_INSTANCES:
            self._callers.popitem(last=False)

    def _way(
        self, caller: Caller, values: Sequence[Any], given: Sequence[Any], to_host: bool, before: Hot | None
    ) -> Way | None:
        """How the next call may do what this one did.

        given: where its arguments were; before: what the next call could do before this one.
        """
        first = len(values) - len(self._shared)
        if self._hot is None or caller.last is None or not all(isinstance(value, OnDevice) for value in given[first:]):
            return None  # the first call may find numbers on the host, which are moved
        if to_host:
            return FromHost(caller, caller.last, self._hot.dtypes)
        marks = tuple(map(self.device.mark, values[:first]))
        if not caller.blocks or not all(
            mark is not None and isinstance(value, OnDevice) and mark[0] == value.address
            for mark, value in zip(marks, given, strict=False)
        ):
            return None
        made = OnTheDevice(self.device, marks, ((caller.blocks[0], caller.last),))
        return made.after(before.way) if before is not None and before.caller is caller else made

    def _heat(self, caller: Caller, way: Way | None, count: int, homes: Sequence[Resident]) -> None:
        """Let the next call do what this one did, if nothing is to be checked."""
        held: dict[int, tuple[Cell, Any]] = {id(cell): (cell, cell.value) for cell in self._shared}
        held |= {id(cell): (cell, home) for cell, home in zip(self._targets, homes, strict=True)}
        cells = tuple(held.values())
        usual = not caller.instance.checks and not self._roots and count > len(self._shared)
        usual = usual and all(isinstance(value, Resident) for _, value in cells)
        if self._hot is not None and way is not None and usual:
            self._hot.hot = Hot(caller, way, cells, tuple(homes))

    def _step_by_step(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """A call of any other function.  What it reads stays what it is until it is done."""
        with self._reading(values) as given:
            walk = Stepped(self, given, {x: v.shape for x, v in zip(self._inputs, given, strict=True)})
            walk.run()
            results = walk.results(self._returned, not self._is_there(values))
            new = walk.new_values(self._returned)
        with self.device.lock:
            homes = self._homes([(x.dtype, x.shape) for x in new])
            if homes is None:
                return (*results, *new)
            at_once(self.device, [copy_of(x, home) for x, home in zip(new, homes, strict=True)])
        return (*results, *homes)

    @contextmanager
    def _reading(self, values: Sequence[Any]) -> Iterator[list[Any]]:
        """The inputs, while nobody writes into them."""
        with self.device.lock:
            given, kept = self._given(values)
            read = [x for x in kept if isinstance(x, Resident)]
            for x in read:
                x.readers += 1
        try:
            yield given
        finally:
            with self.device.lock:
                for x in read:
                    x.readers -= 1

    @property
    def _returned(self) -> int:
        """How many results are handed back; the others are new values."""
        return len(self.plan.results) - len(self._targets)

    # ---- values that come and go ----

    def _is_there(self, values: Sequence[Any]) -> bool:
        """Whether an argument is on the device, so that results are to be there."""
        return any(map(self.device.holds, values[: len(values) - len(self._shared)]))

    def _given(self, values: Sequence[Any]) -> tuple[list[Any], list[object]]:
        """The inputs as instances take them, and what keeps them alive; for who holds the lock of the device."""
        first = len(values) - len(self._shared)
        given: list[Any] = []
        kept: list[object] = []
        for i, (x, value) in enumerate(zip(self._inputs, values, strict=True)):
            if i >= first:
                value = self._present(self._shared[i - first], value)
            if self.device.holds(value):
                value = Resident.lending(self.device, value, x.dtype)
            if isinstance(value, Resident) and value.device is self.device:
                kept.append(value)
                value = OnDevice(value.address, value.nbytes, value.shape, stays=value.lent is None)
            given.append(value if isinstance(value, OnDevice) else np.asarray(value))
        return given, kept

    def _apart(self, value: Any, targets: Sequence[Resident], kept: list[object]) -> Any:
        """An array of the user's that is no part of what the call replaces: a copy of one that is."""
        if not isinstance(value, OnDevice) or value.stays:
            return value
        if not any(value.address < x.address + x.nbytes and x.address < value.address + value.nbytes for x in targets):
            return value
        made = Resident(self.device, "uint8", (value.nbytes,))
        self.device.copy(made.address, value.address, value.nbytes)
        kept.append(made)
        return OnDevice(made.address, value.nbytes, value.shape)

    def _present(self, cell: Cell, value: Any) -> Any:
        """The value of a shared variable; arrays are moved to the device if they are not there.

        value: what was read from the cell before the lock of the device was taken.
        """
        now = cell.value
        if now is not value and now.shape == np.shape(value):
            value = now
        return self._moved(cell, value) if value.ndim else value

    def _moved(self, cell: Cell, value: Any) -> Resident:
        """A value of a cell on the device; it stands in the cell from now on."""
        if isinstance(value, Resident) and value.device is self.device:
            return value
        made = moved(self.device, value)
        if cell.lock.acquire(blocking=False):  # else a thread is replacing the value anyway
            try:
                if cell.value is value:
                    cell.value = made
            finally:
                cell.lock.release()
        return made

    def _homes(self, kinds: Sequence[tuple[np.dtype[Any], tuple[int, ...]]]) -> list[Resident] | None:
        """Where the old values of the targets are, if all new ones can go there; for who holds the lock of the device.

        All or none: who reads several variables must not find some of them replaced.
        """
        homes: dict[int, Resident] = {}
        for cell, (dtype, shape) in zip(self._targets, kinds, strict=True):
            if cell.value.shape != shape:
                return None
            home = self._moved(cell, cell.value)
            if not home.is_free or not home.fits(self.device, dtype, shape):
                return None
            homes[id(home)] = home
        return list(homes.values()) if len(homes) == len(kinds) else None

    # ---- what is made once ----

    @property
    def constants(self) -> Mapping[Constant, Address]:
        """The constant arrays, on the device."""
        with self.device.lock, self._lock:
            if self._constants is None:
                arrays = dict.fromkeys(key for step in self.plan.steps for key in self._arrays(step))
                self._constants = {key: moved(self.device, key.data) for key in arrays}
        return {key: Address(made.address) for key, made in self._constants.items()}

    def _arrays(self, step: Step) -> list[Constant]:
        keys = [memory_of(key, self.plan.home) for key in read_by(step)]
        return [key for key in keys if isinstance(key, Constant) and key.ndim]

    @cached_property
    def _general(self) -> CupyExecutable:
        """The same schedule without assumptions."""
        plan = make_plan(self.plan.schedule, kernel_ops(spells), assumes=False, windows=False, atomic=True)
        general = CupyExecutable(self.plan.schedule, plan, self.device, self.programs)
        general._shared, general._targets = self._shared, self._targets
        return general

    def _instead(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """What the reference makes of a call in which a check failed: its error, or its results."""
        results = self._reference.run([on_host(self.device, v) for v in values])
        if not self._is_there(values):
            return tuple(results)
        there = [moved(self.device, x).array for x in results[: self._returned]]
        return (*there, *results[self._returned :])

    @cached_property
    def _reference(self) -> Executable:
        """The same schedule in NumPy, whose errors are right."""
        return backend("numpy").compile(self.schedule)


def copy_of(source: Resident, target: Resident) -> Copy:
    """The command that copies one value to another of its kind."""
    return Copy(Address(target.address), Address(source.address), source.nbytes)
