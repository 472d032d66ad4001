"""A network with one hidden layer tells two interlocked half moons apart."""

import numpy as np

import graphc
import graphc.tensor as T

rng = np.random.default_rng(12)
angles = np.linspace(0, np.pi, 100)
outer = np.column_stack([np.cos(angles), np.sin(angles)])
inner = np.column_stack([1 - np.cos(angles), 0.5 - np.sin(angles)])
train_X = np.concatenate([outer, inner]) + rng.normal(scale=0.2, size=(200, 2))
train_y = np.repeat([0, 1], 100)

hidden, eta, alpha = 100, 0.05, 0.01
X, y = T.matrix("X"), T.lvector("y")
W1 = graphc.shared(rng.standard_normal((2, hidden)) / np.sqrt(2), name="W1")
b1 = graphc.shared(np.zeros(hidden), name="b1")
W2 = graphc.shared(rng.standard_normal((hidden, 2)) / np.sqrt(hidden), name="W2")
b2 = graphc.shared(np.zeros(2), name="b2")

y_hat = T.nnet.softmax(T.tanh(X.dot(W1) + b1).dot(W2) + b2)
penalty = alpha / 2 / len(train_X) * (T.sum(W1**2) + T.sum(W2**2))
loss = T.nnet.categorical_crossentropy(y_hat, y).mean() + penalty
parameters = [W1, b1, W2, b2]
updates = [(p, p - eta * g) for p, g in zip(parameters, T.grad(loss, parameters))]
train = graphc.function([X, y], loss, updates=updates)
predict = graphc.function([X], T.argmax(y_hat, axis=1))

for i in range(4001):
    loss_now = train(train_X, train_y)
    if i % 1000 == 0:
        print(f"loss before step {i}: {loss_now:.4f}")
print(f"accuracy {np.mean(predict(train_X) == train_y):.3f}")
