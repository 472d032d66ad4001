"""A case for every rule: its left side, written as a user would.

Inputs are named by kind: ``x y`` floats of any shape, ``m`` a matrix of floats, ``s`` a scalar, ``i`` integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc.tensor as T
from graphc.graph.variable import Variable

sigmoid, softmax, logsoftmax = T.nnet.sigmoid, T.nnet.softmax, T.nnet.logsoftmax


@dataclass(frozen=True)
class Case:
    """rule: how the text of the rule begins; build: the left side, a function of the inputs it names.

    true: another expression for the same real number, where digits cancel in the left side beyond all precision.
    """

    rule: str
    build: Callable[..., Variable]
    true: Callable[..., Variable] | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        code = self.build.__code__
        return code.co_varnames[: code.co_argcount]

    def __str__(self) -> str:
        return self.rule.split(":")[0]


def case(rule: str, *builds: Callable[..., Any], true: Callable[..., Any] | None = None) -> list[Case]:
    return [Case(rule, build, true) for build in builds]


CASES: list[Case] = [
    # canonicalize
    *case("fold_constants", lambda x: x * (T.constant(2.0) + T.constant(0.1))),
    *case("drop_identity", lambda x: T.tensor_copy(x) + 1),
    *case("drop_cast", lambda x: T.sum(x, dtype="float64", acc_dtype="float64") + _cast_to_itself(x)),
    *case(
        "compose_dimshuffles",
        lambda m: m.T.T,
        lambda m: m.dimshuffle("x", 0, 1).dimshuffle(2, 0, 1),
        lambda x: x.dimshuffle(0, "x").dimshuffle(0),
    ),
    *case("transpose_of_dot", lambda m: T.dot(m, m.T * 2.0).T),
    *case("dimshuffle_of_broadcast", lambda m: T.ones_like(m).T * 2.0 + m.T, lambda m: T.zeros((2, 3)).T),
    *case("dimshuffle_of_elementwise", lambda m: T.exp(m).T, lambda m: (m + m * 2.0).dimshuffle(1, "x", 0)),
    *case("reshape_to_own_shape", lambda m: m.reshape((m.shape[0], m.shape[1])), lambda m: m.reshape(m.shape, ndim=2)),
    *case("useless_fill", lambda x: T.fill(x, x * 2), lambda x: T.fill(T.exp(x), 2.0) * 3.0),
    *case("drop_fill", lambda x: T.ones_like(x) * 2.5 + x, lambda m: m - T.fill(m, 2.0)),
    *case("elementwise_of_fill", lambda x: T.exp(T.fill(x, 2.0)), lambda x, s: T.fill(x, s) * s),
    *case("add_zero", lambda x: x + -0.0, lambda i: i + 0),
    *case("sub_zero", lambda x: x - 0.0, lambda i: i - 0, lambda x: x - 0),
    *case("mul(1, x)", lambda x: 1 * x, lambda x: x * 1.0, lambda i: i * 1),
    *case("mul(-1, x)", lambda x: -1 * x, lambda x: x * -1.0, lambda i: -1 * i),
    *case("true_div(x, 1)", lambda x: x / 1),
    *case("true_div(x, -1)", lambda x: x / -1.0),
    *case("neg(neg(x))", lambda x: -(-x), lambda i: -(-i)),
    *case("true_div(neg(x), neg(y))", lambda x, y: (-x) / (-y)),
    *case("add(x, neg(y))", lambda x, y: x + (-y), lambda x, y: (-y) + x, lambda i: 2 * i + (-i)),
    *case("sub(x, neg(y))", lambda x, y: x - (-y), lambda i: 2 * i - (-i)),
    *case("mul(neg(x), y)", lambda x, y: (-x) * y, lambda x, y: x * (-y)),
    *case("true_div(neg(x), y)", lambda x, y: (-x) / y),
    *case("true_div(x, neg(y))", lambda x, y: x / (-y)),
    *case("sum_of_neg", lambda m: T.sum(-m, axis=1)),
    *case("drop_reduction_of_scalar", lambda s: T.sum(s) * 2.0, lambda s: T.max(s) * 2.0, lambda s: T.prod(s) + 1.0),
    # stabilize
    *case("sub(neg(x), y)", lambda x, y: (-x) - y),
    *case("log(add(1, x))", lambda x: T.log(1 + x), lambda x: T.log(x + 1.0)),
    *case("log(sub(1, x))", lambda x: T.log(1 - x)),
    *case("sub(exp(x), 1)", lambda x: T.exp(x) - 1),
    *case("sub(1, exp(x))", lambda x: 1 - T.exp(x)),
    *case("true_div(1, add(1, exp(neg(x))))", lambda x: 1 / (1 + T.exp(-x)), lambda x: 1.0 / (T.exp(-1 * x) + 1.0)),
    *case("true_div(1, add(1, exp(x)))", lambda x: 1 / (1 + T.exp(x))),
    *case("true_div(exp(x), add(1, exp(x)))", lambda x: T.exp(x) / (1 + T.exp(x)), lambda x: T.exp(x) / (T.exp(x) + 1)),
    *case("true_div(y, add(1, exp(neg(x))))", lambda x: x / (1 + T.exp(-x)), lambda x: 3.0 / (1 + T.exp(-x))),
    *case("true_div(y, add(1, exp(x)))", lambda x: 3.0 / (1 + T.exp(x))),
    *case("sub(1, sigmoid(x))", lambda x: 1 - sigmoid(x), lambda x: 1 - 1 / (1 + T.exp(-x))),
    *case(
        "sigmoids_in_products",
        lambda x: T.exp(x) * sigmoid(-x),
        lambda x: T.exp(-x) * sigmoid(x),
        lambda x: x / sigmoid(x) * sigmoid(x) * sigmoid(-x),
        lambda x: -(2.0 * T.exp(x) / 3.0) * sigmoid(-x),
        lambda x: sigmoid(x) / (1 - sigmoid(x)),
        lambda x: (1 - sigmoid(x)) / sigmoid(x),
        lambda x: (2.0 / sigmoid(x) - 3.0 / sigmoid(-x)) * sigmoid(x) * sigmoid(-x),
    ),
    *case("log(sigmoid(x))", lambda x: T.log(sigmoid(x)), lambda x: T.log(1 / (1 + T.exp(-x)))),
    *case("log(sigmoid(x))", lambda x: T.log(1 - sigmoid(x)), true=lambda x: -T.nnet.softplus(x)),
    *case(
        "log1p(neg(sigmoid(x)))",
        lambda x: T.log1p(-sigmoid(x)),
        lambda x: T.log1p(-1 * sigmoid(x)),
        true=lambda x: -T.nnet.softplus(x),
    ),
    *case("sigmoid(log(true_div(x, sub(1, x))))", lambda x: sigmoid(T.log(x / (1 - x)))),
    *case("sigmoid(sub(log(x), log1p(neg(x))))", lambda x: sigmoid(T.log(x) - T.log(1 - x))),
    *case("log1p(exp(x))", lambda x: T.log1p(T.exp(x)), lambda x: T.log(1 + T.exp(x))),
    *case("log1p(neg(exp(x)))", lambda x: T.log1p(-T.exp(x))),
    *case("log(neg(expm1(x)))", lambda x: T.log(-T.expm1(x)), lambda x: T.log(1 - T.exp(x))),
    *case("log(add(exp(x), exp(y)))", lambda x, y: T.log(T.exp(x) + T.exp(y))),
    *case("log(sub(exp(x), exp(y)))", lambda x, y: T.log(T.exp(x) - T.exp(y))),
    *case(
        "exp_over_sum_of_exp",
        lambda m: T.exp(m) / T.exp(m).sum(axis=1, keepdims=True),
        lambda m: T.exp(m) / T.exp(m).sum(axis=1).dimshuffle(0, "x"),
        lambda m: T.exp(m) / T.exp(m).sum(axis=0),
        lambda x: T.exp(x) / T.exp(x).sum(),
    ),
    *case("log_of_sum_of_exp", lambda m: T.log(T.exp(m).sum(axis=1))),
    *case("log_of_sum_of_exp", lambda m: T.log(T.sum(T.exp(m), axis=0, keepdims=True))),
    *case("softmax_in_products", lambda m: m / T.exp(m).sum(axis=1, keepdims=True) * T.exp(m)),
    *case("log_of_sum_of_exp", lambda m: T.log(T.exp(m).sum())),
    *case(
        "log_of_softmax",
        lambda m: T.log(softmax(m)),
        lambda m: T.log(softmax(m)[:, 1]),
        lambda m: T.log(softmax(m).T),
        lambda m: T.log(softmax(m).flatten()),
        lambda m: T.log(T.exp(m) / T.exp(m).sum(axis=1, keepdims=True)),
    ),
    *case("exp_of_logsoftmax", lambda m: T.exp(logsoftmax(m))),
    *case(
        "softmax_gradient",
        lambda m: T.grad(T.log(softmax(m)[[0, 1], [1, 1]]).sum(), m),
        lambda m: T.grad(-T.log(softmax(m)[[0, 1], [1, 1]]).sum(), m),
        lambda m: T.grad(T.log(softmax(m))[[0, 1], [1, 1]].sum(), m),
        lambda m: T.grad(((m.zeros_like() + 3.0) * T.log(softmax(m))).sum(), m),
    ),
    # specialize
    *case("pow(x, 1)", lambda x: x**1),
    *case("pow(x, 2)", lambda x: x**2, lambda x: x**2.0, lambda i: i**2),
    *case("pow(x, 3)", lambda x: x**3),
    *case("pow(x, -1)", lambda x: x**-1),
    *case("pow(x, -2)", lambda x: x**-2),
    *case(
        "lift_through_dot",
        lambda m: T.dot(m, m.T)[1],
        lambda m: T.dot(m, m[:2].T)[:, 1],
        lambda m: T.dot(m, m[0])[1:],
    ),
    *case(
        "lift_through_softmax",
        lambda m: softmax(m)[2],
        lambda m: softmax(m, axis=0)[:, 1],
        lambda m: logsoftmax(m)[1:],
    ),
    *case("fill_to_alloc", lambda m: T.fill(T.dot(m, m.T), 2.0), lambda m: T.zeros_like(m[1:, 0])),
]  # fmt: skip


def _cast_to_itself(x: Variable) -> Any:
    """A cast that `T.cast` leaves out."""
    from graphc.ops.conversion import Cast

    return Cast(x.dtype)(x)


# ---- values: random ones and the edges, which are never removed ----

EDGES = [
    np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 1e-310, -1e-310, 2.3e-308, 1e-300, 1e-20, -1e-20, 1e-9, 0.25,
    0.5, -0.5, -0.69, -0.7, 1.0, -1.0, 1.0000000000000002, 1.5, -2.0, 3.0, 17.0, -17.0, 36.7, -37.0, 88.5, -88.5,
    -104.0, 500.0, 700.0, -700.0, 709.5, -708.0, 710.0, -745.0, 800.0, -800.0, 1e5, -1e5, 1e18, -1e18, 1e155, -1e200,
    1e300, -1.7e308,
]  # fmt: skip


def column(dtype: str) -> np.ndarray:
    """Edge values and random ones of all magnitudes."""
    rng = np.random.default_rng(30)
    small = rng.normal(size=20) * 3
    wide = rng.choice([-1, 1], 20) * 10.0 ** rng.uniform(-18, 3, 20)
    with np.errstate(all="ignore"):
        return np.concatenate([EDGES, small, wide]).astype(dtype)


def sample(names: tuple[str, ...], dtype: str) -> dict[str, np.ndarray]:
    """Values for inputs of these names; two columns run through all pairs."""
    rng = np.random.default_rng(31)
    values = column(dtype)
    found: dict[str, np.ndarray] = {}
    if "x" in names and "y" in names:
        found["x"], found["y"] = (a.ravel() for a in np.meshgrid(values[::2], values[::3]))
    elif "x" in names:
        found["x"] = values
    if "m" in names:
        ordinary = rng.normal(size=(12, 3)) * 2
        large = rng.normal(size=(12, 3)) * 500
        edges = rng.choice(EDGES, (40, 3))
        mixed = np.where(rng.random((20, 3)) < 0.3, rng.choice(EDGES, (20, 3)), rng.normal(size=(20, 3)))
        with np.errstate(all="ignore"):
            found["m"] = np.concatenate([ordinary, large, edges, mixed]).astype(dtype)
    if "i" in names:
        found["i"] = np.array([0, 1, -1, 5, 2**62, -(2**63), 2**63 - 1, -7], "int64")
    if "s" in names:
        found["s"] = np.asarray(1.25, dtype)
    return found
