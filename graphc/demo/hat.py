"""The Mexican hat: gradient descent on one weight, once with scalars and a loop, once with a shared variable."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphc
import graphc.tensor as T
from graphc.demo import plots
from graphc.demo.example import Array, Check, Outcome, Timing, seconds_per_call
from graphc.demo.progress import steps

POINTS = np.arange(0.9, 1.1, 0.01)  # 21 of them: rounding lets 1.1 in


def hat(x: Any, s: float = 1) -> Any:
    """The Mexican hat in NumPy."""
    return (1 - (x**2) / s**2) * np.exp(-(x**2) / s**2)


def with_scalars(quick: bool) -> Outcome:
    """400 steps, each an average over 21 calls of a scalar function."""
    x, w = T.dscalar("x"), T.dscalar("w")
    func = (1 - (w * x) ** 2) * np.exp(-((w * x) ** 2))
    derivative = T.grad(func, w)
    error = graphc.function([x, w], func)
    shift = graphc.function([x, w], derivative)

    def total_error(weight: float) -> float:
        return float(sum(error(point, weight) for point in POINTS))

    weight = 0.5
    curve = []
    for _ in steps(400, "Mexican hat"):
        weight = float(weight - 0.01 * (sum(shift(point, weight) for point in POINTS) / len(POINTS)))
        curve.append(total_error(weight))

    point, start = np.asarray(POINTS[0]), np.asarray(0.5)
    return Outcome(
        checks=(
            Check("error of weight 1", np.sum(hat(POINTS)), 0.0845462594395677, 1e-12),
            Check("error of weight 0.5", total_error(0.5), 12.260482931317451, 1e-12),
            Check("weight after 400 steps", weight, 1.4159216338643326, 1e-12),
            Check("error after 400 steps", curve[-1], -2.7588069440926364, 1e-12),
            Check("error of weight sqrt(2)", total_error(np.sqrt(2)), -2.758543422276169, 1e-12),
        ),
        timing=Timing(
            seconds_per_call(lambda: shift(point, start)), seconds_per_call(lambda: shift_by_hand(point, start))
        ),
        plots=(("mexican_hat.png", lambda figure: plots.mexican_hat(figure, hat, POINTS, curve)),),
        graphs=(("mexican_hat_derivative.svg", "the derivative, compiled", shift),),
    )


def shift_by_hand(x: Array, w: Array) -> Any:
    """The derivative of the hat with respect to the weight."""
    u = w * x
    square = u * u
    return 2 * u * x * (square - 2) * np.exp(-square)


def with_shared_weight(quick: bool) -> Outcome:
    """300 steps that update a shared variable."""
    x = T.dvector("x")
    w = graphc.shared(0.5, name="w")
    func = T.sum((1 - (w * x) ** 2) * np.exp(-((w * x) ** 2)))
    dw = T.grad(func, w)
    learning_rate = graphc.shared(0.001, name="learning_rate")
    train = graphc.function([x], outputs=[w, func], updates=[(w, w - learning_rate * dw)])

    rows = [train(POINTS) for _ in steps(300, "Mexican hat, shared weight")]
    before_last, last_error = rows[-1]
    after = w.get_value()
    weight = np.asarray(0.5)
    for _ in range(300):
        _, weight = train_by_hand(POINTS, weight)
    return Outcome(
        checks=(
            Check("weight returned by the last step", before_last, 1.4215863505344246, 1e-12),
            Check("error returned by the last step", last_error, -2.75922390927961, 1e-12),
            Check("w.get_value() afterwards", after, 1.4215985145719527, 1e-12),
            Check("the same - NumPy by hand", after - weight, 0.0, 1e-12),
        ),
        timing=Timing(
            seconds_per_call(lambda: train(POINTS)), seconds_per_call(lambda: train_by_hand(POINTS, weight))
        ),
        plots=(
            (
                "mexican_hat_shared.png",
                lambda figure: plots.descent(figure, [r[0] for r in rows], [r[1] for r in rows]),
            ),
        ),
        graphs=(("mexican_hat_step.svg", "one step, compiled", train),),
    )


def train_by_hand(x: Array, w: Array) -> tuple[Any, Any]:
    """The error, and the weight after one step."""
    u = w * x
    square = u * u
    decay = np.exp(-square)
    return np.sum((1 - square) * decay), w - 0.001 * np.sum(2 * u * x * (square - 2) * decay)
