"""The math style, which Python reads, and the LaTeX style, which mathematicians do."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from graphc.evaluator import evaluate
from graphc.graph.shared import shared
from graphc.graph.types import TensorType
from graphc.graph.variable import Variable, constant
from graphc.ops import elementwise as E
from graphc.ops.broadcasting import alloc, fill, zeros_like
from graphc.ops.control import ifelse
from graphc.ops.conversion import cast
from graphc.ops.declare import ELEMENTWISE
from graphc.ops.dimshuffle import dimshuffle
from graphc.ops.identities import zero_grad
from graphc.ops.indexing import inc_subtensor, set_subtensor
from graphc.ops.join import concatenate, stack
from graphc.ops.matmul import dot
from graphc.ops.nnet import sigmoid, softmax
from graphc.ops.ranges import arange, eye
from graphc.ops.reshape import reshape
from graphc.ops.transcendental import arcsinh, cos, exp, log10, sin, tanh
from graphc.printing import Print, latex, pp
from graphc.printing.latex_style import name_text

x, y, z = (TensorType("float64", ())(name) for name in "xyz")
k = TensorType("int64", ())("k")
v, w = (TensorType("float64", shape=(None,))(name) for name in "vw")
X = TensorType("float64", shape=(None, None))("X")
W1 = shared(np.arange(9.0).reshape(3, 3), "W1")

VALUES: dict[Variable, Any] = {
    x: 0.75,
    y: -1.25,
    z: 2.5,
    k: 1,
    v: np.array([0.5, -1.5, 2.0]),
    w: np.array([3.0, 0.25, 1.0]),
    X: np.arange(9.0).reshape(3, 3) / 7 - 0.5,
}

# expression, Python, LaTeX
STYLES: list[tuple[Variable, str, str | None]] = [
    (x + y + z, "x + y + z", "x + y + z"),
    (x + (y + z), "x + (y + z)", r"x + \left(y + z\right)"),
    (x - (y - z), "x - (y - z)", r"x - \left(y - z\right)"),
    ((x + y) * z, "(x + y)*z", r"\left(x + y\right) \cdot z"),
    (x * y + z, "x*y + z", r"x \cdot y + z"),
    (x / (y * z), "x/(y*z)", r"\frac{x}{y \cdot z}"),
    (x / y * z, "x/y*z", r"\frac{x}{y} \cdot z"),
    ((x / y) ** 2, "(x/y)**2", r"\left(\frac{x}{y}\right)^{2}"),
    (x // y, "x//y", r"\left\lfloor\frac{x}{y}\right\rfloor"),
    (z % x % y, "z % x % y", r"z \bmod x \bmod y"),
    (z**x**y, "z**x**y", "z^{x^{y}}"),
    ((z**x) ** y, "(z**x)**y", r"\left(z^{x}\right)^{y}"),
    (-(x**2), "-x**2", "-x^{2}"),
    ((-x) ** 2, "(-x)**2", r"\left(-x\right)^{2}"),
    (z**-x, "z**-x", "z^{-x}"),
    (x * -y, "x*-y", r"x \cdot \left(-y\right)"),
    (-x * y, "-x*y", r"\left(-x\right) \cdot y"),
    (-(x * y), "-(x*y)", r"-x \cdot y"),
    (-x + y, "-x + y", "-x + y"),
    (x + -y, "x + -y", r"x + \left(-y\right)"),
    (x * -2.5, "x*-2.5", r"x \cdot \left(-2.5\right)"),
    (E.sqr(x - 1), "(x - 1)**2", r"\left(x - 1\right)^{2}"),
    (E.reciprocal(x) / y, "1/x/y", r"\frac{\frac{1}{x}}{y}"),
    (abs(x - y), "abs(x - y)", r"\left|x - y\right|"),
    (E.sqrt(x + 1), "sqrt(x + 1)", r"\sqrt{x + 1}"),
    (exp(-E.sqr(x) / 2), "exp(-x**2/2)", r"e^{\frac{-x^{2}}{2}}"),
    (exp(x) ** 2, "exp(x)**2", r"\left(e^{x}\right)^{2}"),
    (sin(x) * cos(y), "sin(x)*cos(y)", r"\sin\left(x\right) \cdot \cos\left(y\right)"),
    (arcsinh(x), "arcsinh(x)", r"\operatorname{arcsinh}\left(x\right)"),
    (log10(z), "log10(z)", r"\log_{10}\left(z\right)"),
    (E.floor(x), "floor(x)", r"\left\lfloor x\right\rfloor"),
    (E.maximum(x, y + 1), "maximum(x, y + 1)", r"\max\left(x, y + 1\right)"),
    (E.eq(E.lt(x, y), E.ge(y, 0)), "(x < y) == (y >= 0)", r"\left(x < y\right) = \left(y \geq 0\right)"),
    (
        E.or_(E.lt(x, y), E.invert(E.gt(x, 0))),
        "(x < y) | ~(x > 0)",
        r"\left(x < y\right) \vee \neg \left(x > 0\right)",
    ),
    (
        E.switch(x > 0, x, 0.1 * x) + 1,
        "where(x > 0, x, 0.1*x) + 1",
        r"\left(\begin{cases} x & \text{if } x > 0 \\ 0.1 \cdot x & \text{otherwise} \end{cases}\right) + 1",
    ),
    (
        ifelse(x > 0, y, z) * 2,
        "(y if x > 0 else z)*2",
        r"\left(\begin{cases} y & \text{if } x > 0 \\ z & \text{otherwise} \end{cases}\right) \cdot 2",
    ),
    (ifelse(x > 0, [y, x], [z, y])[1], "x if x > 0 else y", None),
    (cast(x, "int64") / 2, "int64(x)/2", r"\frac{\operatorname{int64}\left(x\right)}{2}"),
    (cast(x, "float32"), "float32(x)", "x"),
    (x * 1e-30 + np.inf, "x*1e-30 + inf", r"x \cdot \left(1 \cdot 10^{-30}\right) + \infty"),
    (x + (1 - 2j), "x + (1-2j)", r"x + \left(1 - 2i\right)"),
    (v * w, "v*w", r"v \odot w"),
    (x * v, "x*v", r"x \cdot v"),
    (dot(v, w), "v @ w", r"v \cdot w"),
    (dot(dot(X, W1), v), "X @ W1 @ v", r"X \, W_{1} \, v"),
    (dot(X, dot(W1, v)), "X @ (W1 @ v)", r"X \, \left(W_{1} \, v\right)"),
    (X.T + (X + X).T, "X.T + (X + X).T", r"X^{\top} + \left(X + X\right)^{\top}"),
    (v[:, None] + v[None], "v[:, None] + v[None, :]", "v + v"),
    (dimshuffle(X[:, :1], 0), "squeeze(X[:, :1], axis=(1,))", r"X\left[{:}, {:}1\right]"),
    (dimshuffle(X, 1, "x", 0), "X.T[:, None, :]", r"X^{\top}"),
    (v[k:] * 2, "v[k:]*2", r"v\left[k{:}\right] \cdot 2"),
    (X[::2, [0, 1]], "X[::2, array([0, 1])]", None),
    (
        X[[0, 2], k],
        "X[array([0, 2]), k]",
        r"X\left[\begin{bmatrix} 0 & 2 \end{bmatrix}, k\right]",
    ),
    (set_subtensor(v[0], x), "set_subtensor(v[0], x)", None),
    (inc_subtensor(v[:2], x), "inc_subtensor(v[:2], x)", None),
    (X.sum() / 2, "sum(X)/2", r"\frac{\sum X}{2}"),
    ((v + w).sum() * 2, "sum(v + w)*2", r"\left(\sum \left(v + w\right)\right) \cdot 2"),
    (X.prod(axis=0), "prod(X, axis=0)", r"\prod_{\mathrm{axis}=0} X"),
    (X.max(axis=1, keepdims=True), "max(X, axis=1, keepdims=True)", r"\max_{\mathrm{axis}=1}\left(X\right)"),
    (X.argmax(axis=1), "argmax(X, axis=1)", r"\operatorname{argmax}_{\mathrm{axis}=1}\left(X\right)"),
    (softmax(X), "softmax(X, axis=1)", r"\operatorname{softmax}_{\mathrm{axis}=1}\left(X\right)"),
    (sigmoid(x), "sigmoid(x)", r"\sigma\left(x\right)"),
    (X.shape[0] * 2, "X.shape[0]*2", r"\operatorname{shape}_{0}\left(X\right) \cdot 2"),
    (reshape(X, (9,)), "reshape(X, (9,))", None),
    (alloc(x, 2, k), "full((2, k), x)", None),
    (zeros_like(X), "full_like(X, 0.0)", "0"),
    (fill(v, x), "full_like(v, x)", "x"),
    (concatenate([v, w]), "concatenate([v, w], axis=0)", None),
    (stack([v, w], axis=1), "stack([v, w], axis=1)", None),
    (arange(k), "arange(0, k, 1)", None),
    (eye(3), "eye(3, 3, 0)", None),
    (Print("here")(x) + zero_grad(y), "x + y", "x + y"),
    (constant([1.0, -2.0, 0.0]) * v, "array([ 1., -2., 0.])*v", r"\begin{bmatrix} 1 & -2 & 0 \end{bmatrix} \odot v"),
    (constant(np.zeros((4, 5))), "array([[0., 0., 0., 0., 0.], [0., 0., 0., 0., 0.]", None),
]
ROWS = pytest.mark.parametrize("expression, math, tex", STYLES, ids=[math for _, math, _ in STYLES])


@ROWS
def test_math(expression: Variable, math: str, tex: str | None) -> None:
    assert pp(expression, "math").startswith(math)


@ROWS
def test_latex(expression: Variable, math: str, tex: str | None) -> None:
    assert tex is None or latex(expression) == tex
    assert_balanced(latex(expression))


# ---- Python reads the math style ----

NUMPY: dict[str, Any] = {name: getattr(np, name) for name in dir(np)}
NUMPY.update({str(leaf.name): np.asarray(value)[()] for leaf, value in VALUES.items()}, W1=W1.get_value(), abs=abs)
# NumPy has no function of this name.
NOT_NUMPY = {"softmax", "sigmoid", "set_subtensor", "inc_subtensor"}


READ = [(expression, pp(expression, "math")) for expression, _, _ in STYLES]
READ = [(expression, text) for expression, text in READ if not NOT_NUMPY & set(re.findall(r"\w+", text))]


@pytest.mark.parametrize("expression, text", READ, ids=[text for _, text in READ])
def test_numpy_computes_the_same_from_the_text(expression: Variable, text: str) -> None:
    assert np.array_equal(eval(text, NUMPY), evaluate(expression, VALUES))


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_every_op_that_numpy_has(name: str) -> None:
    op = ELEMENTWISE[name]
    operands: list[Variable] = [z, x, y][: op.nin]
    try:
        expression = op(*operands)
    except TypeError:
        expression = op(*(cast(operand, "int64") for operand in operands))
    with np.errstate(all="ignore"):
        try:
            found = eval(pp(expression, "math"), NUMPY)
        except NameError:
            return  # NumPy has no such function
        np.testing.assert_allclose(found, evaluate(expression, VALUES), rtol=1e-14)


BINARY = {
    E.add: operator.add,
    E.sub: operator.sub,
    E.mul: operator.mul,
    E.true_div: operator.truediv,
    E.mod: operator.mod,
    E.pow: operator.pow,
    E.lt: operator.lt,
    E.eq: operator.eq,
}
UNARY: dict[Any, Callable[..., Any]] = {
    E.neg: operator.neg,
    E.abs_: operator.abs,
    exp: np.exp,
    E.sqr: lambda value: value**2,
}

# A random expression is a pair: its symbol, and its value computed by Python alone.
Pair = tuple[Any, Any]
leaf: st.SearchStrategy[Pair] = st.sampled_from([(x, 0.75), (y, -1.25), (z, 2.5)]).map(
    lambda pair: (pair[0], np.float64(pair[1]))
) | st.sampled_from([0.5, -1.0, -3.0, 2.0]).map(lambda number: (constant(number), number))


def joined(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    unary = st.tuples(st.sampled_from(list(UNARY)), inner).map(lambda t: (t[0](t[1][0]), UNARY[t[0]](t[1][1])))
    binary = st.tuples(st.sampled_from(list(BINARY)), inner, inner).map(
        lambda t: (t[0](t[1][0], t[2][0]), BINARY[t[0]](t[1][1], t[2][1]))
    )
    return unary | binary


@given(st.data())
def test_brackets_are_where_python_needs_them(data: st.DataObject) -> None:
    with np.errstate(all="ignore"):
        try:
            symbol, value = data.draw(st.recursive(leaf, joined, max_leaves=8))
        except (ArithmeticError, TypeError):
            assume(False)  # Python refuses 1/0 and -(True)
        if not isinstance(symbol, Variable):
            return
        text = pp(symbol, "math")
        assert np.array_equal(eval(text, NUMPY), value, equal_nan=True), text


# ---- LaTeX ----


def assert_balanced(text: str) -> None:
    bare = re.sub(r"\\[{}]", "", text)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0, text
    assert depth == 0, text
    assert len(re.findall(r"\\left(?![a-z])", text)) == len(re.findall(r"\\right(?![a-z])", text)), text
    assert sorted(re.findall(r"\\begin{(\w+)}", text)) == sorted(re.findall(r"\\end{(\w+)}", text)), text


NAMES = [
    ("x", "x"),
    ("alpha", r"\alpha"),
    ("Omega", r"\Omega"),
    ("W1", "W_{1}"),
    ("W_1", "W_{1}"),
    ("w_in", r"w_{\mathrm{in}}"),
    ("beta_2", r"\beta_{2}"),
    ("theta_alpha", r"\theta_{\alpha}"),
    ("y_hat", r"\hat{y}"),
    ("x_bar_2", r"\bar{x}_{2}"),
    ("f_prime", "f'"),
    ("loss", r"\mathrm{loss}"),
    ("θ", "θ"),
    ("größe", r"\mathrm{größe}"),
    ("(dcost/dx)", r"\mathrm{(dcost/dx)}"),
    ("a b{c}_$%&#^~\\", r"\mathrm{a\ b\{c\}\_\$\%\&\#\wedge \sim \backslash }"),
    ("_private", r"\mathrm{\_private}"),
]


@pytest.mark.parametrize("name, tex", NAMES)
def test_names_in_latex(name: str, tex: str) -> None:
    assert name_text(name) == tex
    assert_balanced(tex)


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_the_latex_of_every_op_is_balanced(name: str) -> None:
    op = ELEMENTWISE[name]
    try:
        expression = op(*(TensorType("float64", ())() for _ in range(op.nin)))
    except TypeError:
        expression = op(*(TensorType("int64", ())() for _ in range(op.nin)))
    assert_balanced(latex(expression))


def test_matplotlib_reads_the_latex() -> None:
    mathtext = pytest.importorskip("matplotlib.mathtext")
    parser = mathtext.MathTextParser("path")
    read = 0
    for expression, _, _ in STYLES:
        text = latex(expression)
        if r"\begin" not in text and r"\bmod" not in text:  # which it does not know
            parser.parse(f"${text}$")
            read += 1
    assert read > 40


# ---- notebooks ----


def test_a_variable_shows_as_a_formula() -> None:
    assert (x / y)._repr_latex_() == r"$\frac{x}{y}$"


def test_a_huge_formula_shows_as_what_it_is() -> None:
    expression: Variable = x
    for _ in range(2_000):
        expression = tanh(expression)
    assert expression._repr_latex_() == r"$\texttt{tanh.0: TensorType(float64, scalar)}$"
    assert_balanced(softmax(X + sum(X[0, i] for i in range(2_000)))._repr_latex_())
