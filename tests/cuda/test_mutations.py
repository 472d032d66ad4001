"""The tests notice what may be wrong with a kernel: each barrier, bound, guard and atomic is taken away in turn.

Mutants are played three times, as long as nobody notices: as they are, in every order of threads; with the address
sanitizer; with the thread sanitizer.  A mutant that crashes, or does not end, is noticed as well, and the process
begins again behind it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from graphc.backends.cupy.launches import Prepared
from graphc.backends.cupy.prelude import prelude, used
from graphc.backends.cupy.render import COMBINES
from graphc.backends.cupy.teams import TEAMS
from graphc.backends.cupy.tiles import TILES
from tests.cuda.corpus import (
    BY_NAME,
    CORPUS,
    HANDMADE,
    PLAIN,
    WAYS,
    Way,
    calls,
    handmade_call,
    most_elements,
    script,
    scripts,
    sequel_of,
)
from tests.cuda.host_device import compiler, environment
from tests.cuda.play import Script, save
from tests.cuda.together import alone, in_lots, together
from tests.kernels.programs import Program

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ was not found")

# So that each team has several rows, and each lane several columns.
SIZES = {"n": 70, "m": 35, "k": 20}
SMALL_SIZES = {"n": 7, "m": 9, "k": 3}
MOST_ELEMENTS = 5000
SIZES_OF_BLOCKS = {"n": 7, "m": 35, "k": 20}  # where a team is a block

# A program for each kind of team, and for each function of teams.
SELECTED = {
    "row_softmax": ("plain", "long rows", "rows in memory"),
    "column_sum": ("plain", "long columns"),
    "several_reductions": ("plain",),
    "total_after_rows": ("long rows", "alone"),
    "gather": ("plain",),
    "scatter": ("plain",),
    "small_integers": ("plain",),
    "product": ("plain",),
    "layer": ("plain",),
    "product_of_transposed": ("plain",),
}

AT_ONCE = 150  # mutants in one source

TEAMS_OF_BLOCKS = ("long rows", "rows in memory", "large")
WITH_TEAMS = "(row_softmax|total_after_rows).* long rows|(several_reductions|column_sum|total_of_columns).* plain"

# What is deleted or changed in a line of a kernel: a pattern, and what takes its place.
MUTATIONS = (
    ("no barrier", r"__sync(threads|warp)\(\);", ";"),
    ("one more", r"(for \(.*?; (?:on && )?\w+) < ", r"\1 <= "),
    ("one less", r"(for \(.*?; (?:on && )?\w+) < ", r"\1 + 1 < "),
    ("no check", r"if \(ok\) ", ""),
    ("no check", r"= ok \? (.*) : \(.*\)0;", r"= \1;"),
    ("all threads", r"if \((threadIdx\.x == 0|on && threadIdx\.y == 0|block == 0 && .*)\)", "if (true)"),
)
# And where kernels run beside each other.
BESIDE = (
    ("one more", r"(blockIdx\.x) < ", r"\1 <= "),
    ("one less", r"(blockIdx\.x) < ", r"\1 + 1 < "),
    ("not its block", r"block = (\S+) - end\d", r"block = \1"),
    ("not its blocks", r"blocks = (\S+) - end\d", r"blocks = \1"),
)
ATOMIC = re.compile(r"g_atomic_(\w+)\(&(.*\]), (\w+)\);")
IN_TEAMS = (
    ("no barrier", r"__syncthreads\(\);", ";"),
    ("no fence", r"__threadfence\(\);", ";"),
    ("one more", r"(for \(int i = .*?; i) < ", r"\1 <= "),
    ("half of it", r"lane = 16", "lane = 8"),
    ("half of it", r"blockDim\.y >> 1", "blockDim.y >> 2"),
    ("all threads", r"if \(threadIdx\.x == 0 && threadIdx\.y == 0\)", "if (true)"),
)
IN_TILES = (
    ("no barrier", r"__syncthreads\(\);", ";"),
    ("one more", r"i < rows(?= && j)", "i <= rows"),
    ("one more", r"(?<=rows && )j < columns", "j <= columns"),
    ("no bound", r"i < rows && k < terms \? (.*) : T\(0\)", r"\1"),
    ("no bound", r"l < terms && j < columns \? (.*) : T\(0\)", r"\1"),
    ("one less", r"start < terms; ", "start + depth < terms; "),
    ("one less", r"start \+ depth < terms\)", "start + 2 * depth < terms)"),
    ("one more", r"tile < count", "tile <= count"),
    ("a part less", r" \+ at\[3072\]", ""),
)

# Functions that kernels share, how they are changed, and the calls that run them.
SHARED = ((TEAMS, IN_TEAMS, WITH_TEAMS), (TILES, IN_TILES, r"(product|layer).* plain"))

# Mutants that do what they should: a pattern of their names, and why.
EQUIVALENT = {
    r"g_tiles: one more 0 in for \(ix tile = ": "a tile more, which is outside of the matrix",
    r"one more in for \(ix b = ": "one more turn of columns in which all threads are off",
    r"no fence ": "here memory is the same for all threads at once",
    r"(column_sum .*long columns|long rows|rows in memory|wide|large): not atomic": "only other blocks add to the "
    "place, and here blocks run one after another; test_mapping.py finds this race",
    r"g_is_last: no barrier 5": "the thread that takes the ticket has itself written all that its block leaves",
    r"middle_axes .*alone: no barrier .* #2$": "the two kernels around it fill different arrays",
    r"variance .*alone: no barrier .* #1$": "the two kernels around it fill different arrays",
    r"joined .*alone: no barrier ": "the kernels around it fill different parts of an array",
    r"layer_norm .*alone: no barrier .* #[12]$": "the kernel between them reads nothing of the first: one will do",
    r"not its block in ": "columns are taken in turns, whichever is the first",
    r"not its blocks in ": "each thread has one iteration",
    r"(row_softmax|total_after_rows|labels).*: one less in for \(ix i1 = ": "what exp subtracts does not matter",
    r"chained_rows.*: one less in for \(ix i[13] = ": "what exp subtracts does not matter",
    r"rank_three .*(rows|memory|wide|large): one less in for \(ix i1 = ": "of so few rows the last parts are empty",
    r"middle_axes .*: one less in for \(ix k0 = ": "the last number is not the largest of those it is compared with",
    r"accuracy .*: one less in for \(ix i0 = ": "the last label is not the right one, and adds nothing",
    r"narrow_integers .*: all threads in .*g_minimum": "the least number stays it, however often it is taken",
}

PLAY = """
import signal
import sys
from pathlib import Path
from typing import Any
from tests.cuda.corpus import compiled
from tests.cuda.host_device import ORDERS, HostDevice
from tests.cuda.play import load, noticed
sources, mutants = load(Path(sys.argv[1]))
sanitize = sys.argv[2]
flags = ["-fsanitize-recover=all"] if sanitize else []
devices = [HostDevice(order, sanitize=sanitize, flags=flags) for order in (ORDERS if not sanitize else ORDERS[1:2])]
modules = [compiled(devices[0], sources)] * len(devices)
for i in range(int(sys.argv[3]), len(mutants)):
    signal.alarm(60)
    print("mutant", i, file=sys.stderr, flush=True)
    found = next(filter(None, (noticed(devices, modules, script) for script in mutants[i])), None)
    if found:
        print("NOTICED", found[:300], file=sys.stderr, flush=True)
