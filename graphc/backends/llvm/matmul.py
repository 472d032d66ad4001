"""The matrix product ``C = A @ B`` in LLVM's text, for any strides of A and B.

What is done depends on sizes and layouts, at run time, in this order:

====================  ===================================================================================
few columns or rows   dots of contiguous rows, or sums of contiguous rows
very large            NumPy's own BLAS, where it is faster
small                 tiles in registers read A and B where they are
few rows              tiles, a few rows of B at a time: B is read once, in order
the rest              blocks of B, that fit the second-level cache, are copied; tiles read A and the copy
====================  ===================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from graphc.backends.llvm.blas import NO_TRANSPOSE, ROW_MAJOR, TRANSPOSE, Blas
from graphc.backends.llvm.emit import ITEMSIZE, Builder, Kind, Value
from graphc.backends.llvm.flow import argument, at, integer, loop, return_when, when
from graphc.backends.llvm.panels import copy, pack_panels
from graphc.backends.llvm.target import Target
from graphc.backends.llvm.tiles import Function, dots, function, rows, vector

SCRATCH_BYTES = 512 * 1024
"""Size of the memory that a caller lends: a block of B, which should fit the second-level cache."""

DEPTH = 256
"""The most rows of B in a block."""

SMALL = 32 * 1024
"""Elements of B that tiles read where they are: they fit the second-level cache, and few pages."""

DOTS_FROM = 4
"""Length of a row from which its dot with one column is faster than a tile; for more columns it is two vectors."""

THIN = 32
"""Fewer rows of A than this are not worth a copy of B ..."""

THIN_DEPTH = 32
"""... but are multiplied with so many rows of B, for all columns, before C is added to."""

ZERO, ONE = integer(0), integer(1)


def symbol(dtype: str) -> str:
    """The name under which `module` exports the product."""
    return f"graphc_matmul_f{Kind(dtype).bits}"


def blas_from(blas: Blas, target: Target) -> int | None:
    """Products of scalars, m * n * k, from which NumPy's BLAS is faster, if it ever is: see `benchmarks.matmul`.

    With AVX-512 the tiles are as fast as one thread of OpenBLAS at every size, or faster: there it is for its threads.
    """
    if not target.has_avx512:
        return 2**18
    return 2**24 if blas.threads > 1 else None


def blas_symbol(dtype: str) -> str:
    """The name under which BLAS's function is linked."""
    return f"graphc_blas_gemm_f{Kind(dtype).bits}"


@dataclass(frozen=True)
class Matrix:
    """A pointer and two strides in elements; as text, three arguments."""

    pointer: str
    row: Value
    column: Value

    def __str__(self) -> str:
        return f"ptr {self.pointer}, {self.row}, {self.column}"

    @property
    def transposed(self) -> Matrix:
        """The same memory, rows as columns."""
        return Matrix(self.pointer, self.column, self.row)


