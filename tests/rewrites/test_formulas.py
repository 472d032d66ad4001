"""Formulas as users write them, at points where floating point gives a wrong answer.

Each is one function of a namespace, so that graphc, NumPy and (where it is installed) JAX compute the very same text.
The test prints what each of them gives beside the true value, and demands it of graphc, in every mode.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest

import graphc
import graphc.tensor as T

INF = float("inf")
Formula = Callable[[Any, Any], Any]


def exact(value: Callable[[], Any]) -> Any:
    """A number computed with 50 digits."""
    with mpmath.workdps(50):
        result = value()
        return [float(v) for v in result] if isinstance(result, list) else float(result)


def sigmoid(ns: Any, x: Any) -> Any:
    return 1 / (1 + ns.exp(-x))


def softmax(ns: Any, x: Any) -> Any:
    return ns.exp(x) / ns.sum(ns.exp(x))


# name, formula, point, true value.  Values:
VALUES: list[tuple[str, Formula, Any, Any]] = [
    ("-log(sigmoid x)", lambda ns, x: -ns.log(sigmoid(ns, x)), -800.0, 800.0),
    ("-log(1 - sigmoid x)", lambda ns, x: -ns.log(1 - sigmoid(ns, x)), 800.0, 800.0),
    ("cross-entropy, t = 1/4", lambda ns, x: -(0.25 * ns.log(sigmoid(ns, x)) + 0.75 * ns.log(1 - sigmoid(ns, x))),
     800.0, 600.0),
    ("mean cross-entropy of a batch", lambda ns, x: -ns.mean(ns.log(1 - sigmoid(ns, x))), [800.0, -800.0, 0.0],
     exact(lambda: (800 + mpmath.log(2)) / 3)),
    ("log-odds of a sigmoid", lambda ns, x: ns.log(sigmoid(ns, x) / (1 - sigmoid(ns, x))), 800.0, 800.0),
    ("logistic loss log(1 + exp(-yx))", lambda ns, x: ns.log(1 + ns.exp(-1.0 * x)), -800.0, 800.0),
    ("log(exp x + 1)", lambda ns, x: ns.log(ns.exp(x) + 1), 800.0, 800.0),
    ("Gauss: log(exp(-x*x/2))", lambda ns, x: ns.log(ns.exp(-x * x / 2)), 50.0, -1250.0),
    ("Poisson: 3 log(exp x) - exp x", lambda ns, x: 3 * ns.log(ns.exp(x)) - ns.exp(x), -800.0, -2400.0),
    ("log(exp x + exp 2x)", lambda ns, x: ns.log(ns.exp(x) + ns.exp(2 * x)), 500.0, 1000.0),
    ("log sum exp, large", lambda ns, x: ns.log(ns.sum(ns.exp(x))), [1000.0, 1000.0],
     exact(lambda: 1000 + mpmath.log(2))),
    ("log sum exp, small", lambda ns, x: ns.log(ns.sum(ns.exp(x))), [-1000.0, -1000.0],
     exact(lambda: -1000 + mpmath.log(2))),
    ("log sum exp with -inf", lambda ns, x: ns.log(ns.sum(ns.exp(x))), [-INF, 3.0], 3.0),
    ("log sum exp of -inf", lambda ns, x: ns.log(ns.sum(ns.exp(x))), [-INF, -INF], -INF),
    ("softmax", softmax, [1000.0, 1000.0, -1000.0], [0.5, 0.5, 0.0]),
    ("softmax with temperature 1/100", lambda ns, x: softmax(ns, x / 0.01), [10.0, 10.0], [0.5, 0.5]),
    ("log softmax", lambda ns, x: ns.log(softmax(ns, x)), [0.0, -1000.0], [0.0, -1000.0]),
    ("log softmax with temperature", lambda ns, x: ns.log(softmax(ns, x / 0.01)), [0.0, -10.0], [0.0, -1000.0]),
    ("log-probability of a class", lambda ns, x: ns.log(softmax(ns, x))[1], [0.0, -1000.0], -1000.0),
    ("1 - sigmoid x", lambda ns, x: 1 - sigmoid(ns, x), 40.0, exact(lambda: 1 / (1 + mpmath.exp(40)))),
    ("exp x / (1 + exp x)", lambda ns, x: ns.exp(x) / (1 + ns.exp(x)), 800.0, 1.0),
    ("log(1 + x) / x", lambda ns, x: ns.log(1 + x) / x, 1e-18, 1.0),
    ("(exp x - 1) / x", lambda ns, x: (ns.exp(x) - 1) / x, 1e-18, 1.0),
    ("1 - exp(-x)", lambda ns, x: 1 - ns.exp(-x), 1e-20, 1e-20),
    ("log(1 - exp x)", lambda ns, x: ns.log(1 - ns.exp(x)), -1e-20, exact(lambda: mpmath.log("1e-20"))),
    ("log(1 - exp x), far", lambda ns, x: ns.log(1 - ns.exp(x)), -50.0, exact(lambda: -mpmath.exp(-50))),
    ("sqrt(x*x)", lambda ns, x: ns.sqrt(x * x), 1e200, 1e200),
    ("sqrt(x**2)", lambda ns, x: ns.sqrt(x**2), -1e-200, 1e-200),
    ("masked logarithm", lambda ns, x: ns.sum(ns.where(x > 0, ns.log(x), 0.0)), [0.0, 1.0], 0.0),
]  # fmt: skip

# ... and gradients of scalars:
GRADIENTS: list[tuple[str, Formula, Any, Any]] = [
    ("-log(sigmoid x)", lambda ns, x: -ns.log(sigmoid(ns, x)), -800.0, -1.0),
    ("-log(1 - sigmoid x)", lambda ns, x: -ns.log(1 - sigmoid(ns, x)), 800.0, 1.0),
    ("log(1 + exp x)", lambda ns, x: ns.log(1 + ns.exp(x)), 800.0, 1.0),
    ("log sum exp", lambda ns, x: ns.log(ns.sum(ns.exp(x))), [1000.0, 1000.0], [0.5, 0.5]),
    ("length", lambda ns, x: ns.sqrt(ns.sum(x**2)), [0.0, 0.0], [0.0, 0.0]),
    ("distance", lambda ns, x: ns.sqrt(ns.sum((x - 1.0) ** 2)), [1.0, 1.0], [0.0, 0.0]),
    ("masked logarithm", lambda ns, x: ns.sum(ns.where(x > 0, ns.log(x), 0.0)), [0.0, 4.0], [0.0, 0.25]),
    ("masked root", lambda ns, x: ns.sum(ns.where(x > 0, ns.sqrt(x), 0.0)), [0.0, 4.0], [0.0, 0.25]),
    ("masked quotient", lambda ns, x: ns.sum(ns.where(x > 0, 1 / x, 0.0)), [0.0, 2.0], [0.0, -0.25]),
    ("elu: where(x > 0, x, exp x - 1)", lambda ns, x: ns.where(x > 0, x, ns.exp(x) - 1), 1000.0, 1.0),
    ("product with a zero", lambda ns, x: ns.prod(x), [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
    ("product with two zeros", lambda ns, x: ns.prod(x), [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    ("|x|", lambda ns, x: ns.sum(abs(x)), [0.0, -2.0], [0.0, -1.0]),
    ("largest, at a tie", lambda ns, x: ns.max(x), [1.0, 1.0], [0.5, 0.5]),
]  # fmt: skip

OURS = SimpleNamespace(exp=T.exp, log=T.log, sqrt=T.sqrt, sum=T.sum, mean=T.mean, prod=T.prod, max=T.max, where=T.where)


def ours(formula: Formula, point: Any, gradient: bool, mode: str) -> Any:
    x = T.dscalar("x") if np.ndim(point) == 0 else T.dvector("x")
    out = formula(OURS, x)
    return graphc.function([x], T.grad(out, x) if gradient else out, mode=mode)(np.asarray(point))


def numpys(formula: Formula, point: Any, gradient: bool) -> Any:
    if gradient:
        return None
    with np.errstate(all="ignore"):
        return formula(np, np.asarray(point))


def jaxs(formula: Formula, point: Any, gradient: bool) -> Any:
    if importlib.util.find_spec("jax") is None:
        return None
    import jax

    jax.config.update("jax_enable_x64", True)
    function = jax.grad(lambda x: formula(jax.numpy, x)) if gradient else lambda x: formula(jax.numpy, x)
    return np.asarray(function(jax.numpy.asarray(point)))


ROWS = [(name, f, at, true, False) for name, f, at, true in VALUES]
ROWS += [(f"gradient of {name}", f, at, true, True) for name, f, at, true in GRADIENTS]


@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])
@pytest.mark.parametrize("row", ROWS, ids=[name for name, *_ in ROWS])
def test_formula(row: tuple[Any, ...], mode: str) -> None:
    _, formula, point, true, gradient = row
    np.testing.assert_allclose(ours(formula, point, gradient, mode), true, rtol=1e-13, atol=0)


def test_what_others_give(capsys: pytest.CaptureFixture[str]) -> None:
    """The table: point, true value, and what NumPy and JAX make of the same text."""
    lines = []
    wrong = 0
    for name, formula, point, true, gradient in ROWS:
        theirs = numpys(formula, point, gradient)
        wrong += theirs is not None and not np.allclose(theirs, true, rtol=1e-13, atol=0, equal_nan=False)
        cells = [str(point), str(true), "-" if theirs is None else str(theirs), str(jaxs(formula, point, gradient))]
        lines.append(f"{name:38} " + " ".join(f"{cell:24.24}" for cell in cells))
    with capsys.disabled():
        print(f"\n{'formula':38} {'at':24} {'true':24} {'NumPy':24} JAX\n" + "\n".join(lines))
    assert len(ROWS) >= 30
    assert wrong >= 20, "the points are meant to be those where the formula as written fails"
