"""How ops are declared: one declaration in one place.

    @elementwise(numpy="exp", grad=lambda g, out, x: (g * out,))
    def exp(x):
        '''The exponential function.'''

    @elementwise(grad=lambda g, out, x: (g * sigmoid(x),))
    def softplus(x):
        '''Smooth ``maximum(x, 0)``, accurate for large ``|x|``.'''
        return maximum(x, 0) + log1p(exp(-abs(x)))

An elementwise op whose function returns nothing is a primitive: every backend has a spelling for it.  One whose
function returns an expression is that expression (its *body*); it can still name a NumPy function that computes it in
one call, and its gradient is derived from the body unless one is given.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, TypeVar

import numpy as np

from graphc import dtypes
from graphc.configuration import config
from graphc.errors import ShapeError
from graphc.graph.bindings import ops
from graphc.graph.op import Gradient, Op, Zero, as_variables, refuse, zero
from graphc.graph.sizes import Shape, Sizes, static_sizes
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable, constant

# A Variable, or what becomes one: a number, an array, a list.
Tensor = Any

GradientRule = Callable[..., Sequence[Gradient]]
# (dtypes and weakness of the operands) -> (dtypes the operands are cast to, dtype of the result)
DtypeRule = Callable[[tuple[dtypes.Operand, ...]], "tuple[tuple[str, ...], str]"]

ELEMENTWISE: dict[str, Elementwise] = {}

# NumPy's ufuncs that compare integers of any two dtypes by their values.
COMPARISONS = frozenset({"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"})


def like(ufunc: str) -> DtypeRule:
    """The dtypes of one of NumPy's ufuncs."""

    def rule(operands: tuple[dtypes.Operand, ...]) -> tuple[tuple[str, ...], str]:
        return dtypes.resolve(ufunc, operands, config.floatX)

    return rule


def real(operands: tuple[dtypes.Operand, ...]) -> tuple[tuple[str, ...], str]:
    """Floats, or what becomes a float; there is no such function of complex numbers."""
    return dtypes.resolve("cbrt", operands, config.floatX)


def common(operands: tuple[dtypes.Operand, ...]) -> tuple[tuple[str, ...], str]:
    """All operands are cast to their common dtype, which is that of the result."""
    dtype = dtypes.promote(operands)
    return (dtype,) * len(operands), dtype


def fits(x: Variable, dtype: str) -> bool:
    """Whether `dtype` holds `x`, if that is a Python int; other numbers are rounded to what it holds."""
    if not (x.type.weak and isinstance(x, Constant)) or dtype not in dtypes.INTEGERS or x.dtype not in dtypes.INTEGERS:
        return True
    limits = np.iinfo(dtype)
    return bool(limits.min <= int(x.data) <= limits.max)


def converted(data: Any, dtype: str) -> Any:
    """``data.astype(dtype)`` without warnings: infinities and real parts are what is wanted."""
    with np.errstate(all="ignore"):
        return (data.real if np.iscomplexobj(data) and np.dtype(dtype).kind in "iuf" else data).astype(dtype)


@cache
def load(path: str) -> Callable[..., Any]:
    """The function at ``"module:name"``; a bare name is NumPy's."""
    module, _, name = path.rpartition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module or "numpy"), name)
    return function


