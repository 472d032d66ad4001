"""Theano's text, the names of repeated subexpressions, and what users assign."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.gradient import grad
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.op import Op
from graphc.graph.shared import shared
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Variable, constant
from graphc.ops.broadcasting import sum_to
from graphc.ops.control import ifelse
from graphc.ops.conversion import cast
from graphc.ops.declare import ELEMENTWISE
from graphc.ops.dimshuffle import dimshuffle
from graphc.ops.elementwise import abs_, lt, pow, sqr
from graphc.ops.join import stack
from graphc.ops.matmul import dot
from graphc.ops.nnet import softmax
from graphc.ops.transcendental import arccosh, exp, log, sinh, tanh
from graphc.printing import (
    FunctionPrinter,
    Hole,
    OperatorPrinter,
    PatternPrinter,
    Phrase,
    PPrinter,
    latex,
    pp,
    pprint,
)
from graphc.printing.pretty import STYLES

Golden = Callable[[str], Any]

scalar = TensorType("float64", ())
vector = TensorType("float64", shape=(None,))
matrix = TensorType("float64", shape=(None, None))

x, y, z = scalar("x"), scalar("y"), scalar("z")
v, X, W = vector("v"), matrix("X"), matrix("W1")
i = TensorType("int64", ())("i")
func = sinh(x**7 + exp(y * arccosh(z)))


def test_the_text_of_the_article() -> None:
    assert pp(func) == "sinh(((x ** TensorConstant{7}) + exp((y * arccosh(z)))))"
    assert pp(grad(func, x)) == (
        "(((fill(sinh(((x ** TensorConstant{7}) + exp((y * arccosh(z))))), TensorConstant{1.0}) * "
        "cosh(((x ** TensorConstant{7}) + exp((y * arccosh(z)))))) * TensorConstant{7}) * "
        "(x ** (TensorConstant{7} - TensorConstant{1})))"
    )


def test_the_gradients_of_the_articles(golden: Golden) -> None:
    a_hat, w, b = vector("a_hat"), shared(np.zeros(2), "w"), shared(0.0, "b")
    a = 1 / (1 + exp(-(dot(X, w) + b)))
    cost = -(a_hat * log(a) + (1 - a_hat) * log(1 - a)).sum()
    texts = [pp(e, style) for style in STYLES for e in (func, grad(func, x), cost, *grad(cost, [w, b]))]
    golden("printing/pp_articles").check("\n".join(texts))


THEANO = [
    (x + y, "(x + y)"),
    (x - y, "(x - y)"),
    (x * y, "(x * y)"),
    (x / y, "(x / y)"),
    (x // y, "(x // y)"),
    (x % y, "(x % y)"),
    (x**2, "(x ** TensorConstant{2})"),
    (-x, "(-x)"),
    (-(x + y) * z, "((-(x + y)) * z)"),
    (abs(x - 1), "|(x - TensorConstant{1})|"),
    (lt(x, 0), "lt(x, TensorConstant{0})"),
    (1 / sqr(x), "(TensorConstant{1} / sqr(x))"),
    (dot(X, W), r"(X \dot W1)"),
    (X.T, "X.T"),
    (X.T + dot(X, W).T, r"(X.T + (X \dot W1).T)"),
    (dimshuffle(v, "x", 0) + X, "(v + X)"),
    (dimshuffle(v, 0, "x"), "DimShuffle{0, x}(v)"),
    (cast(x, "int64"), "int64(x)"),
    (x.copy(), "x"),
    (sum_to(v * x, x), "(v * x)"),
    (v[:1], "v[:1]"),
    (v[i], "v[i]"),
    (v[-1], "v[-1]"),
    (X[i, 2:], "X[i, 2:]"),
    (X[1], "X[1]"),
    (X[:, 0], "X[:, 0]"),
    (X[i + 1 :: 2], "X[(i + TensorConstant{1})::2]"),
    ((X + W)[0, 0], "(X + W1)[0, 0]"),
    (X[:1][0], "X[:1][0]"),
    (X.sum(), "Sum(X)"),
    (X.sum(axis=0), "Sum{axis=[0]}(X)"),
    (X.max(axis=1), "Max{axis=[1]}(X)"),
    (softmax(X), "Softmax{axis=1}(X)"),
    (stack([x, y]), "[x, y]"),
    (ifelse(lt(x, 0), y, z), "if(lt(x, TensorConstant{0}), y, z)"),
    (ifelse(lt(x, 0), [y, x], [z, z])[1], "if(lt(x, TensorConstant{0}), y, x, z, z)[1]"),
    (constant(2), "TensorConstant{2}"),
    (constant([1.0, 2.0]) * v, "(TensorConstant{[1. 2.]} * v)"),
    (scalar("alpha") * scalar("zeta"), r"(\alpha * zeta)"),
    (vector() + vector(""), "(<TensorType(float64, vector)> + <TensorType(float64, vector)>)"),
    (scalar("θ") * scalar("∂ x"), "(θ * ∂ x)"),
    (x + x, "(x + x)"),
    (x, "x"),
]


@pytest.mark.parametrize("expression, text", THEANO, ids=[text for _, text in THEANO])
def test_theano_style(expression: Variable, text: str) -> None:
    assert pp(expression) == pprint(expression) == text


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_every_elementwise_op_prints_in_every_style(name: str, style: str) -> None:
    op = ELEMENTWISE[name]
    for dtype in ("float64", "int64"):
        operands = [TensorType(dtype, ())(f"x{k}") for k in range(op.nin)]
        try:
            text = pp(op(*operands), style)
        except TypeError:
            continue  # a logical op of floats
        shown = text.replace("_{", "").replace("}", "")
        assert all(str(operand.name) in shown for operand in operands)
        return
    pytest.fail(f"{name} takes neither floats nor integers")


# ---- what else can be printed ----


class Compiled:
    """What a compiled function looks like from here."""

    def __init__(self, graph: FunctionGraph, updates_of: dict[int, Variable]) -> None:
        self.graph = graph
        self.updates_of = updates_of


def test_graphs_and_functions_print_a_line_an_output() -> None:
    graph = FunctionGraph.build([x, y], [x + y, x * y])
    assert pp(graph) == pp(Compiled(graph, {})) == "(x + y)\n(x * y)"
    assert pp([x + y, (x * y).owner]) == "(x + y)\n(x * y)"


def test_what_cannot_be_printed() -> None:
    with pytest.raises(TypeError, match="cannot print str 'x': expected a variable"):
        pp("x")
    with pytest.raises(ValueError, match=r"style is 'tex'\. Use one of 'theano', 'math', 'latex'"):
        pp(x, "tex")


# ---- long texts ----


def test_repeated_subexpressions_of_a_long_text_get_names() -> None:
    a = exp(x * y)
    b = tanh(a + a)
    expression = b * b + x * y
    full = "((tanh((exp((x * y)) + exp((x * y)))) * tanh((exp((x * y)) + exp((x * y))))) + (x * y))"
    assert pp(expression) == pp(expression, max_length=None) == pp(expression, max_length=len(full)) == full
    assert pp(expression, max_length=10) == "t1 = exp((x * y))\nt2 = tanh((t1 + t1))\n((t2 * t2) + (x * y))"
    assert latex(b * b, max_length=10) == (
        r"\begin{aligned} t_{1} &= e^{x \cdot y} \\ t_{2} &= \tanh\left(t_{1} + t_{1}\right) \\ & t_{2} \cdot t_{2} "
        r"\end{aligned}"
    )


def test_a_name_that_is_taken_is_not_given() -> None:
    a = exp(scalar("t1") * scalar("t2"))
    assert pp(a + a, "math", max_length=5) == "t3 = exp(t1*t2)\nt3 + t3"


def calls(work: Callable[[], Any]) -> int:
    """How many functions of Python some work calls."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.fixture(scope="module")
