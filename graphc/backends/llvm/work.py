"""How much work a kernel is, in units of about a tenth of a nanosecond: one operation on one element."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from graphc.backends.llvm.emit import Builder, Value
from graphc.backends.llvm.flow import integer
from graphc.backends.llvm.spelling import VECTOR_MATH
from graphc.kernels.loopir import Accumulate, Let, Load, Loop, Size, Statement, Store
from graphc.kernels.loopir import Value as Scalar


def _large() -> int:
    said = os.environ.get("GRAPHC_LARGE") or str(1 << 20)
    if not said.isdecimal():
        raise ValueError(f"GRAPHC_LARGE={said}: it is a number of operations, such as {1 << 20}")
    return int(said)


LARGE = _large()
"""Work beyond which it pays to take other ways: several threads, looks at signals, no global lock meanwhile.

The environment can say otherwise, so that tests take these ways with small arrays.
"""

IS_LARGE = -1
"""What a routine returns that has not done its work because it is large."""

MOST_COMMITTED = 64 * (1 << 20)
"""Work that a commit does at most: some milliseconds, as no signal is looked at and no other thread runs meanwhile."""

_HARD = {"true_div": 4, "reciprocal": 4, "sqrt": 4, "int_div": 10, "mod": 10}
"""Operations that are more than one unit; functions of vector math are 10."""


def work(b: Builder, statements: Sequence[Statement], size: Callable[[tuple[int | Size, ...]], Value]) -> Value:
    """The work of some statements; `size` gives the product of sizes."""
    total = integer(max(sum(map(_cost, statements)), 1))
    for s in statements:
        if isinstance(s, Loop):
            total = _folded(b, "add", total, _folded(b, "mul", size(s.axis.sizes), work(b, s.body, size)))
    return total


def _folded(b: Builder, instruction: str, x: Value, y: Value) -> Value:
    """An instruction, or its result if that is known."""
    if x.text.startswith("%") or y.text.startswith("%"):
        return b.binary(instruction, x, y)
    n, m = int(x.text), int(y.text)
    return integer(n + m if instruction == "add" else n * m)


def _cost(s: Statement) -> int:
    if isinstance(s, Let):
        return 10 if s.op.name in VECTOR_MATH else _HARD.get(s.op.name, 1)
    if isinstance(s, Load | Store | Accumulate):
        return 4 if any(isinstance(i, Scalar) for i in s.index) else 2
    return 0