class Elementwise(Op):
    """An op that works element by element: it aligns ranks and broadcasts its operands itself.

    Attributes
    ----------
    nin: the number of operands.
    numpy: the NumPy or SciPy function (``"module:name"``) that computes it in one call, or None.
    commutative: the operands may be exchanged.
    symbol: the operator it is written with, for errors.
    """

    def __init__(
        self,
        name: str,
        nin: int,
        rule: DtypeRule,
        numpy: str | None = None,
        body: Callable[..., Any] | None = None,
        grad: GradientRule | None = None,
        commutative: bool = False,
        doc: str | None = None,
    ) -> None:
        self.name = name
        self.nin = nin
        self.rule = rule
        self.numpy = numpy
        self.commutative = commutative
        self.__doc__ = doc
        self._body = body
        self._grad = grad
        self._resolved: dict[Any, tuple[tuple[str, ...], str]] = {}

    def __reduce__(self) -> Any:
        return _elementwise_named, (self.name,)

    def text(self) -> str:
        return self.name

    # ---- types ----

    def signature(self, inputs: Sequence[Variable]) -> tuple[tuple[str, ...], str]:
        """The dtypes the operands are cast to, and that of the result."""
        operands = tuple([(x.type.dtype, x.type.weak) for x in inputs])
        key = (config.floatX, operands)
        found = self._resolved.get(key)
        if found is None:
            found = self._resolved[key] = self.rule(operands)
        return found

    def make_node(self, *inputs: Any) -> Apply:
        if len(inputs) != self.nin:
            raise TypeError(f"{self.name}() takes {self.nin} operand{'s' * (self.nin > 1)}, got {len(inputs)}")
        xs = as_variables(self, inputs)
        try:
            loop, dtype = self.signature(xs)
        except TypeError:
            found = " and ".join(x.dtype for x in xs)
            raise refuse(TypeError, self, f"not defined for {found}", xs, "T.cast(x, dtype)") from None
        if any([x.type.weak for x in xs]) and not all(map(fits, xs, loop)):
            return self._with_wide_numbers(xs, loop)
        first = xs[0].type.shape
        if all(x.type.shape == first or not x.type.shape for x in xs) and first:
            shape = first
        else:
            try:
                shape = static_sizes.broadcast([x.type.shape for x in xs])  # type: ignore[assignment]
            except ShapeError as error:
                hint = "sizes must be equal or 1; x.dimshuffle(0, 'x') adds an axis"
                raise refuse(ShapeError, self, str(error), xs, hint) from None
        weak = all([x.type.weak for x in xs])
        for like in [x.type for x in xs]:  # most results have the type of an operand
            if like.dtype == dtype and like.shape == shape and like.weak == weak:
                return Apply(self, xs, [like])
        return Apply(self, xs, [TensorType(dtype, shape=shape, weak=weak)])

    def _with_wide_numbers(self, xs: Sequence[Variable], loop: Sequence[str]) -> Apply:
        """Comparisons are right for every Python int; other ops cannot take one that their dtype does not hold."""
        if self.numpy in COMPARISONS:
            return self.make_node(*(constant(x.data) if isinstance(x, Constant) else x for x in xs))
        number, want = next((x, want) for x, want in zip(xs, loop, strict=True) if not fits(x, want))
        problem = f"{getattr(number, 'data', number)} is out of bounds for {want}"
        raise refuse(OverflowError, self, problem, xs, "T.cast(x, 'int64')")

    def strengthen(self, inputs: Sequence[Variable]) -> Sequence[Variable]:
        for x in inputs:
            if x.type.weak:
                break
        else:
            return inputs
        loop, _ = self.signature(inputs)
        return [
            _strong(x, dtype) if x.type.weak and isinstance(x, Constant) else x
            for x, dtype in zip(inputs, loop, strict=True)
        ]

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        return [sizes.broadcast(shapes)]

    # ---- values ----

    @property
    def is_primitive(self) -> bool:
        """Whether it has no body in simpler ops."""
        return self.body is None

    @cached_property
    def body(self) -> tuple[Callable[..., Any]] | None:
        """The function that writes this op in simpler ones, or None (in a tuple, so that it is no method)."""
        if self._body is None:
            return None
        probe = self._body(*(Variable(TensorType("float64", ())) for _ in range(self.nin)))
        return None if probe is None else (self._body,)

    def expand(self, *inputs: Variable) -> Variable | None:
        if self.body is None:
            return None
        loop, dtype = self.signature(inputs)
        # Like a loop of NumPy: of an int8, the body sees the float16 that the result is computed in.
        out: Variable = self.body[0](*(ops.cast(x, want) for x, want in zip(inputs, loop, strict=True)))
        return out if out.dtype == dtype else ops.cast(out, dtype)

    @property
    def has_value(self) -> bool:
        return self.numpy is not None or type(self).perform is not Elementwise.perform

    def perform(self, node: Apply, *values: Any) -> Any:
        loop, dtype = self.signature(node.inputs)
        values = tuple(np.asarray(v, dtype=d) for v, d in zip(values, loop, strict=True))
        assert self.numpy is not None, f"{self.name} is computed through its body"
        return np.asarray(load(self.numpy)(*values)).astype(dtype, copy=False)

    # ---- gradients ----

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        (g,) = gs
        if isinstance(g, Zero) or g is None:
            return [g] * len(inputs)
        if self._grad is not None:
            return self._grad(g, outs[0], *inputs)
        if self.body is None:
            return super().gradient(gs, outs, inputs)
        derived: Sequence[Gradient] = ops.gradient_of_body(self, g, inputs)
        return derived


