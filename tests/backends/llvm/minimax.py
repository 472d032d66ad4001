"""Find the polynomials of graphc/backends/llvm/coefficients.py:  python -m tests.backends.llvm.minimax > that file

Each is the minimax polynomial of a smooth function on a short interval by Remez's exchange algorithm (Muller,
Elementary Functions, chapter 3), of the lowest degree that keeps the error, relative to the function it serves,
below the tolerance of the dtype.  A fit is computed with 50 digits, then rounded; the short
polynomials of float32 one coefficient at a time, so that the others make up for what rounding changed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import mpmath as mp

Function = Callable[[Any], Any]

# Half a unit in the last place is 2**-53 and 2**-24; a polynomial may add a few hundredths of one.
TOLERANCES = {"float64": mp.mpf("2") ** mp.mpf("-55.7"), "float32": mp.mpf("2") ** mp.mpf("-27.5")}
GRID = 400


@dataclass(frozen=True)
class Fit:
    """Approximate `function` on an interval; errors count as ``weight(x)`` times the difference."""

    name: str
    says: str
    function: Function
    low: Any
    high: Any
    weight: Function
    tolerances: dict[str, Any]


def chebyshev(count: int, low: Any, high: Any) -> list[Any]:
    """Points that crowd towards the ends of an interval, as the extrema of Chebyshev's polynomials do."""
    return [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * k / (count - 1)) for k in range(count)]


def remez(fit: Fit, degree: int) -> tuple[list[Any], Any]:
    """The coefficients of the minimax polynomial, lowest first, and its largest weighted error."""
    grid = chebyshev(GRID, fit.low, fit.high)
    points = [grid[k * (GRID - 1) // (degree + 1)] for k in range(degree + 2)]
    values, weights = [fit.function(x) for x in grid], [fit.weight(x) for x in grid]
    for _ in range(12):
        rows = [[*(x**j for j in range(degree + 1)), (-1) ** i / fit.weight(x)] for i, x in enumerate(points)]
        *coefficients, _level = mp.lu_solve(mp.matrix(rows), mp.matrix([fit.function(x) for x in points]))
        errors = [(mp.polyval(coefficients[::-1], x) - y) * w for x, y, w in zip(grid, values, weights, strict=True)]
        extrema = alternating(errors)
        while len(extrema) > degree + 2:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        heights = [abs(errors[k]) for k in extrema]
        if len(extrema) < degree + 2 or max(heights) < mp.mpf("1.01") * min(heights):
            break
        points = [grid[k] for k in extrema]
    return coefficients, max(map(abs, errors))


def alternating(errors: list[Any]) -> list[int]:
    """Where the error is largest between two changes of its sign."""
    found: list[int] = []
    for k, error in enumerate(errors):
        if not found or mp.sign(error) != mp.sign(errors[found[-1]]):
            found.append(k)
        elif abs(error) > abs(errors[found[-1]]):
            found[-1] = k
    return found


def to_dtype(number: Any, key: str) -> float:
    """The nearest number of a dtype."""
    packed = "f" if key == "float32" else "d"
    return float(struct.unpack(packed, struct.pack(packed, float(number)))[0])


def rounded(fit: Fit, degree: int, key: str) -> tuple[list[float], Any]:
    """Coefficients that are numbers of a dtype, lowest first, and the largest weighted error."""
    kept: list[float] = []

    def left(x: Any) -> Any:
        return (fit.function(x) - mp.polyval(kept[::-1], x)) / x ** len(kept)

    def scaled(power: int, x: Any) -> Any:
        return fit.weight(x) * x**power

    if key == "float32" and fit.low > 0:
        for power in range(degree + 1):
            rest = replace(fit, function=left, weight=partial(scaled, power))
            kept.append(to_dtype(remez(rest, degree - power)[0][0], key))
    else:
        kept = [to_dtype(coefficient, key) for coefficient in remez(fit, degree)[0]]
    grid = chebyshev(GRID, fit.low, fit.high)
    return kept, max(abs(mp.polyval(kept[::-1], x) - fit.function(x)) * fit.weight(x) for x in grid)


def lowest(fit: Fit, tolerance: Any) -> int:
    """The lowest degree that keeps the tolerance."""
    return next(degree for degree in range(1, 25) if remez(fit, degree)[1] < tolerance)


# ---- the functions: each is smooth where its formula is 0 / 0, where a series takes its place ----


def exponential(r: Any) -> Any:
    """``q`` in ``exp(r) = 1 + r + r**2 q(r)``."""
    return (mp.expm1(r) - r) / r**2 if abs(r) > mp.mpf("1e-15") else mp.mpf(1) / 2 + r / 6


def exponential_weight(r: Any) -> Any:
    """What an error of `q` is worth."""
    return r * r * mp.exp(-r) + mp.mpf("1e-30")


def logarithm(z: Any) -> Any:
    """``R`` in ``log((1 + s) / (1 - s)) = s (2 + z R(z))``, ``z = s**2``."""
    if z < mp.mpf("1e-15"):
        return mp.mpf(2) / 3 + z * 2 / 5 + z * z * 2 / 7
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) / s - 2) / z


