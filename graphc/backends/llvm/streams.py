"""Stores that go around the cache, for results that do not fit into it.

A processor that writes to a line of its cache reads the line first.  A result that is larger than the cache and is not
read again is better written past it: that saves a third of the traffic of a copy.  Such stores take whole vectors at
addresses that are multiples of their size, so a loop begins with the few elements before the first of them.  Loops
that carry something keep their order of additions, which must not depend on addresses, and so their stores.  So do
loops beside others, as those over rows that are reduced first: many stores at once wait for memory, where the cache
would take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

from graphc.backends.llvm.columns import ColumnRenderer
from graphc.backends.llvm.emit import ITEMSIZE, Value
from graphc.backends.llvm.scalars import I64
from graphc.backends.llvm.target import Target
from graphc.backends.llvm.vectors import Vector, is_row
from graphc.kernels.loopir import Accumulate, Array, Index, Kernel, Load, Loop, Store

LEAST_BYTES, LEAST_VECTORS = 16, 48
"""Of a vector that is stored in this way, and how many of them a loop must have: where short rows begin and end, lines
are written in both ways."""

SIZE = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
USUAL = 32 << 20


@cache
def cache_bytes() -> int:
    """The size of the processor's largest cache, as Linux tells it; elsewhere a usual one."""
    try:
        return int(SIZE.read_text().removesuffix("K\n")) << 10
    except (OSError, ValueError):
        return USUAL


class StreamRenderer(ColumnRenderer):
    """Writes a kernel for large work."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        super().__init__(kernel, target)
        self.streamed: dict[Array, Value] = {}
        """Of the arrays that the loop at hand may store past the cache, whether it does."""
        self._fences = False

    def _end(self) -> None:
        """The end of the kernel: other threads see what was stored past the cache with what is written after."""
        if self._fences:
            self.b.declare("void @llvm.x86.sse.sfence()")
            self.b.write("call void @llvm.x86.sse.sfence()")
        self.b.write("ret i32 0")

    def _by_vectors(self, loop: Loop, start: Value, limit: Value, lanes: int) -> list[Value]:
        arrays = self._streamable(loop, lanes) if self.target.masked and loop in self._alone else []
        if arrays:
            start = self._from_whole(loop, arrays, start, limit, lanes)
        found = super()._by_vectors(loop, start, limit, lanes)
        self._fences |= bool(self.streamed)
        self.streamed = {}
        return found

    @cached_property
    def _alone(self) -> set[Loop]:
        """The innermost loops that carry nothing, and are all that the loops around them do."""
        found: set[Loop] = set()
        for s in self.kernel.body:
            loop: Loop | None = s if isinstance(s, Loop) else None
            while loop is not None and not loop.carries:
                inner = [s for s in loop.body if isinstance(s, Loop)]
                if not inner:
                    found.add(loop)
                loop = inner[0] if len(inner) == 1 else None
        return found

    def _streamable(self, loop: Loop, lanes: int) -> list[Array]:
        """The arrays that a loop fills and nothing in the kernel reads."""
        read = {s.array for s in self.kernel.statements() if isinstance(s, Load | Accumulate)}
        found = [s.array for s in loop.body if isinstance(s, Store) and is_row(s.index, loop.axis)]
        return [a for a in dict.fromkeys(found) if a not in read and lanes * ITEMSIZE[a.dtype] >= LEAST_BYTES]

    def _from_whole(self, loop: Loop, arrays: Sequence[Array], start: Value, limit: Value, lanes: int) -> Value:
        """Take the first elements of a large loop, up to where a vector of the first array begins; where that is."""
        body = self._body(loop, lanes, ())
        rows = {array: row for (array, _), row in body.rows.items() if array in arrays}
        first = arrays[0]
        long = self.b.compare("sge", self.b.sub(limit, start), Value(str(LEAST_VECTORS * lanes), I64))
        is_large = self.b.binary("and", long, self._does_not_fit(first))
        before = self.b.sub(Value("0", I64), self._beyond(first, rows[first], start, lanes))
        count = self.b.binary("and", before, Value(str(lanes - 1), I64))
        count = self.b.select(is_large, count, Value("0", I64))
        begin = self.b.add(start, count)

        def some(_: object) -> list[tuple[Value, ...]]:
            mask = self._mask(start, begin, lanes)
            return [*self._vector_body(body, Vector(loop.axis, start, lanes, mask, outlined=True), [])]

        self._when(self.b.compare("sgt", count, Value("0", I64)), [], some)
        for array in arrays:
            fits = self.b.compare("eq", self._beyond(array, rows[array], begin, lanes), Value("0", I64))
            self.streamed[array] = self.b.binary("and", is_large, fits)
        return begin

    def _does_not_fit(self, array: Array) -> Value:
        """Whether an array is larger than most of the cache."""
        count = self._product([n for dims in array.sizes for n in dims])
        most = cache_bytes() * 3 // 4 // ITEMSIZE[array.dtype]
        return self.b.compare("sgt", count, Value(str(most), I64))

    def _beyond(self, array: Array, row: str, at: Value, lanes: int) -> Value:
        """How many elements an address is behind one where a vector may begin."""
        address = self.b.let(I64, f"ptrtoint ptr {self._along(row, at, array)} to i64")
        size = ITEMSIZE[array.dtype]
        rest = self.b.binary("and", address, Value(str(lanes * size - 1), I64))
        return self.b.binary("lshr", rest, Value(str(size.bit_length() - 1), I64))

    def _vector_store(self, array: Array, index: tuple[Index, ...], row: str, value: Value, vector: Vector) -> None:
        past = self.streamed.get(array) if vector.mask is None else None
        if past is None:
            super()._vector_store(array, index, row, value, vector)
            return

        def around() -> list[Value]:
            stored = self._to_memory(value)
            size = vector.lanes * ITEMSIZE[array.dtype]
            self.b.write(
                f"store {stored}, ptr {self._along(row, vector.at, array)}, align {size}, !nontemporal !{{i32 1}}"
            )
            return []

        def through() -> list[Value]:
            super(StreamRenderer, self)._vector_store(array, index, row, value, vector)
            return []

        self._either(past, around, through)
