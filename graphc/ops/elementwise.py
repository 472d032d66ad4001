"""Elementwise ops that are an instruction or a few for a processor: arithmetic, comparisons, choice, rounding.

Functions that have to be approximated are in `transcendental`, those of neural networks in `nnet`.  Gradients are
written for the cost's gradient `g` with respect to the result `out`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.bindings import ops
from graphc.graph.op import Gradient, zero
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.declare import Elementwise, Tensor, common, elementwise, function
from graphc.ops.declare import real as of_reals

# ---- arithmetic ----


@elementwise("add", grad=lambda g, out, x, y: (g, g), commutative=True)
def add(x: Tensor, y: Tensor) -> Tensor:
    """``x + y``."""


@elementwise("subtract", grad=lambda g, out, x, y: (g, -g))
def sub(x: Tensor, y: Tensor) -> Tensor:
    """``x - y``."""


@elementwise("multiply", grad=lambda g, out, x, y: (g * y, g * x), commutative=True)
def mul(x: Tensor, y: Tensor) -> Tensor:
    """``x * y``."""


@elementwise("divide", grad=lambda g, out, x, y: (g / y, -g * out / y))
def true_div(x: Tensor, y: Tensor) -> Tensor:
    """``x / y``; of integers in ``config.floatX``."""


@elementwise("floor_divide", zero_grad=True)
def int_div(x: Tensor, y: Tensor) -> Tensor:
    """``x // y``, rounded towards minus infinity."""


@elementwise("remainder", grad=lambda g, out, x, y: (g, -g * int_div(x, y)))
def mod(x: Tensor, y: Tensor) -> Tensor:
    """``x % y`` with the sign of `y`."""


def _pow_grad(g: Variable, out: Variable, x: Variable, y: Variable) -> tuple[Gradient, Gradient]:
    """``y x**(y-1)`` and ``x**y log x``, the latter 0 where x is 0 and y positive (its limit)."""
    # At y = 0 the power is constant; x ** -1 would make its derivative 0 * inf where x is 0.
    below = y - 1 if isinstance(y, Constant) and np.all(y.data != 0) else switch(eq(y, 0), 1, y - 1)
    base = g * y * x**below
    if dtypes.is_discrete(y.dtype):
        return base, zero
    return base, g * out * switch(eq(x, 0), 0, ops.log(x))


class Power(Elementwise):
    """``x ** y``, a square root where the exponent is written as 1/2.

    So it is with arrays of NumPy, where ``x ** 0.5`` is nan at -inf and -0.0 at -0.0; C's pow is inf and 0.0 there.
    ``np.power(x, 0.5)`` is the one or the other, by NumPy's version.
    """

    def perform(self, node: Apply, *values: Any) -> Any:
        if not is_root(node):
            return super().perform(node, *values)
        return np.sqrt(np.asarray(values[0], node.outputs[0].dtype))


def is_root(node: Apply) -> bool:
    """Whether a node is ``x ** 0.5``."""
    if node.op is not pow:
        return False
    exponent = node.inputs[1]
    return isinstance(exponent, Constant) and not exponent.ndim and exponent.scalar() == 0.5


@elementwise("power", grad=_pow_grad, kind=Power)
def pow(x: Tensor, y: Tensor) -> Tensor:
    """``x ** y``."""


@elementwise("negative", grad=lambda g, out, x: (-g,))
def neg(x: Tensor) -> Tensor:
    """``-x``."""


@elementwise("absolute", grad=lambda g, out, x: (g * ops.sgn(x),))
def abs_(x: Tensor) -> Tensor:
    """``|x|``; its gradient at 0 is 0."""


@elementwise("sign", zero_grad=True)
def sgn(x: Tensor) -> Tensor:
    """-1, 0 or 1 by the sign of `x`."""


@elementwise("reciprocal", grad=lambda g, out, x: (-g * out * out,), dtypes_like="exp")
def reciprocal(x: Tensor) -> Tensor:
    """``1 / x``."""


@elementwise("square", grad=lambda g, out, x: (g * 2 * x,))
def sqr(x: Tensor) -> Tensor:
    """``x * x``."""


def _sqrt_grad(g: Variable, out: Variable, x: Variable) -> tuple[Gradient]:
    """``g / (2 sqrt x)``; for a norm, the root of a sum of squares, 0 at the origin, which is a subgradient there."""
    return (g * 0.5 / (switch(eq(out, 0), float("inf"), out) if _is_sum_of_squares(x) else out),)


def _is_sum_of_squares(x: Variable, most_terms: int = 16) -> bool:
    """Whether `x` is zero only where everything it depends on through squares is zero."""
    pending = [x]
    while pending and most_terms:
        most_terms -= 1
        node = pending.pop().owner
        if node is None or dtypes.is_complex(node.inputs[0].dtype):
            return False
        if node.op is add:
            pending += node.inputs
        elif node.op.name in ("sum", "cast") or node.op is true_div:
            pending.append(node.inputs[0])
        elif not _is_square(node):
            return False
    return not pending


def _is_square(node: Apply) -> bool:
    exponent = node.inputs[-1]
    return (
        node.op is sqr
        or (node.op is mul and node.inputs[0] is node.inputs[1])
        or (node.op is pow and isinstance(exponent, Constant) and exponent.scalar() == 2)
    )


