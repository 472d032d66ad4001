"""CUDA C from kernels whose loops are mapped to threads (kernels/map_gpu.py).  It spells; what runs where is decided.

A kernel takes its sizes by value, everything else by address: scalars too, so that a recording holds for all values.
After the parameters of the loop IR come those of layout.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from typing import NamedTuple

from graphc.backends.cupy import tiles
from graphc.backends.cupy.functions import head, place
from graphc.backends.cupy.layout import EXTRAS, Layout, extras, has_checks
from graphc.backends.cupy.spelling import C_TYPE, accumulate, combine, number, spell
from graphc.graph.op import Op
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
    GpuStatement,
    Once,
    Spread,
    Sync,
)
from graphc.kernels.loopir import (
    Accumulate,
    Array,
    Axis,
    Carry,
    Extent,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Number,
    Output,
    Position,
    Require,
    Shifted,
    Size,
    Store,
    Value,
)
from graphc.kernels.neutral import neutral
from graphc.kernels.tiling import of_tiles

# The functions of two values (prelude.py) that reductions are made of.
COMBINES = {
    "sum": "g_add", "dot": "g_add", "prod": "g_mul", "max": "g_maximum", "min": "g_minimum",
    "any": "g_any", "all": "g_all",
}  # fmt: skip

# The first of the block's threads in a layout, which does what is done once a team.
FIRST = {TEAMS: "threadIdx.x == 0", COLUMNS: "on && threadIdx.y == 0"}
ONE = "block == 0 && threadIdx.x == 0 && threadIdx.y == 0"


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


class _Renderer:
    def __init__(self, kernel: GpuKernel, layout: Layout, name: str) -> None:
        self.mapped = kernel
        self.layout = layout
        self.kernel: Kernel = kernel.kernel
        self.name = name
        self.names: dict[object, str] = GpuPrinter(kernel).names
        self.lines: list[str] = []
        self.depth = 1
        self.constants: dict[Value, float | int | bool] = {}
        self.over = GRID
        self.checks = has_checks(kernel)
        self._count = 0
        self._axes = 0
        self.flat: dict[tuple[Axis, ...], str] = {}
        """What counts the iterations over several axes at once."""

    # ---- the whole ----

    @property
    def text(self) -> str:
        """The function."""
        parameters = [kind + name for kind, name in self.parameters]
        lines = head(self.name, prod(self.mapped.block), parameters, self.shared_bytes)
        return "\n".join([*lines, f"  {self.index}", *place(self.body), *self.body, "}"])

    @property
    def shared_bytes(self) -> int:
        """Of shared memory that the rows of a block take, or the stages of its tiles."""
        top = self.mapped.shared_out
        if top is not None and top.over == TILES:
            return tiles.shared_bytes(of_tiles(top).total.out.dtype)
        return self.layout.shared_bytes * self.mapped.block[1] if self.mapped.rows else 0

    @property
    def index(self) -> str:
        """The type of indices."""
        return f"typedef {'int' if self.layout.is_small else 'long long'} ix;"

    @cached_property
    def body(self) -> list[str]:
        """The lines of the function."""
        mapped = self.mapped
        for i, scalar in enumerate(self.kernel.scalars):
            self._line(f"const {C_TYPE[scalar.dtype]} s{i} = *s{i}_at;")
        if self.checks:
            self._line("bool ok = true;")
        self._rows()
        self._block(mapped.body)
        self._finish()
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

    def _line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    def _open(self, text: str) -> None:
        self._line(text)
        self.depth += 1

    def _close(self) -> None:
        self.depth -= 1
        self._line("}")

    def _rows(self) -> None:
        """The rows of a team, in shared memory or not."""
        sizes = [f"const ix {self.names[n]} = (ix){self.names[n]}_;" for n in self.kernel.sizes]
        for line in sizes:
            self._line(line)
        rows = self.mapped.rows
        if not rows:
            return
        teams = self.mapped.block[1]
        if self.layout.shared_bytes:
            self._line(f"char *row = shared + threadIdx.y * {self.layout.shared_bytes};")
        else:
            each = " + ".join(self._row_bytes(row) for row in rows)
            self._line(f"char *row = rows + ((long long)block * {teams} + threadIdx.y) * ({each});")
        for row in rows:
            kind = C_TYPE[row.dtype]
            self._line(f"{kind} *{self.names[row]} = ({kind} *)row;")
            self._line(f"row += {self._row_bytes(row)};")

    def _row_bytes(self, row: Array) -> str:
        """The bytes of a row, in multiples of 16."""
        count = " * ".join(f"(long long){self._size(n)}" for dims in row.sizes for n in dims) or "1"
        return f"(({count} * sizeof({C_TYPE[row.dtype]}) + 15) / 16 * 16)"

    def _finish(self) -> None:
        """Totals over the grid, and what is done with them."""
        top = self.mapped.shared_out
        if top is None or not top.carries:
            return
        for carry in top.carries:
            self._line(f"{self._acc(carry)} = {self._together('g_block', carry, self._acc(carry))};")
        if not self.layout.alone:
            self._over_blocks(top)
        self._open("if (threadIdx.x == 0 && threadIdx.y == 0) {")
        for carry in top.carries:
            self._define(carry.out, self._acc(carry))
        self._block(self.mapped.finish)
        self._close()

    def _over_blocks(self, top: Spread) -> None:
        """What all blocks have of the totals, for the last of them."""
        self._open("if (blocks > 1) {")
        self._open("if (threadIdx.x == 0 && threadIdx.y == 0) {")
        for i, carry in enumerate(top.carries):
            self._line(f"({self._parts(i, carry)})[block] = {self._acc(carry)};")
        self._close()
        self._line("if (!g_is_last(ticket, blocks)) return;")
        for i, carry in enumerate(top.carries):
            self._line(f"{self._acc(carry)} = {self._together('g_grid', carry, self._parts(i, carry))};")
        self._close()

    @staticmethod
    def _parts(i: int, carry: Carry) -> str:
        """Where the blocks leave what they have of a total."""
        return f"({C_TYPE[carry.out.dtype]} *)(parts + {i} * 8 * blocks)"

    def _together(self, function: str, carry: Carry, value: str) -> str:
        """The call of a reduction over several threads."""
        kind = C_TYPE[carry.out.dtype]
        start = "" if function in ("g_warp", "g_column") else f", {self._neutral(carry)}"
        start += ", blocks" if function == "g_grid" else ""
        return f"{function}<{kind}, {COMBINES[carry.kind]}<{kind}>>({value}{start})"

    def _neutral(self, carry: Carry) -> str:
        return f"({C_TYPE[carry.out.dtype]}){number(neutral(carry.kind, carry.out.dtype), carry.out.dtype)}"

    # ---- statements ----

    def _block(self, statements: Sequence[GpuStatement]) -> None:
        for statement in statements:
            STATEMENTS[type(statement)](self, statement)

    def spread(self, s: Spread) -> None:
        """A loop over threads."""
        if s.over == TILES:
            self._tiles(s)
            return
        for carry in s.carries:
            self._line(f"{C_TYPE[carry.out.dtype]} {self._start(carry)} = {self._neutral(carry)};")
        outer = self.over
        if s.over in (GRID, TEAMS, COLUMNS):
            self.over = s.over
        HEADS[s.over](self, s)
        self._block(s.body)
        guard = f"if ({FIRST[s.over]}) " if s.over in FIRST else ""
        for carry in s.carries:
            value = combine(carry.kind, carry.out.dtype, self._acc(carry), self.names[carry.value])
            self._line(f"{guard}{self._acc(carry)} = {value};")
        self._close()
        if s.over in (LANES, STRIDES, SPLIT):
            for carry in s.carries:
                function = "g_lanes" if s.over == LANES else "g_column"
                self._define(carry.out, self._together(function, carry, self._acc(carry)))
        self.over = outer

    def _grid(self, s: Spread) -> None:
        k, total = self._counter(s)
        wide, high = self.mapped.block
        thread = "threadIdx.x" if high == 1 else f"threadIdx.y * {wide} + threadIdx.x"
        start, step = f"(ix)block * {wide * high} + {thread}", f"(ix)blocks * {wide * high}"
        if not self.layout.alone and len(s.body) <= MOST_UNROLLED and not any(isinstance(x, Loop) for x in s.body):
            self._line("#pragma unroll 4")  # so that four iterations wait for memory together
        self._open(f"for (ix {k} = {start}; {k} < {total}; {k} += {step}) {{")
        self._decompose(s.axes, k)

    def _teams(self, s: Spread) -> None:
        k, total = self._counter(s)
        start = "(ix)block * blockDim.y + threadIdx.y"
        self._open(f"for (ix {k} = {start}; {k} < {total}; {k} += (ix)blocks * blockDim.y) {{")
        self._decompose(s.axes, k)

    def _lanes(self, s: Spread) -> None:
        k, total = self._counter(s)
        self._open(f"for (ix {k} = (ix)threadIdx.x; {k} < {total}; {k} += (ix)blockDim.x) {{")
        self._decompose(s.axes, k)

    def _columns(self, s: Spread) -> None:
        k, total = self._counter(s)
        self._line(f"const ix across = ({total} + 31) / 32;")
        start = "across ? block % across : 0"  # of no columns there may still be a total
        self._open(f"for (ix b = {start}; b < across; b += blocks < across ? blocks : across) {{")
        self._line(f"const bool on = b * 32 + threadIdx.x < {total};")
        self._line(f"const ix {k} = on ? b * 32 + threadIdx.x : {total} - 1;  // all threads meet in reductions")
        self._decompose(s.axes, k)

    def _strides(self, s: Spread) -> None:
        k, total = self._counter(s)
        self._open(f"for (ix {k} = (ix)threadIdx.y; on && {k} < {total}; {k} += (ix)blockDim.y) {{")
        self._decompose(s.axes, k)

    def _split_strides(self, s: Spread) -> None:
        k, total = self._counter(s)
        assert s.part is not None
        start = f"{self.names[s.part]} * (ix)blockDim.y + (ix)threadIdx.y"
        step = f"{self._product(s.part.sizes)} * (ix)blockDim.y"
        self._open(f"for (ix {k} = {start}; on && {k} < {total}; {k} += {step}) {{")
        self._decompose(s.axes, k)

    def _tiles(self, s: Spread) -> None:
        """A product of matrices: how its factors are read, and what is done with an element, as functions."""
        found = of_tiles(s)
        i, j, k = found.axes
        for axis in found.axes:
            self.names[axis] = f"i{self._axes}"
            self._axes += 1
        kind = C_TYPE[found.total.out.dtype]
        by_terms = ", ".join("true" if load.index[-1] is k else "false" for load in (found.x, found.y))
        sizes = ", ".join(f"(ix){self._product(axis.sizes)}" for axis in found.axes)
        self._open(f"g_tiles<{kind}, {by_terms}>(shared, block, blocks, {sizes},")
        for load, (one, other) in ((found.x, (i, k)), (found.y, (k, j))):
            names = f"ix {self.names[one]}, ix {self.names[other]}"
            self._line(f"[&]({names}) {{ return {self._access(load.array, load.index)}; }},")
        total = self.names[found.total.out] = f"t{self._count}"
        self._count += 1
        self._open(f"[&](ix {self.names[i]}, ix {self.names[j]}, {kind} {total}) {{")
        self._block(found.body)
        self.depth -= 2
        self._line("  });")

    def _counter(self, s: Spread) -> tuple[str, str]:
        """The variable that counts iterations, and how many there are."""
        name = f"k{self._axes}"
        if len(s.axes) == 1:
            name = f"i{self._axes}"
        sizes = tuple(n for axis in s.axes for n in axis.sizes)
        return name, self._product(sizes)

    def _decompose(self, axes: tuple[Axis, ...], counter: str) -> None:
        """The variable of each axis."""
        if len(axes) == 1:
            self.names[axes[0]] = counter
            self._axes += 1
            return
        self.flat[axes] = counter
        names = [f"i{self._axes + i}" for i in range(len(axes))]
        self._axes += len(axes)
        self.names |= dict(zip(axes, names, strict=True))
        rest = counter
        for axis, name in reversed(list(zip(axes, names, strict=True))[1:]):
            count = self._product(axis.sizes)
            self._line(f"const ix {name} = {rest} % {count}, {name}_rest = {rest} / {count};")
            rest = f"{name}_rest"
        self._line(f"const ix {names[0]} = {rest};")

    def once(self, s: Once) -> None:
        """Statements for one thread."""
        self._open(f"if ({FIRST.get(self.over, ONE) if self.over != GRID else ONE}) {{")
        self._block(s.body)
        self._close()

    def sync(self, s: Sync) -> None:
        """Wait for the team."""
        self._line("__syncwarp();" if self.over == TEAMS and self.mapped.block[0] == 32 else "__syncthreads();")

    def loop(self, s: Loop) -> None:
        """A loop that one thread runs."""
        for carry in s.carries:
            self._line(f"{C_TYPE[carry.out.dtype]} {self._start(carry)} = {self._neutral(carry)};")
        name = self.names[s.axis] = f"i{self._axes}"
        self._axes += 1
        self._open(f"for (ix {name} = 0; {name} < {self._product(s.axis.sizes)}; ++{name}) {{")
        self._block(s.body)
        for carry in s.carries:
            value = combine(carry.kind, carry.out.dtype, self._acc(carry), self.names[carry.value])
            self._line(f"{self._acc(carry)} = {value};")
        self._close()
        for carry in s.carries:
            self.names[carry.out] = self._acc(carry)

    def let(self, s: Let) -> None:
        """An op."""
        self._define(s.out, self._spelled(s.op, s.args, s.out.dtype))

    def _spelled(self, op: Op, args: tuple[Value, ...], dtype: str) -> str:
        known = self.constants.get(args[-1]) if len(args) == 2 else None
        exponent = None if known is None else float(known)
        return spell(op, [self.names[a] for a in args], [a.dtype for a in args], dtype, exponent)

    def number(self, s: Number) -> None:
        """A constant."""
        self.constants[s.out] = s.number
        self._define(s.out, number(s.number, s.out.dtype))

    def position(self, s: Position) -> None:
        """The number of an iteration."""
        self._define(s.out, self.names[s.axis])

    def extent(self, s: Extent) -> None:
        """A size."""
        self._define(s.out, self._size(s.size))

    def require(self, s: Require) -> None:
        """A check: who fails it goes on, but touches no memory for which it was made."""
        self._line(f"if (!{self.names[s.value]}) {{ ok = false; atomicMax(error, 1u); }}")

    def load(self, s: Load) -> None:
        """Read."""
        place = self._access(s.array, s.index)
        if self._is_checked(s.index):
            place = f"ok ? {place} : ({C_TYPE[s.array.dtype]})0"
        self._define(s.out, place)

    def store(self, s: Store) -> None:
        """Write."""
        guard = "if (ok) " if self._is_checked(s.index) else ""
        self._line(f"{guard}{self._access(s.array, s.index)} = {self.names[s.value]};")

    def accumulate(self, s: Accumulate) -> None:
        """Add, or what else reductions do, to memory."""
        place = self._access(s.array, s.index)
        guard = "if (ok) " if self._is_checked(s.index) else ""
        if s.shared:
            self._line(f"{guard}{accumulate(s.kind, f'&{place}', self.names[s.value])};")
        else:
            self._line(f"{guard}{place} = {combine(s.kind, s.array.dtype, place, self.names[s.value])};")

    def output(self, s: Output) -> None:
        """A result of rank 0."""
        self._line(f"*{self.names[s.parameter]} = {self.names[s.value]};")

    # ---- parts of statements ----

    def _define(self, out: Value, text: str) -> None:
        name = self.names[out] = f"t{self._count}"
        self._count += 1
        self._line(f"const {C_TYPE[out.dtype]} {name} = {text};")

    def _start(self, carry: Carry) -> str:
        """A name for what a loop gathers."""
        self.names[carry] = f"a{self._count}"
        self._count += 1
        return self.names[carry]

    def _acc(self, carry: Carry) -> str:
        return self.names[carry]

    def _size(self, n: int | Size) -> str:
        return str(n) if isinstance(n, int) else self.names[n]

    def _product(self, sizes: Sequence[int | Size]) -> str:
        text = " * ".join(map(self._size, sizes)) or "1"
        return f"({text})" if len(sizes) > 1 else text

    def _is_checked(self, index: Sequence[Index]) -> bool:
        """Whether an index may be out of bounds, unless a check has passed."""
        return self.checks and any(isinstance(i, Shifted | Value) for i in index)

    def _access(self, array: Array, index: tuple[Index, ...]) -> str:
        offset = ""
        parts = [(self._at(i), sizes) for i, sizes in zip(index, array.sizes, strict=True)]
        for axes, counter in self.flat.items():
            rows = [axis.sizes for axis in axes[1:]]
            if index[-len(axes) :] == axes and [*array.sizes[len(index) - len(rows) :]] == rows:
                # The last indices are counted as one.
                parts[-len(axes) :] = [(counter, tuple(n for axis in axes for n in axis.sizes))]
                break
        for at, sizes in parts:
            offset = f"({offset}) * {self._product(sizes)} + {at}" if offset else at
        return f"{self.names[array]}[{offset or 0}]"

    def _at(self, index: Index) -> str:
        if isinstance(index, Shifted):
            return f"({self.names[index.axis]} + (ix){self.names[index.by]})"
        if isinstance(index, Value):
            return f"(ix){self.names[index]}"
        return str(index) if isinstance(index, int) else self.names[index]


# How a loop begins, by who runs its iterations.
HEADS: dict[str, Callable[[_Renderer, Spread], None]] = {
    GRID: _Renderer._grid, TEAMS: _Renderer._teams, LANES: _Renderer._lanes, COLUMNS: _Renderer._columns,
    STRIDES: _Renderer._strides, SPLIT: _Renderer._split_strides,
}  # fmt: skip

STATEMENTS: dict[type, Callable[..., None]] = {
    Spread: _Renderer.spread, Once: _Renderer.once, Sync: _Renderer.sync, Loop: _Renderer.loop, Let: _Renderer.let,
    Number: _Renderer.number, Position: _Renderer.position, Extent: _Renderer.extent, Require: _Renderer.require,
    Load: _Renderer.load, Store: _Renderer.store, Accumulate: _Renderer.accumulate, Output: _Renderer.output,
}  # fmt: skip
