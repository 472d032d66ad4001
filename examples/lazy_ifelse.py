"""`ifelse` runs one branch, `T.switch` both: compare their times, and what an error in the other branch does."""

import time

import numpy as np

import graphc
import graphc.tensor as T
from graphc.ifelse import ifelse

choose = T.bscalar("choose")
x = T.dmatrix("x")
cheap, dear = x.sum(), T.dot(T.dot(x, x), x).sum()
lazy = graphc.function([choose, x], ifelse(choose, cheap, dear))
both = graphc.function([choose, x], T.switch(choose, cheap, dear))

value = np.eye(300)
for name, f in [("ifelse", lazy), ("switch", both)]:
    f(1, value)
    start = time.perf_counter()
    for _ in range(10):
        result = f(1, value)
    print(f"{name}: {result:g} in {(time.perf_counter() - start) * 100:.3f} ms a call")

v = T.dvector("v")
first = graphc.function([v], ifelse(T.gt(v.shape[0], 0), v[0], 0.0))
print("first element, or 0:", first([7.0, 8.0]), first([]))
