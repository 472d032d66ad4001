"""Time to start: importing graphc beside importing NumPy, and the first result of a small graph."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.measure import Row

IMPORTS = {
    "graphc": "import graphc",
    "numpy": "import numpy",
}

FIRST_RESULT = """
import graphc, graphc.tensor as T
x = T.dvector('x')
w = graphc.shared(0.5)
cost = ((w * x) ** 2).sum()
f = graphc.function([x], cost, updates=[(w, w - 0.1 * T.grad(cost, w))], backend='numpy')
f([1.0, 2.0])
"""

WARM = """
import time
import graphc, graphc.tensor as T
def once():
    x = T.dmatrix('x'); t = T.dvector('t'); w = graphc.shared([0.5, 0.5]); b = graphc.shared(1.0)
    a = 1 / (1 + T.exp(-(T.dot(x, w) + b)))
    cost = -(t * T.log(a) + (1 - t) * T.log(1 - a)).sum()
    dw, db = T.grad(cost, [w, b])
    f = graphc.function([x, t], [a, cost], updates=[(w, w - 0.01 * dw), (b, b - 0.01 * db)], backend='numpy')
    f([[0, 0], [0, 1]], [0, 1])
once()
times = []
for _ in range(9):
    start = time.perf_counter(); once(); times.append(time.perf_counter() - start)
print(sorted(times)[4])
"""


def seconds(code: str, rounds: int = 9) -> float:
    """The median time that `code` takes in a fresh process, with compiled bytecode as on any installed package."""
    _elapsed(code)  # writes the bytecode
    return statistics.median(_elapsed(code) for _ in range(rounds))


def _elapsed(code: str) -> float:
    timed = f"import time; start = time.perf_counter()\n{code}\nprint(time.perf_counter() - start)"
    out = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True, env=environment())
    return float(out.stdout.split()[-1])


_BYTECODE = tempfile.TemporaryDirectory(prefix="graphc-bytecode-")


def environment() -> dict[str, str]:
    """The environment, with a fresh place for bytecode whatever it says about that."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": _BYTECODE.name}


def rows() -> list[Row]:
    """The rows of this part."""
    imports = {name: seconds(code) for name, code in IMPORTS.items()}
    extra = imports["graphc"] - imports["numpy"]
    out = subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True, check=True)
    return [
        Row("import", imports, f"graphc adds {extra * 1e3:.0f} ms to NumPy's own import"),
        Row("import and first result of a small graph", {"graphc": seconds(FIRST_RESULT)}),
        Row("AND step: build, differentiate, compile, run (warm)", {"graphc": float(out.stdout)}),
    ]
