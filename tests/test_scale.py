"""Long chains, wide graphs and deep sharing, under the default recursion limit: nothing recurses, all is linear.

The times are printed, not judged: only a per-node time that grows by a factor of 20 from 10,000 to 100,000 nodes, which
nothing linear does, fails. ``--full`` also compiles the gradient of the longest chain.
"""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.graph.traverse import toposort
from graphc.graph.variable import Variable

SIZES = (1_000, 10_000, 100_000)
DEFAULT_RECURSION_LIMIT = 1000
TIMES: dict[str, dict[int, float]] = {}


@pytest.fixture(autouse=True)
def default_recursion_limit() -> Iterator[None]:
    """A test runner may have raised the limit; what is tested must do with the default."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(DEFAULT_RECURSION_LIMIT)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Clock:
    """Times the stages for one number of nodes."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.process_time()
        yield
        TIMES.setdefault(stage, {})[self.nodes] = time.process_time() - start


def chain(nodes: int) -> tuple[Variable, Any, Variable]:
    """x, w and an expression of so many nodes: tanh(tanh(x * w) * w) ..., kept near 0."""
    x, w = T.dvector("x"), graphc.shared(0.5, "w")
    y: Any = x
    for _ in range(nodes // 2):
        y = T.sin(y * w)
    return x, w, y


def value(nodes: int, x: np.ndarray) -> np.ndarray:
    for _ in range(nodes // 2):
        x = np.sin(x * 0.5)
    return x


@pytest.mark.parametrize("nodes", SIZES)
def test_chain(nodes: int, full: bool, backend: str) -> None:
    clock = Clock(nodes)
    with clock("build"):
        x, w, y = chain(nodes)
        cost = y.sum()
    with clock("gradient"):
        g = T.grad(cost, w)
    assert len(toposort([y])) == nodes
    with clock("pp"):
        text = graphc.pp(y)
    assert text.count("sin") == nodes // 2
    with clock("debugprint"):
        lines = graphc.debugprint(y, file="str")
    assert len(lines.splitlines()) >= nodes
    with clock("copy"):
        assert copy.copy(y) is not None
    with clock("deepcopy"):
        twin = copy.deepcopy(y)
    assert len(toposort([twin])) == nodes
    with clock("pickle"):
        back = pickle.loads(pickle.dumps(y))
    assert len(toposort([back])) == nodes
    with clock("compile"):
        f = graphc.function([x], cost, updates={w: w * 1.0}, backend=backend)
    with clock("run"):
        result = f(np.array([0.5, -0.25]))
    np.testing.assert_allclose(result, value(nodes, np.array([0.5, -0.25])).sum(), rtol=1e-9)
    with clock("pickle a function"):
        f = pickle.loads(pickle.dumps(f)) if nodes <= 10_000 or full else f
    if nodes <= 10_000 or full:
        with clock("compile with gradient"):
            train = graphc.function([x], cost, updates={w: w - 0.1 * g}, backend=backend)
        train(np.array([0.5, -0.25]))
        assert np.isfinite(w.get_value())
        del train
    gone = weakref.ref(y)
    with clock("delete"):
        del f, y, cost, g, twin, back
        gc.collect()
    assert gone() is None, "a chain is kept alive"


def test_times_grow_linearly(capsys: pytest.CaptureFixture[str]) -> None:
    if not TIMES:
        pytest.skip("the chains were not run in this session")
    with capsys.disabled():
        print("\nmicroseconds of CPU time a node\n" + f"{'':22}" + "".join(f"{n:>10,}" for n in SIZES))
        for stage, times in TIMES.items():
            cells = [f"{times[n] / n * 1e6:10.2f}" if n in times else f"{'':10}" for n in SIZES]
            print(f"{stage:22}" + "".join(cells))
    small, large = SIZES[1:]
    for stage, times in TIMES.items():
        if small in times and large in times:
            assert times[large] / large < 20 * times[small] / small + 20e-6, f"{stage} is far from linear"


def test_ten_thousand_readers_of_one_variable(backend: str) -> None:
    x = T.dscalar("x")
    parts = [x * float(i) for i in range(10_000)]
    total: Any = parts[0]
    for part in parts[1:]:
        total = total + part
    g = T.grad(total, x)
    f = graphc.function([x], [total, g], backend=backend)
    assert f(2.0)[0] == sum(2.0 * i for i in range(10_000))
    assert f(2.0)[1] == sum(float(i) for i in range(10_000))


def test_one_op_with_ten_thousand_inputs(backend: str) -> None:
    x = T.dscalar("x")
    stacked = T.stack([x + float(i) for i in range(10_000)])
    f = graphc.function([x], [stacked, T.grad(stacked.sum(), x)], backend=backend)
    values, g = f(1.0)
    np.testing.assert_array_equal(values, 1.0 + np.arange(10_000))
    assert g == 10_000


def test_ten_thousand_inputs(backend: str) -> None:
    xs = [T.dscalar() for _ in range(10_000)]
    f = graphc.function(xs, T.grad((T.stack(xs) ** 2).sum(), xs), backend=backend)
    assert [float(g) for g in f(*range(10_000))] == [2.0 * i for i in range(10_000)]


def test_ten_thousand_outputs(backend: str) -> None:
    x = T.dscalar("x")
    f = graphc.function([x], [x * float(i) for i in range(10_000)], backend=backend)
    assert [float(v) for v in f(1.0)] == [float(i) for i in range(10_000)]


def shared_paths(depth: int) -> tuple[Variable, Variable]:
    """x + x + ..., every sum shared: 2**depth paths."""
    x = T.dscalar("x")
    y = x
    for _ in range(depth):
        y = y + y
    return x, y


LOOKS: dict[str, Callable[[Variable], Any]] = {
    "debugprint": lambda y: graphc.debugprint(y, file="str"),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda y: pickle.loads(pickle.dumps(y)),
    "repr": repr,
}


@pytest.mark.parametrize("look", LOOKS)
def test_two_to_the_hundred_paths_are_looked_at_once(look: str) -> None:
    _, y = shared_paths(100)
    LOOKS[look](y)


def test_pp_of_two_to_the_hundred_paths_ends() -> None:
    _, y = shared_paths(100)
    assert len(graphc.pp(y)) < 10**6


def test_two_to_the_hundred_paths_compile_and_differentiate(backend: str) -> None:
    x, y = shared_paths(100)
    f = graphc.function([x], [y, T.grad(y, x)], backend=backend)
    assert [float(v) for v in f(1.0)] == [2.0**100, 2.0**100]


def test_a_long_chain_of_negations_and_products(backend: str) -> None:
    """Rules that look through whole products must not look through all of them at every node."""
    x = T.dscalar("x")
    y: Any = T.nnet.sigmoid(x)
    for i in range(5_000):
        y = -(y * x) if i % 2 else y / x
    f = graphc.function([x], y, backend=backend)
    np.testing.assert_allclose(f(1.0), 1 / (1 + np.exp(-1)))


def test_a_long_chain_of_sums_and_fills(backend: str) -> None:
    """Each sum's gradient is filled to the shape of what was summed: 3,000 fills in a row."""
    x = T.dvector("x")
    y: Any = x
    for _ in range(1_000):
        y = y / y.sum()
    f = graphc.function([x], T.grad((y * x).sum(), x), backend=backend)
    assert f(np.array([1.0, 2.0])).shape == (2,)
