"""Scalar arithmetic, written as statements at the end of a loop's body."""

from __future__ import annotations

from graphc.kernels.loopir import Let, Number, Statement, Value
from graphc.ops.conversion import Cast
from graphc.ops.declare import Elementwise


def let(body: list[Statement], op: Elementwise, *args: Value, dtype: str | None = None) -> Value:
    """``op(args)``, of the dtype of the first argument unless another is given."""
    out = Value(dtype or args[0].dtype)
    body.append(Let(out, op, args))
    return out


def number(body: list[Statement], value: float, dtype: str = "int64") -> Value:
    """A constant."""
    out = Value(dtype)
    body.append(Number(out, value))
    return out


def converted(body: list[Statement], value: Value, dtype: str) -> Value:
    """A value as a dtype."""
    return value if value.dtype == dtype else let(body, Cast(dtype), value, dtype=dtype)
