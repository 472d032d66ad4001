"""Elements that do not lie side by side and are read by several loops of an iteration: the first keeps them in a row.

    for i0 in n0:                                 for i0 in n0:
      for i1 in n1 with t1 = max t0:                for i1 in n1 with t1 = max t0:
        t0 = x0[i1, i0]                               t0 = x0[i1, i0]
      for i2 in n1 ...:                               r0[i1] = t0
        t2 = x0[i2, i0]                             for i2 in n1 ...:
        ...                                           t2 = r0[i2]

For processors that gather the elements of a vector one by one.  On a GPU neighbouring iterations of `i0` are
neighbouring threads, which read them together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from graphc.graph.variable import Variable
from graphc.kernels.launch import Launch, Memory
from graphc.kernels.loopir import Array, Axis, Index, Load, Loop, Size, Statement, Store

Place = tuple[Array, tuple[Index | None, ...], tuple[int | Size, ...]]
"""An array, its indices but for the axis of the loop, and the sizes of that axis."""


def with_rows(launch: Launch) -> Launch:
    """The launch with rows in its outermost loops, where they save reading the same again."""
    keeper = _Keeper(launch)
    body = tuple(keeper.loop(s) if isinstance(s, Loop) else s for s in launch.kernel.body)
    if not keeper.rows:
        return launch
    kernel = launch.kernel
    made = replace(
        kernel,
        arrays=(*kernel.arrays, *keeper.rows),
        body=body,
        written=kernel.written | keeper.rows.keys(),
    )
    return replace(launch, kernel=made, arrays=(*launch.arrays, *keeper.rows.values()))


class _Keeper:
    def __init__(self, launch: Launch) -> None:
        self.written = launch.kernel.written
        self.rows: dict[Array, Memory] = {}
        self._variables = dict(zip(launch.kernel.sizes, launch.sizes, strict=True))

    def loop(self, outer: Loop) -> Loop:
        """A loop whose inner loops share what they read."""
        if len(outer.body) == 1 and isinstance(outer.body[0], Loop) and not _is_innermost(outer.body[0]):
            return replace(outer, body=(self.loop(outer.body[0]),))
        readers: dict[Place, list[Loop]] = defaultdict(list)
        for loop in outer.body:
            if isinstance(loop, Loop) and _is_innermost(loop):
                for place in dict.fromkeys(self._place(s, loop.axis) for s in loop.body):
                    if place is not None:
                        readers[place].append(loop)
        made: dict[Loop, Loop] = {}
        for place, loops in readers.items():
            if len(loops) > 1:
                row = self._row(place)
                for loop in loops:
                    is_read = partial(self._is_at, place, loop.axis)
                    made[loop] = through_row(made.get(loop, loop), is_read, row, keeps=loop is loops[0])
        return replace(outer, body=tuple(made.get(s, s) if isinstance(s, Loop) else s for s in outer.body))

    def _place(self, s: Statement, axis: Axis) -> Place | None:
        """What a statement reads that neighbouring iterations do not find side by side."""
        if not isinstance(s, Load) or s.array in self.written or not all(isinstance(i, Axis | int) for i in s.index):
            return None
        if axis not in s.index[:-1] or axis is s.index[-1]:
            return None
        return s.array, tuple(None if i is axis else i for i in s.index), axis.sizes

    def _is_at(self, place: Place, axis: Axis, s: Statement) -> bool:
        return self._place(s, axis) == place

    def _row(self, place: Place) -> Array:
        array, _, sizes = place
        row = Array(array.dtype, (sizes,))
        shape: list[int | Variable] = [n if isinstance(n, int) else self._variables[n] for n in sizes]
        self.rows[row] = Memory(array.dtype, tuple(shape))
        return row


def through_row(loop: Loop, is_read: Callable[[Statement], bool], row: Array, keeps: bool) -> Loop:
    """A loop that reads a row in place of what it read, or fills it with that.

    is_read: whether a statement is the load of what the row has.
    """
    body: list[Statement] = []
    for s in loop.body:
        if isinstance(s, Load) and is_read(s):
            body.append(s if keeps else Load(s.out, row, (loop.axis,)))
            if keeps:
                body.append(Store(row, (loop.axis,), s.out))
        else:
            body.append(s)
    return replace(loop, body=tuple(body))


def _is_innermost(loop: Loop) -> bool:
    return not any(isinstance(s, Loop) for s in loop.body)
