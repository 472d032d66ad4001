"""A walk through the steps of a plan, when all sizes are known: which commands they are.

Who walks says where memory is, and what becomes of a command: a static function keeps them all (instance.py), another
runs each at once (stepped.py).
"""

from __future__ import annotations

import ctypes
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from graphc.backends.base import GuardFailed
from graphc.backends.cupy.arena import aligned
from graphc.backends.cupy.commands import Address, Command, Multiply, Operand, RunKernel
from graphc.backends.cupy.launches import Prepared, Sequel, does_nothing, iterations, prepare
from graphc.backends.cupy.numbers import Numbers
from graphc.graph.predicates import Choice, Predicate
from graphc.graph.variable import Constant, Variable
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Array, Kernel, Size
from graphc.kernels.plan import Plan
from graphc.kernels.product import multiplied
from graphc.kernels.steps import (
    Assumed,
    Commit,
    Key,
    NotEmpty,
    Product,
    SameCount,
    SizesEqual,
    Step,
    Verify,
    Weigh,
    memory_of,
)
from graphc.kernels.views import View
from graphc.ops.shape import ShapeOf

# Products of no more multiplications are always kernels of our own: a library takes longer to begin.
MOST_TINY = 1 << 15

# Those of no more are, together with what reads them, if they have so few terms that one block may add up an element,
# and if they are not to be rounded.
MOST_OWN, MOST_TERMS = 1 << 26, 1024


SizeOf = Callable[[Size], int]


class Mistaken(Exception):
    """Two sizes are not equal that the plan takes to be: another plan must run."""


class Refused(Exception):
    """A check failed; the reference knows what the error is."""