def logarithm_tail(z: Any) -> Any:
    """``W`` in ``log((1 + s) / (1 - s)) = s (2 + z (2/3 + z W(z)))``."""
    if z < mp.mpf("1e-10"):
        return mp.mpf(2) / 5 + z * 2 / 7 + z * z * 2 / 9
    return (logarithm(z) - mp.mpf(2) / 3) / z


def sine(z: Any) -> Any:
    """``S`` in ``sin(r) = r + r z S(z)``, ``z = r**2``."""
    if z < mp.mpf("1e-12"):
        return -mp.mpf(1) / 6 + z / 120
    r = mp.sqrt(z)
    return (mp.sin(r) / r - 1) / z


def cosine(z: Any) -> Any:
    """``C`` in ``cos(r) = 1 - z / 2 + z**2 C(z)``."""
    if z < mp.mpf("1e-10"):
        return mp.mpf(1) / 24 - z / 720
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def arctangent(z: Any) -> Any:
    """``A`` in ``arctan(t) = t + t z A(z)``, ``z = t**2``."""
    if z < mp.mpf("1e-12"):
        return -mp.mpf(1) / 3 + z / 5
    t = mp.sqrt(z)
    return (mp.atan(t) / t - 1) / z


def arcsine(z: Any) -> Any:
    """``A`` in ``arcsin(s) = s + s z A(z)``, ``z = s**2``."""
    if z < mp.mpf("1e-12"):
        return mp.mpf(1) / 6 + z * 3 / 40
    s = mp.sqrt(z)
    return (mp.asin(s) / s - 1) / z


def error_function(z: Any) -> Any:
    """``P`` in ``erf(x) = x + x P(z)``, ``z = x**2``."""
    if z < mp.mpf("1e-20"):
        return 2 / mp.sqrt(mp.pi) * (1 - z / 3) - 1
    x = mp.sqrt(z)
    return mp.erf(x) / x - 1


# The half line is mapped to an interval by u = (x - c) / (x + c).
ERF_CENTRE = mp.mpf(2)


def from_interval(u: Any) -> Any:
    return ERF_CENTRE * (1 + u) / (1 - u)


def to_interval(x: Any) -> Any:
    return (x - ERF_CENTRE) / (x + ERF_CENTRE)


def scaled_complement(u: Any) -> Any:
    """``Q`` in ``erf(x) = 1 - exp(-x**2) Q(u)``."""
    x = from_interval(u)
    return mp.exp(x * x) * mp.erfc(x)


# Functions of squares are fitted from here on; it is not 0, which would be divided by.
NEAR_ZERO = mp.mpf("1e-6")


def hyperbolic_tangent(z: Any) -> Any:
    """``Q`` in ``tanh(s) = s + s z Q(z)``, ``z = s**2``."""
    s = mp.sqrt(z)
    return (mp.tanh(s) / s - 1) / z


