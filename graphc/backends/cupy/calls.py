"""Calls of a static function: its commands bound to the memory of a call, and recorded when that memory comes again.

Arrays from the host pass through pinned memory, all in one copy; so do results that go to the host.  Arrays on the
device are used where they are.  Who calls again and again with arrays in the same places runs a recording: one launch
of a CUDA graph.  Small arrays whose place changes are first copied to a fixed one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from graphc.backends.cupy.arena import ALIGNMENT
from graphc.backends.cupy.commands import Address, Command, Copy, RunKernel, recorded
from graphc.backends.cupy.device import Buffer, Device, Recording, pointer
from graphc.backends.cupy.instance import Instance
from graphc.backends.cupy.walk import Refused

# Arrays on the device up to this size may be copied to a fixed place; larger ones are used where they are.
MOST_COPIED = 1 << 20

# Bytes that a kernel reads from the host, or writes to it, itself.
MOST_MAPPED = 4096

# So many results on the device are used again: while the user has those of the last call, the next one is made.
MOST_BLOCKS = 2

# Recordings, and places seen once, that are remembered.
MOST_RECORDINGS = 16


@dataclass(frozen=True)
class OnDevice:
    """The value of an input that is in device memory.

    stays: whether it is there in every call, as shared variables are.
    """

    address: int
    nbytes: int
    shape: tuple[int, ...]
    stays: bool = False


@dataclass(frozen=True)
class Block:
    """Device memory with the results of a call.

    arrays: the results; uses: what the device says of them while nobody else has them.
    """

    buffer: Buffer
    arrays: list[Any]
    uses: object

    def is_free(self, device: Device) -> bool:
        """Whether nobody else has the results, nor a view of them."""
        return device.uses(self.buffer, self.arrays) == self.uses


class Staging:
    """Where inputs from the host, and small ones from changing places, are put."""

    def __init__(self, instance: Instance) -> None:
        device = instance.device
        inputs = instance.plan.schedule.graph.inputs
        sizes = [0 if c is None else instance.nbytes(x) for c, x in zip(instance.inputs, inputs, strict=True)]
        size = max(sum(sizes), 1)
        self._device, self._size = device, size
        self._pinned = device.pinned(size)
        starts: list[int] = np.cumsum([0, *sizes])[:-1].tolist()
        self._starts = starts
        self.copies: list[Command] = []
        base = pointer(self._pinned)
        if not is_mapped(instance, size):
            self._buffer = device.allocate(size)
            self.copies.append(Copy(Address(self._buffer.address), Address(base), size))
            base = self._buffer.address
        self.homes = [base + start for start in starts]
        self.shapes = [instance.numbers.shapes[x] for x in inputs]
        self.views = [
            None if cell is None else _view(self._pinned, at, x.dtype, shape)
            for cell, at, x, shape in zip(instance.inputs, starts, inputs, self.shapes, strict=True)
        ]

    @cached_property
    def aside(self) -> list[int]:
        """Where inputs from changing places on the device are put: the copies from the host do not come here."""
        self._buffer_aside = self._device.allocate(self._size)
        return [self._buffer_aside.address + start for start in self._starts]


class Returning:
    """Where results are put that go to the host: one block, and as much pinned memory."""

    def __init__(self, instance: Instance) -> None:
        device = instance.device
        offsets, size = places(instance)
        self._pinned = device.pinned(size)
        self.copies: list[Command] = []
        self.address = pointer(self._pinned)
        if not is_mapped(instance, size):
            self._buffer = device.allocate(size)
            self.copies.append(Copy(Address(self.address), Address(self._buffer.address), size))
            self.address = self._buffer.address
        parts = zip(offsets, instance.dtypes, instance.shapes, strict=False)
        self.views = [_view(self._pinned, at, dtype.name, shape) for at, dtype, shape in parts]


def is_mapped(instance: Instance, nbytes: int) -> bool:
    """Whether a kernel reads and writes pinned memory itself: little is, and one launch is all there is to do."""
    return instance.alone and nbytes <= MOST_MAPPED


def places(instance: Instance) -> tuple[list[int], int]:
    """The offsets of what is handed back in a block, and its size."""
    at = 0
    offsets: list[int] = []
    for shape, nbytes in zip(instance.shapes[: instance.returned], instance.nbytes_of, strict=False):
        at = at if not shape else -(-at // ALIGNMENT) * ALIGNMENT
        offsets.append(at)
        at += nbytes if shape else 8
    return offsets, at + 8  # an array without elements has a place too


def _view(memory: Any, offset: int, dtype: str, shape: tuple[int, ...]) -> Any:
    """An array in a part of pinned memory."""
    return np.ndarray(shape, dtype, memory, offset)


# Where the commands of a call find things: the addresses of inputs (0: staged), of new values, and of what is handed
# back (0: on the way to the host).
Binding = tuple[tuple[int, ...], tuple[int, ...], int]


class Single:
    """What stands for a recording where there is one launch: to run it is faster."""

    def __init__(self, run: RunKernel, device: Device) -> None:
        self._run = run.with_present_addresses()
        launch = self._run.kernel, self._run.grid, self._run.block, self._run.parameters
        self.launch = partial(device.launch, *launch)  # a call less on the fastest way

    @classmethod
    def of(cls, commands: Sequence[Command], device: Device) -> Single | None:
        """For some commands, if they are one launch."""
        match commands:
            case [RunKernel() as run]:
                return cls(run, device)
        return None


class Caller:
    """Runs an instance."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.device = instance.device
        self._offsets, self._size = places(instance)
        self._recordings: OrderedDict[Binding, Recording | None] = OrderedDict()
        """None for places that were seen once."""
        self._waiting = False
        self.last: Recording | None = None
        """The recording that the last call ran, if it finds inputs where they are, and puts results where they go."""
        self.blocks: list[Block] = []
        """The results of the last calls, the last one first, if they are on the device and few."""
        self.nodes = 0
        """How many commands the last call told, or its recordings have."""
        self._last_commit: tuple[list[object], Recording] | None = None

    @cached_property
    def staging(self) -> Staging:
        """The way of inputs."""
        return Staging(self.instance)

    @cached_property
    def returning(self) -> Returning:
        """The way of results."""
        return Returning(self.instance)

    # ---- a call ----

    def call(self, given: Sequence[Any], targets: tuple[int, ...], to_host: bool) -> list[Any]:
        """Compute the results, and hand back those that are asked for: on the host, or as arrays on the device.

        given: for each input an array on the host or `OnDevice`; targets: the addresses that new values go to.
        Raises Refused, before anything is changed, if a check fails on the device.
        """
        if self._waiting:
            self.device.synchronize()  # the last call may still read what is staged, or set the error word
            self._waiting = False
        block = None if to_host else self._block()
        addresses = tuple([v.address if isinstance(v, OnDevice) else self._stage(i, v) for i, v in enumerate(given)])
        direct: Binding = (addresses, targets, 0 if block is None else block.buffer.address)
        binding = direct
        if binding not in self._recordings and self.instance.is_long:
            self._remember(binding, None)
            binding = (self._moved(given), targets, 0 if block is None else self._home(block))
        self._waiting = True  # until it is known better: the user may interrupt
        self.launch(binding)
        self.settle(binding)
        if block is None:
            return [view.copy() for view in self.returning.views]
        if binding != direct:
            self.last = None
        if binding[2] != direct[2]:
            self.device.copy(direct[2], binding[2], self._size)
        return list(block.arrays)

    def _block(self) -> Block:
        """Memory for results: that of a call before if nobody has them any more."""
        for i, block in enumerate(self.blocks):
            if block.is_free(self.device):
                self.blocks.insert(0, self.blocks.pop(i))
                return block
        buffer = self.device.allocate(self._size)
        parts = zip(self._offsets, self.instance.dtypes, self.instance.shapes, strict=False)
        arrays = [self.device.array(buffer, at, dtype.name, shape) for at, dtype, shape in parts]
        made = Block(buffer, arrays, self.device.uses(buffer, arrays))
        if self._size <= MOST_COPIED:
            self.blocks = [made, *self.blocks][:MOST_BLOCKS]
        return made

    def _home(self, block: Block) -> int:
        """Where results are put that go to a block: few have a fixed place, from which they are copied."""
        return block.buffer.address if self._size > MOST_COPIED else self._results.address

    @cached_property
    def _results(self) -> Buffer:
        """The fixed place of results."""
        return self.device.allocate(self._size)

    def launch(self, binding: Binding) -> None:
        """Run the commands: a recording, if their places have been seen before."""
        if self.instance.checks:
            self.instance.flag[0] = 0
        recording = self._recordings.get(binding)
        if recording is not None:
            self._remember(binding, recording)
            recording.launch()
            self.last = recording
            return
        commands, commits = self._commands(binding), self._at_end()
        self.nodes = len(commands) + len(self.instance.commits)
        if binding in self._recordings:
            self.last = recorded(self.device, [*commands, *commits])
            self._remember(binding, self.last)
            self.last.launch()
            return
        for command in commands:
            command.run(self.device)
        self._commit(commits)
        self.last = Single.of([*commands, *commits], self.device)
        self._remember(binding, self.last)

    def _commit(self, commits: Sequence[Command]) -> None:
        """Tell the device all commits or, if the user interrupts, none."""
        if len(commits) == 1:
            commits[0].run(self.device)
        elif commits:
            where = [cell.value for commit in commits for cell in commit.cells]
            if self._last_commit is None or self._last_commit[0] != where:
                self._last_commit = where, recorded(self.device, commits)
            self._last_commit[1].launch()

    def _remember(self, binding: Binding, recording: Recording | None) -> None:
        self._recordings[binding] = recording
        self._recordings.move_to_end(binding)
        while len(self._recordings) > MOST_RECORDINGS:
            self._recordings.popitem(last=False)

    def settle(self, binding: Binding) -> None:
        """Wait, if something is to be looked at on the host, and see to new values."""
        checks = self.instance.checks
        is_done = checks or not binding[2]
        if is_done:
            self.device.synchronize()
        self._waiting = 0 in binding[0] and not is_done
        if checks:
            if self.instance.flag[0]:
                raise Refused
            self._bind(binding)  # a recording does not look into cells
            self._commit(self.instance.commits)

    # ---- bindings ----

    def _stage(self, i: int, value: Any) -> int:
        """Put a value from the host into pinned memory."""
        view = self.staging.views[i]
        if view is not None:
            view[...] = value
        return 0

    def _moved(self, given: Sequence[Any]) -> tuple[int, ...]:
        """The addresses of the inputs, small ones copied to a fixed place."""
        addresses: list[int] = []
        for i, value in enumerate(given):
            if not isinstance(value, OnDevice):
                addresses.append(0)
            elif value.stays or value.nbytes > MOST_COPIED or self.instance.inputs[i] is None:
                addresses.append(value.address)
            else:
                self.device.copy(self.staging.aside[i], value.address, value.nbytes)
                addresses.append(self.staging.aside[i])
        return tuple(addresses)

    def _bind(self, binding: Binding) -> list[Command]:
        """Set the cells to the memory of a call.  Returns the copies of results that no cell can be set for."""
        instance = self.instance
        addresses, targets, block = binding
        for i, (cell, address) in enumerate(zip(instance.inputs, addresses, strict=True)):
            if cell is not None:
                cell.value = address or self.staging.homes[i]
        for cell, address in zip(instance.targets, targets, strict=True):
            cell.value = address
        base = block or self.returning.address
        copies: list[Command] = []
        bound: set[int] = set()
        results = instance.results[: instance.returned]
        for cell, offset, nbytes in zip(results, self._offsets, instance.nbytes_of, strict=False):
            if id(cell) in bound or id(cell) not in instance.free:  # a number that is handed back twice, or known
                copies.append(Copy(Address(base + offset), cell, nbytes))
            else:
                cell.value = base + offset
                bound.add(id(cell))
        return copies

    def _commands(self, binding: Binding) -> list[Command]:
        """The commands of a call, bound to its memory, with the copies before and after."""
        instance = self.instance
        addresses, _, block = binding
        copies = self._bind(binding)
        commands: list[Command] = []
        if 0 in addresses and any(cell is not None for cell in instance.inputs):
            commands += self.staging.copies
        commands += [*instance.commands, *copies]
        return commands if block else [*commands, *self.returning.copies]

    def _at_end(self) -> Sequence[Command]:
        """The commits that are told together with the commands: nothing is looked at before, and no kernel has them."""
        return [] if self.instance.checks else self.instance.commits
