"""Two sigmoid neurons learn AND and OR from their truth tables, in one loop with one cost."""

import numpy as np

import graphc
import graphc.tensor as T

inputs = [[0, 0], [0, 1], [1, 0], [1, 1]]
targets = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1]}
rng = np.random.default_rng(0)

x = T.matrix("x")
neurons, wanted, parameters = [], [], []
cost = 0
for gate in targets:
    w = graphc.shared(rng.random(2), name=f"w_{gate}")
    b = graphc.shared(1.0, name=f"b_{gate}")
    t = T.vector(f"t_{gate}")
    a = T.nnet.sigmoid(T.dot(x, w) + b)
    cost = cost + T.nnet.binary_crossentropy(a, t).sum()
    neurons.append(a)
    wanted.append(t)
    parameters += [w, b]

gradients = T.grad(cost, parameters)
updates = [(p, p - 0.01 * g) for p, g in zip(parameters, gradients)]
train = graphc.function([x, *wanted], [*neurons, cost], updates=updates)

for _ in range(30_000):
    *outputs, last_cost = train(inputs, *targets.values())
for gate, output in zip(targets, outputs):
    for (p, q), value in zip(inputs, output):
        print(f"{p} {gate} {q} is {value:.2f}")
print(f"cost {last_cost:.4f}")
