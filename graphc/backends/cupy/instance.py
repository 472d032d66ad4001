"""A static function for certain sizes: its memory, and the commands that compute it, recorded once.

Whoever calls it again only fills the staged inputs and runs the recording: one launch of a CUDA graph.  Large arrays on
the device are not copied: then the commands run one by one, on the memory where the arrays are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from graphc.backends.cupy.arena import ALIGNMENT, Life, aligned, packed
from graphc.backends.cupy.commands import Address, Clear, Command, Copy, RunKernel, address_of, recorded
from graphc.backends.cupy.device import Buffer, Device, Recording
from graphc.backends.cupy.launches import Prepared
from graphc.backends.cupy.numbers import Numbers
from graphc.backends.cupy.programs import Programs, source
from graphc.backends.cupy.walk import Refused, Walk
from graphc.graph.variable import Constant, Variable
from graphc.kernels.plan import Plan
from graphc.kernels.steps import Key, read_by

# Arrays on the device up to this size are copied to where a recording expects them; larger ones are used in place.
MOST_COPIED = 1 << 20

# Recordings that are kept: one for each set of addresses of shared variables.
MOST_RECORDINGS = 8


@dataclass(frozen=True)
class OnDevice:
    """The value of an input that is in device memory.

    stays: whether it is there in every call (a shared variable), so that a recording may name its address.
    """

    address: int
    nbytes: int
    shape: tuple[int, ...]
    stays: bool = False


def pointer(array: Any) -> int:
    """Where an array on the host begins."""
    return int(array.__array_interface__["data"][0])


class Instance(Walk):
    """The commands of a plan for certain sizes.

    returned: how many results are handed back; the others are new values of shared variables.
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
        self._recordings: dict[object, Recording] = {}
        self._waiting = False
        self.run()
        outputs = plan.schedule.graph.outputs
        self.shapes = [numbers.shape(x) for x in outputs]
        self.dtypes = [np.dtype(x.dtype) for x in outputs]
        self.new = list(zip(self.dtypes, self.shapes, strict=True))[returned:]
        self.results = [self._own(key) for key in plan.results]
        self.nbytes_of = [math.prod(s) * d.itemsize for s, d in zip(self.shapes, self.dtypes, strict=True)]
        self._stage_inputs()
        self._arrange()
        self._fetches = self._back()
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

    def _own(self, key: Key) -> Address:
        """The memory of a result; an input's is not its own, and may get a new value before the result is read."""
        cell = self.address(key)
        if self.place(key) not in self._inputs:
            return cell
        copy = self.scratch(8)
        self.emit(Copy(copy, cell, np.dtype(key.dtype).itemsize))
        return copy

    def _stage_inputs(self) -> None:
        """A place for each input that comes from the host, there and in pinned memory."""
        self._offsets: list[int | None] = []
        self._input_cells: list[Address | None] = []
        offset = 0
        for x in self.plan.schedule.graph.inputs:
            cell = self.cells.get(self.place(x))
            self._input_cells.append(cell)
            self._offsets.append(None if cell is None else offset)
            if cell is not None:
                offset += self.nbytes(x)
        self._staged = self.device.allocate(max(offset, 1))
        self._pinned = self.device.pinned(max(offset, 1))
        self._stage = Copy(Address(self._staged.address), Address(pointer(self._pinned)), offset)

    def _arrange(self) -> None:
        """Give everything its place in one buffer: what is handed back first, after the error word."""
        fixed: list[tuple[Address, int]] = [(self.error, ALIGNMENT)]
        back = [self.place(key) for key in self.plan.results[: self.returned]]
        self._returned_bytes = ALIGNMENT
        for key in dict.fromkeys(back):
            if key in self._needs:
                cell, nbytes = self._needs.pop(key)
                size = aligned(nbytes) if key.ndim else 8
                fixed.append((cell, size))
                self._returned_bytes += size
        fixed.append((Address(), aligned(self._returned_bytes) - self._returned_bytes))
        fixed += [(cell, 8) for cell in self._cleared]
        fixed += [(cell, 8) for cell, _ in self._given]
        numbers = [key for key in self._needs if not key.ndim]
        fixed += [(self._needs[key][0], 8) for key in numbers]
        head = aligned(sum(size for _, size in fixed))
        lives = self._lives()
        offsets, total = packed(lives)
        tail = sum(aligned(nbytes) for _, nbytes in self._scratch)
        self._buffer: Buffer = self.device.allocate(head + total + tail)
        base = self._buffer.address
        self.device.clear(base, head)
        at = base
        for cell, size in fixed:
            cell.value = at
            at += size
        for key, offset in offsets.items():
            self._needs[key][0].value = base + head + offset
        at = base + head + total
        for cell, nbytes in self._scratch:
            cell.value = at
            at += aligned(nbytes)
        self._upload()

    def _back(self) -> list[Command]:
        """The copies of what is handed back, and of the error word, to pinned memory."""
        space = self._returned_bytes + 8 * self.returned
        self._out = self.device.pinned(space)
        start, out = address_of(self.error), pointer(self._out)
        commands: list[Command] = [Copy(Address(out), self.error, self._returned_bytes)]
        self._places: list[int] = []
        for i, cell in enumerate(self.results[: self.returned]):
            place = address_of(cell) - start
            if not 0 <= place < self._returned_bytes:  # a number that is not computed but given
                place = self._returned_bytes + 8 * i
                commands.append(Copy(Address(out + place), cell, self.nbytes_of[i]))
            self._places.append(place)
        return commands

    def _lives(self) -> dict[Key, Life]:
        """From which step to which each array is needed; new values to the end."""
        last = len(self.plan.steps)
        kept = {self.place(key) for key in self.plan.results}
        spans: dict[Key, tuple[int, int]] = {}
        for position, step in enumerate(self.plan.steps):
            for key in map(self.place, read_by(step)):
                spans[key] = (spans.get(key, (position, position))[0], position)
        lives: dict[Key, Life] = {}
        for key, (_, nbytes) in self._needs.items():
            if key.ndim:
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

    # ---- calls ----

    @property
    def checks(self) -> bool:
        """Whether the device may find that something is wrong."""
        return any("error" in launch.extras for launch, _ in self._launches)

    def call(self, given: Sequence[Any], targets: Sequence[int], to_host: bool) -> list[Any]:
        """Compute the results, and hand back those that are asked for: on the host, or as arrays on the device.

        given: for each input an array on the host or `OnDevice`; targets: the addresses that new values go to.
        Raises Refused, before anything is changed, if a check fails on the device.
        """
        if self._waiting:
            self.device.synchronize()  # the last call may still read what is staged
        staged, direct = self._stage_values(given)
        self._waiting = staged
        checks = self.checks
        fetches = to_host or checks
        commits = self._commits(targets)
        apart = checks or direct
        kept = [] if to_host else [self.device.allocate(n) for n in self.nbytes_of[: self.returned]]
        if direct:
            for command in self._all(staged, (), fetches):
                command.run(self.device)
        else:
            self._recorded(staged, () if apart else commits, fetches, (*targets, to_host)).launch()
        if fetches:
            self.device.synchronize()
            self._waiting = False
        if checks and self._out[:4].view(np.uint32)[0]:
            raise Refused
        results = list(map(self._fetched, range(self.returned))) if to_host else self._on_device(kept)
        if apart and commits:
            self._recording(("commits", *targets), commits).launch()
        return results

    def _stage_values(self, given: Sequence[Any]) -> tuple[bool, bool]:
        """Bring the inputs to where the commands look for them.

        Tells whether some are staged on the host, and whether some are used where they are, and may be elsewhere the
        next time.
        """
        staged = direct = False
        for x, value, offset, cell in zip(
            self.plan.schedule.graph.inputs, given, self._offsets, self._input_cells, strict=True
        ):
            if cell is None or offset is None:
                continue
            cell.value = self._staged.address + offset
            if not isinstance(value, OnDevice):
                raw = np.ascontiguousarray(value, x.dtype).reshape(-1).view(np.uint8)
                self._pinned[offset : offset + raw.size] = raw
                staged = True
            elif value.stays:
                cell.value = value.address
            elif value.nbytes <= MOST_COPIED:
                self.device.copy(self._staged.address + offset, value.address, value.nbytes)
            else:
                cell.value = value.address
                direct = True
        return staged, direct

    def _recorded(self, staged: bool, commits: Sequence[Command], fetches: bool, ends: tuple[Any, ...]) -> Recording:
        """The recording for where inputs and new values are."""
        key = (tuple(cell.value for cell in self._input_cells if cell is not None), staged, ends)
        return self._recording(key, self._all(staged, commits, fetches))

    def _recording(self, key: object, commands: Sequence[Command]) -> Recording:
        """The recording of some commands, as it was made before if it was."""
        found = self._recordings.pop(key, None) or recorded(self.device, commands)
        while len(self._recordings) >= MOST_RECORDINGS:
            del self._recordings[next(iter(self._recordings))]
        self._recordings[key] = found
        return found

    def _all(self, staged: bool, commits: Sequence[Command], fetches: bool) -> list[Command]:
        """All commands of a call, with the copies before and after."""
        before: list[Command] = [self._stage] if staged else []
        if self.checks:
            before.append(Clear(self.error, 4))
        after = self._fetches if fetches else []
        return [*before, *self.commands, *after, *commits]

    def _commits(self, targets: Sequence[int]) -> list[Command]:
        """New values go to where shared variables have theirs."""
        new = zip(self.results[self.returned :], targets, self.nbytes_of[self.returned :], strict=True)
        return [Copy(Address(target), cell, nbytes) for cell, target, nbytes in new]

    def _fetched(self, i: int) -> Any:
        """A result that has come to the host."""
        start, nbytes = self._places[i], self.nbytes_of[i]
        return self._out[start : start + nbytes].view(self.dtypes[i]).reshape(self.shapes[i]).copy()

    def _on_device(self, buffers: Sequence[Buffer]) -> list[Any]:
        """The results as arrays on the device, each in a buffer of its own."""
        made: list[Any] = []
        for i, buffer in enumerate(buffers):
            self.device.copy(buffer.address, address_of(self.results[i]), self.nbytes_of[i])
            made.append(self.device.array(buffer, 0, self.dtypes[i].name, self.shapes[i]))
        return made
