"""The loop IR: what a kernel does, as loops over axes with scalar statements inside.

    kernel(x0: f64[n0, n1], s0: f64) -> y0: f64[n0]
      for i0 in n0:
        for i1 in n1 with t2 = sum t1:
          t0 = x0[i0, i1]
          t1 = mul(t0, s0)
        y0[i0] = t2

Values are scalars that are computed once and never change.  Arrays are in C order; an index is an axis, 0, or a value
(gather).  A loop may *carry* reductions: the name on the left holds the result after the loop.  Iterations are
independent but for what is carried and what `Accumulate` adds to memory, so a backend may run them in any order and
several at a time.

Sizes, arrays and scalars are parameters: kernels of equal text are one kernel, compiled once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from graphc.graph.op import Op


@dataclass(frozen=True, eq=False)
class Value:
    """A scalar: a parameter, or what a statement computes."""

    dtype: str


@dataclass(frozen=True, eq=False)
class Size:
    """A size that is known at run time only: a parameter."""


@dataclass(frozen=True, eq=False)
class Axis:
    """A loop variable.  It runs from 0 to the product of `sizes`: several if loops were collapsed into one."""

    sizes: tuple[int | Size, ...]


@dataclass(frozen=True)
class Shifted:
    """An axis from another start: ``i0 + t1``."""

    axis: Axis
    by: Value


Index = Axis | Shifted | Value | int


@dataclass(frozen=True, eq=False)
class Array:
    """An array that is read or written, in C order.

    sizes: of its dimensions, one for each index of an access.  A dimension that an axis of several collapsed loops
    runs over is a product, like the axis.
    """

    dtype: str
    sizes: tuple[tuple[int | Size, ...], ...]


@dataclass(frozen=True)
class Let:
    """``out = op(args)``; the arguments have the dtypes the op computes in."""

    out: Value
    op: Op
    args: tuple[Value, ...]


@dataclass(frozen=True)
class Number:
    """``out = number``: a constant that shapes the code, such as a small integer exponent."""

    out: Value
    number: float | int | bool


@dataclass(frozen=True)
class Position:
    """``out = axis``: the number of the iteration, an int64."""

    out: Value
    axis: Axis


@dataclass(frozen=True)
class Extent:
    """``out = size``, an int64."""

    out: Value
    size: int | Size


@dataclass(frozen=True)
class Require:
    """The kernel fails unless `value` is true; nothing after it is computed then."""

    value: Value


@dataclass(frozen=True)
class Load:
    """``out = array[index]``."""

    out: Value
    array: Array
    index: tuple[Index, ...]


@dataclass(frozen=True)
class Store:
    """``array[index] = value``."""

    array: Array
    index: tuple[Index, ...]
    value: Value


@dataclass(frozen=True)
class Accumulate:
    """``array[index] = kind(array[index], value)``; kind is the name of a reduction.

    shared: whether several threads may do this to the same place at the same time.
    """

    kind: str
    array: Array
    index: tuple[Index, ...]
    value: Value
    shared: bool = False


@dataclass(frozen=True)
class Carry:
    """``out`` is the reduction of `value` over the iterations of a loop; of none, its neutral element.

    kind: "sum", "prod", "max", "min", "any", "all"; "dot" is a sum whose products may be rounded once with it;
    "argmax" and "argmin" are where the extremum is: the least `at` of those that have it; nan is the extremum where
    there is one.  Of none, and of neutral elements only, that is 0.
    """

    out: Value
    kind: str
    value: Value
    at: Value | None = None

    @property
    def uses(self) -> tuple[Value, ...]:
        """What it takes of an iteration."""
        return (self.value,) if self.at is None else (self.value, self.at)


@dataclass(frozen=True)
class Loop:
    """Statements for every value of an axis."""

    axis: Axis
    body: tuple[Statement, ...]
    carries: tuple[Carry, ...] = ()


@dataclass(frozen=True)
class Output:
    """``parameter = value``: a result of rank 0."""

    parameter: Value
    value: Value


# What is looked for where a place is carried.
EXTREMUM = {"argmax": "max", "argmin": "min"}


Statement = Let | Number | Position | Extent | Require | Load | Store | Accumulate | Loop | Output


@dataclass(frozen=True, eq=False)
class Kernel:
    """A loop nest over parameters.

    Attributes
    ----------
    sizes, scalars: what is passed by value.
    arrays: what is passed by address; `written` are those of them that are stored to.
    outputs: the scalars it computes.
    body: the statements.
    """

    sizes: tuple[Size, ...]
    scalars: tuple[Value, ...]
    arrays: tuple[Array, ...]
    outputs: tuple[Value, ...]
    body: tuple[Statement, ...]
    written: frozenset[Array] = field(default_factory=frozenset)

    @cached_property
    def text(self) -> str:
        """The kernel as text.  Kernels of equal text do the same."""
        return Printer(self).text()

    def __repr__(self) -> str:
        return self.text

    def statements(self) -> Iterator[Statement]:
        """All statements, loops before what they hold."""
        pending = list(reversed(self.body))
        while pending:
            statement = pending.pop()
            yield statement
            if isinstance(statement, Loop):
                pending.extend(reversed(statement.body))


def defines(statement: Statement) -> tuple[Value, ...]:
    """The values a statement defines for those after it."""
    if isinstance(statement, Let | Load | Number | Position | Extent):
        return (statement.out,)
    if isinstance(statement, Loop):
        return tuple(carry.out for carry in statement.carries)
    return ()


def uses(statement: Statement) -> list[Value]:
    """The values a statement uses by itself; those of a loop's body are not among them."""
    if isinstance(statement, Let):
        return list(statement.args)
    if isinstance(statement, Require | Output):
        return [statement.value]
    if not isinstance(statement, Load | Store | Accumulate):
        return []
    found = [i.by if isinstance(i, Shifted) else i for i in statement.index]
    values = [i for i in found if isinstance(i, Value)]
    return values if isinstance(statement, Load) else [*values, statement.value]


