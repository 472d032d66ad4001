"""A style: the tables that spell ops, and how the texts are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphc.graph.op import Op
from graphc.graph.variable import Variable
from graphc.ops.declare import Elementwise

from .phrase import Printer, Text, Wording


def lines(text: Text) -> str:
    """One line a definition, and the result."""
    return "\n".join([*(f"{name} = {value}" for name, value in text.definitions), text.result])


@dataclass(frozen=True)
class Style:
    """One way to write expressions.

    elementwise: the spelling of elementwise ops by name.
    families: the spelling of other ops by class.
    function: the spelling of an op that has no entry, by the node's variable.
    leaf: inputs, shared variables and constants.
    brackets: what is put around an operand that binds too loosely.
    eager: whether all operators are bracketed, as Theano does.
    name: the name of the n-th repeated subexpression of a long text.
    layout: puts the definitions of these names and the result together.
    """

    elementwise: Mapping[str, Printer]
    families: Mapping[type[Op], Printer]
    function: Printer
    leaf: Printer
    brackets: tuple[str, str] = ("(", ")")
    eager: bool = False
    name: Callable[[int], str] = "t{}".format
    layout: Callable[[Text], str] = lines

    def __call__(self, x: Variable) -> Wording:
        """The phrase for one variable."""
        if x.owner is None:
            return self.leaf(x)
        op = x.owner.op
        if isinstance(op, Elementwise) and op.name in self.elementwise:
            return self.elementwise[op.name](x)
        for family in type(op).__mro__:
            if family in self.families:
                return self.families[family](x)
        return self.function(x)
