"""The kernels of the corpus under the sanitizers, in processes of their own: nothing is said."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from graphc.backends.cupy.launches import Prepared
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
    sources,
)
from tests.cuda.forms import FORMS
from tests.cuda.host_device import compiler, environment
from tests.cuda.play import Script, save
from tests.cuda.together import alone, in_lots
from tests.kernels.programs import Program

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ was not found")

# Float to integer conversions that do not fit are undefined too, but not part of `undefined`.
SANITIZERS = ("address,undefined,float-cast-overflow", "thread")

PLAY = """
import sys
from pathlib import Path
from tests.cuda.corpus import compiled
from tests.cuda.host_device import HostDevice
from tests.cuda.play import load, noticed
sources, scripts = load(Path(sys.argv[1]))
device = HostDevice(sys.argv[3], sanitize=sys.argv[2])
modules = compiled(device, sources)
for script in scripts:
    print(script, file=sys.stderr)
    found = noticed([device], [modules], script)
    if found:
        raise SystemExit(f"{script}: {found}")
print("played", len(scripts))
"""

# By default: one program for each kind of team and each function of teams.
SELECTED = {
    "chained_rows": ("plain", "rows in memory"),
    "layer_norm": ("plain", "long rows"),
    "column_sum": ("plain", "long columns"),
    "middle_axes": ("plain",),
    "several_reductions": ("plain",),
    "total_after_rows": ("long rows", "alone"),
    "gather": ("plain",),
    "scatter": ("plain", "wide"),
    "small_integers": ("plain",),
    "normalised": ("large",),
}
SIZES = ({"n": 35, "m": 35, "k": 3}, {"n": 300, "m": 2, "k": 5})
MOST_ELEMENTS = 5000
PARTS = 6  # of the full corpus, each in a process of its own


def gathered(programs: Iterable[tuple[Program, Way]], full: bool) -> tuple[list[Script], dict[str, Prepared]]:
    """The calls of some programs."""
    played: list[Script] = []
    kernels: dict[str, Prepared] = {}
    for program, way in programs:
        bad = program.name in ("gather", "scatter")
        for sizes in SIZES if full else SIZES[:1]:
            if most_elements(program, sizes) > MOST_ELEMENTS:
                continue
            for made, used in [*scripts(program, way, **sizes), *(scripts(program, way, True, **sizes) if bad else [])]:
                played.append(made)
                kernels |= used
    return played, kernels


def handmade() -> tuple[list[Script], dict[str, Prepared]]:
    """Those that no program leads to."""
    played: list[Script] = []
    kernels: dict[str, Prepared] = {}
    for name in HANDMADE:
        for n, m in ((5, 17), (3, 0)):
            for way in (PLAIN, WAYS[1]):
                call = handmade_call(name, n, m)
                made, used = script(call, sequel_of(call, way, n=n, m=m))
                played.append(made)
                kernels |= used
    return played, kernels


def is_silent(sanitize: str, played: list[Script], kernels: dict[str, Prepared], path: Path) -> None:
    """Play scripts in a process with a sanitizer."""
    save(path, sources(kernels), played)
    order = "random" if sanitize == "thread" else "forward"
    done = subprocess.run(
        [sys.executable, "-c", PLAY, str(path), sanitize, order],
        cwd=Path(__file__).parents[2],
        env=environment(sanitize),
        capture_output=True,
        text=True,
        timeout=1500,
    )
    report = re.search(r".*\n.*(Sanitizer|runtime error)[\s\S]*", done.stderr)
    assert report is None, report[0][:5000]
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"played {len(played)}\n"


@pytest.mark.parametrize("sanitize", SANITIZERS)
def test_sanitizers_are_silent(sanitize: str, tmp_path: Path) -> None:
    known = {way.name: way for way in WAYS}
    played, kernels = gathered(((BY_NAME[name], known[way]) for name, ways in SELECTED.items() for way in ways), False)
    more, others = handmade()
    is_silent(sanitize, played + more, kernels | others, tmp_path / "scripts")


@pytest.mark.parametrize("sanitize", SANITIZERS)
def test_sanitizers_are_silent_about_kernels_beside_each_other(sanitize: str, tmp_path: Path) -> None:
    sizes = SIZES[0]
    played = in_lots([alone(call, **sizes) for name in SELECTED for call in calls(BY_NAME[name], **sizes)], 4)
    kernels = {name: launch for _, used in played for name, launch in used.items()}
    is_silent(sanitize, [made for made, _ in played], kernels, tmp_path / "scripts")


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("sanitize", SANITIZERS)
def test_sanitizers_are_silent_about_the_whole_corpus(sanitize: str, part: int, full: bool, tmp_path: Path) -> None:
    if not full:
        pytest.skip("takes minutes: --full")
    every = [(program, way) for program in CORPUS for way in WAYS] + [(form, PLAIN) for form in FORMS]
    is_silent(sanitize, *gathered(every[part::PARTS], True), tmp_path / "scripts")