print("mutant", len(mutants), file=sys.stderr, flush=True)
"""


@dataclass(frozen=True)
class Mutant:
    """Changed kernels, in a namespace of their own, and the calls that run them."""

    name: str
    source: str
    scripts: tuple[Script, ...]


Calls = Sequence[tuple[str, Script, dict[str, Prepared]]]


def kernel_mutants(found: Calls) -> Iterator[Mutant]:
    """Of each kernel, each change of a line."""
    for name, launch in all_kernels(found).items():
        about = next(about for about, _, kernels in found if name in kernels)
        played = tuple(renamed(made, name, "kernel") for _, made, kernels in found if name in kernels)
        fails = {made.wanted is None for made in played}
        lines = launch.source("kernel").splitlines()
        for i, line in enumerate(lines):
            for what, changed in changes(line):
                if (what == "no check") not in fails:  # a check matters where it fails, anything else where it does not
                    continue
                mutated = "\n".join([*lines[:i], changed, *lines[i + 1 :]])
                number = sum(other.strip() == line.strip() for other in lines[: i + 1])
                yield Mutant(f"{about}: {what} in {line.strip()} #{number}", mutated, played)


def changes(line: str) -> Iterator[tuple[str, str]]:
    """The changes of a line of a kernel."""
    for what, pattern, new in (*MUTATIONS, *BESIDE):
        if re.search(pattern, line):
            yield what, re.sub(pattern, new, line)
    if found := ATOMIC.search(line):
        kind, place, value = found.groups()
        combined = f"{COMBINES[kind]}({place}, {value})"
        yield "not atomic", ATOMIC.sub(lambda _: f"{place} = {combined};", line)


def shared_mutants(every: Calls) -> Iterator[Mutant]:
    """Of the functions that kernels share each change, with some kernels that call them."""
    for whole, mutations, of_calls in SHARED:
        found = [call for call in every if re.search(of_calls, call[0])]
        kernels = {name: launch.source(f"kernel_{i}") for i, (name, launch) in enumerate(all_kernels(found).items())}
        numbers = {name: f"kernel_{i}" for i, name in enumerate(kernels)}
        for what, pattern, new in mutations:
            places = list(re.finditer(pattern, whole))
            assert places, pattern
            for count, place in enumerate(places):
                changed = whole[: place.start()] + place.expand(new) + whole[place.end() :]
                function = re.findall(r"inline \w+ (g_\w+)\(", whole[: place.start()])[-1]
                line = whole[whole.rfind("\n", 0, place.start()) + 1 : whole.find("\n", place.end())].strip()
                using = {name: text for name, text in kernels.items() if reaches(function, text)}
                played = [m for _, m, _ in found if any(step.name in using for step in m.steps)]
                for name in using:
                    played = [renamed(m, name, numbers[name]) for m in played]
                source = "\n".join([changed, *using.values()])
                yield Mutant(f"{function}: {what} {count} in {line}", source, tuple(played))


def all_kernels(found: Calls) -> dict[str, Prepared]:
    """The kernels by name."""
    return {name: launch for _, _, kernels in found for name, launch in kernels.items()}


def reaches(function: str, text: str) -> bool:
    """Whether a kernel calls a function for teams, maybe by way of another."""
    callers = {"g_warp": ("g_lanes", "g_block", "g_grid"), "g_block": ("g_lanes", "g_block", "g_grid")}
    return any(f"{name}<" in text or f"{name}(" in text for name in (function, *callers.get(function, ())))


def renamed(made: Script, old: str, new: str) -> Script:
    """A script that runs a kernel of another name."""
    return replace(made, steps=tuple(replace(s, name=new) if s.name == old else s for s in made.steps))


def unit(mutants: Sequence[Mutant], kernels: dict[str, Prepared]) -> tuple[str, list[list[Script]]]:
    """One source for all mutants, and the calls that run each of them."""
    parts = [launch.source(name) for name, launch in kernels.items()]
    played = []
    for i, mutant in enumerate(mutants):
        names = re.findall(r" (kernel\w*)\(", mutant.source)
        text = re.sub(r" (kernel\w*)\(", rf" m{i}_\1(", mutant.source)
        parts.append(f"namespace m{i} {{\n{text}\n}}\n" + "\n".join(f"using m{i}::m{i}_{name};" for name in names))
        made = mutant.scripts
        for name in names:
            made = tuple(renamed(s, name, f"m{i}_{name}") for s in made)
        played.append(list(made))
    text = "\n".join(parts)
    return "\n".join([prelude(used(text)), text]), played


def survivors(mutants: Sequence[Mutant], kernels: dict[str, Prepared], sanitize: str, path: Path) -> list[Mutant]:
    """The mutants that nobody notices."""
    parts = [mutants[i : i + AT_ONCE] for i in range(0, len(mutants), AT_ONCE)]
    return [mutant for part in parts for mutant in survivors_of(part, kernels, sanitize, path)]


def survivors_of(mutants: Sequence[Mutant], kernels: dict[str, Prepared], sanitize: str, path: Path) -> list[Mutant]:
    """Those of a few, which are compiled together."""
    used = {step.name for mutant in mutants for made in mutant.scripts for step in made.steps}
    source, played = unit(mutants, {name: launch for name, launch in kernels.items() if name in used})
    save(path, [source], played)  # type: ignore[arg-type]
    silent: list[Mutant] = []
    begin = 0
    while begin < len(mutants):
        said = run(path, sanitize, begin)
        parts = re.split(r"^mutant (\d+)$", said, flags=re.MULTILINE)[1:]
        assert parts, said[-3000:]
        for number, text in zip(parts[::2], parts[1::2], strict=True):
            crashed = number == parts[-2]
            begin = int(number) + 1
            if not crashed and "NOTICED" not in text and "Sanitizer" not in text:
                silent.append(mutants[int(number)])
    return silent


def run(path: Path, sanitize: str, begin: int) -> str:
    """Play mutants in a process, and return what it says."""
    own = environment(sanitize) if sanitize else None
    if own:
        own["ASAN_OPTIONS"] = "detect_leaks=0:halt_on_error=0"
        own["TSAN_OPTIONS"] = "suppress_equal_addresses=0"  # mutants use the same memory one after another
    done = subprocess.run(
        [sys.executable, "-c", PLAY, str(path), sanitize, str(begin)],
        cwd=Path(__file__).parents[2],
        env=own,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=1500,
    )
    return done.stderr


def selected() -> Calls:
    """The calls whose kernels are changed by default."""
    known = {way.name: way for way in WAYS}
    found = [call for name, ways in SELECTED.items() for way in ways for call in calls_of(BY_NAME[name], known[way])]
    return [*found, *handmade_calls(PLAIN)]


def calls_of(program: Program, way: Way) -> Calls:
    """The calls of a program; if it has indices, also with some that are out of bounds."""
    sizes = SIZES_OF_BLOCKS if way.name in TEAMS_OF_BLOCKS else SIZES
    sizes = sizes if most_elements(program, sizes) <= MOST_ELEMENTS else SMALL_SIZES
    found = [(f"{made} {way}", made, kernels) for made, kernels in scripts(program, way, **sizes)]
    if program.name in ("gather", "scatter"):  # what is out of bounds is so in every row
        bad = scripts(program, way, True, **sizes | {"n": sizes["m"]})
        found += [(f"{made} {way}", made, kernels) for made, kernels in bad]
    return found


def handmade_calls(way: Way) -> Calls:
    """The calls of kernels that no program leads to."""
    n, m = SIZES["n"], SIZES["m"]
    made = {name: handmade_call(name, n, m) for name in HANDMADE}
    played = [script(call, sequel_of(call, way, n=n, m=m)) for call in made.values()]
    return [(f"{script} {way}", script, kernels) for script, kernels in played]


def calls_beside() -> Calls:
    """The selected programs, some calls at a time."""
    single = [alone(call, **SIZES) for name in SELECTED for call in calls(BY_NAME[name], **SIZES)]
    equal = together([single[0], *[single[1]] * 3])
    return [(f"{made} ", made, kernels) for made, kernels in [*in_lots(single, 3), equal]]


@pytest.fixture
def check(tmp_path: Path) -> Callable[[Calls, Sequence[Mutant]], list[Mutant]]:
    """Tells which mutants nobody notices; fails if there are others than known ones."""

    def check(found: Calls, mutants: Sequence[Mutant]) -> list[Mutant]:
        left = list(mutants)
        for sanitize in ("", "address", "thread"):
            left = survivors(left, all_kernels(found), sanitize, tmp_path / "mutants")
        unknown = [m.name for m in left if not any(re.search(pattern, m.name) for pattern in EQUIVALENT)]
        assert not unknown, f"of {len(mutants)} mutants nobody notices\n" + "\n".join(unknown)
        return left

    return check


def test_every_mutant_is_noticed(check: Any) -> None:
    found = selected()
    left = check(found, [*kernel_mutants(found), *shared_mutants(found)])
    names = [m.name for m in [*kernel_mutants(found), *shared_mutants(found)]]
    patterns = [p for p in EQUIVALENT if any(re.search(p, name) for name in names)]
    noticed = [p for p in patterns if not any(re.search(p, m.name) for m in left)]
    assert not noticed, f"these are not equivalent: {noticed}"


def test_every_mutant_of_where_a_kernel_begins_beside_others_is_noticed(check: Any) -> None:
    found = calls_beside()
    mutants = [mutant for mutant in kernel_mutants(found) if re.search(r"end\d", mutant.name)]
    left = check(found, mutants)
    for what, *_ in BESIDE:
        assert sum(f": {what} in" in m.name for m in mutants) > sum(f": {what} in" in m.name for m in left)


@pytest.mark.parametrize("program", CORPUS, ids=str)
def test_every_mutant_of_every_program_is_noticed(program: Program, full: bool, check: Any) -> None:
    if not full:
        pytest.skip("takes long: --full")
    for way in WAYS:
        found = calls_of(program, way)
        check(found, list(kernel_mutants(found)))
