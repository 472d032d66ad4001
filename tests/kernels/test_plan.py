"""Where values live: memory that is used again is never one that somebody still looks at."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphc.tensor as T
from graphc import Apply, Op, function
from graphc.graph.variable import as_variable
from tests.compile.programs import Calls


class Seen(Op):
    """A view of its operand."""

    __props__ = ()
    view_of = 0

    def make_node(self, *inputs: Any) -> Apply:
        x = as_variable(inputs[0])
        return Apply(self, [x], [x.type])

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        return values[0][:]


def test_a_view_that_a_call_returns_keeps_the_memory_it_looks_at() -> None:
    x = T.dvector("x")
    view = Seen()(T.exp(x))
    later = Calls(lambda a: a + 1)(T.tanh(Calls(lambda a: a * 2)(view)))
    values = np.arange(5.0)
    wanted = np.exp(values) + np.tanh(np.exp(values) * 2) + 1
    for backend in ("numpy", "llvm"):
        np.testing.assert_allclose(function([x], view + later, backend=backend)(values), wanted, rtol=1e-14)


def test_a_result_that_a_call_returns_as_a_view_is_a_copy() -> None:
    x = T.dvector("x")
    f = function([x], [Seen()(x), Seen()(T.exp(x)), T.exp(x)], backend="llvm")
    values = np.arange(5.0)
    results = f(values)
    for i, result in enumerate(results):
        assert not any(np.shares_memory(result, other) for other in (values, *results[:i]))


def test_memory_is_used_again() -> None:
    """A chain of matrix products needs two matrices, however long it is."""
    x, w = T.dmatrix("x"), T.dmatrix("w")
    h = x
    for _ in range(6):
        h = T.tanh(T.dot(h, w))
    f = function([x, w], h.sum(), backend="llvm")
    random = np.random.default_rng(0)
    values = random.normal(size=(5, 5)), random.normal(size=(5, 5))
    f(*values)
    regions = f.variants[next(reversed(f.variants))].executable.plan.regions  # type: ignore[attr-defined]
    assert len(set(regions.values())) <= 3
