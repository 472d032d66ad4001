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
from graphc.ops.broadcasting import (
    alloc,
    broadcast_to,
    empty,
    empty_like,
    fill,
    full,
    full_like,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from graphc.ops.conversion import cast, real
from graphc.ops.copies import repeat, tile
from graphc.ops.dimshuffle import (
    addbroadcast,
    dimshuffle,
    expand_dims,
    shape_padaxis,
    shape_padleft,
    shape_padright,
    squeeze,
    swapaxes,
    transpose,
)
from graphc.ops.elementwise import (
    abs_,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    ceil,
    clip,
    eq,
    floor,
    ge,
    gt,
    int_div,
    inv,
    invert,
    isfinite,
    isinf,
    isnan,
    le,
    lt,
    maximum,
    minimum,
    mod,
    neg,
    neq,
    pow,
    reciprocal,
    round,
    round_half_away_from_zero,
    round_half_to_even,
    sgn,
    sqr,
    sqrt,
    sub,
    switch,
    true_div,
    trunc,
    where,
)
from graphc.ops.identities import tensor_copy
from graphc.ops.indexing import inc_subtensor, set_subtensor
from graphc.ops.join import concatenate, join, stack, stacklists
from graphc.ops.matmul import dot, matmul, outer
from graphc.ops.nnet import logsumexp
from graphc.ops.ranges import arange, eye, identity_like
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
from graphc.ops.reshape import flatten, reshape
from graphc.ops.shape import shape, size
from graphc.ops.transcendental import (
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    cos,
    cosh,
    deg2rad,
    erf,
    exp,
    exp2,
    expm1,
    log,
    log1mexp,
    log1p,
    log2,
    log10,
    logaddexp,
    rad2deg,
    sin,
    sinh,
    tan,
    tanh,
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
