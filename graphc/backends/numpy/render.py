"""A schedule as the source of a Python function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from graphc import dtypes
from graphc.backends.base import GuardFailed
from graphc.backends.numpy.spelling import Line, literal, spell
from graphc.backends.perform import performer
from graphc.graph.guards import Guard
from graphc.graph.variable import Apply, Constant
from graphc.ops.broadcasting import Alloc
from graphc.ops.declare import Elementwise, load
from graphc.ops.indexing import AdvancedSubtensor, IncSubtensor, Subtensor
from graphc.ops.ranges import ARange, Eye
from graphc.ops.reshape import Reshape
from graphc.ops.shape import ShapeOf
from graphc.schedule.schedule import Buffer, Check, Choose, Compute, Schedule, Step

# Ops whose number operands are Python ints in NumPy's own calls: sizes, bounds of slices, indices.
_TAKES_INTS = (Alloc, ARange, Eye, Reshape, Subtensor, AdvancedSubtensor, IncSubtensor)


@dataclass
class Source:
    """Generated source, with what its names mean and which line belongs to which step."""

    text: str
    names: dict[str, Any]
    lines: dict[int, Step] = field(default_factory=dict)
    called: dict[Buffer, str] = field(default_factory=dict)
    """The names of buffers that took over the memory, and the name, of another."""


def render(schedule: Schedule) -> Source:
    """The source of `schedule`."""
    return _Renderer(schedule).render()


class _Renderer:
    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.names: dict[str, Any] = {}
        buffers = [b for step in schedule.steps if isinstance(step, Compute) for b in (*step.reads, *step.writes)]
        self.taken = {schedule.name, *schedule.choices.values(), *(b.name for b in (*schedule.inputs, *buffers))}
        """What functions cannot be called in the source, because the user's variables are."""
        self.lines: list[str] = []
        self.step_of: dict[int, Step] = {}
        self.inlined: dict[Buffer, str] = {}
        self.called: dict[Buffer, str] = {}
        self.used: dict[str, str] = {}
        """The functions in use: path -> what it is called."""
        self.indent = 1

    def render(self) -> Source:
        schedule = self.schedule
        self.inlined = self._sizes_only_checked()
        self.lines.append(f"def {schedule.name}({', '.join(b.name for b in schedule.inputs)}):")
        read = {b for step in schedule.steps if isinstance(step, Compute) for b in step.reads}
        for b in schedule.inputs:
            if b in read and b.variable.ndim == 0:
                self.write(f"{b} = {b}[()]")  # a NumPy scalar: its arithmetic is ten times that of a 0-d array
        for choice, name in schedule.choices.items():
            if choice.when:
                self.write(f"{name} = None")
        position = 0
        while position < len(schedule.steps):
            position = self._block(position)
        results = [
            self._copy(b) if copy else self.operand(b)
            for b, copy in zip(schedule.results, schedule.copies, strict=True)
        ]
        self.write(f"return {', '.join(results)}{',' if len(results) == 1 else ''}" if results else "return ()")
        return Source("\n".join(self.lines) + "\n", self.names, self.step_of, self.called)

    def _copy(self, buffer: Buffer) -> str:
        """A result in memory of its own; of a scalar, ``[()]`` takes the number out of its array."""
        text = self.operand(buffer)
        return f"{text}.copy()" if buffer.variable.ndim else f"{text}[()]" if text == buffer.name else text

    def _sizes_only_checked(self) -> dict[Buffer, str]:
        """Sizes of inputs that only checks read, as they are written there: ``x.shape[0]``."""
        sizes: dict[Buffer, str] = {}
        for step in self.schedule.steps:
            if isinstance(step, Compute) and isinstance(step.node.op, ShapeOf) and step.reads[0].kind == "input":
                sizes[step.writes[0]] = f"{step.reads[0]}.shape[{step.node.op.axis}]"
        used = {b for step in self.schedule.steps if isinstance(step, Compute) for b in step.reads}
        used.update(self.schedule.results)
        used.update(step.condition for step in self.schedule.steps if isinstance(step, Choose))
        return {b: text for b, text in sizes.items() if b not in used}

    def _block(self, position: int) -> int:
        """Write the steps from `position` on that share one predicate; returns the position after them."""
        steps = self.schedule.steps
        when = steps[position].when
        if when:
            self.write(f"if {self._predicate(when)}:")
            self.indent += 1
        before = len(self.lines)
        while position < len(steps) and steps[position].when == when:
            self._step(steps[position])
            position += 1
        if when and len(self.lines) == before:
            self.lines.pop()  # every step of the block was written elsewhere
        if when:
            self.indent -= 1
        return position

    def _predicate(self, when: Any) -> str:
        # A choice that was not taken at all is None: neither branch runs.
        tests = []
        for choice, taken in when:
            name = self.schedule.choices[choice]
            no = f"{name} is False" if choice.when else f"not {name}"
            tests.append(name if taken else no)
        return " or ".join(sorted(tests))

    def write(self, text: str, step: Step | None = None) -> None:
        """One line."""
        self.lines.append("    " * self.indent + text)
        if step is not None:
            self.step_of[len(self.lines)] = step

    # ---- steps ----

    def _step(self, step: Step) -> None:
        if isinstance(step, Check):
            self._check(step)
        elif isinstance(step, Choose):
            self.write(f"{step.name} = bool({self.operand(step.condition)})", step)
        else:
            self._compute(step)

    def _check(self, step: Check) -> None:
        left, right = (n if isinstance(n, int) else self.operand(n) for n in (step.left, step.right))
        name = self.fresh("mismatch")
        self.names[name] = _failure(step.guard)
        self.write(f"if {left} != {right}: raise {name}({left}, {right})", step)

    def _compute(self, step: Compute) -> None:
        if step.writes[0] in self.inlined:
            return
        self._take_over(step)
        safe = any([b.kind == "constant" for b in step.reads]) and self._weak_is_safe(step)
        args = [self.operand(b, safe) for b in step.reads]
        names = [self.name_of(b) for b in step.writes]
        into = None if step.into is None else self.name_of(step.into)
        try:
            spelled = spell(Line(step, self.schedule, args, names[0], into, self.use))
        except LookupError:
            spelled = self._call(step)
        if isinstance(spelled, list):
            for text in spelled:
                self.write(text, step)
        else:
            self.write(f"{', '.join(names)} = {spelled}", step)

    def _call(self, step: Compute) -> str:
        """An op without a spelling: its own `perform`."""
        name = self.fresh("op")
        self.names[name] = _performer(step.node)
        return f"{name}({', '.join(self.operand(b) for b in step.reads)})"

    # ---- names ----

    def name_of(self, buffer: Buffer) -> str:
        """The name of a buffer in the source."""
        return self.called.get(buffer, buffer.name)

    def _take_over(self, step: Compute) -> None:
        """A result written into a dead array goes by that array's name, unless the user gave either a name."""
        if step.into is not None and step.into.variable.name is None and step.writes[0].variable.name is None:
            self.called[step.writes[0]] = self.name_of(step.into)

    def operand(self, buffer: Buffer, weak_is_safe: bool = False) -> str:
        """A buffer as it is written: its name, or a literal for a constant where that means the same."""
        constant = buffer.variable
        if buffer.kind != "constant" or not isinstance(constant, Constant):
            return self.inlined.get(buffer) or self.name_of(buffer)
        text = literal(constant, weak_is_safe)
        if text is not None:
            return text
        self.names[buffer.name] = constant.data[()] if constant.ndim == 0 else constant.data
        return buffer.name

    @staticmethod
    def _weak_is_safe(step: Compute) -> bool:
        """Whether a Python number may stand for a constant: another operand fixes the dtype of the computation."""
        op = step.node.op
        if isinstance(op, _TAKES_INTS):
            return True
        if not isinstance(op, Elementwise):
            return False
        loop, _ = op.signature(step.node.inputs)
        strong = [x for x in step.node.inputs if not isinstance(x, Constant) or x.ndim]
        if op.numpy == "where":
            return any(x.dtype == loop[1] for x in strong if x is not step.node.inputs[0])
        return any(x.dtype == dtype for x, dtype in zip(step.node.inputs, loop, strict=True) if x in strong) and all(
            dtypes.is_discrete(x.dtype) == dtypes.is_discrete(loop[0]) for x in step.node.inputs
        )

    def use(self, path: str) -> str:
        """Make a function available to the source; returns how it is called there."""
        found = self.used.get(path)
        if found is None:
            found = self.used[path] = self._name_for(path)
        return found

    def _name_for(self, path: str) -> str:
        module, _, name = path.rpartition(":")
        head, *attributes = name.split(".")
        known = "bool_" if head == "bool" else head
        here = f"{module or 'np'}_{known}".replace(".", "_") if known in self.taken else known
        if here not in self.names:
            self.names[here] = load(f"{module}:{known}" if module else known)
        return ".".join([here, *attributes])

    def fresh(self, prefix: str) -> str:
        """A name that is not taken."""
        number = len(self.names)
        while f"{prefix}{number}" in self.taken:
            number += 1
        return f"{prefix}{number}"


def _failure(guard: Guard) -> Callable[[int, int], GuardFailed]:
    return lambda left, right: GuardFailed(guard, left, right)


def _performer(node: Apply) -> Callable[..., Any]:
    """`perform` of a node as a function of arrays: of one result, or of a tuple of several."""
    perform = performer(node)
    return perform if len(node.outputs) > 1 else lambda *values: perform(*values)[0]
