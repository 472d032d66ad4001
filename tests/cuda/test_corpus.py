"""NVRTC compiles the kernels of the whole corpus, without a complaint, and they fit onto a multiprocessor."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

import graphc.tensor as T
from graphc.backends.cupy import nvrtc
from graphc.backends.cupy.chosen import standing_in
from graphc.backends.cupy.launches import Prepared
from graphc.tensor import nnet
from tests.cuda.corpus import (
    CORPUS,
    HANDMADE,
    PLAIN,
    WAYS,
    Way,
    handmade_call,
    script,
    scripts,
    sequel_of,
    sources,
    usual_sizes,
)
from tests.cuda.forms import FORMS
from tests.cuda.host_device import HostDevice
from tests.kernels.programs import Program

pytestmark = pytest.mark.skipif(nvrtc.found() is None, reason="NVRTC was not found: pip install nvidia-cuda-nvrtc")

MOST_REGISTERS = 128

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
            call = handmade_call(name, 70, 35)
            for way in WAYS:
                found |= script(call, sequel_of(call, way, n=70, m=35))[1]
        return found
    if what == "forms":
        return gathered(FORMS if full else FORMS[::PARTS], (PLAIN,))
    return gathered(CORPUS, WAYS if full else (PLAIN,))


def gathered(programs: Iterable[Program], ways: Iterable[Way]) -> dict[str, Prepared]:
    """The kernels of some programs, mapped in some ways."""
    found: dict[str, Prepared] = {}
    for program in programs:
        for way in ways:
            for _, used in scripts(program, way, **usual_sizes(program)):
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
            assert taken.registers <= MOST_REGISTERS or "over tiles" in about, about
            assert not taken.spills, about
            wide, high = launch.kernel.block
            assert taken.registers * wide * high <= 65536, about
            assert taken.shared <= 48 * 1024, about


def columns_of_every_kind(x: Any, y: Any) -> list[Any]:
    return [reduce(z, axis=0) for z in (x, y) for reduce in (T.sum, T.prod, T.max, T.min)]


# Functions that one block runs, with much to keep in shared memory, and for which sizes.
LARGE = (
    (Program("softmaxes", "nm nm nm", lambda *given: [nnet.softmax(x) * i for i, x in enumerate(given, 1)]), 4, 257),
    (Program("columns_of_every_kind", "nm nm", columns_of_every_kind, "float64 int64"), 20, 40),
)


@pytest.mark.parametrize("program, n, m", LARGE, ids=str)
def test_what_one_block_does_fits_into_shared_memory(program: Program, n: int, m: int) -> None:
    with standing_in(HostDevice()):
        f = program.function("cupy")
        f(*program.values(n=n, m=m))
        source = next(iter(f.variants.values())).executable.cuda  # type: ignore[attr-defined]
    assert "graphc_whole" in source
    assert "shared[" in source or "g_column<" in source
    (taken,) = nvrtc.compile(source).kernels.values()
    assert taken.shared <= 48 * 1024


def test_there_is_a_form_for_everything(full: bool) -> None:
    assert len({form.name for form in FORMS}) == len(FORMS)
    every = kernels("forms", True) if full else {}
    text = "".join(launch.kernel.text for launch in every.values())
    for kind in ("sum", "prod", "max", "min", "any", "all") if full else ():
        assert f"= {kind} " in text, kind