SHORT = {"float64": "f64", "float32": "f32", "bool": "bool"}


def short(dtype: str) -> str:
    """A dtype in a kernel's text: f64, i32, u8."""
    return SHORT.get(dtype) or dtype.replace("uint", "u").replace("int", "i")


class Printer:
    """Writes a kernel with names given in order of appearance."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.names: dict[object, str] = {}
        for prefix, items in (
            ("n", kernel.sizes), ("s", kernel.scalars), ("o", kernel.outputs),
            ("x", [a for a in kernel.arrays if a not in kernel.written]),
            ("y", [a for a in kernel.arrays if a in kernel.written]),
        ):  # fmt: skip
            self.names |= {item: f"{prefix}{i}" for i, item in enumerate(items)}
        self._values = 0
        self._axes = 0

    def text(self) -> str:
        """The whole kernel."""
        kernel = self.kernel
        given = [self._array(a) for a in kernel.arrays if a not in kernel.written]
        given += [f"{self.names[s]}: {short(s.dtype)}" for s in kernel.scalars]
        made = [self._array(a) for a in kernel.arrays if a in kernel.written]
        made += [f"{self.names[s]}: {short(s.dtype)}" for s in kernel.outputs]
        lines = [f"kernel({', '.join(given)}) -> {', '.join(made)}"]
        self._block(kernel.body, lines, "  ")
        return "\n".join(lines)

    def _array(self, array: Array) -> str:
        return f"{self.names[array]}: {short(array.dtype)}[{', '.join(map(self._size, array.sizes))}]"

    def _size(self, sizes: tuple[int | Size, ...]) -> str:
        return " * ".join(str(n) if isinstance(n, int) else self.names[n] for n in sizes)

    def _block(self, statements: tuple[Statement, ...], lines: list[str], indent: str) -> None:
        for statement in statements:
            if isinstance(statement, Loop):
                name = self.names[statement.axis] = f"i{self._axes}"
                self._axes += 1
                held: list[str] = []
                self._block(statement.body, held, indent + "  ")
                carried = ", ".join(map(self._carried, statement.carries))
                head = f"for {name} in {self._size(statement.axis.sizes)}"
                lines.append(f"{indent}{head}{' with ' + carried if carried else ''}:")
                lines.extend(held)
            else:
                lines.append(indent + self._line(statement))

    def _carried(self, carry: Carry) -> str:
        taken = " at ".join(self.names[x] for x in carry.uses)
        return f"{self._new(carry.out)} = {carry.kind} {taken}"

    def _new(self, value: Value) -> str:
        self.names[value] = f"t{self._values}"
        self._values += 1
        return self.names[value]

    def _line(self, statement: Statement) -> str:
        names = self.names
        if isinstance(statement, Let):
            args = ", ".join(names[a] for a in statement.args)
            made = f": {short(statement.out.dtype)}" if statement.op.name == "cast" else ""
            return f"{self._new(statement.out)}{made} = {statement.op.name}({args})"
        if isinstance(statement, Number):
            return f"{self._new(statement.out)}: {short(statement.out.dtype)} = {statement.number!r}"
        if isinstance(statement, Position):
            return f"{self._new(statement.out)} = position {names[statement.axis]}"
        if isinstance(statement, Extent):
            return f"{self._new(statement.out)} = extent {self._size((statement.size,))}"
        if isinstance(statement, Require):
            return f"require {names[statement.value]}"
        if isinstance(statement, Load):
            source = self._access(statement.array, statement.index)
            return f"{self._new(statement.out)} = {source}"
        if isinstance(statement, Store):
            return f"{self._access(statement.array, statement.index)} = {names[statement.value]}"
        if isinstance(statement, Accumulate):
            place = self._access(statement.array, statement.index)
            return f"{place} {'shared ' * statement.shared}{statement.kind}= {names[statement.value]}"
        assert isinstance(statement, Output)
        return f"{names[statement.parameter]} = {names[statement.value]}"

    def _access(self, array: Array, index: tuple[Index, ...]) -> str:
        return f"{self.names[array]}[{', '.join(map(self._at, index))}]"

    def _at(self, index: Index) -> str:
        if isinstance(index, Shifted):
            return f"{self.names[index.axis]} + {self.names[index.by]}"
        return str(index) if isinstance(index, int) else self.names[index]
