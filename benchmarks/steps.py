"""Steps of the articles' programs: graphc beside the same step hand-written in NumPy, PyTensor and JAX."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc
import graphc.tensor as T
from benchmarks.measure import Call, Row, interleaved
from graphc.ifelse import ifelse

Builder = Callable[[], dict[str, Call]]

X_AND = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
T_AND = np.array([0, 0, 0, 1], dtype=float)
HAT = np.arange(0.9, 1.1, 0.01)


def installed(module: str) -> bool:
    """Whether a peer can be imported."""
    return importlib.util.find_spec(module) is not None


# ---- article 000: the AND gate ----


def and_step() -> dict[str, Call]:
    """One gradient-descent step of the AND neuron: two outputs, two updates."""
    ours = and_function(graphc, T, T.grad, {"backend": "numpy"})
    calls: dict[str, Call] = {"graphc": lambda: ours(X_AND, T_AND)}
    w, b = np.array([0.84, 0.76]), np.array(1.0)

    def by_hand() -> tuple[Any, ...]:
        nonlocal w, b
        z = X_AND @ w + b
        a = 1 / (1 + np.exp(-z))
        cost = -(T_AND * np.log(a) + (1 - T_AND) * np.log(1 - a)).sum()
        error = a - T_AND
        w = w - 0.01 * (X_AND.T @ error)
        b = b - 0.01 * error.sum()
        return a, cost

    calls["numpy"] = by_hand
    if installed("pytensor"):
        import pytensor
        import pytensor.tensor as pt

        theirs = and_function(pytensor, pt, pt.grad, {})
        calls["pytensor"] = lambda: theirs(X_AND, T_AND)
    if installed("jax"):
        calls["jax"] = and_jax()
    return calls


def and_function(library: Any, namespace: Any, grad: Any, options: dict[str, Any]) -> Any:
    """The step in Theano's language, for graphc and PyTensor."""
    x, target = namespace.dmatrix("x"), namespace.dvector("target")
    w = library.shared(np.array([0.84, 0.76]), name="w")
    b = library.shared(np.array(1.0), name="b")
    a = 1 / (1 + namespace.exp(-(namespace.dot(x, w) + b)))
    cost = -(target * namespace.log(a) + (1 - target) * namespace.log(1 - a)).sum()
    dw, db = grad(cost, [w, b])
    return library.function([x, target], [a, cost], updates=[(w, w - 0.01 * dw), (b, b - 0.01 * db)], **options)


def and_jax() -> Call:
    """The step in JAX, with arrays of NumPy as arguments."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def cost(parameters: Any, x: Any, target: Any) -> Any:
        w, b = parameters
        a = 1 / (1 + jnp.exp(-(x @ w + b)))
        return -(target * jnp.log(a) + (1 - target) * jnp.log(1 - a)).sum(), a

    def step(parameters: Any, x: Any, target: Any) -> Any:
        (value, a), (dw, db) = jax.value_and_grad(cost, has_aux=True)(parameters, x, target)
        w, b = parameters
        return a, value, (w - 0.01 * dw, b - 0.01 * db)

    compiled = jax.jit(step)
    state = [(jnp.array([0.84, 0.76]), jnp.array(1.0))]

    def run() -> Any:
        a, value, state[0] = compiled(state[0], X_AND, T_AND)
        return jax.block_until_ready((a, value, state[0]))

    return run


# ---- article 000: the Mexican hat ----


def hat_step() -> dict[str, Call]:
    """One step towards the minimum of the Mexican hat over 21 points."""
    ours = hat_function(graphc, T, T.grad, {"backend": "numpy"})
    calls: dict[str, Call] = {"graphc": lambda: ours(HAT)}
    w = np.array(0.5)

    def by_hand() -> tuple[Any, ...]:
        nonlocal w
        u = (w * HAT) ** 2
        e = np.exp(-u)
        value = ((1 - u) * e).sum()
        old, w = w, w - 0.001 * (2 * w * HAT**2 * e * (u - 2)).sum()
        return old, value

    calls["numpy"] = by_hand
    if installed("pytensor"):
        import pytensor
        import pytensor.tensor as pt

        theirs = hat_function(pytensor, pt, pt.grad, {})
        calls["pytensor"] = lambda: theirs(HAT)
    return calls


def hat_function(library: Any, namespace: Any, grad: Any, options: dict[str, Any]) -> Any:
    """The step in Theano's language."""
    x, w = namespace.dvector("x"), library.shared(np.array(0.5), name="w")
    value = namespace.sum((1 - (w * x) ** 2) * namespace.exp(-((w * x) ** 2)))
    return library.function([x], [w, value], updates=[(w, w - 0.001 * grad(value, w))], **options)


# ---- article 002: the network for the two moons ----


