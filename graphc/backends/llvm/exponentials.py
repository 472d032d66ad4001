"""Exponentials and hyperbolic functions.

Sources: Cody & Waite, Software Manual for the Elementary Functions (1980), chapters 6, 9 and 13: the argument is
reduced by a multiple of log 2 that is kept in two pieces.  Tang, Table-driven implementation of the exponential
function (1989), where that multiple is a fraction whose power is looked up; of the expm1 function (1992), for the order
in which the pieces are added.  Muller, Elementary Functions (2016), chapters 4, 6 and 11.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from graphc.backends.llvm.coefficients import EXP, EXP_EIGHTHS, EXP_SIXTEENTHS, PARTS_OF_2, TANH
from graphc.backends.llvm.term import (
    Term,
    at_most,
    by_whole_vectors,
    choose,
    clamp,
    limited,
    looked_up,
    nearest,
    polynomial,
    power_of_two,
    scale,
    sum_of_ordered,
)


class Range(NamedTuple):
    """Where functions of a format begin and end.

    Attributes
    ----------
    low, high: exp is 0 below and infinite above.
    saturated: exp(-saturated) is nothing beside 1.
    tanh_high: tanh is 1 above.
    sinh_high: sinh is infinite above, and 2**(k - 2) of it is not.
    negligible: the square of a smaller number is nothing beside it.
    """

    low: float
    high: float
    saturated: float
    tanh_high: float
    sinh_high: float
    negligible: float


RANGES = {
    "float64": Range(-746.0, 710.0, 40.0, 19.07, 710.6, 2.0**-54),
    "float32": Range(-104.0, 89.0, 20.0, 9.02, 89.7, 2.0**-25),
}

# log(2) in two positive pieces: multiples of the first by an exponent are exact.
LOG2 = {
    "float64": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
    "float32": (0.693145751953125, 1.4286068203094172e-06),
}


# For `exp_by_table`.
NEAR = EXP_EIGHTHS | EXP_SIXTEENTHS


def reduced(x: Term, parts: int = 1) -> tuple[Term, Term, Term, Term]:
    """``x = k log(2) + r + rest``, ``|r| <= log(2) / 2 / parts``: `k`, what `nearest` gave, `r`, `rest`.

    `k` is a multiple of ``1 / parts``, which is a power of 2.
    """
    high, low = LOG2[x.kind.dtype]
    magic = x.format.magic / parts
    shifted = x.fma(1 / math.log(2), magic)
    k = shifted - magic
    exact = k.fma(-high, x)
    r = k.fma(-low, exact)
    return k, shifted, r, k.fma(-low, exact - r)


def one_plus(r: Term, rest: Term) -> Term:
    """``1 + r + rest`` where only the last sum is rounded."""
    total, error = sum_of_ordered(r.constant(1.0), r)
    return total + (error + rest)


def quadratic(r: Term) -> Term:
    """``exp(r) - 1 - r``."""
    return (r * r) * polynomial(r, EXP[r.kind.dtype])


def exp(x: Term, careful: bool = False) -> Term:
    """``2**k exp(r)``; `careful` makes the error smaller, for float32."""
    if x.builder.target.has_avx512:
        return by_whole_vectors(lambda x: exp_by_table(x, careful), x)
    limits = RANGES[x.kind.dtype]
    k, _, r, _ = reduced(clamp(x, limits.low, limits.high))
    return scale(one_plus(r, quadratic(r)), k)


def exp_by_table(x: Term, careful: bool) -> Term:
    """`exp` of a whole vector."""
    k, shifted, r, _ = reduced(x, parts_of_2(x))
    return from_table(k, shifted, r, careful)


def parts_of_2(x: Term) -> int:
    """How many powers of 2 a register holds."""
    return len(PARTS_OF_2[x.kind.dtype][0])


def from_table(k: Term, shifted: Term, r: Term, careful: bool = False) -> Term:
    """``2**floor(k) 2**(j / n) exp(r)``: the `n` powers are in registers, `j` are the last bits of `k`.

    The powers are rounded, which makes most of the error, unless what they lack is added: 0.99 ULP for float32, which
    will do if nothing is to come after, and 1.01 for float64, which will not.

    So small an `r` needs half of the polynomial.  Where `k` is vast, infinite or nan, the scaling gives infinity, 0 or
    nan, whatever positive number is scaled; `r` may then be anything, and is limited so that it is a positive one.
    """
    coefficients = NEAR[r.kind.dtype]
    r = limited(r, coefficients[0])  # about 1/2, and in a register already
    powers, missing = PARTS_OF_2[r.kind.dtype]
    power = looked_up(powers, shifted)
    expm1 = (r * r).fma(polynomial(r, coefficients), r)
    if careful or r.kind.dtype == "float64":
        return scale(power + power.fma(expm1, looked_up(missing, shifted)), k)
    return scale(power.fma(expm1, power), k)


def exp2(x: Term) -> Term:
    """``2**k exp(r log 2)`` for ``x = k + r``."""
    if x.builder.target.has_avx512:
        return by_whole_vectors(exp2_by_table, x)
    format = x.format
    x = clamp(x, -float(format.bias + format.mantissa + 2), float(format.bias + 2))
    k, _ = nearest(x)
    r = (x - k) * math.log(2)
    return scale(one_plus(r, quadratic(r)), k)


def exp2_by_table(x: Term) -> Term:
    """`exp2` of a whole vector."""
    k, shifted = nearest(x, parts_of_2(x))
    return from_table(k, shifted, (x - k) * math.log(2))


def quarter_expm1(x: Term) -> Term:
    """``(exp(x) - 1) / 4`` for an `x` within limits; unlike `exp` it cannot overflow too early.

    The largest terms, ``2**k``, -1, ``2**k r`` and ``2**k r**2 / 2``, may cancel: they are added with their errors.
    """
    _, shifted, r, missing = reduced(x)
    unit = power_of_two(shifted, -2)
    half, *others = EXP[x.kind.dtype]
    square = r * r
    rest = (square * polynomial(r, (half - 0.5, *others)) + missing) * unit
    first, first_error = sum_of_ordered(unit, -0.25)
    second, second_error = sum_of_ordered(first, unit * r)
    third, third_error = sum_of_ordered(second, unit * 0.5 * square)
    return third + (first_error + second_error + third_error + rest)


def expm1(x: Term) -> Term:
    """``exp(x) - 1``."""
    limits = RANGES[x.kind.dtype]
    quarter = quarter_expm1(clamp(x, -limits.saturated, limits.sinh_high))
    return choose(abs(x) < limits.negligible, x, quarter * 4.0)


def tanh(x: Term) -> Term:
    """``n / d``, ``n = U - 1 + u (U + 1)``, ``d = U + 1 + u (U - 1)``, for ``U = exp(2 k log(2))``, ``u = tanh(s)``.

    ``|x| = k log(2) + s``, `k` is a multiple of 1/2.  That is the law of addition, of which ``(U - 1) / (U + 1)`` is
    ``tanh(k log(2))``; where `k` is 0 it is `u` itself.  Of large `x` it is ``1/2 + (2 n - d) / (2 d)``, of which the
    second term is less, and so its error: ``2 n - d = U - 3 + u (U + 3)``.
    """
    limit = RANGES[x.kind.dtype].tanh_high
    k, shifted, s, _ = reduced(at_most(abs(x), limit), parts=2)
    square = s * s
    u = (s * square).fma(polynomial(square, TANH[x.kind.dtype]), s)
    unit = power_of_two(shifted)
    is_large = k >= 1.0
    part, of_n, by = (choose(is_large, x.constant(y), z) for y, z in ((0.5, 0.0), (3.0, 1.0), (0.5, 1.0)))
    quotient = u.fma(unit + of_n, unit - of_n) / u.fma(unit - 1.0, unit + 1.0)
    return quotient.fma(by, part).with_sign_of(x)


def decay(x: Term) -> Term:
    """``exp(-|x|)``, for functions that add an error of their own."""
    return exp(-abs(x), careful=True)


def sigmoid(x: Term) -> Term:
    """``1 / (1 + e)`` or ``e / (1 + e)`` for ``e = exp(-|x|)``, which is never large; the error of ``1 + e`` counts."""
    e = decay(x)
    below, error = sum_of_ordered(x.constant(1.0), e)
    q = choose(x >= 0.0, 1.0, e) / below
    return (q * error).fma(-1.0, q)


def sinh(x: Term) -> Term:
    """``(e + e / (e + 1)) / 2`` for ``e = exp(|x|) - 1``."""
    limits = RANGES[x.kind.dtype]
    a = abs(x)
    quarter = quarter_expm1(at_most(a, limits.sinh_high))
    result = (quarter + quarter / quarter.fma(4.0, 1.0)) * 2.0
    return choose(a < limits.negligible, x, result.with_sign_of(x))


def cosh(x: Term) -> Term:
    """``(e + 1 / e) / 2`` for ``e = exp(|x|)``, of which a quarter is computed."""
    _, shifted, r, _ = reduced(at_most(abs(x), RANGES[x.kind.dtype].sinh_high))
    quarter = one_plus(r, quadratic(r)) * power_of_two(shifted, -2)
    return (quarter + 0.0625 / quarter) * 2.0