def chain() -> list[Variable]:
    """Each expression is tanh of the one before."""
    found: list[Variable] = [x]
    for _ in range(100_000):
        found.append(tanh(found[-1]))
    return found


@pytest.mark.parametrize("style", STYLES)
def test_a_long_chain(chain: list[Variable], style: str) -> None:
    assert sys.getrecursionlimit() <= 1000
    assert calls(lambda: pp(chain[100_000], style)) < 5.5 * calls(lambda: pp(chain[20_000], style))
    assert pp(chain[1_000], style).count("tanh") == 1_000


def test_a_doubled_chain_is_printed_in_linear_space() -> None:
    doubled: Variable = x
    for _ in range(10_000):
        doubled = doubled + doubled
    lines = pp(doubled).splitlines()
    assert len(lines) < 10_000
    assert lines[-1] == "(t9998 + t9998)"


# ---- extending ----


class Blend(Op):
    """An op of a user's."""

    __props__ = ("power",)

    def __init__(self, power: int) -> None:
        self.power = power

    def make_node(self, *inputs: Any) -> Apply:
        return Apply(self, inputs, [inputs[0].type, inputs[0].type])


class Quoted:
    """A printer as one writes it for Theano."""

    def process(self, output: Variable, state: Any) -> str:
        assert output.owner is not None
        (first, *_) = output.owner.inputs
        return f"<<{state.pprinter.process(first, state)}>>"


