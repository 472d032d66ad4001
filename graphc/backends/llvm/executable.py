"""A schedule as machine code: kernels, a table of steps over a frame, and calls back into Python between them.

Steps run in *parts*.  A part ends where Python must act: to call a node's `perform`, or to allocate an array whose
size the part has computed.  Most functions have two parts: sizes, and everything else.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from graphc.backends.base import Calling, FastEntry, GuardFailed
from graphc.backends.llvm.builtin import native_entry
from graphc.backends.llvm.frame import Layout, word_of
from graphc.backends.llvm.link import Code, assembly, link
from graphc.backends.llvm.matmul import SCRATCH_BYTES
from graphc.backends.llvm.program import Place, Program, Slot
from graphc.backends.llvm.render import function, module, render
from graphc.backends.llvm.scalars import Function
from graphc.backends.llvm.spelling import spells, why_called
from graphc.backends.llvm.support import (
    BODY_COUNT,
    BODY_TABLE,
    NOT_TAKEN,
    PROLOGUE_COUNT,
    PROLOGUE_TABLE,
    TAKEN,
    Direct,
    driver,
    product,
    support,
)
from graphc.backends.llvm.target import Target, host
from graphc.backends.perform import explained, performer
from graphc.errors import GraphcError
from graphc.graph.predicates import ALWAYS, Choice, Predicate
from graphc.graph.variable import Constant, Variable
from graphc.kernels.describe import KernelSchedule
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.groups import Decide
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Kernel
from graphc.kernels.plan import Plan
from graphc.kernels.plan import plan as make_plan
from graphc.kernels.steps import (
    Assumed,
    Call,
    Key,
    NotEmpty,
    Pick,
    Product,
    SameCount,
    SizesEqual,
    Step,
    Undecide,
    Window,
)
from graphc.kernels.views import View
from graphc.ops.shape import ShapeOf
from graphc.schedule.schedule import Schedule

# A function of no more kernels and statements than these is compiled as one piece of code.
MOST_INLINED = 6
MOST_STATEMENTS = 100

_KERNELS: dict[tuple[str, Target], Code] = {}
_compiling = threading.Lock()


def compiled(kernel: Kernel, target: Target) -> Code:
    """The machine code of a kernel, from the cache of this process if there is one of the same text."""
    key = (kernel.text, target)
    with _compiling:
        found = _KERNELS.get(key)
        if found is None:
            found = _KERNELS[key] = link(render(kernel, target, "kernel"), target, ["kernel"])
        return found


def linked(text: str, target: Target, exports: tuple[str, ...], symbols: dict[str, int]) -> Code:
    """The machine code of a module, from the same cache."""
    with _compiling:
        found = _KERNELS.get((text, target))
        if found is None:
            found = _KERNELS[(text, target)] = link(text, target, exports, symbols)
        return found


@dataclass(eq=False)
class Part:
    """Steps that run without Python.

    allocates: arrays that are made before, with their place; steps: what runs, by way of a table or as one function
    of the frame; call: what Python does after.
    """

    allocates: list[tuple[Key, Place]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    whens: list[Predicate] = field(default_factory=list)
    table: Any = None
    function: int = 0
    call: Call | None = None
    call_when: Predicate = ALWAYS


class LlvmExecutable:
    """A plan as machine code."""

    def __init__(self, schedule: Schedule, plan: Plan, target: Target | None = None) -> None:
        self.schedule: Schedule = KernelSchedule.of(schedule, plan, why_called)
        self.plan = plan
        self.target = target or host()
        self._layout = Layout(plan)
        self._codes: list[object] = []
        self._places: dict[Variable, Place] = {}
        self._scratch: Place | None = None
        self._choices: dict[Choice, int] = {}
        self._parts = self._partition()
        if self._is_small():
            self._inline()
        else:
            for part in self._parts:
                part.table = self._table(part)
        self._results = [
            self._layout.place(key, plan.shape(x)) for key, x in zip(plan.results, schedule.graph.outputs, strict=True)
        ]
        self._words = tuple(self._layout.words)

    # ---- what there is to see ----

    @property
    def kernels(self) -> list[Kernel]:
        """The kernels, in the order they run."""
        return [step.kernel for step in self.plan.steps if isinstance(step, Launch)]

    @cached_property
    def source(self) -> str:
        """The loop IR of every kernel, with the number it has in the schedule."""
        texts = dict.fromkeys(kernel.text for kernel in self.kernels)
        return "\n\n".join(f"# kernel {i}\n{text}" for i, text in enumerate(texts)) + "\n"

    @cached_property
    def llvm(self) -> str:
        """LLVM's text of every kernel."""
        texts = dict.fromkeys(kernel.text for kernel in self.kernels)
        by_text = {kernel.text: kernel for kernel in self.kernels}
        return "\n".join(render(by_text[t], self.target, f"kernel{i}") for i, t in enumerate(texts))

    @cached_property
    def assembly(self) -> str:
        """The machine code of every kernel, as assembly."""
        by_text = {kernel.text: kernel for kernel in self.kernels}
        return "\n".join(
            assembly(render(kernel, self.target, f"kernel{i}"), self.target)
            for i, kernel in enumerate(by_text.values())
        )

    # ---- parts ----

    def _partition(self) -> list[Part]:
        parts = [Part()] if self.plan.early else [Part(), Part()]
        pending: set[Variable] = set()
        allocated: set[int] = set()
        for position, step in enumerate(self.plan.steps):
            makes = self._makes(step)
            if (position == self.plan.early and position) or any(
                isinstance(n, Variable) and not pending.isdisjoint((n, _sized_by(n)))
                for key in makes
                for n in self.plan.shape(key)
            ):
                parts.append(Part())
                pending = set()
            part = parts[-1]
            if isinstance(step, Call):
                for out in step.node.outputs:
                    self._places[out] = Place(out.dtype, self._layout.slot(out), self._layout.dimensions(out))
                part.call = step
                part.call_when = self.plan.whens[position]
                parts.append(Part())
                pending = set()
                continue
            for key in makes:
                slot = self._layout.slot(key)
                if slot not in allocated:
                    allocated.add(slot)
                    place = self._layout.place(key, self.plan.shape(key))
                    part.allocates.append((key, place))
            if isinstance(step, Pick):
                for out in step.node.outputs:
                    pending.add(out)
                    if out.ndim:
                        self._layout.dimensions(out)
            part.steps.append(step)
            part.whens.append(self.plan.whens[position])
            if isinstance(step, Launch):
                pending.update(step.outputs)
            if isinstance(step, Product) and self._scratch is None:
                self._scratch = Place("uint8", self._layout.fresh(), (SCRATCH_BYTES,))
        return parts if len(parts) > 1 else [*parts, Part()]

    def _makes(self, step: Step) -> list[Key]:
        """The memories a step writes."""
        if isinstance(step, Product):
            return [step.node.outputs[0]]
        if isinstance(step, Launch):
            return [
                key for key, array in zip(step.arrays, step.kernel.arrays, strict=True) if array in step.kernel.written
            ]
        return []

    def _is_small(self) -> bool:
        """Whether all steps go into one piece of code of their own, without a table."""
        launches = [step for step in self.plan.steps if isinstance(step, Launch)]
        statements = sum(1 for step in launches for _ in step.kernel.statements())
        return len(launches) <= MOST_INLINED and statements <= MOST_STATEMENTS

    def _inline(self) -> None:
        """One function of the frame for each part, its kernels inlined."""
        functions: list[Function] = []
        symbols: dict[str, int] = {}
        for number, part in enumerate(self._parts):
            lines = [f"define i32 @part{number}(ptr %frame) {{"]
            data: list[str] = []
            for i, (step, when) in enumerate(zip(part.steps, part.whens, strict=True)):
                name = f"step{number}_{i}"
                if when:
                    lines += [
                        f"  %h{i} = call i1 @holds(ptr %frame, ptr @{name}_when)",
                        f"  br i1 %h{i}, label %run{i}, label %next{i}", f"run{i}:",
                    ]  # fmt: skip
                    data.append(_words_at(f"{name}_when", self._condition(when)))
                    symbols["holds"] = support(self.target)["holds"]
                if isinstance(step, Launch):
                    functions.append(function(step.kernel, self.target, name, self._launch_slots(step)))
                    call = f"@{name}(ptr %frame)"
                else:
                    code, known, slots = self._entry(step)
                    symbol = f"graphc_{known}"
                    symbols[symbol] = code[known]
                    data.append(_words_at(name, slots))
                    call = f"@{symbol}(ptr %frame, ptr @{name})"
                lines += [
                    f"  %s{i} = call i32 {call}", f"  %f{i} = icmp ne i32 %s{i}, 0",
                    f"  br i1 %f{i}, label %failed{i}, label %next{i}",
                    f"failed{i}:", f"  ret i32 {i + 1}", f"next{i}:",
                ]  # fmt: skip
            text = "\n".join([*data, *lines, "  ret i32 0", "}"])
            functions.append(Function(text, (), ()))
        declared = tuple(f"declare {'i1' if symbol == 'holds' else 'i32'} @{symbol}(ptr, ptr)" for symbol in symbols)
        functions.append(Function("", (), declared))
        text = module(functions, self.target)
        code = linked(text, self.target, tuple(f"part{i}" for i in range(len(self._parts))), symbols)
        self._codes.append(code)
        for number, part in enumerate(self._parts):
            part.function = code[f"part{number}"]

    def _table(self, part: Part) -> Any:
        """The words of a table: for each step the addresses of its function, of its numbers, of its condition."""
        words: list[int] = []
        for step, when in zip(part.steps, part.whens, strict=True):
            code, name, slots = self._entry(step)
            words += [code[name], self._numbers(slots), self._numbers(self._condition(when)) if when else 0]
        return (ctypes.c_int64 * max(len(words), 1))(*words)

    def _numbers(self, numbers: Sequence[int]) -> int:
        """The address of some numbers in memory."""
        array = (ctypes.c_int32 * max(len(numbers), 1))(*numbers)
        self._codes.append(array)
        return ctypes.addressof(array)

    def _condition(self, when: Predicate) -> list[int]:
        """A predicate as `support` tests it."""
        pairs = [(self._choice(choice), TAKEN if taken else NOT_TAKEN) for choice, taken in when]
        return [len(pairs), *(number for pair in sorted(pairs) for number in pair)]

    def _choice(self, choice: Choice) -> int:
        """The word of a choice."""
        if choice not in self._choices:
            self._choices[choice] = self._layout.fresh()
        return self._choices[choice]

    def _entry(self, step: Step) -> tuple[Code, str, list[int]]:
        """The code of a step, the name of its function there, and the words it works on."""
        layout = self._layout
        if isinstance(step, Launch):
            code = compiled(step.kernel, self.target)
            self._codes.append(code)
            return code, "kernel", self._launch_slots(step)
        if isinstance(step, Product):
            return self._product(step)
        code = support(self.target)
        if isinstance(step, SizesEqual | Assumed):
            return code, "sizes_equal", [layout.size(step.left), layout.size(step.right)]
        if isinstance(step, Decide):
            return code, "decide", [*self._tested(step.choice.condition), self._choice(step.choice)]
        if isinstance(step, Pick):
            return code, "pick", self._picked(step)
        if isinstance(step, Window):
            return code, "window", self._window(step)
        if isinstance(step, Undecide):
            return code, "undecide", [self._choice(step.choice)]
        if isinstance(step, NotEmpty):
            return code, "not_empty", [layout.size(step.size)]
        assert isinstance(step, SameCount)
        sizes = [*map(layout.size, step.before), *map(layout.size, step.after)]
        return code, "same_count", [len(step.before), len(step.after), *sizes]

    def _launch_slots(self, step: Launch) -> list[int]:
        """The words of a kernel's parameters."""
        sizes = [self._layout.size(n) for n in step.sizes]
        return sizes + [self._layout.slot(x) for x in (*step.scalars, *step.arrays, *step.outputs)]

    def _picked(self, step: Pick) -> list[int]:
        """The words that a `pick` copies: addresses, or values, and sizes."""
        layout, node = self._layout, step.node
        count = len(node.outputs)
        words: list[int] = []
        for out, x, y in zip(node.outputs, node.inputs[1 : 1 + count], node.inputs[1 + count :], strict=True):
            words += [layout.slot(out), layout.slot(x), layout.slot(y)]
            for axis, (n, m) in enumerate(zip(self.plan.shape(x), self.plan.shape(y), strict=True)):
                words += [layout.dimension(out, axis), layout.size(n), layout.size(m)]
        return [*self._tested(node.inputs[0]), len(words) // 3, *words]

    def _window(self, step: Window) -> list[int]:
        """What `support` needs to find some rows."""
        layout = self._layout
        x, out = step.node.inputs[0], step.node.outputs[0]
        rows, *row = self.plan.shape(x)
        start = layout.size(0) if step.start is None else layout.slot(step.start)
        numbers = [int(step.is_row), np.dtype(x.dtype).itemsize, len(row)]
        return [layout.slot(x), layout.slot(out), layout.size(rows), start, *numbers, *map(layout.size, row)]

    def _tested(self, condition: Variable) -> list[int]:
        """What `support` needs to test a condition."""
        dtype = np.dtype(condition.dtype)
        return [self._layout.slot(condition), dtype.itemsize, int(dtype.kind == "f")]

    def _product(self, step: Product) -> tuple[Code, str, list[int]]:
        layout = self._layout
        (out,) = step.node.outputs
        code = product(out.dtype, self.target)
        self._codes.append(code)
        shape_of = self.plan.shape
        x, y = step.node.inputs
        assert self._scratch is not None
        return code, f"product_{out.dtype}", [
            layout.slot(step.x.base), *self._strides(step.x),
            layout.slot(step.y.base), *self._strides(step.y),
            layout.slot(out),
            layout.size(shape_of(x)[0]), layout.size(shape_of(y)[1]), layout.size(shape_of(x)[1]),
            self._scratch.slot,
        ]  # fmt: skip

    def _strides(self, seen: View) -> list[int]:
        """The words of the strides of a matrix, in elements."""
        shape = self.plan.shape(seen.base)
        return [self._layout.size(1 if d is None or d == len(shape) - 1 else shape[d + 1]) for d in seen.dims]

    # ---- running ----

    @cached_property
    def program(self) -> Program | None:
        """What a native entry runs; None if Python must act in between."""
        if len(self._parts) != 2 or any(part.call is not None for part in self._parts):
            return None
        first, second = self._parts
        if first.allocates:
            return None
        if first.function:
            return Program(
                self._words, self._layout.inputs, tuple(self._results), self._temporaries(second),
                first.function, second.function, (self,),
            )  # fmt: skip
        code = support(self.target)
        words = list(self._words)
        words[PROLOGUE_TABLE], words[PROLOGUE_COUNT] = ctypes.addressof(first.table), len(first.steps)
        words[BODY_TABLE], words[BODY_COUNT] = ctypes.addressof(second.table), len(second.steps)
        return Program(
            tuple(words), self._layout.inputs, tuple(self._results), self._temporaries(second),
            code["prologue"], code["body"], (self, first.table, second.table, code),
        )  # fmt: skip

    def entry(self, calling: Calling) -> FastEntry | None:
        """A way to call this executable without Python in between, if there is one."""
        return None if self.program is None else native_entry(self.program, calling)

    def _temporaries(self, part: Part) -> tuple[Place, ...]:
        """What a part allocates that is no result."""
        results = set(self.plan.results)
        found = [place for key, place in part.allocates if key not in results]
        return tuple(found if self._scratch is None else [*found, self._scratch])

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for the values of the schedule's inputs."""
        frame = (ctypes.c_int64 * len(self._words))(*self._words)
        memories: dict[int, Any] = {}
        for place, value in zip(self._layout.inputs, values, strict=True):
            self._fill(frame, memories, place, value)
        if self._scratch is not None:
            self._allocate(frame, memories, self._scratch)
        for part in self._parts:
            for _, place in part.allocates:
                try:
                    self._allocate(frame, memories, place)
                except ValueError:  # a size below 0
                    self._reference.run(values)
                    raise
            if part.function:
                status = Direct(part.function)(frame)
            else:
                status = driver(self.target)(frame, part.table, len(part.steps))
            if status:
                return self._instead(part.steps[status - 1], frame, values)
            if part.call is not None and self._holds(part.call_when, frame):
                self._call(part.call, frame, memories)
        return tuple(self._array(frame, memories, place) for place in self._results)

    def _holds(self, when: Predicate, frame: Any) -> bool:
        """Whether one of the branches of a predicate was taken."""
        return not when or any(frame[self._choice(choice)] == (TAKEN if taken else NOT_TAKEN) for choice, taken in when)

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

    def _call(self, call: Call, frame: Any, memories: dict[int, Any]) -> None:
        """Compute a node in Python."""
        operands = [self._operand(x, frame, memories) for x in call.node.inputs]
        try:
            with np.errstate(all="ignore"):
                results = performer(call.node)(*operands)
        except GraphcError:
            raise
        except Exception as error:
            raise explained(error, call.node, operands) from error
        for out, result in zip(call.node.outputs, results, strict=True):
            self._fill(frame, memories, self._places[out], result)

    def _operand(self, x: Variable, frame: Any, memories: dict[int, Any]) -> Any:
        if isinstance(x, Constant):
            return x.data
        shape = self.plan.shape(x)
        return np.asarray(self._array(frame, memories, self._layout.place(x, shape)))

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
    def _general(self) -> LlvmExecutable:
        """The same schedule without assumptions."""
        fits = kernel_ops(spells)
        return LlvmExecutable(self.schedule, make_plan(self.schedule, fits, assumes=False), self.target)

    @cached_property
    def _reference(self) -> Any:
        """The same schedule in NumPy, whose errors are right."""
        from graphc.backends.numpy.executable import compile

        return compile(self.schedule)


def _sized_by(size: Variable) -> Variable:
    """The array whose size this is, or the size itself."""
    return size.owner.inputs[0] if size.owner is not None and isinstance(size.owner.op, ShapeOf) else size


def _words_at(name: str, numbers: Sequence[int]) -> str:
    """Numbers as a constant of a module."""
    return f"@{name} = private constant [{len(numbers)} x i32] [{', '.join(f'i32 {n}' for n in numbers)}]"
