"""Nests that multiply matrices, for machines that do it by tiles.

    for i0 in n0:
      for i1 in n1:
        for i2 in n2 with t3 = dot t2:
          t0 = x0[i0, i2]
          t1 = x1[i2, i1]
          t2 = mul(t0, t1)
        ...                        # elementwise, with t3
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.kernels.gpuir import STAGES, TILES, Spread
from graphc.kernels.loopir import Axis, Carry, Extent, Let, Load, Loop, Number, Position, Statement, Store
from graphc.kernels.nests import Nest

TILE = 32
"""The rows and the columns of a tile."""

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Tiling:
    """A product as a loop over tiles reads it.

    axes: of rows, of columns and of the terms of a sum; x: an element of a row, y: one of a column; total: their sum;
    body: what is done with it.
    """

    axes: tuple[Axis, Axis, Axis]
    x: Load
    y: Load
    total: Carry
    body: tuple[Statement, ...]


def tiling(nest: Nest) -> Tiling | None:
    """How a nest is a product, if it is one."""
    loops = nest.inner
    if len(nest.axes) != 2 or nest.carries or len(loops) != 1:
        return None
    (loop,) = loops
    body = tuple(s for s in nest.body if s is not loop)
    if not all(isinstance(s, Let | Load | Number | Position | Extent | Store) for s in body):
        return None
    match loop:
        case Loop(body=(Load() as x, Load() as y, Let(op=op) as term), carries=(Carry(kind="dot") as total,)):
            if op.name != "mul" or term.out is not total.value or set(term.args) != {x.out, y.out}:
                return None
        case _:
            return None
    if any(v.out.dtype != total.out.dtype for v in (x, y, term)) or total.out.dtype not in DTYPES:
        return None
    if not {x.array, y.array}.isdisjoint(s.array for s in body if isinstance(s, Store)):
        return None
    rows, columns = nest.axes
    if columns in x.index:
        x, y = y, x
    if set(x.index) != {rows, loop.axis} or set(y.index) != {loop.axis, columns}:
        return None
    return Tiling((rows, columns, loop.axis), x, y, total, body)


def tiled(nest: Nest) -> Spread:
    """The loop over the tiles of a product."""
    (product,) = nest.inner
    staged = Spread((product.axis,), STAGES, product.body, product.carries)
    return Spread(nest.axes, TILES, tuple(staged if s is product else s for s in nest.body))


def of_tiles(s: Spread) -> Tiling:
    """How a loop over tiles is a product."""
    body: list[Statement] = []
    for x in s.body:
        if isinstance(x, Spread):
            x = Loop(x.axes[0], tuple(y for y in x.body if isinstance(y, Load | Let)), x.carries)
        assert isinstance(x, Statement)
        body.append(x)
    found = tiling(Nest(s.axes, tuple(body), ()))
    assert found is not None
    return found
