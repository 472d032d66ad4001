"""Which steps of a plan use which memory: what must be known before a step may run later than it stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from graphc.kernels.plan import Plan
from graphc.kernels.steps import Key, memory_of, read_by, written_by


class Uses:
    """Who uses what.

    of: the positions of the steps that read or write an array or a number.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.of: dict[Key, set[int]] = defaultdict(set)
        for position, step in enumerate(plan.steps):
            for key in read_by(step):
                self.of[self.home(key)].add(position)
        self._tenants: dict[Key, list[Key]] = defaultdict(list)
        """The arrays that are in a memory one after the other."""
        for key in self.of:
            self._tenants[self.place(key)].append(key)

    def home(self, key: Key) -> Key:
        """Where something is: a reshaped array is in the memory of another."""
        return memory_of(key, self.plan.home)

    def place(self, key: Key) -> Key:
        """The memory that something is in, which others may have before and after it."""
        key = self.home(key)
        return self.plan.regions.get(key, key)

    def stay(self, position: int, keys: Iterable[Key], until: int | None = None) -> bool:
        """Whether what a step reads is the same up to a later one, or to the end: nobody else gets the memory."""
        end = len(self.plan.steps) if until is None else until
        for key in keys:
            for tenant in self._tenants[self.place(key)]:
                if tenant is not key and any(position < at <= end for at in self.of[tenant]):
                    return False
        return True

    def rewritten(self, keys: Iterable[Key], first: int, last: int) -> bool:
        """Whether one of the steps from a first to a last one writes to where something is."""
        homes = set(map(self.home, keys))
        written = (key for step in self.plan.steps[first : last + 1] for key in written_by(step))
        return not homes.isdisjoint(map(self.home, written))
