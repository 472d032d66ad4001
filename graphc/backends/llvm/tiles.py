"""The kernels of a matrix product: sums of products that stay in registers.

`rows`: a few rows of A times all columns of B, a tile of C at a time; the workhorse.
`dots`: contiguous rows of A times contiguous columns of B, an element of C each.

B is read by *panels*, as many columns as a vector has lanes: column ``j`` of row ``p`` lies at
``b + j // lanes * panel + j % lanes + p * brs``.  Where B itself is read, ``panel`` is `lanes`; in a packed copy
(panels.py) of k rows it is ``k * lanes``, and ``brs`` is `lanes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.backends.llvm.emit import Builder, Kind, Value
from graphc.backends.llvm.flow import argument, at, choose, first_lanes, integer, load, loop, splat, store, when
from graphc.backends.llvm.shuffles import lane_sums
from graphc.backends.llvm.target import Target


@dataclass(frozen=True)
class Function:
    """The text of a function, and what it needs to be declared."""

    text: str
    declarations: dict[str, None]


def function(b: Builder, name: str, arguments: str) -> Function:
    """An internal function without a result, whose body a builder holds."""
    head = f"define internal void @{name}({arguments}) nounwind {{"
    return Function("\n".join([head, "entry:", *b.lines, "  ret void", "}"]), b.declarations)


def vector(dtype: str, target: Target) -> Kind:
    """A full vector."""
    return Kind(dtype, target.lanes(4 if dtype == "float32" else 8))


def clamped_numbers(b: Builder, count: int, left: Value) -> list[Value]:
    """0 ... count - 1, but never past the last of those that are left: that one is computed again."""
    last = b.sub(left, integer(1))
    return [integer(0), *(b.intrinsic("smin", integer(i), last) for i in range(1, count))]


def rows(name: str, dtype: str, target: Target, count: int, wide: int, clamped: bool) -> Function:
    """C[:count, :n] (+)= A[:count, :k] @ B[:k, :n], by tiles of `count` rows and `wide` vectors.

    Arguments: A with its strides, B with the stride of its rows and the distance of its panels, C with the stride of
    its rows, the number of rows that are left, n, k, and whether C is added to.
    """
    b = Builder(target)
    numbers = clamped_numbers(b, count, argument("left")) if clamped else [integer(i) for i in range(count)]
    tiles = Tiles(b, dtype, numbers, wide)
    lanes, n = tiles.full.lanes, argument("n")
    j = integer(0)
    if wide > 1:
        (j,) = loop(b, j, n, lanes * wide, [], lambda j: tiles.write(tiles.whole(j, wide)))
    if target.masked:
        loop(b, j, b.add(n, integer(lanes - 1)), lanes, [], lambda j: tiles.write(tiles.until(j, n)))
    else:
        (j,) = loop(b, j, n, lanes, [], lambda j: tiles.write(tiles.whole(j, 1)))
        panel = tiles.panel_at(j)
        loop(b, j, n, 1, [], lambda column: tiles.write(tiles.single(column, panel, b.sub(column, j))))
    return function(
        b,
        name,
        "ptr %a, i64 %ars, i64 %acs, ptr %b, i64 %brs, i64 %panel, ptr %c, i64 %crs, i64 %left, i64 %n, i64 %k, "
        "i1 %add",
    )


@dataclass(frozen=True)
class Columns:
    """The columns of a tile, so many vectors of a kind.

    b_at: where row 0 of B has the first of them; j: its number; mask: the lanes that there are, if not all.
    """

    kind: Kind
    vectors: int
    b_at: str
    j: Value
    mask: Value | None = None


class Tiles:
    """Writes the tiles of `rows`, of the rows of A and C with these numbers."""

    def __init__(self, b: Builder, dtype: str, numbers: Sequence[Value], wide: int) -> None:
        self.b = b
        self.dtype = dtype
        self.full = vector(dtype, b.target)
        self.a_rows = [b.mul(argument("ars"), i) for i in numbers]
        self.c_rows = [b.mul(argument("crs"), i) for i in numbers]
        self.panels = [b.mul(argument("panel"), integer(v)) for v in range(wide)]

    def panel_at(self, j: Value) -> str:
        """Where the panel begins whose first column is j."""
        b = self.b
        return at(b, "%b", b.mul(b.binary("udiv", j, integer(self.full.lanes)), argument("panel")), self.dtype)

    def whole(self, j: Value, vectors: int) -> Columns:
        """So many whole vectors from column j on."""
        return Columns(self.full, vectors, self.panel_at(j), j)

    def until(self, j: Value, n: Value) -> Columns:
        """A vector from column j on, or what there is of it before column n."""
        return Columns(self.full, 1, self.panel_at(j), j, first_lanes(self.b, self.b.sub(n, j), self.full.lanes))

    def single(self, j: Value, panel: str, number: Value) -> Columns:
        """Column j alone, of a panel that has it under this number."""
        return Columns(Kind(self.dtype), 1, at(self.b, panel, number, self.dtype), j)

    def write(self, columns: Columns) -> None:
        """A tile: its sums stay in registers from the first term to the last."""
        b, kind, mask = self.b, columns.kind, columns.mask
        places = self.places(columns)
        zeros = [b.constant(0, kind)] * len(places)
        sums = choose(b, Value("%add", Kind("bool")), lambda: [load(b, kind, place, mask) for place in places], zeros)
        _, *sums = loop(b, integer(0), argument("k"), 1, sums, lambda p, *sums: self.with_terms(columns, p, sums))
        for place, total in zip(places, sums, strict=True):
            store(b, total, place, mask)

    def places(self, columns: Columns) -> list[str]:
        """Where the vectors of a tile lie in C, row by row."""
        b, dtype, lanes = self.b, self.dtype, columns.kind.lanes
        c_at = at(b, "%c", columns.j, dtype)
        return [
            at(b, at(b, c_at, row, dtype), integer(v * lanes), dtype)
            for row in self.c_rows
            for v in range(columns.vectors)
        ]

    def with_terms(self, columns: Columns, p: Value, sums: Sequence[Value]) -> list[Value]:
        """The sums of a tile with their terms of number p: column p of A times row p of B."""
        b, dtype, kind = self.b, self.dtype, columns.kind
        b_row = at(b, columns.b_at, b.mul(p, argument("brs")), dtype)
        a_column = at(b, "%a", b.mul(p, argument("acs")), dtype)
        right = [load(b, kind, at(b, b_row, panel, dtype), columns.mask) for panel in self.panels[: columns.vectors]]
        totals = iter(sums)
        result: list[Value] = []
        for row in self.a_rows:
            left = splat(b, load(b, Kind(dtype), at(b, a_column, row, dtype)), kind.lanes)
            result += [b.fma(left, x, next(totals)) for x in right]
        return result


def dots(name: str, dtype: str, target: Target) -> Function:
    """C[:m, :n] = A[:m, :k] @ B[:k, :n] for contiguous rows of A and columns of B: each element is a dot.

    Arguments: A with the stride of its rows, B with that of its columns, C with its strides, m, n, k.
    """
    b = Builder(target)
    full, single = vector(dtype, target), Kind(dtype)
    ars, bcs, crs, ccs, m, n, k = (argument(x) for x in ("ars", "bcs", "crs", "ccs", "m", "n", "k"))

    def steps(pointer: str, stride: Value, numbers: list[Value]) -> list[str]:
        return [at(b, pointer, b.mul(stride, number), dtype) for number in numbers]

    def tile(i: Value, j: Value, columns: int) -> None:
        row_numbers = clamped_numbers(b, 4, b.sub(m, i))
        column_numbers = [integer(number) for number in range(columns)]
        a_rows = steps(at(b, "%a", b.mul(ars, i), dtype), ars, row_numbers)
        b_columns = steps(at(b, "%b", b.mul(bcs, j), dtype), bcs, column_numbers)
        c_at = at(b, at(b, "%c", b.mul(crs, i), dtype), b.mul(ccs, j), dtype)
        places = [place for row in steps(c_at, crs, row_numbers) for place in steps(row, ccs, column_numbers)]

        def products(kind: Kind, p: Value, sums: Sequence[Value], mask: Value | None = None) -> list[Value]:
            left = [load(b, kind, at(b, row, p, dtype), mask) for row in a_rows]
            right = [load(b, kind, at(b, column, p, dtype), mask) for column in b_columns]
            pairs = [(x, y) for x in left for y in right]
            return [b.fma(x, y, total) for (x, y), total in zip(pairs, sums, strict=True)]

        zeros = [b.constant(0, full)] * len(places)
        p, *sums = loop(b, integer(0), k, full.lanes, zeros, lambda p, *sums: products(full, p, sums))
        if target.masked:
            totals = lane_sums(b, products(full, p, sums, first_lanes(b, b.sub(k, p), full.lanes)))
        else:
            singles = [b.constant(0, single)] * len(places)
            _, *rest = loop(b, p, k, 1, singles, lambda p, *sums: products(single, p, sums))
            totals = [b.add(x, y) for x, y in zip(lane_sums(b, sums), rest, strict=True)]
        for place, total in zip(places, totals, strict=True):
            store(b, total, place)

    def some_rows(i: Value) -> None:
        (j,) = loop(b, integer(0), n, 2, [], lambda j: tile(i, j, 2))
        when(b, b.compare("slt", j, n), lambda: tile(i, j, 1))

    loop(b, integer(0), b.add(m, integer(3)), 4, [], some_rows)
    arguments = "ptr %a, i64 %ars, ptr %b, i64 %bcs, ptr %c, i64 %crs, i64 %ccs, i64 %m, i64 %n, i64 %k"
    return function(b, name, arguments)
