"""Which steps may run in the commit: they write new values of shared variables to where the old ones are.

Such a step is a kernel of one nest of loops.  It reads an old value only where it writes the new one, and nobody reads
what it writes.  Of the other values that the commit replaces it reads none, so that any order within the commit is
right.  A product of matrices that is only added to an old value, times a number, becomes one with the addition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graphc.graph.variable import Constant, Variable
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import (
    Array,
    Let,
    Load,
    Number,
    Statement,
    Store,
    Value,
)  # fmt: skip
from graphc.kernels.nests import elementwise, same_place
from graphc.kernels.plan import Plan
from graphc.kernels.steps import Commit, Key, Product, read_by
from graphc.kernels.uses import Uses


@dataclass(frozen=True)
class Addition:
    """``new = old + scale * product``; product: the position of the step that multiplies."""

    product: int
    scale: float
    old: Variable


@dataclass(frozen=True)
class Update:
    """A step of the commit: the new values that it writes, by number, and what it is if it adds a product."""

    numbers: tuple[int, ...]
    addition: Addition | None


def in_commit(uses: Uses, returned: int, old: Sequence[Variable | None]) -> dict[int, Update]:
    """The steps of a plan that may run in the commit, by their position.

    returned: how many of the plan's results are not new values; old: for each new value the input that has the old
    one, if any.
    """
    return _Finder(uses, returned, old).run()


def staying(plan: Plan, returned: int, old: Sequence[Variable | None]) -> dict[Key, int]:
    """The memories that are where old values are while their elements are changed, and the numbers of those updates.

    There are none if what changes them reads an old value: the commit replaces all of them, in any order.
    """
    if plan.in_place is None:
        return {}
    updates = [(result - returned, plan.schedule.graph.inputs[input]) for result, input in plan.in_place.updates]
    read = {key for step in plan.steps if isinstance(step, Commit) for key in read_by(step)}
    if any(old[number] is not x for number, x in updates) or not read.isdisjoint(x for x in old if x is not None):
        return {}
    return {plan.results[returned + number]: number for number, _ in updates}


class _Finder:
    def __init__(self, uses: Uses, returned: int, old: Sequence[Variable | None]) -> None:
        self.plan = plan = uses.plan
        self.uses = uses
        self.home = uses.home
        results = [self.home(key) for key in plan.results]
        self.times = Counter(results)
        self.new = {key: number for number, key in enumerate(results[returned:])}
        self.old = {self.home(x): number for number, x in enumerate(old) if x is not None}

    def run(self) -> dict[int, Update]:
        """All that may."""
        found = {}
        for position, step in enumerate(self.plan.steps):
            if isinstance(step, Launch):
                numbers = self.numbers(position, step)
                if numbers:
                    found[position] = Update(numbers, self.addition(position, step))
        return found

    def numbers(self, position: int, step: Launch) -> tuple[int, ...]:
        """The new values that a step writes, if it may run in the commit."""
        stores = elementwise(step.kernel)
        numbers = list(map(self.home, (*step.scalars, *step.sizes)))
        arrays = dict(zip(step.kernel.arrays, map(self.home, step.arrays), strict=True))
        if not stores or not self.old.keys().isdisjoint(numbers) or not self.uses.stay(position, arrays.values()):
            return ()
        written: dict[int, Store] = {}
        for store in stores:
            key = arrays[store.array]
            if key not in self.new or self.times[key] > 1 or self.uses.of[key] != {position}:
                return ()
            written[self.new[key]] = store
        for load in (s for s in step.kernel.statements() if isinstance(s, Load)):
            number = self.old.get(arrays[load.array])
            if number is not None and (number not in written or not same_place(load, written[number])):
                return ()
        return tuple(written)

    def addition(self, position: int, step: Launch) -> Addition | None:
        """What is added, if that is a product that nobody else reads."""
        found = added(step)
        if found is None:
            return None
        arrays = dict(zip(step.kernel.arrays, map(self.home, step.arrays), strict=True))
        old, made = arrays[found.base], arrays[found.term]
        before = self.uses.of[made] - {position}
        if old not in self.old or made in self.times or len(before) != 1:
            return None
        (number,) = before
        product = self.plan.steps[number]
        if not isinstance(product, Product) or product.node.outputs[0] is not made:
            return None
        factors = [self.home(product.x.base), self.home(product.y.base)]
        if not self.old.keys().isdisjoint(factors) or not self.uses.stay(number, factors):
            return None
        assert isinstance(old, Variable)
        return Addition(number, found.scale, old)


class Added(NamedTuple):
    """``base + scale * term``, element by element."""

    base: Array
    term: Array
    scale: float


def added(step: Launch) -> Added | None:
    """What a kernel computes, if it is ``a + c * b`` or ``a - c * b`` with a known number."""
    stores = elementwise(step.kernel)
    if len(stores) != 1:
        return None
    (store,) = stores
    made: dict[Value, Statement] = {s.out: s for s in step.kernel.statements() if isinstance(s, Let | Load | Number)}
    pairs = zip(step.kernel.scalars, step.scalars, strict=True)
    numbers = {s: float(v.data) for s, v in pairs if isinstance(v, Constant)}
    numbers |= {x: float(s.number) for x, s in made.items() if isinstance(s, Number)}

    def element(x: Value) -> Array | None:
        s = made.get(x)
        return s.array if isinstance(s, Load) and same_place(s, store) and x.dtype == store.value.dtype else None

    def scaled(x: Value) -> tuple[Array | None, float]:
        match made.get(x):
            case Let(op=op, args=(left, right)) if op.name == "mul":
                number, value = (left, right) if left in numbers else (right, left)
                return element(value), numbers.get(number, 0.0)
        return element(x), 1.0

    match made.get(store.value):
        case Let(op=op, args=(left, right)) if op.name in ("add", "sub"):
            sign = 1.0 if op.name == "add" else -1.0
            for one, other in [(left, right), (right, left)][: 2 if op.name == "add" else 1]:
                base, (term, scale) = element(one), scaled(other)
                if base is not None and term is not None and base is not term and scale:
                    return Added(base, term, sign * scale)
    return None
