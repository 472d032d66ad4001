"""Random branches from one array, each with a few cheap steps and a reduction over other axes.

What is computed again, which groups become one and which take in others: all of it is decided here at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc.tensor as T
from graphc import function
from graphc.evaluator import evaluate
from graphc.graph.variable import Variable
from tests.kernels.machine import Machine
from tests.kernels.test_fuse import check_closed, check_order, check_parameters
from tests.kernels.test_kernels import close, plan_of

SHAPES: dict[str, tuple[tuple[int | None, ...], ...]] = {
    "matrix": ((None, None), (None, 1), (1, None)),
    "block": ((None, None, None), (None, 1, 1), (1, None, 1), (None, None, 1)),
}
REDUCTIONS = ("sum", "max", "min", "mean")


class Branches:
    """A program drawn from a seed: its inputs and outputs."""

    def __init__(self, kind: str, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.inputs: list[Variable] = [T.tensor("float64", shape=s, name=f"x{i}") for i, s in enumerate(SHAPES[kind])]
        self.pool: list[Any] = [self.inputs[0]]
        for _ in range(self._below(3) + 1):
            self.pool.append(self._step(self._some(self.pool)))
        self.outputs = [self._branch() for _ in range(2 + self._below(3))]
        if self._perhaps(0.4):
            cost = sum((x * x).sum() for x in self.outputs)
            self.outputs.append(T.grad(cost, self.inputs[0]))

    def values(self) -> list[Any]:
        """Small arrays for the inputs."""
        shapes = [tuple(n or k + 2 for k, n in enumerate(x.type.shape)) for x in self.inputs]
        return [self.random.normal(size=shape) for shape in shapes]

    def _below(self, count: int) -> int:
        return int(self.random.integers(count))

    def _perhaps(self, chance: float) -> bool:
        return bool(self.random.random() < chance)

    def _some(self, of: Any) -> Any:
        return of[self._below(len(of))]

    def _step(self, x: Any) -> Any:
        small = self._some(self.inputs[1:])
        steps = (x * 0.1, T.clip(x, -20, 20), abs(x), x + small * 0.1, T.sqrt(abs(x)), T.tanh(x), x * x)
        return self._some(steps)

    def _branch(self) -> Any:
        x = self._some(self.pool)
        for _ in range(self._below(5) + 1):
            x = self._step(x)
            if self._perhaps(0.3):
                self.pool.append(x)
        if self._perhaps(0.2):
            return x
        axes = tuple(range(x.ndim))
        keepdims = self._perhaps(0.5)
        reduced = getattr(T, self._some(REDUCTIONS))(
            x, axis=self._some((None, *axes, axes[1:], axes[:-1])), keepdims=keepdims
        )
        if not keepdims or self._perhaps(0.5):
            return reduced
        self.pool.append(self._step(x - reduced))
        return self.pool[-1].sum(axis=self._some(axes))


@pytest.mark.parametrize("kind", SHAPES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=75)
def test_random_branches(kind: str, seed: int) -> None:
    """The plan is in order, and means what NumPy says."""
    program = Branches(kind, seed)
    values = program.values()
    f = function(program.inputs, program.outputs, backend="llvm", on_unused_input="ignore")
    wanted = evaluate(program.outputs, dict(zip(program.inputs, values, strict=True)))
    made = plan_of(f)
    check_order(made)
    check_closed(made)
    check_parameters(made)
    close(Machine(made).run(values), wanted, 4096)
