"""The elementwise ops: arithmetic, comparisons, exponentials, trigonometry and their relatives.

Gradients are written for the cost's gradient `g` with respect to the result `out`.  Sources: Abramowitz & Stegun,
Handbook of Mathematical Functions, chapter 4 (elementary functions).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.bindings import ops
from graphc.graph.op import Gradient, as_variables, refuse, zero
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.declare import Elementwise, common, converted, elementwise, fits, function
from graphc.ops.declare import real as of_reals

# A Variable, or what becomes one: a number, an array, a list.
Tensor = Any

LN2 = float(np.log(2.0))
LN10 = float(np.log(10.0))

# ---- arithmetic ----


@elementwise("add", grad=lambda g, out, x, y: (g, g), commutative=True)
def add(x: Tensor, y: Tensor) -> Tensor:
    """``x + y``."""


@elementwise("subtract", grad=lambda g, out, x, y: (g, -g))
def sub(x: Tensor, y: Tensor) -> Tensor:
    """``x - y``."""


@elementwise("multiply", grad=lambda g, out, x, y: (g * y, g * x), commutative=True)
def mul(x: Tensor, y: Tensor) -> Tensor:
    """``x * y``."""


@elementwise("divide", grad=lambda g, out, x, y: (g / y, -g * out / y))
def true_div(x: Tensor, y: Tensor) -> Tensor:
    """``x / y``; of integers in ``config.floatX``."""


@elementwise("floor_divide", zero_grad=True)
def int_div(x: Tensor, y: Tensor) -> Tensor:
    """``x // y``, rounded towards minus infinity."""


@elementwise("remainder", grad=lambda g, out, x, y: (g, -g * int_div(x, y)))
def mod(x: Tensor, y: Tensor) -> Tensor:
    """``x % y`` with the sign of `y`."""


def _pow_grad(g: Variable, out: Variable, x: Variable, y: Variable) -> tuple[Gradient, Gradient]:
    """``y x**(y-1)`` and ``x**y log x``, the latter 0 where x is 0 and y positive (its limit)."""
    # At y = 0 the power is constant; x ** -1 would make its derivative 0 * inf where x is 0.
    below = y - 1 if isinstance(y, Constant) and np.all(y.data != 0) else switch(eq(y, 0), 1, y - 1)
    base = g * y * x**below
    if dtypes.is_discrete(y.dtype):
        return base, zero
    return base, g * out * switch(eq(x, 0), 0, log(x))


@elementwise("power", grad=_pow_grad)
def pow(x: Tensor, y: Tensor) -> Tensor:
    """``x ** y``."""


@elementwise("negative", grad=lambda g, out, x: (-g,))
def neg(x: Tensor) -> Tensor:
    """``-x``."""


@elementwise("absolute", grad=lambda g, out, x: (g * ops.sgn(x),))
def abs_(x: Tensor) -> Tensor:
    """``|x|``; its gradient at 0 is 0."""


@elementwise("sign", zero_grad=True)
def sgn(x: Tensor) -> Tensor:
    """-1, 0 or 1 by the sign of `x`."""


@elementwise("reciprocal", grad=lambda g, out, x: (-g * out * out,), dtypes_like="exp")
def reciprocal(x: Tensor) -> Tensor:
    """``1 / x``."""


@elementwise("square", grad=lambda g, out, x: (g * 2 * x,))
def sqr(x: Tensor) -> Tensor:
    """``x * x``."""


def _sqrt_grad(g: Variable, out: Variable, x: Variable) -> tuple[Gradient]:
    """``g / (2 sqrt x)``; for a norm, the root of a sum of squares, 0 at the origin, which is a subgradient there."""
    return (g * 0.5 / (switch(eq(out, 0), float("inf"), out) if _is_sum_of_squares(x) else out),)


def _is_sum_of_squares(x: Variable, most_terms: int = 16) -> bool:
    """Whether `x` is zero only where everything it depends on through squares is zero."""
    pending = [x]
    while pending and most_terms:
        most_terms -= 1
        node = pending.pop().owner
        if node is None or dtypes.is_complex(node.inputs[0].dtype):
            return False
        if node.op is add:
            pending += node.inputs
        elif node.op.name in ("sum", "cast") or node.op is true_div:
            pending.append(node.inputs[0])
        elif not _is_square(node):
            return False
    return not pending


