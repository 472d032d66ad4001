"""``import graphc.tensor as T``: symbolic arrays and the functions on them, under Theano's names."""

# mypy: implicit-reexport

from typing import Any

from graphc.gradient import Lop, Rop, grad, verify_grad
from graphc.graph.shared import SharedVariable as TensorSharedVariable
from graphc.graph.shared import shared
from graphc.graph.types import TensorType
from graphc.graph.variable import Constant, Variable, constant
from graphc.graph.variable import Constant as TensorConstant
from graphc.graph.variable import Variable as TensorVariable
from graphc.ops.elementwise import (
    abs_,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    cast,
    ceil,
    clip,
    cos,
    cosh,
    deg2rad,
    eq,
    exp,
    exp2,
    expm1,
    fill,
    floor,
    full_like,
    ge,
    gt,
    int_div,
    inv,
    invert,
    isfinite,
    isinf,
    isnan,
    le,
    log,
    log1mexp,
    log1p,
    log2,
    log10,
    logaddexp,
    lt,
    maximum,
    minimum,
    mod,
    neg,
    neq,
    ones_like,
    pow,
    rad2deg,
    real,
    reciprocal,
    round,
    round_half_away_from_zero,
    round_half_to_even,
    sgn,
    sin,
    sinh,
    sqr,
    sqrt,
    sub,
    switch,
    tan,
    tanh,
    tensor_copy,
    true_div,
    trunc,
    where,
    zeros_like,
)
from graphc.ops.indexing import inc_subtensor, set_subtensor
from graphc.ops.matmul import dot, matmul, outer
from graphc.ops.nnet import logsumexp
from graphc.ops.reduction import (
    all,
    any,
    argmax,
    argmin,
    max,
    max_and_argmax,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from graphc.ops.shape import (
    addbroadcast,
    alloc,
    arange,
    broadcast_to,
    concatenate,
    dimshuffle,
    empty,
    expand_dims,
    eye,
    flatten,
    full,
    identity_like,
    join,
    ones,
    reshape,
    shape,
    shape_padaxis,
    shape_padleft,
    shape_padright,
    size,
    squeeze,
    stack,
    stacklists,
    swapaxes,
    transpose,
    zeros,
)
from graphc.tensor import nnet
from graphc.tensor.constructors import CONSTRUCTORS, tensor
from graphc.tensor.variadic import add, and_, mul, or_, xor

# Other names for the same.
absolute = abs_
square = sqr
sign = sgn
largest, smallest = maximum, minimum
as_tensor_variable = as_tensor = constant

globals().update(CONSTRUCTORS)


def __getattr__(name: str) -> Any:
    """An error that knows what may have been meant."""
    import difflib

    if name.startswith("__"):
        raise AttributeError(name)
    close = difflib.get_close_matches(name, list(globals()), n=3)
    guess = f" Did you mean {' or '.join('T.' + c for c in close)}?" if close else ""
    raise AttributeError(f"graphc.tensor has no {name!r}.{guess}")


__all__ = [name for name in globals() if not name.startswith("_") and name not in ("Any", "CONSTRUCTORS")]
