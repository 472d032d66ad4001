"""What the tests in this directory share: ops that misbehave, and functions on module level, which pickle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import Apply, Op, Variable
from graphc.graph.op import typed
from graphc.graph.variable import as_variable


class Calls(Op):
    """The identity, which calls a Python function on the way: to fail, to interrupt, to look around."""

    pure = False

    def __init__(self, action: Callable[[Any], Any]) -> None:
        self.action = action

    def make_node(self, *inputs: Any) -> Apply:
        x = as_variable(inputs[0])
        return Apply(self, [x], [x.type])

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        result = self.action(values[0])
        return values[0].copy() if result is None else result


class Doubled(Op):
    """``2 * x``: an op of a user's, with `__props__`."""

    __props__ = ("factor",)

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def make_node(self, *inputs: Any) -> Apply:
        x = as_variable(inputs[0])
        return typed(self, [x], x.dtype)

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        return values[0] * self.factor


class Twins(Op):
    """Two outputs, for which `perform` returns one and the same array."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        x = as_variable(inputs[0])
        return Apply(self, [x], [x.type, x.type])

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [shapes[0], shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        both = values[0] + 1
        return both, both


class Sloppy(Op):
    """A user's op whose `perform` returns whatever it was given: an input, a view of it, a list, another dtype."""

    def __init__(self, result: Callable[[Any], Any]) -> None:
        self.result = result

    def make_node(self, *inputs: Any) -> Apply:
        x = as_variable(inputs[0])
        return Apply(self, [x], [x.type])

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        return self.result(values[0])


def fails(error: BaseException) -> Calls:
    """An op that raises."""

    def action(value: Any) -> None:
        raise error

    return Calls(action)


def same_bits(a: Any, b: Any) -> bool:
    """Equal in dtype, shape and bytes, so that nan equals nan and -0.0 is not 0.0."""
    a, b = np.asarray(a), np.asarray(b)
    return bool(a.dtype == b.dtype) and a.shape == b.shape and a.tobytes() == b.tobytes()


def names(variables: list[Variable]) -> list[str | None]:
    """The names of variables."""
    return [x.name for x in variables]