def _is_square(node: Apply) -> bool:
    exponent = node.inputs[-1]
    return (
        node.op is sqr
        or (node.op is mul and node.inputs[0] is node.inputs[1])
        or (node.op is pow and isinstance(exponent, Constant) and exponent.scalar() == 2)
    )


@elementwise("sqrt", grad=_sqrt_grad)
def sqrt(x: Tensor) -> Tensor:
    """The square root; nan for negative `x`."""


@elementwise("maximum", grad=lambda g, out, x, y: _tie(g, ops.eq(x, out), ops.eq(y, out)), commutative=True)
def maximum(x: Tensor, y: Tensor) -> Tensor:
    """The larger of the two; nan if one is.  The gradient at a tie is split equally."""


@elementwise("minimum", grad=lambda g, out, x, y: _tie(g, ops.eq(x, out), ops.eq(y, out)), commutative=True)
def minimum(x: Tensor, y: Tensor) -> Tensor:
    """The smaller of the two; nan if one is.  The gradient at a tie is split equally."""


def _tie(g: Variable, first: Variable, second: Variable) -> tuple[Variable, Variable]:
    """The gradient goes to the operand that was chosen, half to each if both were."""
    share = switch(and_(first, second), g * 0.5, g)
    return switch(first, share, 0), switch(second, share, 0)


# ---- comparisons and logic ----


@elementwise("less", zero_grad=True)
def lt(x: Tensor, y: Tensor) -> Tensor:
    """``x < y``."""


@elementwise("less_equal", zero_grad=True)
def le(x: Tensor, y: Tensor) -> Tensor:
    """``x <= y``."""


@elementwise("greater", zero_grad=True)
def gt(x: Tensor, y: Tensor) -> Tensor:
    """``x > y``."""


@elementwise("greater_equal", zero_grad=True)
def ge(x: Tensor, y: Tensor) -> Tensor:
    """``x >= y``."""


@elementwise("equal", zero_grad=True, commutative=True)
def eq(x: Tensor, y: Tensor) -> Tensor:
    """Whether `x` equals `y`, element by element (``==`` compares the symbols)."""


@elementwise("not_equal", zero_grad=True, commutative=True)
def neq(x: Tensor, y: Tensor) -> Tensor:
    """Whether `x` differs from `y`, element by element."""


@elementwise("bitwise_and", zero_grad=True, commutative=True)
def and_(x: Tensor, y: Tensor) -> Tensor:
    """``x & y`` of bools or integers."""


@elementwise("bitwise_or", zero_grad=True, commutative=True)
def or_(x: Tensor, y: Tensor) -> Tensor:
    """``x | y`` of bools or integers."""


@elementwise("bitwise_xor", zero_grad=True, commutative=True)
def xor(x: Tensor, y: Tensor) -> Tensor:
    """``x ^ y`` of bools or integers."""


@elementwise("invert", zero_grad=True)
def invert(x: Tensor) -> Tensor:
    """``~x`` of bools or integers."""


@elementwise("isnan", zero_grad=True)
def isnan(x: Tensor) -> Tensor:
    """Whether `x` is not a number."""


@elementwise("isinf", zero_grad=True)
def isinf(x: Tensor) -> Tensor:
    """Whether `x` is infinite."""


@elementwise("isfinite", zero_grad=True)
def isfinite(x: Tensor) -> Tensor:
    """Whether `x` is neither infinite nor nan."""


def _switch_dtypes(operands: tuple[dtypes.Operand, ...]) -> tuple[tuple[str, ...], str]:
    dtype = dtypes.promote(operands[1:])
    return (operands[0][0], dtype, dtype), dtype


