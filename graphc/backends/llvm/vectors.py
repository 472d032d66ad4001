"""Innermost loops on vectors: whole ones, and a last one that is masked or taken one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from graphc.backends.llvm.accumulate import Accumulator, State, accumulator, across, combine
from graphc.backends.llvm.blocks import BLOCK, Blocks, flat
from graphc.backends.llvm.emit import ITEMSIZE, Kind, Value
from graphc.backends.llvm.scalars import I64, MEMORY, Iteration, ScalarRenderer
from graphc.backends.llvm.spelling import VECTOR_MATH
from graphc.kernels import loopir
from graphc.kernels.loopir import (
    EXTREMUM,
    Accumulate,
    Array,
    Axis,
    Carry,
    Index,
    Let,
    Load,
    Loop,
    Output,
    Shifted,
    Statement,
    Store,
)  # fmt: skip
from graphc.kernels.neutral import neutral

Rows: TypeAlias = "dict[tuple[Array, tuple[Index, ...]], str]"
"""The addresses of what a loop reads and writes, at the start of its axis."""

Counted: TypeAlias = Callable[[Value, Value, int, Sequence[State], Iteration], "list[State]"]
"""Writes ``for i in range(start, limit, step)`` with registers."""

Part: TypeAlias = "Callable[[Value, Value, Sequence[State]], list[State]]"
"""Writes a loop over some iterations: from, to, registers before; those after."""

FEW = 4
"""How often a loop must take two vectors at a time for that to pay."""

TAKEN_AGAIN = ("max", "min", "any", "all", *EXTREMUM)
"""Reductions that stay what they are if a part of them is taken once more."""


@dataclass
class Vector:
    """A loop that runs on vectors: the axis, its first value, how many lanes, and which of them count.

    outlined: this is the second copy of a body, which calls vector math rather than inline it once more.
    """

    axis: Axis
    at: Value
    lanes: int
    mask: Value | None
    outlined: bool = False


@dataclass
class Body:
    """The body of a loop, with what is known before the first iteration.

    uniform: what it uses and does not compute, in every lane; rows: the addresses of what it reads and writes; ways:
    how it carries its reductions.
    """

    loop: Loop
    uniform: dict[loopir.Value, Value]
    rows: Rows
    ways: Sequence[Accumulator]


class VectorRenderer(ScalarRenderer):
    """Writes a kernel with vectors."""

    def _lanes(self, loop: Loop) -> int:
        """How many iterations are taken at a time: a vector of the largest elements in memory."""
        dtypes = {x.dtype for c in loop.carries for x in c.uses}
        computed = set()
        for statement in loop.body:
            if isinstance(statement, Loop | Output):
                return 1
            if isinstance(statement, Store | Accumulate):
                if not _walks(statement.index, loop.axis):
                    return 1
                dtypes.add(statement.array.dtype)
            elif isinstance(statement, Load):
                dtypes.add(statement.out.dtype)
            elif not isinstance(statement, loopir.Require):
                computed.add(statement.out.dtype)
        return self.target.lanes(max((ITEMSIZE[d] for d in dtypes or computed), default=8))

    def _vectorised(self, loop: Loop, start: Value, limit: Value) -> list[Value] | None:
        lanes = self._lanes(loop)
        return None if lanes == 1 else self._by_vectors(loop, start, limit, lanes)

    def _by_vectors(self, loop: Loop, start: Value, limit: Value, lanes: int) -> list[Value]:
        """Whole vectors first, then what is left: one masked vector, or single elements."""
        ways = [accumulator(c.kind, c.value.dtype) for c in loop.carries]
        blocks = Blocks.of(self.b, loop, ways, lanes)
        end = self._whole_vectors(start, limit, lanes)
        by_blocks = any(blocks.sums)
        part = self._parts(loop, limit, end, lanes, ways, self._counted if by_blocks else self._tight)
        masked = self.target.masked

        def block(at: Value, states: Sequence[State]) -> list[State]:
            stop = self.b.add(at, Value(str(BLOCK * lanes), I64))
            stop = self.b.select(self.b.compare("slt", stop, limit), stop, limit)
            sums = part(at, stop, blocks.opened(states))
            is_first = self.b.compare("eq", at, start)
            registers = iter(
                self._either(is_first, lambda: flat(blocks.first(sums)), lambda: flat(blocks.closed(states, sums)))
            )
            return [tuple(next(registers) for _ in state) for state in states]

        states = blocks.start()
        if by_blocks:
            states = self._long(start, limit if masked else end, BLOCK * lanes, states, block)
        else:
            if masked and self._is_quick(loop):
                states, start = self._by_two(loop, start, limit, 2 * lanes, ways, states)
            states = part(start, limit, states)
        results = blocks.finish(states)
        return [result[-1] for result in results] if masked else self._one_by_one(loop, end, limit, results)

    def _parts(
        self, loop: Loop, limit: Value, end: Value, lanes: int, ways: Sequence[Accumulator], counted: Counted
    ) -> Part:
        """How some of the iterations are taken: whole vectors, which end at `end`, and the rest of the last one."""
        of_loop = self._body(loop, lanes, ways)

        def body(at: Value, states: Sequence[State], mask: Value | None = None) -> list[State]:
            vector = Vector(loop.axis, at, lanes, mask, outlined=mask is not None)
            return self._vector_body(of_loop, vector, states)

        def part(start: Value, stop: Value, states: Sequence[State]) -> list[State]:
            whole = self.b.compare("slt", end, stop)
            last = self.b.select(whole, end, stop)
            states = counted(start, last, lanes, states, body)
            if not self.target.masked:
                return states
            return self._when(whole, states, lambda states: body(end, states, self._mask(end, limit, lanes)))

        if not (self.target.masked and _is_worth_sharing(of_loop)):
            return part
        mask = self._mask(end, limit, lanes)

        def shared(at: Value, states: Sequence[State]) -> list[State]:
            is_whole = self.b.compare("slt", at, end)
            return self._shared_body(of_loop, is_whole, Vector(loop.axis, at, lanes, mask), states)

        return lambda start, stop, states: counted(start, stop, lanes, states, shared)

    def _is_quick(self, loop: Loop) -> bool:
        """Whether two steps of a loop are done sooner at a time, and a result may be taken again and again."""
        if computes(loop):
            return False
        floats = any(c.kind in ("max", "min") and c.value.dtype.startswith("float") for c in loop.carries)
        places = any(c.kind in EXTREMUM for c in loop.carries)
        return (floats or places) and all(c.kind in TAKEN_AGAIN for c in loop.carries)

    def _by_two(
        self, loop: Loop, start: Value, limit: Value, lanes: int, ways: Sequence[Accumulator], states: Sequence[State]
    ) -> tuple[list[State], Value]:
        """Two vectors at a time, as one of twice the lanes; the registers after them, and where they end."""
        end = self._whole_vectors(start, limit, lanes)
        pays = self.b.compare("sge", self.b.sub(end, start), Value(str(FEW * lanes), I64))
        end = self.b.select(pays, end, start)

        def all_of_them(states: Sequence[State]) -> list[State]:
            two = self._body(loop, lanes, ways)

            def body(at: Value, states: Sequence[State]) -> list[State]:
                return self._vector_body(two, Vector(loop.axis, at, lanes, None), states)

            first = [way.start(self.b, Kind(c.value.dtype, lanes)) for way, c in zip(ways, loop.carries, strict=True)]
            found = self._tight(start, end, lanes, first, body)
            after = list(states)
            for number, (way, state) in enumerate(zip(ways, found, strict=True)):
                for taken in way.narrow(self.b, state):
                    after[number] = way.step(self.b, after[number], *taken)
            return after

        return self._when(pays, states, all_of_them), end

    def _whole_vectors(self, start: Value, limit: Value, lanes: int) -> Value:
        """Where the last whole vector ends."""
        count = limit if start.text == "0" else self.b.sub(limit, start)
        whole = self.b.binary("and", count, Value(str(-lanes), I64))
        return whole if start.text == "0" else self.b.add(start, whole)

    def _mask(self, at: Value, limit: Value, lanes: int) -> Value:
        """Which lanes are still inside; some are."""
        rest = self.b.sub(limit, at)
        kind = Kind("bool", lanes)
        if not self.target.has_avx512:
            return self.b.compare("slt", self._iota(lanes), self.b.splat(rest, lanes))
        # In 64 bits, so that those above the lanes are 0: LLVM takes them along when it stores fewer than 16 bytes.
        all_lanes = Value(str(lanes), I64)
        full = self.b.compare("sge", rest, all_lanes)
        power = self.b.binary("shl", Value("1", I64), rest)
        bits = self.b.select(
            full, Value(str((1 << lanes) - 1 if lanes < 64 else -1), I64), self.b.sub(power, Value("1", I64))
        )
        if lanes != 64:
            bits = self.b.let(Kind(f"int{lanes}"), f"trunc {bits} to i{lanes}")
        return self.b.let(kind, f"bitcast {bits} to {kind}")

    def _iota(self, lanes: int) -> Value:
        kind = Kind("int64", lanes)
        return Value(f"<{', '.join(f'i64 {i}' for i in range(lanes))}>", kind)

    def _splats(self, loop: Loop, lanes: int) -> dict[loopir.Value, Value]:
        """What the loop uses and does not compute, in every lane."""
        made = {s.out for s in loop.body if isinstance(s, _DEFINES)}
        used: dict[loopir.Value, None] = {}
        for s in loop.body:
            if isinstance(s, Let):
                used.update(dict.fromkeys(s.args))
            elif isinstance(s, Store | Accumulate | loopir.Require):
                used[s.value] = None
        used.update(dict.fromkeys(x for c in loop.carries for x in c.uses))
        return {x: self.b.splat(self.values[x], lanes) for x in used if x not in made}

    def _rows(self, loop: Loop) -> Rows:
        """The addresses of what the loop reads and writes, at the start of its axis."""
        rows = {}
        made = {s.out for s in loop.body if isinstance(s, _DEFINES)}
        for s in loop.body:
            if isinstance(s, Load | Store | Accumulate) and made.isdisjoint(s.index):
                rows[(s.array, s.index)] = self._element(s.array, self._offset(s.array, s.index, loop.axis))
        return rows

    def _body(self, loop: Loop, lanes: int, ways: Sequence[Accumulator]) -> Body:
        """The body of a loop whose iterations begin here."""
        return Body(loop, self._splats(loop, lanes), self._rows(loop), ways)

    def _vector_body(self, body: Body, vector: Vector, states: Sequence[State]) -> list[State]:
        values = dict(body.uniform)
        self._vector_statements(body.loop.body, values, body.rows, vector)
        return self._vector_steps(body, values, vector, states)

    def _shared_body(self, body: Body, is_whole: Value, last: Vector, states: Sequence[State]) -> list[State]:
        """A body for whole vectors and for the last one: only what it reads, writes and reduces is there twice."""
        values, statements = dict(body.uniform), body.loop.body
        loads = [s for s in statements if isinstance(s, Load)]
        stores = [s for s in statements if isinstance(s, Store | Accumulate)]
        others = [s for s in statements if not isinstance(s, Load | Store | Accumulate)]

        def read(vector: Vector) -> list[Value]:
            self._vector_statements(loads, values, body.rows, vector)
            return [values[s.out] for s in loads]

        def written(vector: Vector) -> list[Value]:
            self._vector_statements(stores, values, body.rows, vector)
            return [x for state in self._vector_steps(body, values, vector, states) for x in state]

        whole = replace(last, mask=None)
        found = self._either(is_whole, lambda: read(whole), lambda: read(last))
        values |= {s.out: x for s, x in zip(loads, found, strict=True)}
        self._vector_statements(others, values, body.rows, whole)
        registers = iter(self._either(is_whole, lambda: written(whole), lambda: written(last)))
        return [tuple(next(registers) for _ in state) for state in states]

    def _vector_statements(
        self, statements: Iterable[Statement], values: dict[loopir.Value, Value], rows: Rows, vector: Vector
    ) -> None:
        for s in statements:
            if isinstance(s, Let):
                values[s.out] = self._vector_let(s, values, vector)
            elif isinstance(s, loopir.Number):
                values[s.out] = self._number(s, vector.lanes)
            elif isinstance(s, loopir.Position):
                values[s.out] = self._counting(s.axis, vector)
            elif isinstance(s, loopir.Extent):
                values[s.out] = self.b.splat(self._product((s.size,)), vector.lanes)
            elif isinstance(s, loopir.Require):
                self._require_lanes(values[s.value], vector)
            elif isinstance(s, Load) and (s.array, s.index) not in rows:
                values[s.out] = self._gathered(s, values, vector)
            elif isinstance(s, Load):
                values[s.out] = self._vector_load(s.array, s.index, rows[(s.array, s.index)], vector)
            elif isinstance(s, Store):
                self._vector_store(s.array, s.index, rows[(s.array, s.index)], values[s.value], vector)
            elif isinstance(s, Accumulate):
                self._add(s, rows[(s.array, s.index)], values[s.value], vector)

    def _vector_steps(
        self, body: Body, values: dict[loopir.Value, Value], vector: Vector, states: Sequence[State]
    ) -> list[State]:
        """One more vector into every reduction."""
        return [
            self._vector_step(carry, way, state, values, vector)
            for carry, way, state in zip(body.loop.carries, body.ways, states, strict=True)
        ]

    def _add(self, s: Accumulate, row: str, x: Value, vector: Vector) -> None:
        """Reduce a vector into elements of memory."""
        have = self._vector_load(s.array, s.index, row, vector)
        self._vector_store(s.array, s.index, row, combine(self.b, s.kind, have, x), vector)

    def _vector_step(
        self, carry: Carry, way: Accumulator, state: State, values: dict[loopir.Value, Value], vector: Vector
    ) -> State:
        """One more vector into a reduction; lanes that do not count must not poison it."""
        product = self.made_by.get(carry.value)
        fuses = product is not None and all(a in values for a in product.args)  # not one made before the loop
        if carry.kind == "dot" and product is not None and fuses and values[carry.value].kind.is_float:
            x, y = (values[a] for a in product.args)
            if vector.mask is not None:
                x = self.b.select(vector.mask, x, self.b.constant(0.0, x.kind))
                y = self.b.select(vector.mask, y, self.b.constant(0.0, y.kind))
            return (self.b.fma(x, y, state[0]),)
        x = values[carry.value]
        if vector.mask is not None:
            x = self.b.select(vector.mask, x, self.b.constant(neutral(carry.kind, carry.value.dtype), x.kind))
        return way.step(self.b, state, x, *(values[at] for at in carry.uses[1:]))

    def _vector_let(self, s: Let, values: dict[loopir.Value, Value], vector: Vector) -> Value:
        """An op on vectors."""
        if s.op.name == "eq":  # of the number of the iteration and one index: which lane, if any
            for counter, index in (s.args, s.args[::-1]):
                position = self.positions.get(counter)
                if position is vector.axis and index in self.values:
                    return self._lane(self.values[index], vector)
        return self._let(s, [values[a] for a in s.args], outlined=vector.outlined)

    def _lane(self, index: Value, vector: Vector) -> Value:
        """The lane that stands for an index."""
        small = Kind("int8", vector.lanes)
        offset = self.b.sub(index, vector.at)
        inside = self.b.compare("ult", offset, Value(str(vector.lanes), I64))
        lane = self.b.select(inside, offset, Value("-1", I64))
        byte = self.b.let(Kind("int8"), f"trunc {lane} to i8")
        numbers = Value(f"<{', '.join(f'i8 {i}' for i in range(vector.lanes))}>", small)
        return self.b.compare("eq", numbers, self.b.splat(byte, vector.lanes))

    def _counting(self, axis: Axis, vector: Vector) -> Value:
        """The numbers of the iterations."""
        if axis is not vector.axis:
            return self.b.splat(self.axes[axis], vector.lanes)
        return self.b.add(self._iota(vector.lanes), self.b.splat(vector.at, vector.lanes))

    def _require_lanes(self, condition: Value, vector: Vector) -> None:
        """Leave the kernel unless a condition holds in every lane that counts."""
        if vector.mask is not None:
            condition = self.b.select(vector.mask, condition, self.b.constant(True, condition.kind))
        self._require(across(self.b, "all", condition))

    def _gathered(self, load: Load, values: dict[loopir.Value, Value], vector: Vector) -> Value:
        """Elements at places that are computed in the loop."""
        total: Value | None = None
        for d, i in enumerate(load.index):
            if isinstance(i, Shifted):
                at = self.b.add(self._counting(i.axis, vector), self.b.splat(self.values[i.by], vector.lanes))
            elif isinstance(i, Axis):
                at = self._counting(i, vector)
            elif isinstance(i, int):
                at = self.b.constant(i, Kind("int64", vector.lanes))
            else:
                at = values[i] if i in values else self.b.splat(self.values[i], vector.lanes)
            stride = self._stride(load.array, d)
            term = at if stride is None else self.b.mul(at, self.b.splat(stride, vector.lanes))
            total = term if total is None else self.b.add(total, term)
        assert total is not None
        kind = Kind(load.array.dtype, vector.lanes)
        return self._gather(self._element(load.array, total), kind, vector)

    def _gather(self, addresses: str, kind: Kind, vector: Vector) -> Value:
        """The elements at some addresses."""
        stored = kind.of(MEMORY.get(kind.dtype, kind.dtype))
        mask = vector.mask or self.b.constant(True, Kind("bool", vector.lanes))
        pointers = f"<{vector.lanes} x ptr>"
        name = f"@llvm.masked.gather.{stored.suffix}.v{vector.lanes}p0"
        self.b.declare(f"{stored} {name}({pointers}, i32, {mask.kind}, {stored})")
        value = self.b.let(
            stored,
            f"call {stored} {name}({pointers} {addresses}, i32 {ITEMSIZE[kind.dtype]}, {mask}, "
            f"{stored} zeroinitializer)",
        )
        return self._from_memory(value, kind)

    def _vector_load(self, array: Array, index: tuple[Index, ...], row: str, vector: Vector) -> Value:
        kind = Kind(array.dtype, vector.lanes)
        if not any(_axis(i) is vector.axis for i in index):
            return self.b.splat(self._load(row, Kind(array.dtype)), vector.lanes)
        if is_row(index, vector.axis):
            return self._load(self._along(row, vector.at, array), kind, vector.mask)
        if vector.mask is None:
            return self._picked(array, index, row, vector)
        return self._gather(self._scattered(array, index, row, vector), kind, vector)

    def _picked(self, array: Array, index: tuple[Index, ...], row: str, vector: Vector) -> Value:
        """Elements at equal distances, each by a load of its own: half the time of one instruction for all of them."""
        stored = Kind(MEMORY.get(array.dtype, array.dtype), vector.lanes)
        distance = self._distance(array, index, vector.axis)
        at, value = self.b.mul(vector.at, distance), Value("undef", stored)
        for lane in range(vector.lanes):
            element = self._load(self._along(row, at, array), Kind(stored.dtype))
            value = self.b.let(stored, f"insertelement {value}, {element}, i64 {lane}")
            at = self.b.add(at, distance)
        return self._from_memory(value, Kind(array.dtype, vector.lanes))

    def _vector_store(self, array: Array, index: tuple[Index, ...], row: str, value: Value, vector: Vector) -> None:
        if is_row(index, vector.axis):
            self._store(self._along(row, vector.at, array), value, vector.mask)
            return
        value = self._to_memory(value)
        addresses = self._scattered(array, index, row, vector)
        mask = vector.mask or self.b.constant(True, Kind("bool", vector.lanes))
        pointers = f"<{vector.lanes} x ptr>"
        name = f"@llvm.masked.scatter.{value.kind.suffix}.v{vector.lanes}p0"
        self.b.declare(f"void {name}({value.kind}, {pointers}, i32, {mask.kind})")
        self.b.write(f"call void {name}({value}, {pointers} {addresses}, i32 {ITEMSIZE[array.dtype]}, {mask})")

    def _along(self, row: str, at: Value, array: Array) -> str:
        name = self.b.fresh()
        element = Kind(MEMORY.get(array.dtype, array.dtype)).element
        self.b.write(f"{name} = getelementptr {element}, ptr {row}, {at}")
        return name

    def _distance(self, array: Array, index: tuple[Index, ...], axis: Axis) -> Value:
        """How far apart the elements of neighbouring iterations are."""
        found: Value | None = None
        for d, i in enumerate(index):
            if _axis(i) is axis:
                step = self._stride(array, d) or Value("1", I64)
                found = step if found is None else self.b.add(found, step)
        assert found is not None
        return found

    def _scattered(self, array: Array, index: tuple[Index, ...], row: str, vector: Vector) -> str:
        """The addresses of elements that do not lie side by side."""
        stride = self._distance(array, index, vector.axis)
        lanes = self.b.add(self._iota(vector.lanes), self.b.splat(vector.at, vector.lanes))
        offsets = self.b.mul(lanes, self.b.splat(stride, vector.lanes))
        name = self.b.fresh()
        element = Kind(MEMORY.get(array.dtype, array.dtype)).element
        self.b.write(f"{name} = getelementptr {element}, ptr {row}, {offsets}")
        return name


_DEFINES = Let | Load | loopir.Number | loopir.Position | loopir.Extent


def computes(loop: Loop) -> bool:
    """Whether a loop has vector math, and so waits for arithmetic rather than for memory."""
    return any(isinstance(s, Let) and s.op.name in VECTOR_MATH for s in loop.body)


def _is_worth_sharing(body: Body) -> bool:
    """Whether whole vectors and the last one share the body: vector math takes long to compile a second time.

    All that the body reads must be known before it, and may be read before it writes.
    """
    written: set[Array] = set()
    for s in body.loop.body:
        if isinstance(s, loopir.Require):
            return False
        if isinstance(s, Load) and ((s.array, s.index) not in body.rows or s.array in written):
            return False
        if isinstance(s, Store | Accumulate):
            written.add(s.array)
    return computes(body.loop)


def _axis(index: Index) -> Axis | None:
    """The axis that an index follows."""
    return index.axis if isinstance(index, Shifted) else index if isinstance(index, Axis) else None


def is_row(index: Sequence[Index], axis: Axis) -> bool:
    """Whether neighbours along an axis are neighbours in memory."""
    return bool(index) and _axis(index[-1]) is axis and sum(_axis(i) is axis for i in index) == 1


def _walks(index: Sequence[Index], axis: Axis) -> bool:
    """Whether every value of an axis is another element."""
    return sum(_axis(i) is axis for i in index) == 1 and not any(isinstance(i, loopir.Value) for i in index)
