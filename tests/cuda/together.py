"""Calls of several kernels that run beside each other: the first launches of all of them are one, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from graphc.backends.cupy.launches import Beside, Prepared, prepare
from graphc.backends.cupy.programs import Programs
from graphc.kernels.gpuir import GpuKernel
from graphc.kernels.map_gpu import ALONE
from tests.cuda.corpus import PLAIN, PROCESSORS, Call, mapping, script
from tests.cuda.play import Array, Script, Step

Played = tuple[Script, dict[str, Any]]


@dataclass(frozen=True)
class Several(Beside):
    """It stands where a launch does."""

    @property
    def kernel(self) -> GpuKernel:
        """The last of the kernels."""
        return self.launches[-1].kernel


def alone(call: Call, **sizes: int) -> Played:
    """A call by itself, whose launches may run beside others."""
    size_of = dict(zip(call.kernel.sizes, call.sizes, strict=True)).__getitem__
    with mapping(PLAIN, sizes):
        return script(call, prepare(call.kernel, size_of, PROCESSORS, beside=True))


def together(every: Sequence[Played]) -> Played:
    """Some calls at the same time."""
    buffers: list[Array] = []
    wanted: dict[int, Array] = {}
    rows: list[list[tuple[Step, Prepared]]] = []
    for made, kernels in every:
        first = len(buffers)
        buffers += made.buffers
        wanted |= {first + i: array for i, array in (made.wanted or {}).items()}
        rows.append([(_moved(step, first, made.error), kernels[step.name]) for step in made.steps])
    steps: list[Step] = []
    found: dict[str, Any] = {}
    for column in zip_longest(*rows):
        pairs = [pair for pair in column if pair is not None]
        for step, launch in (pair for pair in pairs if pair[1].beside is None):
            steps.append(step)
            found[step.name] = launch
        members = [(step, launch.beside) for step, launch in pairs if launch.beside is not None]
        if members:
            whole = Several(tuple(launch for _, launch in members))
            *ends, grid = whole.ends
            given = [("size", end) for end in ends] + [x for step, _ in members for x in step.arguments]
            steps.append(Step(Programs.name(whole), grid, ALONE, tuple(given)))
            found[steps[-1].name] = whole
    first_script, _ = every[0]
    return replace(
        first_script,
        what=" beside ".join(made.what for made, _ in every),
        steps=tuple(steps),
        buffers=tuple(buffers),
        wanted=None if any(made.wanted is None for made, _ in every) else wanted,
        ulps=max(made.ulps for made, _ in every),
        exact=all(made.exact for made, _ in every),
    ), found


def _moved(step: Step, first: int, error: int) -> Step:
    """A step whose buffers stand behind others; all tell of errors in the same one."""
    place = {error: 0}
    given = [(what, place.get(n, first + n) if what == "buffer" else n) for what, n in step.arguments]
    return replace(step, arguments=tuple(given))


def in_lots(every: Sequence[Played], count: int) -> list[Played]:
    """All calls, so many at a time."""
    return [together(every[i : i + count]) for i in range(0, len(every), count)]
