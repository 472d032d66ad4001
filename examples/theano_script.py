"""A program for Theano, unchanged: ``python -m graphc run examples/theano_script.py 200``."""

import sys

import numpy as np
import theano
import theano.tensor as T
from theano import function, pp

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
rng = np.random.RandomState(0)
theano.config.compute_test_value = "off"

x = T.dmatrix("x")
y = T.dvector("y")
w = theano.shared(np.zeros(4, dtype=np.float), name="w")
b = theano.shared(0.0, name="b")
p_1 = 1 / (1 + T.exp(-T.dot(x, w) - b))
xent = -y * T.log(p_1) - (1 - y) * T.log(1 - p_1)
cost = xent.mean() + 0.01 * (w**2).sum()
gw, gb = T.grad(cost, [w, b])
train = function(inputs=[x, y], outputs=[cost], updates=((w, w - 0.5 * gw), (b, b - 0.5 * gb)))
predict = function(inputs=[x], outputs=p_1 > 0.5)

data = rng.randn(100, 4)
labels = (data[:, 0] + data[:, 1] > 0).astype(np.float)
for _ in range(steps):
    (cost_now,) = train(data, labels)
print(pp(p_1))
print("cost %.4f after %d steps" % (cost_now, steps))
print("accuracy %.2f" % np.mean(predict(data) == labels))
