"""The functions of neural networks: activations, softmax, cross-entropy.

Sources: Goodfellow, Bengio & Courville, Deep Learning (2016), chapters 4.1 and 6.2; Blanchard, Higham & Higham,
Accurately computing the log-sum-exp and softmax functions (2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.bindings import ops
from graphc.graph.op import Gradient, Op, as_variables, refuse, through, typed
from graphc.graph.sizes import Shape, Sizes
from graphc.graph.variable import Apply, Variable, as_variable
from graphc.ops.declare import Tensor, elementwise, function, normalise_axis, real
from graphc.ops.dimshuffle import dimshuffle
from graphc.ops.elementwise import abs_, clip, maximum, minimum, switch
from graphc.ops.ranges import arange
from graphc.ops.reduction import peak
from graphc.ops.reduction import sum as total
from graphc.ops.reshape import flatten
from graphc.ops.shape import shape_of
from graphc.ops.transcendental import exp, log, log1p

# ---- activations ----


@elementwise("scipy.special:expit", grad=lambda g, out, x: (g * out * (1 - out),), dtypes_like=real)
def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))`` without overflow."""
    e = exp(-abs_(x))
    return switch(x >= 0, 1, e) / (1 + e)


@elementwise(dtypes_like=real)
def decay(x: Tensor) -> Tensor:
    """``exp(-|x|)``, what `sigmoid` and `softplus` of `x` and of ``-x`` have in common."""
    return exp(-abs_(x))


@elementwise(numpy="graphc.ops.reference:softplus", grad=lambda g, out, x: (g * sigmoid(x),), dtypes_like=real)
def softplus(x: Tensor) -> Tensor:
    """Smooth ``maximum(x, 0)``: ``log(1 + exp(x))``, accurate for large ``|x|``."""
    return maximum(x, 0) + log1p(exp(-abs_(x)))