class Walk(ABC):
    """One pass over the steps.

    alone: whether one block runs all kernels; beside: whether launches may run beside each other.
    """

    def __init__(
        self, plan: Plan, numbers: Numbers, processors: int, alone: bool = False, beside: bool = False
    ) -> None:
        self.plan = plan
        self.alone = alone
        self.beside = beside
        self.numbers = numbers
        self.processors = processors
        self.cells: dict[Key, Address] = {}
        self.error = Address()
        self.in_place = False
        """Whether a kernel may write to where it reads."""
        self.taken: dict[Choice, bool | None] = {}
        self._known: dict[Variable, bool] = {}

    # ---- what a walk decides ----

    @abstractmethod
    def emit(self, command: Command) -> None:
        """What becomes of a command."""

    @abstractmethod
    def emit_kernels(self, launches: list[tuple[Prepared, RunKernel]]) -> None:
        """What becomes of launches, whose kernels may have to be compiled."""

    @abstractmethod
    def memory(self, key: Key, nbytes: int) -> Address:
        """Where an array is to be, or a number that is computed on the device."""

    @abstractmethod
    def scratch(self, nbytes: int, cleared: bool = False) -> Address:
        """Memory for a launch alone; a cleared one is 0 before the first launch, and left so."""

    @abstractmethod
    def constant(self, x: Constant) -> Address:
        """Where a constant is."""

    @abstractmethod
    def known(self, x: Variable) -> Address:
        """Where a number is put that the host computed."""

    # ---- steps ----

    def run(self) -> None:
        """All steps that are to run."""
        for step, when in zip(self.plan.steps, self.plan.whens, strict=True):
            if self.holds(when):
                self.step(step)

    def holds(self, when: Predicate) -> bool:
        """Whether one of the branches of a predicate was taken."""
        return not when or any(self.taken.get(choice) is branch for choice, branch in when)

    def step(self, step: Step) -> None:
        """One step."""
        self.actions[type(step)](self, step)

    def launch(self, step: Launch) -> None:
        """A kernel, as its launches."""
        if not step.arrays and all(map(self.is_known, step.outputs)):
            return  # the host has the numbers
        size_of = dict(zip(step.kernel.sizes, map(self.numbers.size, step.sizes), strict=True)).__getitem__
        places = [self.place(key) for key in step.arrays]
        written = {p for p, a in zip(places, step.kernel.arrays, strict=True) if a in step.kernel.written}
        aliased = len(set(places)) < len(places) and bool(written)
        aliased |= self.in_place
        kernel = step.kernel
        keys: dict[object, Key] = {
            **dict(zip(kernel.arrays, step.arrays, strict=True)),
            **dict(zip(kernel.scalars, step.scalars, strict=True)),
            **dict(zip(kernel.outputs, step.outputs, strict=True)),
        }
        self.kernel(kernel, size_of, lambda x: self.address(keys[x]), aliased)

    def kernel(self, kernel: Kernel, size_of: SizeOf, where: Callable[[Any], Address], aliased: bool = False) -> None:
        """The launches of a kernel, given where its parameters are."""
        sequel: Sequel = prepare(kernel, size_of, self.processors, aliased, self.alone, self.beside)
        kept = {a: self.scratch(nbytes_of(a, size_of)) for a in sequel.kept}
        made = [
            (launch, self._run(launch, size_of, lambda x: kept[x] if x in kept else where(x)))
            for launch in sequel.launches
            if not does_nothing(launch, size_of)
        ]
        if made:
            self.emit_kernels(made)

    def _run(self, launch: Prepared, size_of: SizeOf, where: Callable[[Any], Address]) -> RunKernel:
        kernel = launch.kernel.kernel
        cells: list[Any] = [ctypes.c_longlong(size_of(n)) for n in kernel.sizes]
        cells += [where(x) for x in (*kernel.scalars, *kernel.arrays, *kernel.outputs)]
        machine: dict[str, Callable[[], Address]] = {
            "error": lambda: self.error,
            "parts": lambda: self.scratch(8 * launch.totals * launch.grid),
            "ticket": lambda: self.scratch(4, cleared=True),
            "rows": lambda: self.scratch(launch.row_bytes),
        }
        cells += [machine[name]() for name in launch.extras]
        written = tuple([where(x) for x in (*kernel.outputs, *(a for a in kernel.arrays if a in kernel.written))])
        work = iterations(launch.kernel, size_of)
        return RunKernel.of(launch.grid, launch.kernel.block, tuple(cells), work, written)

    def product(self, step: Product) -> None:
        """A product of matrices."""
        if self.is_own(step):
            self.launch(multiplied(step, self.plan.shapes))
        else:
            self.emit(self.multiply(step, self.address(step.node.outputs[0])))

    def is_own(self, step: Product) -> bool:
        """Whether a product is a kernel of our own."""
        rows, columns = self.numbers.shape(step.node.outputs[0])
        terms = self.numbers.shape(step.node.inputs[0])[1]
        is_rounded = step.node.outputs[0].dtype == "float32" and self.plan.schedule.matmul_precision == "tf32"
        count = rows * columns * terms
        return count <= MOST_TINY or (count <= MOST_OWN and terms <= MOST_TERMS and not is_rounded)

    def multiply(self, step: Product, target: Address, scale: float = 1.0, old: Address | None = None) -> Multiply:
        """The command for a product, or for ``old + scale * product``."""
        (out,) = step.node.outputs
        rows, columns = self.numbers.shape(out)
        x, y = (self._operand(seen, v) for seen, v in zip((step.x, step.y), step.node.inputs, strict=True))
        precision = self.plan.schedule.matmul_precision
        return Multiply(out.dtype, x, y, Operand(target, rows, columns, max(columns, 1)), scale, old, precision)

    def _operand(self, seen: View, x: Variable) -> Operand:
        rows, columns = self.numbers.shape(x)
        shape = self.numbers.shape(seen.base)
        strides = [math.prod(shape[d + 1 :]) for d in range(len(shape))]
        down, right = (1 if d is None else strides[d] for d in seen.dims)
        cell = self.address(seen.base)
        if columns == 1 or right == 1:
            return Operand(cell, rows, columns, max(down, columns, 1))
        return Operand(cell, rows, columns, max(right, rows, 1), transposed=True)

    def sizes_equal(self, step: SizesEqual) -> None:
        """A guard."""
        left, right = self.numbers.size(step.left), self.numbers.size(step.right)
        if left != right:
            raise GuardFailed(step.guard, left, right)

    def assumed(self, step: Assumed) -> None:
        """An assumption."""
        if self.numbers.size(step.left) != self.numbers.size(step.right):
            raise Mistaken

    def same_count(self, step: SameCount) -> None:
        """Before and after a reshape."""
        before, after = ([self.numbers.size(n) for n in sizes] for sizes in (step.before, step.after))
        if math.prod(before) != math.prod(after) or min(after, default=0) < 0:
            raise Refused

    def not_empty(self, step: NotEmpty) -> None:
        """What has a largest element."""
        if self.numbers.size(step.size) == 0:
            raise Refused

    # ---- where things are ----

    def place(self, key: Key) -> Key:
        """The memory that a variable is in, or that a memory stands for."""
        key = memory_of(key, self.plan.home)
        return self.plan.regions.get(key, key)

    def is_known(self, x: Variable) -> bool:
        """Whether a number is the same in all calls of these sizes."""
        if x not in self._known:
            launch = self.numbers.makers.get(x)
            if x.owner is not None and isinstance(x.owner.op, ShapeOf):
                known = x.owner.inputs[0] in self.numbers.shapes
            else:
                known = launch is not None and not launch.arrays and all(map(self.is_known, launch.scalars))
            self._known[x] = known or isinstance(x, Constant)
        return self._known[x]

    def address(self, key: Key) -> Address:
        """The cell of an array, or of a number."""
        place = self.place(key)
        found = self.cells.get(place)
        if found is None:
            if isinstance(place, Variable) and not place.ndim and self.is_known(place):
                found = self.known(place)
            elif isinstance(place, Constant):
                found = self.constant(place)
            else:
                found = self.memory(place, self.nbytes(key))
            self.cells[place] = found
        return found

    def nbytes(self, key: Key) -> int:
        """How much memory an array takes."""
        if not key.ndim:
            return 8
        shape = self.numbers.shape(key)
        if min(shape) < 0:
            raise Refused
        return aligned(math.prod(shape) * np.dtype(key.dtype).itemsize)

    def weigh(self, step: Weigh) -> None:
        """New values are made apart from the old ones."""
        self.taken[step.apart] = True

    def commit(self, step: Commit) -> None:
        """A kernel of the commit."""
        self.launch(step.launch)

    actions: ClassVar[Mapping[type, Callable[..., None]]] = {
        Launch: launch, Product: product, SizesEqual: sizes_equal, Assumed: assumed, SameCount: same_count,
        NotEmpty: not_empty, Weigh: weigh, Commit: commit,
        Verify: lambda self, step: None,  # a kernel that writes to a copy checks soon enough
    }  # fmt: skip
    """What each kind of step is."""


def nbytes_of(array: Array, size_of: SizeOf) -> int:
    """How much memory an array of a kernel takes."""
    count = math.prod(n if isinstance(n, int) else size_of(n) for dims in array.sizes for n in dims)
    return max(count, 1) * np.dtype(array.dtype).itemsize
