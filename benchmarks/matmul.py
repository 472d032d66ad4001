"""``python -m benchmarks.matmul``: graphc's matrix product beside the BLAS that NumPy calls, and ``np.dot``.

One call of each in nanoseconds, the least of many.  `tiles` never calls BLAS and `blas` always does, both from machine
code; where `tiles` ceases to be faster is the threshold of `graphc.backends.llvm.matmul.blas_from`.  Set
``OPENBLAS_NUM_THREADS=1`` to see one thread of BLAS.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

import numpy as np

from graphc.backends.llvm import blas, matmul
from graphc.backends.llvm.link import link
from graphc.backends.llvm.target import Target, host

# (m, k, n) and which operand is transposed in memory
SHAPES: list[tuple[int, int, int, str]] = [
    *((n, n, n, "") for n in (1, 2, 4, 8, 16, 32, 64, 96, 100, 128, 200, 256, 384, 512, 1000)),
    (4, 2, 1, ""), (4, 2, 2, ""),  # an AND gate
    (200, 2, 100, ""), (200, 100, 2, ""), (2, 200, 100, "A"), (100, 200, 2, "A"), (200, 2, 100, "B"),  # 2-100-2
    (100, 100, 1, ""), (100, 100, 1, "A"), (1, 100, 100, ""), (1, 100, 100, "B"), (1000, 1000, 1, ""),
    (256, 784, 512, ""), (256, 512, 512, ""), (256, 512, 10, ""),  # 784-512-512-10, forwards
    (784, 256, 512, "A"), (512, 256, 512, "A"), (512, 256, 10, "A"), (256, 512, 512, "B"), (256, 10, 512, "B"),
]  # fmt: skip

REPEAT = """
define void @repeat(i64 %times, {typed}) {{
entry:
  br label %next
next:
  %i = phi i64 [0, %entry], [%j, %next]
  call void @{product}({typed})
  %j = add i64 %i, 1
  %more = icmp slt i64 %j, %times
  br i1 %more, label %next, label %end
end:
  ret void
}}
"""
ARGUMENTS = "ptr %a, i64 %ars, i64 %acs, ptr %b, i64 %brs, i64 %bcs, ptr %c, i64 %m, i64 %n, i64 %k, ptr %scratch"

Times = Callable[[int], object]
"""Does its work so many times."""


def repeated(dtype: str, target: Target, by: blas.Blas | None) -> Callable[[np.ndarray, np.ndarray, np.ndarray], Times]:
    """The compiled product in a loop of machine code: a call from Python would take longer than small products do."""
    text = matmul.module(dtype, target, by, from_products=0)
    text += REPEAT.format(typed=ARGUMENTS, product=matmul.symbol(dtype))
    code = link(text, target, ["repeat"], matmul.symbols(dtype, by))
    kinds = [ctypes.c_int64 if word.startswith("i64") else ctypes.c_void_p for word in ARGUMENTS.split(", ")]
    function = ctypes.CFUNCTYPE(None, ctypes.c_int64, *kinds)(code["repeat"])
    scratch = np.empty(matmul.SCRATCH_BYTES, np.uint8)

    def of(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Times:
        left, right = ((x.ctypes.data, *(stride // x.itemsize for stride in x.strides)) for x in (a, b))
        sizes = (a.shape[0], b.shape[1], a.shape[1])
        return lambda times: (code, function(times, *left, *right, c.ctypes.data, *sizes, scratch.ctypes.data))

    return of


def dots(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Times:
    """NumPy's product, called from Python."""

    def call(times: int) -> None:
        for _ in range(times):
            np.dot(a, b, out=c)

    return call


def least(systems: dict[str, Times], products: int) -> dict[str, float]:
    """Nanoseconds of each system: the least of rounds in which they take turns."""
    times = max(1, 200_000 // (products // 16 + 200))
    rounds = 7 if products > 2**26 else 25
    found = dict.fromkeys(systems, float("inf"))
    for _ in range(rounds):
        for name, run in systems.items():
            start = time.perf_counter_ns()
            run(times)
            found[name] = min(found[name], (time.perf_counter_ns() - start) / times)
    return found


def main() -> None:
    by = blas.find()
    print(f"{host().cpu}, BLAS: {f'{by.threads} threads' if by else 'not found'}")
    for dtype in ("float32", "float64"):
        makers = {"tiles": repeated(dtype, host(), None), "np.dot": dots}
        if by:
            makers["blas"] = repeated(dtype, host(), by)
        print(f"{dtype:>22}{'tiles':>12}{'GFlop/s':>9}{'blas':>12}{'np.dot':>12}{'/ blas':>8}{'/ np.dot':>9}")
        rng = np.random.default_rng(0)
        for m, k, n, transposed in SHAPES:
            a = rng.normal(size=(m, k)).astype(dtype, order="F" if transposed == "A" else "C")
            b = rng.normal(size=(k, n)).astype(dtype, order="F" if transposed == "B" else "C")
            c = np.empty((m, n), dtype)
            ns = {"blas": float("nan")} | least({name: make(a, b, c) for name, make in makers.items()}, m * n * k)
            tiles, dot = ns["tiles"], ns["np.dot"]
            work = f"({m},{k})@({k},{n}) {transposed:1}"
            print(
                f"{work:>22}{tiles:12.0f}{2 * m * n * k / tiles:9.1f}{ns['blas']:12.0f}{dot:12.0f}"
                f"{tiles / ns['blas']:8.2f}{tiles / dot:9.2f}"
            )


if __name__ == "__main__":
    main()
