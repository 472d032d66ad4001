"""Large work in one thread and in all: what several processors bring, and how far memory lets them.

The last column is what reading (or copying) the same bytes takes with as many threads.  Every other table is measured
in one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import graphc
import graphc.tensor as T
from benchmarks.bandwidth import crossentropy, crossentropy_jax, reading
from benchmarks.measure import BACKEND, Row, least, statement
from benchmarks.steps import installed
from graphc.backends.llvm.crew import processors

Make = Callable[[], Any]


def rows(quick: bool = False) -> list[Row]:
    """One row for each piece of work."""
    n = 64 if quick else 10_000_000
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=n), rng.normal(size=n)
    matrix = rng.normal(size=(5, 7) if quick else (65536, 1000)).astype("float32")
    labels = rng.integers(0, matrix.shape[1], size=len(matrix))
    with ThreadPoolExecutor(processors()) as pool:
        read = _in_parts(pool, _read, [a])
        copy = _in_parts(pool, np.copyto, [np.empty_like(a), a])
        copy_matrix = _in_parts(pool, np.copyto, [np.empty_like(matrix), matrix])
        jax = crossentropy_jax(matrix, labels) if installed("jax") else None
        rounds = 2 if quick else 25
        return [
            _row(f"sum of (1-(wx)^2)exp(-(wx)^2), {n:,} float64", hat, (a, 0.7), {"reading": read}, rounds),
            _row(f"tanh(x), {n:,} float64", tanh, (a,), {"copying": copy}, rounds),
            _row(f"x*y + 2x - y/3, {n:,} float64", polynomial, (a, b), {"copying 2/3": copy}, rounds),
            _row(
                f"softmax + cross-entropy with gradient, {matrix.shape[0]}x{matrix.shape[1]} float32",
                crossentropy,
                (matrix, labels),
                {"copying": copy_matrix} | ({} if jax is None else {"jax": jax}),
                min(rounds, 12),
            ),
        ]


def hat() -> Any:
    """A total of something that is not cheap."""
    x, w = T.dvector("x"), T.dscalar("w")
    return graphc.function([x, w], T.sum((1 - (w * x) ** 2) * T.exp(-((w * x) ** 2))), **BACKEND)


def tanh() -> Any:
    """A map that is not cheap."""
    x = T.dvector("x")
    return graphc.function([x], T.tanh(x), **BACKEND)


def polynomial() -> Any:
    """A map that is."""
    x, y = T.dvectors("x", "y")
    return graphc.function([x, y], x * y + 2 * x - y / 3, **BACKEND)


def _row(work: str, make: Make, values: tuple[Any, ...], peers: dict[str, Callable[[], Any]], rounds: int) -> Row:
    """The function made for one thread and for all, beside its peers.

    JAX is measured after the others, not in turns with them: calls that follow one of JAX take up to twice as long,
    for some 100 ms, on the machine these tables come from.
    """
    with graphc.config.change_flags(threads=1):
        one = make()
    with graphc.config.change_flags(threads=processors()):
        several = make()
    calls = {"graphc": several, "one thread": one}
    statements = {name: statement("f(*values)", f=f, values=values) for name, f in calls.items()}
    statements |= {name: statement("f()", f=peer) for name, peer in peers.items() if name != "jax"}
    seconds = least(statements, rounds=rounds)
    if "jax" in peers:
        seconds |= least({"jax": statement("f()", f=peers["jax"])}, rounds=rounds)
    return Row(f"{work}, {processors()} threads", seconds)


def _in_parts(pool: ThreadPoolExecutor, work: Callable[..., Any], arrays: list[Any]) -> Callable[[], Any]:
    """Work on equal parts of some arrays, a thread each."""
    parts = list(zip(*(np.array_split(array, processors()) for array in arrays), strict=True))
    return lambda: [done.result() for done in [pool.submit(work, *part) for part in parts]]


_reading = reading()


def _read(part: Any) -> float:
    return _reading(part.ctypes.data, part.size // 32 * 32)
