"""Logarithms and the inverse hyperbolic functions.

``x = 2**k m`` with ``3/4 <= m < 3/2``, ``f = m - 1``, ``s = f / (2 + f)``; then ``log(m) = log((1 + s) / (1 - s))`` is
an odd function of `s` whose series converges fast.  Sources: Cody & Waite, Software Manual for the Elementary Functions
(1980), chapter 5; the arrangement that loses no bits is that of fdlibm's e_log.c and s_log1p.c (Sun 1993) and, for
other bases, of FreeBSD's e_log2.c.
"""

from __future__ import annotations

import math

from graphc.backends.llvm.coefficients import LOG
from graphc.backends.llvm.exponentials import LOG2, decay
from graphc.backends.llvm.term import (
    Number,
    Term,
    avx512,
    choose,
    leading,
    polynomial,
    power_of_two,
    sum_of_ordered,
)

# Above these, sqrt(x**2 + 1) and sqrt(x**2 - 1) are x.
LARGE = {"float64": 2.0**28, "float32": 2.0**13}

# Above these, 1 is nothing beside x.
VAST = {"float64": 2.0**55, "float32": 2.0**26}

# 1 / log(b) and log(2) / log(b) for the bases 2 and 10, each with what is missing from its double.
BINARY = (1.4426950408889634, 2.0355273740931033e-17), (1.0, 0.0)
DECIMAL = (0.4342944819032518, 1.098319650216765e-17), (0.3010299956639812, -2.8037281277851704e-18)


def split(x: Term, may_be_subnormal: bool = True) -> tuple[Term, Term]:
    """The exponent `k` and the significand `m` in [3/4, 3/2) of a positive number.

    AVX-512's instructions do more: the exponent of 0 is -inf, that of infinity inf (both with the significand 1), and
    the significand of negative numbers is nan, so that formulas need no exceptions for them.
    """
    if x.is_full_avx512:
        m = avx512("getmant", x, immediate=0b1111)
        return avx512("getexp", x) - avx512("getexp", m), m
    mantissa, bias = x.format.mantissa, x.format.bias
    lift = mantissa + 2
    is_subnormal = x < x.format.tiny
    stored = (choose(is_subnormal, x * 2.0**lift, x) if may_be_subnormal else x).bits()
    above = stored - (((bias - 1) << mantissa) + (1 << (mantissa - 1)))  # the bits of 3/4
    m = (stored - (above & -(1 << mantissa))).floats()
    # An integer becomes a float without a conversion, which AVX2 lacks: as the low bits of 2**mantissa.
    counted = (above + ((bias + 1) << mantissa)) >> mantissa
    k = (counted | ((bias + mantissa) << mantissa)).floats() - (2.0**mantissa + bias + 1)
    return choose(is_subnormal, k - float(lift), k) if may_be_subnormal else k, m


def significand_log(f: Term) -> tuple[Term, Term, Term]:
    """``log(1 + f) = f - h + tail``: `h`, which is ``f**2 / 2``, and the `tail`; `s`."""
    s = f / (f + 2.0)
    z = s * s
    h = f * 0.5 * f
    return h, s * (h + z * polynomial(z, LOG[f.kind.dtype])), s


def natural(k: Term, f: Term, missing: Term | None = None) -> Term:
    """``k log(2) + log(1 + f)``; `missing` is what rounding took away from `f`."""
    high, low = LOG2[f.kind.dtype]
    h, tail, s = significand_log(f)
    tail = k.fma(low, tail)
    if missing is not None:
        # The derivative is 1 / (1 + f) = (1 - s) / (1 + s), about the square of 1 - s.
        tail = ((1.0 - s) * (1.0 - s)).fma(missing, tail)
    return k.fma(high, f - (h - tail))


def with_specials(x: Term, result: Term) -> Term:
    """The logarithm of `x` where `result` is right for positive finite numbers."""
    if x.is_full_avx512:
        return result
    result = choose(x.compare("ueq", math.inf), x, result)
    result = choose(x < 0.0, math.nan, result)
    return choose(x.equals(0.0), -math.inf, result)


