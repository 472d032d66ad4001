"""Whole products and sums: the factors above and below the line of ``a * b / (c * d)``, the terms of ``a + b - c``.

``mul``, ``add`` and their relatives are binary and unary; a rule that needs the whole product or sum collects it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphc.graph.types import TensorType
from graphc.graph.variable import Constant, Variable
from graphc.ops.elementwise import add, mul, neg, sub, true_div

# A product with more factors is looked at in parts: collecting costs time at every node of a chain.
MOST_FACTORS = 16


@dataclass
class Product:
    """``sign * product(numerator) / product(denominator)``."""

    negative: bool
    numerator: list[Variable]
    denominator: list[Variable]

    def expression(self, dtype: str) -> Variable:
        """The product as an expression."""
        above = _multiplied(self.numerator, dtype)
        result = above / _multiplied(self.denominator, dtype) if self.denominator else above
        return -result if self.negative else result  # type: ignore[no-any-return]


def product_of(variable: Variable) -> Product | None:
    """The factors of `variable`; None if there are too many, or if it is not a product of floats."""
    product = Product(False, [], [])
    stack = [(variable, True)]
    while stack:
        # Factors not looked at yet count too: in a long chain of products they pile up before the first is reached.
        if len(stack) + len(product.numerator) + len(product.denominator) > MOST_FACTORS:
            return None
        x, above = stack.pop()
        op = x.owner.op if x.owner is not None else None
        if op is mul and x.owner is not None:
            stack += [(x.owner.inputs[1], above), (x.owner.inputs[0], above)]
        elif op is true_div and x.owner is not None:
            stack += [(x.owner.inputs[1], not above), (x.owner.inputs[0], above)]
        elif op is neg and x.owner is not None:
            product.negative = not product.negative
            stack.append((x.owner.inputs[0], above))
        else:
            (product.numerator if above else product.denominator).append(x)
    return product


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


def _multiplied(factors: list[Variable], dtype: str) -> Any:
    if not factors:
        return Constant(TensorType(dtype, ()), 1)
    result: Any = factors[0]
    for factor in factors[1:]:
        result = result * factor
    return result
