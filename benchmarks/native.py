"""Small functions and training steps as machine code, beside their peers; with `bandwidth` and `latency`, all targets.

Each function measures one row or more; ``quick`` makes everything tiny, to see that it runs.
"""

from __future__ import annotations

import itertools
import math
import time
import timeit
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import graphc
import graphc.tensor as T
from benchmarks import bandwidth, latency
from benchmarks.measure import BACKEND, Call, Figure, least, statement
from benchmarks.steps import (
    HAT,
    T_AND,
    X_AND,
    and_function,
    and_jax,
    hat_function,
    installed,
    moons_data,
    moons_function,
    moons_step,
)

FLOAT32_MLP = (784, 512, 512, 10)


def and_step(quick: bool = False) -> list[Figure]:
    """Article 000's AND neuron: a list of two outputs, two updates."""
    systems = {"graphc": statement("f(x, t)", f=and_function(graphc, T, T.grad, BACKEND), x=X_AND, t=T_AND)}
    if installed("pytensor"):
        import pytensor
        import pytensor.tensor as pt

        theirs = and_function(pytensor, pt, pt.grad, {})
        systems["pytensor"] = statement("f(x, t)", f=theirs, x=X_AND, t=T_AND)
    if installed("jax"):
        systems["jax"] = statement("f()", f=and_jax())
    seconds = least(systems, rounds=2 if quick else 100)
    work, ours = "AND step", seconds["graphc"]
    return [
        Figure(work, ours, 1 / 25, "pytensor", seconds.get("pytensor")),
        Figure(work, ours, 1 / 50, "jax", seconds.get("jax")),
        Figure(work, ours, 0.2e-6),
    ]


def hat_step(quick: bool = False) -> list[Figure]:
    """A step towards the minimum of the Mexican hat, 20 points."""
    x = HAT[:20]
    systems = {"graphc": statement("f(x)", f=hat_function(graphc, T, T.grad, BACKEND), x=x)}
    if installed("pytensor"):
        import pytensor
        import pytensor.tensor as pt

        systems["pytensor"] = statement("f(x)", f=hat_function(pytensor, pt, pt.grad, {}), x=x)
    seconds = least(systems, rounds=2 if quick else 100)
    return [Figure("Mexican hat step, n = 20", seconds["graphc"], 1 / 20, "pytensor", seconds.get("pytensor"))]


def formula_by_hand(x: float, y: float, z: float) -> list[float]:
    """``sinh(x**7 + exp(y*arccosh(z)))`` and its three derivatives in four lines."""
    a = math.acosh(z)
    e = math.exp(y * a)
    c = math.cosh(x**7 + e)
    return [math.sinh(x**7 + e), 7 * x**6 * c, a * e * c, y * e * c / math.sqrt(z * z - 1)]


def formula() -> Any:
    """The same, derived."""
    x, y, z = T.dscalars("x", "y", "z")
    value = T.sinh(x**7 + T.exp(y * T.arccosh(z)))
    return graphc.function([x, y, z], [value, *T.grad(value, [x, y, z])], **BACKEND)


def formula_row(quick: bool = False) -> list[Figure]:
    """A formula of Python floats."""
    call = "f(0.5, 0.3, 1.5)"
    systems = {"graphc": statement(call, f=formula()), "math": statement(call, f=formula_by_hand)}
    seconds = least(systems, rounds=2 if quick else 100)
    work = "sinh(x**7 + exp(y*arccosh(z))), 3 derivatives"
    return [Figure(work, seconds["graphc"], 1.0, "math", seconds["math"]), Figure(work, seconds["graphc"], 0.3e-6)]


def small_call(quick: bool = False) -> list[Figure]:
    """A call with one array that returns a 0-d array."""
    x = T.dvector("x")
    f = graphc.function([x], x.sum(), **BACKEND)
    seconds = least({"graphc": statement("f(x)", f=f, x=np.ones(4))}, rounds=2 if quick else 100)
    return [Figure("f(x) -> 0-d, one array in", seconds["graphc"], 60e-9)]


def moons_row(quick: bool = False) -> list[Figure]:
    """A step of article 002's network."""
    x, y, start = moons_data()
    ours = statement("f(x, y)", f=moons_function(start, len(y), BACKEND), x=x, y=y)
    work = "make_moons MLP step, 200x2, 100 hidden"
    return beside(work, ours, moons_step(), {"jax": 1 / 2.5, "numpy": 1 / 3}, rounds=2 if quick else 60)


def beside(
    work: str, ours: timeit.Timer, calls: Mapping[str, Call], targets: Mapping[str, float], rounds: int
) -> list[Figure]:
    """A step beside those of peers; beside JAX, which has threads, in the time on the wall."""
    found = []
    for peer, target in targets.items():
        systems = {"graphc": ours}
        if peer in calls:
            systems[peer] = statement("f()", f=calls[peer])
        seconds = least(systems, rounds, clock=time.perf_counter if peer == "jax" else time.process_time)
        found.append(Figure(work, seconds["graphc"], target, peer, seconds.get(peer)))
    return found


