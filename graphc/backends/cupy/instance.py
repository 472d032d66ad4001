"""A static function for certain sizes: the commands that compute it, and its memory.

Addresses stand in cells.  Those of inputs and of what is handed back are set by who calls (calls.py); everything else
has its place in one buffer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from graphc.backends.cupy.arena import Life, aligned, packed
from graphc.backends.cupy.commands import Address, Command, Copy, RunKernel, address_of
from graphc.backends.cupy.device import Buffer, Device, pointer
from graphc.backends.cupy.launches import Prepared
from graphc.backends.cupy.numbers import Numbers
from graphc.backends.cupy.programs import Programs, source, whole_source
from graphc.backends.cupy.walk import Walk
from graphc.graph.variable import Constant, Variable
from graphc.kernels.copies import copying
from graphc.kernels.map_gpu import ALONE
from graphc.kernels.plan import Plan
from graphc.kernels.steps import Key, read_by

# A function of no more kernels and iterations than these is run by one block: it takes less time than a launch.
MOST_KERNELS = 40
MOST_WORK = 1 << 14

# What a kernel can be given (32764 bytes since CUDA 12.1), with room for the ends of new values.
MOST_ARGUMENTS = 2000


def instance(
    plan: Plan,
    numbers: Numbers,
    device: Device,
    programs: Programs,
    constants: Mapping[Constant, Address],
    returned: int,
) -> Instance:
    """The commands of a plan for certain sizes; of a small function one launch."""
    found = Instance(plan, numbers, device, programs, constants, returned)
    if found.is_tiny:
        found = Instance(plan, numbers, device, programs, constants, returned, alone=True)
    found.settle()
    return found


class Instance(Walk):
    """The commands of a plan for certain sizes.

    inputs: the cell of each input, None if nobody reads it.
    results: the cells of the results; the first `returned` of them are handed back, the others are new values of
    shared variables.  free: those (by id) whose address is set by who calls.
    shapes, dtypes, nbytes_of: of the results; new: the dtypes and shapes of new values.
    targets: the cells of where new values go.
    """

    def __init__(
        self,
        plan: Plan,
        numbers: Numbers,
        device: Device,
        programs: Programs,
        constants: Mapping[Constant, Address],
        returned: int,
        alone: bool = False,
    ) -> None:
        super().__init__(plan, numbers, device.processors, alone)
        self.device = device
        self.programs = programs
        self.constants = constants
        self.commands: list[Command] = []
        self.returned = returned
        self._launches: list[tuple[Prepared, RunKernel]] = []
        self._needs: dict[Key, tuple[Address, int]] = {}
        self._scratch: list[tuple[Address, int]] = []
        self._cleared: list[Address] = []
        self._given: list[tuple[Address, Any]] = []
        self._inputs = {x: x.ndim for x in plan.schedule.graph.inputs}
        self.free: set[int] = set()
        self.run()
        outputs = plan.schedule.graph.outputs
        self.shapes = [numbers.shape(x) for x in outputs]
        self.dtypes = [np.dtype(x.dtype) for x in outputs]
        self.new = list(zip(self.dtypes, self.shapes, strict=True))[returned:]
        self.results = [self._own(key, i < returned) for i, key in enumerate(plan.results)]
        self.nbytes_of = [math.prod(s) * d.itemsize for s, d in zip(self.shapes, self.dtypes, strict=True)]
        self.free |= {id(self._needs[k][0]) for k in map(self.place, plan.results[:returned]) if k in self._needs}
        self.inputs = [self.cells.get(self.place(x)) for x in plan.schedule.graph.inputs]
        self.targets = [Address() for _ in self.results[returned:]]
        if alone and not self.checks:
            self._commit()

    def _own(self, key: Key, is_returned: bool) -> Address:
        """The memory of a result.  That of an input is not its own: it may get a new value before it is read."""
        cell = self.address(key)
        if self.place(key) not in self._inputs:
            return cell
        own = Address() if is_returned else self.scratch(8)
        if is_returned:
            self.free.add(id(own))
        self._copy(own, cell, np.dtype(key.dtype).itemsize)
        return own

    def _copy(self, target: Address, source: Address, nbytes: int) -> None:
        """A copy, by a kernel if all is one kernel."""
        if not self.alone:
            self.emit(Copy(target, source, nbytes))
            return
        kernel = copying(nbytes)
        where = dict(zip(kernel.arrays, (source, target), strict=True))
        self.kernel(kernel, lambda _: 0, where.__getitem__)

    def _commit(self) -> None:
        """New values go to where shared variables have theirs, at the end of the one kernel."""
        first = self.returned
        for new, target, nbytes in zip(self.results[first:], self.targets, self.nbytes_of[first:], strict=True):
            self._copy(target, new, nbytes)

    def settle(self) -> None:
        """Memory for everything; and all kernels compiled together: each a launch of its own, or all of them in one."""
        self._arrange()
        if self.alone:
            runs = [run for _, run in self._launches]
            arguments = tuple(cell for run in runs for cell in run.arguments)
            whole = RunKernel.of(1, ALONE, arguments)
            whole.kernel = self.programs.load_whole([p for p, _ in self._launches])
            self.commands = [whole]
            return
        kernels = self.programs.load([p for p, _ in self._launches])
        for (_, run), kernel in zip(self._launches, kernels, strict=True):
            run.kernel = kernel

    # ---- the walk ----

    def emit(self, command: Command) -> None:
        """Keep it."""
        self.commands.append(command)

    def emit_kernels(self, launches: list[tuple[Prepared, RunKernel]]) -> None:
        """Keep them; all are compiled together."""
        self._launches += launches
        self.commands += [run for _, run in launches]

    def memory(self, key: Key, nbytes: int) -> Address:
        """A cell, filled when all memory has been asked for."""
        cell = Address()
        if not isinstance(key, Variable) or key not in self._inputs:
            self._needs[key] = (cell, nbytes)
        return cell

    def scratch(self, nbytes: int, cleared: bool = False) -> Address:
        """A cell, filled when all memory has been asked for."""
        cell = Address()
        if cleared:
            self._cleared.append(cell)
        else:
            self._scratch.append((cell, nbytes))
        return cell

    def constant(self, x: Constant) -> Address:
        """A constant, which all instances share."""
        return self.constants[x]

    def known(self, x: Variable) -> Address:
        """A number that goes to the device once."""
        cell = Address()
        self._given.append((cell, np.asarray(self.numbers.number(x), x.dtype)))
        return cell

    # ---- memory ----

    def _arrange(self) -> None:
        """Give everything its place in one buffer, but for what comes from outside and what is handed back."""
        fixed = [self.error, *self._cleared, *(cell for cell, _ in self._given)]
        fixed += [cell for key, (cell, _) in self._needs.items() if not key.ndim and id(cell) not in self.free]
        head = aligned(8 * len(fixed))
        offsets, total = packed(self._lives())
        tail = sum(aligned(nbytes) for _, nbytes in self._scratch)
        self._buffer: Buffer = self.device.allocate(head + total + tail)
        base = self._buffer.address
        self.device.clear(base, head)
        for i, cell in enumerate(fixed):
            cell.value = base + 8 * i
        for key, offset in offsets.items():
            self._needs[key][0].value = base + head + offset
        at = base + head + total
        for cell, nbytes in self._scratch:
            cell.value = at
            at += aligned(nbytes)
        self._upload()

    def _lives(self) -> dict[Key, Life]:
        """From which step to which each array is needed; new values to the end."""
        last = len(self.plan.steps)
        kept = {self.place(key) for key in self.plan.results}
        spans: dict[Key, tuple[int, int]] = {}
        for position, step in enumerate(self.plan.steps):
            for key in map(self.place, read_by(step)):
                spans[key] = (spans.get(key, (position, position))[0], position)
        lives: dict[Key, Life] = {}
        for key, (cell, nbytes) in self._needs.items():
            if key.ndim and id(cell) not in self.free:
                first, final = spans.get(key, (0, last))
                lives[key] = Life(nbytes, first, last if key in kept else final)
        return lives

    def _upload(self) -> None:
        """The numbers that are the same in every call."""
        if not self._given:
            return
        staged = self.device.pinned(8 * len(self._given))
        for i, (_, value) in enumerate(self._given):
            staged[8 * i : 8 * i + value.nbytes] = value.reshape(1).view(np.uint8)
        self.device.copy(address_of(self._given[0][0]), pointer(staged), 8 * len(self._given))
        self.device.synchronize()

    @property
    def is_tiny(self) -> bool:
        """Whether one block had better run everything: little work, and several launches."""
        launches = [p for p, _ in self._launches]
        if not 1 < len(self.commands) <= MOST_KERNELS or len(launches) < len(self.commands):
            return False
        if sum(len(run.arguments) for _, run in self._launches) > MOST_ARGUMENTS:
            return False
        return sum(run.work for _, run in self._launches) <= MOST_WORK

    @cached_property
    def cuda(self) -> str:
        """The CUDA C of all kernels."""
        if self.alone:
            return whole_source([p for p, _ in self._launches], "graphc_whole")
        return source({Programs.name(launch): launch for launch, _ in self._launches})

    @cached_property
    def checks(self) -> bool:
        """Whether the device may find that something is wrong."""
        return any("error" in launch.extras for launch, _ in self._launches)
