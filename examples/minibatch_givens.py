"""Minibatches: the data is shared once, `givens` replaces the input by a slice of it, and a call passes an index."""

import numpy as np

import graphc
import graphc.tensor as T

rng = np.random.default_rng(0)
true_w = np.array([2.0, -1.0, 0.5])
features = rng.standard_normal((600, 3))
data = graphc.shared(features, name="data")
targets = graphc.shared(features @ true_w + 0.01 * rng.standard_normal(600), name="targets")

n = 20  # rows of a batch
i = T.lscalar("i")
x, t = T.matrix("x"), T.vector("t")
w = graphc.shared(np.zeros(3), name="w")
cost = T.mean((T.dot(x, w) - t) ** 2)
train = graphc.function(
    [i],
    cost,
    updates={w: w - 0.05 * T.grad(cost, w)},
    givens={x: data[i * n : (i + 1) * n], t: targets[i * n : (i + 1) * n]},
)

for epoch in range(5):
    costs = [train(batch) for batch in range(600 // n)]
    print(f"epoch {epoch}: mean cost {np.mean(costs):.6f}")
print("weights", np.round(w.get_value(), 2))
