"""Every kernel of the corpus, executed: equal to the interpreter, and the same bits in every order of threads."""

from __future__ import annotations

from itertools import product

import pytest

from graphc.backends.cupy.launches import Prepared
from tests.cuda.corpus import CORPUS, PLAIN, WAYS, Way, compiled, most_elements, scripts, sizes_of, sources
from tests.cuda.host_device import ORDERS, HostDevice, compiler
from tests.cuda.play import Script, noticed
from tests.kernels.programs import Program

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ was not found")

# Where warps, blocks and teams end, and nothing at all.
EDGES = (0, 1, 2, 31, 32, 33, 127, 128, 129, 255, 256, 257, 1023, 1025)
FEW = ((3, 5), (0, 4), (4, 0), (1, 1), (1, 33), (33, 1), (31, 17), (2, 257), (300, 2))
MOST_ELEMENTS, MOST_ELEMENTS_FULL = 1500, 6000


def cases(program: Program, full: bool) -> list[tuple[Way, dict[str, int]]]:
    """What is run of a program: ways to map its kernels, and sizes."""
    seen = {}
    for n, m in product(EDGES, EDGES) if full else FEW:
        sizes = sizes_of(program, n=n, m=m)
        if most_elements(program, sizes) <= (MOST_ELEMENTS_FULL if full else MOST_ELEMENTS):
            seen[tuple(sizes.items())] = sizes
    usual = sizes_of(program, n=31, m=17)
    return [(way, sizes) for sizes in seen.values() for way in WAYS if full or way is PLAIN or sizes == usual]


@pytest.mark.parametrize("program", CORPUS, ids=str)
def test_kernels_do_what_the_interpreter_does_in_every_order(program: Program, full: bool) -> None:
    played: list[tuple[Way, Script]] = []
    kernels: dict[str, Prepared] = {}
    for way, sizes in cases(program, full):
        for script, used in scripts(program, way, **sizes):
            played.append((way, script))
            kernels |= used
    modules = compiled(HostDevice(), sources(kernels))
    devices = [HostDevice(order) for order in ORDERS]
    for way, script in played:
        found = noticed(devices, [modules] * len(devices), script)
        assert found is None, f"{script}, {way}: {found}"
