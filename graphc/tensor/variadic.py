"""Sums and products of any number of terms, as Theano's ``T.add(a, b, c)`` has them."""

from __future__ import annotations

from functools import reduce
from typing import Any

from graphc.graph.variable import Variable, as_variable
from graphc.ops import elementwise
from graphc.ops.declare import Elementwise


def _chain(op: Elementwise, terms: tuple[Any, ...]) -> Variable:
    if not terms:
        raise TypeError(f"{op.name}() takes at least one operand")
    result: Variable = reduce(op, terms[1:], as_variable(terms[0]))
    return result


def add(*terms: Any) -> Variable:
    """``x + y + ...``."""
    return _chain(elementwise.add, terms)


def mul(*factors: Any) -> Variable:
    """``x * y * ...``."""
    return _chain(elementwise.mul, factors)


def and_(*terms: Any) -> Variable:
    """``x & y & ...`` of bools or integers."""
    return _chain(elementwise.and_, terms)


def or_(*terms: Any) -> Variable:
    """``x | y | ...`` of bools or integers."""
    return _chain(elementwise.or_, terms)


def xor(*terms: Any) -> Variable:
    """``x ^ y ^ ...`` of bools or integers."""
    return _chain(elementwise.xor, terms)