@elementwise(
    "where",
    grad=lambda g, out, condition, x, y: (zero, ops.switch(condition, g, 0), ops.switch(condition, 0, g)),
    dtypes_like=_switch_dtypes,
)
def switch(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`x` where `condition` is not zero, else `y`.  Both are computed; `ifelse` computes one."""


@elementwise(dtypes_like=common)
def clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`x` limited to the range from `low` to `high`."""
    return minimum(maximum(x, low), high)


# ---- rounding ----


@elementwise("ceil", zero_grad=True)
def ceil(x: Tensor) -> Tensor:
    """The smallest whole number not below `x`."""


@elementwise("floor", zero_grad=True)
def floor(x: Tensor) -> Tensor:
    """The largest whole number not above `x`."""


@elementwise("trunc", zero_grad=True)
def trunc(x: Tensor) -> Tensor:
    """`x` without its fraction."""


@elementwise("rint", zero_grad=True)
def round_half_to_even(x: Tensor) -> Tensor:
    """The nearest whole number; halves go to the even one."""


@elementwise(zero_grad=True, dtypes_like=of_reals)
def round_half_away_from_zero(x: Tensor) -> Tensor:
    """The nearest whole number; halves go away from zero."""
    nearest = trunc(x)
    return switch(ge(abs_(x - nearest), 0.5), nearest + sgn(x), nearest)


# ---- exponentials and logarithms ----


@elementwise("exp", grad=lambda g, out, x: (g * out,))
def exp(x: Tensor) -> Tensor:
    """The exponential function."""


@elementwise("exp2", grad=lambda g, out, x: (g * out * LN2,))
def exp2(x: Tensor) -> Tensor:
    """``2 ** x``."""


@elementwise("expm1", grad=lambda g, out, x: (g * exp(x),))
def expm1(x: Tensor) -> Tensor:
    """``exp(x) - 1``, accurate for small `x`."""


@elementwise("log", grad=lambda g, out, x: (g / x,))
def log(x: Tensor) -> Tensor:
    """The natural logarithm."""


@elementwise("log2", grad=lambda g, out, x: (g / (x * LN2),))
def log2(x: Tensor) -> Tensor:
    """The logarithm to base 2."""


@elementwise("log10", grad=lambda g, out, x: (g / (x * LN10),))
def log10(x: Tensor) -> Tensor:
    """The logarithm to base 10."""


@elementwise("log1p", grad=lambda g, out, x: (g / (1 + x),))
def log1p(x: Tensor) -> Tensor:
    """``log(1 + x)``, accurate for small `x`."""


@elementwise(
    "logaddexp", grad=lambda g, out, x, y: (g * exp(x - out), g * exp(y - out)), commutative=True
)
def logaddexp(x: Tensor, y: Tensor) -> Tensor:
    """``log(exp(x) + exp(y))`` without overflow."""


@elementwise(grad=lambda g, out, x: (g / -expm1(-x),), dtypes_like=of_reals)
def log1mexp(x: Tensor) -> Tensor:
    """``log(1 - exp(x))`` for negative `x`, accurate near 0 and far from it (Maechler 2012, log1mexp)."""
    return switch(x > -LN2, log(-expm1(x)), log1p(-exp(x)))


# ---- trigonometric and hyperbolic functions ----


@elementwise("sin", grad=lambda g, out, x: (g * ops.cos(x),))
def sin(x: Tensor) -> Tensor:
    """The sine of an angle in radians."""


@elementwise("cos", grad=lambda g, out, x: (-g * sin(x),))
def cos(x: Tensor) -> Tensor:
    """The cosine of an angle in radians."""


@elementwise("tan", grad=lambda g, out, x: (g * (1 + sqr(out)),))
def tan(x: Tensor) -> Tensor:
    """The tangent of an angle in radians."""


@elementwise("arcsin", grad=lambda g, out, x: (g / sqrt(1 - sqr(x)),))
def arcsin(x: Tensor) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is `x`."""


@elementwise("arccos", grad=lambda g, out, x: (-g / sqrt(1 - sqr(x)),))
def arccos(x: Tensor) -> Tensor:
    """The angle in [0, pi] whose cosine is `x`."""


@elementwise("arctan", grad=lambda g, out, x: (g / (1 + sqr(x)),))
def arctan(x: Tensor) -> Tensor:
    """The angle in (-pi/2, pi/2) whose tangent is `x`."""


@elementwise(
    "arctan2", grad=lambda g, out, y, x: (g * x / (sqr(x) + sqr(y)), -g * y / (sqr(x) + sqr(y)))
)
def arctan2(y: Tensor, x: Tensor) -> Tensor:
    """The angle in [-pi, pi] of the point (x, y)."""


@elementwise("sinh", grad=lambda g, out, x: (g * ops.cosh(x),))
def sinh(x: Tensor) -> Tensor:
    """The hyperbolic sine."""


@elementwise("cosh", grad=lambda g, out, x: (g * sinh(x),))
def cosh(x: Tensor) -> Tensor:
    """The hyperbolic cosine."""


@elementwise("tanh", grad=lambda g, out, x: (g * (1 - sqr(out)),))
def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""


@elementwise("arcsinh", grad=lambda g, out, x: (g / sqrt(1 + sqr(x)),))
def arcsinh(x: Tensor) -> Tensor:
    """The inverse of `sinh`."""


@elementwise("arccosh", grad=lambda g, out, x: (g / (sqrt(x - 1) * sqrt(x + 1)),))
def arccosh(x: Tensor) -> Tensor:
    """The inverse of `cosh` for ``x >= 1``."""


@elementwise("arctanh", grad=lambda g, out, x: (g / (1 - sqr(x)),))
def arctanh(x: Tensor) -> Tensor:
    """The inverse of `tanh` for ``|x| < 1``."""


@elementwise("deg2rad", grad=lambda g, out, x: (g * (np.pi / 180),))
def deg2rad(x: Tensor) -> Tensor:
    """An angle of `x` degrees in radians."""


@elementwise("rad2deg", grad=lambda g, out, x: (g * (180 / np.pi),))
def rad2deg(x: Tensor) -> Tensor:
    """An angle of `x` radians in degrees."""


# ---- shape from one operand, value from the other ----


def _fill_dtypes(operands: tuple[dtypes.Operand, ...]) -> tuple[tuple[str, ...], str]:
    return tuple(dtype for dtype, _ in operands), operands[1][0]


class Fill(Elementwise):
    """``fill(x, value)``: elementwise, but only the shape of the first operand matters."""

    def __reduce__(self) -> Any:
        return self.name

    def make_node(self, *inputs: Any) -> Apply:
        node = super().make_node(*inputs)
        # A Python number takes the dtype of what it fills only in the *_like functions, which cast it first.
        (out,) = node.outputs
        out.type = TensorType(out.dtype, shape=out.type.shape)
        return node

    def perform(self, node: Apply, *values: Any) -> Any:
        x, value = values
        shape = np.broadcast_shapes(np.shape(x), np.shape(value))
        return np.full(shape, value, node.outputs[0].dtype)


fill = Fill(
    "fill",
    2,
    _fill_dtypes,
    grad=lambda g, out, x, value: (None, g),
    doc="`value` in the shape of `x` (broadcast against each other).",
)


# ---- conversions and identities ----


class Cast(Elementwise):
    """The conversion to a dtype, like ``ndarray.astype``."""

    __props__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        super().__init__("cast", 1, lambda operands: ((operands[0][0],), dtype), grad=self._cast_gradient)
        self.dtype = dtype

    def __reduce__(self) -> Any:
        return Cast, (self.dtype,)

    def _cast_gradient(self, g: Variable, out: Variable, x: Variable) -> tuple[Gradient]:
        return (zero if dtypes.is_discrete(self.dtype) else g,)

    def make_node(self, *inputs: Any) -> Apply:
        node = super().make_node(*inputs)
        (out,) = node.outputs
        out.type = TensorType(self.dtype, shape=out.type.shape)  # a cast is never weak
        return node

    def perform(self, node: Apply, *values: Any) -> Any:
        return converted(np.asarray(values[0]), self.dtype)

    def text(self) -> str:
        return f"Cast{{{self.dtype}}}"


@function
def cast(x: Any, dtype: Any) -> Variable:
    """`x` converted to `dtype`; `x` itself if it has it already.

    That of a complex number to a real one is a TypeError: ``T.real(x)`` or ``abs(x)`` says which is meant.
    """
    (source,) = as_variables("cast", [x])
    name = dtypes.check(dtype)
    if dtypes.is_complex(source.dtype) and name in (*dtypes.INTEGERS, *dtypes.FLOATS):
        problem = f"which {name} stands for a {source.dtype} is not clear"
        raise refuse(TypeError, "cast", problem, [source], f"T.cast(T.real(x), {name!r}) or abs(x)")
    if source.dtype == name and not source.type.weak:
        return source
    if isinstance(source, Constant):
        if not fits(source, name):
            raise refuse(OverflowError, "cast", f"{source.data} is out of bounds for {name}", [source])
        return Constant(TensorType(name, shape=source.type.shape), converted(source.data, name), source.name)
    out: Variable = Cast(name)(source)
    return out


@function
def real(x: Any) -> Variable:
    """The real part of a complex `x`; any other `x` is its own."""
    (source,) = as_variables("real", [x])
    if not dtypes.is_complex(source.dtype):
        return source
    out: Variable = Cast(dtypes.REAL[source.dtype])(source)
    return out


class Identity(Elementwise):
    """The same value; subclasses change what the gradient sees."""

    view_of = 0

    def __init__(self, name: str, grad: Any) -> None:
        super().__init__(name, 1, lambda operands: ((operands[0][0],), operands[0][0]), grad=grad)

    def __reduce__(self) -> Any:
        return self.name

    def make_node(self, *inputs: Any) -> Apply:
        node = super().make_node(*inputs)
        (out,) = node.outputs
        out.type = TensorType(out.dtype, shape=out.type.shape)
        return node

    def perform(self, node: Apply, *values: Any) -> Any:
        return values[0]


tensor_copy = Identity("tensor_copy", lambda g, out, x: (g,))
zero_grad = Identity("zero_grad", lambda g, out, x: (zero,))
disconnected_grad = Identity("disconnected_grad", lambda g, out, x: (None,))


class GradClip(Identity):
    """The identity whose gradient is clipped to a range."""

    __props__ = ("low", "high")

    def __init__(self, low: float, high: float) -> None:
        super().__init__("grad_clip", lambda g, out, x: (clip(g, low, high),))
        self.low, self.high = low, high

    def __reduce__(self) -> Any:
        return GradClip, (self.low, self.high)


class GradScale(Identity):
    """The identity whose gradient is multiplied by a number."""

    __props__ = ("factor",)

    def __init__(self, factor: float) -> None:
        super().__init__("grad_scale", lambda g, out, x: (g * factor,))
        self.factor = factor

    def __reduce__(self) -> Any:
        return GradScale, (self.factor,)


def grad_clip(x: Any, lower_bound: float, upper_bound: float) -> Variable:
    """`x`, whose gradient is limited to ``[lower_bound, upper_bound]``."""
    out: Variable = GradClip(lower_bound, upper_bound)(x)
    return out


def grad_scale(x: Any, multiplier: float) -> Variable:
    """`x`, whose gradient is multiplied by `multiplier`."""
    out: Variable = GradScale(multiplier)(x)
    return out


ops.bind("copy", tensor_copy)
ops.bind("fill", fill)


@function
def zeros_like(x: Any, dtype: Any = None) -> Variable:
    """Zeros in the shape (and, unless given, the dtype) of `x`."""
    return full_like(x, 0, dtype)


@function
def ones_like(x: Any, dtype: Any = None) -> Variable:
    """Ones in the shape (and, unless given, the dtype) of `x`."""
    return full_like(x, 1, dtype)


@function
def full_like(x: Any, value: Any, dtype: Any = None) -> Variable:
    """`value` in the shape (and, unless given, the dtype) of `x`."""
    (x,) = as_variables(fill, [x])
    value = cast(value, x.dtype if dtype is None else dtype)
    if x.ndim == 0 and value.ndim == 0 and isinstance(value, Constant):
        return value
    out: Variable = fill(x, value)
    return out


def round(x: Any, mode: str = "half_to_even") -> Variable:
    """`x` rounded; `mode` is "half_to_even" or "half_away_from_zero"."""
    rounders = {"half_to_even": round_half_to_even, "half_away_from_zero": round_half_away_from_zero}
    if mode not in rounders:
        raise ValueError(f"round: mode must be one of {', '.join(rounders)}, got {mode!r}")
    out: Variable = rounders[mode](x)
    return out


# What Theano calls them.
inv = reciprocal
where = switch
bitwise_and, bitwise_or, bitwise_xor, bitwise_not = and_, or_, xor, invert
