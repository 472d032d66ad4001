"""Functions of several kernels: one after the other in one block, or beside each other, each with its own blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from graphc.backends.cupy.functions import PLACE, head, is_used, place
from graphc.backends.cupy.layout import Layout
from graphc.backends.cupy.render import Part, part
from graphc.kernels.gpuir import GpuKernel


def render_alone(kernels: Sequence[tuple[GpuKernel, Layout]], name: str) -> str:
    """A ``__global__`` function that one block runs: several kernels one after the other, in the same shared memory."""
    parameters: list[str] = []
    lines: list[str] = []
    parts = [part(*kernel) for kernel in kernels]
    for i, one in enumerate(parts):
        if i:
            lines.append("  __syncthreads();")
        lines += ["  {", *_alone(one, parameters, PLACE), "  }"]
    return _function(name, parts, parameters, lines)


def render_beside(kernels: Sequence[tuple[GpuKernel, Layout]], name: str) -> str:
    """A ``__global__`` function of several kernels, each for some of its blocks: up to an end that is a parameter.

    Neighbours of equal text are written once, and differ in what they are given.
    """
    ends = [f"end{i}" for i in range(len(kernels) - 1)]
    parameters = [f"const unsigned int {end}" for end in ends]
    blocks = list(zip(["", *ends], [*ends, ""], strict=True))
    lines: list[str] = []
    parts = [part(*kernel) for kernel in kernels]
    for one, group in groupby(range(len(parts)), parts.__getitem__):
        same = list(group)
        lines.append(_branch("  ", blocks[same[-1]][1], is_first=not same[0]))
        if len(same) == 1:
            lines += _alone(one, parameters, _place(*blocks[same[0]]))
        else:
            lines += _equal(one, parameters, [blocks[i] for i in same])
    return _function(name, parts, parameters, [*lines, "  }"])


def _function(name: str, parts: Sequence[Part], parameters: Sequence[str], lines: Sequence[str]) -> str:
    """The whole of a function."""
    shared = max(one.shared_bytes for one in parts)
    return "\n".join([*head(name, parts[0].threads, parameters, shared), *lines, "}"])


def _place(begin: str, end: str) -> dict[str, str]:
    """The place in the grid of a kernel that has the blocks up to an end, or all that are left."""
    before = f" - {begin}" if begin else ""
    return {"block": PLACE["block"] + before, "blocks": (end or PLACE["blocks"]) + before}


def _branch(indent: str, end: str, is_first: bool) -> str:
    """The line before what the blocks up to an end do."""
    condition = f"if (blockIdx.x < {end}) " if end else ""
    return f"{indent}{'' if is_first else '} else '}{condition}{{"


def _given(one: Part, parameters: list[str]) -> list[tuple[str, str, str]]:
    """New parameters for those of a kernel: the type of each, its name in the kernel, its name in the function."""
    first = len(parameters)
    parameters += [f"{kind}p{first + i}" for i, (kind, _) in enumerate(one.parameters)]
    return [(kind, own, f"p{first + i}") for i, (kind, own) in enumerate(one.parameters)]


def _alone(one: Part, parameters: list[str], where: Mapping[str, str]) -> list[str]:
    """The lines of a kernel; where: its place in the grid."""
    given = [f"    {kind}{own} = {name};" for kind, own, name in _given(one, parameters)]
    return [f"    {one.indices}", *given, *(f"  {line}" for line in (*place(one.body, where), *one.body))]


def _equal(one: Part, parameters: list[str], blocks: Sequence[tuple[str, str]]) -> list[str]:
    """The lines of kernels of equal text; blocks: where those of each begin and end."""
    used = [name for name in PLACE if is_used(name, one.body)]
    lines = [f"    {one.indices}"]
    lines += [f"    {kind if '*' in kind else kind.removeprefix('const ')}{own};" for kind, own in one.parameters]
    lines += [f"    unsigned int {', '.join(used)};"] if used else []
    for i, (begin, end) in enumerate(blocks):
        is_last = i == len(blocks) - 1
        lines.append(_branch("    ", "" if is_last else end, is_first=not i))
        lines += [f"      {own} = {name};" for _, own, name in _given(one, parameters)]
        where = _place(begin, end)
        lines += [f"      {name} = {where[name]};" for name in used]
    return [*lines, "    }", *(f"  {line}" for line in one.body)]
