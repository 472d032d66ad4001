"""Steps as machine code finds them: each is a function of the frame, and the numbers of the words it works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.backends.llvm.codes import compiled, compiled_share
from graphc.backends.llvm.crew import crew
from graphc.backends.llvm.frame import Layout
from graphc.backends.llvm.link import Code
from graphc.backends.llvm.matmul import SCRATCH_BYTES
from graphc.backends.llvm.support import NOT_TAKEN, TAKEN, product, support
from graphc.backends.llvm.target import Target
from graphc.graph.predicates import Choice, Predicate
from graphc.graph.variable import Variable
from graphc.kernels.groups import Decide
from graphc.kernels.launch import MANNERS, InShares, Launch, Memory
from graphc.kernels.plan import Plan
from graphc.kernels.steps import (
    Assumed,
    Commit,
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
from graphc.kernels.views import View

# The memory that all products of matrices of a function work in.
SCRATCH = Memory("uint8", (SCRATCH_BYTES,))


@dataclass(frozen=True)
class Encoded:
    """A step: the name of its function there and its address, and the words it works on."""

    name: str
    address: int
    words: list[int]


class Encoder:
    """Encodes the steps of a plan, whose memories lie where `layout` says.

    threads: how many may share large work; drafts: whether drafts of code will do for now.
    kept: the machine code, which must live as long as it is used.
    """

    def __init__(self, plan: Plan, layout: Layout, target: Target, threads: int, drafts: bool) -> None:
        self.plan = plan
        self.threads = threads
        self.drafts = drafts
        self.layout = layout
        self.target = target
        self.kept: list[object] = []
        self._choices: dict[Choice, int] = {}
        if plan.in_place is not None:
            self._choices[plan.in_place.apart] = layout.fresh(TAKEN)

    def encoded(self, step: Step) -> Encoded:
        """A step with the code it runs."""
        code, name = self._code(step)
        if isinstance(step, InShares):
            kernel = self.layout.fresh(code[name])
            words = [kernel, MANNERS.index(step.shared.manner), self.threads, *_launch(self, step.launch)]
            return Encoded(name, crew.prepare(self.threads)["divide"], words)
        return Encoded(name, code[name], self.words(step))

    def _code(self, step: Step) -> tuple[Code, str]:
        """Where the function of a step is, and its name there."""
        if type(step) in _SUPPORTED:
            return support(self.target), _SUPPORTED[type(step)]
        if isinstance(step, Launch | Weigh | Verify | Commit):
            code, name = compiled(step, self.target, self.drafts), "kernel"
        elif isinstance(step, InShares):
            code, name = compiled_share(step.shared, self.target), "kernel"
        else:
            assert isinstance(step, Product)
            dtype = step.node.outputs[0].dtype
            code, name = product(dtype, self.target), f"product_{dtype}"
        self.kept.append(code)
        return code, name

    @property
    def has_drafts(self) -> bool:
        """Whether any of the code is a draft."""
        return any(isinstance(code, Code) and code.is_draft for code in self.kept)

    def words(self, step: Step) -> list[int]:
        """The words that the function of a step works on."""
        return _WORDS[type(step)](self, step)

    def condition(self, when: Predicate) -> list[int]:
        """A predicate as `support` tests it."""
        pairs = [(self.choice(choice), TAKEN if taken else NOT_TAKEN) for choice, taken in when]
        return [len(pairs), *(number for pair in sorted(pairs) for number in pair)]

    def choice(self, choice: Choice) -> int:
        """The word of a choice."""
        if choice not in self._choices:
            self._choices[choice] = self.layout.fresh()
        return self._choices[choice]

    def tested(self, condition: Variable) -> list[int]:
        """What `support` needs to test a condition."""
        dtype = np.dtype(condition.dtype)
        return [self.layout.slot(condition), dtype.itemsize, int(dtype.kind == "f")]


# ---- the words of each step ----


def _launch(to: Encoder, step: Launch) -> list[int]:
    """The words of a kernel's parameters."""
    sizes = [to.layout.size(n) for n in step.sizes]
    return sizes + [to.layout.slot(x) for x in (*step.scalars, *step.arrays, *step.outputs)]


