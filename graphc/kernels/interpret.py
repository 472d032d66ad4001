"""What a kernel means: one element after another, with NumPy's scalars.

Slow, obvious, and the definition of the loop IR: a backend is right if it does what this does.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from graphc.evaluator import value_of
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply
from graphc.kernels.loopir import (
    EXTREMUM,
    Accumulate,
    Array,
    Axis,
    Carry,
    Extent,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Number,
    Output,
    Position,
    Require,
    Shifted,
    Size,
    Statement,
    Store,
    Value,
)
from graphc.kernels.neutral import neutral

# A reduction of two numbers.
PAIRS: dict[str, np.ufunc] = {
    "sum": np.add, "dot": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum,
    "any": np.logical_or, "all": np.logical_and,
}  # fmt: skip


class Refused(Exception):
    """Something that the kernel requires is not true."""


def interpret(
    kernel: Kernel, sizes: Sequence[int], scalars: Sequence[Any], arrays: Sequence[Any], backwards: bool = False
) -> list[Any]:
    """Run a kernel on parameters in its own order, and return its outputs.

    Arrays must be contiguous, of the right dtype and number of elements; those the kernel writes are changed in place.
    Loops may run `backwards`: but for the rounding of sums that changes nothing.
    """
    with np.errstate(all="ignore"):
        return _Interpreter(kernel, sizes, scalars, arrays, backwards).run()


class _Interpreter:
    def __init__(
        self, kernel: Kernel, sizes: Sequence[int], scalars: Sequence[Any], arrays: Sequence[Any], backwards: bool
    ) -> None:
        self.kernel = kernel
        self.backwards = backwards
        self.sizes: dict[Size, int] = dict(zip(kernel.sizes, sizes, strict=True))
        self.values: dict[Value, Any] = {
            s: np.dtype(s.dtype).type(v) for s, v in zip(kernel.scalars, scalars, strict=True)
        }
        self.arrays: dict[Array, Any] = {a: self._seen(a, v) for a, v in zip(kernel.arrays, arrays, strict=True)}
        self.axes: dict[Axis, int] = {}
        self.outputs: dict[Value, Any] = {}
        self._nodes: dict[Let, Apply] = {}

    def run(self) -> list[Any]:
        """Execute the body."""
        self._block(self.kernel.body)
        return [self.outputs[x] for x in self.kernel.outputs]

    def _seen(self, array: Array, value: Any) -> Any:
        """The memory of an array with the dimensions the kernel gives it."""
        assert value.dtype == array.dtype, f"an array of {value.dtype} for one of {array.dtype}"
        assert value.flags.c_contiguous, "an array that is not in C order"
        return value.reshape([self._size(n) for n in array.sizes])  # a view: the array is contiguous

    def _size(self, sizes: tuple[int | Size, ...]) -> int:
        return prod(n if isinstance(n, int) else self.sizes[n] for n in sizes)

    def _at(self, array: Array, index: tuple[Index, ...]) -> tuple[int, ...]:
        place = tuple(map(self._number, index))
        for i, n in zip(place, self.arrays[array].shape, strict=True):
            assert 0 <= i < n, f"index {place} of an array of shape {self.arrays[array].shape}"
        return place

    def _number(self, index: Index) -> int:
        if isinstance(index, Shifted):
            return self.axes[index.axis] + int(self.values[index.by])
        if isinstance(index, Axis):
            return self.axes[index]
        return index if isinstance(index, int) else int(self.values[index])

    def _block(self, statements: tuple[Statement, ...]) -> None:
        for statement in statements:
            self._statement(statement)

    def _statement(self, s: Statement) -> None:
        if isinstance(s, Let):
            self._define(s.out, self._apply(s))
        elif isinstance(s, Number):
            self._define(s.out, np.dtype(s.out.dtype).type(s.number))
        elif isinstance(s, Position):
            self._define(s.out, np.int64(self.axes[s.axis]))
        elif isinstance(s, Extent):
            self._define(s.out, np.int64(self._size((s.size,))))
        elif isinstance(s, Require):
            if not self.values[s.value]:
                raise Refused
        elif isinstance(s, Load):
            self._define(s.out, self.arrays[s.array][self._at(s.array, s.index)])
        elif isinstance(s, Store):
            assert s.array in self.kernel.written
            self.arrays[s.array][self._at(s.array, s.index)] = self.values[s.value]
        elif isinstance(s, Accumulate):
            assert s.array in self.kernel.written
            memory, place = self.arrays[s.array], self._at(s.array, s.index)
            memory[place] = PAIRS[s.kind](memory[place], self.values[s.value])
        elif isinstance(s, Output):
            self.outputs[s.parameter] = self.values[s.value]
        else:
            self._loop(s)

    def _loop(self, loop: Loop) -> None:
        totals = {c: _nothing(c) for c in loop.carries}
        steps = range(self._size(loop.axis.sizes))
        for i in reversed(steps) if self.backwards else steps:
            self.axes[loop.axis] = i
            self._block(loop.body)
            totals = {c: self._carried(c, total) for c, total in totals.items()}
        for carry, total in totals.items():
            self._define(carry.out, total[-1])

    def _carried(self, carry: Carry, total: tuple[Any, ...]) -> tuple[Any, ...]:
        taken = tuple(self.values[x] for x in carry.uses)
        if carry.kind in EXTREMUM:
            return _first_extremum(PAIRS[EXTREMUM[carry.kind]], total, taken)
        return (PAIRS[carry.kind](*total, *taken),)

    def _apply(self, let: Let) -> Any:
        """One number through the op's own NumPy function, or through its body."""
        if let not in self._nodes:
            self._nodes[let] = let.op.make_node(*(TensorType(x.dtype, shape=())() for x in let.args))
        (result,) = value_of(self._nodes[let], [np.asarray(self.values[x]) for x in let.args])
        return result[()]

    def _define(self, out: Value, value: Any) -> None:
        assert value.dtype == out.dtype, f"{value.dtype} for a value of {out.dtype}"
        self.values[out] = value


def _nothing(carry: Carry) -> tuple[Any, ...]:
    """What a loop of no iterations carries; where a place is looked for, the extremum stands before it."""
    value = np.dtype(carry.value.dtype).type(neutral(carry.kind, carry.value.dtype))
    return (value,) if carry.at is None else (value, np.int64(0))


def _first_extremum(extremum: np.ufunc, one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
    """Of two elements with their places the one that is the extremum, or nan; of equal ones the first."""
    first, second = sorted((one, other), key=lambda pair: pair[-1])
    found = extremum(first[0], second[0])
    return first if np.array_equal(found, first[0], equal_nan=found.dtype.kind == "f") else second