@elementwise(dtypes_like=real)
def softsign(x: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return x / (1 + abs_(x))


@elementwise(dtypes_like=real)
def hard_sigmoid(x: Tensor) -> Tensor:
    """The straight line ``0.2 x + 0.5`` limited to [0, 1]."""
    return clip(0.2 * x + 0.5, 0, 1)


@function
def relu(x: Tensor, alpha: Any = 0) -> Variable:
    """``maximum(x, 0)``, or with `alpha` the leaky ``x if x > 0 else alpha * x``.

    The gradient at 0 is that of the mean of both sides: ``(1 + alpha) / 2``.
    """
    x = as_variable(x)
    out: Any
    if isinstance(alpha, int | float) and alpha == 0:
        out = 0.5 * (x + abs_(x)) if not dtypes.is_discrete(x.dtype) else maximum(x, 0)
    else:
        out = 0.5 * (1 + alpha) * x + 0.5 * (1 - alpha) * abs_(x)
    return out  # type: ignore[no-any-return]


@function
def elu(x: Tensor, alpha: Any = 1) -> Variable:
    """``x`` for positive `x`, else ``alpha * (exp(x) - 1)`` (Clevert, Unterthiner & Hochreiter 2016)."""
    x = as_variable(x)
    out: Variable = switch(x > 0, x, alpha * ops.expm1(minimum(x, 0)))
    return out


@function
def selu(x: Tensor) -> Variable:
    """The self-normalising `elu` of Klambauer, Unterthiner, Mayr & Hochreiter (2017)."""
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    out: Variable = scale * elu(x, alpha)
    return out


# ---- ops along an axis, declared by their body ----


class AlongAxis(Op):
    """An op along one axis that is a body in simpler ops, kept whole so that rewrites can see it."""

    __props__ = ("name", "axis")

    def __init__(self, name: str, axis: int) -> None:
        self.name = name
        self.axis = axis
        self.definition = DEFINITIONS[name]

    def make_node(self, *inputs: Any) -> Apply:
        (x,) = as_variables(self, inputs)
        if dtypes.is_discrete(x.dtype):
            x = ops.cast(x, "floatX")
        if not -x.ndim <= self.axis < x.ndim:
            raise refuse(ValueError, self.name, f"axis {self.axis} is out of bounds for {x.ndim} axes", [x])
        return typed(self, [x], x.dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        shape = shapes[0]
        if self.definition.keeps_axis:
            return [shape]
        return [shape[: self.axis] + shape[self.axis + 1 :]]

    def expand(self, *inputs: Variable) -> Variable | None:
        return self.definition.body(inputs[0], self.axis)

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        return [through(gs[0], lambda g: self.definition.gradient(g, outs[0], inputs[0], self.axis))]

    def __reduce__(self) -> Any:
        return AlongAxis, (self.name, self.axis)

    def text(self) -> str:
        return f"{self.definition.title}{{axis={self.axis}}}"


class Definition:
    """What an `AlongAxis` op is."""

    def __init__(
        self,
        title: str,
        body: Callable[[Variable, int], Variable],
        gradient: Callable[[Variable, Variable, Variable, int], Variable],
        keeps_axis: bool = True,
    ) -> None:
        self.title = title
        self.body = body
        self.gradient = gradient
        self.keeps_axis = keeps_axis


def _shift(x: Variable, axis: int) -> Any:
    """What is subtracted before exponentials are taken: the largest element, or the float next to it if infinite."""
    largest = float(np.finfo(x.dtype).max)
    return minimum(maximum(peak(x, axis), -largest), largest)  # inf - inf would be nan


def _softmax_body(x: Variable, axis: int) -> Variable:
    e = exp(x - _shift(x, axis))
    return e * (1 / total(e, axis, keepdims=True))  # type: ignore[no-any-return]


def _softmax_gradient(g: Variable, out: Variable, x: Variable, axis: int) -> Variable:
    weighted: Any = g * out
    return weighted - total(weighted, axis, keepdims=True) * out  # type: ignore[no-any-return]


def _logsoftmax_body(x: Variable, axis: int) -> Variable:
    shifted: Any = x - _shift(x, axis)
    return shifted - log(total(exp(shifted), axis, keepdims=True))  # type: ignore[no-any-return]


def _logsoftmax_gradient(g: Variable, out: Variable, x: Variable, axis: int) -> Variable:
    return g - total(g, axis, keepdims=True) * exp(out)  # type: ignore[no-any-return]


def _logsumexp_body(x: Variable, axis: int) -> Variable:
    shift = _shift(x, axis)
    summed: Any = log(total(exp(x - shift), axis, keepdims=True)) + shift
    return dimshuffle(summed, *(i for i in range(x.ndim) if i != axis))


def _logsumexp_gradient(g: Variable, out: Variable, x: Variable, axis: int) -> Variable:
    def back(v: Variable) -> Any:
        return dimshuffle(v, *(*range(axis), "x", *range(axis, x.ndim - 1)))

    return back(g) * exp(x - back(out))  # type: ignore[no-any-return]


DEFINITIONS: dict[str, Definition] = {
    "softmax": Definition("Softmax", _softmax_body, _softmax_gradient),
    "logsoftmax": Definition("LogSoftmax", _logsoftmax_body, _logsoftmax_gradient),
    "logsumexp": Definition("LogSumExp", _logsumexp_body, _logsumexp_gradient, keeps_axis=False),
}


def _along(name: str, x: Tensor, axis: int) -> Variable:
    x = as_variable(x)
    out: Variable = AlongAxis(name, axis % x.ndim if -x.ndim <= axis < x.ndim else axis)(x)
    return out


def _rows(name: str, x: Tensor, axis: int | None) -> Variable:
    x = as_variable(x)
    if axis is None and x.ndim == 1:
        x = dimshuffle(x, "x", 0)
    return _along(name, x, -1 if axis is None else axis)


@function
def softmax(x: Tensor, axis: int | None = None) -> Variable:
    """``exp(x) / sum(exp(x))`` along `axis`, without overflow.

    By default along rows; a vector is then taken for a matrix of one row, as in Theano: the result has two axes.
    """
    return _rows("softmax", x, axis)


@function
def logsoftmax(x: Tensor, axis: int | None = None) -> Variable:
    """``log(softmax(x))``, finite where the softmax underflows; the axis as for `softmax`."""
    return _rows("logsoftmax", x, axis)


@function
def logsumexp(x: Tensor, axis: Any = None, keepdims: bool = False) -> Variable:
    """``log(sum(exp(x)))`` along `axis` (default: all), without overflow; -inf for elements that are all -inf."""
    x = as_variable(x)
    axes = normalise_axis("logsumexp", axis, x)
    axes = tuple(range(x.ndim)) if axes is None else axes
    kept = [i for i in range(x.ndim) if i not in axes]
    if len(axes) != 1:  # several axes are run together into one, none is a new one
        padded = dimshuffle(x, *kept, *(axes or ["x"]))
        out = _along("logsumexp", flatten(padded, len(kept) + 1), len(kept))
    else:
        out = _along("logsumexp", x, axes[0])
    return dimshuffle(out, *("x" if i in axes else kept.index(i) for i in range(x.ndim))) if keepdims else out


# ---- losses ----


@function
def binary_crossentropy(output: Tensor, target: Tensor) -> Variable:
    """``-(target log(output) + (1 - target) log(1 - output))``, element by element."""
    out: Variable = -(target * log(output) + (1 - target) * log(1 - output))
    return out


@function
def sigmoid_binary_crossentropy(output: Tensor, target: Tensor) -> Variable:
    """`binary_crossentropy` of ``sigmoid(output)``, from the logits `output`."""
    out: Variable = target * softplus(-as_variable(output)) + (1 - target) * softplus(output)
    return out


@function
def categorical_crossentropy(coding_dist: Tensor, true_dist: Tensor) -> Variable:
    """The cross-entropy of each row of `coding_dist`, a matrix of probabilities.

    true_dist: a matrix of the same shape (``-sum(true * log(coding))`` a row), or an integer vector of the right
    class of each row (``-log(coding[i, true[i]])``).
    """
    coding, true = as_variable(coding_dist), as_variable(true_dist)
    if true.ndim == coding.ndim:
        return -total(true * log(coding), axis=coding.ndim - 1)  # type: ignore[no-any-return]
    if true.ndim != coding.ndim - 1 or not dtypes.is_discrete(true.dtype):
        problem = "the classes must be an integer vector, or a matrix of probabilities"
        raise refuse(TypeError, "categorical_crossentropy", problem, [coding, true], "T.lvector('y')")
    rows = arange(shape_of(true, 0))
    return -log(coding[rows, true])  # type: ignore[no-any-return]


