"""Sums over iterations that run at the same time, taken out of a nest: what is added up is stored, and summed after.

Where threads add to the same place in whatever order they come, sums of floats differ from run to run.  A sum that is
a loop of its own is made by threads that share nothing, in an order that the sizes decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from graphc import dtypes
from graphc.kernels.gpuir import walk
from graphc.kernels.loopir import Accumulate, Array, Axis, Index, Load, Loop, Statement, Store, Value
from graphc.kernels.nests import Nest


@dataclass(frozen=True)
class Apart:
    """A nest that adds nothing to what other iterations add to, and the loops that do, over what it stores.

    made: the arrays that it stores to in between.
    """

    nest: Nest
    sums: tuple[Loop, ...]
    made: tuple[Array, ...]


def apart(nest: Nest) -> Apart:
    """Take the sums of floats out of a nest whose iterations are shared out."""
    sums: list[Loop] = []
    made: list[Array] = []
    written = {s.array for s in walk(nest.body) if isinstance(s, Store | Accumulate)}

    def take(s: Accumulate, around: tuple[Axis, ...], beside: Sequence[Statement]) -> Statement | None:
        """What stands for an addition; None if what is added is stored already."""
        for other in beside:
            if _is_there(other, s.value, written) and _is_each(other.index, around):
                sums.append(_summed(s, other.array, other.index, around))
                return None
        array = Array(s.value.dtype, tuple(axis.sizes for axis in around))
        made.append(array)
        sums.append(_summed(s, array, around, around))
        return Store(array, around, s.value)

    body = _visited(nest.body, nest.axes, set(nest.axes), take)
    return Apart(replace(nest, body=body), tuple(sums), tuple(made))


Take = Callable[[Accumulate, tuple[Axis, ...], Sequence[Statement]], Statement | None]


def _visited(
    statements: Sequence[Statement], around: tuple[Axis, ...], spread: set[Axis], take: Take
) -> tuple[Statement, ...]:
    result: list[Statement] = []
    for s in statements:
        if isinstance(s, Loop):
            s = replace(s, body=_visited(s.body, (*around, s.axis), spread, take))
        elif isinstance(s, Accumulate) and _meets(s, spread):
            taken = take(s, around, statements)
            if taken is None:
                continue
            s = taken
        result.append(s)
    return tuple(result)


def _meets(s: Accumulate, spread: set[Axis]) -> bool:
    """Whether several iterations add to the same place, and in which order they do makes a difference."""
    plain = {i for i in s.index if isinstance(i, Axis)}
    is_known = 0 < len(s.index) == len(plain)  # an index that is a value may be anything: that is a scatter
    return is_known and not spread <= plain and s.kind in ("sum", "prod") and dtypes.is_float(s.array.dtype)


def _is_there(s: Statement, value: Value, written: set[Array]) -> TypeGuard[Load | Store]:
    """Whether a statement finds a value in memory that stays what it is, or stores it."""
    if isinstance(s, Load):
        return s.out is value and s.array not in written
    return isinstance(s, Store) and s.value is value


def _is_each(index: tuple[Index, ...], axes: tuple[Axis, ...]) -> bool:
    """Whether each iteration has a place of its own, by its numbers alone."""
    return len(index) == len(axes) and set(index) == set(axes)


def _summed(s: Accumulate, array: Array, index: tuple[Index, ...], axes: tuple[Axis, ...]) -> Loop:
    """The loops that add up what has been stored."""
    value = Value(s.value.dtype)
    body: tuple[Statement, ...] = (Load(value, array, index), replace(s, value=value))
    for axis in reversed(axes):
        body = (Loop(axis, body),)
    (loop,) = body
    assert isinstance(loop, Loop)
    return loop