def test_an_op_without_a_spelling() -> None:
    first, second = Blend(2)(x + y, z)
    assert pp(first) == "Blend{power=2}((x + y), z)[0]"
    assert pp(second, "math") == "Blend(x + y, z)[1]"
    assert latex(second) == r"\operatorname{Blend}\left(x + y, z\right)[1]"


ASSIGNED = [
    ("mix", "mix((x + y), z)[1]", "mix(x + y, z)[1]"),
    (FunctionPrinter("first", "second"), "second((x + y), z)", "second(x + y, z)"),
    (OperatorPrinter("<>", -1), "((x + y) <> z)", "(x + y) <> z"),
    (PatternPrinter("", ("[%(0)s ; %(1)s]", -1000, -1000)), "[(x + y) ; z]", "[x + y ; z]"),
    (PatternPrinter("", "#2:#1"), "z:(x + y)", "z:(x + y)"),
    (lambda r: Phrase(("B", Hole(r.owner.inputs[1]))), "Bz", "Bz"),
    (Quoted(), "<<(x + y)>>", "<<(x + y)>>"),
]


@pytest.mark.parametrize("printer, theano, math", ASSIGNED)
@pytest.mark.parametrize("condition", [Blend(2), Blend, lambda state, r: r.owner and isinstance(r.owner.op, Blend)])
def test_assign(condition: Any, printer: Any, theano: str, math: str) -> None:
    printers = PPrinter()
    _, second = Blend(2)(x + y, z)
    printers.assign(condition, "overridden")
    printers.assign(condition, printer)
    assert printers(second) == theano
    assert printers(second, "math") == math
    assert pp(second) == "Blend{power=2}((x + y), z)[1]"


def test_assign_to_one_style() -> None:
    printers = PPrinter()
    printers.assign(pow, OperatorPrinter("^", 1, "right"), style="math")
    assert printers(x ** (y + 1), "math") == "x ^ (y + 1)"
    assert printers(x**y) == "(x ** y)"
    twin = printers.clone()
    twin.assign(abs_, "magnitude")
    assert (twin(abs(x), "math"), printers(abs(x), "math")) == ("magnitude(x)", "abs(x)")


def test_a_printer_of_ops_says_so_when_it_meets_a_leaf() -> None:
    printers = PPrinter()
    printers.assign(lambda state, r: True, "f")
    with pytest.raises(TypeError, match="x is a leaf"):
        printers(x)
