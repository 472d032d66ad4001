"""SymPy proves what the rules claim over the real numbers.

Both sides of every rule that is a pattern are translated and their difference is simplified to 0, for real operands, or
for positive ones where the rule divides, takes logarithms or fractional powers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sympy as sp

from graphc.graph.pattern import Pattern
from graphc.rewrites.engine.rule import Rule
from graphc.rewrites.specialize import SPECIALIZE

TRANSLATION: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "true_div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "pow": lambda a, b: a**b,
    "sqr": lambda a: a**2,
    "sqrt": sp.sqrt,
    "reciprocal": lambda a: 1 / a,
    "abs_": sp.Abs,
    "sgn": sp.sign,
    "exp": sp.exp,
    "log": sp.log,
    "exp2": lambda a: 2**a,
    "log2": lambda a: sp.log(a, 2),
    "expm1": lambda a: sp.exp(a) - 1,
    "log1p": lambda a: sp.log(1 + a),
    "log1mexp": lambda a: sp.log(1 - sp.exp(a)),
    "logaddexp": lambda a, b: sp.log(sp.exp(a) + sp.exp(b)),
    "sigmoid": lambda a: 1 / (1 + sp.exp(-a)),
    "softplus": lambda a: sp.log(1 + sp.exp(a)),
    "sin": sp.sin, "cos": sp.cos, "tan": sp.tan, "sinh": sp.sinh, "cosh": sp.cosh, "tanh": sp.tanh,
    "arcsin": sp.asin, "arccos": sp.acos, "arctan": sp.atan,
    "arcsinh": sp.asinh, "arccosh": sp.acosh, "arctanh": sp.atanh,
    "switch": lambda condition, a, b: a if condition else b,
    # Guards against nan and inf: operands are taken from the domain, and are finite.
    "ge": lambda a, b: True, "le": lambda a, b: True, "eq": lambda a, b: False,
    "and_": lambda a, b: a and b,
    "maximum": sp.Max, "minimum": sp.Min,
}  # fmt: skip

# Logic on integers: a truth table of all pairs of three bits is the proof.
LOGIC: dict[str, Callable[..., int]] = {
    "and_": lambda a, b: a & b, "or_": lambda a, b: a | b, "xor": lambda a, b: a ^ b, "invert": lambda a: ~a,
    "int_div": lambda a, b: a // b,
}  # fmt: skip

PATTERNS = list({r.text: r for r in SPECIALIZE.rules if r.left is not None}.values())


def translated(pattern: Any, symbols: dict[str, Any], table: dict[str, Callable[..., Any]]) -> Any:
    if not isinstance(pattern, Pattern):
        return sp.nsimplify(pattern) if table is TRANSLATION and pattern == pattern else pattern
    if pattern.op is None:
        return symbols[pattern.name]
    return table[str(pattern.op)](*(translated(p, symbols, table) for p in pattern.operands))


def names(pattern: Any) -> set[str]:
    if not isinstance(pattern, Pattern):
        return set()
    return {pattern.name} if pattern.op is None else set().union(*map(names, pattern.operands))


def ops(pattern: Any) -> set[str]:
    if not isinstance(pattern, Pattern) or pattern.op is None:
        return set()
    return {str(pattern.op)}.union(*map(ops, pattern.operands))


@pytest.mark.parametrize("rule", PATTERNS, ids=[r.text for r in PATTERNS])
def test_both_sides_are_equal_over_the_reals(rule: Rule) -> None:
    if ops(rule.left) & set(LOGIC):
        for a in range(-8, 8):
            for b in range(-8, 8):
                values = dict(zip(sorted(names(rule.left)), (a, b), strict=False))
                assert translated(rule.left, values, LOGIC) == translated(rule.right, values, LOGIC)
        return
    assumed = {"positive": True} if ops(rule.left) & {"log", "log1p", "pow", "log1mexp", "arccosh"} else {"real": True}
    if rule.text.startswith("true_div(x, abs_(x))"):
        assumed = {"real": True, "nonzero": True}
    symbols = {name: sp.Symbol(name, **assumed) for name in names(rule.left)}
    if rule.text.startswith(("log1p(neg(exp(x)))", "log(neg(expm1(x)))")):
        symbols = {"x": -sp.Symbol("x", positive=True)}
    difference = translated(rule.left, symbols, TRANSLATION) - translated(rule.right, symbols, TRANSLATION)
    assert is_zero(difference), f"SymPy is left with {difference}"


def is_zero(difference: Any) -> bool:
    """Whether SymPy can show that an expression is 0, by one of its ways to simplify."""
    forms: list[Callable[[Any], Any]] = [
        sp.simplify,
        lambda d: sp.simplify(sp.expand_log(sp.together(d.rewrite(sp.exp)), force=True)),
        lambda d: sp.simplify(sp.logcombine(sp.expand(d), force=True)),
        lambda d: sp.simplify(sp.expand(sp.powsimp(d, force=True))),
        lambda d: sp.log(sp.simplify(sp.exp(d))),
    ]
    return any(form(difference) == 0 for form in forms) or is_constant_zero(difference)


def is_constant_zero(difference: Any) -> bool:
    """The derivative is 0, and so is the value at one point."""
    (symbol,) = difference.free_symbols if len(difference.free_symbols) == 1 else (None,)
    if symbol is None or sp.simplify(sp.diff(difference, symbol)) != 0:
        return False
    return bool(abs(sp.N(difference.subs(symbol, sp.Rational(3, 4)), 50)) < sp.Float("1e-45"))
