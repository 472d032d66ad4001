"""A node written twice, in a branch of an `ifelse` and outside, is one node whose sizes are checked always."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.ifelse import ifelse


@pytest.mark.parametrize("taken", [0, 1])
def test_gradient_of_a_sum_that_a_branch_computes_too(taken: int) -> None:
    a, b, c = T.dvector("a"), T.dvector("b"), T.bscalar("c")
    outputs = [ifelse(c, a + b, b), T.grad(((a + b) ** 2).sum(), a)]
    f = graphc.function([a, b, c], outputs)
    chosen, gradient = f(np.ones(1), np.arange(3.0), taken)
    assert chosen.tolist() == ([1.0, 2.0, 3.0] if taken else [0.0, 1.0, 2.0])
    assert gradient.tolist() == [12.0]