def fits() -> list[Fit]:
    """Every polynomial."""
    both = TOLERANCES
    r = mp.log(2) / 2 * mp.mpf("1.001")
    r8, r16 = r / 8, r / 16
    s = mp.mpf("0.2001")
    t = mp.mpf("1.002")
    eighth = (mp.sqrt(2) - 1) ** 2 * t
    right = (mp.pi / 4) ** 2 * t
    return [
        Fit("EXP", "exp(r) = 1 + r + r**2 q(r),  |r| <= log(2) / 2", exponential, -r, r,
            exponential_weight, both | {"power": mp.mpf(2) ** -32}),
        Fit("EXP_EIGHTHS", "the same,  |r| <= log(2) / 16", exponential, -r8, r8,
            exponential_weight, {"float64": both["float64"]}),
        Fit("EXP_SIXTEENTHS", "the same,  |r| <= log(2) / 32", exponential, -r16, r16,
            exponential_weight, {"float32": both["float32"]}),
        Fit("TANH", "tanh(s) = s + s z q(z),  z = s**2,  |s| <= log(2) / 4", hyperbolic_tangent, NEAR_ZERO, r * r / 4,
            lambda z: z + mp.mpf("1e-30"), both),
        Fit("LOG", "log((1 + s) / (1 - s)) = s (2 + z q(z)),  z = s**2 <= 0.04", logarithm, NEAR_ZERO, s * s,
            lambda z: (z + mp.mpf("1e-30")) / 2, both | {"float64": mp.mpf(2) ** -60, "power": mp.mpf(2) ** -40}),
        Fit("LOG_TAIL", "the same = s (2 + z (2/3 + z q(z))),  |s| <= 1/7", logarithm_tail, NEAR_ZERO, t / 49,
            lambda z: z * z / 2 + mp.mpf("1e-9"), {"float64": mp.mpf(2) ** -68}),
        Fit("SIN", "sin(r) = r + r z q(z),  z = r**2,  |r| <= pi / 4", sine, NEAR_ZERO, right,
            lambda z: z + mp.mpf("1e-30"), both),
        Fit("COS", "cos(r) = 1 - z / 2 + z**2 q(z)", cosine, NEAR_ZERO, right,
            lambda z: z * z + mp.mpf("1e-30"), both),
        Fit("ARCTAN", "arctan(t) = t + t z q(z),  z = t**2,  |t| <= tan(pi / 8)", arctangent, NEAR_ZERO, eighth,
            lambda z: z + mp.mpf("1e-30"), both),
        Fit("ARCSIN", "arcsin(s) = s + s z q(z),  z = s**2,  |s| <= 1/2", arcsine, NEAR_ZERO, t / 4,
            lambda z: z + mp.mpf("1e-30"), both),
        Fit("ERF", "erf(x) = x + x q(z),  z = x**2,  |x| <= 1", error_function, NEAR_ZERO, t,
            lambda z: 1 / (error_function(z) + 1), both),
        Fit("ERF_TAIL", "erf(x) = 1 - exp(-x**2) q(u),  u = (x - 2) / (x + 2),  1 <= x <= 6", scaled_complement,
            to_interval(mp.mpf("0.99")), to_interval(mp.mpf(6)),
            lambda u: mp.exp(-(from_interval(u) ** 2)), both),
    ]  # fmt: skip


HEADER = '''"""Coefficients of minimax polynomials, lowest power first.  Written by tests/backends/llvm/minimax.py."""

# "power" is for float32 computed in float64.
'''


def table(fit: Fit) -> str:
    """The lines of one polynomial."""
    lines = [f"# {fit.says}", f"{fit.name} = {{"]
    for key, tolerance in fit.tolerances.items():
        coefficients, error = rounded(fit, lowest(fit, tolerance), key)
        lines.append(f'    "{key}": (  # error 2**{float(mp.log(error, 2)):.1f}')
        lines += [f"        {coefficient!r}," for coefficient in coefficients]
        lines.append("    ),")
    return "\n".join([*lines, "}"])


def digits(name: str, says: str, number: Any, bits: int) -> str:
    """A number as an integer of so many bits."""
    with mp.workdps(500):
        text = f"{int(mp.floor(number() * mp.mpf(2) ** bits)):X}"
    lines = [f'    "{text[k : k + 100]}"' for k in range(0, len(text), 100)]
    lines[-1] += ","
    return "\n".join([f"# {says}", f"{name} = int(", *lines, "    16,", ")"])


def parts_of_2(parts: dict[str, int]) -> str:
    """Powers of 2 by fractions, each as two numbers of a dtype: the nearest one, and what it lacks."""
    lines = ["# 2**(j / n) for j = 0, 1, ... n - 1: the nearest numbers, and what they lack", "PARTS_OF_2 = {"]
    for key, count in parts.items():
        exact = [mp.mpf(2) ** (mp.mpf(j) / count) for j in range(count)]
        nearest = [to_dtype(number, key) for number in exact]
        missing = [to_dtype(number - near, key) for number, near in zip(exact, nearest, strict=True)]
        lines.append(f'    "{key}": (')
        for numbers in (nearest, missing):
            lines += ["        (", *(f"            {number!r}," for number in numbers), "        ),"]
        lines.append("    ),")
    return "\n".join([*lines, "}"])


def main() -> None:
    mp.mp.dps = 50
    print(HEADER)
    print("\n\n".join(table(fit) for fit in fits()))
    print()
    print(parts_of_2({"float64": 8, "float32": 16}))
    print()
    print(digits("TWO_OVER_PI", "2 / pi times 2**1216", lambda: 2 / mp.pi, 1216))
    print()
    print(digits("HALF_PI", "pi / 2 times 2**191, a number of 192 bits", lambda: mp.pi / 2, 191))
    print("HALF_PI_BITS = 192")


if __name__ == "__main__":
    main()
