"""verify_grad: a symbolic gradient compared with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.errors import VerifyGradError, explain
from graphc.evaluator import evaluate
from graphc.gradient.core import grad
from graphc.graph.types import TensorType
from graphc.graph.variable import Constant, Variable

Array = np.ndarray[Any, Any]

# Steps and tolerances by dtype, as in Theano.
STEP = {"float16": 1e-1, "float32": 3e-4, "float64": 1e-7}
TOLERANCE = {"float16": 5e-2, "float32": 1e-2, "float64": 1e-4}


def numeric_grad(cost: Callable[..., Any], points: Sequence[Array], eps: float | None = None) -> list[Array]:
    """Central differences of a scalar function at `points`, one array for each of them."""
    gradients = []
    points = [np.array(p) for p in points]
    for p in points:
        step = STEP[p.dtype.name] if eps is None else eps
        g = np.zeros_like(p)
        for i in np.ndindex(p.shape):
            middle = p[i]
            p[i] = middle + step
            above, width = float(cost(*points)), p[i]
            p[i] = middle - step
            below, width = float(cost(*points)), width - p[i]
            p[i] = middle
            g[i] = (above - below) / width
        gradients.append(g)
    return gradients


def verify_grad(
    fun: Callable[..., Variable],
    pt: Sequence[Any],
    n_tests: int = 2,
    rng: Any = None,
    eps: float | None = None,
    out_type: str | None = None,
    abs_tol: float | None = None,
    rel_tol: float | None = None,
    mode: Any = None,
    cast_to_output_type: bool = False,
    no_debug_ref: bool = True,
) -> None:
    """Check the gradient of `fun` at the points `pt`: VerifyGradError if it differs from finite differences.

    Parameters
    ----------
    fun: takes one variable for each point and returns an expression.
    pt: arrays of floats, one for each argument.
    n_tests: how many random projections of the result to test.
    rng: a NumPy Generator or RandomState.
    eps: the step of the differences; abs_tol, rel_tol: an element passes if either error is below its tolerance.

        >>> verify_grad(lambda x: T.tanh(x).sum(), [np.array([0.1, 0.2])])
    """
    points = [np.array(p) for p in pt]
    for i, p in enumerate(points):
        if p.dtype.name not in STEP:
            raise TypeError(f"verify_grad: point {i} has dtype {p.dtype}; differences need floats")
    rng = np.random.default_rng(20130613) if rng is None else rng
    worst = max(points, key=lambda p: TOLERANCE[p.dtype.name]).dtype.name
    abs_tol = TOLERANCE[worst] if abs_tol is None else abs_tol
    rel_tol = TOLERANCE[worst] if rel_tol is None else rel_tol

    inputs = [TensorType(p.dtype.name, shape=(None,) * p.ndim)(f"input {i}") for i, p in enumerate(points)]
    out = fun(*inputs)
    given = dict(zip(inputs, points, strict=True))
    shape = evaluate(out, given).shape
    for _ in range(n_tests):
        projection = Constant(
            TensorType(out.dtype, shape=shape), np.asarray(rng.uniform(0.5, 1.5, size=shape), out.dtype)
        )
        cost = (out * projection).sum()

        def value(*arrays: Array, cost: Variable = cost) -> Any:
            return evaluate(cost, dict(zip(inputs, arrays, strict=True)))

        expected = numeric_grad(value, points, eps)
        actual = evaluate(grad(cost, inputs, disconnected_inputs="ignore"), given)
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            _compare(i, a, e, abs_tol, rel_tol)


def _compare(position: int, actual: Array, expected: Array, abs_tol: float, rel_tol: float) -> None:
    if actual.shape != expected.shape:
        raise VerifyGradError(f"the gradient by input {position} has shape {actual.shape}, the input {expected.shape}")
    absolute = np.abs(actual - expected)
    relative = absolute / np.maximum(np.abs(actual) + np.abs(expected), 1e-8)
    bad = ~((absolute <= abs_tol) | (relative <= rel_tol))
    if bad.any():
        where = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
        raise VerifyGradError(
            explain(
                f"the gradient by input {position} is wrong in {int(bad.sum())} of {bad.size} elements",
                [
                    f"at {where}: {actual[where]!r}, finite differences give {expected[where]!r}",
                    f"absolute error {absolute[where]:.3g} (limit {abs_tol:g})",
                    f"relative error {relative[where]:.3g} (limit {rel_tol:g})",
                ],
            )
        )
