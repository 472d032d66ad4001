"""How the CUDA renderer writes each elementwise op: a table from op to C.

The arguments are C identifiers, of the dtypes that the op computes in; what is written is the right side of an
assignment to a variable of the dtype of the result.  What results is what NumPy gives, down to the bits for
``+ - * / sqrt``, comparisons, integers and conversions, if it is compiled without fused multiplication
(``--fmad=false``).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import reduce
from math import isfinite, isnan

import numpy as np

from graphc import dtypes
from graphc.graph.op import Op
from graphc.graph.variable import Apply, Constant
from graphc.kernels.drafts import is_computable
from graphc.ops.broadcasting import Fill
from graphc.ops.conversion import Cast
from graphc.ops.declare import Elementwise
from graphc.ops.identities import Identity
from graphc.ops.reduction import Place

C_TYPE: dict[str, str] = {
    "bool": "bool",
    "int8": "signed char", "int16": "short", "int32": "int", "int64": "long long",
    "uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned int", "uint64": "unsigned long long",
    "float32": "float", "float64": "double",
}  # fmt: skip

# The tables.  In those of floats, # is the f of CUDA's functions of floats; g_ functions are the prelude's.

EVERY: dict[str, str] = {
    "lt": "{} < {}", "le": "{} <= {}", "gt": "{} > {}", "ge": "{} >= {}", "eq": "{} == {}", "neq": "{} != {}",
    "maximum": "g_maximum({}, {})", "minimum": "g_minimum({}, {})", "switch": "{} ? {} : {}",
}  # fmt: skip

FLOATS: dict[str, str] = {
    **EVERY,
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "true_div": "{} / {}",
    "int_div": "g_floor_div#({}, {})", "mod": "g_mod#({}, {})", "pow": "pow#({}, {})",
    "neg": "-{}", "abs_": "fabs#({})", "sgn": "g_sgn({})",
    "reciprocal": "1 / {}", "sqr": "{0} * {0}", "sqrt": "sqrt#({})",
    "isnan": "{0} != {0}", "isinf": "g_isinf#({})", "isfinite": "g_isfinite#({})",
    "ceil": "ceil#({})", "floor": "floor#({})", "trunc": "trunc#({})", "round_half_to_even": "rint#({})",
    "exp": "exp#({})", "exp2": "exp2#({})", "expm1": "expm1#({})", "decay": "exp#(-fabs#({}))",
    "log": "log#({})", "log2": "log2#({})", "log10": "log10#({})", "log1p": "log1p#({})",
    "sin": "sin#({})", "cos": "cos#({})", "tan": "tan#({})",
    "arcsin": "asin#({})", "arccos": "acos#({})", "arctan": "atan#({})", "arctan2": "atan2#({}, {})",
    "sinh": "sinh#({})", "cosh": "cosh#({})", "tanh": "tanh#({})",
    "arcsinh": "asinh#({})", "arccosh": "acosh#({})", "arctanh": "atanh#({})",
    "sigmoid": "g_sigmoid#({})", "softplus": "g_softplus#({})", "logaddexp": "g_logaddexp#({}, {})",
    "deg2rad": "{} * (3.141592653589793# / 180)", "rad2deg": "{} * (180 / 3.141592653589793#)",
    "erf": "erf#({})",
}  # fmt: skip

INTEGERS: dict[str, str] = {
    **EVERY,
    "add": "g_add({}, {})", "sub": "g_sub({}, {})", "mul": "g_mul({}, {})",
    "int_div": "g_int_div({}, {})", "mod": "g_int_mod({}, {})", "pow": "g_int_pow({}, {})",
    "neg": "g_neg({})", "abs_": "g_int_abs({})", "sgn": "g_sgn({})", "sqr": "g_mul({0}, {0})",
    "and_": "{} & {}", "or_": "{} | {}", "xor": "{} ^ {}", "invert": "~{}",
    "isnan": "false", "isinf": "false", "isfinite": "true",
    "ceil": "{}", "floor": "{}", "trunc": "{}", "round_half_to_even": "{}",
}  # fmt: skip

UNSIGNED: dict[str, str] = {
    **INTEGERS,
    "int_div": "{1} == 0 ? 0 : {0} / {1}", "mod": "{1} == 0 ? 0 : {0} % {1}", "abs_": "{}", "sgn": "{} != 0",
}  # fmt: skip

BOOLS: dict[str, str] = {
    **EVERY,
    "add": "{} | {}", "mul": "{} & {}", "abs_": "{}", "sqr": "{}",
    "and_": "{} & {}", "or_": "{} | {}", "xor": "{} ^ {}", "invert": "!{}",
    "isnan": "false", "isinf": "false", "isfinite": "true",
    "ceil": "{}", "floor": "{}", "trunc": "{}", "round_half_to_even": "{}",
}  # fmt: skip

# From a float to an integer: narrow ones are the low bits of wider ones.
CONVERSIONS: dict[str, str] = {
    "int8": "(signed char)g_int32({})", "int16": "(short)g_int32({})", "int32": "g_int32({})", "int64": "g_int64({})",
    "uint8": "(unsigned char)g_int32({})", "uint16": "(unsigned short)g_int32({})",
    "uint32": "(unsigned int)g_int64({})", "uint64": "g_uint64({})",
}  # fmt: skip

# The reduction of two values.
PAIRS: dict[str, str] = {"sum": "add", "dot": "add", "prod": "mul", "max": "maximum", "min": "minimum"}


def _table(dtype: str) -> dict[str, str]:
    if dtypes.is_float(dtype):
        return FLOATS
    if dtype == "bool":
        return BOOLS
    return UNSIGNED if dtype in dtypes.UNSIGNED else INTEGERS


def _write(template: str, dtype: str, *args: str) -> str:
    return template.replace("#", "f" if dtype == "float32" else "").format(*args)


def known(op: Op) -> bool:
    """Whether the op has a spelling here; otherwise its body is compiled, or it is called."""
    if isinstance(op, Cast | Fill | Identity):
        return True
    return isinstance(op, Elementwise) and any(op.name in table for table in (FLOATS, INTEGERS, UNSIGNED, BOOLS))


def spells(node: Apply) -> bool:
    """Whether a node can be computed in a kernel.  Threads combine numbers, but no extrema with their places."""
    return not isinstance(node.op, Place) and is_computable(node, C_TYPE.keys(), _spells)


def _spells(node: Apply, dtype: str) -> bool:
    if node.op.name == "pow" and dtype in dtypes.SIGNED:  # NumPy refuses negative exponents
        exponent = node.inputs[1]
        return isinstance(exponent, Constant) and bool((exponent.data >= 0).all())
    return node.op.name in _table(dtype)


def spell(op: Op, args: Sequence[str], given: Sequence[str], dtype: str, exponent: float | None = None) -> str:
    """The C expression of ``op(args)``.

    given: the dtypes of the arguments; dtype: that of the result; exponent: the second argument of a power, if it is
    a known number.
    """
    if isinstance(op, Cast):
        return convert(args[0], given[0], dtype)
    if isinstance(op, Identity | Fill):
        return args[-1]
    loop = given[-1]
    if op.name == "pow" and exponent is not None:
        product = power(args[0], exponent, loop)
        if product is not None:
            return product
    if op.name not in _table(loop):
        raise LookupError(f"there is no CUDA C for {op} of {', '.join(given)}")
    return _write(_table(loop)[op.name], loop, *args)


def power(x: str, exponent: float, dtype: str) -> str | None:
    """``x ** exponent`` for a whole number or 1/2, as products and roots; None if it is no such thing."""
    is_float = dtypes.is_float(dtype)
    if exponent == 0.5 and is_float:
        return _write("sqrt#({})", dtype, x)
    count = int(exponent) if float(exponent).is_integer() else 0
    if count == 0 or (count < 0 and not is_float):
        return None
    if not is_float:
        return reduce("g_mul({}, {})".format, _squares(x, count, "g_mul({0}, {0})"))
    factors = _squares(x, abs(count), "({0} * {0})")
    product = " * ".join(factors)
    if count > 0:
        return product
    return f"1 / {product}" if len(factors) == 1 else f"1 / ({product})"


def _squares(x: str, count: int, square: str) -> list[str]:
    """The factors of ``x ** count``: `x`, its square, the square of that and so on."""
    factors = []
    for bit in reversed(f"{count:b}"):
        if bit == "1":
            factors.append(x)
        x = square.format(x)
    return factors


def convert(x: str, have: str, want: str) -> str:
    """``x.astype(want)`` as NumPy converts on x86; where that depends on the length of the array, as for one number."""
    if have == want:
        return x
    if want == "bool":
        return f"{x} != 0"
    if dtypes.is_float(have) and want in CONVERSIONS:
        return CONVERSIONS[want].format(x)
    return f"({C_TYPE[want]}){x}"


def combine(kind: str, dtype: str, x: str, y: str) -> str:
    """The C expression of the reduction of two values of a dtype."""
    if kind in ("any", "all"):
        return f"{x} || {y}" if kind == "any" else f"{x} && {y}"
    return _write(_table(dtype)[PAIRS[kind]], dtype, x, y)


def accumulate(kind: str, address: str, value: str) -> str:
    """The call that reduces a value into memory while other threads do; `address` and `value` have the same dtype."""
    return f"g_atomic_{kind}({address}, {value})"


def number(value: float | int | bool, dtype: str) -> str:
    """A constant in C, of exactly this value and type."""
    if dtypes.is_float(dtype):
        return _float(float(np.dtype(dtype).type(value)), dtype)
    if dtype == "bool":
        return "true" if value else "false"
    whole = int(value)
    limits = np.iinfo(dtype)
    assert limits.min <= whole <= limits.max, f"{whole} is no {dtype}"
    suffix = {"int64": "LL", "uint64": "ULL", "uint32": "U"}.get(dtype, "")
    if limits.bits < 32:
        return f"({C_TYPE[dtype]}){whole}"
    if whole == limits.min and whole < 0:  # in C the minus is no part of the number, and without it there is none
        return f"({whole + 1}{suffix} - 1)"
    return f"({whole}{suffix})" if whole < 0 else f"{whole}{suffix}"


def _float(value: float, dtype: str) -> str:
    """Decimals if they are few and exact, else hexadecimals; there is no literal for infinities and nan."""
    suffix = "f" if dtype == "float32" else ""
    if isnan(value):
        return "__int_as_float(0x7fc00000)" if suffix else "__longlong_as_double(0x7ff8000000000000LL)"
    if not isfinite(value):
        text = "__int_as_float(0x7f800000)" if suffix else "__longlong_as_double(0x7ff0000000000000LL)"
        return f"(-{text})" if value < 0 else text
    exact = abs(value) < 1e6 and Decimal(value) == Decimal(repr(value))
    text = f"{value!r}{suffix}" if exact else f"{value.hex()}{suffix}"
    return f"({text})" if text.startswith("-") else text
