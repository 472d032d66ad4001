"""A plan as a schedule that prints: which kernels run, what they read and write, and which memory they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from graphc.graph.predicates import Predicate
from graphc.graph.sizes import Shape, Size
from graphc.graph.variable import Apply, Constant, Variable
from graphc.kernels.groups import Decide
from graphc.kernels.launch import Launch, Memory
from graphc.kernels.loopir import short
from graphc.kernels.plan import Plan
from graphc.kernels.steps import (
    Assumed,
    Call,
    Commit,
    Key,
    NotEmpty,
    Pick,
    Product,
    SameCount,
    SizesEqual,
    Step,
    Undecide,
    Verify,
    Weigh,
    Window,
)
from graphc.ops.shape import ShapeOf
from graphc.schedule.schedule import Buffer, Check, Choose, Compute, Schedule

# More names than this of what a kernel computes are not listed.
MOST_NAMES = 12


@dataclass(frozen=True, repr=False)
class KernelSchedule(Schedule):
    """A schedule with the plan that runs it.

    plan: kernels and other steps, and their memory; why: says why a node is not in a kernel.
    """

    plan: Plan
    why: Callable[[Apply], str]

    @classmethod
    def of(cls, schedule: Schedule, plan: Plan, why: Callable[[Apply], str]) -> KernelSchedule:
        """The schedule of a plan."""
        return cls(**{f.name: getattr(schedule, f.name) for f in fields(Schedule)}, plan=plan, why=why)

    def __repr__(self) -> str:
        return "\n".join([Description(self.plan, self.why).text(), *self.transfers])


class Description:
    """Writes a plan down, with the names of the schedule's buffers."""

    def __init__(self, plan: Plan, why: Callable[[Apply], str]) -> None:
        self.plan = plan
        self.why = why
        self.names: dict[Key, str] = {}
        for buffer in self._buffers():
            owner = buffer.variable.owner
            if owner is None or not isinstance(owner.op, ShapeOf):
                self.names[buffer.variable] = buffer.name
        self.kernels = {text: i for i, text in enumerate(dict.fromkeys(kernel.text for kernel in plan.kernels))}
        """Numbers of the kernels, by their text."""

    def _buffers(self) -> list[Buffer]:
        schedule = self.plan.schedule
        found = [*schedule.inputs, *schedule.results]
        for step in schedule.steps:
            if isinstance(step, Compute):
                found += [*step.reads, *step.writes]
            elif isinstance(step, Choose):
                found.append(step.condition)
            elif isinstance(step, Check):
                found += [side for side in (step.left, step.right) if isinstance(side, Buffer)]
        return found

    def text(self) -> str:
        """All of it."""
        plan = self.plan
        lines = [f"schedule {plan.schedule.name}({', '.join(map(str, plan.schedule.inputs))})"]
        for i, (step, when) in enumerate(zip(plan.steps, plan.whens, strict=True)):
            condition = f"   if {self.condition(when)}" if when else "   in the commit" if i >= plan.commit else ""
            lines.append(f"{i:5}  {self.step(step)}{condition}")
        lines.append(f"commit  {', '.join(map(self.name, plan.results))}")
        return "\n".join([*lines, *self.memory()])

    def memory(self) -> list[str]:
        """The temporaries: their types, and who uses each of them."""
        users: dict[Key, list[str]] = {}
        for key, region in self.plan.regions.items():
            users.setdefault(region, []).append(self.name(key))
        return [
            f"memory  {short(region.dtype)}{self.shape(self.plan.shape(region))}  {', then '.join(names)}"
            for region, names in users.items()
        ]

    def condition(self, when: Predicate) -> str:
        """A predicate in words."""
        made = self.plan.in_place
        if made is not None and when == ((made.apart, True),):
            return "not in place"
        return self.plan.schedule.condition(when)

    # ---- names ----

    def name(self, key: Key) -> str:
        """A short name for a value or a memory."""
        if key not in self.names:
            if isinstance(key, Constant) and key.ndim == 0:
                self.names[key] = str(key.data)
            elif isinstance(key, Variable) and key.owner is not None and isinstance(key.owner.op, ShapeOf):
                self.names[key] = f"{self.name(key.owner.inputs[0])}.shape[{key.owner.op.axis}]"
            else:
                kind = "row" if isinstance(key, Memory) else "v"
                self.names[key] = f"{kind}{sum(n.startswith(kind) for n in self.names.values())}"
        return self.names[key]

    def size(self, n: Size) -> str:
        """A size."""
        return self.name(n) if isinstance(n, Variable) else str(n)

    def shape(self, shape: Shape) -> str:
        """Sizes in brackets."""
        return f"[{', '.join(map(self.size, shape))}]"

    # ---- steps ----

    def step(self, step: Step) -> str:
        """One step on one line."""
        if isinstance(step, Launch):
            return self._launch(step)
        if isinstance(step, Product):
            x, y = (self.name(v.base) + (".T" if v.dims == (1, 0) else "") for v in (step.x, step.y))
            return f"{self.name(step.node.outputs[0])} = product {x} @ {y}"
        if isinstance(step, Call):
            operands = ", ".join(map(self.name, step.node.inputs))
            results = ", ".join(map(self.name, step.node.outputs))
            return f"{results} = call {step.node.op}({operands})  # {self.why(step.node)}"
        if isinstance(step, SizesEqual):
            return f"check {self.size(step.left)} == {self.size(step.right)}"
        if isinstance(step, Window):
            start = "" if step.start is None else self.size(step.start)
            rows = start if step.is_row else f"{start}:"
            return f"{self.name(step.node.outputs[0])} = {self.name(step.node.inputs[0])}[{rows}]"
        if isinstance(step, Assumed):
            return f"assume {self.size(step.left)} == {self.size(step.right)}"
        if isinstance(step, SameCount):
            return f"check {self.shape(step.before)} and {self.shape(step.after)} have as many elements"
        if isinstance(step, NotEmpty):
            return f"check {self.size(step.size)} != 0"
        if isinstance(step, Decide | Undecide):
            name = self.plan.schedule.choices[step.choice]
            return (
                f"choose {name} by {self.name(step.choice.condition)}" if isinstance(step, Decide) else f"open {name}"
            )
        if isinstance(step, Weigh):
            return f"weigh {', '.join(self._kernel(launch) for launch in step.launches)}"
        if isinstance(step, Verify):
            return f"verify {self._kernel(step.of)} ({self._read(step.launch)})"
        if isinstance(step, Commit):
            return self._launch(step.launch)
        assert isinstance(step, Pick)
        taken = ", ".join(map(self.name, step.node.inputs[1:]))
        return f"{', '.join(map(self.name, step.node.outputs))} = pick by {self.name(step.node.inputs[0])} of {taken}"

    def _kernel(self, step: Launch) -> str:
        return f"kernel {self.kernels[step.kernel.text]}"

    def _read(self, step: Launch) -> str:
        """What a kernel reads."""
        arrays = zip(step.arrays, step.kernel.arrays, strict=True)
        written = [key for key, array in arrays if array in step.kernel.written]
        return ", ".join(map(self.name, dict.fromkeys(k for k in (*step.arrays, *step.scalars) if k not in written)))

    def _launch(self, step: Launch) -> str:
        written = [
            key for key, array in zip(step.arrays, step.kernel.arrays, strict=True) if array in step.kernel.written
        ]
        made = [
            key for key in (*dict.fromkeys(written), *step.outputs) if not isinstance(key, Memory) or not step.nodes
        ]
        ops = [node.op.text() if hasattr(node.op, "text") else str(node.op) for node in step.nodes] or ["copy"]
        listed = ", ".join(ops[:MOST_NAMES]) + (f" and {len(ops) - MOST_NAMES} more" if len(ops) > MOST_NAMES else "")
        return f"{', '.join(map(self.name, made))} = {self._kernel(step)} ({self._read(step)}): {listed}"
