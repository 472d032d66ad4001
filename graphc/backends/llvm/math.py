"""Elementary functions as LLVM instructions on vectors of float32 and float64: the table of them.

    texts, declarations = definitions([("exp", Kind("float64", 8))], target)
    b.call(symbol("exp", kind), kind, x)             # in the body of another function of that module

Each is computed by a polynomial on a reduced argument, without a table in memory or a library, so that it can be
inlined into a loop and fused with its neighbours.  Infinities, nan, signed zeros and subnormal numbers are those of
C99's annex F.  The largest errors, in units in the last place, stand in tests/backends/llvm/test_math.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from graphc.backends.llvm import exponentials, logarithms, powers, special, trigonometry
from graphc.backends.llvm.emit import Builder, Kind, Value
from graphc.backends.llvm.target import Target
from graphc.backends.llvm.term import Term

Unary = Callable[[Builder, Value], Value]
Binary = Callable[[Builder, Value, Value], Value]


def deg2rad(x: Term) -> Term:
    """Degrees to radians."""
    return x * (math.pi / 180.0)


def rad2deg(x: Term) -> Term:
    """Radians to degrees."""
    return x * (180.0 / math.pi)


def _unary(formula: Callable[[Term], Term]) -> Unary:
    return lambda b, x: formula(Term(b, x)).value


def _binary(formula: Callable[[Term, Term], Term]) -> Binary:
    return lambda b, x, y: formula(Term(b, x), Term(b, y)).value


FUNCTIONS: dict[str, Unary] = {
    formula.__name__: _unary(formula)
    for formula in (
        exponentials.exp, exponentials.exp2, exponentials.expm1, exponentials.decay, exponentials.sigmoid,
        exponentials.sinh, exponentials.cosh, exponentials.tanh,
        logarithms.log, logarithms.log2, logarithms.log10, logarithms.log1p, logarithms.softplus,
        logarithms.arcsinh, logarithms.arccosh, logarithms.arctanh,
        trigonometry.sin, trigonometry.cos, trigonometry.tan,
        trigonometry.arcsin, trigonometry.arccos, trigonometry.arctan,
        deg2rad, rad2deg, special.erf,
    )
}  # fmt: skip

BINARY_FUNCTIONS: dict[str, Binary] = {
    formula.__name__: _binary(formula) for formula in (powers.pow, trigonometry.arctan2, logarithms.logaddexp)
}

# These call a function of the module for angles that are too large for their own reduction.
WITH_LARGE_ANGLES = ("sin", "cos", "tan")


def symbol(name: str, kind: Kind) -> str:
    """What the function for an op and a kind is called in a module: ``exp.v8f64``."""
    return f"{name}.{kind.suffix}"


def inlined(name: str, b: Builder, *args: Value) -> Value:
    """The instructions of an op, where they are needed."""
    return BINARY_FUNCTIONS[name](b, *args) if name in BINARY_FUNCTIONS else FUNCTIONS[name](b, *args)


def definitions(wanted: Iterable[tuple[str, Kind]], target: Target) -> tuple[list[str], dict[str, None]]:
    """The texts of the functions for ops and kinds, each once, and the declarations that they need."""
    wanted = list(dict.fromkeys(wanted))
    texts = []
    declarations: dict[str, None] = {}
    large = dict.fromkeys(kind for name, kind in wanted if name in WITH_LARGE_ANGLES)
    if large:
        functions = [trigonometry.payne_hanek(), *(trigonometry.large_angles_function(k, target) for k in large)]
        for text, needed in functions:
            texts.append(text)
            declarations |= needed
    for name, kind in wanted:
        b = Builder(target)
        texts.append(_definition(b, name, kind))
        declarations |= b.declarations
    return texts, declarations


def _definition(b: Builder, name: str, kind: Kind) -> str:
    arguments = [Value("%x", kind), Value("%y", kind)][: 1 + (name in BINARY_FUNCTIONS)]
    result = inlined(name, b, *arguments)
    head = f"define internal {kind} @{symbol(name, kind)}({', '.join(map(str, arguments))}) alwaysinline nounwind {{"
    return "\n".join([head, *b.lines, f"  ret {result}", "}", ""])
