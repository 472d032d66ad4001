"""Kernels one element at a time: parameters, addresses, statements, loops as blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from graphc.backends.llvm.accumulate import Accumulator, State, accumulator, combine, compensated
from graphc.backends.llvm.emit import ITEMSIZE, Builder, Kind, Value
from graphc.backends.llvm.spelling import spell
from graphc.backends.llvm.target import Target
from graphc.backends.llvm.work import IS_LARGE, LARGE, work
from graphc.kernels import loopir
from graphc.kernels.loopir import (
    Accumulate,
    Array,
    Axis,
    Carry,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Output,
    Shifted,
    Statement,
    Store,
)  # fmt: skip

I64 = Kind("int64")
MEMORY = {"bool": "uint8"}

Iteration: TypeAlias = Callable[[Value, Sequence[State]], Sequence[State]]
"""Writes one iteration of a loop: its number, registers before; those after."""


@dataclass(frozen=True)
class Function:
    """A function's text, the vector math it calls, and the declarations it needs."""

    text: str
    wanted: tuple[tuple[str, Kind, bool], ...]
    declarations: tuple[str, ...]


class ScalarRenderer:
    """Writes a kernel; the innermost loops are left to those who know vectors.

    most: the work that it does, None if all that there is; weighed: the kernel whose work that is, None for itself.
    """

    def __init__(
        self,
        kernel: Kernel,
        target: Target,
        slots: Sequence[int] | None = None,
        most: int | None = LARGE,
        weighed: Kernel | None = None,
    ) -> None:
        self.kernel = kernel
        self.most = most
        self.weighed = weighed or kernel
        self.slots = slots
        self.b = Builder(target)
        self.target = target
        self.values: dict[loopir.Value, Value] = {}
        self.sizes: dict[loopir.Size, Value] = {}
        self.pointers: dict[Array, str] = {}
        self.outputs: dict[loopir.Value, str] = {}
        self.axes: dict[Axis, Value] = {}
        self.numbers: dict[loopir.Value, float] = {}
        self.positions = {s.out: s.axis for s in kernel.statements() if isinstance(s, loopir.Position)}
        self.made_by: dict[loopir.Value, Let] = {s.out: s for s in kernel.statements() if isinstance(s, Let)}
        self.block = "entry"
        self._labels = 0
        self._parameters_read = 0

    def render(self, name: str) -> Function:
        """The function's text."""
        self._parameters()
        self._leave_if_large()
        self._statements(self.kernel.body)
        self.b.write("ret i32 0")
        if self.slots is None:
            head = f"define i32 @{name}(ptr %frame, ptr %slots) {{"
        else:
            head = f"define internal i32 @{name}(ptr %frame) alwaysinline {{"
        text = "\n".join([head, "entry:", *self.b.lines, "}"])
        return Function(text, tuple(self.b.wanted), tuple(self.b.declarations))

    def _leave_if_large(self) -> None:
        """Large work is done in shares."""
        if self.most is None:
            return
        units = work(self.b, self.weighed.body, self._product)
        if not units.text.startswith("%") and int(units.text) <= self.most:
            return
        large, small = self._label("large"), self._label("small")
        most = Value(str(self.most), I64)
        self.b.write(f"br {self.b.compare('ugt', units, most)}, label %{large}, label %{small}")
        self._start(large)
        self.b.write(f"ret i32 {IS_LARGE}")
        self._start(small)

    # ---- parameters ----

    def _parameters(self) -> None:
        kernel = self.kernel
        self._size_parameters(kernel.sizes)
        for scalar in kernel.scalars:
            self.values[scalar] = self._load(self._parameter(), Kind(scalar.dtype))
        for array in kernel.arrays:
            address = self._parameter()
            self.pointers[array] = self.b.fresh()
            self.b.write(f"{self.pointers[array]} = load ptr, ptr {address}")
        for output in kernel.outputs:
            self.outputs[output] = self._parameter()

    def _size_parameters(self, sizes: Sequence[loopir.Size]) -> None:
        for size in sizes:
            self.sizes[size] = self.b.let(I64, f"load i64, ptr {self._parameter()}")

    def _parameter(self) -> str:
        """The address of the word that has the next parameter."""
        position = self._parameters_read
        self._parameters_read += 1
        if self.slots is not None:
            found = self.b.fresh()
            self.b.write(f"{found} = getelementptr i64, ptr %frame, i64 {self.slots[position]}")
            return found
        entry = self.b.fresh()
        self.b.write(f"{entry} = getelementptr i32, ptr %slots, i64 {position}")
        number = self.b.let(Kind("int32"), f"load i32, ptr {entry}")
        wide = self.b.let(I64, f"sext {number} to i64")
        found = self.b.fresh()
        self.b.write(f"{found} = getelementptr i64, ptr %frame, {wide}")
        return found

    def _product(self, sizes: Sequence[int | loopir.Size]) -> Value:
        """The product of sizes."""
        known = 1
        for n in sizes:
            known *= n if isinstance(n, int) else 1
        result: Value | None = None
        for n in sizes:
            if not isinstance(n, int):
                result = self.sizes[n] if result is None else self.b.mul(result, self.sizes[n])
        if result is None:
            return Value(str(known), I64)
        return result if known == 1 else self.b.mul(result, Value(str(known), I64))

    # ---- memory ----

    def _load(self, pointer: str, kind: Kind, mask: Value | None = None) -> Value:
        """A value from memory, where a bool is a byte."""
        stored = kind.of(MEMORY.get(kind.dtype, kind.dtype))
        align = ITEMSIZE[kind.dtype]
        if mask is None:
            value = self.b.let(stored, f"load {stored}, ptr {pointer}, align {align}")
        else:
            name = f"@llvm.masked.load.{stored.suffix}.p0"
            self.b.declare(f"{stored} {name}(ptr, i32, {mask.kind}, {stored})")
            value = self.b.let(
                stored, f"call {stored} {name}(ptr {pointer}, i32 {align}, {mask}, {stored} zeroinitializer)"
            )
        return self._from_memory(value, kind)

    def _from_memory(self, value: Value, kind: Kind) -> Value:
        if kind.dtype != "bool":
            return value
        return self.b.compare("ne", value, self.b.constant(0, value.kind))

    def _store(self, pointer: str, value: Value, mask: Value | None = None) -> None:
        value = self._to_memory(value)
        align = ITEMSIZE[value.kind.dtype]
        if mask is None:
            self.b.write(f"store {value}, ptr {pointer}, align {align}")
        else:
            name = f"@llvm.masked.store.{value.kind.suffix}.p0"
            self.b.declare(f"void {name}({value.kind}, ptr, i32, {mask.kind})")
            self.b.write(f"call void {name}({value}, ptr {pointer}, i32 {align}, {mask})")

    def _to_memory(self, value: Value) -> Value:
        if value.kind.dtype != "bool":
            return value
        stored = value.kind.of("uint8")
        return self.b.let(stored, f"zext {value} to {stored}")

    def _offset(self, array: Array, index: Sequence[Index], without: Axis | None = None) -> Value | None:
        """The number of elements before an index, but for what `without` adds; None for 0."""
        total: Value | None = None
        for d, i in enumerate(index):
            if i is without or (isinstance(i, int) and i == 0):
                continue
            if isinstance(i, Shifted) and i.axis is without:
                at = self.values[i.by]
            else:
                at = self._at(i)
            stride = self._stride(array, d)
            term = at if stride is None else self.b.mul(at, stride)
            total = term if total is None else self.b.add(total, term)
        return total

    def _at(self, i: Index) -> Value:
        """The value of an index."""
        if isinstance(i, int):
            return Value(str(i), I64)
        if isinstance(i, Shifted):
            return self.b.add(self.axes[i.axis], self.values[i.by])
        return self.axes[i] if isinstance(i, Axis) else self.values[i]

    def _stride(self, array: Array, dimension: int) -> Value | None:
        """The distance between neighbours along a dimension, in elements; None for 1."""
        sizes = [n for dims in array.sizes[dimension + 1 :] for n in dims]
        return self._product(sizes) if sizes else None

    def _element(self, array: Array, offset: Value | None) -> str:
        """The address of an element."""
        pointer = self.pointers[array]
        if offset is None:
            return pointer
        name = self.b.fresh()
        element = Kind(MEMORY.get(array.dtype, array.dtype)).element
        self.b.write(f"{name} = getelementptr {element}, ptr {pointer}, {offset}")
        return name

    # ---- statements, one element at a time ----

    def _statements(self, statements: Iterable[Statement]) -> None:
        for statement in statements:
            if isinstance(statement, Loop):
                self._loop(statement)
            else:
                self._scalar(statement)

    def _scalar(self, statement: Statement) -> None:
        values = self.values
        if isinstance(statement, Let):
            values[statement.out] = self._let(statement, [values[a] for a in statement.args])
        elif isinstance(statement, loopir.Number):
            values[statement.out] = self._number(statement, 1)
        elif isinstance(statement, loopir.Position):
            values[statement.out] = self.axes[statement.axis]
        elif isinstance(statement, loopir.Extent):
            values[statement.out] = self._product((statement.size,))
        elif isinstance(statement, loopir.Require):
            self._require(values[statement.value])
        elif isinstance(statement, Load):
            pointer = self._element(statement.array, self._offset(statement.array, statement.index))
            values[statement.out] = self._load(pointer, Kind(statement.out.dtype))
        elif isinstance(statement, Store):
            pointer = self._element(statement.array, self._offset(statement.array, statement.index))
            self._store(pointer, values[statement.value])
        elif isinstance(statement, Accumulate):
            pointer = self._element(statement.array, self._offset(statement.array, statement.index))
            have = self._load(pointer, Kind(statement.array.dtype))
            self._store(pointer, combine(self.b, statement.kind, have, values[statement.value]))
        elif isinstance(statement, Output):
            self._store(self.outputs[statement.parameter], values[statement.value])

    def _require(self, condition: Value) -> None:
        """Leave the kernel unless a condition holds."""
        bad, fine = self._label("bad"), self._label("fine")
        self.b.write(f"br {condition}, label %{fine}, label %{bad}")
        self._start(bad)
        self.b.write("ret i32 1")
        self._start(fine)

    def _when(
        self, condition: Value, states: Sequence[State], body: Callable[[Sequence[State]], Sequence[State]]
    ) -> list[State]:
        """Registers that change only if a condition holds."""
        inside, done = self._label("some"), self._label("done")
        before = self.block
        self.b.write(f"br {condition}, label %{inside}, label %{done}")
        self._start(inside)
        after = body(states)
        last = self.block
        self.b.write(f"br label %{done}")
        self._start(done)
        return [
            tuple(
                self.b.let(o.kind, f"phi {o.kind} [ {o.text}, %{before} ], [ {n.text}, %{last} ]")
                for o, n in zip(old, new, strict=True)
            )
            for old, new in zip(states, after, strict=True)
        ]

    def _either(
        self, condition: Value, yes: Callable[[], Sequence[Value]], no: Callable[[], Sequence[Value]]
    ) -> list[Value]:
        """Registers that are computed in one way or in another."""
        first, second, done = self._label("yes"), self._label("no"), self._label("done")
        self.b.write(f"br {condition}, label %{first}, label %{second}")
        ways = []
        for label, way in ((first, yes), (second, no)):
            self._start(label)
            ways.append((way(), self.block))
            self.b.write(f"br label %{done}")
        self._start(done)
        (left, after_left), (right, after_right) = ways
        return [
            self.b.let(x.kind, f"phi {x.kind} [ {x.text}, %{after_left} ], [ {y.text}, %{after_right} ]")
            for x, y in zip(left, right, strict=True)
        ]

    def _let(self, statement: Let, args: Sequence[Value], outlined: bool = False) -> Value:
        exponent = self.numbers.get(statement.args[-1]) if statement.op.name == "pow" else None
        return spell(self.b, statement.op, args, statement.out.dtype, exponent, outlined)

    def _number(self, statement: loopir.Number, lanes: int) -> Value:
        self.numbers[statement.out] = statement.number
        return self.b.constant(statement.number, Kind(statement.out.dtype, lanes))

    # ---- loops ----

    def _label(self, name: str) -> str:
        self._labels += 1
        return f"{name}{self._labels}"

    def _start(self, label: str) -> None:
        self.b.label(label)
        self.block = label

    def _long(self, start: Value, limit: Value, step: int, states: Sequence[State], body: Iteration) -> list[State]:
        """`_counted`, of a loop that may be so long that it must be possible to end it."""
        return self._counted(start, limit, step, states, body)

    def _tight(self, start: Value, limit: Value, step: int, states: Sequence[State], body: Iteration) -> list[State]:
        """`_long`, of a loop of so few instructions that one more would count."""
        return self._counted(start, limit, step, states, body)

    def _counted(self, start: Value, limit: Value, step: int, states: Sequence[State], body: Iteration) -> list[State]:
        """``for i in range(start, limit, step)`` with registers that change; returns what they are after it."""
        head, inside, done = self._label("head"), self._label("loop"), self._label("done")
        before = self.block
        self.b.write(f"br label %{head}")
        self._start(head)
        counter = Value(self.b.fresh(), I64)
        place = len(self.b.lines)
        self.b.lines.append("")
        registers = [tuple(Value(self.b.fresh(), x.kind) for x in state) for state in states]
        running = self.b.compare("slt", counter, limit)
        self.b.write(f"br {running}, label %{inside}, label %{done}")
        self._start(inside)
        after = body(counter, registers)
        following = self.b.add(counter, Value(str(step), I64))
        latch = self.block
        self.b.write(f"br label %{head}")
        phis = [f"  {counter.text} = phi i64 [ {start.text}, %{before} ], [ {following.text}, %{latch} ]"]
        for old, register, new in zip(states, registers, after, strict=True):
            for o, r, n in zip(old, register, new, strict=True):
                phis.append(f"  {r.text} = phi {r.kind} [ {o.text}, %{before} ], [ {n.text}, %{latch} ]")
        self.b.lines[place] = "\n".join(phis)
        self._start(done)
        return registers

    def _loop(self, loop: Loop) -> None:
        start, limit = self._range(loop)
        results = self._vectorised(loop, start, limit)
        if results is None:
            results = self._one_by_one(loop, start, limit, None)
        for carry, result in zip(loop.carries, results, strict=True):
            self.values[carry.out] = result

    def _range(self, loop: Loop) -> tuple[Value, Value]:
        """The first iteration of a loop, and the first that is not done any more."""
        return Value("0", I64), self._product(loop.axis.sizes)

    def _one_by_one(self, loop: Loop, start: Value, limit: Value, first: Sequence[State] | None) -> list[Value]:
        """The loop on single elements, from what an earlier part of it carried."""
        ways = [_one_by_one(carry) for carry in loop.carries]
        states = [way.start(self.b, Kind(c.value.dtype)) for way, c in zip(ways, loop.carries, strict=True)]
        if first is not None:
            states = [way.step(self.b, s, *xs) for way, s, xs in zip(ways, states, first, strict=True)]

        def body(at: Value, states: Sequence[State]) -> Sequence[State]:
            self.axes[loop.axis] = at
            self._statements(loop.body)
            return [
                way.step(self.b, state, *(self.values[x] for x in carry.uses))
                for way, state, carry in zip(ways, states, loop.carries, strict=True)
            ]

        after = self._long(start, limit, 1, states, body)
        return [way.finish(self.b, state)[-1] for way, state in zip(ways, after, strict=True)]

    def _vectorised(self, loop: Loop, start: Value, limit: Value) -> list[Value] | None:
        """What an innermost loop carries, if it can run on vectors."""
        return None


def _one_by_one(carry: Carry) -> Accumulator:
    if carry.kind in ("sum", "dot") and carry.value.dtype.startswith("float"):
        return compensated()
    return accumulator(carry.kind, carry.value.dtype)
