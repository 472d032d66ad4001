"""The power function, ``exp(y log(x))`` with a logarithm of about 65 bits.

Sources: fdlibm's e_pow.c (Sun 1993) for the special cases; Dekker, A floating-point technique for extending the
available precision (1971), for sums and products of pairs of numbers.
"""

from __future__ import annotations

import math

from graphc.backends.llvm.coefficients import EXP, LOG, LOG_TAIL
from graphc.backends.llvm.exponentials import LOG2, RANGES, quadratic, reduced
from graphc.backends.llvm.logarithms import split
from graphc.backends.llvm.term import (
    Term,
    choose,
    clamp,
    polynomial,
    power_of_two,
    product,
    scale,
    sum_of_ordered,
    whole,
)

Pair = tuple[Term, Term]

TWO_THIRDS = 0.6666666666666666, 3.700743415417188e-17

# log(3/2) in two pieces, the first a multiple of 2**-33 as that of log(2) is.
LOG_3_2 = 0.4054651081096381, -1.4737129240254587e-12

# Significands above it, about the square root of 3/2, are divided by 3/2.
MIDDLE = 1.225


def log_pair(x: Term) -> Pair:
    """The logarithm of a positive number as the sum of two: ``x = 2**k c (1 + s) / (1 - s)``, where `c` is 1 or 3/2."""
    k, m = split(x)
    upper = m > MIDDLE
    c = choose(upper, m.constant(1.5), 1.0)
    f, g = m - c, m + c
    g_error = m - (g - c)
    # s = f / g and what the division left over
    reciprocal = 1.0 / g
    s = f * reciprocal
    p, p_error = product(s, g)
    s_error = (((f - p) - p_error) - s * g_error) * reciprocal
    z, z_error = product(s, s)
    z_error = (s + s).fma(s_error, z_error)
    # log((1 + s) / (1 - s)) = 2 s + s z w,  w = 2/3 + z W(z)
    w, w_error = sum_of_ordered(x.constant(TWO_THIRDS[0]), z * polynomial(z, LOG_TAIL["float64"]))
    w_error = w_error + TWO_THIRDS[1]
    zw, zw_error = product(z, w)
    zw_error = z.fma(w_error, z_error.fma(w, zw_error))
    szw, szw_error = product(s, zw)
    szw_error = s.fma(zw_error, s_error.fma(zw, szw_error))
    total, error = sum_of_ordered(s + s, szw)
    error = error + s_error.fma(2.0, szw_error)
    # The sum of k log(2) and log(c) is exact in their first pieces.
    high, low = LOG2["float64"]
    whole = k.fma(high, choose(upper, m.constant(LOG_3_2[0]), 0.0))
    log, log_error = sum_of_ordered(whole, total)
    return log, log_error + (k.fma(low, error) + choose(upper, m.constant(LOG_3_2[1]), 0.0))


def exp_pair(x: Term, rest: Term) -> Term:
    """``exp(x + rest)``."""
    limits = RANGES["float64"]
    high, low = LOG2["float64"]
    x = clamp(x, limits.low, limits.high)
    k = x.fma(1 / math.log(2), x.format.magic) - x.format.magic
    r = k.fma(-high, x)
    rest = k.fma(-low, rest)
    one, error = sum_of_ordered(x.constant(1.0), r)
    t = r + rest
    return scale(one + (error + (rest + quadratic(t))), k)


def with_ends(a: Term, log: Term) -> Term:
    """The logarithm of a magnitude, which may be 0, infinite or nan."""
    return choose(a.equals(0.0), -math.inf, choose(a.compare("ueq", math.inf), a, log))


def power_of_magnitude(a: Term, y: Term) -> Term:
    """``a ** y`` for ``a >= 0``, but for the cases that are 1."""
    log, log_error = log_pair(a)
    log = with_ends(a, log)
    exponent, error = product(y, log)
    error = y.fma(log_error, error)
    # Infinities have no error, nan has none but nan.
    error = choose(abs(exponent) < 1e4, error, 0.0)
    return exp_pair(exponent, error)


def narrow_power_of_magnitude(a: Term, y: Term) -> Term:
    """The same for float32, computed in float64, whose bits suffice without pairs."""
    k, m = split(a)
    k, m, y = (number.converted("fpext", "float64") for number in (k, m, y))
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    log = s.fma(z.fma(polynomial(z, LOG["power"]), 2.0), k * math.log(2))
    log = with_ends(a.converted("fpext", "float64"), log)
    # Beyond these limits a float32 is 0 or infinite, but a float64 is not.
    _, shifted, r, _ = reduced(clamp(y * log, -110.0, 95.0))
    result = (1.0 + (r * r).fma(polynomial(r, EXP["power"]), r)) * power_of_two(shifted)
    return result.converted("fptrunc", a.kind.dtype)


def pow(x: Term, y: Term) -> Term:
    """``x ** y`` with the special cases of C99, annex F.9.4.4."""
    a = abs(x)
    magnitude = (power_of_magnitude if x.kind.bits == 64 else narrow_power_of_magnitude)(a, y)
    magnitude = choose(a.equals(1.0) | y.equals(0.0), 1.0, magnitude)
    is_whole = whole(y).equals(abs(y))
    is_even = whole(y * 0.5).equals(abs(y * 0.5))
    signed = choose(is_even, magnitude, magnitude.with_sign_of(x))
    # A negative number that is not -inf has no real power that is not whole.
    is_real = is_whole | x.compare("uge", 0.0) | x.equals(-math.inf)
    return choose(is_real, choose(is_whole, signed, magnitude), math.nan)
