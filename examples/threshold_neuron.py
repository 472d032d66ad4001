"""A neuron that fires when the weighted sum of its inputs is not negative; with these weights it computes AND."""

import graphc
import graphc.tensor as T
from graphc.ifelse import ifelse

x, w, b = T.vector("x"), T.vector("w"), T.scalar("b")
z = T.dot(x, w) + b
neuron = graphc.function([x, w, b], ifelse(T.lt(z, 0), 0, 1))

for p, q in [(0, 0), (0, 1), (1, 0), (1, 1)]:
    print(f"{p} AND {q} = {neuron([p, q], [1, 1], -1.5)}")
