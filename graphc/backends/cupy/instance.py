"""A static function for certain sizes: the commands that compute it, and its memory.

Addresses stand in cells.  Those of inputs and of what is handed back are set by who calls (calls.py); everything else
has its place in one buffer.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from graphc.backends.cupy.arena import Life, packed
from graphc.backends.cupy.beside import Piece, Room, groups, spans
from graphc.backends.cupy.commands import Address, Command, Copy, RunKernel
from graphc.backends.cupy.demand import Demand
from graphc.backends.cupy.device import Device, pointer
from graphc.backends.cupy.launches import Beside, Prepared
from graphc.backends.cupy.numbers import Numbers
from graphc.backends.cupy.programs import Launched, Programs, source, whole_source
from graphc.backends.cupy.walk import Walk
from graphc.graph.variable import Constant, Variable
from graphc.kernels.commit import Addition, Update, in_commit, staying
from graphc.kernels.copies import copying
from graphc.kernels.epilogue import joined, with_epilogues
from graphc.kernels.gpuir import walk
from graphc.kernels.launch import Launch
from graphc.kernels.map_gpu import ALONE
from graphc.kernels.plan import Plan
from graphc.kernels.steps import Commit, Key, Product, Step, Verify, memory_of
from graphc.kernels.uses import Uses

# A function of no more kernels and iterations than these is run by one block: it takes less time than a launch.
MOST_KERNELS = 40
MOST_WORK = 1 << 14

# Nor of more statements: the compiler sees them all at once, and takes a minute for some thousands.
MOST_STATEMENTS = 600

# A function of no more commands is not recorded before its arrays come to the same places again.
FEW_COMMANDS = 3

# What a kernel can be given (32764 bytes since CUDA 12.1), with room for the ends of new values.
MOST_ARGUMENTS = 2000

# What launches that run beside each other may be, all together: a kernel of so many statements takes a second to
# compile, one of twice as many some seconds.
MOST_BESIDE = Room(MOST_ARGUMENTS, statements=200)

# Memory in which each array has a place of its own for as long as it is needed.  Where they need more, those that take
# turns in a memory of the plan do not run beside each other: there is enough work for one launch after the other.
MOST_APART = 1 << 26

Groups = Sequence[Sequence[Command]]


@dataclass(frozen=True)
class Task:
    """What an instance is made of: a plan, what its sizes are, and who runs it.

    constants: the cells of constants, which all instances share; returned: how many results are handed back, the others
    are new values of shared variables; old: for each of those the input that has the value that is replaced, if any.
    """

    plan: Plan
    numbers: Numbers
    device: Device
    programs: Programs
    constants: Mapping[Constant, Address]
    returned: int
    old: Sequence[Variable | None]


def instance(task: Task) -> Instance:
    """The commands of a plan for certain sizes; of a small function one launch."""
    found = Instance(task)
    if found.is_tiny:
        found = Instance(task, alone=True)
    found.settle()
    return found


class Instance(Walk):
    """The commands of a plan for certain sizes.

    inputs: the cell of each input, None if nobody reads it.
    results: the cells of the results; the first `returned` of them are handed back, the others are new values of
    shared variables.  free: those (by id) whose address is set by who calls.
    shapes, dtypes, nbytes_of: of the results; new: the dtypes and shapes of new values.
    targets: the cells of where new values go.
    commits: the commands that write new values; what the others read is the same until then.
    steps: those of the plan; None for a product that another one computes.
    """

    def __init__(self, task: Task, alone: bool = False) -> None:
        plan = task.plan
        super().__init__(plan, task.numbers, task.device.processors, alone, beside=not alone)
        self.device, self.programs, self.constants = task.device, task.programs, task.constants
        self.returned = task.returned
        self.targets = [Address() for _ in plan.results[task.returned :]]
        self.steps: list[Step | None] = list(plan.steps)
        self.commands: list[Command] = []
        self.commits: list[Command] = []
        self._into = self.commands
        self._launches: list[tuple[Prepared, RunKernel]] = []
        self._launched: list[tuple[Launched, RunKernel]] = []
        self._demand = Demand()
        self.free = self._demand.free
        self._inputs: frozenset[Key] = frozenset(plan.schedule.graph.inputs)
        self._updates: dict[int, Update] = {}
        self._added: dict[int, Addition] = {}
        self._stays: dict[Key, int] = {}
        """Memories that are where the old values are, and the numbers of the new ones."""
        if not alone:
            uses = Uses(plan)
            self._stays = staying(plan, task.returned, task.old)
            self._updates = in_commit(uses, task.returned, task.old)
            self._join(uses)
        self._run_steps()
        self._find_results()
        if not alone or self.checks:
            self._copy_the_others()
        else:
            self._commit()

    def _find_results(self) -> None:
        """Where the results are when all steps have run, and what they look like."""
        outputs, keys = self.plan.schedule.graph.outputs, self.plan.results
        self.shapes = [self.numbers.shape(x) for x in outputs]
        self.dtypes = [np.dtype(x.dtype) for x in outputs]
        self.nbytes_of = [math.prod(s) * d.itemsize for s, d in zip(self.shapes, self.dtypes, strict=True)]
        self.new = list(zip(self.dtypes, self.shapes, strict=True))[self.returned :]
        self.results = [self._own(key, i < self.returned) for i, key in enumerate(keys)]
        needs = self._demand.needs
        self.free |= {id(needs[place][0]) for place in map(self.place, keys[: self.returned]) if place in needs}
        self.inputs = [self.cells.get(self.place(x)) for x in self.plan.schedule.graph.inputs]

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

    def _copy_the_others(self) -> None:
        """The new values that no command of the commit computes are copied."""
        computed = {number for update in self._updates.values() for number in update.numbers}
        computed.update(self._stays.values())
        first = self.returned
        new = zip(self.results[first:], self.targets, self.nbytes_of[first:], strict=True)
        self.commits += [Copy(target, cell, n) for i, (cell, target, n) in enumerate(new) if i not in computed]

    def settle(self) -> None:
        """Memory for everything; and all kernels compiled together: those of a group one launch, or all of them one."""
        before, after = self._order()
        self._arrange([*before, *after])
        if self.alone:
            runs = [run for _, run in self._launches]
            arguments = tuple(cell for run in runs for cell in run.arguments)
            whole = RunKernel.of(1, ALONE, arguments)
            whole.kernel = self.programs.load_whole([p for p, _ in self._launches])
            self.commands = [whole]
            return
        self.commands, self.commits = ([c for group in found for c in self._told(group)] for found in (before, after))
        kernels = self.programs.load([launched for launched, _ in self._launched])
        for (_, run), kernel in zip(self._launched, kernels, strict=True):
            run.kernel = kernel

    # ---- what runs at the same time ----

    def _order(self) -> tuple[Groups, Groups]:
        """The commands, and the commits, in groups that run at the same time."""
        found = self._groups(self.commands, {}), self._groups(self.commits, {})
        _, nbytes = packed(self._lives([*found[0], *found[1]]))
        if nbytes <= MOST_APART:
            return found
        of_region: dict[Key, int] = {}
        regions = [(id(cell), self.plan.regions.get(key, key)) for key, (cell, _) in self._demand.needs.items()]
        turns = {cell: of_region.setdefault(region, cell) for cell, region in regions}
        return self._groups(self.commands, turns), self._groups(self.commits, turns)

    def _groups(self, commands: Sequence[Command], turns: Mapping[int, int]) -> Groups:
        """Commands in groups that run at the same time; turns: cells (by id) that are used as if they were others."""
        found = groups([self._piece(command, turns) for command in commands], MOST_BESIDE)
        return [[commands[i] for i in group] for group in found]

    def _piece(self, command: Command, turns: Mapping[int, int]) -> Piece:
        """What there is to know of a command for that."""
        prepared = self._prepared.get(id(command))
        room = None
        if prepared is not None and prepared.beside is not None:
            room = Room(1 + len(command.cells), len(list(walk(prepared.kernel.body))), prepared.beside.text)
        touched, written = ([turns.get(id(c), id(c)) for c in cells] for cells in (command.cells, command.written))
        return Piece(touched, written, room)

    def _told(self, group: Sequence[Command]) -> Sequence[Command]:
        """The commands of a group: one launch, if there are several."""
        pairs = [(self._prepared[id(run)], run) for run in group if isinstance(run, RunKernel)]
        if len(group) == 1:
            self._launched += pairs
            return group
        number: dict[str, int] = {}  # of a text: those of equal text shall be neighbours
        members = [(launch.beside, run) for launch, run in pairs if launch.beside is not None]
        members.sort(key=lambda member: number.setdefault(member[0].text, len(number)))
        runs = [run for _, run in members]
        whole = Beside(tuple(launch for launch, _ in members))
        *ends, grid = whole.ends
        arguments = (*map(ctypes.c_uint, ends), *(cell for run in runs for cell in run.arguments))
        made = RunKernel.of(grid, ALONE, arguments, sum(run.work for run in runs))
        self._launched.append((whole, made))
        return [made]

    # ---- the walk ----

    def _run_steps(self) -> None:
        """All steps, those of the commit apart from the others."""
        for position, step in enumerate(self.steps):
            if self._stays and self._step_in_place(position, step):
                continue
            update = self._updates.get(position)
            self.in_place = update is not None
            self._into = self.commands if update is None else self.commits
            if update is not None:
                for number in update.numbers:
                    self.cells[self.place(self.plan.results[self.returned + number])] = self.targets[number]
            if position in self._added:
                assert update is not None
                self._add(self._added[position], self.targets[update.numbers[0]])
            elif step is not None:
                self.step(step)
        self.in_place, self._into = False, self.commands

    def _step_in_place(self, position: int, step: Step | None) -> bool:
        """A step by which an old value is changed where it is; False for others."""
        self.in_place, self._into = False, self.commands
        if isinstance(step, Verify):
            self.step(step.launch)
        elif isinstance(step, Commit):
            self.in_place, self._into = True, self.commits
            self.step(step)
        elif isinstance(step, Launch) and self.plan.whens[position]:
            old, new = step.arrays
            self.cells[self.place(new)] = target = self.targets[self._stays[self.place(new)]]
            nbytes = math.prod(self.numbers.shape(new)) * np.dtype(new.dtype).itemsize
            self.commits.append(Copy(target, self.address(old), nbytes))  # where all new values go elsewhere
        else:
            return False
        return True

    def _join(self, uses: Uses) -> None:
        """Products become part of the steps that read them: of a kernel, if they are our own, or of an addition."""
        self.steps = with_epilogues(uses, self.is_own, self._updates)
        for position, update in self._updates.items():
            if update.addition is None:
                continue
            product, step = self.plan.steps[update.addition.product], self.plan.steps[position]
            assert isinstance(product, Product)
            assert isinstance(step, Launch)
            if not self.is_own(product):
                self._added[position] = update.addition
            elif (both := joined(product, step, self.plan.shapes)) is not None:
                self.steps[position] = both
            else:
                continue
            self.steps[update.addition.product] = None

    def _add(self, addition: Addition, target: Address) -> None:
        """A product that is added to an old value."""
        product = self.plan.steps[addition.product]
        assert isinstance(product, Product)
        self.emit(self.multiply(product, target, addition.scale, self.address(addition.old)))

    def emit(self, command: Command) -> None:
        """Keep it."""
        self._into.append(command)

    def emit_kernels(self, launches: list[tuple[Prepared, RunKernel]]) -> None:
        """Keep them; all are compiled together."""
        self._launches += launches
        self._into += [run for _, run in launches]

    def place(self, key: Key) -> Key:
        """The memory that a variable is in.  What takes turns in a memory of the plan may run at the same time here."""
        return memory_of(key, self.plan.home)

    def memory(self, key: Key, nbytes: int) -> Address:
        """A cell, filled when all memory has been asked for."""
        return Address() if key in self._inputs else self._demand.array(key, nbytes)

    def scratch(self, nbytes: int, cleared: bool = False) -> Address:
        """A cell, filled when all memory has been asked for."""
        return self._demand.cleared() if cleared else self._demand.scratch(nbytes)

    def constant(self, x: Constant) -> Address:
        """A constant, which all instances share."""
        return self.constants[x]

    def known(self, x: Variable) -> Address:
        """A number that goes to the device once."""
        return self._demand.given(np.asarray(self.numbers.number(x), x.dtype))

    # ---- memory ----

    def _arrange(self, order: Groups) -> None:
        """Find memory for everything."""
        self._buffer = self._demand.arrange(self.device, self._lives(order))
        if self.checks:
            self.error.value = pointer(self.flag)

    def _lives(self, order: Groups) -> dict[Key, Life]:
        """From which group of commands to which each array is needed; new values to the end."""
        last = len(order)
        kept = {self.place(key) for key in self.plan.results}
        known = spans([[self._piece(command, {}) for command in group] for group in order])
        lives: dict[Key, Life] = {}
        for key, (cell, nbytes) in self._demand.needs.items():
            if key.ndim and id(cell) not in self.free:
                first, final = known.get(id(cell), (0, last))
                lives[key] = Life(nbytes, first, last if key in kept else final)
        return lives

    @property
    def is_long(self) -> bool:
        """Whether it had better be recorded as soon as its arrays can be at fixed places."""
        return len(self.commands) + len(self.commits) > FEW_COMMANDS

    @property
    def is_tiny(self) -> bool:
        """Whether one block had better run everything: little work, and several launches."""
        launches = [p for p, _ in self._launches]
        count = len([c for c in (*self.commands, *self.commits) if not isinstance(c, Copy)])
        if not 1 < count <= MOST_KERNELS or len(launches) < count or any(isinstance(c, Copy) for c in self.commands):
            return False
        if sum(len(run.arguments) for _, run in self._launches) > MOST_ARGUMENTS:
            return False
        if sum(len(list(walk(p.kernel.body))) for p in launches) > MOST_STATEMENTS:
            return False
        # One block would copy what stays where it is.
        copied = sum(math.prod(self.numbers.shape(key)) for key in self._stays)
        return copied + sum(run.work for _, run in self._launches) <= MOST_WORK

    @cached_property
    def cuda(self) -> str:
        """The CUDA C of all kernels."""
        if self.alone:
            return whole_source([p for p, _ in self._launches], "graphc_whole")
        return source({Programs.name(launched): launched for launched, _ in self._launched})

    @cached_property
    def _prepared(self) -> dict[int, Prepared]:
        """What each launch (by id) was made of."""
        return {id(run): prepared for prepared, run in self._launches}

    @cached_property
    def flag(self) -> Any:
        """The error word, which kernels set on the host; who tells them to run clears it before, and looks after."""
        return self.device.pinned(8).view(np.uint32)

    @cached_property
    def checks(self) -> bool:
        """Whether the device may find that something is wrong."""
        return any("error" in launch.extras for launch, _ in self._launches)
