"""Data types: their names, and NumPy 2's promotion (NEP 50), which graphc follows to the letter.

A Python number in an expression is *weak*: it takes the dtype of what it meets (``x * 2`` stays float32 for a
float32 `x`).  The one exception to NumPy is Theano's: the true division of integers gives ``config.floatX``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from graphc.configuration import config

# The letters of T.bscalar, T.fmatrix, ...
LETTERS: dict[str, str] = {
    "b": "int8", "w": "int16", "i": "int32", "l": "int64",
    "f": "float32", "d": "float64", "c": "complex64", "z": "complex128",
}  # fmt: skip

FLOATS = ("float16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
# The dtype of the real part.
REAL = {"complex64": "float32", "complex128": "float64"}
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = SIGNED + UNSIGNED
ALL = ("bool", *INTEGERS, *FLOATS, *COMPLEX)

_WEAK_KINDS: dict[str, type] = {"i": int, "u": int, "f": float, "c": complex}


def check(dtype: Any) -> str:
    """The canonical name of a dtype; ``"floatX"`` stands for the configured one."""
    if isinstance(dtype, str) and dtype in _NAMES:
        return dtype
    if isinstance(dtype, str) and dtype == "floatX":
        return str(config.floatX)
    try:
        if dtype is None:
            raise TypeError("None would be NumPy's float64")
        name: str = np.dtype(dtype).name
    except (TypeError, ValueError):
        raise TypeError(f"{dtype!r} is no dtype; graphc has {', '.join(ALL)}") from None
    if name not in _NAMES:
        raise TypeError(f"graphc has no dtype {name!r}; it has {', '.join(ALL)}")
    return name


_NAMES = frozenset(ALL)


def is_float(dtype: str) -> bool:
    """float16, float32 or float64."""
    return dtype in FLOATS


def is_complex(dtype: str) -> bool:
    """complex64 or complex128."""
    return dtype in COMPLEX


def is_discrete(dtype: str) -> bool:
    """An integer or bool: no derivative exists with respect to it."""
    return dtype == "bool" or dtype in INTEGERS


def is_inexact(dtype: str) -> bool:
    """A float or complex dtype: derivatives exist."""
    return dtype in FLOATS or dtype in COMPLEX


def of_number(value: bool | int | float | complex) -> str:
    """The dtype of a Python number that stands alone: int64, floatX, or the complex dtype of floatX."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if -(2**63) <= value < 2**63 else "uint64"
    if isinstance(value, float):
        return str(config.floatX)
    return "complex64" if config.floatX == "float32" else "complex128"


def weak_kind(dtype: str) -> type:
    """The Python type that stands for a weak operand of this dtype in NumPy's promotion."""
    return _WEAK_KINDS[np.dtype(dtype).kind]


Operand = tuple[str, bool]  # (dtype, weak)


@lru_cache(maxsize=4096)
def resolve(ufunc: str, operands: tuple[Operand, ...], floatX: str) -> tuple[tuple[str, ...], str]:
    """The loop NumPy would choose: the dtypes that the operands are cast to, and that of the result.

        >>> resolve("add", (("float32", False), ("int64", True)), "float64")
        (('float32', 'float32'), 'float32')

    Raises TypeError (NumPy's) if the ufunc has no loop for these operands.
    """
    strong = all(weak for _, weak in operands)
    given: list[Any] = [np.dtype(d) if strong or not w else weak_kind(d) for d, w in operands]
    resolved = [dtype.name for dtype in getattr(np, ufunc).resolve_dtypes((*given, None))]
    loop, out = resolved[:-1], resolved[-1]
    if ufunc == "divide" and all(is_discrete(dtype) for dtype, _ in operands):
        return (floatX,) * len(loop), floatX
    return tuple(loop), out


@lru_cache(maxsize=1024)
def promote(operands: tuple[Operand, ...]) -> str:
    """The common dtype of these operands, as ``np.result_type`` finds it."""
    if all(weak for _, weak in operands):
        return str(np.result_type(*(dtype for dtype, _ in operands)).name)
    parts: list[Any] = [weak_kind(dtype)(0) if weak else np.dtype(dtype) for dtype, weak in operands]
    return str(np.result_type(*parts).name)
