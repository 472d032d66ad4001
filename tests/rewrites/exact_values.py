"""The true value of an expression: mpmath on extended reals.

1300 bits are carried, so that ``log(1 + 1e-300)`` keeps 200 good ones. An infinite input stands for a number larger
than any float: the value is the limit, where only one input is infinite; otherwise, and outside the domain of a
function, it is nan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np

from graphc.graph.traverse import toposort
from graphc.graph.variable import Constant, Variable
from graphc.ops.broadcasting import Fill
from graphc.ops.conversion import Cast
from graphc.ops.declare import Elementwise
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.indexing import IncSubtensor, Subtensor
from graphc.ops.matmul import Dot
from graphc.ops.nnet import AlongAxis
from graphc.ops.reduction import Reduction
from graphc.ops.reshape import Reshape
from graphc.ops.shape import ShapeOf

mp = mpmath.mp.clone()
mp.prec = 1300
HUGE = mp.mpf(2) ** 1100
NAN = mp.nan


def _divided(a: Any, b: Any) -> Any:
    if b == 0:
        return NAN if a == 0 or mp.isnan(a) else mp.inf * mp.sign(a)
    return a / b


def _log(a: Any) -> Any:
    return NAN if mp.isnan(a) or a < 0 else -mp.inf if a == 0 else mp.log(a)


def _power(a: Any, b: Any) -> Any:
    if a == 0 and b < 0:
        return mp.inf
    found = mp.power(a, b)
    return found if isinstance(found, mp.mpf) else NAN


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "true_div": _divided,
    "neg": lambda a: -a,
    "abs_": abs,
    "sqr": lambda a: a * a,
    "sqrt": lambda a: mp.sqrt(a) if a >= 0 else NAN,
    "pow": _power,
    "reciprocal": lambda a: _divided(mp.mpf(1), a),
    "exp": mp.exp,
    "expm1": mp.expm1,
    "log": _log,
    "log1p": lambda a: _log(1 + a) if a < -0.5 else mp.log1p(a),
    "sigmoid": lambda a: 1 / (1 + mp.exp(-a)),
    "softplus": lambda a: mp.log1p(mp.exp(a)) if a < 0 else a + mp.log1p(mp.exp(-a)),
}


def _on_arrays(function: Callable[..., Any], arity: int) -> Callable[..., Any]:
    """The function on arrays of numbers; nan in, nan out."""

    def value(*arguments: Any) -> Any:
        if any(mp.isnan(a) for a in arguments):
            return NAN
        return function(*arguments)

    on_arrays: Callable[..., Any] = np.frompyfunc(lru_cache(4096)(value), arity, 1)
    return on_arrays


COMPARISONS = ("lt", "le", "gt", "ge", "eq", "neq")
_COMPARE = {
    "lt": np.frompyfunc(lambda a, b: a < b, 2, 1),
    "le": np.frompyfunc(lambda a, b: a <= b, 2, 1),
    "gt": np.frompyfunc(lambda a, b: a > b, 2, 1),
    "ge": np.frompyfunc(lambda a, b: a >= b, 2, 1),
    "eq": np.frompyfunc(lambda a, b: a == b, 2, 1),
    "neq": np.frompyfunc(lambda a, b: a != b, 2, 1),
}
TWO = ("add", "sub", "mul", "true_div", "pow")
_TABLE = {name: _on_arrays(function, 2 if name in TWO else 1) for name, function in FUNCTIONS.items()}


def _softmax(x: Any, axis: int) -> Any:
    e = _TABLE["exp"](x)
    return _TABLE["true_div"](e, e.sum(axis=axis, keepdims=True))


def truth(expression: Variable, values: Mapping[Variable, np.ndarray]) -> np.ndarray | None:
    """The value as an object array of mpmath numbers; None if some op is not known here."""
    known: dict[Variable, Any] = {x: _as_mp(v) for x, v in values.items()}
    for node in toposort([expression]):
        for x in node.inputs:
            if x not in known:
                assert isinstance(x, Constant)
                known[x] = _as_mp(x.data) if x.dtype.startswith("float") else x.data
        arguments = [known[x] for x in node.inputs]
        op: Any = node.op
        if isinstance(op, Fill):
            shape = np.broadcast_shapes(*map(np.shape, arguments))
            out = np.broadcast_to(arguments[1], shape)
        elif isinstance(op, Elementwise) and op.name in COMPARISONS:
            out = _COMPARE[op.name](*[_as_mp(a) for a in arguments]).astype(bool)
        elif isinstance(op, Elementwise) and op.name == "switch":
            out = np.where(arguments[0].astype(bool), _as_mp(arguments[1]), _as_mp(arguments[2]))
        elif isinstance(op, Cast) and node.outputs[0].dtype.startswith("float"):
            out = _as_mp(arguments[0])
        elif isinstance(op, Elementwise) and op.name in _TABLE:
            out = _TABLE[op.name](*[_as_mp(a) for a in arguments])
        elif isinstance(op, Dot):
            out = np.dot(*map(_as_mp, arguments))
        elif isinstance(op, Reduction) and op.name == "sum":
            out = np.sum(arguments[0], axis=op.axis, keepdims=op.keepdims)
        elif isinstance(op, AlongAxis) and op.name == "softmax":
            out = _softmax(arguments[0], op.axis)
        elif isinstance(op, AlongAxis) and op.name == "logsoftmax":
            out = _TABLE["log"](_softmax(arguments[0], op.axis))
        elif isinstance(op, Subtensor | DimShuffle | Reshape | IncSubtensor | ShapeOf):
            out = op.perform(node, *(np.asarray(a) for a in arguments))
        else:
            return None
        known[node.outputs[0]] = np.asarray(out, object)
    return np.asarray(known[expression], object)


def _as_mp(array: Any) -> np.ndarray:
    """The numbers of an array, an infinity as a number larger than any float."""

    def convert(v: Any) -> Any:
        if isinstance(v, mp.mpf):
            return v
        v = float(v)
        return mp.mpf(v) if np.isfinite(v) else NAN if np.isnan(v) else HUGE * int(np.sign(v))

    found = np.empty(np.shape(array), object)
    for i, v in np.ndenumerate(np.asarray(array, object)):
        found[i] = convert(v)
    return found


def rounded(number: Any, dtype: str) -> float:
    """The float nearest to an mpmath number."""
    if mp.isnan(number):
        return float("nan")
    largest = float(np.finfo(dtype).max)
    if abs(number) > largest * (1 + np.finfo(dtype).eps / 4):
        return float("inf") * int(mp.sign(number))
    return float(np.dtype(dtype).type(float(number)))