class Product:
    """The functions of one dtype and target; each method that returns a `Function` writes one."""

    def __init__(self, dtype: str, target: Target, blas: Blas | None, blas_from: int | None) -> None:
        self.dtype = dtype
        self.target = target
        self.blas = blas
        self.blas_from = blas_from
        self.name = f"matmul.f{Kind(dtype).bits}"
        self.lanes = vector(dtype, target).lanes
        self.tall = 8 if target.has_avx512 else 6  # the tallest tile fills 32 or 16 registers
        self.scratch = SCRATCH_BYTES // ITEMSIZE[dtype]

    def functions(self) -> list[Function]:
        """All of them, callees first."""
        name, dtype, target = self.name, self.dtype, self.target
        return [
            rows(f"{name}.rows{self.tall}", dtype, target, self.tall, 2, clamped=False),
            rows(f"{name}.rows4", dtype, target, 4, 1, clamped=True),
            rows(f"{name}.rows2", dtype, target, 2, 4, clamped=True),
            dots(f"{name}.dots", dtype, target),
            copy(f"{name}.copy", dtype, target),
            pack_panels(f"{name}.pack", f"{name}.copy", dtype, target),
            self.block(),
            self.thin(),
            self.narrow(),
            self.main(),
        ]

    def at(self, b: Builder, matrix: Matrix, i: Value, j: Value) -> Matrix:
        """The part of a matrix from row i, column j on."""
        pointer = at(b, at(b, matrix.pointer, b.mul(i, matrix.row), self.dtype), b.mul(j, matrix.column), self.dtype)
        return Matrix(pointer, matrix.row, matrix.column)

    def call(self, b: Builder, function: str, *arguments: Matrix | Value | str) -> None:
        """Call one of the functions."""
        b.write(f"call void @{self.name}.{function}({', '.join(map(str, arguments))})")

    def block(self) -> Function:
        """C[:m, :n] (+)= A[:m, :k] @ B[:k, :n], with the arguments of `rows`, m for the rows that are left."""
        b = Builder(self.target)
        ars, acs, brs, panel, crs, m, n, k = arguments("ars acs brs panel crs m n k")
        a, c = Matrix("%a", ars, acs), Matrix("%c", crs, ONE)

        def tile(i: Value, count: int) -> None:
            some, to = self.at(b, a, i, ZERO), self.at(b, c, i, ZERO)
            right = Matrix("%b", brs, panel)
            self.call(b, f"rows{count}", some, right, f"ptr {to.pointer}", crs, b.sub(m, i), n, k, "i1 %add")

        (i,) = loop(b, ZERO, m, self.tall, [], lambda i: tile(i, self.tall))
        (i,) = loop(b, i, b.add(m, ONE), 4, [], lambda i: tile(i, 4))
        when(b, b.compare("slt", i, m), lambda: tile(i, 2))
        return function(
            b,
            f"{self.name}.block",
            "ptr %a, i64 %ars, i64 %acs, ptr %b, i64 %brs, i64 %panel, ptr %c, i64 %crs, i64 %m, i64 %n, i64 %k, "
            "i1 %add",
        )

    def thin(self) -> Function:
        """C[:m, :n] = A[:m, :k] @ B[:k, :n] for few rows of A: a few rows of B, which are contiguous, at a time."""
        b = Builder(self.target)
        ars, acs, brs, crs, m, n, k = arguments("ars acs brs crs m n k")
        a, right = Matrix("%a", ars, acs), Matrix("%b", brs, integer(self.lanes))

        def part(p: Value) -> None:
            depth = b.intrinsic("smin", b.sub(k, p), integer(THIN_DEPTH))
            some, rows = self.at(b, a, ZERO, p), self.at(b, right, p, ZERO)
            self.call(b, "block", some, rows, "ptr %c", crs, m, n, depth, b.compare("ne", p, ZERO))

        loop(b, ZERO, b.add(k, integer(THIN_DEPTH - 1)), THIN_DEPTH, [], part)
        return function(
            b,
            f"{self.name}.thin",
            "ptr %a, i64 %ars, i64 %acs, ptr %b, i64 %brs, ptr %c, i64 %crs, i64 %m, i64 %n, i64 %k",
        )

    def narrow(self) -> Function:
        """C[:m, :n] = A[:m, :k] @ B[:k, :n] for few columns of B; C has any strides.

        If A has contiguous rows, these are multiplied with B's columns, copied unless they are contiguous.  Otherwise
        A has contiguous columns: then C.T = B.T @ A.T, few rows, is copied into place unless it is there already.
        """
        b = Builder(self.target)
        ars, acs, brs, bcs, crs, ccs, m, n, k = arguments("ars acs brs bcs crs ccs m n k")
        right, c = Matrix("%b", brs, bcs), Matrix("%c", crs, ccs)

        def by_dots() -> None:
            contiguous = b.compare("eq", brs, ONE)
            when(b, b.compare("ne", brs, ONE), lambda: self.call(b, "copy", Matrix("%scratch", ONE, k), right, k, n))
            columns = pointer_where(b, contiguous, "%b", "%scratch")
            self.call(b, "dots", f"ptr %a, {ars}, ptr {columns}", b.select(contiguous, bcs, k), c, m, n, k)

        return_when(b, b.compare("eq", acs, ONE), by_dots)
        in_place = b.compare("eq", crs, ONE)
        result = Matrix(pointer_where(b, in_place, "%c", "%scratch"), ONE, m)
        self.call(b, "thin", right.transposed, f"ptr %a, {acs}, ptr {result.pointer}", m, n, m, k)
        when(b, b.compare("ne", crs, ONE), lambda: self.call(b, "copy", c, result, m, n))
        return function(
            b,
            f"{self.name}.narrow",
            "ptr %a, i64 %ars, i64 %acs, ptr %b, i64 %brs, i64 %bcs, ptr %c, i64 %crs, i64 %ccs, "
            "i64 %m, i64 %n, i64 %k, ptr %scratch",
        )

    def main(self) -> Function:
        """The whole product: chooses the way."""
        b = Builder(self.target)
        ars, acs, brs, bcs, m, n, k = arguments("ars acs brs bcs m n k")
        lanes = integer(self.lanes)
        bcs = b.select(b.compare("eq", n, ONE), ONE, bcs)  # the stride of a single column does not matter
        a, right, c = Matrix("%a", ars, acs), Matrix("%b", brs, bcs), Matrix("%c", n, ONE)
        a_rows, a_columns = b.compare("eq", acs, ONE), b.compare("eq", ars, ONE)
        b_rows, b_columns = b.compare("eq", bcs, ONE), b.compare("eq", brs, ONE)

        few = max(2, self.lanes // 4)  # columns of which dots, in twos, are faster than a tile with empty lanes
        short = b.compare("sle", k, integer(self.scratch // few))
        low = b.compare("sle", m, integer(self.scratch // few))
        by_dots = all_of(b, a_rows, any_of(b, b_columns, short))
        by_sums = all_of(b, a_columns, b.compare("ne", acs, ONE), any_of(b, b.compare("eq", n, ONE), low))

        def is_few(count: Value) -> Value:
            long = b.select(b.compare("eq", count, ONE), integer(DOTS_FROM), integer(2 * self.lanes))
            return all_of(b, b.compare("sle", count, integer(few)), b.compare("sge", k, long))

        few_columns = all_of(b, is_few(n), any_of(b, by_dots, by_sums))
        return_when(b, few_columns, lambda: self.call(b, "narrow", a, right, c, m, n, k, "ptr %scratch"))
        few_rows = all_of(b, is_few(m), b_columns, any_of(b, a_rows, short))
        swapped = (right.transposed, a.transposed, c.transposed, n, m, k)
        return_when(b, few_rows, lambda: self.call(b, "narrow", *swapped, "ptr %scratch"))

        if self.blas and self.blas_from is not None:
            blas = self.blas

            def by_blas() -> None:
                suits = [self.suits_blas(b, blas, a, m, k), self.suits_blas(b, blas, right, k, n)]
                return_when(b, all_of(b, *suits), lambda: self.call_blas(b, blas, a, right, m, n, k))

            when(b, b.compare("sge", b.mul(b.mul(m, n), k), integer(self.blas_from)), by_blas)
        readable = any_of(b, b_rows, b.compare("eq", k, ZERO))
        small = all_of(b, readable, b.compare("sle", b.mul(n, k), integer(SMALL)))
        return_when(b, small, lambda: self.call(b, "block", a, "ptr %b", brs, lanes, "ptr %c", n, m, n, k, "i1 false"))
        thin = all_of(b, b_rows, b.compare("slt", m, integer(THIN)))
        return_when(b, thin, lambda: self.call(b, "thin", a, "ptr %b", brs, "ptr %c", n, m, n, k))
        self.by_blocks(b, a, right, c, m, n, k)
        return function(
            b,
            self.name,
            "ptr %a, i64 %ars, i64 %acs, ptr %b, i64 %brs, i64 %bcs, ptr %c, i64 %m, i64 %n, i64 %k, ptr %scratch",
        )

    def by_blocks(self, b: Builder, a: Matrix, right: Matrix, c: Matrix, m: Value, n: Value, k: Value) -> None:
        """Copy a block of B at a time, all blocks about as high, and multiply it with all rows of A."""
        lanes = integer(self.lanes)
        blocks = b.binary("udiv", b.add(k, integer(DEPTH - 1)), integer(DEPTH))
        depth = b.binary("udiv", b.sub(b.add(k, blocks), ONE), blocks)
        most = integer(self.scratch // DEPTH)

        def some_columns(j: Value) -> None:
            width = b.intrinsic("smin", b.sub(n, j), most)

            def some_rows(p: Value) -> None:
                height = b.intrinsic("smin", b.sub(k, p), depth)
                self.call(b, "pack", "ptr %scratch", self.at(b, right, p, j), width, height)
                copied = Matrix("%scratch", lanes, b.mul(height, lanes))
                some, to = self.at(b, a, ZERO, p), self.at(b, c, ZERO, j)
                add = b.compare("ne", p, ZERO)
                self.call(b, "block", some, copied, f"ptr {to.pointer}", n, m, width, height, add)

            loop(b, ZERO, b.sub(b.add(k, depth), ONE), depth, [], some_rows)

        loop(b, ZERO, b.sub(b.add(n, most), ONE), most, [], some_columns)

    def suits_blas(self, b: Builder, blas: Blas, matrix: Matrix, height: Value, width: Value) -> Value:
        """Whether BLAS reads a matrix: one stride is 1, the other no less than the size, and both fit its integers."""
        most = integer(2 ** (blas.integer_bits - 1) - 1)
        by_rows = all_of(b, b.compare("eq", matrix.column, ONE), b.compare("sge", matrix.row, width))
        by_columns = all_of(b, b.compare("eq", matrix.row, ONE), b.compare("sge", matrix.column, height))
        largest = b.intrinsic(
            "smax", b.intrinsic("smax", matrix.row, matrix.column), b.intrinsic("smax", width, height)
        )
        return all_of(b, any_of(b, by_rows, by_columns), b.compare("sle", largest, most))

    def call_blas(self, b: Builder, blas: Blas, a: Matrix, right: Matrix, m: Value, n: Value, k: Value) -> None:
        """BLAS: an operand is described by whether it is transposed, and its larger stride, the leading dimension."""
        name, number, size = blas_symbol(self.dtype), Kind(self.dtype), Kind(f"int{blas.integer_bits}")

        def integer_of(x: Value) -> Value:
            return x if x.kind == size else b.let(size, f"trunc {x} to {size}")

        def operand(matrix: Matrix) -> tuple[Value, Value]:
            by_rows = b.compare("eq", matrix.column, ONE)
            order = b.select(by_rows, *(b.constant(x, Kind("int32")) for x in (NO_TRANSPOSE, TRANSPOSE)))
            return order, integer_of(b.select(by_rows, matrix.row, matrix.column))

        (a_order, a_leading), (b_order, b_leading) = operand(a), operand(right)
        sizes = [integer_of(x) for x in (m, n, k)]
        types = f"i32, i32, i32, {size}, {size}, {size}, {number}, ptr, {size}, ptr, {size}, {number}, ptr, {size}"
        b.declare(f"void @{name}({types})")
        scalars = [f"i32 {ROW_MAJOR}", a_order, b_order, *sizes, b.constant(1, number)]
        matrices = [f"ptr {a.pointer}", a_leading, f"ptr {right.pointer}", b_leading]
        result = [b.constant(0, number), "ptr %c", sizes[1]]
        b.write(f"call void @{name}({', '.join(map(str, [*scalars, *matrices, *result]))})")


def arguments(names: str) -> list[Value]:
    """The function's int64 arguments of these names."""
    return [argument(name) for name in names.split()]


def all_of(b: Builder, *conditions: Value) -> Value:
    """Whether all conditions hold."""
    return reduce(lambda x, y: b.binary("and", x, y), conditions)


def any_of(b: Builder, *conditions: Value) -> Value:
    """Whether any condition holds."""
    return reduce(lambda x, y: b.binary("or", x, y), conditions)


def pointer_where(b: Builder, condition: Value, x: str, y: str) -> str:
    """One of two pointers."""
    return b.let(condition.kind, f"select {condition}, ptr {x}, ptr {y}").text


def definition(
    dtype: str, target: Target, blas: Blas | None = None, from_products: int | None = None
) -> tuple[list[str], dict[str, None]]:
    """The texts of the functions, and the declarations of what they call.

    The last is the product: ``void @matmul.f64(a, ars, acs, b, brs, bcs, c, m, n, k, scratch)``, pointers and int64.
    Strides count elements, and may be anything, also 0 or negative.  C is contiguous and does not overlap A or B.
    `scratch` points to `SCRATCH_BYTES` of memory that nobody else uses during the call.  If there is a `blas`, it is
    called for large products, of at least `from_products` multiplications (`blas_from`), and `symbols` must be linked.
    """
    if blas and from_products is None:
        from_products = blas_from(blas, target)
    functions = Product(dtype, target, blas, from_products).functions()
    declarations: dict[str, None] = {}
    for f in functions:
        declarations |= f.declarations
    return [f.text for f in functions], declarations


def module(dtype: str, target: Target, blas: Blas | None = None, from_products: int | None = None) -> str:
    """A module of its own, that exports the product as `symbol`; arguments as for `definition`."""
    texts, declarations = definition(dtype, target, blas, from_products)
    alias = f"@{symbol(dtype)} = alias void (), ptr @matmul.f{Kind(dtype).bits}"
    return "\n".join([*declarations, *texts, alias])


def symbols(dtype: str, blas: Blas | None) -> dict[str, int]:
    """The addresses to link to a module."""
    return {blas_symbol(dtype): blas.address(dtype)} if blas else {}
