r"""The notation of mathematics, in LaTeX: ``\sinh\left(x^{7} + e^{\frac{y}{2}}\right)``.

What only arranges data for the machine is not shown: conversions to floats, `fill`, new axes.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.variable import Constant, Variable
from graphc.ops.broadcasting import Fill, SumTo
from graphc.ops.control import IfElse
from graphc.ops.conversion import Cast
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.identities import Identity
from graphc.ops.indexing import IncSubtensor, Subtensor
from graphc.ops.matmul import Dot
from graphc.ops.nnet import AlongAxis
from graphc.ops.reduction import ArgExtremum, Reduction
from graphc.ops.shape import ShapeOf

from .phrase import (
    ATOM,
    BIT_AND,
    BIT_OR,
    BIT_XOR,
    CHOICE,
    COMPARISON,
    LOWEST,
    POWER,
    PRODUCT,
    SERIES,
    SIGN,
    SUM,
    TIGHTER,
    Hole,
    Phrase,
    Text,
    Wording,
)
from .print_op import Print
from .printers import IgnorePrinter, OperatorPrinter, PatternPrinter, enclosing, indices, listed, made_by, of_several
from .style import Style

# Functions that LaTeX has a command for.
COMMANDS = frozenset("sin cos tan arcsin arccos arctan sinh cosh tanh log max min".split())
GREEK = frozenset(
    """alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau
    upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega""".split()
)
ACCENTS = frozenset("hat bar tilde vec dot ddot prime".split())
ESCAPES = str.maketrans(
    {
        "\\": r"\backslash ", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
        "^": r"\wedge ", "~": r"\sim ", " ": r"\ ", "\n": r"\ ",
    }
)  # fmt: skip


# ---- names ----


def name_text(name: str) -> str:
    r"""A name in LaTeX: ``alpha`` -> ``\alpha``, ``W1`` -> ``W_{1}``, ``y_hat`` -> ``\hat{y}``, ``loss`` in roman."""
    match = _NAME.fullmatch(name)
    if match is None:
        return rf"\mathrm{{{name.translate(ESCAPES)}}}"
    text = _word(match["stem"])
    subscripts = [match["number"]] if match["number"] else []
    for word in filter(None, match["rest"].split("_")):
        if word in ACCENTS:
            text = f"{text}'" if word == "prime" else rf"\{word}{{{text}}}"
        else:
            subscripts.append(word)
    return f"{text}_{{{', '.join(map(_word, subscripts))}}}" if subscripts else text


# Letters, a number, words after underscores: `W1`, `w_in`, `y_hat_2`.
_NAME = re.compile(r"(?P<stem>[^\W\d_]+)(?P<number>\d*)(?P<rest>(?:_[^\W_]+)*)")


def _word(word: str) -> str:
    if word in GREEK:
        return rf"\{word}"
    return word if len(word) == 1 or word.isdigit() else rf"\mathrm{{{word}}}"


def function_name(name: str) -> str:
    r"""The name of a function: ``\sin``, ``\operatorname{softplus}``."""
    return rf"\{name}" if name in COMMANDS else rf"\operatorname{{{name.translate(ESCAPES)}}}"


# ---- leaves ----


def _leaf(x: Variable) -> Phrase:
    if x.name:
        return Phrase((name_text(x.name),))
    if not isinstance(x, Constant):
        return Phrase((rf"\langle\mathrm{{{x.type.kind}}}\rangle",))
    if x.ndim == 0:
        return number(x.data[()])
    if x.ndim <= 2 and 0 < x.data.size <= 16:
        rows = np.atleast_2d(x.data)
        cells = [" & ".join("".join(map(str, number(v).parts)) for v in row) for row in rows]
        return Phrase((environment("bmatrix", cells),))
    shape = r" \times ".join(map(str, x.data.shape))
    return Phrase((rf"\mathrm{{constant}}_{{{shape}}}",))


def environment(name: str, rows: list[str]) -> str:
    """Rows of a matrix, or of equations."""
    text = r" \\ ".join(rows)
    return rf"\begin{{{name}}} {text} \end{{{name}}}"


def number(value: Any) -> Phrase:
    r"""A number: ``2`` for 2.0, ``3 \cdot 10^{-5}`` for 3e-05, ``\infty``."""
    if isinstance(value, np.complexfloating):
        parts = [*number(value.real).parts, " + " if value.imag >= 0 else " - ", *number(abs(value.imag)).parts, "i"]
        return Phrase(tuple(parts), SUM)
    text = str(value)
    level = SUM if text.startswith("-") else ATOM
    if text.lstrip("-") in _WORDS:
        return Phrase((text.replace(text.lstrip("-"), _WORDS[text.lstrip("-")]),), level)
    digits, _, exponent = text.partition("e")
    digits = digits.removesuffix(".0")
    if not exponent:
        return Phrase((digits,), level)
    return Phrase((rf"{digits} \cdot 10^{{{int(exponent)}}}",), min(level, PRODUCT))


_WORDS = {"inf": r"\infty", "nan": r"\mathrm{NaN}", "True": r"\mathrm{true}", "False": r"\mathrm{false}"}


# ---- ops ----


def call(name: str, *arguments: Variable) -> Phrase:
    """The function in brackets of their own size."""
    return Phrase((rf"{name}\left(", *listed(map(Hole, arguments)), r"\right)"))


def named(name: str) -> PatternPrinter:
    """A function of one operand with a sign of its own."""
    return enclosing(rf"{name}\left(#1\right)")


def comparison(operator: str) -> PatternPrinter:
    """``x < y``."""
    above = COMPARISON + TIGHTER
    return PatternPrinter((f"#1 {operator} #2", above, above), precedence=COMPARISON)


def _function(x: Variable) -> Wording:
    node = made_by(x)
    return of_several(x, call(function_name(node.op.name or type(node.op).__name__), *node.inputs))


def _product(x: Variable) -> Wording:
    """Arrays are multiplied element by element, which has a sign of its own."""
    first, second = made_by(x).inputs
    sign = r" \odot " if _is_array(first) and _is_array(second) else r" \cdot "
    return Phrase((Hole(first, PRODUCT), sign, Hole(second, PRODUCT + TIGHTER)), PRODUCT)


def _is_array(x: Variable) -> bool:
    """Whether `x` is shown as something that has elements: a number that fills an array is shown as a number."""
    while x.owner is not None and isinstance(x.owner.op, Fill):
        x = x.owner.inputs[1]
    return x.ndim > 0


def _dot(x: Variable) -> Wording:
    """Matrices stand side by side, the inner product of vectors has a dot."""
    first, second = made_by(x).inputs
    sign = r" \cdot " if first.ndim == second.ndim == 1 else r" \, "
    return Phrase((Hole(first, PRODUCT), sign, Hole(second, PRODUCT + TIGHTER)), PRODUCT)


def _cast(x: Variable) -> Wording:
    (y,) = made_by(x).inputs
    return call(function_name(x.dtype), y) if dtypes.is_discrete(x.dtype) else y


def _axes(axis: int | tuple[int, ...] | None) -> str:
    if axis is None:
        return ""
    axes = (axis,) if isinstance(axis, int) else axis
    return rf"_{{\mathrm{{axis}}={', '.join(map(str, axes))}}}"


def _reduction(x: Variable) -> Wording:
    node = made_by(x)
    op = node.op
    assert isinstance(op, Reduction | ArgExtremum)
    if op.name in ("sum", "prod"):
        return Phrase((rf"\{op.name}{_axes(op.axis)} ", Hole(node.inputs[0], PRODUCT)), SERIES)
    return call(function_name(op.name) + _axes(op.axis), node.inputs[0])


def _along_axis(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, AlongAxis)
    return call(function_name(node.op.name) + _axes(node.op.axis), node.inputs[0])


def _dimshuffle(x: Variable) -> Wording:
    """New axes and dropped ones are not shown, and the order of axes as a transposition."""
    node = made_by(x)
    assert isinstance(node.op, DimShuffle)
    (y,) = node.inputs
    kept = [axis for axis in node.op.new_order if isinstance(axis, int)]
    if kept == sorted(kept):
        return y
    if len(kept) == 2:
        return Phrase((Hole(y, POWER + TIGHTER), r"^{\top}"), POWER)
    return call(rf"\operatorname{{transpose}}_{{{', '.join(map(str, kept))}}}", y)


def _subtensor(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, Subtensor)
    y, *arguments = node.inputs
    return Phrase((Hole(y, ATOM), r"\left[", *indices(node.op.pattern, arguments, "{:}"), r"\right]"))


def _inc_subtensor(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, IncSubtensor)
    y, value, *arguments = node.inputs
    target = (Hole(y, ATOM), r"\left[", *indices(node.op.pattern, arguments, "{:}"), r"\right]")
    return Phrase((rf"{function_name(node.op.verb)}\left(", *target, ", ", Hole(value), r"\right)"))


def _shape_of(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, ShapeOf)
    return call(rf"\operatorname{{shape}}_{{{node.op.axis}}}", *node.inputs)


def _cases(condition: Variable, then: Variable, otherwise: Variable) -> Phrase:
    head, middle, tail = r"\begin{cases} ", r" & \text{if } ", r" & \text{otherwise} \end{cases}"
    return Phrase((head, Hole(then), middle, Hole(condition), r" \\ ", Hole(otherwise), tail), CHOICE)


def _switch(x: Variable) -> Wording:
    return _cases(*made_by(x).inputs)


def _if_else(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, IfElse)
    condition, *branches = node.inputs
    return _cases(condition, branches[x.index or 0], branches[node.op.count + (x.index or 0)])


# ---- the style ----


def _layout(text: Text) -> str:
    if not text.definitions:
        return text.result
    rows = [*(f"{name} &= {value}" for name, value in text.definitions), f"& {text.result}"]
    return environment("aligned", rows)


LATEX = Style(
    elementwise={
        "add": OperatorPrinter("+", SUM),
        "sub": OperatorPrinter("-", SUM),
        "mul": _product,
        "true_div": enclosing(r"\frac{#1}{#2}", POWER),
        "int_div": enclosing(r"\left\lfloor\frac{#1}{#2}\right\rfloor"),
        "mod": OperatorPrinter(r"\bmod", PRODUCT),
        "pow": PatternPrinter(("#1^{#2}", POWER + TIGHTER, LOWEST), precedence=POWER),
        "sqr": PatternPrinter(("#1^{2}", POWER + TIGHTER), precedence=POWER),
        "sqrt": enclosing(r"\sqrt{#1}"),
        "reciprocal": enclosing(r"\frac{1}{#1}", POWER),
        # A minus may begin a sum, but not follow another sign.
        "neg": PatternPrinter(("-#1", SUM + TIGHTER), precedence=SUM),
        "abs_": enclosing(r"\left|#1\right|"),
        "sgn": named(r"\operatorname{sgn}"),
        "floor": enclosing(r"\left\lfloor #1\right\rfloor"),
        "ceil": enclosing(r"\left\lceil #1\right\rceil"),
        "maximum": enclosing(r"\max\left(#1, #2\right)"),
        "minimum": enclosing(r"\min\left(#1, #2\right)"),
        "exp": enclosing("e^{#1}", POWER),
        "exp2": enclosing("2^{#1}", POWER),
        "log2": named(r"\log_{2}"),
        "log10": named(r"\log_{10}"),
        "sigmoid": named(r"\sigma"),
        "lt": comparison("<"),
        "le": comparison(r"\leq"),
        "gt": comparison(">"),
        "ge": comparison(r"\geq"),
        "eq": comparison("="),
        "neq": comparison(r"\neq"),
        "and_": OperatorPrinter(r"\wedge", BIT_AND),
        "or_": OperatorPrinter(r"\vee", BIT_OR),
        "xor": OperatorPrinter(r"\oplus", BIT_XOR),
        "invert": PatternPrinter((r"\neg #1", SIGN), precedence=SIGN),
        "switch": _switch,
    },
    families={
        AlongAxis: _along_axis,
        ArgExtremum: _reduction,
        Cast: _cast,
        DimShuffle: _dimshuffle,
        Dot: _dot,
        Fill: IgnorePrinter(1),
        Identity: IgnorePrinter(),
        IfElse: _if_else,
        IncSubtensor: _inc_subtensor,
        Print: IgnorePrinter(),
        Reduction: _reduction,
        ShapeOf: _shape_of,
        Subtensor: _subtensor,
        SumTo: IgnorePrinter(),
    },
    function=_function,
    leaf=_leaf,
    brackets=(r"\left(", r"\right)"),
    name="t_{{{}}}".format,
    layout=_layout,
)
