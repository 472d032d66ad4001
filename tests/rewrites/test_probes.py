"""Naive formulas that give the right number, in every mode.

The table of docs/rewrites.md: what PyTensor's FAST_COMPILE, or JAX, answers with nan, inf or 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T

NAN = np.nan
sigmoid = T.nnet.sigmoid


def scalar(build: Callable[..., Any]) -> Callable[..., Any]:
    return lambda: (x := T.dscalar("x"), build(x))


def vector(build: Callable[..., Any]) -> Callable[..., Any]:
    return lambda: (x := T.dvector("x"), build(x))


def gradient(build: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: T.grad(build(x), x)


def softmax_by_hand(x: Any) -> Any:
    return T.exp(x) / T.exp(x).sum()


PROBES: list[tuple[str, Callable[..., Any], Any, Any]] = [
    ("log(1/(1+exp(-x)))", scalar(lambda x: T.log(1 / (1 + T.exp(-x)))), -800.0, -800.0),
    ("log(1-sigmoid x)", scalar(lambda x: T.log(1 - sigmoid(x))), 800.0, -800.0),
    ("log(1+exp x)", scalar(lambda x: T.log(1 + T.exp(x))), 800.0, 800.0),
    ("log(1+x)", scalar(lambda x: T.log(1 + x)), 1e-20, 1e-20),
    ("exp(x)-1", scalar(lambda x: T.exp(x) - 1), 1e-20, 1e-20),
    ("log(1-exp x)", scalar(lambda x: T.log(1 - T.exp(x))), -1e-20, np.log(1e-20)),
    ("exp(x)/(1+exp x)", scalar(lambda x: T.exp(x) / (1 + T.exp(x))), 800.0, 1.0),
    ("1-sigmoid x", scalar(lambda x: 1 - sigmoid(x)), 40.0, np.exp(-40.0)),
    ("log(exp x + exp 0)", scalar(lambda x: T.log(T.exp(x) + T.exp(x - 1))), 1000.0, 1000 + np.log1p(np.exp(-1))),
    ("log(exp x/sum exp x)", vector(lambda x: T.log(softmax_by_hand(x))), [0.0, -1000.0], [0.0, -1000.0]),
    ("log(softmax x)", vector(lambda x: T.log(T.nnet.softmax(x, axis=0))), [0.0, -1000.0], [0.0, -1000.0]),
    ("log(sum exp x)", vector(lambda x: T.log(T.exp(x).sum())), [1000.0, 1000.0], 1000 + np.log(2)),
    ("softmax by hand", vector(softmax_by_hand), [1000.0, 1000.0], [0.5, 0.5]),
    ("softmax of nothing", vector(softmax_by_hand), [], []),
    ("log(sum exp x) of nothing", vector(lambda x: T.log(T.exp(x).sum())), [], -np.inf),
    ("grad where(x<1, x, sqrt x)", scalar(gradient(lambda x: T.switch(x < 1, x, T.sqrt(x)))), 0.0, 1.0),
    ("grad -log(1-sigmoid x)", scalar(gradient(lambda x: -T.log(1 - sigmoid(x)))), 800.0, 1.0),
    ("grad -log(1-1/(1+exp(-x)))", scalar(gradient(lambda x: -T.log(1 - 1 / (1 + T.exp(-x))))), 800.0, 1.0),
    ("grad -log(sigmoid x)", scalar(gradient(lambda x: -T.log(sigmoid(x)))), -800.0, -1.0),
    ("grad cross-entropy", vector(gradient(lambda x: T.nnet.binary_crossentropy(sigmoid(x), 0.25).sum())),
     [-800.0, 0.0, 800.0], [-0.25, 0.25, 0.75]),
    ("grad -log(softmax x)[0]", vector(gradient(lambda x: -T.log(T.nnet.softmax(x, axis=0))[0])),
     [-1000.0, 0.0], [-1.0, 1.0]),
    ("grad -log(softmax(x)[0])", vector(gradient(lambda x: -T.log(T.nnet.softmax(x, axis=0)[0]))),
     [-1000.0, 0.0], [-1.0, 1.0]),
    ("grad norm x", vector(gradient(lambda x: x.norm(2))), [0.0, 0.0], [0.0, 0.0]),
    ("grad norm x elsewhere", vector(gradient(lambda x: x.norm(2))), [3.0, 4.0], [0.6, 0.8]),
    ("grad sqrt(sum x**2)", vector(gradient(lambda x: T.sqrt((x**2).sum()))), [0.0, 0.0], [0.0, 0.0]),
    ("grad sqrt(mean x*x)", vector(gradient(lambda x: T.sqrt((x * x).mean()))), [0.0, 0.0], [0.0, 0.0]),
    ("grad sqrt x", scalar(gradient(T.sqrt)), 0.0, np.inf),
    ("grad max x at a tie", vector(gradient(lambda x: x.max())), [1.0, 1.0], [0.5, 0.5]),
    ("grad prod x", vector(gradient(lambda x: x.prod())), [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
    ("x/x", scalar(lambda x: x / x), 0.0, NAN),
    ("0*x", scalar(lambda x: 0 * x), NAN, NAN),
    ("x-x", scalar(lambda x: x - x), np.inf, NAN),
    ("exp(log x)", scalar(lambda x: T.exp(T.log(x))), -1.0, NAN),
    ("sqrt(x**2)", scalar(lambda x: T.sqrt(x**2)), -3.0, 3.0),
    ("sigmoid x / sigmoid x", scalar(lambda x: sigmoid(x) / sigmoid(x)), NAN, NAN),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])
@pytest.mark.parametrize("probe", PROBES, ids=[name for name, *_ in PROBES])
def test_probe(probe: tuple[Any, ...], mode: str) -> None:
    _, build, at, right = probe
    x, expression = build()
    f = graphc.function([x], expression, mode=mode)
    np.testing.assert_allclose(f(np.asarray(at, "float64")), right, rtol=1e-12, atol=0)
