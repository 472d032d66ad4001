"""The listings of two articles on Theano, as their readers type them, and every number that they print.

Article 000 introduces Theano with the Mexican hat and logic gates; article 002 trains a network on two moons.
"""

# ruff: noqa: UP031, the listings print with %

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import graphc as theano
import graphc.tensor as T
from graphc import function, pp
from graphc.demo.moons import LOSS, SEED, make_moons
from graphc.errors import DisconnectedInputError
from graphc.ifelse import ifelse

EXACT: dict[str, Any] = {"rtol": 0, "atol": 1e-12}  # for numbers that are known to all digits

# ---- 000: first functions ----


@pytest.mark.parametrize("multiply", [lambda a, b: a * b, T.mul])
def test_product(multiply: Any) -> None:
    a, b = T.dscalar("a"), T.dscalar("b")
    result = function([a, b], multiply(a, b))(2, 3)
    assert type(result) is np.ndarray
    assert repr(result) == "array(6.)"


def test_square_of_integers() -> None:
    v = T.dvector("v")
    result = function([v], v**2)(np.repeat(2, 3))
    assert repr(result) == "array([4., 4., 4.])"


def test_other_types() -> None:
    assert (T.dmatrix("m").ndim, T.dtensor3("t").ndim) == (2, 3)
    assert [x.name for x in T.dscalars("x", "y", "z")] == ["x", "y", "z"]


@pytest.mark.parametrize(
    "activation, in_numpy",
    [
        (lambda z: 1 / (1 + T.exp(-5 * z)), lambda z: 1 / (1 + np.exp(-5 * z))),
        (T.tanh, np.tanh),
        (lambda z: T.sin((z + 2) * np.pi / 4), lambda z: np.sin((z + 2) * np.pi / 4)),
    ],
)
def test_activations_after_a_linear_map(activation: Any, in_numpy: Any) -> None:
    rng = np.random.default_rng(0)
    points, weights, bias = np.arange(-2, 2, 0.1), rng.integers(1, 10, (40, 40)), rng.integers(1, 10, 40)
    x, w, b = T.dvector("x"), T.lmatrix("w"), T.lvector("b")
    smooth = function([x, w, b], activation(T.dot(w, x) + b))
    with np.errstate(over="ignore"):
        expected = in_numpy(np.dot(weights, points) + bias)
    assert_allclose(smooth(points, weights, bias), expected, rtol=1e-12)


def test_derivative_in_print() -> None:
    x, y, z = T.dscalars("x", "y", "z")
    func = T.sinh(x**7 + T.exp(y * T.arccosh(z)))
    expected = (
        "(((fill(sinh(((x ** TensorConstant{7}) + exp((y * arccosh(z))))), TensorConstant{1.0}) * "
        "cosh(((x ** TensorConstant{7}) + exp((y * arccosh(z)))))) * TensorConstant{7}) * "
        "(x ** (TensorConstant{7} - TensorConstant{1})))"
    )
    assert pp(T.grad(func, x)) == expected
    assert pp(T.grad(func, wrt=x)) == expected


# ---- 000: the Mexican hat ----

POINTS = np.arange(0.9, 1.1, 0.01)


def mexican_hat_func(x: Any, s: float = 1) -> Any:
    return (1 - (x**2) / s**2) * np.exp(-(x**2) / s**2)


def test_hat_of_numpy_and_of_graphc_agree() -> None:
    assert len(POINTS) == 21
    x = T.dvector("x")
    values = np.arange(-2, 2, 0.1)
    assert_allclose(function([x], mexican_hat_func(x))(values), mexican_hat_func(values), **EXACT)


def test_mexican_hat_by_scalars() -> None:
    x, w = T.dscalar("x"), T.dscalar("w")
    func = (1 - (w * x) ** 2) * np.exp(-((w * x) ** 2))
    error = function([x, w], func)
    shift = function([x, w], T.grad(func, w))

    def total_error(weight: Any) -> Any:
        total = 0
        for i in range(len(POINTS)):
            total += error(POINTS[i], weight)
        return total

    assert_allclose(total_error(1), 0.0845462594395677, **EXACT)
    assert_allclose(total_error(0.5), 12.260482931317451, **EXACT)
    assert_allclose(total_error(np.sqrt(2)), -2.758543422276169, **EXACT)
    assert_allclose(np.sum(mexican_hat_func(POINTS * np.sqrt(2))), -2.758543422276169, **EXACT)

    weight: Any = 0.5
    for _ in range(400):
        average = 0
        for i in range(len(POINTS)):
            average += shift(POINTS[i], weight)
        weight = weight - 0.01 * (average / len(POINTS))
    assert f"{weight:.12g}" == "1.41592163386"  # as the article prints it
    assert_allclose(weight, 1.4159216338643326, **EXACT)
    assert_allclose(total_error(weight), -2.7588069440926364, **EXACT)


