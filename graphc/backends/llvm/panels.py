"""Copies of matrices: `pack_panels` brings B into the order in which `rows` (tiles.py) reads it, `copy` any matrix."""

from __future__ import annotations

from graphc.backends.llvm.emit import Builder, Kind, Value
from graphc.backends.llvm.flow import argument, at, integer, load, loop, store
from graphc.backends.llvm.shuffles import transposed
from graphc.backends.llvm.target import Target
from graphc.backends.llvm.tiles import Function, function, vector

ZERO, ONE = integer(0), integer(1)

MOST_SQUARE = 4
"""Rows of a square that is transposed.  Larger ones are faster, and take LLVM ten times as long."""


def pack_panels(name: str, copy: str, dtype: str, target: Target) -> Function:
    """Copy B[:k, :n] by panels: arguments `to`, B with its strides, n, k.  Columns past n are left as they are.

    Whole panels of a B in C order go row by row, a transposed B goes by squares, and what is left by elements.
    """
    b = Builder(target)
    packing = Packing(b, dtype)
    n, lanes, side = packing.n, packing.full.lanes, packing.side
    by_rows = packing.if_one(packing.bcs, b.sub(n, b.binary("urem", n, integer(lanes))))
    loop(b, ZERO, packing.k, 1, [], lambda p: packing.row(p, by_rows))
    loop(b, by_rows, b.add(n, integer(side - 1)), side, [], lambda j: packing.columns(j, copy))
    return function(b, name, "ptr %to, ptr %b, i64 %brs, i64 %bcs, i64 %n, i64 %k")


class Packing:
    """Writes the parts of `pack_panels`."""

    def __init__(self, b: Builder, dtype: str) -> None:
        self.b = b
        self.dtype = dtype
        self.full = vector(dtype, b.target)
        self.side = min(self.full.lanes, MOST_SQUARE)
        self.brs, self.bcs, self.n, self.k = (argument(x) for x in ("brs", "bcs", "n", "k"))

    def if_one(self, stride: Value, count: Value) -> Value:
        """A count, or 0 if a stride is not 1."""
        return self.b.select(self.b.compare("eq", stride, ONE), count, ZERO)

    def row(self, p: Value, count: Value) -> None:
        """The first columns of row p, a vector at a time."""
        b, dtype, full = self.b, self.dtype, self.full
        source, to = at(b, "%b", b.mul(p, self.brs), dtype), at(b, "%to", b.mul(p, integer(full.lanes)), dtype)

        def part(j: Value) -> None:
            store(b, load(b, full, at(b, source, j, dtype)), at(b, to, b.mul(j, self.k), dtype))

        loop(b, ZERO, count, full.lanes, [], part)

    def columns(self, j: Value, copy: str) -> None:
        """The columns of a square from column j on, or those that are left: by squares if it can be, then by `copy`."""
        b, dtype, lanes, side = self.b, self.dtype, integer(self.full.lanes), integer(self.side)
        first = b.binary("urem", j, lanes)
        to = at(b, at(b, "%to", b.mul(b.sub(j, first), self.k), dtype), first, dtype)
        source = at(b, "%b", b.mul(j, self.bcs), dtype)
        width = b.intrinsic("smin", b.sub(self.n, j), side)
        whole = b.compare("eq", width, side)
        rows = self.if_one(self.brs, b.select(whole, self.k, ZERO))
        (done,) = loop(b, ZERO, rows, self.side, [], lambda p: self.square(p, source, to))
        to_rest, rest = at(b, to, b.mul(done, lanes), dtype), at(b, source, b.mul(done, self.brs), dtype)
        arguments = f"ptr {to_rest}, {lanes}, {ONE}, ptr {rest}, {self.brs}, {self.bcs}, {b.sub(self.k, done)}, {width}"
        b.write(f"call void @{copy}({arguments})")

    def square(self, p: Value, source: str, to: str) -> None:
        """A square of these columns, from row p on."""
        b, dtype, full, part = self.b, self.dtype, self.full, Kind(self.dtype, self.side)
        corner = at(b, source, p, dtype)
        vectors = [load(b, part, at(b, corner, b.mul(self.bcs, integer(i)), dtype)) for i in range(self.side)]
        place = at(b, to, b.mul(p, integer(full.lanes)), dtype)
        for i, row in enumerate(transposed(b, vectors)):
            store(b, row, at(b, place, integer(i * full.lanes), dtype))


def copy(name: str, dtype: str, target: Target) -> Function:
    """to[:m, :n] = x[:m, :n], element by element: arguments `to` and `x` with their strides, m, n."""
    b = Builder(target)
    trs, tcs, xrs, xcs, m, n = (argument(x) for x in ("trs", "tcs", "xrs", "xcs", "m", "n"))

    def row(i: Value) -> None:
        to, x = at(b, "%to", b.mul(i, trs), dtype), at(b, "%x", b.mul(i, xrs), dtype)

        def element(j: Value) -> None:
            store(b, load(b, Kind(dtype), at(b, x, b.mul(j, xcs), dtype)), at(b, to, b.mul(j, tcs), dtype))

        loop(b, integer(0), n, 1, [], element)

    loop(b, integer(0), m, 1, [], row)
    return function(b, name, "ptr %to, i64 %trs, i64 %tcs, ptr %x, i64 %xrs, i64 %xcs, i64 %m, i64 %n")
