"""How loops become threads: what the mapped kernels of some programs look like, and that none of them can race."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graphc.backends.cupy.launches import Prepared
from graphc.kernels.gpuir import (
    COLUMNS,
    GRID,
    LANES,
    SPLIT,
    STAGES,
    STRIDES,
    TEAMS,
    TILES,
    GpuKernel,
    Spread,
    Sync,
    walk,
)
from graphc.kernels.interpret import Refused
from graphc.kernels.launch import Launch, Memory
from graphc.kernels.loopir import Accumulate, Kernel, Load, Loop, Require, Statement, Store, Value, defines, uses
from graphc.kernels.stages import Stage, Staged, free, staged
from graphc.kernels.steps import read_by
from tests.cuda.corpus import BY_NAME, CORPUS, PLAIN, WAYS, Call, Way, calls, handmade_call, plan_of, sequel_of, sequels
from tests.cuda.play import close
from tests.cuda.threads import memory_of, run_launch
from tests.kernels.programs import Program

WAY = {way.name: way for way in WAYS}

# Programs whose kernels are mapped differently, each for what it is and for other sizes.
GOLDEN = {
    "map_chain": "large",
    "row_softmax": "long rows",
    "layer_norm": "rows in memory",
    "column_sum": "long columns",
    "several_reductions": "long columns",
    "total_after_rows": "long rows",
    "normalised": "large",
    "middle_axes": "long rows",
    "dot_of_rows": "long columns",
    "transposes": "wide",
    "gather": "long rows",
    "scatter": "wide",
    "chained_rows": "short rows in memory",
    "layer_back": "large",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_how_mapped_kernels_read(name: str, golden: Any) -> None:
    parts = [described(BY_NAME[name], way) for way in (PLAIN, WAY[GOLDEN[name]])]
    golden(f"cuda/{name}").check("\n".join(parts))


def described(program: Program, way: Way) -> str:
    """The launches of a program, as loops and as CUDA C."""
    lines = [f"======== {way}"]
    for number, (_, sequel) in enumerate(sequels(program, way, n=31, m=17)):
        for i, launch in enumerate(sequel.launches):
            wide, high = launch.kernel.block
            rows = f"; rows: {launch.layout.shared_bytes or 'not'} shared" if launch.kernel.rows else ""
            lines += [f"---- kernel {number}, launch {i}: {launch.grid} blocks of {wide} x {high}{rows}"]
            lines += [launch.kernel.text, "", launch.source("kernel"), ""]
    return "\n".join(lines)


# ---- stages ----


@pytest.fixture(scope="module")
def kernels() -> list[Kernel]:
    """Every kernel of the corpus."""
    found = {call.kernel.text: call.kernel for program in CORPUS for call in calls(program)}
    return list(found.values())


def in_order(stage: Stage) -> tuple[Statement, ...]:
    return (*stage.before, *([stage.loop] if stage.loop else []), *stage.after)


def test_a_stage_has_every_value_that_it_needs(kernels: list[Kernel]) -> None:
    for kernel in kernels:
        for stage in staged(kernel).stages:
            known = set(kernel.scalars)
            for s in in_order(stage):
                wanted = free((s,)) if isinstance(s, Loop) else uses(s)
                assert known.issuperset(wanted), f"{s} comes too early\n{kernel}"
                assert known.isdisjoint(defines(s))
                known.update(defines(s))


def test_every_loop_and_every_effect_is_in_one_stage(kernels: list[Kernel]) -> None:
    for kernel in kernels:
        found = staged(kernel)
        loops = [stage.loop for stage in found.stages if stage.loop]
        assert loops == [s for s in kernel.body if isinstance(s, Loop)]
        effects = [s for stage in found.stages for s in in_order(stage) if is_effect(s) and not keeps(found, s)]
        assert sorted(map(id, effects)) == sorted(id(s) for s in kernel.body if is_effect(s))


def test_checks_come_before_the_loops_they_came_before(kernels: list[Kernel]) -> None:
    for kernel in kernels:
        for stage in staged(kernel).stages:
            place = kernel.body.index(stage.loop) if stage.loop else len(kernel.body)
            checks = [s for s in kernel.body[:place] if isinstance(s, Require)]
            assert [s for s in stage.before if isinstance(s, Require)] == checks


def test_what_is_kept_is_stored_once_and_read_later(kernels: list[Kernel]) -> None:
    some = 0
    for kernel in kernels:
        found = staged(kernel)
        for array in found.kept:
            stored = [i for i, stage in enumerate(found.stages) for s in stage.after if keeps(found, s, array)]
            read = [i for i, stage in enumerate(found.stages) for s in in_order(stage) if loads(s, array)]
            assert len(stored) == 1
            assert read
            assert min(read) > stored[0]
            some += 1
    assert some


def is_effect(s: Statement) -> bool:
    return not isinstance(s, Loop | Require) and not defines(s)


def keeps(found: Staged, s: Statement, array: Any = None) -> bool:
    return isinstance(s, Store) and (s.array in found.kept if array is None else s.array is array)


def loads(s: Statement, array: Any) -> bool:
    return isinstance(s, Load) and s.array is array


def test_a_value_carried_by_one_loop_and_used_in_another_is_kept() -> None:
    (call,) = calls(BY_NAME["normalised"])
    found = staged(call.kernel)
    first, second = found.stages
    (kept,) = found.kept
    assert isinstance(first.after[-1], Store)
    assert first.after[-1].array is kept
    assert isinstance(second.before[0], Load)
    assert second.before[0].array is kept
    assert not first.before
    assert len(second.before) > 1, "the root is computed where it is needed"


def test_a_kernel_without_loops_is_one_stage() -> None:
    (call,) = calls(BY_NAME["scalars"])
    (stage,) = staged(call.kernel).stages
    assert stage.loop is None
    assert len(stage.after) + len(stage.before) == len(call.kernel.body)


# ---- mapping ----


def mapped(program: Program, **sizes: int) -> Iterator[tuple[Call, GpuKernel]]:
    """The mapped kernels of a program, in all ways."""
    for way in WAYS:
        for call, sequel in sequels(program, way, **sizes):
            yield from ((call, launch.kernel) for launch in sequel.launches)


def test_the_corpus_is_mapped_in_every_way() -> None:
    found: set[Any] = set()
    for program in CORPUS:
        for way in WAYS:
            for _, sequel in sequels(program, way, n=31, m=17):
                found.add(("launches", min(len(sequel.launches), 2)))
                for launch in sequel.launches:
                    found.add(("small", launch.layout.is_small))
                    found.add(("block", launch.kernel.block))
                    if launch.kernel.rows:
                        found.add(("rows shared", launch.layout.shared_bytes > 0, launch.kernel.block[1] > 1))
                    for s in walk(launch.kernel.body):
                        if isinstance(s, Spread):
                            found.add((s.over, bool(s.carries)))
                        if isinstance(s, Accumulate):
                            found.add(("accumulate", s.shared))
    wanted = {
        ("launches", 1), ("launches", 2), ("small", True), ("small", False),
        ("accumulate", True),
        *(("rows shared", shared, many) for shared in (True, False) for many in (True, False)),
        *((over, carries) for over in (GRID, TEAMS) for carries in (True, False)),
        (COLUMNS, False), (LANES, True), (LANES, False), (STRIDES, True), (SPLIT, True),
        *(("block", block) for block in ((32, 1), (256, 1), (32, 8), (32, 32), (512, 1))),
    }  # fmt: skip
    assert wanted <= found, wanted - found


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("program", CORPUS, ids=str)
def test_sums_of_floats_have_one_order(program: Program, way: Way) -> None:
    """So that results are the same from call to call; but for additions to indices that may repeat."""
    for call, sequel in sequels(program, way, n=31, m=17):
        for launch in sequel.launches:
            for s in walk((*launch.kernel.body, *launch.kernel.finish)):
                if isinstance(s, Accumulate) and s.shared and s.array.dtype.startswith("float") and s.kind == "sum":
                    assert any(isinstance(i, Value) for i in s.index), f"{call.what}\n{launch.kernel.text}"


def test_an_array_that_is_added_to_once_is_not_filled_before() -> None:
    (found,) = (sequel for _, sequel in sequels(BY_NAME["column_sum"], PLAIN, n=31, m=17))
    (launch,) = found.launches
    assert not any(isinstance(s, Accumulate) for s in walk(launch.kernel.body))


# Which loops may be inside of which.
ALLOWED: dict[str, set[str]] = {GRID: set(), TEAMS: {LANES}, COLUMNS: {STRIDES, SPLIT}, TILES: {STAGES}}


@pytest.mark.parametrize("program", CORPUS, ids=str)
def test_a_block_is_made_of_warps_and_each_statement_is_there(program: Program) -> None:
    for call, kernel in mapped(program, n=31, m=17):
        wide, high = kernel.block
        assert wide % 32 == 0
        assert wide * high <= 1024
        tops = [s for s in kernel.body if isinstance(s, Spread)]
        assert len(tops) <= 1
        assert {s.over for s in tops} <= ALLOWED.keys()
        assert bool(kernel.finish) <= bool(tops and tops[0].carries)
        inner = {s.over for top in tops for s in walk(top.body) if isinstance(s, Spread)}
        assert inner <= ALLOWED[tops[0].over if tops else GRID]
        known = set(kernel.kernel.scalars)
        values_are_defined(kernel.body, known, call)
        values_are_defined(kernel.finish, known, call)


def values_are_defined(statements: Any, known: set[Value], call: Call) -> None:
    """Every value is defined before it is used, where it is used."""
    for s in statements:
        if isinstance(s, Spread | Loop):
            inside = set(known)
            values_are_defined(s.body, inside, call)
            assert inside.issuperset(c.value for c in s.carries), call.what
            known.update(c.out for c in s.carries)
        elif hasattr(s, "body"):
            values_are_defined(s.body, set(known), call)
        elif not isinstance(s, Sync):
            assert known.issuperset(uses(s)), f"{call.what}: {s}"
            known.update(defines(s))


@pytest.mark.parametrize("program", CORPUS, ids=str)
def test_only_memory_that_nobody_else_reads_becomes_rows_of_teams(program: Program) -> None:
    calls(program, n=31, m=17)
    plan = plan_of(program, "")
    launches = [step for step in plan.steps if isinstance(step, Launch)]
    for way in WAYS:
        for step, (_, sequel) in zip(launches, sequels(program, way, n=31, m=17), strict=False):
            rows = {row for launch in sequel.launches for row in launch.kernel.rows}
            for array, key in zip(step.kernel.arrays, step.arrays, strict=True):
                if array in rows:
                    assert isinstance(key, Memory)
                    assert key not in plan.results
                    assert not any(key in read_by(other) for other in plan.steps if other is not step)


SIZES = ({"n": 3, "m": 5}, {"n": 1, "m": 7}, {"n": 6, "m": 1}, {"n": 4, "m": 4, "k": 3}, {"n": 2, "m": 9, "k": 1})


@pytest.mark.parametrize("program", CORPUS, ids=str)
def test_no_two_threads_race_and_all_do_what_the_interpreter_does(program: Program, full: bool) -> None:
    for sizes in SIZES if full else SIZES[:4]:
        for way in WAYS:
            for call, sequel in sequels(program, way, **sizes):
                for threads in ({}, {"one_team": True}, {"lanes": 3}, {"one_team": True, "lanes": 2}):
                    check(call, sequel, f"{call.what}, {way}, {threads}", **threads)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_threads_wait_where_they_read_what_others_wrote(way: Way) -> None:
    call = handmade_call("mirrored", 3, 5)
    sequel = sequel_of(call, way, n=3, m=5)
    (launch,) = sequel.launches
    top = launch.kernel.shared_out
    assert top is not None
    assert [type(s) for s in top.body].count(Sync) == 2, "after the row is written, and before the next one is"
    for threads in ({}, {"one_team": True}, {"lanes": 3}, {"one_team": True, "lanes": 2}):
        check(call, sequel, f"{call.what}, {way}, {threads}", **threads)
    for i in (i for i, s in enumerate(top.body) if isinstance(s, Sync)):
        short = replace(top, body=(*top.body[:i], *top.body[i + 1 :]))
        body = tuple(short if s is top else s for s in launch.kernel.body)
        without = replace(launch, kernel=replace(launch.kernel, body=body))
        assert races_of(call, sequel, without, one_team=True), f"barrier {i} is missing, and nobody races"


@pytest.mark.parametrize(
    "name, way",
    [("middle_axes", "plain"), ("small_integers", "plain"), ("scatter", "plain")],
)
def test_threads_race_where_an_addition_is_not_atomic(name: str, way: str) -> None:
    some = 0
    for call, sequel in sequels(BY_NAME[name], WAY[way], n=3, m=5, k=4):
        size_of = dict(zip(call.kernel.sizes, call.sizes, strict=True))
        memory = memory_before(call, sequel)
        for launch in sequel.launches:
            plain = not_atomic(launch.kernel)
            races = run_launch(replace(launch, kernel=plain), memory, size_of)
            some += bool(races)
            assert not races or plain is not launch.kernel
    assert some


def not_atomic(kernel: GpuKernel) -> GpuKernel:
    """The kernel with plain additions; the same one if there are no others."""
    if not any(isinstance(s, Accumulate) and s.shared for s in walk(kernel.body)):
        return kernel

    def changed(statements: Any) -> tuple[Any, ...]:
        return tuple(
            replace(s, body=changed(s.body)) if hasattr(s, "body")
            else replace(s, shared=False) if isinstance(s, Accumulate) else s
            for s in statements
        )  # fmt: skip

    return replace(kernel, body=changed(kernel.body))


def memory_before(call: Call, sequel: Any) -> dict[Any, Any]:
    """Memory as it was before a call."""
    kernel = call.kernel
    memory = memory_of(sequel.kept, kernel.outputs, dict(zip(kernel.sizes, call.sizes, strict=True)))
    memory |= {a: value.copy() for a, value in zip(kernel.arrays, call.before, strict=True)}
    return memory | {s: np.asarray(value, s.dtype) for s, value in zip(kernel.scalars, call.scalars, strict=True)}


def races_of(call: Call, sequel: Any, launch: Prepared, **threads: Any) -> list[str]:
    """The races of a kernel that is one launch."""
    return run_launch(
        launch, memory_before(call, sequel), dict(zip(call.kernel.sizes, call.sizes, strict=True)), **threads
    )


def check(call: Call, sequel: Any, what: str, **threads: Any) -> None:
    """Run a call thread by thread."""
    kernel = call.kernel
    size_of = dict(zip(kernel.sizes, call.sizes, strict=True))
    memory = memory_before(call, sequel)
    rows = {row for launch in sequel.launches for row in launch.kernel.rows}
    try:
        for launch in sequel.launches:
            races = run_launch(launch, memory, size_of, **threads)
            assert not races, f"{what}: {races[0]}\n{launch.kernel.text}"
    except Refused:
        assert call.after is None
        return
    assert call.after is not None
    for a, want in zip(kernel.arrays, call.after, strict=True):
        assert a in rows or close(memory[a], want, 64), what
    for o, value in zip(kernel.outputs, call.outputs, strict=True):
        assert close(memory[o], np.asarray(value, o.dtype), 64), what
