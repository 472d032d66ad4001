"""Variants: one compilation of a function for each broadcast pattern, made when a call needs it.

A variant takes some axes to be 1 and other sizes to be equal, and checks the latter by guards.  Where a guard fails
because a size is 1, the variant that takes it to be 1 is the one to run; where none is 1, the shapes are wrong.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from graphc.backends.base import GuardFailed
from graphc.compile.pipeline import Variant
from graphc.errors import ShapeError, describe, explain
from graphc.graph.guards import Axis, Guard
from graphc.graph.shared import SharedVariable
from graphc.graph.variable import operand

# How many broadcast patterns of one function are kept compiled.
KEPT_VARIANTS = 8

# The axes that are taken to have size 1.
Ones = frozenset[Axis]


class Variants:
    """The variants of a function.

    kept: those that are compiled, last used last; compile: makes one more.
    """

    def __init__(self, compile: Callable[[Ones], Variant]) -> None:
        self.kept: OrderedDict[Ones, Variant] = OrderedDict()
        self._compile = compile
        self._compiling = threading.RLock()

    def first(self, shared: Iterable[SharedVariable]) -> Variant:
        """The variant for the present values of shared variables, unless no call could succeed with these."""
        try:
            return self.variant(_present_ones(shared))
        except ShapeError:
            return self.variant(frozenset())

    def variant(self, ones: Ones) -> Variant:
        """The variant for a pattern."""
        with self._compiling:
            found = self.kept.get(ones)
            if found is None:
                found = self.kept[ones] = self._compile(ones)
                while len(self.kept) > KEPT_VARIANTS:
                    self.kept.popitem(last=False)
            self.kept.move_to_end(ones)
            return found

    def run(
        self, variant: Variant, values: Sequence[Any], failure: GuardFailed, caller: object
    ) -> tuple[Variant, tuple[Any, ...]]:
        """The variant that fits these values, and its results; ShapeError if none can.

        variant: the one to start from; failure: the guard that failed; caller: what errors name.
        """
        # Another thread may have changed to another variant since: then the failure says nothing about this one.
        stale = failure.guard not in variant.graph.guards
        for _ in range(10_000):
            if not stale:
                variant = self.variant(_adapted(variant, values, failure, caller))
            stale = False
            try:
                return variant, variant.executable.run(values)
            except GuardFailed as next_failure:
                failure = next_failure
        raise AssertionError("no variant fits")

    def forget(self) -> None:
        """Keep only the variant used last."""
        while len(self.kept) > 1:
            self.kept.popitem(last=False)


def _present_ones(shared: Iterable[SharedVariable]) -> Ones:
    """The axes of shared variables whose present size is 1."""
    return frozenset(
        (x, axis)
        for x in shared
        for axis, (size, known) in enumerate(zip(x.container.value.shape, x.type.shape, strict=True))
        if size == 1 and known is None
    )


def _adapted(variant: Variant, values: Sequence[Any], failure: GuardFailed, caller: object) -> Ones:
    """The pattern to try after a guard of a variant failed."""
    guard = failure.guard
    if guard.node is None:  # an assumed 1 is none
        (axis, _) = guard.axes
        return frozenset(one for one in variant.ones if one != axis)
    new: set[Axis] = set()
    if guard.broadcasts:
        sides = zip((failure.left, failure.right), guard.axes, strict=True)
        new = {axis for size, axis in sides if size == 1 and axis is not None}
        new |= _ones_among(variant, values, guard)
    new -= variant.ones
    if not new:
        raise ShapeError(_disagreement(variant, values, failure, caller))
    return variant.ones | new


def _ones_among(variant: Variant, values: Sequence[Any], guard: Guard) -> set[Axis]:
    """The axes of inputs that are 1 now and were assumed to be as long as the two that differ."""
    table = variant.built.table
    concerned = {table.find(guard.left), table.find(guard.right)}
    found: set[Axis] = set()
    for leaf, value in zip(variant.built.inputs, values, strict=True):
        for axis, size in enumerate(variant.built.shape(leaf)):
            if size in concerned and np.shape(value)[axis] == 1:
                user = variant.built.origin(leaf)
                found.add((user[0] if user else leaf, axis))
    return found


def _disagreement(variant: Variant, values: Sequence[Any], failure: GuardFailed, caller: object) -> str:
    """The message about two sizes that differ."""
    node = failure.guard.node
    assert node is not None
    known = {
        (variant.built.origin(leaf) or [leaf])[0]: value
        for leaf, value in zip(variant.built.inputs, values, strict=True)
    }
    rows = [operand(x) + (f", here {describe(known[x])}" if x in known else "") for x in node.inputs]
    for size, axis in zip((failure.left, failure.right), failure.guard.axes, strict=True):
        if axis is not None and axis[0] not in node.inputs:
            rows.append(f"axis {axis[1]} of {axis[0]!r} has size {size}")
    hint = "sizes must be equal" + (", or 1 to broadcast" if failure.guard.broadcasts else "")
    headline = f"{caller}: {node.op}: sizes {failure.left} and {failure.right} do not agree"
    return explain(headline, rows, node.site, hint)
