"""The laws of arithmetic: cancellation, powers, inverse pairs, comparisons, and logic.

Few of these hold for floats as they do for real numbers.  Each is in the class that it belongs to: ``x - x -> 0`` hides
a nan, so it is algebraic and off by default; ``log(exp(x)) -> x`` only avoids an overflow, so it is stable.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.pattern import wildcards
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.conversion import Cast, cast
from graphc.ops.elementwise import (
    abs_,
    add,
    and_,
    eq,
    ge,
    gt,
    int_div,
    invert,
    is_root,
    le,
    lt,
    maximum,
    minimum,
    mul,
    neq,
    or_,
    pow,
    reciprocal,
    sgn,
    sqr,
    sqrt,
    sub,
    switch,
    true_div,
    xor,
)
from graphc.ops.shape import ShapeOf
from graphc.ops.transcendental import (
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctanh,
    cos,
    cosh,
    exp,
    exp2,
    expm1,
    log,
    log1p,
    log2,
    sin,
    sinh,
    tan,
    tanh,
)
from graphc.rewrites.choices import CHOICES, product_of_switch
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.matching import value_of_constant
from graphc.rewrites.engine.rule import rule, rules
from graphc.rewrites.products import product_of, terms_of

x, y, z = wildcards("x y z")
NAN = float("nan")


def whole(context: Context, **found: Variable) -> bool:
    """All are integers or bools."""
    return all(dtypes.is_discrete(v.dtype) for v in found.values())


def real(context: Context, **found: Variable) -> bool:
    """All are floats."""
    return all(dtypes.is_float(v.dtype) for v in found.values())


def inexact(context: Context, **found: Variable) -> bool:
    """All are floats or complex."""
    return all(dtypes.is_inexact(v.dtype) for v in found.values())


# ---- 17: whole sums and products ----


@rule(17, "algebraic", true_div, mul)
def cancel_factors(context: Context, node: Apply) -> Variable | None:
    """a * b / b -> a, anywhere in a product; wrong where b is 0, inf or nan"""
    product = product_of(node.outputs[0])
    if product is None:
        return None
    changed = False
    for below, d in product.below():
        for above, n in product.above():
            if n is d:
                below.variable = above.variable = None
                changed = True
                break
    return product.expression() if changed else None


@rule(17, "algebraic", add, sub)
def cancel_terms(context: Context, node: Apply) -> Variable | None:
    """a + b - b -> a, anywhere in a sum; wrong where b is inf or nan, and where digits cancel"""
    total = terms_of(node.outputs[0])
    if total is None:
        return None
    before = len(total.negative)
    for term in list(total.negative):
        if term in total.positive:
            total.positive.remove(term)
            total.negative.remove(term)
    return None if len(total.negative) == before else total.expression(node.outputs[0].dtype)


@rule(17, "rounding", mul)
def merge_constant_factors(context: Context, node: Apply) -> Variable | None:
    """2 * (x * 3) -> 6 * x; the order of roundings changes, not their number"""
    for constant, other in (node.inputs, node.inputs[::-1]):
        c = value_of_constant(constant)
        inner = other.owner
        if c is None or inner is None or inner.op is not mul or other.dtype != node.outputs[0].dtype:
            continue
        for second, rest in (inner.inputs, inner.inputs[::-1]):
            d = value_of_constant(second)
            if d is None or rest.dtype != other.dtype or not _moderate(c) or not _moderate(d):
                continue
            merged = np.asarray(c, other.dtype) * np.asarray(d, other.dtype)
            return mul(Constant(TensorType(other.dtype, ()), merged), rest)  # type: ignore[no-any-return]
    return None


@rule(17, "exact", add, sub)
def merge_integer_terms(context: Context, node: Apply) -> Variable | None:
    """2 + (x + 3) -> x + 5, 2 - (x - 3) -> 5 - x, for integers: their arithmetic is modular"""
    dtype = node.outputs[0].dtype
    return _merged_terms(node) if dtype != "bool" and dtypes.is_discrete(dtype) else None


@rule(17, "stable", add, sub)
def merge_constant_terms(context: Context, node: Apply) -> Variable | None:
    """2 + (x + 3) -> x + 5, 1 - (1 - x) -> x, if the sum of the constants is exact: then one rounding is left"""
    return _merged_terms(node) if dtypes.is_float(node.outputs[0].dtype) else None


def _merged_terms(node: Apply) -> Variable | None:
    """``c + sign * x`` for a constant added to, or taken from, the sum of another and x."""
    if not any([x.owner is not None and x.owner.op in (add, sub) for x in node.inputs]):
        return None
    dtype = node.outputs[0].dtype
    outer = _constant_and_term(node.outputs[0], dtype)
    inner = None if outer is None else _constant_and_term(outer[2], dtype)
    if outer is None or inner is None:
        return None
    total, sign, x = outer[0] + outer[1] * inner[0], outer[1] * inner[1], inner[2]
    if total == 0:
        return x if sign > 0 else -x
    number = _exactly(total, dtype)
    if number is None:
        return None
    c = Constant(TensorType(dtype, ()), number)
    return c + x if sign > 0 else c - x  # type: ignore[no-any-return]


def _constant_and_term(total: Variable, dtype: str) -> tuple[Fraction, int, Variable] | None:
    """c, the sign of x, and x, if `total` is ``c + x``, ``x - c`` or ``c - x`` in this dtype."""
    node = total.owner
    if node is None or node.op not in (add, sub) or total.dtype != dtype:
        return None
    sign = 1 if node.op is add else -1
    first, second = node.inputs
    for constant, x, sign_of_c, sign_of_x in ((second, first, sign, 1), (first, second, 1, sign)):
        c = value_of_constant(constant)
        if c is not None and x.dtype == dtype and math.isfinite(c):
            return sign_of_c * Fraction(c), sign_of_x, x
    return None


def _exactly(number: Fraction, dtype: str) -> Any:
    """The number in a dtype, of integers modulo their range; None if it is not one of its floats."""
    if dtypes.is_discrete(dtype):
        return np.asarray(int(number) % 2**64, "uint64").astype(dtype)
    if abs(number) > float(np.finfo(dtype).max):
        return None
    found = np.asarray(float(number), dtype)
    return found if Fraction(float(found)) == number else None


def _moderate(c: Any) -> bool:
    """A number that takes nothing out of the range of a float."""
    return not isinstance(c, complex) and 2.0**-20 <= abs(c) <= 2.0**20


@rule(18, "algebraic", mul, true_div)
def zero_times(context: Context, node: Apply) -> Variable | None:
    """0 * x -> 0 and 0 / x -> 0; nan where x is inf, nan or (below the line) 0"""
    first, second = node.inputs
    if value_of_constant(first) == 0 or (node.op is mul and value_of_constant(second) == 0):
        return _number(0, node)
    return None


def _number(value: Any, node: Apply) -> Variable:
    """A number in the dtype of the result; the driver gives it its shape."""
    return Constant(TensorType(node.outputs[0].dtype, ()), value)


WHOLE_UNITS = rules(18, "exact", (int_div(x, 1), x, whole))

# ---- 19: powers ----


@rule(19, "rounding", pow)
def power_by_multiplication(context: Context, node: Apply) -> Variable | None:
    """x ** n -> products, for whole n from -4 to 8; any other power stays one (x ** -8 would be off by 5 ULP)"""
    base, exponent = node.inputs
    n = value_of_constant(exponent)
    if n is None or isinstance(n, complex) or n != int(n if abs(n) < 100 else 0) or abs(n) < 2 or not -4 <= n <= 8:
        return None
    if base.dtype != node.outputs[0].dtype or (n < 0 and dtypes.is_discrete(base.dtype)):
        return None
    power = _product_power(base, abs(int(n)))
    return reciprocal(power) if n < 0 else power  # type: ignore[no-any-return]


def _product_power(base: Variable, n: int) -> Any:
    """Repeated squaring."""
    result: Any = None
    square: Any = base
    while n:
        if n & 1:
            result = square if result is None else result * square
        n >>= 1
        if n:
            square = sqr(square)
    return result


@rule(19, "exact", pow)
def trivial_power(context: Context, node: Apply) -> Variable | None:
    """x ** 0 -> 1 and 1 ** x -> 1 (of nan too, says IEEE 754)"""
    base, exponent = node.inputs
    trivial = value_of_constant(exponent) == 0 or value_of_constant(base) == 1
    return _number(1, node) if trivial else None


@rule(19, "exact", pow)
def root(context: Context, node: Apply) -> Variable | None:
    """x ** 0.5 -> sqrt(x), which it is by definition"""
    return sqrt(cast(node.inputs[0], node.outputs[0].dtype)) if is_root(node) else None


POWERS = [
    *root,
    *rules(19, "exact", (x * x, sqr(x)), (pow(x, 1), x, inexact)),
    *rules(
        19,
        "rounding",
        (pow(x, 2), sqr(x)),
        (pow(x, 3), sqr(x) * x),
        (pow(x, -1), reciprocal(x), inexact),
        (pow(x, -2), reciprocal(sqr(x)), inexact),
    ),
    # A sum of exponents rounds to the precision of the exponents: exp(350.1) * exp(349.7) has error 1e-16, but
    # exp(699.8) one of 5e-14.  So these are laws of real numbers only.
    *rules(
        19,
        "algebraic",
        (exp(x) * exp(y), exp(x + y)),
        (pow(x, y) * pow(x, z), pow(x, y + z)),
        (x / exp(y), x * exp(-y)),
    ),
]

# ---- 20: a function and its inverse ----

INVERSES = [
    *rules(
        20,
        "stable",
        (log(exp(x)), x),
        (log1p(expm1(x)), x),
        (sqrt(sqr(x)), abs_(x)),
        (arcsinh(sinh(x)), x),
        (sinh(arcsinh(x)), x),
        (tan(arctan(x)), x),
        (arctanh(tanh(x)), x),
        (arccosh(cosh(x)), abs_(x)),
        (log2(exp2(x)), x),
        (reciprocal(reciprocal(x)), x, real),
        # Outside its domain the inner function is nan, and so is the whole.
        (exp(log(x)), switch(ge(x, 0), x, NAN), real),
        (exp2(log2(x)), switch(ge(x, 0), x, NAN), real),
        (sqr(sqrt(x)), switch(ge(x, 0), x, NAN), real),
        (expm1(log1p(x)), switch(ge(x, -1), x, NAN), real),
        (exp(log1p(x)), switch(ge(x, -1), 1 + x, NAN), real),
        (cosh(arccosh(x)), switch(ge(x, 1), x, NAN), real),
        (tanh(arctanh(x)), switch(le(abs_(x), 1), x, NAN), real),
        (sin(arcsin(x)), switch(le(abs_(x), 1), x, NAN), real),
        (cos(arccos(x)), switch(le(abs_(x), 1), x, NAN), real),
    ),
    *rules(20, "exact", (invert(invert(x)), x), (abs_(abs_(x)), abs_(x)), (abs_(-x), abs_(x), real)),
]

# ---- 21: absolute values ----

ABSOLUTES = [
    *rules(21, "exact", (abs_(sqr(x)), sqr(x), real)),
    *rules(21, "algebraic", (x / abs_(x), sgn(x), real)),  # 0 / 0 is nan, the sign of 0 is 0
]

# Two absolute values are dearer than one.
ABSOLUTE_PRODUCTS = rules(
    21,
    "exact",
    (abs_(x) * abs_(y), abs_(x * y), real),
    (abs_(x) / abs_(y), abs_(x / y), real),
)

# ---- 22: distribution, where a quotient goes ----

(w,) = wildcards("w")
DISTRIBUTION = rules(
    22,
    "algebraic",  # wrong where a divisor is 0 or inf; for sigmoids, which are positive, see rule 29
    (((x / y) + z) * y, x + z * y),
    (((x / y) - z) * y, x - z * y),
    # The second step of ((a / x + b / y) * x) * y.
    ((x + (z / w) * y) * w, x * w + z * y),
    ((x - (z / w) * y) * w, x * w - z * y),
)

# ---- 24: comparisons whose outcome is known ----

COMPARISONS = [
    *rules(24, "exact", (maximum(x, x), x), (minimum(x, x), x)),
]


@rule(24, "exact", lt, gt, le, ge, eq, neq)
def compare_with_itself(context: Context, node: Apply) -> Variable | None:
    """x < x -> 0; x <= x -> 1, for integers (a nan is not equal to itself)"""
    a, b = node.inputs
    if a is not b or not (node.op in (lt, gt) or dtypes.is_discrete(a.dtype)):
        return None
    return _number(node.op in (le, ge, eq), node)


@rule(27, "algebraic", le, ge, eq, neq)
def equal_to_itself(context: Context, node: Apply) -> Variable | None:
    """x == x -> 1, x <= x -> 1, x != x -> 0, for floats too; wrong where x is nan"""
    a, b = node.inputs
    return _number(node.op is not neq, node) if a is b else None


@rule(24, "exact", ge, lt, maximum)
def size_is_not_negative(context: Context, node: Apply) -> Variable | None:
    """shape_i(x) >= 0 -> 1; maximum(shape_i(x), 0) -> shape_i(x)"""
    pairs = [tuple(node.inputs)] if node.op is not maximum else [tuple(node.inputs), tuple(node.inputs[::-1])]
    for size, bound in pairs:
        if size.owner is None or not isinstance(size.owner.op, ShapeOf):
            continue
        value = value_of_constant(bound)
        if value is not None and value <= 0:
            return size if node.op is maximum else _number(node.op is ge, node)
    return None


# ---- 26: conversions ----


@rule(26, "exact", Cast)
def merge_casts(context: Context, node: Apply) -> Variable | None:
    """cast(cast(x, wide), dtype) -> cast(x, dtype), if nothing was lost on the way"""
    (middle,) = node.inputs
    if middle.owner is None or not isinstance(middle.owner.op, Cast):
        return None
    source = middle.owner.inputs[0]
    if not _keeps_values(source.dtype, middle.dtype):
        return None
    merged: Variable = node.op(source)
    return merged


def _keeps_values(source: str, target: str) -> bool:
    """Whether every value of one dtype is one of the other (NumPy calls int64 to float64 safe: it is not)."""
    if source in ("int64", "uint64") and not dtypes.is_discrete(target):
        return False
    return bool(np.can_cast(source, target, "safe"))


# ---- 27: logic ----

LOGIC = rules(
    27,
    "exact",
    (and_(x, x), x),
    (or_(x, x), x),
    (or_(x, 0), x),
    (xor(x, 0), x),
)


@rule(27, "exact", and_, or_, xor)
def logic_with_constants(context: Context, node: Apply) -> Variable | None:
    """x & 0 -> 0, x & true -> x, x | true -> true, x ^ x -> 0"""
    a, b = node.inputs
    if node.op is xor:
        return _number(0, node) if a is b else None
    for constant, other in ((a, b), (b, a)):
        value = value_of_constant(constant)
        if value is None:
            continue
        if node.op is and_ and value == 0:
            return _number(0, node)
        if node.outputs[0].dtype == "bool" and value == 1:
            return other if node.op is and_ else _number(True, node)
    return None


# What holds for the graph as the user wrote it, before any formula is recognised.
LAWS = [
    *trivial_power,
    *ABSOLUTES,
    *DISTRIBUTION,
    *COMPARISONS,
    *compare_with_itself,
    *equal_to_itself,
    *size_is_not_negative,
    *CHOICES,
    *merge_casts,
    *LOGIC,
    *logic_with_constants,
    *WHOLE_UNITS,
    *merge_integer_terms,
    *zero_times,
    *cancel_factors,
    *cancel_terms,
]

# What avoids an overflow, or hides a nan.
SAFER = [*INVERSES, *merge_constant_terms, *product_of_switch]

# What is only cheaper.
CHEAPER = [*ABSOLUTE_PRODUCTS, *POWERS, *power_by_multiplication, *merge_constant_factors]
