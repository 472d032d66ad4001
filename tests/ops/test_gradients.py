"""Derivatives: every op against finite differences, every scalar function against SymPy; and what `grad` takes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy

from graphc import dtypes, verify_grad
from graphc import tensor as T
from graphc.compile.function import function
from graphc.configuration import config
from graphc.errors import DisconnectedInputError, UndefinedGradientError, VerifyGradError
from graphc.evaluator import evaluate
from graphc.gradient import Lop, Rop, consider_constant, disconnected_grad, grad, grad_clip, grad_scale, zero_grad
from graphc.graph.op import Op
from graphc.graph.variable import Apply, Variable, as_variable
from graphc.ops import nnet
from graphc.ops.declare import ELEMENTWISE
from graphc.ops.identities import tensor_copy
from tests.ops import test_indexing, test_matmul, test_nnet, test_reductions, test_shapes
from tests.ops.arrays import Array, Row, check, like, numbers, run, tensor

OPEN = np.array([0.3, -0.7, 0.55])  # inside (-1, 1)
ABOVE = np.array([1.5, 2.25, 7.0])
WIDE = np.array([-2.6, 0.4, 3.1])
SIDE = np.array([1.7, -0.6, 2.2])

# Where each elementwise op is differentiated, away from its kinks.
POINTS: dict[str, tuple[Array, ...]] = {
    "add": (WIDE, SIDE), "sub": (WIDE, SIDE), "mul": (WIDE, SIDE), "true_div": (WIDE, SIDE), "int_div": (WIDE, SIDE),
    "mod": (WIDE, SIDE), "pow": (ABOVE, SIDE), "neg": (WIDE,), "abs_": (WIDE,), "sgn": (WIDE,), "reciprocal": (WIDE,),
    "sqr": (WIDE,), "sqrt": (ABOVE,), "maximum": (WIDE, SIDE), "minimum": (WIDE, SIDE),
    "clip": (WIDE, np.full(3, -1.0), np.full(3, 2.0)), "ceil": (WIDE,), "floor": (WIDE,), "trunc": (WIDE,),
    "round_half_to_even": (WIDE,), "round_half_away_from_zero": (WIDE,), "exp": (WIDE,), "exp2": (WIDE,),
    "expm1": (WIDE,), "log": (ABOVE,), "log2": (ABOVE,), "log10": (ABOVE,), "log1p": (OPEN,), "logaddexp": (WIDE, SIDE),
    "log1mexp": (np.array([-0.2, -1.0, -3.0]),), "sin": (WIDE,), "cos": (WIDE,), "tan": (OPEN,), "arcsin": (OPEN,),
    "arccos": (OPEN,), "arctan": (WIDE,), "arctan2": (WIDE, SIDE), "sinh": (WIDE,), "cosh": (WIDE,), "tanh": (WIDE,),
    "arcsinh": (WIDE,), "arccosh": (ABOVE,), "arctanh": (OPEN,), "erf": (WIDE,), "deg2rad": (WIDE,), "rad2deg": (WIDE,),
    "sigmoid": (WIDE,), "softplus": (WIDE,), "decay": (WIDE,), "softsign": (WIDE,),
    "hard_sigmoid": (np.array([-4.0, 0.4, 3.1]),),
}  # fmt: skip

# Their results are bools, so that nothing can be derived; or they take none but integers.
WITHOUT = {"lt", "le", "gt", "ge", "eq", "neq", "and_", "or_", "xor", "invert", "isnan", "isinf", "isfinite"}
FLAT = {"int_div", "sgn", "ceil", "floor", "trunc", "round_half_to_even", "round_half_away_from_zero"}


def test_every_elementwise_op_has_a_point() -> None:
    assert set(POINTS) | WITHOUT | {"switch"} == set(ELEMENTWISE)


def differences(function: Callable[..., Any], points: list[Array], weights: Any) -> list[Array]:
    """Central differences of ``sum(weights * function)``, of fourth order."""
    step = 1e-3
    results = []
    for position, point in enumerate(points):
        derivative = np.zeros_like(point)
        for index in np.ndindex(point.shape):
            values = []
            for move in (-2, -1, 1, 2):
                moved = [p.copy() for p in points]
                moved[position][index] += move * step
                values.append(np.sum(weights * function(*moved)))
            derivative[index] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        results.append(derivative)
    return results


def compare_with_differences(build: Callable[..., Variable], values: list[Any], backend: str, tolerance: float) -> None:
    """The gradient, compiled and evaluated, against differences of the function that graphc computes."""
    arrays = [np.asarray(v) for v in values]
    inputs = [like(a) for a in arrays]
    out = build(*inputs)
    weights = np.random.default_rng(5).uniform(0.5, 1.5, evaluate(out, dict(zip(inputs, arrays, strict=True))).shape)
    smooth = [i for i, a in enumerate(arrays) if a.dtype == np.float64]
    cost = (out * weights).sum()
    compiled = function(inputs, out, backend=backend, on_unused_input="ignore")

    def values_of(*moved: Array) -> Any:
        full = list(arrays)
        for i, value in zip(smooth, moved, strict=True):
            full[i] = value
        return compiled(*full)

    want = differences(values_of, [arrays[i] for i in smooth], weights)
    gradients = grad(cost, [inputs[i] for i in smooth], disconnected_inputs="ignore")
    both = function(inputs, gradients, backend=backend, on_unused_input="ignore")(*arrays)
    for results in (both, evaluate(gradients, dict(zip(inputs, arrays, strict=True)))):
        for got, expected, i in zip(results, want, smooth, strict=True):
            assert got.shape == arrays[i].shape
            assert got.dtype == arrays[i].dtype
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


# ---- every op ----


@pytest.mark.parametrize("name", POINTS)
def test_elementwise(name: str, backend: str) -> None:
    op, points = ELEMENTWISE[name], POINTS[name]
    compare_with_differences(op, list(points), backend, 1e-8)
    if name not in FLAT:
        verify_grad(op, list(points))


def test_elementwise_of_broadcast_operands(backend: str) -> None:
    """Every op of two operands, on a column and a row that are known only at run time to be such."""
    for name, op in ELEMENTWISE.items():
        if op.nin == 2 and name not in WITHOUT:
            x, y = POINTS[name]
            compare_with_differences(op, [x[:, None], y[None, :2]], backend, 1e-8)
            compare_with_differences(op, [x, y[0]], backend, 1e-8)
    compare_with_differences(
        lambda c, x, y: T.switch(c > 0, x, y), [WIDE[:, None], SIDE[None, :2], np.float64(2)], backend, 1e-8
    )


DERIVABLE = [
    row
    for module in (test_reductions, test_shapes, test_indexing, test_matmul, test_nnet)
    for row in module.ROWS
    if row.derivable and "float64" in row.dtypes
]


@pytest.mark.parametrize("row", DERIVABLE, ids=str)
def test_rows(row: Row, backend: str) -> None:
    """What the other tables call."""
    compare_with_differences(row.ours, list(row.values), backend, 1e-7)


@pytest.mark.parametrize("name", [name for name in POINTS if name not in FLAT])
def test_float32(name: str, backend: str) -> None:
    """The gradient in float32 is that in float64, rounded; and it is computed in float32."""
    op, points = ELEMENTWISE[name], POINTS[name]
    narrow = [p.astype("float32") for p in points]
    results = []
    for values in (narrow, [p.astype("float64") for p in narrow]):
        inputs = [like(v) for v in values]
        gradients = grad(op(*inputs).sum(), inputs)
        assert [g.dtype for g in gradients] == [x.dtype for x in inputs]
        results.append(function(inputs, gradients, backend=backend, on_unused_input="ignore")(*values))
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want.astype("float32"), rtol=1e-5, atol=1e-6)


X, Y, Z = sympy.symbols("x y z", real=True)
SYMPY: dict[str, Any] = {
    "add": X + Y, "sub": X - Y, "mul": X * Y, "true_div": X / Y, "pow": X**Y, "neg": -X, "abs_": sympy.Abs(X),
    "reciprocal": 1 / X, "sqr": X**2, "sqrt": sympy.sqrt(X),
    "exp": sympy.exp(X), "exp2": 2**X, "expm1": sympy.exp(X) - 1,
    "log": sympy.log(X), "log2": sympy.log(X, 2), "log10": sympy.log(X, 10), "log1p": sympy.log(1 + X),
    "logaddexp": sympy.log(sympy.exp(X) + sympy.exp(Y)), "log1mexp": sympy.log(1 - sympy.exp(X)), "sin": sympy.sin(X),
    "cos": sympy.cos(X), "tan": sympy.tan(X), "arcsin": sympy.asin(X), "arccos": sympy.acos(X), "arctan": sympy.atan(X),
    "arctan2": sympy.atan2(X, Y), "sinh": sympy.sinh(X), "cosh": sympy.cosh(X), "tanh": sympy.tanh(X),
    "arcsinh": sympy.asinh(X), "arccosh": sympy.acosh(X), "arctanh": sympy.atanh(X), "erf": sympy.erf(X),
    "deg2rad": X * sympy.pi / 180, "rad2deg": X * 180 / sympy.pi, "sigmoid": 1 / (1 + sympy.exp(-X)),
    "softplus": sympy.log(1 + sympy.exp(X)),
    "decay": sympy.exp(-sympy.Abs(X)),
    "softsign": X / (1 + sympy.Abs(X)), "mod": sympy.Mod(X, Y), "maximum": sympy.Max(X, Y), "minimum": sympy.Min(X, Y),
    "clip": sympy.Min(sympy.Max(X, Y), Z), "hard_sigmoid": sympy.Min(sympy.Max(X / 5 + sympy.Rational(1, 2), 0), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", POINTS)
def test_sympy(name: str, backend: str) -> None:
    """The derivative by every operand at every point, to 14 digits."""
    points = POINTS[name]
    inputs = [tensor("float64", 0) for _ in points]
    gradients = grad(ELEMENTWISE[name](*inputs), inputs)
    f = function(inputs, gradients, backend=backend, on_unused_input="ignore")
    for at in zip(*points, strict=True):
        got = f(*at)
        if name in FLAT:
            assert all(g == 0 for g in got)
            continue
        given = dict(zip((X, Y, Z), [sympy.Float(v, 50) for v in at], strict=False))
        for g, symbol in zip(got, (X, Y, Z), strict=False):
            if name == "mod":  # SymPy leaves the derivative of the whole quotient open: it is 0
                want = 1.0 if symbol is X else -float(np.floor(at[0] / at[1]))
            else:
                want = float(sympy.diff(SYMPY[name], symbol).subs(given).evalf(40))
            assert g == pytest.approx(want, rel=1e-14, abs=1e-15), (at, symbol)


def test_sympy_knows_every_function_that_is_not_flat() -> None:
    assert set(SYMPY) | FLAT == set(POINTS)


# ---- shapes ----


@pytest.mark.parametrize(
    "left, right",
    [((3, 1), (3, 4)), ((3, 4), (1, 4)), ((1, 1), (3, 4)), ((3, 1), (1, 4)), ((3, 4), (4,)), ((3, 4), ()),
     ((4,), (3, 1)), ((1,), (1, 1)), ((0, 1), (1, 3)), ((2, 3, 4), (3, 1)), ((1, 3, 1), (2, 1, 4)), ((3, 4), (3, 4))],
    ids=str,
)  # fmt: skip
def test_a_gradient_has_the_shape_of_its_input(left: tuple[int, ...], right: tuple[int, ...], backend: str) -> None:
    """Also where only running tells which axes are broadcast; one function serves all these shapes in turn."""
    x, y = tensor("float64", len(left)), tensor("float64", len(right))
    f = function([x, y], grad(T.exp(x * y + x).sum(), [x, y]), backend=backend)
    whole = np.broadcast_shapes(left, right)
    for a, b in ((numbers(*left), numbers(*right) / 9), (np.ones(left), np.ones(right))):
        for gx, gy in (f(a, b), evaluate(grad(T.exp(x * y + x).sum(), [x, y]), {x: a, y: b})):
            e = np.exp(a * b + a)
            assert (gx.shape, gy.shape) == (left, right)
            np.testing.assert_allclose(gx, _summed(e * (b + 1), whole, left), rtol=1e-12)
            np.testing.assert_allclose(gy, _summed(e * a, whole, right), rtol=1e-12)


def _summed(g: Array, whole: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    g = np.broadcast_to(g, whole)
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return np.asarray(g.sum(tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True))


def test_one_function_for_all_patterns_of_broadcasting(backend: str) -> None:
    x, y = tensor("float64", 2), tensor("float64", 2)
    f = function([x, y], grad((x * y).sum(), x), backend=backend)
    for left, right in (
        ((3, 4), (3, 4)),
        ((3, 1), (3, 4)),
        ((1, 4), (3, 4)),
        ((1, 1), (3, 4)),
        ((3, 4), (1, 1)),
        ((3, 4), (3, 4)),
    ):
        a, b = numbers(*left), numbers(*right)
        check(
            f(a, b),
            _summed(np.broadcast_to(b, np.broadcast_shapes(left, right)), np.broadcast_shapes(left, right), left),
            8,
        )


# ---- kinks, ties and zeros ----


def test_ties_are_split_equally(backend: str) -> None:
    x, y = np.array([1.0, 2, 3]), np.array([1.0, 3, 2])
    dx, dy = run(lambda x, y: grad(T.maximum(x, y).sum(), [x, y]), x, y, backend=backend)
    check(dx, np.array([0.5, 0, 1]))
    check(dy, np.array([0.5, 1, 0]))
    dx, dy = run(lambda x, y: grad(T.minimum(x, y).sum(), [x, y]), x, y, backend=backend)
    check(dx, np.array([0.5, 1, 0]))
    check(dy, np.array([0.5, 0, 1]))
    z = np.array([[3.0, 1, 3], [2, 2, 2]])
    check(
        run(lambda z: grad(z.max(axis=1).sum(), z), z, backend=backend),
        np.array([[0.5, 0, 0.5], [1 / 3, 1 / 3, 1 / 3]]),
    )
    check(run(lambda z: grad(z.max(), z), z, backend=backend), np.array([[0.5, 0, 0.5], [0, 0, 0]]))
    check(run(lambda z: grad(z.min(axis=0).sum(), z), z, backend=backend), np.array([[0.0, 1, 0], [1, 0, 1]]))


def test_the_gradient_of_a_product_with_zeros(backend: str) -> None:
    for row, want in (
        ([2.0, 3, 4], [12.0, 8, 6]),
        ([2.0, 0, 4], [0.0, 8, 0]),
        ([0.0, 0, 4], [0.0, 0, 0]),
        ([0.0], [1.0]),
    ):
        x = np.array(row)
        check(run(lambda x: grad(x.prod(), x), x, backend=backend), np.array(want))
        check(run(lambda x: grad(x.prod(axis=1).sum(), x), x[None], backend=backend), np.array([want]))


def test_kinks(backend: str) -> None:
    for build, want in (
        (abs, 0.0),
        (T.sgn, 0.0),
        (lambda x: nnet.relu(x), 0.5),
        (lambda x: nnet.relu(x, 0.2), 0.6),
        (lambda x: T.maximum(x, 0), 0.5),
        (lambda x: x**2, 0.0),
        (lambda x: x**1, 1.0),
        (lambda x: x**0, 0.0),
        (lambda x: T.sqrt(T.sqr(x) + 1), 0.0),
    ):
        got = run(lambda x, build=build: grad(build(x), x), 0.0, backend=backend)
        assert got == want


def test_the_gradient_of_a_power(backend: str) -> None:
    """``x ** y`` at x = 0, and with negative bases and integer exponents."""
    x, n = np.array([-2.0, 0.0, 3.0]), np.array([3, 2, -1])
    dx = run(lambda x, n: grad((x**n).sum(), x), x, n, backend=backend)
    check(dx, np.array([12.0, 0, -1 / 9]), 2)
    dx, dy = run(lambda x, y: grad((x**y).sum(), [x, y]), np.array([0.0, 0.0]), np.array([1.0, 2.0]), backend=backend)
    check(dx, np.array([1.0, 0]))
    check(dy, np.array([0.0, 0]))


@pytest.mark.parametrize("L", [1, 2, 3, "inf"])
def test_the_gradient_of_a_norm(L: Any, backend: str) -> None:
    compare_with_differences(lambda x: x.norm(L), [np.array([0.5, -2.0, 1.25])], backend, 1e-8)


def test_the_gradient_of_a_norm_at_zero_is_zero(backend: str) -> None:
    check(run(lambda x: grad(x.norm(2), x), np.zeros(3), backend=backend), np.zeros(3))


def test_an_infinite_derivative_behind_switch_does_not_leak(backend: str) -> None:
    for build in (
        lambda x: T.switch(x > 0, T.log(x), 0).sum(),
        lambda x: T.switch(x > 0, T.sqrt(x), x).sum(),
        lambda x: T.switch(x > 0, 1 / x, 0).sum(),
    ):
        got = run(lambda x, build=build: grad(build(x), x), np.array([0.0, 4.0]), backend=backend)
        assert np.isfinite(got).all(), got


# ---- operands that occur twice ----


@pytest.mark.parametrize("name", [name for name in POINTS if ELEMENTWISE[name].nin == 2 and name not in FLAT])
def test_an_op_of_one_variable_twice(name: str, backend: str) -> None:
    """f(a, a): the body of an op is differentiated on leaves of its own, or `a` would count twice."""
    op = ELEMENTWISE[name]
    both = POINTS[name]
    at = np.array([0.75, 2.5]) if name == "pow" else np.abs(both[0])
    x, y, z = (tensor("float64", 1) for _ in range(3))
    twice = function([x], grad(op(x, x).sum(), x), backend=backend)(at)
    apart = function([y, z], grad(op(y, z).sum(), [y, z]), backend=backend, on_unused_input="ignore")(at, at)
    np.testing.assert_allclose(twice, apart[0] + apart[1], rtol=1e-14, atol=1e-15)


def test_a_body_of_one_variable_twice(backend: str) -> None:
    compare_with_differences(lambda a: T.clip(a, a - 1, a * 2), [np.array([0.5, 2.0])], backend, 1e-8)
    compare_with_differences(lambda a: T.clip(a, a * 0.25, 9), [np.array([0.5, 2.0])], backend, 1e-8)
    compare_with_differences(lambda a: T.clip(3.0, a, a), [np.array([0.5, 2.0])], backend, 1e-8)


def test_a_sum_of_many_uses(backend: str) -> None:
    x = np.array([0.5, -1.5])
    got = run(lambda x: grad((x * x * x + x / 2 - T.dot(x, x) * x).sum(), x), x, backend=backend)
    want = 3 * x**2 + 0.5 - (2 * x * x.sum() + (x @ x))
    np.testing.assert_allclose(got, want, rtol=1e-14)


# ---- writing with repeated indices ----


def test_of_repeated_indices_only_the_last_write_has_a_gradient(backend: str) -> None:
    x, y, i = np.arange(4.0), np.array([10.0, 20, 30]), np.array([1, 1, 2])
    weights = np.array([1.0, 2, 4, 8])
    dx, dy = run(lambda x, y, i: grad((T.set_subtensor(x[i], y) * weights).sum(), [x, y]), x, y, i, backend=backend)
    check(dx, np.array([1.0, 0, 0, 8]))
    check(dy, np.array([0.0, 2, 4]))
    dx, dy = run(lambda x, y, i: grad((T.inc_subtensor(x[i], y) * weights).sum(), [x, y]), x, y, i, backend=backend)
    check(dx, weights)
    check(dy, np.array([2.0, 2, 4]))
    dy = run(lambda x, y, i: grad((T.set_subtensor(x[i], y) * weights).sum(), y), x, 5.0, i, backend=backend)
    check(dy, np.asarray(6.0))
    check(run(lambda x, i: grad((x[i] * [1.0, 2, 4]).sum(), x), x, i, backend=backend), np.array([0.0, 3, 4, 0]))


# ---- integers ----


def test_the_gradient_with_respect_to_integers_is_zero(backend: str) -> None:
    for dtype in ("int32", "bool", "uint8"):
        i, x = tensor(dtype, 1), tensor("float64", 1)
        di, dx = grad((i * x).sum(), [i, x])
        assert di.dtype == config.floatX
        got = function([i, x], [di, dx], backend=backend, on_unused_input="ignore")(np.ones(3, dtype), WIDE)
        check(got[0], np.zeros(3))
        check(got[1], np.ones(3))


def test_no_gradient_goes_through_integers(backend: str) -> None:
    for build in (
        lambda x: T.cast(T.cast(x, "int64"), "float64"),
        T.floor,
        lambda x: (x > 0) * 1.0,
        lambda x: x.argmax() * 1.0,
    ):
        got = run(lambda x, build=build: grad(build(x).sum() + x.sum(), x), WIDE, backend=backend)
        check(got, np.ones(3))
    assert (
        grad(T.cast(tensor("int64", 1), "float32").sum(), [x := tensor("float64", 1)], disconnected_inputs="ignore")[
            0
        ].type
        == x.type
    )


def test_casting_goes_back(backend: str) -> None:
    x = tensor("float32", 1)
    g = grad((T.cast(x, "float64") ** 2).sum(), x)
    assert g.dtype == "float32"
    check(function([x], g, backend=backend)(WIDE.astype("float32")), (2 * WIDE.astype("float32")))


# ---- what grad takes ----


def test_the_result_has_the_form_of_wrt() -> None:
    x, y = tensor("float64", 0, "x"), tensor("float64", 0, "y")
    cost = x * y
    assert isinstance(grad(cost, x), Variable)
    assert isinstance(grad(cost, [x, y]), list)
    assert isinstance(grad(cost, (x, y)), tuple)
    assert grad(cost, []) == []
    assert isinstance(grad(cost, [x]), list)
    no_variables: Any = [3]
    with pytest.raises(TypeError, match="wrt holds 3"):
        grad(cost, no_variables)


def test_cost_must_be_a_scalar() -> None:
    x = tensor("float64", 1)
    with pytest.raises(TypeError, match="cost must be a scalar"):
        grad(x, x)
    with pytest.raises(TypeError, match="cost is 3"):
        grad(3, x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="known_grads"):
        grad(None, x)


def test_the_gradient_of_a_variable_by_itself(backend: str) -> None:
    assert run(lambda x: grad(x, x), 3.0, backend=backend) == 1
    x = tensor("float32", 0)
    assert grad(x, x).dtype == "float32"


def test_names() -> None:
    x, cost = tensor("float64", 0, "x"), None
    cost = x**2
    cost.name = "cost"
    assert grad(cost, x).name == "(dcost/dx)"
    cost = x**2
    cost.name = "cost"
    assert grad(cost, x, add_names=False).name is None


def test_disconnected_inputs() -> None:
    x, y = tensor("float64", 0, "x"), tensor("float64", 1, "y")
    cost = x**2
    with pytest.raises(DisconnectedInputError, match="does not depend on y"):
        grad(cost, [x, y])
    with pytest.warns(UserWarning, match="does not depend on y"):
        grad(cost, y, disconnected_inputs="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = grad(cost, y, disconnected_inputs="ignore")
    check(evaluate(got, {y: WIDE}), np.zeros(3))
    with pytest.raises(ValueError, match="disconnected_inputs must be one of"):
        grad(cost, y, disconnected_inputs="shrug")


def test_return_disconnected() -> None:
    x, y = tensor("float64", 0), tensor("float64", 0)
    for form, want in (("none", None), ("disconnected", None)):
        assert grad(x**2, [x, y], disconnected_inputs="ignore", return_disconnected=form)[1] is want
    assert isinstance(grad(x**2, y, disconnected_inputs="ignore", return_disconnected="zero"), Variable)
    with pytest.raises(ValueError, match="return_disconnected must be one of"):
        grad(x**2, y, return_disconnected="maybe")


def test_a_shape_is_disconnected_and_an_index_too() -> None:
    x = tensor("float64", 1)
    with pytest.raises(DisconnectedInputError):
        grad(x.shape[0] * 1.0, x)
    with pytest.raises(DisconnectedInputError):
        grad(T.zeros_like(x).sum(), x)
    i = tensor("int64", 0)
    with pytest.raises(DisconnectedInputError):
        grad(x[i], i)


def test_consider_constant(backend: str) -> None:
    def build(x: Variable) -> Any:
        y = x**2
        return [
            grad((x * y).sum(), x, consider_constant=[y]),
            grad((x * consider_constant(x**2)).sum(), x),
            grad((x * y).sum(), x),
        ]

    first, second, third = run(build, WIDE, backend=backend)
    np.testing.assert_allclose(first, WIDE**2, rtol=1e-15)
    np.testing.assert_allclose(second, WIDE**2, rtol=1e-15)
    np.testing.assert_allclose(third, 3 * WIDE**2, rtol=1e-15)


def test_known_grads(backend: str) -> None:
    def build(x: Variable) -> Any:
        h = x**2
        return [
            grad(None, x, known_grads={h: T.ones_like(h) * 3}),
            grad((h**2).sum(), x, known_grads={h: np.ones(3)}),
            grad(h.sum(), h),
            grad(None, x, known_grads={h: T.ones_like(h), x: T.ones_like(x) * 7}),
        ]

    first, second, third, fourth = run(build, WIDE, backend=backend)
    np.testing.assert_allclose(first, 6 * WIDE, rtol=1e-15)
    np.testing.assert_allclose(second, 2 * WIDE, rtol=1e-15)
    check(third, np.ones(3))
    check(fourth, np.full(3, 7.0))
    x = tensor("float64", 1)
    with pytest.raises(TypeError, match="the rank of its variable"):
        grad(None, x, known_grads={x * 2: 1.0})


def test_null_gradients() -> None:
    class NoGradient(Op):
        __props__ = ()

        def make_node(self, *inputs: Any) -> Apply:
            x = as_variable(inputs[0])
            return Apply(self, [x], [x.type.clone()])

    x, y = tensor("float64", 0), tensor("float64", 0)
    cost = NoGradient()(x) + y
    with pytest.raises(UndefinedGradientError, match="has no gradient"):
        grad(cost, x)
    assert grad(cost, [x, y], null_gradients="return")[0] is None
    assert grad(cost, y).dtype == "float64"
    with pytest.raises(ValueError, match="null_gradients must be one of"):
        grad(cost, x, null_gradients="maybe")


def test_ops_that_change_the_gradient_alone(backend: str) -> None:
    for wrap, want in (
        (lambda x: grad_clip(x, -1, 2), np.clip(2 * WIDE, -1, 2)),
        (lambda x: grad_scale(x, 3), 6 * WIDE),
        (zero_grad, np.zeros(3)),
        (tensor_copy, 2 * WIDE),
    ):
        value, gradient = run(lambda x, wrap=wrap: [wrap(x), grad((wrap(x) ** 2).sum(), x)], WIDE, backend=backend)
        check(value, WIDE)
        check(gradient, want, 1)
    x = tensor("float64", 1)
    with pytest.raises(DisconnectedInputError):
        grad(disconnected_grad(x).sum(), x)
    check(evaluate(grad((disconnected_grad(x) * x).sum(), x), {x: WIDE}), WIDE)


# ---- products with the Jacobian ----


def test_Lop_and_Rop(backend: str) -> None:
    W = numbers(3, 4)
    v, u = np.array([1.0, -2, 0.5]), np.array([0.5, 1, -1, 2])
    x = np.array([0.1, 0.2, -0.3])

    def f(x: Variable) -> Any:
        return T.tanh(T.dot(x, W))

    jacobian = ((1 - np.tanh(x @ W) ** 2) * W).T
    np.testing.assert_allclose(run(lambda x, u: Lop(f(x), x, u), x, u, backend=backend), u @ jacobian, rtol=1e-13)
    np.testing.assert_allclose(run(lambda x, v: Rop(f(x), x, v), x, v, backend=backend), jacobian @ v, rtol=1e-13)
    both = run(lambda x, v: Rop([f(x), x**2], [x], [v]), x, v, backend=backend)
    np.testing.assert_allclose(both[0], jacobian @ v, rtol=1e-13)
    np.testing.assert_allclose(both[1], 2 * x * v, rtol=1e-13)
    y = tensor("float64", 1)
    with pytest.raises(ValueError, match="2 outputs and 1 vectors"):
        Lop([y, y], y, [y])
    with pytest.raises(ValueError, match="1 variables and 2 vectors"):
        Rop(y, [y], [y, y])
    with pytest.raises(DisconnectedInputError):
        Lop(y, tensor("float64", 1), y)


def test_second_derivatives(backend: str) -> None:
    for name in POINTS:
        if name in FLAT or ELEMENTWISE[name].nin > 1 or name in ("hard_sigmoid", "clip"):
            continue
        compare_with_differences(
            lambda x, name=name: grad(ELEMENTWISE[name](x).sum(), x), [POINTS[name][0]], backend, 1e-6
        )
    x = np.array([0.3, -0.4])
    for build in (
        nnet.softmax,
        nnet.logsoftmax,
        T.logsumexp,
        lambda x: x.prod(),
        lambda x: x.norm(2),
        lambda x: T.dot(x, x) ** 2,
    ):
        compare_with_differences(lambda x, build=build: grad((build(x) ** 2).sum(), x), [x], backend, 1e-6)


# ---- verify_grad itself ----


def test_verify_grad_finds_a_wrong_gradient() -> None:
    class Wrong(Op):
        __props__ = ()

        def make_node(self, *inputs: Any) -> Apply:
            x = as_variable(inputs[0])
            return Apply(self, [x], [x.type.clone()])

        def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
            return [shapes[0]]

        def perform(self, node: Apply, *values: Any) -> Any:
            return values[0] ** 2

        def gradient(self, gs: Any, outs: Any, inputs: Any) -> Any:
            return [gs[0] * inputs[0] * 2.001]

    with pytest.raises(VerifyGradError, match="wrong in 3 of 3 elements"):
        verify_grad(Wrong(), [WIDE])
    with pytest.raises(TypeError, match="differences need floats"):
        verify_grad(T.exp, [np.array([1, 2])])
    verify_grad(lambda x, y: T.dot(x, y), [numbers(2, 3), numbers(3)])
    verify_grad(T.exp, [WIDE.astype("float32")])


def test_every_float_dtype_has_a_step() -> None:
    from graphc.gradient.verify import STEP, TOLERANCE

    assert set(STEP) == set(TOLERANCE) == set(dtypes.FLOATS)
