"""Patterns of fusion, over sizes and layouts: fused kernels beside the best of unfused ones, NumPy and numexpr.

Every pattern is a function of two matrices `x` and `y` (some use only the first) with square-like shapes of 64, 10,000
and 10,000,000 elements.  A layout says what they are: two arrays; the first transposed; or the first with a row added
to it, the second that row.  All systems run in one thread, so the time is that of the processor.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc
import graphc.tensor as T
from benchmarks.measure import BACKEND, Call, Figure, duration, least, statement
from benchmarks.steps import installed
from graphc.backends.llvm import spelling
from graphc.backends.llvm.executable import LlvmExecutable
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.plan import plan

SHAPES = ((8, 8), (100, 100), (10_000, 1_000))

# None slower than this, as a ratio to the best of the others.
MOST = 1.1


@dataclass(frozen=True)
class Pattern:
    """A piece of work.

    graphc, numpy: of `x`, `y` and `i`, a vector of row numbers that are also column numbers; numexpr: of `x` and `y`,
    written as ``{x}`` and ``{y}``, if it can say that.
    """

    graphc: Callable[[Any, Any, Any], Any]
    numpy: Callable[[Any, Any, Any], Any]
    numexpr: str = ""


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


def _layer_norm(x: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    centred /= np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return centred


def _layer_norm_symbolic(x: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / T.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)


def _crossentropy(x: Any, i: Any) -> tuple[Any, Any]:
    rows = np.arange(len(x))
    shifted = x - x.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - shifted[rows, i]).mean()
    e /= total
    e[rows, i] -= 1
    e /= len(x)
    return loss, e


def _crossentropy_symbolic(x: Any, i: Any) -> list[Any]:
    loss = T.nnet.categorical_crossentropy(T.nnet.softmax(x), i).mean()
    return [loss, T.grad(loss, x)]


def _scatter_add(x: Any, y: Any, i: Any) -> Any:
    out = x.copy()
    np.add.at(out, i, y)
    return out


PATTERNS: dict[str, Pattern] = {
    "map": Pattern(
        lambda x, y, i: T.exp(-x * x) * y + 2 * x,
        lambda x, y, i: np.exp(-x * x) * y + 2 * x,
        "exp(-{x} * {x}) * {y} + 2 * {x}",
    ),
    "map, sum": Pattern(
        lambda x, y, i: ((x - y) ** 2).sum(),
        lambda x, y, i: ((x - y) ** 2).sum(),
        "sum(({x} - {y}) ** 2)",
    ),
    "map, sum of rows": Pattern(
        lambda x, y, i: ((x - y) ** 2).sum(axis=1),
        lambda x, y, i: ((x - y) ** 2).sum(axis=1),
        "sum(({x} - {y}) ** 2, axis=1)",
    ),
    "map, sum of columns": Pattern(
        lambda x, y, i: ((x - y) ** 2).sum(axis=0),
        lambda x, y, i: ((x - y) ** 2).sum(axis=0),
        "sum(({x} - {y}) ** 2, axis=0)",
    ),
    "two reductions": Pattern(
        lambda x, y, i: [(x * y).sum(), x.max()],
        lambda x, y, i: [(x * y).sum(), x.max()],
    ),
    "softmax": Pattern(lambda x, y, i: T.nnet.softmax(x), lambda x, y, i: _softmax(x)),
    "layer norm": Pattern(lambda x, y, i: _layer_norm_symbolic(x), lambda x, y, i: _layer_norm(x)),
    "cross-entropy": Pattern(lambda x, y, i: _crossentropy_symbolic(x, i), lambda x, y, i: _crossentropy(x, i)),
    "gather": Pattern(lambda x, y, i: x[i] * 2 + y, lambda x, y, i: x[i] * 2 + y),
    "scatter-add": Pattern(lambda x, y, i: T.inc_subtensor(x[i], y), lambda x, y, i: _scatter_add(x, y, i)),
}


# What `x` and `y` are, made of `a` and `b`.
LAYOUTS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "contiguous": lambda a, b: (a, b),
    "transposed": lambda a, b: (a.T, b),
    "broadcast": lambda a, b: (a + b, b),
}


def arguments(shape: tuple[int, int], layout: str) -> tuple[Any, Any, Any]:
    """The arrays `a` and `b`, and row numbers."""
    rng = np.random.default_rng(0)
    rows, columns = shape
    a = rng.normal(size=(columns, rows) if layout == "transposed" else shape)
    b = rng.normal(size=columns if layout == "broadcast" else shape)
    return a, b, rng.integers(0, min(shape), size=rows)


def fused(pattern: Pattern, layout: str) -> Any:
    """The pattern as a function of graphc."""
    a, i = T.dmatrix("a"), T.lvector("i")
    b = T.dvector("b") if layout == "broadcast" else T.dmatrix("b")
    out = pattern.graphc(*LAYOUTS[layout](a, b), i)
    return graphc.function([a, b, i], out, on_unused_input="ignore", **BACKEND)


def unfused(f: Any) -> Callable[..., Any]:
    """The same function with a kernel of its own for every node, entered in the same way if it can be."""
    apart = plan(f.schedule, kernel_ops(spelling.spells), fuses=False)
    executable = LlvmExecutable(f.schedule, apart)
    entry = executable.entry(f._calling())
    if entry is None:
        return lambda *values: executable.run(values)
    called: Callable[..., Any] = type("Unfused", (), {"__slots__": (), "__call__": entry.call})()
    return called


def with_numexpr(pattern: Pattern, layout: str, a: Any, b: Any) -> Call:
    """The pattern in numexpr's language."""
    import numexpr

    numexpr.set_num_threads(1)
    text = pattern.numexpr.format(x="(a + b)" if layout == "broadcast" else "a", y="b")
    names = {"a": a.T if layout == "transposed" else a, "b": b}
    return lambda: numexpr.evaluate(text, names)


def systems(pattern: Pattern, layout: str, shape: tuple[int, int]) -> dict[str, timeit.Timer]:
    """The same work for each system, on the same arrays."""
    a, b, i = arguments(shape, layout)
    f = fused(pattern, layout)
    names = {"a": a, "b": b, "i": i}
    found = {
        "graphc": statement("f(a, b, i)", f=f, **names),
        "unfused": statement("f(a, b, i)", f=unfused(f), **names),
        "numpy": statement("f(*xy(a, b), i)", f=pattern.numpy, xy=LAYOUTS[layout], **names),
    }
    if pattern.numexpr and installed("numexpr"):
        found["numexpr"] = statement("f()", f=with_numexpr(pattern, layout, a, b))
    return found


def row(name: str, layout: str, shape: tuple[int, int], rounds: int = 30) -> Figure:
    """One pattern of one size and layout: graphc beside the best of the others."""
    seconds = least(systems(PATTERNS[name], layout, shape), rounds, clock=time.process_time)
    ours = seconds.pop("graphc")
    best = min(seconds, key=seconds.__getitem__)
    others = ", ".join(f"{system} {duration(took)}" for system, took in seconds.items() if system != best)
    work = f"{name}, {shape[0]}x{shape[1]}, {layout}"
    return Figure(work, ours, MOST, best, seconds[best], others)


def rows(shapes: Sequence[tuple[int, int]] = SHAPES, rounds: int = 30) -> list[Figure]:
    """The rows of this part."""
    return [row(name, layout, shape, rounds) for name in PATTERNS for shape in shapes for layout in LAYOUTS]
