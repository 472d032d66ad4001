"""`pp`: an expression as one line of text, in one of three styles.

    >>> pp(x ** 2)
    '(x ** TensorConstant{2})'
    >>> pp(x ** 2, "math")
    'x**2'
    >>> pp(x ** 2, "latex")
    'x^{2}'

One printer serves them all; a style is a table of spellings.  ``pprint.assign`` adds to the tables, as in Theano.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc.graph.op import Op
from graphc.graph.variable import Variable, operand

from .latex_style import LATEX
from .math_style import MATH
from .phrase import Phrase, Printer, Wording, write
from .printers import FunctionPrinter
from .style import Style
from .subject import subjects
from .theano_style import THEANO

STYLES: dict[str, Style] = {"theano": THEANO, "math": MATH, "latex": LATEX}

# Texts up to this many characters are written out in full.
MAX_LENGTH = 10_000

# Theano's conditions take the state of the printer and the variable.
Condition = Callable[["State", Variable], Any]


class State:
    """What Theano's printers are handed: ``state.pprinter.process(x, state)`` is the text of an operand."""

    def __init__(self, pprinter: PPrinter, style: str) -> None:
        self.pprinter = pprinter
        self.style = style


class PPrinter:
    """The printer of expressions: the styles, and what was assigned to it."""

    def __init__(self) -> None:
        self._by_op: dict[tuple[Op | type, str | None], Printer] = {}
        self._by_condition: list[tuple[Condition, str | None, Printer]] = []

    def assign(self, condition: Op | type | Condition, printer: Any, style: str | None = None) -> None:
        """Print an op in another way.

        Parameters
        ----------
        condition: the op, its class, or a function ``condition(state, variable)``; of several the last one counts.
        printer: a name (``"f"`` for ``f(x)``), a printer of `graphc.printing.printers`, a function from a variable to
            its `Phrase`, or an object with Theano's ``process(variable, state)``, which returns a text.
        style: the style it is for; by default all of them.

            >>> pprint.assign(my_op, OperatorPrinter("<>", -2, "left"))
        """
        if style is not None:
            _style(style)
        if isinstance(condition, Op | type):
            self._by_op[condition, style] = self._as_printer(printer, style)
        else:
            self._by_condition.insert(0, (condition, style, self._as_printer(printer, style)))

    def _as_printer(self, printer: Any, style: str | None) -> Printer:
        if isinstance(printer, str):
            return FunctionPrinter(printer)
        if hasattr(printer, "process"):
            return lambda x: Phrase((str(printer.process(x, State(self, style or "theano"))),))
        made: Printer = printer
        return made

    def clone(self) -> PPrinter:
        """A copy: what is assigned to it does not change this one."""
        twin = PPrinter()
        twin._by_op = dict(self._by_op)
        twin._by_condition = list(self._by_condition)
        return twin

    def process(self, x: Variable, state: State | None = None) -> str:
        """The text of an operand, for printers with a ``process`` of their own."""
        return self(x, "theano" if state is None else state.style)

    def __call__(self, x: Any, style: str = "theano", max_length: int | None = MAX_LENGTH) -> str:
        """The text of an expression; see `pp`."""
        spelling = _style(style)
        texts = []
        for subject in subjects(x):
            for output in subject.outputs:
                text = write(
                    output,
                    lambda y: self._wording(y, style),
                    spelling.brackets,
                    spelling.eager,
                    max_length,
                    spelling.name,
                )
                texts.append(spelling.layout(text))
        return "\n".join(texts)

    def _wording(self, x: Variable, style: str) -> Wording:
        """What is assigned to this variable, else what the style says."""
        if x.owner is not None and self._by_op:
            op = x.owner.op
            for key in (op, type(op)):
                printer = self._by_op.get((key, style)) or self._by_op.get((key, None))
                if printer is not None:
                    return printer(x)
        for condition, only, printer in self._by_condition:
            if only in (style, None) and condition(State(self, style), x):
                return printer(x)
        return STYLES[style](x)


def _style(name: str) -> Style:
    if name not in STYLES:
        raise ValueError(f"pp: style is {name!r}. Use one of {', '.join(map(repr, STYLES))}.")
    return STYLES[name]


pprint = PPrinter()


def pp(x: Any, style: str = "theano", max_length: int | None = MAX_LENGTH) -> str:
    """An expression as text.

    Parameters
    ----------
    x: a variable; of an apply node, a graph or a function each output is printed on a line of its own.
    style: "theano" for Theano's text, "math" for the shortest Python expression, "latex" for LaTeX.
    max_length: an expression that is used several times is written out each time, so the text can be exponentially
        long.  Beyond this many characters (None: never) such subexpressions are written once, as ``t1 = ...``, above
        the result.

        >>> pp(T.grad(x ** 2, x))
        '((fill((x ** TensorConstant{2}), TensorConstant{1.0}) * TensorConstant{2}) * (x ** (TensorConstant{2} - ...
    """
    return pprint(x, style, max_length)


def latex(x: Any, max_length: int | None = MAX_LENGTH) -> str:
    r"""An expression in LaTeX, without dollar signs.

        >>> latex(T.exp(-x ** 2 / 2))
        'e^{\frac{-x^{2}}{2}}'
    """
    return pprint(x, "latex", max_length)


# What a line of a trace has room for.
SHORT = 110


def short_text(x: Variable) -> str:
    """An expression in one line, cut to what can be read."""
    text = pp(x, "math", max_length=10 * SHORT).splitlines()[-1]
    return text if len(text) <= SHORT else text[: SHORT - 3] + "..."


# MathJax takes seconds for more than this, and nobody reads it.
LONGEST_SHOWN = 4_000


def repr_latex(x: Variable) -> str:
    """What a notebook shows for a variable: the formula, or only what it is if the formula is too long to be read."""
    text = latex(x, max_length=1_000)
    if len(text) > LONGEST_SHOWN:
        text = rf"\texttt{{{_plain(operand(x))}}}"
    return f"${text}$"


def _plain(text: str) -> str:
    """Text without the signs that mean something to LaTeX."""
    return "".join(character if character not in r"\{}$&%#_^~" else " " for character in text)
