"""Sums of columns, in registers where there are few.

A loop over rows that are added to columns keeps these in memory, where each addition waits for the one before it to
arrive.  So columns that are one vector are added up in a register; a few vectors one after another, if the rows stay in
the cache meanwhile.  The order of additions, and so the result, is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.backends.llvm.accumulate import State, partial
from graphc.backends.llvm.emit import Kind, Value
from graphc.backends.llvm.registers import RegisterRenderer
from graphc.backends.llvm.scalars import I64
from graphc.backends.llvm.vectors import Vector
from graphc.kernels import loopir
from graphc.kernels.loopir import Accumulate, Carry, Loop, Output

FEW_COLUMNS, FEW_ELEMENTS = 4, 1 << 14
"""Vectors of columns, and elements of a matrix that fits the cache, which are added up in registers."""


class ColumnRenderer(RegisterRenderer):
    """Writes a kernel with vectors, also of columns."""

    def _vectorised(self, loop: Loop, start: Value, limit: Value) -> list[Value] | None:
        row = _added_to_columns(loop)
        if row is None or not self.target.masked or self._lanes(row) == 1:
            return super()._vectorised(loop, start, limit)
        return self._by_columns(loop, row, start, limit)

    def _by_columns(self, loop: Loop, row: Loop, start: Value, limit: Value) -> list[Value]:
        """A loop over rows that are added to columns: it is written twice, and sizes choose."""
        sums = [s for s in row.body if isinstance(s, Accumulate)]
        others = tuple(s for s in row.body if not isinstance(s, Accumulate))
        carrying = Loop(row.axis, others, tuple(Carry(loopir.Value(s.array.dtype), s.kind, s.value) for s in sums))
        ways = [partial(s.kind, s.array.dtype) for s in sums]
        lanes, zero, width = self._lanes(row), Value("0", I64), self._product(row.axis.sizes)

        def some_columns(at: Value, _: Sequence[State]) -> list[State]:
            vector = Vector(row.axis, at, lanes, self._mask(at, width, lanes), outlined=True)

            def one_row(i: Value, states: Sequence[State]) -> list[State]:
                self.axes[loop.axis] = i
                self._statements(loop.body[:-1])
                return self._vector_body(self._body(carrying, lanes, ways), vector, states)

            states = [way.start(self.b, Kind(s.array.dtype, lanes)) for way, s in zip(ways, sums, strict=True)]
            totals = self._counted(start, limit, 1, states, one_row)
            for s, (total,) in zip(sums, totals, strict=True):
                self._add(s, self._element(s.array, None), total, vector)
            return []

        def in_registers(_: Sequence[State]) -> list[State]:
            return self._counted(zero, width, lanes, [], some_columns)

        def in_memory(_: Sequence[State]) -> list[State]:
            self._one_by_one(loop, start, limit, None)
            return []

        height = limit if start.text == "0" else self.b.sub(limit, start)
        cached = self.b.compare("sle", self.b.mul(height, width), Value(str(FEW_ELEMENTS), I64))
        most = self.b.select(cached, Value(str(FEW_COLUMNS * lanes), I64), Value(str(lanes), I64))
        # Rows of no columns, which are less than 0 here and so very many, still make their checks.
        last = self.b.add(width, Value("-1", I64))
        self._when(self.b.compare("ult", last, most), [], in_registers)
        self._when(self.b.compare("uge", last, most), [], in_memory)
        return []


def _added_to_columns(loop: Loop) -> Loop | None:
    """The loop over a row that is added to columns, if there is no more in a loop but some numbers for each row."""
    if loop.carries or not loop.body:
        return None
    *before, row = loop.body
    if not isinstance(row, Loop) or any(isinstance(s, Loop | Accumulate | Output) for s in before):
        return None
    sums = [s for s in row.body if isinstance(s, Accumulate)]
    return row if sums and not row.carries and all(s.index == (row.axis,) for s in sums) else None