def test_mexican_hat_with_a_shared_weight() -> None:
    x = T.dvector("x")
    w = theano.shared(0.5)
    func = T.sum((1 - (w * x) ** 2) * np.exp(-((w * x) ** 2)))
    dw = T.grad(func, w)
    learning_rate = theano.shared(0.001)
    train = function([x], outputs=[w, func], updates=[(w, w - learning_rate * dw)])
    assert (w.dtype, w.ndim) == ("float64", 0)

    r = [train(POINTS) for _ in range(300)]
    weights = [float(row[0]) for row in r]
    assert weights[0] == 0.5, "an output is computed from the old value"
    assert len(set(weights)) == 300, "each returned value is a copy"
    weight, last = r.pop()
    assert_allclose(weight, 1.4215863505344246, **EXACT)
    assert_allclose(last, -2.75922390927961, **EXACT)
    assert_allclose(w.get_value(), 1.4215985145719527, **EXACT)


def test_the_minimum_of_the_hat() -> None:
    x, w = T.dvector("x"), T.dscalar("w")
    func = T.sum((1 - (w * x) ** 2) * np.exp(-((w * x) ** 2)))
    error, slope = function([x, w], func), function([x, w], T.grad(func, w))
    low, high = 1.3, 1.5
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(POINTS, middle) > 0 else (middle, high)
    assert_allclose(low, 1.4221514550, rtol=0, atol=5e-9)  # it is 1.42215145701
    assert_allclose(error(POINTS, low), -2.7592273451, rtol=0, atol=1e-10)


# ---- 000: gates ----

