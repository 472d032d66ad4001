"""The corpus: every kernel call of the programs of tests/kernels, for many sizes and mapped in several ways.

A kernel holds for all sizes, whatever sizes its mapping was chosen for.  So small calls, which the interpreter can
check, are run by kernels that were mapped for large ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any
from unittest import mock

import numpy as np

from graphc.backends.cupy import launches, programs, spelling
from graphc.backends.cupy.launches import Prepared, Sequel, does_nothing, prepare
from graphc.backends.cupy.programs import Programs
from graphc.kernels import map_gpu
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.gpuir import walk
from graphc.kernels.interpret import Refused, interpret
from graphc.kernels.loopir import Accumulate, Kernel
from graphc.kernels.plan import Plan, plan
from tests.cuda.play import Array, Script, Step
from tests.kernels.machine import Machine
from tests.kernels.programs import PROGRAMS, Program
from tests.schedule.interpreter import poison

PROCESSORS = 2  # so that there are few threads, and each has several iterations

Sizes = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Way:
    """How kernels are mapped: for sizes so many times as large as they are, with so much shared memory for rows."""

    name: str
    times: Mapping[str, int] = field(default_factory=dict)
    constants: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


PLAIN = Way("plain")
WAYS = (
    PLAIN,
    Way("long rows", {"m": 500}),  # teams of a block, rows in shared memory
    Way("rows in memory", {"m": 500}, {"MOST_SHARED": 0}),
    Way("short teams, rows in memory", {"m": 20}, {"MOST_SHARED": 0}),
    Way("long columns", {"n": 50_000}, {"FEWEST_ROWS": 1}),  # columns whose rows blocks share
    Way("wide", {"m": 50_000, "n": 50}),
    Way("large", {"m": 100_000, "n": 100_000}),  # counted in 64 bits
)


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
    return plan(f.schedule, kernel_ops(spelling.spells), windows=False)


def sizes_of(program: Program, **sizes: int) -> dict[str, int]:
    """All sizes that a program has."""
    letters = set(program.shapes) - {" ", "-", "1"}
    known = {"n": 3, "m": 5, "k": 2, **sizes}
    return {letter: known[letter] for letter in sorted(letters)}


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
def _calls(program: Program, sizes: Sizes) -> tuple[Call, ...]:
    found: list[Call] = []
    named = " ".join(f"{letter}={n}" for letter, n in sizes)

    def run(kernel: Kernel, given: Sequence[int], scalars: Sequence[Any], arrays: Sequence[Array]) -> list[Any]:
        what = f"{program.name} {named} kernel {len(found)}"
        before = tuple(a.copy() for a in arrays)
        known = tuple(map(int, given)), tuple(scalars), before
        try:
            outputs = interpret(kernel, given, scalars, arrays)
        except Refused:
            found.append(Call(what, kernel, *known, None, ()))
            raise
        found.append(Call(what, kernel, *known, tuple(a.copy() for a in arrays), tuple(outputs)))
        return outputs

    ones = "".join(letter for letter, n in sizes if n == 1)
    with suppress(Refused):
        Machine(plan_of(program, ones), run).run(program.values(**dict(sizes)))
    return tuple(found)


def calls(program: Program, **sizes: int) -> tuple[Call, ...]:
    """The kernel calls of a program, as the interpreter runs them."""
    all_sizes = sizes_of(program, **sizes)
    return _calls(program, tuple(all_sizes.items())) if fits(program, all_sizes) else ()


@contextmanager
def mapping(way: Way, sizes: Mapping[str, int]) -> Iterator[None]:
    """Kernels are mapped in a way, for calls of such sizes."""
    larger = {n: n * way.times.get(letter, 1) for letter, n in sizes.items()}

    def mapped(kernel: Kernel, size_of: Any) -> map_gpu.Mapped:
        return map_gpu.mapped(kernel, lambda n: larger.get(size_of(n), size_of(n)))

    with mock.patch.multiple(launches, mapped=mapped, **way.constants):
        yield


@lru_cache(300)
def _sequels(program: Program, sizes: Sizes, way: str) -> tuple[Sequel, ...]:
    (found,) = (w for w in WAYS if w.name == way)
    with mapping(found, dict(sizes)):
        return tuple(
            prepare(call.kernel, dict(zip(call.kernel.sizes, call.sizes, strict=True)).__getitem__, PROCESSORS)
            for call in _calls(program, sizes)
        )


def scripts(program: Program, way: Way = PLAIN, **sizes: int) -> list[tuple[Script, dict[str, Prepared]]]:
    """The calls of a program as scripts, with their kernels by name."""
    known = tuple(sizes_of(program, **sizes).items())
    found = calls(program, **sizes)
    if not found:
        return []
    made = [script(call, sequel) for call, sequel in zip(found, _sequels(program, known, way.name), strict=True)]
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
    for i, o in enumerate((*kernel.outputs, *sequel.kept)):
        numbers[o] = add(np.full((), poison(np.dtype(o.dtype)), o.dtype))
        if i < len(call.outputs):
            wanted[numbers[o]] = np.asarray(call.outputs[i], o.dtype)
    steps = []
    kernels = {}
    for launch in sequel.launches:
        if does_nothing(launch, size_of):
            continue
        name = Programs.name(launch)
        kernels[name] = launch
        own = launch.kernel.kernel
        machine = {
            "error": lambda: error,
            "parts": lambda launch=launch: add(np.full(launch.totals * launch.grid, np.nan)),
            "ticket": lambda: add(np.zeros((), "uint32")),
            "rows": lambda launch=launch: add(np.full(math.ceil(launch.row_bytes), 0xFF, "uint8")),
        }
        given = [numbers[x] for x in (*own.scalars, *own.arrays, *own.outputs)]
        for extra in launch.extras:
            given.append(machine[extra]())
            if extra == "ticket":
                wanted[given[-1]] = np.zeros((), "uint32")  # as it was, for the next call
        sizes = tuple(size_of(n) for n in own.sizes)
        steps.append(Step(name, launch.grid, launch.kernel.block, tuple(given), sizes))
    most = max((a.size for a in call.before), default=1)
    exact = all(is_exact(launch) for launch in sequel.launches)
    end = None if call.after is None else wanted
    return Script(call.what, tuple(steps), tuple(buffers), end, error, 64 + most, exact), kernels


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


BY_NAME = {program.name: program for program in PROGRAMS}
