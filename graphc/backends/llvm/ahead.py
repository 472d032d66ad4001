"""Lines of the cache that are asked for before they are written.

A processor that writes to a line of its cache reads the line first, and a loop that only stores waits for that.  Where
a row of the same length is computed before, with vector math, memory has nothing to do meanwhile: each vector of that
loop asks for the place of one that a later loop stores.  (To ask for what is read next gained nothing, or lost: the
processor sees such rows coming by itself.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from graphc.backends.llvm.accumulate import State
from graphc.backends.llvm.emit import ITEMSIZE, Value
from graphc.backends.llvm.streams import StreamRenderer
from graphc.backends.llvm.vectors import Body, Rows, Vector, computes, is_row
from graphc.kernels.loopir import Array, Axis, Index, Loop, Statement, Store

LINE = 64
"""Bytes of the cache that come and go together."""

Place = tuple[Array, tuple[Index, ...]]


class AheadRenderer(StreamRenderer):
    """Writes a kernel for large work that asks for lines before it writes them."""

    @cached_property
    def _ahead(self) -> dict[Loop, list[Place]]:
        """The places that loops ask for."""
        found: dict[Loop, list[Place]] = {}
        pending: list[Sequence[Statement]] = [self.kernel.body]
        while pending:
            loops = [s for s in pending.pop() if isinstance(s, Loop)]
            pending += [loop.body for loop in loops]
            for number, loop in enumerate(loops):
                if computes(loop):
                    places = [place for later in loops[number + 1 :] for place in _stored(later, loop.axis)]
                    found[loop] = list(dict.fromkeys(places))
        return found

    def _rows(self, loop: Loop) -> Rows:
        rows = super()._rows(loop)
        for array, index in self._ahead.get(loop, ()):
            rows[(array, index)] = self._element(array, self._offset(array, index, loop.axis))
        return rows

    def _vector_body(self, body: Body, vector: Vector, states: Sequence[State]) -> list[State]:
        if vector.mask is None:
            self._ask_for(body, vector)
        return super()._vector_body(body, vector, states)

    def _shared_body(self, body: Body, is_whole: Value, last: Vector, states: Sequence[State]) -> list[State]:
        self._ask_for(body, last)
        return super()._shared_body(body, is_whole, last, states)

    def _ask_for(self, body: Body, vector: Vector) -> None:
        for place in self._ahead.get(body.loop, ()):
            array, _ = place
            first = self._along(body.rows[place], vector.at, array)
            for byte in range(0, vector.lanes * ITEMSIZE[array.dtype], LINE):
                self.b.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
                line = self.b.fresh()
                self.b.write(f"{line} = getelementptr i8, ptr {first}, i64 {byte}")
                self.b.write(f"call void @llvm.prefetch.p0(ptr {line}, i32 1, i32 3, i32 1)")  # to write, all levels


def _stored(later: Loop, axis: Axis) -> Iterator[Place]:
    """The rows that a loop stores, by another axis of that length: rows that no iteration around it stored before."""
    if later.axis.sizes != axis.sizes:
        return
    for s in later.body:
        if not isinstance(s, Store) or not is_row(s.index, later.axis):
            continue
        if len(s.index) > 1 and all(isinstance(i, Axis | int) for i in s.index):
            yield s.array, tuple(axis if i is later.axis else i for i in s.index)
