"""Exponentials, logarithms, trigonometric and hyperbolic functions and the error function, element by element.

A processor has no instruction for most of them: they are approximated, and rewriting takes care to keep them accurate.
Gradients are written for the cost's gradient `g` with respect to the result `out`.  Source: Abramowitz & Stegun,
Handbook of Mathematical Functions, chapters 4 (elementary functions) and 7 (error function).
"""

from __future__ import annotations

import numpy as np

from graphc.graph.bindings import ops
from graphc.ops.declare import Tensor, elementwise
from graphc.ops.declare import real as of_reals
from graphc.ops.elementwise import sqr, sqrt, switch

LN2 = float(np.log(2.0))
LN10 = float(np.log(10.0))


# ---- exponentials and logarithms ----


@elementwise("exp", grad=lambda g, out, x: (g * out,))
def exp(x: Tensor) -> Tensor:
    """The exponential function."""


@elementwise("exp2", grad=lambda g, out, x: (g * out * LN2,))
def exp2(x: Tensor) -> Tensor:
    """``2 ** x``."""


@elementwise("expm1", grad=lambda g, out, x: (g * exp(x),))
def expm1(x: Tensor) -> Tensor:
    """``exp(x) - 1``, accurate for small `x`."""


@elementwise("log", grad=lambda g, out, x: (g / x,))
def log(x: Tensor) -> Tensor:
    """The natural logarithm."""


@elementwise("log2", grad=lambda g, out, x: (g / (x * LN2),))
def log2(x: Tensor) -> Tensor:
    """The logarithm to base 2."""


@elementwise("log10", grad=lambda g, out, x: (g / (x * LN10),))
def log10(x: Tensor) -> Tensor:
    """The logarithm to base 10."""


@elementwise("log1p", grad=lambda g, out, x: (g / (1 + x),))
def log1p(x: Tensor) -> Tensor:
    """``log(1 + x)``, accurate for small `x`."""


@elementwise(
    "logaddexp", grad=lambda g, out, x, y: (g * exp(x - out), g * exp(y - out)), commutative=True
)
def logaddexp(x: Tensor, y: Tensor) -> Tensor:
    """``log(exp(x) + exp(y))`` without overflow."""


@elementwise(grad=lambda g, out, x: (g / -expm1(-x),), dtypes_like=of_reals)
def log1mexp(x: Tensor) -> Tensor:
    """``log(1 - exp(x))`` for negative `x`, accurate near 0 and far from it (Maechler 2012, log1mexp)."""
    return switch(x > -LN2, log(-expm1(x)), log1p(-exp(x)))


# ---- trigonometric and hyperbolic functions ----


@elementwise("sin", grad=lambda g, out, x: (g * ops.cos(x),))
def sin(x: Tensor) -> Tensor:
    """The sine of an angle in radians."""


@elementwise("cos", grad=lambda g, out, x: (-g * sin(x),))
def cos(x: Tensor) -> Tensor:
    """The cosine of an angle in radians."""


@elementwise("tan", grad=lambda g, out, x: (g * (1 + sqr(out)),))
def tan(x: Tensor) -> Tensor:
    """The tangent of an angle in radians."""


@elementwise("arcsin", grad=lambda g, out, x: (g / sqrt(1 - sqr(x)),))
def arcsin(x: Tensor) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is `x`."""


@elementwise("arccos", grad=lambda g, out, x: (-g / sqrt(1 - sqr(x)),))
def arccos(x: Tensor) -> Tensor:
    """The angle in [0, pi] whose cosine is `x`."""


@elementwise("arctan", grad=lambda g, out, x: (g / (1 + sqr(x)),))
def arctan(x: Tensor) -> Tensor:
    """The angle in (-pi/2, pi/2) whose tangent is `x`."""


@elementwise(
    "arctan2", grad=lambda g, out, y, x: (g * x / (sqr(x) + sqr(y)), -g * y / (sqr(x) + sqr(y)))
)
def arctan2(y: Tensor, x: Tensor) -> Tensor:
    """The angle in [-pi, pi] of the point (x, y)."""


@elementwise("sinh", grad=lambda g, out, x: (g * ops.cosh(x),))
def sinh(x: Tensor) -> Tensor:
    """The hyperbolic sine."""


@elementwise("cosh", grad=lambda g, out, x: (g * sinh(x),))
def cosh(x: Tensor) -> Tensor:
    """The hyperbolic cosine."""


@elementwise("tanh", grad=lambda g, out, x: (g * (1 - sqr(out)),))
def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""


@elementwise("arcsinh", grad=lambda g, out, x: (g / sqrt(1 + sqr(x)),))
def arcsinh(x: Tensor) -> Tensor:
    """The inverse of `sinh`."""


@elementwise("arccosh", grad=lambda g, out, x: (g / (sqrt(x - 1) * sqrt(x + 1)),))
def arccosh(x: Tensor) -> Tensor:
    """The inverse of `cosh` for ``x >= 1``."""


@elementwise("arctanh", grad=lambda g, out, x: (g / (1 - sqr(x)),))
def arctanh(x: Tensor) -> Tensor:
    """The inverse of `tanh` for ``|x| < 1``."""


# ---- the error function ----


@elementwise("scipy.special:erf", grad=lambda g, out, x: (g * (2 * np.pi**-0.5) * exp(-sqr(x)),), dtypes_like=of_reals)
def erf(x: Tensor) -> Tensor:
    """The error function: the integral of ``2 / sqrt(pi) * exp(-t**2)`` from 0 to `x`."""


# ---- degrees ----


@elementwise("deg2rad", grad=lambda g, out, x: (g * (np.pi / 180),))
def deg2rad(x: Tensor) -> Tensor:
    """An angle of `x` degrees in radians."""


@elementwise("rad2deg", grad=lambda g, out, x: (g * (180 / np.pi),))
def rad2deg(x: Tensor) -> Tensor:
    """An angle of `x` radians in degrees."""
