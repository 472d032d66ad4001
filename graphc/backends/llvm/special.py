"""The error function."""

from __future__ import annotations

from graphc.backends.llvm.coefficients import ERF, ERF_TAIL
from graphc.backends.llvm.exponentials import one_plus, quadratic, reduced
from graphc.backends.llvm.term import Term, at_most, choose, polynomial, power_of_two, product

# Beyond it erf is 1.
SATURATED = {"float64": 6.0, "float32": 4.0}

# The derivative of the polynomial near 1, by which what rounding took away from x**2 counts.
SLOPE = -0.22


def erf(x: Term) -> Term:
    """An odd polynomial up to 1, from there ``1 - exp(-x**2) Q(x)`` (Abramowitz & Stegun, 7.1.5 and 7.1.23)."""
    dtype = x.kind.dtype
    a = at_most(abs(x), SATURATED[dtype])
    square, missing = product(a, a)
    near = x.fma(missing.fma(SLOPE, polynomial(square, ERF[dtype])), x)
    _, shifted, r, _ = reduced(-square)
    gauss = one_plus(r, quadratic(r) - missing) * power_of_two(shifted)
    far = 1.0 - gauss * polynomial((a - 2.0) / (a + 2.0), ERF_TAIL[dtype])
    return choose(a > 1.0, far.with_sign_of(x), near)
