"""Logic gates: a neuron with given weights, and neurons that learn AND and OR."""

from __future__ import annotations

import random

import numpy as np

import graphc
import graphc.tensor as T
from graphc.demo import plots
from graphc.demo.example import Array, Check, Outcome, Timing, seconds_per_call
from graphc.demo.progress import steps
from graphc.ifelse import ifelse

INPUTS = [[0, 0], [0, 1], [1, 0], [1, 1]]
AND = [0, 0, 0, 1]
OR = [0, 1, 1, 1]
STEPS = 30_000
RATE = 0.01


def threshold_neuron(quick: bool) -> Outcome:
    """A neuron that fires when the weighted sum of its inputs is not negative."""
    x, w, b = T.vector("x"), T.vector("w"), T.scalar("b")
    z = T.dot(x, w) + b
    neuron = graphc.function([x, w, b], ifelse(T.lt(z, 0), 0, 1))

    x_value, w_value, b_value = np.array([1.0, 1.0]), np.array([1.0, 1.0]), np.asarray(-1.5)
    return Outcome(
        checks=tuple(
            Check(f"{p} AND {q}", f"{neuron([p, q], [1, 1], -1.5)}", f"{answer}")
            for (p, q), answer in zip(INPUTS, AND, strict=True)
        ),
        timing=Timing(
            seconds_per_call(lambda: neuron(x_value, w_value, b_value)),
            seconds_per_call(lambda: 0 if np.dot(x_value, w_value) + b_value < 0 else 1),
        ),
        graphs=(("threshold_neuron.svg", "the threshold neuron, compiled", neuron),),
    )


def learn_and(quick: bool) -> Outcome:
    """One sigmoid neuron and 30,000 steps."""
    random.seed(0)
    start = np.array([random.random(), random.random()])
    x = T.matrix("x")
    w = graphc.shared(start, name="w")
    b = graphc.shared(1.0, name="b")
    z = T.dot(x, w) + b
    a = 1 / (1 + T.exp(-z))
    a_hat = T.vector("a_hat")
    cost = -(a_hat * T.log(a) + (1 - a_hat) * T.log(1 - a)).sum()
    dw, db = T.grad(cost, [w, b])
    train = graphc.function(
        inputs=[x, a_hat], outputs=[a, cost], updates=[[w, w - RATE * dw], [b, b - RATE * db]], name="train"
    )

    costs = []
    for _ in steps(STEPS, "AND"):
        predicted, cost_now = train(INPUTS, AND)
        costs.append(float(cost_now))
    w_end, b_end = w.get_value(), b.get_value()

    inputs, targets = np.array(INPUTS, dtype=float), np.array(AND, dtype=float)
    w_hand, b_hand = start.copy(), 1.0
    for _ in steps(STEPS, "AND, NumPy by hand"):
        _, _, w_hand, b_hand = step_by_hand(inputs, targets, w_hand, b_hand)
    return Outcome(
        checks=(
            *(
                Check(f"{p} AND {q}", f"{value:.2f}", wanted)
                for (p, q), value, wanted in zip(INPUTS, predicted, ("0.00", "0.02", "0.02", "0.98"), strict=True)
            ),
            Check("weights", w_end, [7.78360937, 7.78360935], 5e-9),
            Check("bias", b_end, -11.847269294336078, 1e-10),
            Check("cost", costs[-1], 0.0580, 5e-5),
            Check("weights - NumPy by hand", w_end - w_hand, [0.0, 0.0], 1e-10),
        ),
        timing=Timing(
            seconds_per_call(lambda: train(inputs, targets)),
            seconds_per_call(lambda: step_by_hand(inputs, targets, w_hand, b_hand)),
        ),
        plots=(
            (
                "and.png",
                lambda figure: plots.gates(figure, costs, INPUTS, [("AND", AND, w_end, b_end)]),
            ),
        ),
        graphs=(("and_cost.svg", "the cost, as written", cost), ("and_step.svg", "one training step, compiled", train)),
    )


def step_by_hand(x: Array, target: Array, w: Array, b: float) -> tuple[Array, float, Array, float]:
    """What one neuron predicts and costs, and its weights and bias after one step."""
    a = 1 / (1 + np.exp(-(np.dot(x, w) + b)))
    cost = -(target * np.log(a) + (1 - target) * np.log(1 - a)).sum()
    difference = a - target
    return a, cost, w - RATE * np.dot(x.T, difference), b - RATE * difference.sum()


def learn_and_or(quick: bool) -> Outcome:
    """Two neurons with one cost, learning in the same loop."""
    random.seed(0)
    start1 = np.array([random.random(), random.random()])
    start2 = np.array([random.random(), random.random()])
    x = T.matrix("x")
    w1, b1 = graphc.shared(start1, name="w1"), graphc.shared(1.0, name="b1")
    w2, b2 = graphc.shared(start2, name="w2"), graphc.shared(1.0, name="b2")
    and_neuron = 1 / (1 + T.exp(-T.dot(x, w1) - b1))
    or_neuron = 1 / (1 + T.exp(-T.dot(x, w2) - b2))
    t1, t2 = T.vector("t1"), T.vector("t2")
    cost = (
        -(t1 * T.log(and_neuron) + (1 - t1) * T.log(1 - and_neuron)).sum()
        - (t2 * T.log(or_neuron) + (1 - t2) * T.log(1 - or_neuron)).sum()
    )
    dw1, db1 = T.grad(cost, [w1, b1])
    dw2, db2 = T.grad(cost, [w2, b2])
    train = graphc.function(
        inputs=[x, t1, t2],
        outputs=[and_neuron, or_neuron, cost],
        updates=[[w1, w1 - RATE * dw1], [b1, b1 - RATE * db1], [w2, w2 - RATE * dw2], [b2, b2 - RATE * db2]],
        name="train",
    )

    costs = []
    for _ in steps(STEPS, "AND and OR"):
        and_predicted, or_predicted, cost_now = train(INPUTS, AND, OR)
        costs.append(float(cost_now))

    inputs, and_targets, or_targets = (np.array(value, dtype=float) for value in (INPUTS, AND, OR))
    end = w1.get_value(), b1.get_value(), w2.get_value(), b2.get_value()

    def both_by_hand() -> None:
        step_by_hand(inputs, and_targets, end[0], float(end[1]))
        step_by_hand(inputs, or_targets, end[2], float(end[3]))

    return Outcome(
        checks=(
            *(
                Check(f"{p} {gate} {q}", f"{value:.2f}", wanted)
                for gate, predicted, words in (
                    ("AND", and_predicted, "0.00 0.02 0.02 0.98"),
                    ("OR", or_predicted, "0.02 0.99 0.99 1.00"),
                )
                for (p, q), value, wanted in zip(INPUTS, predicted, words.split(), strict=True)
            ),
            Check("weights of AND", end[0], [7.78, 7.78], 5e-3),
            Check("bias of AND", end[1], -11.85, 5e-3),
            # These still move after 30,000 steps, so the second digit depends on the start.
            Check("weights of OR", end[2], [9.04, 9.04], 2e-2),
            Check("bias of OR", end[3], -4.06, 2e-2),
        ),
        timing=Timing(
            seconds_per_call(lambda: train(inputs, and_targets, or_targets)),
            seconds_per_call(both_by_hand),
        ),
        plots=(
            (
                "and_or.png",
                lambda figure: plots.gates(figure, costs, INPUTS, [("AND", AND, *end[:2]), ("OR", OR, *end[2:])]),
            ),
        ),
        graphs=(("and_or_step.svg", "one step for both neurons, compiled", train),),
    )