def moons_step() -> dict[str, Call]:
    """One step of the network of article 002: 200 points, 100 hidden units, float64."""
    x, y, start = moons_data()
    ours = moons_function(start, len(y), {"backend": "numpy"})
    calls: dict[str, Call] = {"graphc": lambda: ours(x, y)}
    parameters = [p.copy() for p in start]
    rows = np.arange(len(y))

    def by_hand() -> None:
        w1, b1, w2, b2 = parameters
        hidden = np.tanh(x @ w1 + b1)
        z = hidden @ w2 + b2
        e = np.exp(z - z.max(axis=1, keepdims=True))
        error = e / e.sum(axis=1, keepdims=True)
        error[rows, y] -= 1
        error /= len(y)
        back = error @ w2.T * (1 - hidden**2)
        decay = 0.01 / len(y)
        parameters[:] = [
            w1 - 0.01 * (x.T @ back + decay * w1),
            b1 - 0.01 * back.sum(axis=0),
            w2 - 0.01 * (hidden.T @ error + decay * w2),
            b2 - 0.01 * error.sum(axis=0),
        ]

    calls["numpy"] = by_hand
    if installed("jax"):
        calls["jax"] = _moons_jax(x, y, start)
    return calls


def moons_data() -> tuple[Any, Any, list[Any]]:
    """Points, labels and starting weights."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 2)), rng.integers(0, 2, size=200)
    return x, y, [rng.normal(size=(2, 100)), np.zeros(100), rng.normal(size=(100, 2)) / 10, np.zeros(2)]


def moons_function(start: list[Any], count: int, options: dict[str, Any]) -> Any:
    """The step as article 002 writes it."""
    X, labels = T.dmatrix("X"), T.lvector("y")
    w1, b1, w2, b2 = (graphc.shared(p.copy()) for p in start)
    hidden = T.tanh(X.dot(w1) + b1)
    probabilities = T.nnet.softmax(hidden.dot(w2) + b2)
    decay = 1.0 / count * 0.01 / 2 * (T.sum(T.sqr(w1)) + T.sum(T.sqr(w2)))
    loss = T.nnet.categorical_crossentropy(probabilities, labels).mean() + decay
    updates = [(p, p - 0.01 * T.grad(loss, p)) for p in (w1, b1, w2, b2)]
    return graphc.function([X, labels], updates=updates, **options)


def _moons_jax(x: Any, y: Any, start: Any) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def loss(parameters: Any) -> Any:
        w1, b1, w2, b2 = parameters
        log_p = jax.nn.log_softmax(jnp.tanh(x @ w1 + b1) @ w2 + b2)
        decay = 0.01 / 2 / len(y) * ((w1**2).sum() + (w2**2).sum())
        return -log_p[jnp.arange(len(y)), y].mean() + decay

    step = jax.jit(lambda ps: [p - 0.01 * g for p, g in zip(ps, jax.grad(loss)(ps), strict=True)])
    state = [[jnp.array(p) for p in start]]

    def run() -> Any:
        state[0] = jax.block_until_ready(step(state[0]))

    return run


# ---- calls that do next to nothing ----


def small_call() -> dict[str, Call]:
    """``f(x, y) -> x * y`` on 0-d arrays: what a call costs."""
    a, b = np.array(2.0), np.array(3.0)
    x, y = T.dscalars("x", "y")
    f = graphc.function([x, y], x * y, backend="numpy")
    calls: dict[str, Call] = {"graphc": lambda: f(a, b), "numpy": lambda: np.multiply(a, b)}
    if installed("pytensor"):
        import pytensor
        import pytensor.tensor as pt

        p, q = pt.dscalars("p", "q")
        g = pytensor.function([p, q], p * q)
        calls["pytensor"] = lambda: g(a, b)
    return calls


def lazy_call() -> dict[str, Call]:
    """``ifelse``: the branch with a thousand-element logarithm is not taken."""
    flag, x = T.dscalar("flag"), T.dvector("x")
    f = graphc.function([flag, x], ifelse(flag > 0, x.sum(), T.log(x).sum()), backend="numpy")
    one, values = np.array(1.0), np.linspace(1, 2, 1000)
    return {"graphc": lambda: f(one, values), "numpy": lambda: values.sum() if one > 0 else np.log(values).sum()}


STEPS: dict[str, Builder] = {
    "AND step (2 outputs, 2 updates)": and_step,
    "Mexican hat step, n = 21": hat_step,
    "moons network step, 200x2, 100 hidden": moons_step,
    "call of x * y, 0-d": small_call,
    "ifelse, cheap branch taken": lazy_call,
}


def rows() -> list[Row]:
    """The rows of this part."""
    return [Row(work, interleaved(build())) for work, build in STEPS.items()]
