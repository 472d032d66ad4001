"""Find the minimum of the Mexican hat: 300 steps of gradient descent on one shared weight."""

import numpy as np

import graphc
import graphc.tensor as T

x = T.dvector("x")
w = graphc.shared(0.5, name="w")
func = T.sum((1 - (w * x) ** 2) * np.exp(-((w * x) ** 2)))  # NumPy's functions build graphs too
dw = T.grad(func, w)
train = graphc.function([x], outputs=[w, func], updates=[(w, w - 0.001 * dw)])

points = np.arange(0.9, 1.1, 0.01)
for step in range(300):
    weight, error = train(points)
    if step % 50 == 0:
        print(f"step {step:3}: weight {weight:.6f}, error {error:.6f}")
print(f"last weight {weight:.6f}, next weight {w.get_value():.6f}")
