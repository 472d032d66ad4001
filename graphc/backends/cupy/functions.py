"""What is around the body of a CUDA C function: how it begins, its place in the grid, what stands before it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from graphc.backends.cupy.prelude import prelude, used

# What a body calls its place in the grid, and what that is of a kernel that has a launch of its own.
PLACE = {"block": "blockIdx.x", "blocks": "gridDim.x"}

# So many threads fit on a multiprocessor: each may have 128 registers.
AT_ONCE = 512


def head(name: str, threads: int, parameters: Sequence[str], shared_bytes: int, at_once: int = AT_ONCE) -> list[str]:
    """How a function begins.  at_once: how many of its threads must fit on a multiprocessor, if others may not."""
    bounds = f"__launch_bounds__({threads}, {max(1, at_once // threads)})"
    line = f'extern "C" __global__ void {bounds} {name}({", ".join(parameters)}) {{'
    return [line, f"  __shared__ __align__(16) char shared[{shared_bytes}];"] if shared_bytes else [line]


def place(body: Sequence[str], where: Mapping[str, str] = PLACE) -> list[str]:
    """The names of a block's place in the grid, as far as a body uses them."""
    names = ", ".join(f"{name} = {where[name]}" for name in PLACE if is_used(name, body))
    return [f"  const unsigned int {names};"] if names else []


def is_used(name: str, body: Sequence[str]) -> bool:
    """Whether a body has a name."""
    return any(re.search(rf"\b{name}\b", line) for line in body)


def translation_unit(functions: Sequence[str]) -> str:
    """A source that can be compiled: functions, and before them what they use."""
    text = "\n".join(functions)
    return "\n".join(filter(None, (prelude(used(text)), text)))
