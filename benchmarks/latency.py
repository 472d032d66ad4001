"""How long the first result takes: of small graphs, of long chains, in a new process; and what compiles again.

All of this runs in one thread, so the time is that of the processor.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import graphc
import graphc.tensor as T
from benchmarks.measure import BACKEND, Figure
from benchmarks.startup import environment
from benchmarks.steps import T_AND, X_AND

# Different in each graph, so that its code has not been compiled before.
ACTIVATIONS = ("tanh", "softplus", "sin", "cos", "arctan", "expm1", "arcsinh", "sinh", "exp2")

FROM_START = """
import time
import numpy as np
import graphc, graphc.tensor as T
x, t = T.dmatrix("x"), T.dvector("t")
w, b = graphc.shared(np.array([0.84, 0.76])), graphc.shared(1.0)
a = 1 / (1 + T.exp(-(T.dot(x, w) + b)))
cost = -(t * T.log(a) + (1 - t) * T.log(1 - a)).sum()
dw, db = T.grad(cost, [w, b])
f = graphc.function([x, t], [a, cost], updates=[(w, w - 0.01 * dw), (b, b - 0.01 * db)], backend="llvm")
f(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0.0, 0, 0, 1]))
print(time.time(), time.process_time())
"""


def _elapsed(work: Callable[[], Any]) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def neuron(activation: str) -> None:
    """Build a neuron and its gradient, compile it, take the first step."""
    x, t = T.dmatrix("x"), T.dvector("t")
    w, b = graphc.shared(np.array([0.84, 0.76])), graphc.shared(1.0)
    a = getattr(T, activation, None) or getattr(T.nnet, activation)
    error = a(T.dot(x, w) + b) - t
    cost = (error**2).sum()
    dw, db = T.grad(cost, [w, b])
    f = graphc.function([x, t], [error, cost], updates=[(w, w - 0.01 * dw), (b, b - 0.01 * db)], **BACKEND)
    f(X_AND, T_AND)


def small_graph(quick: bool = False) -> list[Figure]:
    """The first result of a graph that is new to this process."""
    neuron("exp")
    times = [_elapsed(partial(neuron, name)) for name in ACTIVATIONS[: 1 if quick else None]]
    again = statistics.median(_elapsed(partial(neuron, "exp")) for _ in range(1 if quick else 9))
    note = f"a median; {again * 1e3:.1f} ms if its kernels are known"
    return [Figure("first result of a small graph, warm process", statistics.median(times), 30e-3, note=note)]


def from_start(quick: bool = False) -> list[Figure]:
    """The AND step in a new process."""
    times, used = [], []
    new, env = [sys.executable, "-c", FROM_START], environment()
    subprocess.run(new, check=True, env=env, stdout=subprocess.DEVNULL)  # writes the bytecode
    for _ in range(1 if quick else 11):
        start = time.time()
        out = subprocess.run(new, capture_output=True, text=True, check=True, env=env)
        end, busy = map(float, out.stdout.split())
        times.append(end - start)
        used.append(busy)
    note = f"a median; on the wall {statistics.median(times):.3f} s, the least {min(times):.3f} s"
    return [Figure("AND step, process start to first result", statistics.median(used), 0.35, note=note)]


def chain(n: int) -> None:
    """The first result of a chain of `n` layers with its gradient."""
    h, w, b = T.dmatrix("h"), T.dmatrix("W"), T.dvector("b")
    out = h
    for i in range(n):
        out = T.tanh(T.dot(out, w) + b * (1 + i / n))
    cost = out.sum()
    f = graphc.function([h, w, b], [cost, *T.grad(cost, [w, b])], **BACKEND)
    f(np.ones((4, 8)), np.eye(8), np.ones(8))


def chains(quick: bool = False) -> list[Figure]:
    """The first result of long chains."""
    short, long, longest = (5, 10, 20) if quick else (300, 1_000, 10_000)
    chain(2)
    times = {n: min(_elapsed(partial(chain, n)) for _ in range(1 if quick else 3)) for n in (short, long)}
    times[longest] = _elapsed(partial(chain, longest))
    work = "chained tanh(dot(h, W) + b*c_i) with gradient"
    return [
        Figure(f"{short:,} {work}", times[short], 0.5),
        Figure(f"{long:,} {work}", times[long], 1.5),
        Figure(f"{longest:,} {work}", times[longest], 2.0 * longest / long, f"{long:,}", times[long]),
    ]


def batch_sizes(quick: bool = False) -> list[Figure]:
    """A step on batches of many sizes, 1 among them."""
    x, y = T.dmatrix("x"), T.lvector("y")
    w, b = graphc.shared(np.zeros((5, 3))), graphc.shared(np.zeros(3))
    loss = T.nnet.categorical_crossentropy(T.nnet.softmax(T.dot(x, w) + b), y).mean()
    dw, db = T.grad(loss, [w, b])
    f = graphc.function([x, y], loss, updates=[(w, w - 0.1 * dw), (b, b - 0.1 * db)], **BACKEND)
    compiled = set()
    sizes = range(1, 11 if quick else 1001)
    for n in sizes:
        f(np.ones((n, 5)), np.zeros(n, int))
        compiled |= {id(variant.executable) for variant in f.variants.values()}
    return [Figure(f"{len(sizes):,} batch sizes", len(compiled), 1, unit="compiled")]


WORK: list[Callable[[bool], list[Figure]]] = [small_graph, from_start, chains, batch_sizes]
