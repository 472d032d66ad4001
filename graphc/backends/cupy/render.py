"""CUDA C from kernels whose loops are mapped to threads (kernels/map_gpu.py).  It spells; what runs where is decided.

A kernel takes its sizes by value, everything else by address: scalars too, so that a recording holds for all values.
After the parameters of the loop IR come those of layout.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from math import prod
from typing import ClassVar, NamedTuple

from graphc.backends.cupy import tiles
from graphc.backends.cupy.functions import AT_ONCE, head, place
from graphc.backends.cupy.layout import EXTRAS, Layout, extras, has_checks
from graphc.backends.cupy.spelling import C_TYPE
from graphc.backends.cupy.statements import Statements
from graphc.kernels.gpuir import (
    COLUMNS,
    GRID,
    LANES,
    SPLIT,
    STRIDES,
    TEAMS,
    TILES,
    GpuKernel,
    GpuPrinter,
    Once,
    Spread,
    Sync,
)
from graphc.kernels.loopir import Array, Axis, Carry, Loop
from graphc.kernels.tiling import of_tiles

# The functions of two values (prelude.py) that reductions are made of.
COMBINES = {
    "sum": "g_add", "dot": "g_add", "prod": "g_mul", "max": "g_maximum", "min": "g_minimum",
    "any": "g_any", "all": "g_all",
}  # fmt: skip

# The first of the block's threads in a layout, which does what is done once a team.
FIRST = {TEAMS: "threadIdx.x == 0", COLUMNS: "on && threadIdx.y == 0"}
ONE = "block == 0 && threadIdx.x == 0 && threadIdx.y == 0"

# What makes totals of all threads that share out a loop known to each of them.
TOGETHER = {LANES: "g_lanes", STRIDES: "g_column", SPLIT: "g_column"}


def render(kernel: GpuKernel, layout: Layout, name: str) -> str:
    """A ``__global__`` function."""
    return _Renderer(kernel, layout, name).text


class Part(NamedTuple):
    """What a function of several kernels (several.py) has of one.

    indices: the definition of their type; parameters: types and names; shared_bytes: of shared memory.
    """

    indices: str
    parameters: tuple[tuple[str, str], ...]
    body: tuple[str, ...]
    threads: int
    shared_bytes: int


def part(kernel: GpuKernel, layout: Layout) -> Part:
    """A kernel as a part of a function."""
    found = _Renderer(kernel, layout, "")
    return Part(found.index, tuple(found.parameters), tuple(found.body), prod(kernel.block), found.shared_bytes)


# A loop over the grid of no more statements is unrolled.
MOST_UNROLLED = 32


class _Renderer(Statements):
    """Functions, and the loops over threads in them."""

    def __init__(self, kernel: GpuKernel, layout: Layout, name: str) -> None:
        super().__init__(GpuPrinter(kernel).names, has_checks(kernel))
        self.mapped = kernel
        self.layout = layout
        self.kernel = kernel.kernel
        self.name = name
        self.over = GRID

    # ---- the whole ----

    @property
    def text(self) -> str:
        """The function."""
        parameters = [kind + name for kind, name in self.parameters]
        threads = prod(self.mapped.block)
        # The addresses of tiles that are counted in 64 bits take registers of which there are too few otherwise.
        at_once = threads if self.is_tiled and not self.layout.is_small else AT_ONCE
        lines = head(self.name, threads, parameters, self.shared_bytes, at_once)
        return "\n".join([*lines, f"  {self.index}", *place(self.body), *self.body, "}"])

    @property
    def is_tiled(self) -> bool:
        """Whether this is a product by tiles."""
        top = self.mapped.shared_out
        return top is not None and top.over == TILES

    @property
    def shared_bytes(self) -> int:
        """Of shared memory that the rows of a block take, or the stages of its tiles."""
        top = self.mapped.shared_out
        if self.is_tiled:
            assert top is not None
            return tiles.shared_bytes(of_tiles(top).total.out.dtype)
        return self.layout.shared_bytes * self.mapped.block[1] if self.mapped.rows else 0

    @property
    def index(self) -> str:
        """The type of indices."""
        return f"typedef {'int' if self.layout.is_small else 'long long'} ix;"

    @cached_property
    def body(self) -> list[str]:
        """The lines of the function."""
        for i, scalar in enumerate(self.kernel.scalars):
            self.line(f"const {C_TYPE[scalar.dtype]} s{i} = *s{i}_at;")
        if self.checks:
            self.line("bool ok = true;")
        for n in self.kernel.sizes:
            self.line(f"const ix {self.names[n]} = (ix){self.names[n]}_;")
        if self.mapped.rows:
            self._rows()
        self.block(self.mapped.body)
        top = self.mapped.shared_out
        if top is not None and top.carries:
            self._finish(top)
        return self.lines

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Types and names."""
        kernel = self.kernel
        restrict = "" if self.layout.aliased else "__restrict__ "
        found = [("const long long ", f"{self.names[n]}_") for n in kernel.sizes]
        found += [(f"const {C_TYPE[s.dtype]} *", f"{self.names[s]}_at") for s in kernel.scalars]
        for a in kernel.arrays:
            const = "" if a in kernel.written else "const "
            found.append((f"{const}{C_TYPE[a.dtype]} *{restrict}", self.names[a]))
        found += [(f"{C_TYPE[o.dtype]} *", self.names[o]) for o in kernel.outputs]
        return [*found, *((f"{EXTRAS[name]} *", name) for name in extras(self.mapped, self.layout))]

    def _rows(self) -> None:
        """The rows of a team, in shared memory or not."""
        rows, teams = self.mapped.rows, self.mapped.block[1]
        if self.layout.shared_bytes:
            self.line(f"char *row = shared + threadIdx.y * {self.layout.shared_bytes};")
        else:
            each = " + ".join(map(self._row_bytes, rows))
            self.line(f"char *row = rows + ((long long)block * {teams} + threadIdx.y) * ({each});")
        for row in rows:
            kind = C_TYPE[row.dtype]
            self.line(f"{kind} *{self.names[row]} = ({kind} *)row;")
            self.line(f"row += {self._row_bytes(row)};")

    def _row_bytes(self, row: Array) -> str:
        """The bytes of a row, in multiples of 16."""
        count = " * ".join(f"(long long){self.size(n)}" for dims in row.sizes for n in dims) or "1"
        return f"(({count} * sizeof({C_TYPE[row.dtype]}) + 15) / 16 * 16)"

    def _finish(self, top: Spread) -> None:
        """Totals over the grid, and what is done with them."""
        for carry in top.carries:
            self.line(f"{self.names[carry]} = {self._together('g_block', carry, self.names[carry])};")
        if not self.layout.alone:
            self._over_blocks(top)
        self.open("if (threadIdx.x == 0 && threadIdx.y == 0) {")
        for carry in top.carries:
            self.define(carry.out, self.names[carry])
        self.block(self.mapped.finish)
        self.close()

    def _over_blocks(self, top: Spread) -> None:
        """What all blocks have of the totals, for the last of them."""
        self.open("if (blocks > 1) {")
        self.open("if (threadIdx.x == 0 && threadIdx.y == 0) {")
        for i, carry in enumerate(top.carries):
            self.line(f"({self._parts(i, carry)})[block] = {self.names[carry]};")
        self.close()
        self.line("if (!g_is_last(ticket, blocks)) return;")
        for i, carry in enumerate(top.carries):
            self.line(f"{self.names[carry]} = {self._together('g_grid', carry, self._parts(i, carry))};")
        self.close()

    @staticmethod
    def _parts(i: int, carry: Carry) -> str:
        """Where the blocks leave what they have of a total."""
        return f"({C_TYPE[carry.out.dtype]} *)(parts + {i} * 8 * blocks)"

    def _together(self, function: str, carry: Carry, value: str) -> str:
        """The call of a reduction over several threads."""
        kind = C_TYPE[carry.out.dtype]
        start = "" if function == "g_column" else f", {self.neutral(carry)}"
        start += ", blocks" if function == "g_grid" else ""
        return f"{function}<{kind}, {COMBINES[carry.kind]}<{kind}>>({value}{start})"

    # ---- threads ----

    def once(self, s: Once) -> None:
        """Statements for one thread."""
        self.open(f"if ({FIRST.get(self.over, ONE)}) {{")
        self.block(s.body)
        self.close()

    def sync(self, s: Sync) -> None:
        """Wait for the team."""
        self.line("__syncwarp();" if self.over == TEAMS and self.mapped.block[0] == 32 else "__syncthreads();")

    def spread(self, s: Spread) -> None:
        """A loop over threads."""
        SPREADS[s.over](self, s)

    def shared_out(self, s: Spread) -> None:
        """A loop in which each thread takes its own iterations."""
        self.begin(s.carries)
        outer = self.over
        if s.over in (GRID, TEAMS, COLUMNS):
            self.over = s.over
        HEADS[s.over](self, s)
        self.block(s.body)
        self.gather(s.carries, f"if ({FIRST[s.over]}) " if s.over in FIRST else "")
        self.close()
        if s.over in TOGETHER:
            for carry in s.carries:
                self.define(carry.out, self._together(TOGETHER[s.over], carry, self.names[carry]))
        self.over = outer

    def tiles(self, s: Spread) -> None:
        """A product of matrices: a call that is given how its factors are read, and what is done with an element."""
        found = of_tiles(s)
        rows, columns, terms = map(self.axis, found.axes)
        kind = C_TYPE[found.total.out.dtype]
        by_terms = ", ".join("true" if load.index[-1] is found.axes[2] else "false" for load in (found.x, found.y))
        sizes = ", ".join(f"(ix){self.product(axis.sizes)}" for axis in found.axes)
        self.open(f"g_tiles<{kind}, {by_terms}>(shared, block, blocks, {sizes},")
        for load, (one, other) in ((found.x, (rows, terms)), (found.y, (terms, columns))):
            self.line(f"[&](ix {one}, ix {other}) {{ return {self.access(load.array, load.index)}; }},")
        self.open(f"[&](ix {rows}, ix {columns}, {kind} {self.value(found.total.out)}) {{")
        self.block(found.body)
        self.depth -= 2
        self.line("  });")

    # ---- how loops begin ----

    def _grid(self, s: Spread) -> None:
        k, total = self._counter(s)
        wide, high = self.mapped.block
        thread = "threadIdx.x" if high == 1 else f"threadIdx.y * {wide} + threadIdx.x"
        start, step = f"(ix)block * {wide * high} + {thread}", f"(ix)blocks * {wide * high}"
        if not self.layout.alone and len(s.body) <= MOST_UNROLLED and not any(isinstance(x, Loop) for x in s.body):
            self.line("#pragma unroll 4")  # so that four iterations wait for memory together
        self.open(f"for (ix {k} = {start}; {k} < {total}; {k} += {step}) {{")
        self._decompose(s.axes, k)

    def _teams(self, s: Spread) -> None:
        k, total = self._counter(s)
        start = "(ix)block * blockDim.y + threadIdx.y"
        self.open(f"for (ix {k} = {start}; {k} < {total}; {k} += (ix)blocks * blockDim.y) {{")
        self._decompose(s.axes, k)

    def _lanes(self, s: Spread) -> None:
        k, total = self._counter(s)
        self.open(f"for (ix {k} = (ix)threadIdx.x; {k} < {total}; {k} += (ix)blockDim.x) {{")
        self._decompose(s.axes, k)

    def _columns(self, s: Spread) -> None:
        k, total = self._counter(s)
        self.line(f"const ix across = ({total} + 31) / 32;")
        start = "across ? block % across : 0"  # of no columns there may still be a total
        self.open(f"for (ix b = {start}; b < across; b += blocks < across ? blocks : across) {{")
        self.line(f"const bool on = b * 32 + threadIdx.x < {total};")
        self.line(f"const ix {k} = on ? b * 32 + threadIdx.x : {total} - 1;  // all threads meet in reductions")
        self._decompose(s.axes, k)

    def _strides(self, s: Spread) -> None:
        k, total = self._counter(s)
        self.open(f"for (ix {k} = (ix)threadIdx.y; on && {k} < {total}; {k} += (ix)blockDim.y) {{")
        self._decompose(s.axes, k)

    def _split_strides(self, s: Spread) -> None:
        k, total = self._counter(s)
        assert s.part is not None
        start = f"{self.names[s.part]} * (ix)blockDim.y + (ix)threadIdx.y"
        step = f"{self.product(s.part.sizes)} * (ix)blockDim.y"
        self.open(f"for (ix {k} = {start}; on && {k} < {total}; {k} += {step}) {{")
        self._decompose(s.axes, k)

    def _counter(self, s: Spread) -> tuple[str, str]:
        """The variable that counts iterations, and how many there are."""
        name = f"{'i' if len(s.axes) == 1 else 'k'}{self._axes}"
        sizes = tuple(n for axis in s.axes for n in axis.sizes)
        return name, self.product(sizes)

    def _decompose(self, axes: tuple[Axis, ...], counter: str) -> None:
        """The variable of each axis."""
        if len(axes) == 1:
            self.axis(axes[0])
            return
        self.flat[axes] = counter
        names = [self.axis(axis) for axis in axes]
        rest = counter
        for axis, name in reversed(list(zip(axes, names, strict=True))[1:]):
            count = self.product(axis.sizes)
            self.line(f"const ix {name} = {rest} % {count}, {name}_rest = {rest} / {count};")
            rest = f"{name}_rest"
        self.line(f"const ix {names[0]} = {rest};")

    spellings: ClassVar[Mapping[type, Callable[..., None]]] = {
        **Statements.spellings, Spread: spread, Once: once, Sync: sync,
    }  # fmt: skip


# How a loop begins in which each thread takes its own iterations, by who they are.
HEADS: dict[str, Callable[[_Renderer, Spread], None]] = {
    GRID: _Renderer._grid, TEAMS: _Renderer._teams, LANES: _Renderer._lanes, COLUMNS: _Renderer._columns,
    STRIDES: _Renderer._strides, SPLIT: _Renderer._split_strides,
}  # fmt: skip

# How a loop over threads is written, by who runs it.
SPREADS = dict.fromkeys(HEADS, _Renderer.shared_out) | {TILES: _Renderer.tiles}