def log(x: Term) -> Term:
    """The natural logarithm."""
    k, m = split(x)
    return with_specials(x, natural(k, m - 1.0))


def log_to_base(x: Term, base: tuple[tuple[float, float], tuple[float, float]]) -> Term:
    """The sum of ``k log(2) / log(b)`` and ``log(m) / log(b)``, the latter from heads whose product is exact."""
    (reciprocal, reciprocal_rest), (octave, octave_rest) = base
    format = x.format
    head_bits = format.precision - format.precision // 2 - 1
    reciprocal_head = format.head(reciprocal, head_bits)
    octave_head = format.head(octave, format.precision - 11)
    k, m = split(x)
    f = m - 1.0
    h, tail, _ = significand_log(f)
    head = leading(f - h)
    rest = (f - head) - h + tail
    first = head * reciprocal_head
    second = (rest + head) * (reciprocal - reciprocal_head + reciprocal_rest) + rest * reciprocal_head
    whole = k * octave_head
    total, error = sum_of_ordered(whole, first)
    octave_rest += octave - octave_head
    if octave_rest:
        second = k.fma(octave_rest, second)
    result = total + (error + second)
    if x.is_full_avx512:
        return choose(abs(k).equals(math.inf), k, result)
    return with_specials(x, result)


def log2(x: Term) -> Term:
    """The logarithm to base 2, exact for powers of 2."""
    return log_to_base(x, BINARY)


def log10(x: Term) -> Term:
    """The logarithm to base 10."""
    return log_to_base(x, DECIMAL)


def log1p(x: Term, octaves: Number = 0.0) -> Term:
    """``log(1 + x)``, and as many times log(2) more; the error of ``1 + x`` is put right in first order."""
    u = 1.0 + x
    k, m = split(u, may_be_subnormal=False)
    missing = (x - (u - 1.0)) * power_of_two(x.format.magic - k)
    missing = choose(x > VAST[x.kind.dtype], 0.0, missing)
    if isinstance(octaves, Term):
        k = k + octaves
    return with_specials(u, natural(k, m - 1.0, missing)).with_sign_of(x)


def log1p_of_unit(e: Term) -> Term:
    """``log(1 + e)`` for ``0 <= e <= 1``, where no rounding comes before the logarithm."""
    far = e >= 0.5
    return natural(choose(far, e.constant(1.0), 0.0), choose(far, (e - 1.0) * 0.5, e))


def softplus(x: Term) -> Term:
    """``max(x, 0) + log(1 + exp(-|x|))``."""
    return choose(x > 0.0, x, 0.0) + log1p_of_unit(decay(x))


def logaddexp(x: Term, y: Term) -> Term:
    """The larger and ``log(1 + exp(-|x - y|))``."""
    distance = choose(x.equals(y), 0.0, abs(x - y))
    return choose(x > y, x, y) + log1p_of_unit(decay(distance))


def arcsinh(x: Term) -> Term:
    """``log(|x| + sqrt(x**2 + 1))`` with the sign of `x`; for large `x` it is ``log(2 |x|)``."""
    a = abs(x)
    square = a * a
    large = a > LARGE[x.kind.dtype]
    above = choose(large, a - 1.0, a + square / (1.0 + (square + 1.0).sqrt()))
    return log1p(above, octaves=choose(large, a.constant(1.0), 0.0)).with_sign_of(x)


def arccosh(x: Term) -> Term:
    """``log(x + sqrt(x**2 - 1))``; for large `x` it is ``log(2 x)``."""
    t = x - 1.0
    large = x > LARGE[x.kind.dtype]
    above = choose(large, t, t + (t * (t + 2.0)).sqrt())
    result = log1p(above, octaves=choose(large, t.constant(1.0), 0.0))
    return choose(x < 1.0, math.nan, result)


def arctanh(x: Term) -> Term:
    """``log((1 + |x|) / (1 - |x|)) / 2`` with the sign of `x`."""
    a = abs(x)
    return (log1p(a * 2.0 / (1.0 - a)) * 0.5).with_sign_of(x)