def table_row(quick: bool = False) -> list[Figure]:
    """Three rows of a table of 1,000,000 are added to, where they are."""
    start, i, v = np.zeros((1000 if quick else 1_000_000, 8)), np.array([3, 5, 3]), np.ones((3, 8))
    w, rows, values = graphc.shared(start), T.lvector("i"), T.dmatrix("v")
    f = graphc.function([rows, values], [], updates=[(w, T.inc_subtensor(w[rows], values))], **BACKEND)
    systems = {
        "graphc": statement("f(i, v)", f=f, i=i, v=v),
        "numpy": statement("add(w, i, v)", add=np.add.at, w=start, i=i, v=v),
    }
    if installed("jax"):
        systems["jax"] = statement("f()", f=table_jax(start, i, v))
    seconds = least(systems, rounds=2 if quick else 30)
    work = "3 rows of 1,000,000x8 added to, float64"
    return [Figure(work, seconds["graphc"], 1.0, peer, seconds.get(peer)) for peer in ("numpy", "jax")]


def table_jax(start: Any, i: Any, v: Any) -> Call:
    """The same in JAX, which is given the table to write to."""
    import jax

    jax.config.update("jax_enable_x64", True)
    step = jax.jit(lambda w, i, v: w.at[i].add(v), donate_argnums=0)
    state = jax.device_put(start.copy())

    def call() -> Any:
        nonlocal state
        state = step(state, i, v)
        return state.block_until_ready()

    return call


# ---- a larger network in float32 ----


def mlp_data(sizes: tuple[int, ...], batch: int) -> tuple[Any, Any, list[Any]]:
    """A batch, its labels, and weights and biases in turns."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, sizes[0])).astype("float32")
    y = rng.integers(0, sizes[-1], size=batch)
    start: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        start += [(rng.normal(size=(fan_in, fan_out)) / fan_in**0.5).astype("float32"), np.zeros(fan_out, "float32")]
    return x, y, start


def mlp_function(start: list[Any], options: dict[str, Any]) -> Any:
    """A step of gradient descent for a network of rectified layers."""
    x, y = T.fmatrix("x"), T.lvector("y")
    parameters = [graphc.shared(p.copy()) for p in start]
    hidden = x
    for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        hidden = T.nnet.relu(T.dot(hidden, w) + b)
    probabilities = T.nnet.softmax(T.dot(hidden, parameters[-2]) + parameters[-1])
    loss = T.nnet.categorical_crossentropy(probabilities, y).mean()
    rate = np.float32(0.01)
    updates = [(p, p - rate * g) for p, g in zip(parameters, T.grad(loss, parameters), strict=True)]
    return graphc.function([x, y], loss, updates=updates, **options)


def mlp_by_hand(x: Any, y: Any, start: list[Any]) -> Call:
    """The step in NumPy, in place where that helps."""
    parameters = [p.copy() for p in start]
    rows, rate = np.arange(len(y)), np.float32(0.01)

    def step() -> Any:
        layers = [x]
        for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            hidden = layers[-1] @ w
            hidden += b
            layers.append(np.maximum(hidden, 0, out=hidden))
        z = layers[-1] @ parameters[-2]
        z += parameters[-1]
        z -= z.max(axis=1, keepdims=True)
        error = np.exp(z)
        total = error.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - z[rows, y]).mean()
        error /= total
        error[rows, y] -= 1
        error /= np.float32(len(y))
        for i in range(len(parameters) - 2, -1, -2):
            w, b = parameters[i : i + 2]
            hidden = layers[i // 2]
            back = error @ w.T if i else None
            w -= rate * (hidden.T @ error)
            b -= rate * error.sum(axis=0)
            if back is not None:
                back *= hidden > 0
                error = back
        return loss

    return step


def mlp_jax(x: Any, y: Any, start: list[Any]) -> Call:
    """The step in JAX; the parameters are given away, so that it may write in place."""
    import jax

    jnp = jax.numpy

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        hidden = x
        for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            hidden = jax.nn.relu(hidden @ w + b)
        log_p = jax.nn.log_softmax(hidden @ parameters[-2] + parameters[-1])
        return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

    def step(parameters: Any, x: Any, y: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(parameters, x, y)
        return value, [p - jnp.float32(0.01) * g for p, g in zip(parameters, gradients, strict=True)]

    jitted = jax.jit(step, donate_argnums=0)
    on_device = jnp.asarray(x), jnp.asarray(y)
    state = [[jnp.array(p) for p in start]]

    def run() -> Any:
        value, state[0] = jax.block_until_ready(jitted(state[0], *on_device))
        return value

    return run


def mlp_row(quick: bool = False) -> list[Figure]:
    """A step of a network of three layers."""
    sizes, batch = ((8, 6, 5, 3), 4) if quick else (FLOAT32_MLP, 256)
    x, y, start = mlp_data(sizes, batch)
    ours = statement("f(x, y)", f=mlp_function(start, BACKEND), x=x, y=y)
    calls = {"numpy": mlp_by_hand(x, y, start)}
    if installed("jax"):
        calls["jax"] = mlp_jax(x, y, start)
    work = f"MLP {'-'.join(map(str, sizes))}, batch {batch}, float32"
    return beside(work, ours, calls, {"numpy": 1.0, "jax": math.inf}, rounds=2 if quick else 60)


WORK: list[Callable[[bool], list[Figure]]] = [
    *latency.WORK,  # before peers are imported: the garbage collector goes through what they made, too
    and_step,
    hat_step,
    formula_row,
    small_call,
    moons_row,
    mlp_row,
    table_row,
    *bandwidth.WORK,
]


def rows() -> list[Figure]:
    """The rows of this part."""
    return [figure for work in WORK for figure in work(False)]
