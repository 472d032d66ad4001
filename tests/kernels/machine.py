"""A plan, executed step by step with the interpreter and poisoned memory: what it means, apart from any backend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.backends.base import GuardFailed
from graphc.evaluator import value_of
from graphc.graph.predicates import Choice, Predicate
from graphc.graph.variable import Constant, Variable
from graphc.kernels.groups import Decide
from graphc.kernels.interpret import interpret
from graphc.kernels.launch import Launch
from graphc.kernels.plan import Plan
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
from graphc.ops.shape import ShapeOf
from tests.schedule.interpreter import poison

Runner = Callable[..., list[Any]]


class Mistaken(Exception):
    """A plan assumes what is not so."""


class Machine:
    """Runs a plan.  Fresh memory, and memory that is used again, is full of garbage before its first step."""

    def __init__(self, plan: Plan, run: Runner = interpret) -> None:
        self.plan = plan
        self.interpret = run
        self.numbers: dict[Variable, Any] = {}
        self.memories: dict[Key, Any] = {}
        self.shapes: dict[Variable, tuple[int, ...]] = {}
        self.begun: set[Key] = set()
        self.taken: dict[Choice, bool] = {}
        self.performed: list[Step] = []

    def run(self, values: Sequence[Any]) -> list[Any]:
        """The results for the values of the schedule's inputs."""
        graph = self.plan.schedule.graph
        for x, value in zip(graph.inputs, values, strict=True):
            self.hold(x, np.array(value, x.dtype, order="C"))
        inputs = {key: memory.copy() for key, memory in self.memories.items()}
        for step, when in zip(self.plan.steps, self.plan.whens, strict=True):
            if self.runs(when):
                self.performed.append(step)
                self.step(step)
        for key, memory in inputs.items():
            np.testing.assert_array_equal(self.memories[key], memory, err_msg=f"{key} was written to")
        results = []
        for key, x in zip(self.plan.results, graph.outputs, strict=True):
            shape = tuple(self.size(n) for n in self.plan.shape(x))
            assert x.ndim == 0 or not any(self.memory(key) is self.memory(y) for y in graph.inputs if y.ndim)
            results.append(np.asarray(self.number(x)) if not x.ndim else self.memory(key).reshape(shape))
        return results

    def hold(self, x: Variable, value: Any) -> None:
        """A value that comes from outside."""
        self.shapes[x] = value.shape
        if x.ndim:
            self.memories[x] = value
        else:
            self.numbers[x] = value[()]

    def runs(self, when: Predicate) -> bool:
        return not when or any(self.taken.get(choice) is branch for choice, branch in when)

    # ---- what steps refer to ----

    def number(self, x: Variable) -> Any:
        if isinstance(x, Constant):
            return x.data[()]
        if x in self.numbers:
            return self.numbers[x]
        assert x.owner is not None, f"{x} has no value"
        assert isinstance(x.owner.op, ShapeOf), f"{x} has no value"
        return np.int64(self.shapes[x.owner.inputs[0]][x.owner.op.axis])

    def size(self, n: Any) -> int:
        return n if isinstance(n, int) else int(self.number(n))

    def place(self, key: Key) -> Key:
        """The memory that a variable is in, or that a memory stands for."""
        if isinstance(key, Variable):
            key = self.plan.home.get(key, key)
        return self.plan.regions.get(key, key)

    def memory(self, key: Key) -> Any:
        if isinstance(key, Constant):
            return np.ascontiguousarray(key.data)
        return self.memories[self.place(key)]

    def make(self, key: Key) -> Any:
        """Memory to be written."""
        key = self.plan.home.get(key, key) if isinstance(key, Variable) else key
        place = self.place(key)
        shape = tuple(self.size(n) for n in self.plan.shape(key))
        if place not in self.memories:
            self.memories[place] = np.empty(shape, key.dtype)
        memory = self.memories[place]
        assert (memory.size, memory.dtype) == (math.prod(shape), key.dtype), f"{key} does not fit into {place}"
        if key not in self.begun:
            memory[...] = poison(memory.dtype)
        self.begun.add(key)
        return memory

    # ---- steps ----

    def step(self, step: Step) -> None:
        if isinstance(step, Launch):
            self.launch(step)
        elif isinstance(step, Product):
            x, y = (self.seen(v) for v in (step.x, step.y))
            self.make(step.node.outputs[0])[...] = x @ y
        elif isinstance(step, Call):
            given = [self.operand(x) for x in step.node.inputs]
            for out, value in zip(step.node.outputs, value_of(step.node, given), strict=True):
                self.hold(out, np.array(value, out.dtype, order="C"))
        elif isinstance(step, Window):
            (view,) = value_of(step.node, [self.operand(x) for x in step.node.inputs])
            self.hold(step.node.outputs[0], view)  # no copy: memory that is used again would show
        elif isinstance(step, SizesEqual):
            left, right = self.size(step.left), self.size(step.right)
            if left != right:
                raise GuardFailed(step.guard, left, right)
        elif isinstance(step, Assumed):
            if self.size(step.left) != self.size(step.right):
                raise Mistaken
        elif isinstance(step, Decide):
            self.taken[step.choice] = bool(self.number(step.choice.condition))
        elif isinstance(step, Pick):
            condition, *values = step.node.inputs
            count = len(step.node.outputs)
            chosen = values[:count] if self.number(condition) else values[count:]
            for out, x in zip(step.node.outputs, chosen, strict=True):
                self.hold(out, self.operand(x))
        elif isinstance(step, SameCount):
            before, after = ([self.size(n) for n in shape] for shape in (step.before, step.after))
            assert math.prod(before) == math.prod(after)
        elif isinstance(step, NotEmpty):
            assert self.size(step.size) != 0
        else:
            assert isinstance(step, Undecide)

    def launch(self, step: Launch) -> None:
        kernel = step.kernel
        arrays = []
        for key, array in zip(step.arrays, kernel.arrays, strict=True):
            arrays.append(self.make(key) if array in kernel.written else self.memory(key))
        written = [a for a, array in zip(arrays, kernel.arrays, strict=True) if array in kernel.written]
        for i, array in enumerate(arrays):
            shared = [a for a in written if a is not array and np.may_share_memory(a, array)]
            assert not shared, f"parameter {i} overlaps what the kernel writes\n{kernel}"
        given = [self.size(n) for n in step.sizes], [self.number(x) for x in step.scalars], arrays
        for x, value in zip(step.outputs, self.interpret(kernel, *given), strict=True):
            self.numbers[x] = value

    def seen(self, view: Any) -> Any:
        memory = self.operand(view.base)
        added = memory[(...,) + (None,) * view.dims.count(None)]
        ones = iter(range(memory.ndim, added.ndim))
        return added.transpose([next(ones) if d is None else d for d in view.dims])

    def operand(self, x: Variable) -> Any:
        if not x.ndim:
            return np.asarray(self.number(x))
        shape = tuple(self.size(n) for n in self.plan.shape(x))
        return self.memory(x).reshape(shape)
