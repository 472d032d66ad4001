"""CUDA C from the statements of the loop IR that a thread runs by itself: each is a line, a loop a few."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from graphc.backends.cupy.spelling import C_TYPE, accumulate, combine, number, spell
from graphc.graph.op import Op
from graphc.kernels.loopir import (
    Accumulate,
    Array,
    Axis,
    Carry,
    Extent,
    Index,
    Let,
    Load,
    Loop,
    Number,
    Output,
    Position,
    Require,
    Shifted,
    Size,
    Store,
    Value,
)
from graphc.kernels.neutral import neutral


class Statements:
    """The lines of statements.

    names: what things of the loop IR are called; checks: whether there is a Require, which may clear `ok`.
    """

    def __init__(self, names: Mapping[object, str], checks: bool) -> None:
        self.names = dict(names)
        self.checks = checks
        self.lines: list[str] = []
        self.depth = 1
        self.constants: dict[Value, float | int | bool] = {}
        self.flat: dict[tuple[Axis, ...], str] = {}
        """What counts the iterations over several axes at once."""
        self._values = 0
        self._axes = 0

    # ---- lines ----

    def line(self, text: str) -> None:
        """A line."""
        self.lines.append("  " * self.depth + text)

    def open(self, text: str) -> None:
        """The line that begins a block."""
        self.line(text)
        self.depth += 1

    def close(self) -> None:
        """The line that ends a block."""
        self.depth -= 1
        self.line("}")

    def block(self, statements: Sequence[object]) -> None:
        """Statements, one after the other."""
        for statement in statements:
            self.spellings[type(statement)](self, statement)

    # ---- statements ----

    def loop(self, s: Loop) -> None:
        """A loop that one thread runs."""
        self.begin(s.carries)
        name = self.axis(s.axis)
        self.open(f"for (ix {name} = 0; {name} < {self.product(s.axis.sizes)}; ++{name}) {{")
        self.block(s.body)
        self.gather(s.carries)
        self.close()
        for carry in s.carries:
            self.names[carry.out] = self.names[carry]

    def let(self, s: Let) -> None:
        """An op."""
        self.define(s.out, self._spelled(s.op, s.args, s.out.dtype))

    def _spelled(self, op: Op, args: tuple[Value, ...], dtype: str) -> str:
        known = self.constants.get(args[-1]) if len(args) == 2 else None
        exponent = None if known is None else float(known)
        return spell(op, [self.names[a] for a in args], [a.dtype for a in args], dtype, exponent)

    def number(self, s: Number) -> None:
        """A constant."""
        self.constants[s.out] = s.number
        self.define(s.out, number(s.number, s.out.dtype))

    def position(self, s: Position) -> None:
        """The number of an iteration."""
        self.define(s.out, self.names[s.axis])

    def extent(self, s: Extent) -> None:
        """A size."""
        self.define(s.out, self.size(s.size))

    def require(self, s: Require) -> None:
        """A check: who fails it goes on, but touches no memory for which it was made."""
        self.line(f"if (!{self.names[s.value]}) {{ ok = false; atomicMax(error, 1u); }}")

    def load(self, s: Load) -> None:
        """Read."""
        place = self.access(s.array, s.index)
        if self._is_checked(s.index):
            place = f"ok ? {place} : ({C_TYPE[s.array.dtype]})0"
        self.define(s.out, place)

    def store(self, s: Store) -> None:
        """Write."""
        guard = "if (ok) " if self._is_checked(s.index) else ""
        self.line(f"{guard}{self.access(s.array, s.index)} = {self.names[s.value]};")

    def accumulate(self, s: Accumulate) -> None:
        """Add, or what else reductions do, to memory."""
        place = self.access(s.array, s.index)
        guard = "if (ok) " if self._is_checked(s.index) else ""
        if s.shared:
            self.line(f"{guard}{accumulate(s.kind, f'&{place}', self.names[s.value])};")
        else:
            self.line(f"{guard}{place} = {combine(s.kind, s.array.dtype, place, self.names[s.value])};")

    def output(self, s: Output) -> None:
        """A result of rank 0."""
        self.line(f"*{self.names[s.parameter]} = {self.names[s.value]};")

    spellings: ClassVar[Mapping[type, Callable[..., None]]] = {
        Loop: loop, Let: let, Number: number, Position: position, Extent: extent, Require: require,
        Load: load, Store: store, Accumulate: accumulate, Output: output,
    }  # fmt: skip
    """How each kind of statement is written."""

    # ---- parts of statements ----

    def begin(self, carries: Sequence[Carry]) -> None:
        """Variables for what a loop gathers."""
        for carry in carries:
            name = self.value(carry, "a")
            self.line(f"{C_TYPE[carry.out.dtype]} {name} = {self.neutral(carry)};")

    def gather(self, carries: Sequence[Carry], guard: str = "") -> None:
        """What an iteration adds to them."""
        for carry in carries:
            name = self.names[carry]
            total = combine(carry.kind, carry.out.dtype, name, self.names[carry.value])
            self.line(f"{guard}{name} = {total};")

    def neutral(self, carry: Carry) -> str:
        """What a loop begins with."""
        return f"({C_TYPE[carry.out.dtype]}){number(neutral(carry.kind, carry.out.dtype), carry.out.dtype)}"

    def define(self, out: Value, text: str) -> None:
        """A value that does not change."""
        self.line(f"const {C_TYPE[out.dtype]} {self.value(out)} = {text};")

    def value(self, of: Value | Carry, letter: str = "t") -> str:
        """A new name for a value, or for what a loop gathers."""
        name = self.names[of] = f"{letter}{self._values}"
        self._values += 1
        return name

    def axis(self, axis: Axis) -> str:
        """A new name for the number of an iteration."""
        name = self.names[axis] = f"i{self._axes}"
        self._axes += 1
        return name

    def size(self, n: int | Size) -> str:
        """A size."""
        return str(n) if isinstance(n, int) else self.names[n]

    def product(self, sizes: Sequence[int | Size]) -> str:
        """The product of sizes."""
        text = " * ".join(map(self.size, sizes)) or "1"
        return f"({text})" if len(sizes) > 1 else text

    def access(self, array: Array, index: tuple[Index, ...]) -> str:
        """An element of an array."""
        offset = ""
        parts = [(self._at(i), sizes) for i, sizes in zip(index, array.sizes, strict=True)]
        for axes, counter in self.flat.items():
            rows = [axis.sizes for axis in axes[1:]]
            if index[-len(axes) :] == axes and [*array.sizes[len(index) - len(rows) :]] == rows:
                # The last indices are counted as one.
                parts[-len(axes) :] = [(counter, tuple(n for axis in axes for n in axis.sizes))]
                break
        for at, sizes in parts:
            offset = f"({offset}) * {self.product(sizes)} + {at}" if offset else at
        return f"{self.names[array]}[{offset or 0}]"

    def _at(self, index: Index) -> str:
        if isinstance(index, Shifted):
            return f"({self.names[index.axis]} + (ix){self.names[index.by]})"
        if isinstance(index, Value):
            return f"(ix){self.names[index]}"
        return str(index) if isinstance(index, int) else self.names[index]

    def _is_checked(self, index: Sequence[Index]) -> bool:
        """Whether an index may be out of bounds, unless a check has passed."""
        return self.checks and any(isinstance(i, Shifted | Value) for i in index)
