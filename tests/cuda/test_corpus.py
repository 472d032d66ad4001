"""NVRTC compiles the kernels of the whole corpus, without a complaint, and they fit onto a multiprocessor."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

import pytest

from graphc.backends.cupy import nvrtc
from graphc.backends.cupy.launches import Prepared
from tests.cuda.corpus import CORPUS, HANDMADE, PLAIN, WAYS, Way, handmade_call, script, scripts, sequel_of, sources
from tests.cuda.forms import FORMS
from tests.kernels.programs import Program

pytestmark = pytest.mark.skipif(nvrtc.found() is None, reason="NVRTC was not found: pip install nvidia-cuda-nvrtc")

MOST_REGISTERS = 128

# The assembler for sm_90 rather spills a few words than keep fewer warps, long before registers run out: for the exp
# and log of doubles it does so even in a kernel that does nothing else.
MOST_SPILLED = {"sm_75": 0, "sm_90": 256}

# Names that nothing uses: of axes that an index does not need, and of the check of a kernel without guarded accesses.
HARMLESS = {"177-D", "550-D"}

# An odd part of all, by default.
PARTS = 8


@cache
def kernels(what: str, full: bool) -> dict[str, Prepared]:
    """The kernels of a part of the corpus, by name."""
    if what == "handmade":
        found: dict[str, Prepared] = {}
        for name in HANDMADE:
            call = handmade_call(name, 31, 17)
            for way in WAYS:
                found |= script(call, sequel_of(call, way, n=31, m=17))[1]
        return found
    if what == "forms":
        return gathered(FORMS if full else FORMS[::PARTS], (PLAIN,))
    return gathered(CORPUS, WAYS if full else (PLAIN,))


def gathered(programs: Iterable[Program], ways: Iterable[Way]) -> dict[str, Prepared]:
    """The kernels of some programs, mapped in some ways."""
    found: dict[str, Prepared] = {}
    for program in programs:
        for way in ways:
            for _, used in scripts(program, way, n=31, m=17, k=5):
                found |= used
    return found


@pytest.mark.parametrize("what", ["programs", "forms", "handmade"])
@pytest.mark.parametrize("arch", ["sm_75", "sm_90"])
def test_nvrtc_compiles_every_kernel(arch: str, what: str, full: bool) -> None:
    every = kernels(what, full)
    assert every
    for source in sources(every):
        compiled = nvrtc.compile(source, arch)
        assert compiled.kernels
        assert set(re.findall(r"warning #([\w-]+)", compiled.log)) <= HARMLESS, compiled.log
        for name, taken in compiled.kernels.items():
            launch = every[name]
            about = f"{taken}\n{launch.kernel.text}"
            assert taken.registers <= MOST_REGISTERS, about
            assert taken.spills <= MOST_SPILLED[arch], about
            wide, high = launch.kernel.block
            assert taken.registers * wide * high <= 65536, about
            assert taken.shared <= 48 * 1024, about


def test_there_is_a_form_for_everything(full: bool) -> None:
    assert len({form.name for form in FORMS}) == len(FORMS)
    every = kernels("forms", True) if full else {}
    text = "".join(launch.kernel.text for launch in every.values())
    for kind in ("sum", "prod", "max", "min", "any", "all") if full else ():
        assert f"= {kind} " in text, kind
