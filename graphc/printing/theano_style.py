"""Theano's notation, character for character: ``(x ** TensorConstant{2})``."""

from __future__ import annotations

from graphc.graph.variable import Variable
from graphc.ops.broadcasting import SumTo
from graphc.ops.conversion import Cast
from graphc.ops.declare import Elementwise
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.indexing import Subtensor
from graphc.ops.join import Stack
from graphc.ops.matmul import Dot

from .phrase import ATOM, LOWEST, POWER, PRODUCT, SIGN, SUM, Hole, Phrase, Wording
from .printers import (
    FunctionPrinter,
    IgnorePrinter,
    OperatorPrinter,
    PatternPrinter,
    indices,
    leaf_text,
    listed,
    made_by,
    new_axes_first,
)
from .style import Style

GREEK = ("alpha", "beta", "gamma", "delta", "epsilon")


def _leaf(x: Variable) -> Phrase:
    text = leaf_text(x)
    return Phrase((f"\\{text}" if x.name in GREEK else text,))


def _function(x: Variable) -> Wording:
    op = made_by(x).op
    return FunctionPrinter(op.name if isinstance(op, Elementwise) else op.text())(x)


def _cast(x: Variable) -> Wording:
    return FunctionPrinter(x.dtype)(x)


def _dimshuffle(x: Variable) -> Wording:
    """Axes that broadcasting would add are not shown, a transposition is ``x.T``."""
    node = made_by(x)
    assert isinstance(node.op, DimShuffle)
    (y,) = node.inputs
    order = node.op.new_order[new_axes_first(node.op.new_order) :]
    if order == tuple(range(y.ndim)):
        return y
    if order == tuple(reversed(range(y.ndim))):
        return Phrase((Hole(y, ATOM), ".T"))
    return Phrase((f"DimShuffle{{{', '.join(map(str, order))}}}(", Hole(y), ")"))


def _subtensor(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, Subtensor)
    y, *arguments = node.inputs
    return Phrase((Hole(y, ATOM), "[", *indices(node.op.pattern, arguments), "]"))


def _stack(x: Variable) -> Wording:
    node = made_by(x)
    assert isinstance(node.op, Stack)
    return Phrase(("[", *listed(map(Hole, node.inputs)), "]")) if node.op.axis == 0 else _function(x)


THEANO = Style(
    elementwise={
        "add": OperatorPrinter("+", SUM, "either"),
        "sub": OperatorPrinter("-", SUM),
        "mul": OperatorPrinter("*", PRODUCT, "either"),
        "true_div": OperatorPrinter("/", PRODUCT),
        "int_div": OperatorPrinter("//", PRODUCT),
        "mod": OperatorPrinter("%", PRODUCT),
        "pow": OperatorPrinter("**", POWER, "right"),
        "neg": OperatorPrinter("-", SIGN, "either"),
        "abs_": PatternPrinter(("|#1|", LOWEST)),
        "reciprocal": FunctionPrinter("inv"),
        "tensor_copy": IgnorePrinter(),
    },
    families={
        Cast: _cast,
        DimShuffle: _dimshuffle,
        Dot: OperatorPrinter(r"\dot", PRODUCT),
        Stack: _stack,
        Subtensor: _subtensor,
        SumTo: IgnorePrinter(),
    },
    function=_function,
    leaf=_leaf,
    eager=True,
)
