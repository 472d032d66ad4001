"""From one dtype to another: cast, and the real part, which is how a complex number becomes a real one.

They are elementwise, but the dtype of the result is asked for, not promoted from the operands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.op import Gradient, as_variables, refuse, zero
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.declare import Elementwise, converted, fits, function


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