def _strong(x: Constant, dtype: str) -> Constant:
    """A weak constant as a constant of a certain dtype."""
    data = x.data if x.dtype == dtype else converted(x.data, dtype)
    return Constant(TensorType(dtype, shape=x.type.shape), data, x.name)


def _elementwise_named(name: str) -> Elementwise:
    return ELEMENTWISE[name]


def elementwise(
    numpy: str | None = None,
    grad: GradientRule | None = None,
    dtypes_like: str | DtypeRule | None = None,
    commutative: bool = False,
    zero_grad: bool = False,
    kind: type[Elementwise] = Elementwise,
) -> Callable[[Callable[..., Any]], Elementwise]:
    """Declare an elementwise op.

    Parameters
    ----------
    numpy: the function that computes it on arrays, ``"name"`` in NumPy or ``"module:name"``.
    grad: ``grad(g, out, *inputs)`` returns a gradient for each input; it may have the shape of the result, which is
        summed back to that of the input in one place.  Without it the gradient is derived from the body.
    dtypes_like: the ufunc whose dtypes it has (by default `numpy`, or "exp" for a body), or a rule such as `real`.
    zero_grad: the derivative is zero wherever it exists.
    kind: the class of the op, if it does more than others.
    """

    def declare(function: Callable[..., Any]) -> Elementwise:
        name = function.__name__
        nin = function.__code__.co_argcount
        rule = dtypes_like or (numpy if numpy and ":" not in numpy else "exp")
        gradient = (lambda g, out, *xs: (zero,) * len(xs)) if zero_grad else grad
        op = kind(
            name,
            nin,
            like(rule) if isinstance(rule, str) else rule,
            numpy,
            function,
            gradient,
            commutative,
            function.__doc__,
        )
        ELEMENTWISE[name] = op
        ops.bind(name, op)
        return op

    return declare


Target = TypeVar("Target", bound=Callable[..., Any])


def function(target: Target) -> Target:
    """Make a function that builds nodes known by its name to the floors below."""
    ops.bind(target.__name__, target)
    return target


def normalise_axis(op: str, axis: Any, x: Variable) -> tuple[int, ...] | None:
    """Axes as a sorted tuple of non-negative ints; None stands for all of them."""
    if axis is None:
        return None
    if isinstance(axis, Constant):
        axis = axis.data.tolist()
    axes = list(axis) if isinstance(axis, list | tuple | np.ndarray) else [axis]
    result = []
    for a in axes:
        if not isinstance(a, int | np.integer):
            raise refuse(TypeError, op, f"axis must be ints, got {axis!r}", [x])
        if not -x.ndim <= a < x.ndim:
            raise refuse(ValueError, op, f"axis {a} is out of bounds for {x.ndim} axes", [x])
        result.append(int(a) % x.ndim)
    if len(set(result)) != len(result):
        raise refuse(ValueError, op, f"axis {tuple(axes)} names one axis twice", [x])
    return tuple(sorted(result))
