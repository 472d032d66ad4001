"""The corpus: every kernel call of the programs of tests/kernels, for many sizes and mapped in several ways.

A kernel holds for all sizes, whatever sizes its mapping was chosen for.  So small calls, which the interpreter can
check, are run by kernels that were mapped for large ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from itertools import chain
from typing import Any
from unittest import mock

import numpy as np

import graphc.tensor as T
from graphc.backends.cupy import launches, programs, spelling
from graphc.backends.cupy.launches import Prepared, Sequel, does_nothing, prepare
from graphc.backends.cupy.programs import Programs
from graphc.backends.cupy.several import render_alone
from graphc.kernels import map_gpu
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.epilogue import with_epilogues
from graphc.kernels.gpuir import GpuKernel, walk
from graphc.kernels.interpret import Refused, interpret
from graphc.kernels.loopir import (
    Accumulate,
    Axis,
    Carry,
    Extent,
    Kernel,
    Let,
    Load,
    Loop,
    Number,
    Output,
    Position,
    Size,
    Store,
    Value,
)
from graphc.kernels.loopir import (
    Array as Memory,
)
from graphc.kernels.map_gpu import ALONE
from graphc.kernels.plan import Plan, plan
from graphc.kernels.product import multiplied
from graphc.kernels.steps import Product
from graphc.kernels.uses import Uses
from graphc.ops.elementwise import mul, sub
from graphc.tensor import nnet
from tests.cuda.play import Array, Script, Step
from tests.cuda.threads import garbage
from tests.kernels.machine import Machine
from tests.kernels.programs import PROGRAMS, Program

# Programs whose kernels only a GPU has: what a team does with columns.
COLUMNS = [
    Program("softmax_of_columns", "nm", lambda x: nnet.softmax(x.T).T),
    Program("softmax_of_columns_and_more", "nm nm", lambda x, y: (nnet.softmax(x.T).T * y).sum(axis=0)),
    Program("total_after_columns", "nm", lambda x: T.log(T.exp(x.T).sum(axis=1)).sum()),
    Program("single_precision", "nm m", lambda x, y: [T.exp(x * y).sum(axis=1), x.sum(), (x + 1).max(axis=0)],
            "float32 float32"),
    Program("narrow_integers", "nm nm", lambda x, y: [x.max(axis=0), (x * y).max(axis=1), y.min()], "int16 uint8"),
]  # fmt: skip
# Products of matrices, which a library has on the CPU; with what is done with them.
PRODUCTS = [
    Program("product", "nm mn", T.dot),
    Program("product_of_transposed", "nm mn", lambda x, y: T.dot(x.T, y.T), "float32 float32"),
    Program("layer", "mn nm m", lambda x, y, z: T.tanh(T.dot(x, y) + z), "float32 float32 float32"),
    Program("layer_back", "mn mn mm", lambda x, y, z: [(d := T.dot(x, y.T) * (z > 0)), d.sum(axis=0)]),
    Program("product_is_added", "nm nm mm", lambda x, y, z: z - 0.5 * T.dot(x.T, y)),
]
CORPUS = (*PROGRAMS, *COLUMNS, *PRODUCTS)
BY_NAME = {program.name: program for program in CORPUS}

PROCESSORS, BLOCKS = 3, 1  # so few that each thread has several iterations

Sizes = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Way:
    """How kernels are mapped: for sizes so many times as large as they are, with other limits, or for one block."""

    name: str
    times: Mapping[str, int] = field(default_factory=dict)
    constants: Mapping[str, int] = field(default_factory=dict)
    alone: bool = False

    def __str__(self) -> str:
        return self.name


PLAIN = Way("plain")
WAYS = (
    PLAIN,
    Way("long rows", {"m": 500}),  # teams of a block, rows in shared memory
    Way("rows in memory", {"m": 500}, {"MOST_SHARED": 0}),
    Way("short rows in memory", {"m": 2}, {"MOST_SHARED": 0}),
    Way("long columns", {"n": 50_000}, {"PARTS": 3}),  # columns in parts
    Way("wide", {"m": 50_000, "n": 50}),
    Way("large", {"m": 100_000, "n": 100_000}, {"MOST_SMALL": 0}),  # counted in 64 bits
    Way("alone", alone=True),  # one block runs all launches
)


@dataclass(frozen=True)
class Whole:
    """Launches as one kernel, for one block; it stands where a launch does."""

    launches: tuple[Prepared, ...]

    @property
    def kernel(self) -> GpuKernel:
        """The last of the kernels."""
        return self.launches[-1].kernel

    def source(self, name: str) -> str:
        """The CUDA C."""
        return render_alone([(launch.kernel, launch.layout) for launch in self.launches], name)


@dataclass(frozen=True)
class Call:
    """A kernel that was called: its sizes, and its memory before and after; after is None if a check failed."""

    what: str
    kernel: Kernel
    sizes: tuple[int, ...]
    scalars: tuple[Any, ...]
    before: tuple[Array, ...]
    after: tuple[Array, ...] | None
    outputs: tuple[Any, ...]


@cache
def plan_of(program: Program, ones: str) -> Plan:
    """The plan of a program where the sizes of some letters are 1."""
    f = program.function("numpy")
    f(*program.values(**dict.fromkeys(ones, 1)))
    return of_kernels(plan(f.schedule, kernel_ops(spelling.spells), windows=False, atomic=True))


def of_kernels(made: Plan) -> Plan:
    """A plan whose products are kernels, together with what reads them where that can be."""
    steps = with_epilogues(Uses(made), lambda _: True)
    kept = [(step, when) for step, when in zip(steps, made.whens, strict=True) if step is not None]
    return replace(
        made,
        steps=tuple(multiplied(step, made.shapes) if isinstance(step, Product) else step for step, _ in kept),
        whens=tuple(when for _, when in kept),
    )


def sizes_of(program: Program, **sizes: int) -> dict[str, int]:
    """All sizes that a program has."""
    letters = set(program.shapes) - {" ", "-", "1"}
    known = {"n": 3, "m": 5, "k": 2, **sizes}
    return {letter: known[letter] for letter in sorted(letters)}


def usual_sizes(program: Program) -> dict[str, int]:
    """Sizes for which all ways differ, if a program has not too many elements then."""
    usual = sizes_of(program, n=70, m=35)
    return usual if most_elements(program, usual) < 3000 else sizes_of(program, n=7, m=9)


def most_elements(program: Program, sizes: Mapping[str, int]) -> int:
    """Of the largest input."""
    return max(math.prod(sizes.get(letter, 1) for letter in shape) for shape in program.shapes.split())


def fits(program: Program, sizes: Mapping[str, int]) -> bool:
    """Whether a program has a value for such sizes: numbers of classes are below all of them."""
    classes = any(kind.startswith("int") for kind in program.dtypes.split())
    if classes and 0 in sizes.values():
        return False
    if 0 not in sizes.values():
        return True
    try:
        program.function("numpy")(*program.values(**sizes))
    except ValueError:  # what has no largest element
        return False
    return True


@lru_cache(300)
def _calls(program: Program, sizes: Sizes, bad: bool) -> tuple[Call, ...]:
    found: list[Call] = []
    named = " ".join(f"{letter}={n}" for letter, n in sizes)

    def run(kernel: Kernel, given: Sequence[int], scalars: Sequence[Any], arrays: Sequence[Array]) -> list[Any]:
        what = f"{program.name} {named} kernel {len(found)}"
        before = tuple(a.copy() for a in arrays)
        known = tuple(map(int, given)), tuple(scalars), before
        try:
            outputs = interpret(kernel, given, scalars, arrays)
        except Refused:  # the kernels behind it are still called
            found.append(Call(what, kernel, *known, None, ()))
            return [np.zeros((), o.dtype)[()] for o in kernel.outputs]
        found.append(Call(what, kernel, *known, tuple(a.copy() for a in arrays), tuple(outputs)))
        return outputs

    ones = "".join(letter for letter, n in sizes if n == 1)
    values = program.values(**dict(sizes))
    if bad:
        most = max(n for _, n in sizes)
        values = [np.where(np.arange(x.size) % 2, most, -1 - most) if x.dtype == "int64" else x for x in values]
    Machine(plan_of(program, ones), run).run(values)
    return tuple(found)


def calls(program: Program, bad: bool = False, /, **sizes: int) -> tuple[Call, ...]:
    """The kernel calls of a program, as the interpreter runs them; bad: with indices just out of bounds."""
    all_sizes = sizes_of(program, **sizes)
    return _calls(program, tuple(all_sizes.items()), bad) if fits(program, all_sizes) else ()


@contextmanager
def mapping(way: Way, sizes: Mapping[str, int]) -> Iterator[None]:
    """Kernels are mapped in a way, for calls of such sizes."""
    larger = {n: n * way.times.get(letter, 1) for letter, n in sizes.items()}

    def mapped(kernel: Kernel, size_of: Any, alone: bool = False) -> map_gpu.Mapped:
        return map_gpu.mapped(kernel, lambda n: larger.get(size_of(n), size_of(n)), alone)

    of_mapping: dict[str, Any] = {name: value for name, value in way.constants.items() if hasattr(map_gpu, name)}
    others: dict[str, Any] = {name: value for name, value in way.constants.items() if name not in of_mapping}
    with (
        mock.patch.multiple(launches, mapped=mapped, BLOCKS=BLOCKS, **others),
        mock.patch.multiple(map_gpu, **of_mapping) if of_mapping else nullcontext(),
    ):
        yield


def mirrored() -> Kernel:
    """Rows whose elements are read by other threads than wrote them."""
    n, m = Size(), Size()
    x, y = (Memory("float64", ((n,), (m,))) for _ in "xy")
    row = Memory("float64", ((m,),))
    i, j, k = Axis((n,)), Axis((m,)), Axis((m,))
    a, b, total, scaled = (Value("float64") for _ in range(4))
    at, size, rest, last, one = (Value("int64") for _ in range(5))
    scale = Let(scaled, mul, (b, total))
    body = (
        Loop(j, (Load(a, x, (i, j)), Store(row, (j,), a)), (Carry(total, "sum", a),)),
        Extent(size, m),
        Number(one, 1),
        Let(last, sub, (size, one)),
        Loop(k, (Position(at, k), Let(rest, sub, (last, at)), Load(b, row, (rest,)), scale, Store(y, (i, k), scaled))),
    )
    return Kernel((n, m), (), (x, y, row), (), (Loop(i, body),), frozenset({y, row}))


def total_of_columns() -> Kernel:
    """A total over the grid of what columns of threads have."""
    n, m = Size(), Size()
    x = Memory("float64", ((n,), (m,)))
    i, j = Axis((m,)), Axis((n,))
    a, square, largest, largest_square, product, total, out = (Value("float64") for _ in range(7))
    inside = Load(a, x, (j, i)), Let(square, mul, (a, a))
    body = (
        Loop(j, inside, (Carry(largest, "max", a), Carry(largest_square, "max", square))),
        Let(product, mul, (largest, largest_square)),
    )
    return Kernel((n, m), (), (x,), (out,), (Loop(i, body, (Carry(total, "sum", product),)), Output(out, total)))


# Kernels that no program has led to yet.
HANDMADE = {"mirrored": mirrored(), "total_of_columns": total_of_columns()}


def handmade_call(name: str, n: int, m: int) -> Call:
    """A call of one of those."""
    kernel = HANDMADE[name]
    values = np.random.default_rng(3).normal(size=(n, m))
    before = tuple(
        np.full([n, m][2 - len(a.sizes) :], np.nan) if a in kernel.written else values for a in kernel.arrays
    )
    after = tuple(a.copy() for a in before)
    outputs = interpret(kernel, (n, m), (), after)
    return Call(f"{name} n={n} m={m}", kernel, (n, m), (), before, after, tuple(outputs))


def sequels(program: Program, way: Way, bad: bool = False, /, **sizes: int) -> list[tuple[Call, Sequel]]:
    """The calls of a program with the launches they become."""
    found = calls(program, bad, **sizes)
    return [(call, sequel_of(call, way, **sizes_of(program, **sizes))) for call in found]


def sequel_of(call: Call, way: Way, **sizes: int) -> Sequel:
    """The launches of a call."""
    size_of = dict(zip(call.kernel.sizes, call.sizes, strict=True)).__getitem__
    with mapping(way, sizes):
        return prepare(call.kernel, size_of, PROCESSORS, alone=way.alone)


def scripts(
    program: Program, way: Way = PLAIN, bad: bool = False, /, **sizes: int
) -> list[tuple[Script, dict[str, Prepared]]]:
    """The calls of a program as scripts, with their kernels by name."""
    made = [script(call, sequel) for call, sequel in sequels(program, way, bad, **sizes)]
    return [(s, kernels) for s, kernels in made if s.steps]


def script(call: Call, sequel: Sequel) -> tuple[Script, dict[str, Prepared]]:
    """A call as a script."""
    kernel = call.kernel
    size_of = dict(zip(kernel.sizes, call.sizes, strict=True)).__getitem__
    buffers: list[Array] = []
    numbers: dict[Any, int] = {}

    def add(value: Any) -> int:
        buffers.append(np.asarray(value))
        return len(buffers) - 1

    error = add(np.zeros((), "uint32"))
    wanted: dict[int, Array] = {}
    after = call.after or call.before
    rows = {row for launch in sequel.launches for row in launch.kernel.rows}
    for a, value, end in zip(kernel.arrays, call.before, after, strict=True):
        numbers[a] = add(value)
        if a not in rows:  # teams have their own
            wanted[numbers[a]] = end
    for s, value in zip(kernel.scalars, call.scalars, strict=True):
        numbers[s] = add(np.asarray(value, s.dtype))
    handed_on: list[Memory | Value] = [*kernel.outputs, *sequel.kept]
    for i, o in enumerate(handed_on):
        numbers[o] = add(garbage(o, dict(zip(kernel.sizes, call.sizes, strict=True))))
        if i < len(call.outputs):
            wanted[numbers[o]] = np.asarray(call.outputs[i], o.dtype)
    live = [launch for launch in sequel.launches if not does_nothing(launch, size_of)]
    machine: dict[str, Callable[[Prepared], int]] = {
        "error": lambda launch: error,
        "parts": lambda launch: add(np.full(launch.totals * launch.grid, np.nan)),
        "ticket": lambda launch: add(np.zeros((), "uint32")),
        "rows": lambda launch: add(np.full(math.ceil(launch.row_bytes), 0xFF, "uint8")),
    }
    arguments: list[tuple[tuple[str, int], ...]] = []
    for launch in live:
        own = launch.kernel.kernel
        given = [("size", size_of(n)) for n in own.sizes]
        given += [("buffer", numbers[x]) for x in (*own.scalars, *own.arrays, *own.outputs)]
        for extra in launch.extras:
            given.append(("buffer", machine[extra](launch)))
            if extra == "ticket":
                wanted[given[-1][1]] = np.zeros((), "uint32")  # as it was, for the next call
        arguments.append(tuple(given))
    steps = []
    kernels: dict[str, Prepared] = {}
    if live and live[0].layout.alone:
        whole: Any = Whole(tuple(live))
        name = Programs.name(whole)
        kernels[name] = whole
        steps.append(Step(name, 1, ALONE, tuple(chain.from_iterable(arguments))))
    else:
        for launch, of_launch in zip(live, arguments, strict=True):
            name = Programs.name(launch)
            kernels[name] = launch
            steps.append(Step(name, launch.grid, launch.kernel.block, of_launch))
    most = max((a.size for a in call.before), default=1)
    exact = all(is_exact(launch) for launch in sequel.launches)
    checked = None if call.after is None else wanted
    return Script(call.what, tuple(steps), tuple(buffers), checked, error, 64 + most, exact), kernels


def is_exact(launch: Prepared) -> bool:
    """Whether a launch gives the same bits in every order of its threads: it adds no floats in the order they come."""
    body = (*launch.kernel.body, *launch.kernel.finish)
    return not any(isinstance(s, Accumulate) and s.shared and s.array.dtype.startswith("float") for s in walk(body))


def sources(kernels: Mapping[str, Prepared], at_once: int = 100) -> list[str]:
    """The CUDA C of some kernels, in a few sources."""
    names = list(kernels)
    parts = [names[i : i + at_once] for i in range(0, len(names), at_once)]
    return [programs.source({name: kernels[name] for name in part}) for part in parts]


def compiled(device: Any, texts: Sequence[str]) -> dict[str, Any]:
    """The kernels of some sources, by name."""
    return {name: kernel for text in texts for name, kernel in device.compile(text).items()}
