"""Functions whose calls go through hand-made programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import graphc
import graphc.tensor as T
from graphc import In, function, shared
from graphc.compile.function import Function
from tests.backends.llvm.programs import Hybrid, elementwise, through

DOUBLE = "  %r0 = fadd double %x0, %x0\n"
SUM = "  %r0 = fadd double %x0, %x1\n"


def doubling() -> tuple[Function, Hybrid]:
    x = T.dvector("x")
    f = function([x], x + x, backend="numpy")
    return f, through(f, elementwise([1], [1], DOUBLE))


def adding(shape: tuple[int | None, ...] = (None,), **options: Any) -> tuple[Function, Hybrid]:
    x, y = graphc.TensorType("float64", shape=shape)("x"), T.dvector("y")
    f = function([In(x, **options), y], [x + y, (x + y).sum()], backend="numpy")
    program = elementwise(
        [1, 1],
        [1, 0],
        """  %r0 = fadd double %x0, %x1
  %last.at = getelementptr i64, ptr %f, i64 5
  %last = load double, ptr %last.at
  %is_first = icmp eq i64 %i, 0
  %sum = select i1 %is_first, double 0.0, double %last
  %r1 = fadd double %sum, %r0
""",
    )
    return f, through(f, program)


def counter(count: Any = None) -> tuple[Function, Any]:
    """A function that returns a number and then adds its argument to it."""
    count = shared(0.0, name="count") if count is None else count
    step = T.dscalar("step")
    f = function([step], count, updates=[(count, count + step)], backend="numpy")
    program = elementwise([0, 0], [0, 0], "  %r0 = fadd double %x1, 0.0\n  %r1 = fadd double %x1, %x0\n")
    return f, through(f, program)


def moving() -> tuple[Function, Any, Hybrid]:
    """A function that adds a vector to a shared one and returns the sum's double."""
    w, x = shared(np.zeros(3), name="w"), T.dvector("x")
    f = function([x], 2 * (w + x), updates=[(w, w + x)], backend="numpy")
    code = "  %r1 = fadd double %x1, %x0\n  %r0 = fmul double %r1, 2.0\n"
    return f, w, through(f, elementwise([1, 1], [1, 1], code))


def outcome(call: Callable[[], Any]) -> str:
    """What a call gives, as text, or what it raises."""
    try:
        result = call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    parts = result if isinstance(result, list) else [result]
    return repr([(type(r), r.dtype, r.tolist(), r.flags.writeable) for r in parts])
