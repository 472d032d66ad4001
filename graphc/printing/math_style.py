"""The notation of NumPy programs: ``sinh(x**7 + exp(y*arccosh(z)))``, with as few brackets as Python needs.

With ``from numpy import *`` the text is a Python expression of the same value, as far as NumPy has the function.
(`SumTo`, which brings a gradient back through broadcasting, is not shown.)
"""

from __future__ import annotations

import numpy as np

from graphc.graph.variable import Constant, Variable
from graphc.ops.broadcasting import Alloc, Fill, SumTo
from graphc.ops.control import IfElse
from graphc.ops.conversion import Cast
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.identities import Identity
from graphc.ops.indexing import IncSubtensor, Subtensor
from graphc.ops.join import Join, Stack
from graphc.ops.matmul import Dot
from graphc.ops.nnet import AlongAxis
from graphc.ops.ranges import ARange, Eye
from graphc.ops.reduction import ArgExtremum, Reduction
from graphc.ops.reshape import Reshape
from graphc.ops.shape import ShapeOf

from .phrase import (
    ATOM,
    BIT_AND,
    BIT_OR,
    BIT_XOR,
    CHOICE,
    COMPARISON,
    POWER,
    PRODUCT,
    SIGN,
    SUM,
    TIGHTER,
    Hole,
    Phrase,
    Wording,
)
from .print_op import Print
from .printers import (
    FunctionPrinter,
    IgnorePrinter,
    OperatorPrinter,
    PatternPrinter,
    indices,
    leaf_text,
    listed,
    made_by,
)
from .style import Style


def comparison(operator: str) -> PatternPrinter:
    """``x < y``: Python would read ``x < y < z`` as two comparisons, so both operands are bracketed."""
    above = COMPARISON + TIGHTER
    return PatternPrinter((f"#1 {operator} #2", above, above), precedence=COMPARISON)


def product(operator: str) -> PatternPrinter:
    """``x*y``, from left to right."""
    return PatternPrinter((f"#1{operator}#2", PRODUCT, PRODUCT + TIGHTER), precedence=PRODUCT)


def call(name: str, *arguments: str | Hole, **keywords: object) -> Phrase:
    """``name(x, y, axis=0)``; a keyword that is None is left out."""
    shown = [f"{key}={value}" for key, value in keywords.items() if value is not None]
    return Phrase((f"{name}(", *listed([*arguments, *shown]), ")"))


def _tuple(sizes: list[Variable]) -> list[str | Hole]:
    return ["(", *listed(map(Hole, sizes)), ",)" if len(sizes) == 1 else ")"]


# ---- leaves ----


def _leaf(x: Variable) -> Phrase:
    if not isinstance(x, Constant) or x.name:
        return Phrase((leaf_text(x),))
    text = str(x.data) if x.ndim == 0 else _array(x)
    return Phrase((text,), SIGN if text.startswith("-") else ATOM)


def _array(x: Constant) -> str:
    text = np.array2string(x.data, separator=", ", threshold=20, edgeitems=2)
    return f"array({' '.join(text.split())})"


# ---- ops ----


def _function(x: Variable) -> Wording:
    op = made_by(x).op
    return FunctionPrinter(op.name or type(op).__name__)(x)


def _cast(x: Variable) -> Wording:
    return FunctionPrinter(x.dtype)(x)


def _fill(x: Variable) -> Wording:
    """A number is itself, an array takes the shape of the first operand."""
    like, value = made_by(x).inputs
    return value if x.ndim == 0 else call("full_like", Hole(like), Hole(value))


def _dimshuffle(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, DimShuffle)
    order = node.op.new_order
    kept = [axis for axis in order if isinstance(axis, int)]
    parts: list[str | Hole] = [Hole(node.inputs[0], ATOM)]
    if node.op.dropped:
        parts = ["squeeze(", Hole(node.inputs[0]), f", axis={node.op.dropped})"]
    if kept != sorted(kept):
        places = tuple(sorted(kept).index(axis) for axis in kept)
        parts = [*parts, ".T"] if places == (1, 0) else ["transpose(", *parts, f", {places})"]
    if "x" in order:
        parts += ["[", ", ".join("None" if axis == "x" else ":" for axis in order), "]"]
    return Phrase(tuple(parts))


