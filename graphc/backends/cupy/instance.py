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
from graphc.backends.cupy.commands import Address, Command, RunKernel, address_of
from graphc.backends.cupy.device import Buffer, Device, pointer
from graphc.backends.cupy.launches import Prepared
from graphc.backends.cupy.numbers import Numbers
from graphc.backends.cupy.programs import Programs, source
from graphc.backends.cupy.walk import Walk
from graphc.graph.variable import Constant, Variable
from graphc.kernels.plan import Plan
from graphc.kernels.steps import Key, read_by


class Instance(Walk):
    """The commands of a plan for certain sizes.

    inputs: the cell of each input, None if nobody reads it.
    results: the cells of the results; the first `returned` of them are handed back, the others are new values of
    shared variables.  free: those (by id) whose address is set by who calls.
    shapes, dtypes, nbytes_of: of the results.
    """

    def __init__(
        self,
        plan: Plan,
        numbers: Numbers,
        device: Device,
        programs: Programs,
        constants: Mapping[Constant, Address],
        returned: int,
    ) -> None:
        super().__init__(plan, numbers, device.processors)
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
        self.run()
        outputs = plan.schedule.graph.outputs
        self.results = [self.address(key) for key in plan.results]
        self.shapes = [numbers.shape(x) for x in outputs]
        self.dtypes = [np.dtype(x.dtype) for x in outputs]
        self.nbytes_of = [math.prod(s) * d.itemsize for s, d in zip(self.shapes, self.dtypes, strict=True)]
        self.free = {id(self._needs[k][0]) for k in map(self.place, plan.results[:returned]) if k in self._needs}
        self.inputs = [self.cells.get(self.place(x)) for x in plan.schedule.graph.inputs]
        self._arrange()
        for (_, run), kernel in zip(self._launches, programs.load([p for p, _ in self._launches]), strict=True):
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

    @cached_property
    def cuda(self) -> str:
        """The CUDA C of all kernels."""
        return source({Programs.name(launch): launch for launch, _ in self._launches})

    @cached_property
    def checks(self) -> bool:
        """Whether the device may find that something is wrong."""
        return any("error" in launch.extras for launch, _ in self._launches)
