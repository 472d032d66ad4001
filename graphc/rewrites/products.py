"""Whole products: the factors above and below the line of ``a * b / (c * d)``, signs tracked.

``mul``, ``true_div`` and ``neg`` are binary and unary; a rule that needs the whole product collects it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphc.graph.types import TensorType
from graphc.graph.variable import Constant, Variable
from graphc.ops.elementwise import mul, neg, true_div

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


def _multiplied(factors: list[Variable], dtype: str) -> Any:
    if not factors:
        return Constant(TensorType(dtype, ()), 1)
    result: Any = factors[0]
    for factor in factors[1:]:
        result = result * factor
    return result