def _reduction(x: Variable) -> Wording:
    node = made_by(x)
    op = node.op
    assert isinstance(op, Reduction | ArgExtremum)
    axis = op.axis[0] if isinstance(op.axis, tuple) and len(op.axis) == 1 else op.axis
    return call(op.numpy, Hole(node.inputs[0]), axis=axis, keepdims=True if op.keepdims else None)


def _along_axis(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, AlongAxis)
    return call(node.op.name, Hole(node.inputs[0]), axis=node.op.axis)


def _subtensor(x: Variable) -> Phrase:
    node = made_by(x)
    assert isinstance(node.op, Subtensor)
    y, *arguments = node.inputs
    return Phrase((Hole(y, ATOM), "[", *indices(node.op.pattern, arguments), "]"))


def _inc_subtensor(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, IncSubtensor)
    y, value, *arguments = node.inputs
    target = (Hole(y, ATOM), "[", *indices(node.op.pattern, arguments), "]")
    return Phrase((f"{node.op.verb}(", *target, ", ", Hole(value), ")"))


def _shape_of(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, ShapeOf)
    return Phrase((Hole(node.inputs[0], ATOM), f".shape[{node.op.axis}]"))


def _reshape(x: Variable) -> Wording:
    y, *sizes = made_by(x).inputs
    return Phrase(("reshape(", Hole(y), ", ", *_tuple(sizes), ")"))


def _alloc(x: Variable) -> Wording:
    value, *sizes = made_by(x).inputs
    return Phrase(("full(", *_tuple(sizes), ", ", Hole(value), ")"))


def _joined(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, Join | Stack)
    name = "concatenate" if isinstance(node.op, Join) else "stack"
    return Phrase((f"{name}([", *listed(map(Hole, node.inputs)), f"], axis={node.op.axis})"))


def _if_else(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, IfElse)
    condition, *branches = node.inputs
    then, otherwise = branches[x.index or 0], branches[node.op.count + (x.index or 0)]
    above = CHOICE + TIGHTER
    return Phrase((Hole(then, above), " if ", Hole(condition, above), " else ", Hole(otherwise, CHOICE)), CHOICE)


MATH = Style(
    elementwise={
        "add": OperatorPrinter("+", SUM),
        "sub": OperatorPrinter("-", SUM),
        "mul": product("*"),
        "true_div": product("/"),
        "int_div": product("//"),
        "mod": product(" % "),
        # In Python a sign binds less tightly than a power on its right and more tightly than one on its left.
        "pow": PatternPrinter(("#1**#2", POWER + TIGHTER, SIGN), precedence=POWER),
        "sqr": PatternPrinter(("#1**2", POWER + TIGHTER), precedence=POWER),
        "reciprocal": PatternPrinter(("1/#1", PRODUCT + TIGHTER), precedence=PRODUCT),
        "neg": OperatorPrinter("-", SIGN),
        "invert": OperatorPrinter("~", SIGN),
        "abs_": FunctionPrinter("abs"),
        "sgn": FunctionPrinter("sign"),
        "round_half_to_even": FunctionPrinter("rint"),
        "switch": FunctionPrinter("where"),
        "lt": comparison("<"),
        "le": comparison("<="),
        "gt": comparison(">"),
        "ge": comparison(">="),
        "eq": comparison("=="),
        "neq": comparison("!="),
        "and_": OperatorPrinter("&", BIT_AND),
        "or_": OperatorPrinter("|", BIT_OR),
        "xor": OperatorPrinter("^", BIT_XOR),
    },
    families={
        Alloc: _alloc,
        AlongAxis: _along_axis,
        ARange: FunctionPrinter("arange"),
        ArgExtremum: _reduction,
        Cast: _cast,
        DimShuffle: _dimshuffle,
        Dot: PatternPrinter(("#1 @ #2", PRODUCT, PRODUCT + TIGHTER), precedence=PRODUCT),
        Eye: FunctionPrinter("eye"),
        Fill: _fill,
        Identity: IgnorePrinter(),
        IfElse: _if_else,
        IncSubtensor: _inc_subtensor,
        Join: _joined,
        Print: IgnorePrinter(),
        Reduction: _reduction,
        Reshape: _reshape,
        ShapeOf: _shape_of,
        Stack: _joined,
        Subtensor: _subtensor,
        SumTo: IgnorePrinter(),
    },
    function=_function,
    leaf=_leaf,
)
