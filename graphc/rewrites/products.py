"""Whole products and sums: the factors above and below the line of ``a * b / (c * d)``, the terms of ``a + b - c``.

``mul``, ``add`` and their relatives are binary and unary; a rule that needs the whole product or sum collects it here.
Factors are exchanged and dropped where they stand: the order of the multiplications that remain is the user's, so that
nothing overflows that did not before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphc.graph.types import TensorType
from graphc.graph.variable import Constant, Variable
from graphc.ops.elementwise import add, mul, neg, sub, true_div

# A product with more factors is looked at in parts: collecting costs time at every node of a chain.
MOST_FACTORS = 16


@dataclass
class Factor:
    """One factor: above the line or below; None in the place of one that was dropped."""

    variable: Variable | None
    above: bool


@dataclass
class Product:
    """A tree of products, quotients and signs, and its factors from left to right."""

    root: Variable
    factors: list[Factor]

    def above(self) -> list[tuple[Factor, Variable]]:
        """The factors above the line that are left."""
        return [(f, f.variable) for f in self.factors if f.above and f.variable is not None]

    def below(self) -> list[tuple[Factor, Variable]]:
        """The factors below the line that are left."""
        return [(f, f.variable) for f in self.factors if not f.above and f.variable is not None]

    def expression(self) -> Variable:
        """The product with its factors as they are now."""
        result = self._rebuilt(self.root, iter(self.factors))
        return _one(self.root) if result is None else result

    def _rebuilt(self, x: Variable, factors: Iterator[Factor]) -> Variable | None:
        if not _is_product(x):
            return next(factors).variable
        assert x.owner is not None
        parts = [self._rebuilt(y, factors) for y in x.owner.inputs]
        if x.owner.op is neg:
            return -_one(x) if parts[0] is None else -parts[0]  # type: ignore[no-any-return]
        a, b = parts
        if b is None:
            return a
        if a is None:
            return b if x.owner.op is mul else _one(x) / b
        return a * b if x.owner.op is mul else a / b  # type: ignore[no-any-return]


def product_of(variable: Variable) -> Product | None:
    """The factors of `variable`; None if there are too many."""
    factors: list[Factor] = []
    stack = [(variable, True)]
    while stack:
        # Factors not looked at yet count too: in a long chain of products they pile up before the first is reached.
        if len(stack) + len(factors) > MOST_FACTORS:
            return None
        x, above = stack.pop()
        if not _is_product(x):
            factors.append(Factor(x, above))
            continue
        assert x.owner is not None
        for i, y in reversed(list(enumerate(x.owner.inputs))):
            stack.append((y, above != (i == 1 and x.owner.op is true_div)))
    return Product(variable, factors)


def _is_product(x: Variable) -> bool:
    return x.owner is not None and x.owner.op in _PRODUCTS


_PRODUCTS = (mul, true_div, neg)


def _one(like: Variable) -> Constant:
    return Constant(TensorType(like.dtype, ()), 1)


@dataclass
class Total:
    """``sum(positive) - sum(negative)``."""

    positive: list[Variable]
    negative: list[Variable]

    def expression(self, dtype: str) -> Variable:
        """The sum as an expression."""
        if not self.positive and not self.negative:
            return Constant(TensorType(dtype, ()), 0)
        if not self.positive:
            return -_added(self.negative)  # type: ignore[no-any-return]
        above = _added(self.positive)
        return above - _added(self.negative) if self.negative else above  # type: ignore[no-any-return]


def terms_of(variable: Variable) -> Total | None:
    """The terms of a sum; None if there are too many."""
    total = Total([], [])
    stack = [(variable, True)]
    while stack:
        if len(stack) + len(total.positive) + len(total.negative) > MOST_FACTORS:
            return None
        x, plus = stack.pop()
        op = x.owner.op if x.owner is not None else None
        if x.owner is not None and op is add:
            stack += [(x.owner.inputs[1], plus), (x.owner.inputs[0], plus)]
        elif x.owner is not None and op is sub:
            stack += [(x.owner.inputs[1], not plus), (x.owner.inputs[0], plus)]
        elif x.owner is not None and op is neg:
            stack.append((x.owner.inputs[0], not plus))
        else:
            (total.positive if plus else total.negative).append(x)
    return total


def _added(terms: list[Variable]) -> Any:
    result: Any = terms[0]
    for term in terms[1:]:
        result = result + term
    return result
