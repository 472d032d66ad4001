"""Text of LLVM instructions: the kinds of values in registers, and a builder that writes instructions on them.

    b = Builder(host())
    x = Value("%x", Kind("float64", 8))
    y = b.add(b.mul(x, x), b.constant(1.0, x.kind))      # two lines in b.lines

Arithmetic is IEEE's, without any fast-math flag: what the user wrote is what is computed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache, cached_property

from graphc.backends.llvm.target import Target

_ELEMENTS: dict[str, str] = {
    "bool": "i1",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "i8", "uint16": "i16", "uint32": "i32", "uint64": "i64",
    "float32": "float", "float64": "double",
}  # fmt: skip

ITEMSIZE: dict[str, int] = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2,
    "int32": 4, "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """The kind of a value: `lanes` elements of a dtype; one lane is a scalar.  A bool is one bit here."""

    dtype: str
    lanes: int = 1

    @property
    def element(self) -> str:
        """LLVM's type of one element."""
        return _ELEMENTS[self.dtype]

    @property
    def bits(self) -> int:
        """The width of one element in a register."""
        return 1 if self.dtype == "bool" else 8 * ITEMSIZE[self.dtype]

    @property
    def is_float(self) -> bool:
        """Whether elements are floating-point numbers."""
        return self.dtype.startswith("float")

    @property
    def is_signed(self) -> bool:
        """Whether elements are signed integers."""
        return self.dtype.startswith("int")

    @cached_property
    def suffix(self) -> str:
        """The ending of an intrinsic's name for this type: ``f64``, ``v8f64``, ``v4i32``."""
        scalar = f"f{self.bits}" if self.is_float else f"i{self.bits}"
        return scalar if self.lanes == 1 else f"v{self.lanes}{scalar}"

    def of(self, dtype: str) -> Kind:
        """As many elements of another dtype."""
        return _kind(dtype, self.lanes)

    @property
    def integers(self) -> Kind:
        """As many signed integers of the same width: what the bits of floats are read as."""
        return self.of(f"int{self.bits}")

    @cached_property
    def _text(self) -> str:
        return self.element if self.lanes == 1 else f"<{self.lanes} x {self.element}>"

    def __str__(self) -> str:
        return self._text


# Every instruction asks for some: those that follow from others are made once.
_kind = cache(Kind)


@dataclass(frozen=True)
class Value:
    """A value: its text (a register or a constant) and its kind."""

    text: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"


def literal(number: float | int | bool, kind: Kind) -> str:
    """A number as LLVM writes a constant of this kind."""
    if kind.is_float:
        rounded = float(number)
        if kind.dtype == "float32":
            rounded = struct.unpack("f", struct.pack("f", rounded))[0]
        text = f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"
    elif kind.dtype == "bool":
        text = "true" if number else "false"
    else:
        text = str(int(number))
    return text if kind.lanes == 1 else f"splat ({kind.element} {text})"


