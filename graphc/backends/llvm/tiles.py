"""The kernels of a matrix product: sums of products that stay in registers.

`rows`: a few rows of A times all columns of B, a tile of C at a time; the workhorse.
`dots`: contiguous rows of A times contiguous columns of B, an element of C each.
`pack_panels`, `copy`: copies of B in the order in which `rows` reads it, and of any matrix.

B is read by *panels*, as many columns as a vector has lanes: column ``j`` of row ``p`` lies at
``b + j // lanes * panel + j % lanes + p * brs``.  Where B itself is read, ``panel`` is `lanes`; in a packed copy of
k rows it is ``k * lanes``, and ``brs`` is `lanes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.backends.llvm.emit import Builder, Kind, Value
from graphc.backends.llvm.flow import argument, at, choose, first_lanes, integer, load, loop, splat, store, when
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


def lane_sums(b: Builder, vectors: list[Value]) -> list[Value]:
    """The sum of the lanes of each vector, all at once: adding the halves of two vectors makes one of the two."""
    parts = [(vector, [number] * vector.kind.lanes) for number, vector in enumerate(vectors)]
    while len(parts) > 1 and len(set(parts[0][1])) < len(parts[0][1]):
        half = len(parts) // 2
        parts = [
            (b.add(*interleaved(b, x, y)), [number for pair in zip(xs, ys, strict=True) for number in pair][: len(xs)])
            for (x, xs), (y, ys) in zip(parts[:half], parts[half:], strict=True)
        ]
    sums: dict[int, Value] = {}
    for total, numbers in parts:
        while len(set(numbers)) < len(numbers):
            numbers = numbers[: len(numbers) // 2]
            total = b.add(*(some_lanes(b, total, start, len(numbers)) for start in (0, len(numbers))))
        for lane, number in enumerate(numbers):
            scalar = Kind(total.kind.dtype)
            sums[number] = b.let(scalar, f"extractelement {total}, i64 {lane}")
    return [sums[number] for number in range(len(vectors))]


def some_lanes(b: Builder, x: Value, start: int, count: int) -> Value:
    """Adjacent lanes of a vector."""
    lanes = ", ".join(f"i32 {start + lane}" for lane in range(count))
    return b.let(Kind(x.kind.dtype, count), f"shufflevector {x}, {x.kind} poison, <{count} x i32> <{lanes}>")


def interleaved(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """The lanes of two vectors in turns: of their lower halves, and of their upper halves."""
    lanes = x.kind.lanes
    low, high = (
        ", ".join(f"i32 {start + lane // 2 + lanes * (lane % 2)}" for lane in range(lanes)) for start in (0, lanes // 2)
    )
    return (
        b.let(x.kind, f"shufflevector {x}, {y}, <{lanes} x i32> <{low}>"),
        b.let(x.kind, f"shufflevector {x}, {y}, <{lanes} x i32> <{high}>"),
    )


def transposed(b: Builder, vectors: list[Value]) -> list[Value]:
    """A square of as many vectors as each has lanes, transposed."""
    half = len(vectors) // 2
    for _ in range(half.bit_length()):
        pairs = zip(vectors[:half], vectors[half:], strict=True)
        vectors = [vector for x, y in pairs for vector in interleaved(b, x, y)]
    return vectors


def pack_panels(name: str, copy: str, dtype: str, target: Target) -> Function:
    """Copy B[:k, :n] by panels: arguments `to`, B with its strides, n, k.  Columns past n are left as they are.

    Whole panels of a B in C order go row by row, a transposed B goes by squares, and what is left by elements.
    """
    b = Builder(target)
    full = vector(dtype, target)
    side = min(full.lanes, 4)  # larger squares are faster, and take LLVM ten times as long
    part = Kind(dtype, side)
    brs, bcs, n, k = (argument(x) for x in ("brs", "bcs", "n", "k"))
    zero, lanes = integer(0), integer(full.lanes)

    def only_if(stride: Value, count: Value) -> Value:
        return b.select(b.compare("eq", stride, integer(1)), count, zero)

    by_rows = only_if(bcs, b.sub(n, b.binary("urem", n, lanes)))

    def row(p: Value) -> None:
        source, to = at(b, "%b", b.mul(p, brs), dtype), at(b, "%to", b.mul(p, lanes), dtype)
        loop(
            b, zero, by_rows, full.lanes, [],
            lambda j: store(b, load(b, full, at(b, source, j, dtype)), at(b, to, b.mul(j, k), dtype)),
        )  # fmt: skip

    loop(b, zero, k, 1, [], row)

    def columns(j: Value) -> None:
        first = b.binary("urem", j, lanes)
        to = at(b, at(b, "%to", b.mul(b.sub(j, first), k), dtype), first, dtype)
        source = at(b, "%b", b.mul(j, bcs), dtype)
        width = b.intrinsic("smin", b.sub(n, j), integer(side))
        whole = b.compare("eq", width, integer(side))

        def square(p: Value) -> None:
            corner = at(b, source, p, dtype)
            vectors = [load(b, part, at(b, corner, b.mul(bcs, integer(i)), dtype)) for i in range(side)]
            place = at(b, to, b.mul(p, lanes), dtype)
            for i, row in enumerate(transposed(b, vectors)):
                store(b, row, at(b, place, integer(i * full.lanes), dtype))

        (done,) = loop(b, zero, only_if(brs, b.select(whole, k, zero)), side, [], square)
        to, source = at(b, to, b.mul(done, lanes), dtype), at(b, source, b.mul(done, brs), dtype)
        left = b.sub(k, done)
        b.write(f"call void @{copy}(ptr {to}, {lanes}, i64 1, ptr {source}, {brs}, {bcs}, {left}, {width})")

    loop(b, by_rows, b.add(n, integer(side - 1)), side, [], columns)
    return function(b, name, "ptr %to, ptr %b, i64 %brs, i64 %bcs, i64 %n, i64 %k")


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