INPUTS = [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_threshold_neuron() -> None:
    x, w, b = T.vector("x"), T.vector("w"), T.scalar("b")
    z = T.dot(x, w) + b
    a = ifelse(T.lt(z, 0), 0, 1)
    neuron = theano.function([x, w, b], a)
    lines = ["%d AND %d = %d" % (t[0], t[1], neuron(t, [1, 1], -1.5)) for t in INPUTS]
    assert lines == ["0 AND 0 = 0", "0 AND 1 = 0", "1 AND 0 = 0", "1 AND 1 = 1"]
    assert neuron([0, 1], [1, 1], -1.5).dtype.kind == "i"


def test_learning_and() -> None:
    random.seed(0)
    x = T.matrix("x")
    w = theano.shared(np.array([random.random(), random.random()]))
    b = theano.shared(1.0)
    learning_rate = 0.01
    z = T.dot(x, w) + b
    a = 1 / (1 + T.exp(-z))
    a_hat = T.vector("a_hat")
    cost = -(a_hat * T.log(a) + (1 - a_hat) * T.log(1 - a)).sum()
    dw, db = T.grad(cost, [w, b])
    train = function(
        inputs=[x, a_hat], outputs=[a, cost], updates=[[w, w - learning_rate * dw], [b, b - learning_rate * db]]
    )
    for _ in range(30000):
        pred, cost_iter = train(INPUTS, [0, 0, 0, 1])
    lines = ["%d AND %d is %.2f" % (*t, p) for t, p in zip(INPUTS, pred, strict=True)]
    assert lines == ["0 AND 0 is 0.00", "0 AND 1 is 0.02", "1 AND 0 is 0.02", "1 AND 1 is 0.98"]
    assert "w: %s" % w.get_value() == "w: [7.78360937 7.78360935]"
    assert_allclose(b.get_value(), -11.847269294336078, rtol=0, atol=1e-10)
    assert f"{cost_iter:.4f}" == "0.0580"


def two_neurons() -> tuple[Any, ...]:
    x = T.matrix("x")
    w1 = theano.shared(np.array([random.random(), random.random()]))
    b1 = theano.shared(1.0)
    w2 = theano.shared(np.array([random.random(), random.random()]))
    b2 = theano.shared(1.0)
    and_neuron = 1 / (1 + T.exp(-T.dot(x, w1) - b1))
    or_neuron = 1 / (1 + T.exp(-T.dot(x, w2) - b2))
    return x, w1, b1, w2, b2, and_neuron, or_neuron, T.vector("t1"), T.vector("t2")


def test_learning_and_and_or() -> None:
    random.seed(0)
    learning_rate = 0.01
    x, w1, b1, w2, b2, and_neuron, or_neuron, t1, t2 = two_neurons()
    cost = (
        -(t1 * T.log(and_neuron) + (1 - t1) * T.log(1 - and_neuron)).sum()
        - (t2 * T.log(or_neuron) + (1 - t2) * T.log(1 - or_neuron)).sum()
    )
    dw1, db1 = T.grad(cost, [w1, b1])
    dw2, db2 = T.grad(cost, [w2, b2])
    train = function(
        inputs=[x, t1, t2],
        outputs=[and_neuron, or_neuron, cost],
        updates=[
            [w1, w1 - learning_rate * dw1],
            [b1, b1 - learning_rate * db1],
            [w2, w2 - learning_rate * dw2],
            [b2, b2 - learning_rate * db2],
        ],
    )
    for _ in range(30000):
        and_pred, or_pred, _ = train(INPUTS, [0, 0, 0, 1], [0, 1, 1, 1])
    assert ["%.2f" % p for p in and_pred] == ["0.00", "0.02", "0.02", "0.98"]
    assert ["%.2f" % p for p in or_pred] == ["0.02", "0.99", "0.99", "1.00"]
    assert_allclose(w1.get_value(), [7.78360937, 7.78360935], atol=1e-8)
    # The weights of OR still move after 30,000 steps, so the second digit depends on the start.
    assert_allclose(w2.get_value(), [9.04, 9.04], atol=0.02)
    assert_allclose(b2.get_value(), -4.06, atol=0.02)


def test_a_second_term_left_on_a_line_of_its_own() -> None:
    _, w1, b1, w2, b2, and_neuron, or_neuron, t1, t2 = two_neurons()
    cost = -(t1 * T.log(and_neuron) + (1 - t1) * T.log(1 - and_neuron)).sum()
    -(t2 * T.log(or_neuron) + (1 - t2) * T.log(1 - or_neuron)).sum()
    T.grad(cost, [w1, b1])
    with pytest.raises(DisconnectedInputError):
        T.grad(cost, [w2, b2])


# ---- 002: two moons ----

HIDDEN, ETA, ALPHA = 100, 0.01, 0.01


class Network:
    """The listing's module-level names, for 200 points."""

    def __init__(self, num_examples: int = 200) -> None:
        rng = np.random.default_rng(1)
        self.X = X = T.matrix("X")
        self.y = y = T.lvector("y")
        self.W1 = W1 = theano.shared(rng.standard_normal((2, HIDDEN)), name="W1")
        self.b1 = b1 = theano.shared(np.zeros(HIDDEN), name="b1")
        self.W2 = W2 = theano.shared(rng.standard_normal((HIDDEN, 2)), name="W2")
        self.b2 = b2 = theano.shared(np.zeros(2), name="b2")
        z1 = X.dot(W1) + b1
        a1 = T.tanh(z1)
        z2 = a1.dot(W2) + b2
        y_hat = T.nnet.softmax(z2)
        loss_reg = 1.0 / num_examples * ALPHA / 2 * (T.sum(T.sqr(W1)) + T.sum(T.sqr(W2)))
        loss = T.nnet.categorical_crossentropy(y_hat, y).mean() + loss_reg
        self.forward_prop = theano.function([X], y_hat)
        self.calculate_loss = theano.function([X, y], loss)
        self.predict = theano.function([X], T.argmax(y_hat, axis=1))
        dW2, dW1 = T.grad(loss, W2), T.grad(loss, W1)
        db2, db1 = T.grad(loss, b2), T.grad(loss, b1)
        self.gradient_step = theano.function(
            [X, y],
            updates=((W2, W2 - ETA * dW2), (W1, W1 - ETA * dW1), (b2, b2 - ETA * db2), (b1, b1 - ETA * db1)),
        )


def test_eval() -> None:
    X = T.matrix("X")
    result = (X * 2).eval({X: [[1, 1], [2, 2]]})
    assert repr(result) == "array([[2., 2.],\n       [4., 4.]])"


def test_compute_test_value_can_be_set() -> None:
    with theano.config.change_flags():
        theano.config.compute_test_value = "ignore"
        assert theano.config.compute_test_value == "ignore"
        T.dot(T.matrix("x"), T.vector("y"))


def test_forward_prop() -> None:
    network = Network()
    row = network.forward_prop([[1, 2]])
    hidden = np.tanh(np.dot([[1, 2]], network.W1.get_value()))
    logits = hidden @ network.W2.get_value()
    assert row.shape == (1, 2)
    assert_allclose(row, np.exp(logits) / np.exp(logits).sum(), rtol=1e-12)
    assert network.predict([[1, 2]]).tolist() == [int(np.argmax(logits))]


def test_gradient_step_takes_float32_and_int32_and_returns_nothing() -> None:
    network = Network()
    train_X, train_y = make_moons(200, 0.2, np.random.default_rng(SEED))
    assert (train_X.dtype, train_y.dtype) == (np.float32, np.int32)
    before = float(network.calculate_loss(train_X, train_y))
    assert network.gradient_step(train_X, train_y) == []
    assert float(network.calculate_loss(train_X, train_y)) < before


def test_picture_of_forward_prop() -> None:
    network = Network()
    svg = theano.printing.pydotprint(
        network.forward_prop, var_with_name_simple=True, compact=True, return_image=True, format="svg"
    )
    assert svg is not None
    assert svg.startswith("<svg")
    for label in ("X", "W1", "b1", "W2", "b2", hidden_node(network), "0 TensorType(float64, matrix)"):
        assert f">{label}<" in svg


def hidden_node(network: Network) -> str:
    """The node of the hidden layer: where there are kernels the article's, which is fused."""
    return "Elemwise{Composite{tanh((i0 + i1))}}" if network.forward_prop.kernels else "tanh"


def test_debugprint_of_forward_prop() -> None:
    network = Network()
    text = theano.printing.debugprint(network.forward_prop, file="str")
    lines = text.splitlines()
    assert sum(f"|{hidden_node(network)} [id" in line for line in lines) == 1
    assert "[id A] ''   " in lines[0], "op, id, no name, place in the order of execution"
    assert all(line.lstrip(" |")[0].isalpha() and "[id " in line for line in lines)
    for name in ("X", "W1", "b1", "W2", "b2"):
        assert sum(f"|{name} [id" in line for line in lines) == 1


def test_build_model() -> None:
    """10,000 passes: the loss lies where the article's does, and where the same loop in NumPy puts it."""
    rng = np.random.default_rng(SEED)
    train_X, train_y = make_moons(200, 0.2, rng)
    network = Network()
    network.W1.set_value(rng.standard_normal((2, HIDDEN)) / np.sqrt(2))
    network.W2.set_value(rng.standard_normal((HIDDEN, 2)) / np.sqrt(HIDDEN))
    W1, W2 = network.W1.get_value(), network.W2.get_value()
    b1, b2 = np.zeros(HIDDEN), np.zeros(2)
    X, y = train_X.astype(float), train_y.astype(np.int64)

    losses = {}
    for i in range(10_001):
        network.gradient_step(train_X, train_y)
        if i in LOSS:
            losses[i] = float(network.calculate_loss(train_X, train_y))
        if i < 1000:
            a1 = np.tanh(X @ W1 + b1)
            p = np.exp(a1 @ W2 + b2)
            p /= p.sum(axis=1, keepdims=True)
            p[np.arange(len(X)), y] -= 1
            delta = (p / len(X)) @ W2.T * (1 - a1**2)
            W2 = W2 - ETA * (a1.T @ p / len(X) + ALPHA / len(X) * W2)
            b2 = b2 - ETA * p.mean(axis=0)
            W1 = W1 - ETA * (X.T @ delta + ALPHA / len(X) * W1)
            b1 = b1 - ETA * delta.sum(axis=0)
        if i == 999:
            assert_allclose(network.W1.get_value(), W1, atol=1e-11)
            assert_allclose(network.b2.get_value(), b2, atol=1e-11)
    for i, band in LOSS.items():
        assert band.low <= losses[i] <= band.high, f"loss {losses[i]} after iteration {i}"
    assert np.mean(network.predict(train_X) == train_y) > 0.9
    assert_array_equal(network.predict(train_X), network.forward_prop(train_X).argmax(axis=1))
