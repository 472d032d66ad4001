"""Every kernel of the corpus, executed: equal to the interpreter, and the same bits in every order of threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import pytest

from graphc.backends.cupy.launches import Prepared
from tests.cuda.corpus import (
    BY_NAME,
    CORPUS,
    HANDMADE,
    PLAIN,
    WAYS,
    Way,
    compiled,
    handmade_call,
    most_elements,
    script,
    scripts,
    sequel_of,
    sizes_of,
    sources,
    usual_sizes,
)
from tests.cuda.forms import FORMS
from tests.cuda.host_device import ORDERS, HostDevice, compiler
from tests.cuda.play import Script, noticed
from tests.kernels.programs import Program

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ was not found")

# Where warps, blocks and teams end, and nothing at all.
EDGES = (0, 1, 2, 31, 32, 33, 127, 128, 129, 255, 256, 257, 1023, 1025)
FEW = ((3, 5), (0, 4), (4, 0), (1, 1), (1, 33), (33, 1), (2, 257), (300, 2))
MOST_ELEMENTS, MOST_ELEMENTS_FULL = 1500, 6000


def cases(program: Program, full: bool) -> list[tuple[Way, dict[str, int]]]:
    """What is run of a program: ways to map its kernels, and sizes."""
    usual = usual_sizes(program)
    seen = {tuple(usual.items()): usual}
    for n, m in product(EDGES, EDGES) if full else FEW:
        sizes = sizes_of(program, n=n, m=m)
        if most_elements(program, sizes) <= (MOST_ELEMENTS_FULL if full else MOST_ELEMENTS):
            seen[tuple(sizes.items())] = sizes
    return [(way, sizes) for sizes in seen.values() for way in WAYS if full or way is PLAIN or sizes == usual]


@pytest.mark.parametrize("program", CORPUS, ids=str)
def test_kernels_do_what_the_interpreter_does_in_every_order(program: Program, full: bool) -> None:
    played: list[tuple[Way, Script]] = []
    kernels: dict[str, Prepared] = {}
    for way, sizes in cases(program, full):
        for made, used in scripts(program, way, **sizes):
            played.append((way, made))
            kernels |= used
    check(played, kernels)


def check(played: Sequence[tuple[Way, Script]], kernels: Mapping[str, Prepared]) -> None:
    """Play scripts in every order."""
    modules = compiled(HostDevice(), sources(kernels))
    devices = [HostDevice(order) for order in ORDERS]
    for way, made in played:
        found = noticed(devices, [modules] * len(devices), made)
        assert found is None, f"{made}, {way}: {found}"


FORM_SIZES = ({"n": 33, "m": 5, "k": 4},)
BATCHES = 12


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_op_reduction_and_way_to_index(batch: int, full: bool) -> None:
    played: list[tuple[Way, Script]] = []
    kernels: dict[str, Prepared] = {}
    for form in FORMS[batch::BATCHES] if full else FORMS[batch :: 3 * BATCHES]:
        for sizes in FORM_SIZES:
            for made, used in scripts(form, **sizes):
                played.append((PLAIN, made))
                kernels |= used
    check(played, kernels)


@pytest.mark.parametrize("name", HANDMADE)
def test_kernels_that_no_program_leads_to(name: str, full: bool) -> None:
    played: list[tuple[Way, Script]] = []
    kernels: dict[str, Prepared] = {}
    for n, m in product(EDGES, EDGES) if full else (*FEW, (70, 35)):
        if n * m > MOST_ELEMENTS_FULL:
            continue
        call = handmade_call(name, n, m)
        for way in WAYS if full or (n, m) == (70, 35) else (PLAIN,):
            made, used = script(call, sequel_of(call, way, n=n, m=m))
            played.append((way, made))
            kernels |= used
    check(played, kernels)


@pytest.mark.parametrize("name", ["gather", "scatter"])
def test_checks_fail_and_nothing_beside_the_memory_is_touched(name: str) -> None:
    played = [(way, *made) for way in WAYS for made in scripts(BY_NAME[name], way, True, n=3, m=5)]
    assert any(made.wanted is None for _, made, _ in played)
    check([(way, made) for way, made, _ in played], {name: k for *_, used in played for name, k in used.items()})
