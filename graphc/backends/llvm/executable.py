"""A schedule as machine code: routines over a frame, and calls back into Python between them."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from graphc.backends.base import Calling, Executable, FastEntry, GuardFailed, backend
from graphc.backends.llvm.assemble import assembled, assembled_at_large, entries, entries_at_large
from graphc.backends.llvm.crew import crew, most_threads
from graphc.backends.llvm.encoder import Encoder
from graphc.backends.llvm.frame import Layout, word_of
from graphc.backends.llvm.link import assembly
from graphc.backends.llvm.native import Others, native_entry
from graphc.backends.llvm.parts import Callback, Part, made_by, nodes_of, partition
from graphc.backends.llvm.program import Place, Program, Slot
from graphc.backends.llvm.render import render
from graphc.backends.llvm.spelling import spells, why_called
from graphc.backends.llvm.support import NOT_TAKEN, TAKEN
from graphc.backends.llvm.target import Target, host
from graphc.backends.llvm.undisturbed import undisturbed
from graphc.backends.llvm.work import IS_LARGE
from graphc.backends.perform import explained, out_of_memory, performer
from graphc.errors import GraphcError
from graphc.graph.predicates import Predicate
from graphc.graph.variable import Constant, Variable
from graphc.kernels.describe import KernelSchedule
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.loopir import Kernel
from graphc.kernels.plan import Plan
from graphc.kernels.plan import plan as make_plan
from graphc.kernels.shares import in_shares
from graphc.kernels.steps import Assumed, Call, Key, SizesEqual, Step
from graphc.schedule.schedule import Schedule

DRAFTS = os.name != "nt" and os.environ.get("GRAPHC_DRAFTS", "1") != "0"
"""Whether code is at first a draft, which is made in much less time.  On Windows its frames might be too large."""

DRAFT_CALLS = 8
"""Calls of a draft, before the code is made with care."""


class LlvmExecutable:
    """A plan as machine code.

    at_large: for large work, which is done in shares; otherwise such work is left to one like that, from the start.  So
    what calls Python is for large work always: nothing is called twice.  threads: how many may share such work, what
    the configuration says now if it is None.
    """

    def __init__(
        self,
        schedule: Schedule,
        plan: Plan,
        target: Target | None = None,
        at_large: bool = False,
        threads: int | None = None,
    ) -> None:
        self.schedule: Schedule = schedule if at_large else KernelSchedule.of(schedule, plan, why_called)
        self.plan = plan
        self.target = target or host()
        self.threads = threads or most_threads()
        self.at_large = at_large or any(isinstance(step, Call) for step in plan.steps)
        running = in_shares(plan, self.threads) if self.at_large else plan
        self._layout = Layout(running)
        self._encoder = Encoder(running, self._layout, self.target, self.threads, DRAFTS and not self.at_large)
        self._parts = partition(running, self._layout)
        self._routines = (assembled_at_large if self.at_large else assembled)(self._parts, self._encoder)
        self._runs_left = DRAFT_CALLS if self._encoder.has_drafts else -1
        self._results = [
            self._layout.place(key, plan.shape(x)) for key, x in zip(plan.results, schedule.graph.outputs, strict=True)
        ]
        self._words = tuple(self._layout.words)

    # ---- what there is to see ----

    @property
    def kernels(self) -> list[Kernel]:
        """The kernels, in the order they run."""
        return self.plan.kernels

    @cached_property
    def _different(self) -> dict[str, Kernel]:
        """The kernels that differ, by their text."""
        return {kernel.text: kernel for kernel in self.kernels}

    @cached_property
    def source(self) -> str:
        """The loop IR of every kernel, with the number it has in the schedule."""
        return self.plan.source

    @cached_property
    def _modules(self) -> list[str]:
        return [render(kernel, self.target, f"kernel{i}") for i, kernel in enumerate(self._different.values())]

    @cached_property
    def llvm(self) -> str:
        """LLVM's text of every kernel."""
        return "\n".join(self._modules)

    @cached_property
    def assembly(self) -> str:
        """The machine code of every kernel, as assembly."""
        return "\n".join(assembly(text, self.target) for text in self._modules)

    # ---- running ----

    @cached_property
    def program(self) -> Program | None:
        """What a native entry runs; None if Python must act in between."""
        made = self.plan.in_place
        if len(self._parts) != (2 if made is None else 3) or any(part.callback is not None for part in self._parts):
            return None
        first, second, *_ = self._parts
        if first.allocates:
            return None
        found = (entries_at_large if self.at_large else entries)(self._routines, self._words, self.target)
        return Program(
            found.words,
            self._layout.inputs,
            tuple(self._results),
            self._temporaries(second),
            found.prologue,
            found.body,
            (self, self._routines),
            found.commit,
            0 if made is None else self._encoder.choice(made.apart),
            () if made is None else made.updates,
        )

    def entry(self, calling: Calling) -> FastEntry | None:
        """A way to call this executable without Python in between, if there is one."""
        if self.program is None:
            return None
        others = Others(lambda: self._larger.program, self._finished if self._runs_left >= 0 else None, DRAFT_CALLS)
        return native_entry(self.program, calling, others=others)

    def _finished(self) -> Program | None:
        """The program, of which nothing is a draft any more."""
        self._finish()
        return self.program

    def _finish(self) -> None:
        """Have code that is worth its time, instead of drafts."""
        self._encoder.drafts = False
        self._routines = undisturbed(lambda: assembled(self._parts, self._encoder))
        self._runs_left = -1
        self.__dict__.pop("program", None)

    def _temporaries(self, part: Part) -> tuple[Place, ...]:
        """What a part allocates that is no result."""
        results = set(self.plan.results)
        return tuple(place for key, place in part.allocates if key not in results)

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for the values of the schedule's inputs."""
        if self.at_large:
            crew.ready()
        if self._runs_left >= 0:
            self._runs_left -= 1
            if self._runs_left < 0:
                self._finish()
        frame = (ctypes.c_int64 * len(self._words))(*self._words)
        memories: dict[int, Any] = {}
        for place, value in zip(self._layout.inputs, values, strict=True):
            self._fill(frame, memories, place, value)
        for part, routine in zip(self._parts, self._routines, strict=True):
            for key, place in part.allocates:
                try:
                    self._allocate(frame, memories, place)
                except MemoryError as error:
                    raise self._out_of_memory(error, part, key, self._shape(frame, place)) from error
                except ValueError:  # a size below 0
                    self._reference.run(values)
                    raise
            status = routine.run(frame)
            if self.plan.in_place is not None:  # all results have memory of their own
                frame[self._encoder.choice(self.plan.in_place.apart)] = TAKEN
            if status == IS_LARGE:
                return self._larger.run(values)
            if status:
                step, _ = part.steps[status - 1]
                return self._instead(step, frame, values)
            if part.callback is not None and self._holds(part.callback.when, frame):
                self._call(part.callback, frame, memories)
        return tuple(self._array(frame, memories, place) for place in self._results)

    def _holds(self, when: Predicate, frame: Any) -> bool:
        """Whether one of the branches of a predicate was taken."""
        word = self._encoder.choice
        return not when or any(frame[word(choice)] == (TAKEN if taken else NOT_TAKEN) for choice, taken in when)

    def _fill(self, frame: Any, memories: dict[int, Any], place: Place, value: Any) -> None:
        """Describe an array that comes from outside in the frame."""
        if not place.ndim:
            frame[place.slot] = word_of(value)
            return
        array = np.asarray(value)
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned and array.dtype.isnative):
            array = np.array(array, array.dtype.newbyteorder("="), order="C")
        memories[place.slot] = array
        frame[place.slot] = array.__array_interface__["data"][0]
        for slot, n in zip(place.sizes, array.shape, strict=True):
            assert isinstance(slot, Slot)
            frame[slot.index] = n

    def _shape(self, frame: Any, place: Place) -> tuple[int, ...]:
        return tuple(frame[n.index] if isinstance(n, Slot) else n for n in place.sizes)

    def _allocate(self, frame: Any, memories: dict[int, Any], place: Place) -> None:
        array = np.empty(self._shape(frame, place), place.dtype)
        memories[place.slot] = array
        frame[place.slot] = array.__array_interface__["data"][0]

    @staticmethod
    def _out_of_memory(error: MemoryError, part: Part, key: Key, shape: tuple[int, ...]) -> Exception:
        """The error about a result of a node, or about what the kernel with that node works in."""
        if isinstance(key, Variable) and key.owner is not None:
            return out_of_memory(error, key.owner, repr(key), key.dtype, shape)
        nodes = [node for step, _ in part.steps if key in made_by(step) for node in nodes_of(step)]
        name = repr(key) if isinstance(key, Variable) else "working memory"
        return out_of_memory(error, nodes[-1] if nodes else None, name, key.dtype, shape)

    def _array(self, frame: Any, memories: dict[int, Any], place: Place) -> Any:
        """The array, or the number, that a place describes."""
        if not place.ndim:
            raw = int(frame[place.slot]).to_bytes(8, "little", signed=True)
            return np.frombuffer(raw, place.dtype, 1)[0]
        memory = memories.get(place.slot)
        shape = self._shape(frame, place)
        if memory is None:
            return self._part(frame[place.slot], shape, place.dtype, memories)
        return memory if memory.shape == shape else np.ndarray(shape, place.dtype, memory)

    @staticmethod
    def _part(address: int, shape: tuple[int, ...], dtype: str, memories: dict[int, Any]) -> Any:
        """An array in memory that was allocated for another: rows of that one, or what a branch left."""
        bytes_needed = math.prod(shape) * np.dtype(dtype).itemsize
        if not bytes_needed:
            return np.empty(shape, dtype)
        for memory in memories.values():
            offset = address - memory.__array_interface__["data"][0]
            if 0 <= offset <= memory.nbytes - bytes_needed:
                return np.ndarray(shape, dtype, memory, offset)
        raise AssertionError("no memory is there")

    def _call(self, call: Callback, frame: Any, memories: dict[int, Any]) -> None:
        """Compute a node in Python."""
        operands = [x.data if isinstance(x, Constant) else self._array(frame, memories, x) for x in call.operands]
        try:
            with np.errstate(all="ignore"):
                results = performer(call.node)(*operands)
        except GraphcError:
            raise
        except Exception as error:
            raise explained(error, call.node, operands) from error
        for place, result in zip(call.places, results, strict=True):
            self._fill(frame, memories, place, result)

    def _instead(self, step: Step, frame: Any, values: Sequence[Any]) -> tuple[Any, ...]:
        """What a failed check stands for: another variant, a plan without assumptions, or an error.

        The error is that of the reference.  It may see none: NumPy before 2.3 takes any index into an array without
        elements.
        """
        if isinstance(step, SizesEqual):
            left, right = (frame[self._layout.size(n)] for n in (step.left, step.right))
            raise GuardFailed(step.guard, left, right)
        results: tuple[Any, ...] = (self._general if isinstance(step, Assumed) else self._reference).run(values)
        return results

    @cached_property
    def _larger(self) -> LlvmExecutable:
        """The same schedule for large work."""
        return undisturbed(
            lambda: LlvmExecutable(self.schedule, self.plan, self.target, at_large=True, threads=self.threads)
        )

    @cached_property
    def _general(self) -> LlvmExecutable:
        """The same schedule without assumptions."""
        fits = kernel_ops(spells)
        plan = make_plan(self.schedule, fits, assumes=False, rows=True)
        return LlvmExecutable(self.schedule, plan, self.target, threads=self.threads)

    @cached_property
    def _reference(self) -> Executable:
        """The same schedule in NumPy, whose errors are right."""
        return backend("numpy").compile(self.schedule)
