"""Rows that are filled early: what several loops read is kept where one of them will put what it makes of it.

    for i0 in n0 over teams:                        for i0 in n0 over teams:
      for i1 in n1 over lanes with t1 = max t0:       for i1 in n1 over lanes with t1 = max t0:
        t0 = x0[i0, i1]                                 t0 = x0[i0, i1]
      for i2 in n1 over lanes ...:                      r0[i1] = t0
        t2 = x0[i0, i2]                               for i2 in n1 over lanes ...:
        t3 = exp(t2)                                    t2 = r0[i2]
        r0[i2] = t3                                     t3 = exp(t2)
                                                        r0[i2] = t3

So an array is read from memory once, not once in each loop.  Each element of a row is read and written by one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from graphc.kernels.gpuir import walk
from graphc.kernels.kept import through_row
from graphc.kernels.loopir import Accumulate, Array, Axis, Index, Load, Loop, Statement, Store
from graphc.kernels.nests import Nest, nest_of


def filled_early(nest: Nest, rows: Sequence[Array]) -> Nest:
    """The nest with its rows filled by the first loop that reads what they are made of."""
    for row in rows:
        nest = _filled_early(nest, row)
    return nest


def _filled_early(nest: Nest, row: Array) -> Nest:
    """One row."""
    loops = nest.inner
    users = [loop for loop in loops if any(isinstance(s, Load | Store) and s.array is row for s in walk((loop,)))]
    if not users or not _fills(users[0], row):
        return nest
    last = loops.index(users[0])
    for load in _before(users[0], row):
        place = _place(load, loops[last].axis)
        readers = [i for i, loop in enumerate(loops) if place is not None and _reads(loop, place, load.array)]
        if len(readers) < 2 or readers[-1] != last or load.array.dtype != row.dtype or _is_written(nest, load.array):
            continue
        if any(loops[i].axis.sizes != loops[last].axis.sizes for i in readers):
            continue
        is_read = partial(_is_of, load.array)
        made = {loops[i]: through_row(loops[i], is_read, row, keeps=i == readers[0]) for i in readers}
        return replace(nest, body=tuple(made.get(s, s) if isinstance(s, Loop) else s for s in nest.body))
    return nest


def _before(loop: Loop, row: Array) -> list[Load]:
    """What a loop reads before it stores to a row."""
    found: list[Load] = []
    for s in loop.body:
        if isinstance(s, Store) and s.array is row:
            break
        if isinstance(s, Load):
            found.append(s)
    return found


def _fills(loop: Loop, row: Array) -> bool:
    """Whether a loop stores one number to each element of a row, and reads none."""
    touching = [s for s in loop.body if isinstance(s, Load | Store | Accumulate) and s.array is row]
    match touching:
        case [Store(index=(i,))]:
            return i is loop.axis and not any(isinstance(s, Loop) for s in loop.body)
    return False


def _place(load: Load, axis: Axis) -> tuple[Index | None, ...] | None:
    """Where a load reads, but for the axis of its loop, which is the last index."""
    if not all(isinstance(i, Axis | int) for i in load.index) or not load.index or load.index[-1] is not axis:
        return None
    return tuple(None if i is axis else i for i in load.index)


def _reads(loop: Loop, place: tuple[Index | None, ...], array: Array) -> bool:
    """Whether a loop reads an array in a place, once, and nowhere else."""
    loads = [s for s in walk((loop,)) if isinstance(s, Load) and s.array is array]
    if not loads or len(nest_of(loop).axes) > 1:
        return False
    return len(loads) == 1 and loads[0] in loop.body and _place(loads[0], loop.axis) == place


def _is_of(array: Array, s: Statement) -> bool:
    return isinstance(s, Load) and s.array is array


def _is_written(nest: Nest, array: Array) -> bool:
    return any(isinstance(s, Store | Accumulate) and s.array is array for s in walk(nest.body))
