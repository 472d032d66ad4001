"""Logic gates: a neuron with given weights, and neurons that learn AND and OR."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import graphc
import graphc.tensor as T
from graphc.demo import plots
from graphc.demo.example import Array, Check, Outcome, Timing, seconds_per_call
from graphc.demo.progress import steps
from graphc.graph.shared import SharedVariable
from graphc.graph.variable import Variable
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


@dataclass(frozen=True)
class Neuron:
    """A sigmoid neuron: its weights and bias, what it answers, what it should, and what the difference costs."""

    w: SharedVariable
    b: SharedVariable
    output: Variable
    target: Variable
    cost: Variable

    def step(self, cost: Variable) -> list[list[Variable]]:
        """The updates of a step down a cost."""
        dw, db = T.grad(cost, [self.w, self.b])
        return [[self.w, self.w - RATE * dw], [self.b, self.b - RATE * db]]

    def values(self) -> tuple[Array, float]:
        """Its weights and bias by now."""
        return self.w.get_value(), float(self.b.get_value())


def sigmoid_neuron(x: Variable, w_name: str, b_name: str, target_name: str) -> Neuron:
    """A neuron with random weights."""
    w = graphc.shared(np.array([random.random(), random.random()]), name=w_name)
    b = graphc.shared(1.0, name=b_name)
    z = T.dot(x, w) + b
    a = 1 / (1 + T.exp(-z))
    a_hat = T.vector(target_name)
    cost = -(a_hat * T.log(a) + (1 - a_hat) * T.log(1 - a)).sum()
    return Neuron(w, b, a, a_hat, cost)


def learned(train: Callable[..., list[Array]], what: str, *targets: list[int]) -> tuple[list[Array], list[float]]:
    """What the neurons answer in the last step, and the costs of all steps."""
    costs = []
    for _ in steps(STEPS, what):
        *answers, cost = train(INPUTS, *targets)
        costs.append(float(cost))
    return answers, costs


def truth_table(gate: str, answers: Array, expected: str) -> list[Check]:
    """What a neuron answers to each of the inputs."""
    rows = zip(INPUTS, answers, expected.split(), strict=True)
    return [Check(f"{p} {gate} {q}", f"{value:.2f}", wanted) for (p, q), value, wanted in rows]


def learn_and(quick: bool) -> Outcome:
    """One sigmoid neuron and 30,000 steps."""
    random.seed(0)
    x = T.matrix("x")
    neuron = sigmoid_neuron(x, "w", "b", "a_hat")
    train = graphc.function(
        inputs=[x, neuron.target], outputs=[neuron.output, neuron.cost], updates=neuron.step(neuron.cost), name="train"
    )
    w_hand, b_hand = neuron.values()
    (answers,), costs = learned(train, "AND", AND)
    w, b = neuron.values()

    inputs, targets = np.array(INPUTS, dtype=float), np.array(AND, dtype=float)
    for _ in steps(STEPS, "AND, NumPy by hand"):
        _, _, w_hand, b_hand = step_by_hand(inputs, targets, w_hand, b_hand)
    return Outcome(
        checks=(
            *truth_table("AND", answers, "0.00 0.02 0.02 0.98"),
            Check("weights", w, [7.78360937, 7.78360935], 5e-9),
            Check("bias", b, -11.847269294336078, 1e-10),
            Check("cost", costs[-1], 0.0580, 5e-5),
            Check("weights - NumPy by hand", w - w_hand, [0.0, 0.0], 1e-10),
        ),
        timing=Timing(
            seconds_per_call(lambda: train(inputs, targets)),
            seconds_per_call(lambda: step_by_hand(inputs, targets, w_hand, b_hand)),
        ),
        plots=(("and.png", lambda figure: plots.gates(figure, costs, INPUTS, [("AND", AND, w, b)])),),
        graphs=(
            ("and_cost.svg", "the cost, as written", neuron.cost),
            ("and_step.svg", "one training step, compiled", train),
        ),
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
    x = T.matrix("x")
    first, second = sigmoid_neuron(x, "w1", "b1", "t1"), sigmoid_neuron(x, "w2", "b2", "t2")
    cost = first.cost + second.cost
    train = graphc.function(
        inputs=[x, first.target, second.target],
        outputs=[first.output, second.output, cost],
        updates=[*first.step(cost), *second.step(cost)],
        name="train",
    )
    (and_answers, or_answers), costs = learned(train, "AND and OR", AND, OR)
    (w1, b1), (w2, b2) = first.values(), second.values()

    inputs, and_targets, or_targets = (np.array(value, dtype=float) for value in (INPUTS, AND, OR))

    def both_by_hand() -> None:
        step_by_hand(inputs, and_targets, w1, b1)
        step_by_hand(inputs, or_targets, w2, b2)

    lines = [("AND", AND, w1, b1), ("OR", OR, w2, b2)]
    return Outcome(
        checks=(
            *truth_table("AND", and_answers, "0.00 0.02 0.02 0.98"),
            *truth_table("OR", or_answers, "0.02 0.99 0.99 1.00"),
            Check("weights of AND", w1, [7.78, 7.78], 5e-3),
            Check("bias of AND", b1, -11.85, 5e-3),
            # These still move after 30,000 steps, so the second digit depends on the start.
            Check("weights of OR", w2, [9.04, 9.04], 2e-2),
            Check("bias of OR", b2, -4.06, 2e-2),
        ),
        timing=Timing(
            seconds_per_call(lambda: train(inputs, and_targets, or_targets)),
            seconds_per_call(both_by_hand),
        ),
        plots=(("and_or.png", lambda figure: plots.gates(figure, costs, INPUTS, lines)),),
        graphs=(("and_or_step.svg", "one step for both neurons, compiled", train),),
    )