@elementwise("sqrt", grad=_sqrt_grad)
def sqrt(x: Tensor) -> Tensor:
    """The square root; nan for negative `x`."""


@elementwise("maximum", grad=lambda g, out, x, y: _tie(g, ops.eq(x, out), ops.eq(y, out)), commutative=True)
def maximum(x: Tensor, y: Tensor) -> Tensor:
    """The larger of the two; nan if one is.  The gradient at a tie is split equally."""


@elementwise("minimum", grad=lambda g, out, x, y: _tie(g, ops.eq(x, out), ops.eq(y, out)), commutative=True)
def minimum(x: Tensor, y: Tensor) -> Tensor:
    """The smaller of the two; nan if one is.  The gradient at a tie is split equally."""


def _tie(g: Variable, first: Variable, second: Variable) -> tuple[Variable, Variable]:
    """The gradient goes to the operand that was chosen, half to each if both were."""
    share = switch(and_(first, second), g * 0.5, g)
    return switch(first, share, 0), switch(second, share, 0)


# ---- comparisons and logic ----


@elementwise("less", zero_grad=True)
def lt(x: Tensor, y: Tensor) -> Tensor:
    """``x < y``."""


@elementwise("less_equal", zero_grad=True)
def le(x: Tensor, y: Tensor) -> Tensor:
    """``x <= y``."""


@elementwise("greater", zero_grad=True)
def gt(x: Tensor, y: Tensor) -> Tensor:
    """``x > y``."""


@elementwise("greater_equal", zero_grad=True)
def ge(x: Tensor, y: Tensor) -> Tensor:
    """``x >= y``."""


@elementwise("equal", zero_grad=True, commutative=True)
def eq(x: Tensor, y: Tensor) -> Tensor:
    """Whether `x` equals `y`, element by element (``==`` compares the symbols)."""


@elementwise("not_equal", zero_grad=True, commutative=True)
def neq(x: Tensor, y: Tensor) -> Tensor:
    """Whether `x` differs from `y`, element by element."""


@elementwise("bitwise_and", zero_grad=True, commutative=True)
def and_(x: Tensor, y: Tensor) -> Tensor:
    """``x & y`` of bools or integers."""


@elementwise("bitwise_or", zero_grad=True, commutative=True)
def or_(x: Tensor, y: Tensor) -> Tensor:
    """``x | y`` of bools or integers."""


@elementwise("bitwise_xor", zero_grad=True, commutative=True)
def xor(x: Tensor, y: Tensor) -> Tensor:
    """``x ^ y`` of bools or integers."""


@elementwise("invert", zero_grad=True)
def invert(x: Tensor) -> Tensor:
    """``~x`` of bools or integers."""


@elementwise("isnan", zero_grad=True)
def isnan(x: Tensor) -> Tensor:
    """Whether `x` is not a number."""


@elementwise("isinf", zero_grad=True)
def isinf(x: Tensor) -> Tensor:
    """Whether `x` is infinite."""


@elementwise("isfinite", zero_grad=True)
def isfinite(x: Tensor) -> Tensor:
    """Whether `x` is neither infinite nor nan."""


def _switch_dtypes(operands: tuple[dtypes.Operand, ...]) -> tuple[tuple[str, ...], str]:
    dtype = dtypes.promote(operands[1:])
    return (operands[0][0], dtype, dtype), dtype


@elementwise(
    "where",
    grad=lambda g, out, condition, x, y: (zero, ops.switch(condition, g, 0), ops.switch(condition, 0, g)),
    dtypes_like=_switch_dtypes,
)
def switch(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`x` where `condition` is not zero, else `y`.  Both are computed; `ifelse` computes one."""


@elementwise(dtypes_like=common)
def clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`x` limited to the range from `low` to `high`."""
    return minimum(maximum(x, low), high)


# ---- rounding ----


@elementwise("ceil", zero_grad=True)
def ceil(x: Tensor) -> Tensor:
    """The smallest whole number not below `x`."""


@elementwise("floor", zero_grad=True)
def floor(x: Tensor) -> Tensor:
    """The largest whole number not above `x`."""


@elementwise("trunc", zero_grad=True)
def trunc(x: Tensor) -> Tensor:
    """`x` without its fraction."""


@elementwise("rint", zero_grad=True)
def round_half_to_even(x: Tensor) -> Tensor:
    """The nearest whole number; halves go to the even one."""


@elementwise(zero_grad=True, dtypes_like=of_reals)
def round_half_away_from_zero(x: Tensor) -> Tensor:
    """The nearest whole number; halves go away from zero."""
    nearest = trunc(x)
    return switch(ge(abs_(x - nearest), 0.5), nearest + sgn(x), nearest)


@function
def round(x: Any, mode: str = "half_to_even") -> Variable:
    """`x` rounded; `mode` is "half_to_even" or "half_away_from_zero"."""
    rounders = {"half_to_even": round_half_to_even, "half_away_from_zero": round_half_away_from_zero}
    if mode not in rounders:
        raise ValueError(f"round: mode must be one of {', '.join(rounders)}, got {mode!r}")
    out: Variable = rounders[mode](x)
    return out


# What Theano calls them.
inv = reciprocal
where = switch
bitwise_and, bitwise_or, bitwise_xor, bitwise_not = and_, or_, xor, invert