def _weigh(to: Encoder, step: Weigh) -> list[int]:
    sizes = [to.layout.size(n) for launch in step.launches for n in launch.sizes]
    return [*sizes, to.choice(step.apart)]


def _product(to: Encoder, step: Product) -> list[int]:
    layout, shape = to.layout, to.plan.shape
    x, y = step.node.inputs
    return [
        layout.slot(step.x.base), *_strides(to, step.x),
        layout.slot(step.y.base), *_strides(to, step.y),
        layout.slot(step.node.outputs[0]),
        layout.size(shape(x)[0]), layout.size(shape(y)[1]), layout.size(shape(x)[1]),
        layout.slot(SCRATCH),
    ]  # fmt: skip


def _strides(to: Encoder, seen: View) -> list[int]:
    """The words of the strides of a matrix, in elements."""
    shape = to.plan.shape(seen.base)
    return [to.layout.size(1 if d is None or d == len(shape) - 1 else shape[d + 1]) for d in seen.dims]


def _sizes_equal(to: Encoder, step: SizesEqual | Assumed) -> list[int]:
    return [to.layout.size(step.left), to.layout.size(step.right)]


def _same_count(to: Encoder, step: SameCount) -> list[int]:
    sizes = map(to.layout.size, (*step.before, *step.after))
    return [len(step.before), len(step.after), *sizes]


def _not_empty(to: Encoder, step: NotEmpty) -> list[int]:
    return [to.layout.size(step.size)]


def _undecide(to: Encoder, step: Undecide) -> list[int]:
    return [to.choice(step.choice)]


def _decide(to: Encoder, step: Decide) -> list[int]:
    return [*to.tested(step.choice.condition), to.choice(step.choice)]


def _pick(to: Encoder, step: Pick) -> list[int]:
    """The words that are copied: addresses, or values, and sizes."""
    layout, node = to.layout, step.node
    count = len(node.outputs)
    words: list[int] = []
    for out, x, y in zip(node.outputs, node.inputs[1 : 1 + count], node.inputs[1 + count :], strict=True):
        words += [layout.slot(out), layout.slot(x), layout.slot(y)]
        for axis, (n, m) in enumerate(zip(to.plan.shape(x), to.plan.shape(y), strict=True)):
            words += [layout.dimension(out, axis), layout.size(n), layout.size(m)]
    return [*to.tested(node.inputs[0]), len(words) // 3, *words]


def _window(to: Encoder, step: Window) -> list[int]:
    layout = to.layout
    x, out = step.node.inputs[0], step.node.outputs[0]
    rows, *row = to.plan.shape(x)
    start = layout.size(0) if step.start is None else layout.slot(step.start)
    numbers = [int(step.is_row), np.dtype(x.dtype).itemsize, len(row)]
    return [layout.slot(x), layout.slot(out), layout.size(rows), start, *numbers, *map(layout.size, row)]


_WORDS: dict[type, Callable[[Encoder, Any], list[int]]] = {
    Launch: _launch,
    Product: _product,
    SizesEqual: _sizes_equal,
    Assumed: _sizes_equal,
    SameCount: _same_count,
    NotEmpty: _not_empty,
    Undecide: _undecide,
    Decide: _decide,
    Pick: _pick,
    Window: _window,
    Weigh: _weigh,
    Verify: lambda to, step: _launch(to, step.launch),
    Commit: lambda to, step: _launch(to, step.launch),
}

# The steps whose function is one of `support`.
_SUPPORTED: dict[type, str] = {
    SizesEqual: "sizes_equal",
    Assumed: "sizes_equal",
    SameCount: "same_count",
    NotEmpty: "not_empty",
    Undecide: "undecide",
    Decide: "decide",
    Pick: "pick",
    Window: "window",
}