class Builder:
    """Writes instructions, one a line."""

    def __init__(self, target: Target, prefix: str = "v") -> None:
        self.target = target
        self.lines: list[str] = []
        self.declarations: dict[str, None] = {}
        self.wanted: dict[tuple[str, Kind, bool], None] = {}
        """Functions of vector math that are called: op, kind, and whether they are not to be inlined."""
        self.pinned: dict[Value, Value] | None = None
        """Where constants are to stay in registers, those that do (see `registers`)."""
        self._prefix = prefix
        self._count = 0

    # ---- writing ----

    def fresh(self) -> str:
        """The name of a new register."""
        self._count += 1
        return f"%{self._prefix}{self._count}"

    def let(self, kind: Kind, instruction: str) -> Value:
        """A new register that holds the result of an instruction."""
        name = self.fresh()
        self.lines.append(f"  {name} = {instruction}")
        return Value(name, kind)

    def write(self, instruction: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {instruction}")

    def label(self, name: str) -> None:
        """The start of a block."""
        self.lines.append(f"{name}:")

    def declare(self, declaration: str) -> None:
        """Note a function that must be declared in the module."""
        self.define(f"declare {declaration}")

    def define(self, line: str) -> None:
        """Note a line of the module, outside of functions."""
        self.declarations[line] = None

    def constant(self, number: float | int | bool, kind: Kind) -> Value:
        """A number in every lane."""
        value = Value(literal(number, kind), kind)
        if self.pinned is None or not (number and kind.is_float and kind.lanes > 1):
            return value
        if value not in self.pinned:
            self.pinned[value] = Value(self.fresh(), kind)
        return self.pinned[value]

    def splat(self, x: Value, lanes: int) -> Value:
        """A scalar in every lane."""
        kind = Kind(x.kind.dtype, lanes)
        if not x.text.startswith("%"):
            return Value(f"splat ({x.kind.element} {x.text})", kind)
        one = self.let(kind, f"insertelement {kind} poison, {x}, i64 0")
        return self.let(kind, f"shufflevector {one}, {kind} poison, <{lanes} x i32> zeroinitializer")

    # ---- arithmetic: floats and integers ----

    def binary(self, instruction: str, x: Value, y: Value) -> Value:
        """An instruction on two values of one kind, whose result has that kind."""
        assert x.kind == y.kind, (instruction, x, y)
        return self.let(x.kind, f"{instruction} {x}, {y.text}")

    def add(self, x: Value, y: Value) -> Value:
        """``x + y``; integers wrap around."""
        return self.binary("fadd" if x.kind.is_float else "add", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        """``x - y``; integers wrap around."""
        return self.binary("fsub" if x.kind.is_float else "sub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        """``x * y``; integers wrap around."""
        return self.binary("fmul" if x.kind.is_float else "mul", x, y)

    def div(self, x: Value, y: Value) -> Value:
        """``x / y`` of floats."""
        return self.binary("fdiv", x, y)

    def neg(self, x: Value) -> Value:
        """``-x``."""
        if x.kind.is_float:
            return self.let(x.kind, f"fneg {x}")
        return self.sub(self.constant(0, x.kind), x)

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """``x * y + z`` with one rounding where the processor can, else two.  Never for arithmetic of the user's."""
        return self.intrinsic("fma" if self.target.fma else "fmuladd", x, y, z)

    # ---- comparisons, selection, bits ----

    def compare(self, predicate: str, x: Value, y: Value) -> Value:
        """``fcmp`` or ``icmp`` by the kind of the operands, such as "olt" or "slt"."""
        assert x.kind == y.kind, (predicate, x, y)
        return self.let(x.kind.of("bool"), f"{'fcmp' if x.kind.is_float else 'icmp'} {predicate} {x}, {y.text}")

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """``x`` in the lanes where the condition holds, else ``y``."""
        assert x.kind == y.kind, (x, y)
        assert condition.kind == x.kind.of("bool"), (condition, x)
        return self.let(x.kind, f"select {condition}, {x}, {y}")

    def bits(self, x: Value) -> Value:
        """The bits of floats as integers."""
        return self.let(x.kind.integers, f"bitcast {x} to {x.kind.integers}")

    def floats(self, x: Value) -> Value:
        """Integers as the floats with these bits."""
        kind = x.kind.of(f"float{x.kind.bits}")
        return self.let(kind, f"bitcast {x} to {kind}")

    def shift(self, instruction: str, x: Value, by: int) -> Value:
        """``shl``, ``lshr`` or ``ashr`` by a constant."""
        return self.binary(instruction, x, self.constant(by, x.kind))

    def is_nan(self, x: Value) -> Value:
        """Whether floats are nan."""
        return self.compare("uno", x, x)

    # ---- calls ----

    def intrinsic(self, name: str, *args: Value) -> Value:
        """One of LLVM's functions on values of one kind: fabs, sqrt, floor, ceil, trunc, rint, copysign, ..."""
        kind = args[0].kind
        path = f"@llvm.{name}.{kind.suffix}"
        self.declare(f"{kind} {path}({', '.join(str(a.kind) for a in args)})")
        return self.let(kind, f"call {kind} {path}({', '.join(map(str, args))})")

    def call(self, name: str, result: Kind, *args: Value) -> Value:
        """A function of this module."""
        return self.let(result, f"call {result} @{name}({', '.join(map(str, args))})")
