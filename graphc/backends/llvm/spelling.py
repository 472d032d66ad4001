"""How the LLVM backend writes each elementwise op: a table from op to instructions.

The arguments have the dtypes the op computes in.  What results is what NumPy gives, down to the bits for
``+ - * / sqrt``, comparisons and integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc import dtypes
from graphc.backends.llvm import math
from graphc.backends.llvm.emit import ITEMSIZE, Builder, Kind, Value
from graphc.graph.op import Op
from graphc.graph.variable import Apply, Constant
from graphc.kernels.drafts import is_computable
from graphc.kernels.statements import MOST_SQUARINGS
from graphc.ops.broadcasting import Fill
from graphc.ops.conversion import Cast
from graphc.ops.declare import Elementwise
from graphc.ops.identities import Identity
from graphc.ops.indexing import IncSubtensor, Subtensor

DTYPES = frozenset(ITEMSIZE)

VECTOR_MATH = frozenset({*math.FUNCTIONS, *math.BINARY_FUNCTIONS})

Spelling = Callable[..., Value]


def _both(floats: str, integers: str, bools: str | None = None) -> Spelling:
    """One instruction for floats, one for integers, one for bools."""

    def write(b: Builder, x: Value, y: Value) -> Value:
        kind = x.kind
        return b.binary(floats if kind.is_float else (bools or integers) if kind.dtype == "bool" else integers, x, y)

    return write


def _comparison(floats: str, integers: str) -> Spelling:
    """A comparison; of integers and bools by signedness."""

    def write(b: Builder, x: Value, y: Value) -> Value:
        if x.kind.is_float:
            return b.compare(floats, x, y)
        sign = "" if integers in ("eq", "ne") else "s" if x.kind.is_signed else "u"
        return b.compare(sign + integers, x, y)

    return write


def _neg(b: Builder, x: Value) -> Value:
    return b.neg(x)


def _abs(b: Builder, x: Value) -> Value:
    if x.kind.is_float:
        return b.intrinsic("fabs", x)
    if not x.kind.is_signed:
        return x
    return b.select(b.compare("slt", x, b.constant(0, x.kind)), b.neg(x), x)


def _sgn(b: Builder, x: Value) -> Value:
    zero, one = b.constant(0, x.kind), b.constant(1, x.kind)
    if x.kind.is_float:
        signed = b.intrinsic("copysign", one, x)
        return b.select(b.compare("une", x, zero), b.select(b.is_nan(x), x, signed), b.select(b.is_nan(x), x, zero))
    above = b.select(b.compare("ne", x, zero), one, zero)
    return b.select(b.compare("slt", x, zero), b.constant(-1, x.kind), above) if x.kind.is_signed else above


def _reciprocal(b: Builder, x: Value) -> Value:
    return b.div(b.constant(1, x.kind), x)


def _square(b: Builder, x: Value) -> Value:
    return b.binary("and", x, x) if x.kind.dtype == "bool" else b.mul(x, x)


def _extremum(floats: str, integers: str) -> Spelling:
    """The larger or smaller; nan if one is; the second if they are equal, as NumPy has it for 0.0 and -0.0."""

    def write(b: Builder, x: Value, y: Value) -> Value:
        if x.kind.is_float:
            first = b.select(b.compare(floats, x, y), x, y)
            return b.select(b.is_nan(x), x, first)
        sign = "s" if x.kind.is_signed else "u"
        return b.select(b.compare(sign + integers, x, y), x, y)

    return write


def _bits(instruction: str) -> Spelling:
    return lambda b, x, y: b.binary(instruction, x, y)


def _invert(b: Builder, x: Value) -> Value:
    return b.binary("xor", x, b.constant(True if x.kind.dtype == "bool" else -1, x.kind))


def _isnan(b: Builder, x: Value) -> Value:
    return b.is_nan(x) if x.kind.is_float else b.constant(False, x.kind.of("bool"))


def _isinf(b: Builder, x: Value) -> Value:
    if not x.kind.is_float:
        return b.constant(False, x.kind.of("bool"))
    return b.compare("oeq", b.intrinsic("fabs", x), b.constant(float("inf"), x.kind))


def _isfinite(b: Builder, x: Value) -> Value:
    if not x.kind.is_float:
        return b.constant(True, x.kind.of("bool"))
    return b.compare("olt", b.intrinsic("fabs", x), b.constant(float("inf"), x.kind))


def _switch(b: Builder, condition: Value, x: Value, y: Value) -> Value:
    return b.select(convert(b, condition, "bool"), x, y)


def _rounded(name: str) -> Spelling:
    return lambda b, x: b.intrinsic(name, x) if x.kind.is_float else x


def _int_div(b: Builder, x: Value, y: Value) -> Value:
    if x.kind.is_float:
        return _float_divmod(b, x, y)[0]
    quotient, _ = _integer_divmod(b, x, y)
    return quotient


def _mod(b: Builder, x: Value, y: Value) -> Value:
    return _float_divmod(b, x, y)[1] if x.kind.is_float else _integer_divmod(b, x, y)[1]


def _integer_divmod(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """Rounded towards minus infinity; 0 for a divisor of 0; the least integer over -1 wraps around."""
    zero, one = b.constant(0, x.kind), b.constant(1, x.kind)
    by_zero = b.compare("eq", y, zero)
    if not x.kind.is_signed:
        safe = b.select(by_zero, one, y)
        quotient, rest = b.binary("udiv", x, safe), b.binary("urem", x, safe)
        return b.select(by_zero, zero, quotient), b.select(by_zero, zero, rest)
    negates = b.compare("eq", y, b.constant(-1, x.kind))
    safe = b.select(b.binary("or", by_zero, negates), one, y)
    quotient, rest = b.binary("sdiv", x, safe), b.binary("srem", x, safe)
    down = b.binary(
        "and",
        b.compare("ne", rest, zero),
        b.compare("slt", b.binary("xor", rest, safe), zero),
    )
    quotient = b.select(down, b.sub(quotient, one), quotient)
    rest = b.select(down, b.add(rest, safe), rest)
    quotient = b.select(negates, b.neg(x), quotient)
    return b.select(by_zero, zero, quotient), b.select(by_zero, zero, rest)


def _float_divmod(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """Like CPython's and NumPy's: the quotient is right to the last bit, the rest has the sign of the divisor."""
    zero, one = b.constant(0, x.kind), b.constant(1, x.kind)
    rest = b.binary("frem", x, y)
    quotient = b.div(b.sub(x, rest), y)
    nonzero = b.compare("une", rest, zero)
    opposite = b.binary("xor", b.compare("olt", y, zero), b.compare("olt", rest, zero))
    down = b.binary("and", nonzero, opposite)
    quotient = b.select(down, b.sub(quotient, one), quotient)
    adjusted = b.select(down, b.add(rest, y), rest)
    modulus = b.select(nonzero, adjusted, b.intrinsic("copysign", zero, y))
    floor = b.intrinsic("floor", quotient)
    far = b.compare("ogt", b.sub(quotient, floor), b.constant(0.5, x.kind))
    floor = b.select(far, b.add(floor, one), floor)
    plain = b.div(x, y)
    whole = b.select(b.compare("une", quotient, zero), floor, b.intrinsic("copysign", zero, plain))
    by_zero = b.compare("oeq", y, zero)
    return b.select(by_zero, plain, whole), b.select(by_zero, rest, modulus)


def power(b: Builder, x: Value, exponent: float) -> Value | None:
    """``x ** exponent`` for a small integer or 1/2, as products and roots; None if it is no such thing."""
    if exponent == 0.5 and x.kind.is_float:
        return b.intrinsic("sqrt", x)
    count = int(exponent) if float(exponent).is_integer() else 0
    if not 1 <= abs(count) <= MOST_SQUARINGS or (count < 0 and not x.kind.is_float):
        return None
    result: Value | None = None
    square, rest = x, abs(count)
    while rest:
        if rest & 1:
            result = square if result is None else b.mul(result, square)
        rest >>= 1
        if rest:
            square = b.mul(square, square)
    assert result is not None
    return _reciprocal(b, result) if count < 0 else result


def convert(b: Builder, x: Value, dtype: str) -> Value:
    """``x.astype(dtype)`` as C converts."""
    have, want = x.kind, x.kind.of(dtype)
    if have.dtype == dtype:
        return x
    if dtype == "bool":
        return b.compare("une" if have.is_float else "ne", x, b.constant(0, have))
    if have.dtype == "bool":
        return b.let(want, f"{'uitofp' if want.is_float else 'zext'} {x} to {want}")
    if have.is_float and want.is_float:
        return b.let(want, f"{'fpext' if want.bits > have.bits else 'fptrunc'} {x} to {want}")
    if have.is_float:
        if dtype == "uint64":
            return b.let(want, f"fptoui {x} to {want}")
        # Like C compilers: through the next wider signed integer, whose low bits are taken.
        through = have.of("int64" if want.bits == 64 or dtype == "uint32" else "int32")
        number = b.let(through, f"fptosi {x} to {through}")
        return number if through.dtype == dtype else convert(b, number, dtype)
    if want.is_float:
        return b.let(want, f"{'sitofp' if have.is_signed else 'uitofp'} {x} to {want}")
    if have.bits == want.bits:
        return Value(x.text, want)
    step = "trunc" if want.bits < have.bits else "sext" if have.is_signed else "zext"
    return b.let(want, f"{step} {x} to {want}")


SPELLINGS: dict[str, Spelling] = {
    "add": _both("fadd", "add", "or"),
    "sub": _both("fsub", "sub"),
    "mul": _both("fmul", "mul", "and"),
    "true_div": lambda b, x, y: b.div(x, y),
    "int_div": _int_div,
    "mod": _mod,
    "neg": _neg,
    "abs_": _abs,
    "sgn": _sgn,
    "reciprocal": _reciprocal,
    "sqr": _square,
    "sqrt": lambda b, x: b.intrinsic("sqrt", x),
    "maximum": _extremum("ogt", "ge"),
    "minimum": _extremum("olt", "le"),
    "lt": _comparison("olt", "lt"),
    "le": _comparison("ole", "le"),
    "gt": _comparison("ogt", "gt"),
    "ge": _comparison("oge", "ge"),
    "eq": _comparison("oeq", "eq"),
    "neq": _comparison("une", "ne"),
    "and_": _bits("and"),
    "or_": _bits("or"),
    "xor": _bits("xor"),
    "invert": _invert,
    "isnan": _isnan,
    "isinf": _isinf,
    "isfinite": _isfinite,
    "switch": _switch,
    "ceil": _rounded("ceil"),
    "floor": _rounded("floor"),
    "trunc": _rounded("trunc"),
    "round_half_to_even": _rounded("rint"),
}


def known(op: Op) -> bool:
    """Whether the op has a spelling here; otherwise its body is compiled, or it is called."""
    if isinstance(op, Cast | Fill | Identity):
        return True
    return isinstance(op, Elementwise) and (op.name in SPELLINGS or op.name in VECTOR_MATH)


def spells(node: Apply) -> bool:
    """Whether a node can be computed in a kernel."""
    return is_computable(node, DTYPES, _spells)


def _spells(node: Apply, dtype: str) -> bool:
    op = node.op
    if op.name not in VECTOR_MATH or dtypes.is_float(dtype):
        return known(op)
    exponent = node.inputs[-1]
    small = isinstance(exponent, Constant) and not exponent.ndim and 1 <= exponent.data <= MOST_SQUARINGS
    return op.name == "pow" and bool(small)


def spell(
    b: Builder,
    op: Op,
    args: Sequence[Value],
    dtype: str,
    exponent: float | None = None,
    outlined: bool = False,
) -> Value:
    """The instructions of an op.

    exponent: the second argument of a power, if it is known; outlined: vector math is called, not inlined.
    """
    if isinstance(op, Cast):
        return convert(b, args[0], dtype)
    if op.name == "pow" and exponent is not None:
        product = power(b, args[0], exponent)
        if product is not None:
            return product
    if op.name in SPELLINGS:
        return SPELLINGS[op.name](b, *args)
    if b.pinned is not None and not outlined and op.name not in math.WITH_LARGE_ANGLES:
        return math.inlined(op.name, b, *args)
    kind: Kind = args[0].kind.of(dtype)
    b.wanted[(op.name, kind, outlined)] = None
    return b.call(called(op.name, kind, outlined), kind, *args)


def called(name: str, kind: Kind, outlined: bool) -> str:
    """The function of a module that computes vector math."""
    return f"outlined.{math.symbol(name, kind)}" if outlined else math.symbol(name, kind)


def wrapper(name: str, kind: Kind) -> str:
    """A function that is called where the same vector math would be inlined once more."""
    names = ("x", "y") if name in math.BINARY_FUNCTIONS else ("x",)
    parameters = ", ".join(f"{kind} %{n}" for n in names)
    call = f"call {kind} @{math.symbol(name, kind)}({parameters})"
    head = f"define internal {kind} @{called(name, kind, True)}({parameters}) noinline nounwind"
    return f"{head} {{\n  %r = {call}\n  ret {kind} %r\n}}"


def why_called(node: Apply) -> str:
    """Why a node is computed by a call into Python."""
    foreign = sorted({x.dtype for x in (*node.inputs, *node.outputs)} - DTYPES)
    if foreign:
        return f"kernels know no {', '.join(foreign)}"
    if isinstance(node.op, Elementwise):
        return f"there is no machine code for {node.op} of {', '.join(x.dtype for x in node.inputs)}"
    if isinstance(node.op, Subtensor | IncSubtensor):
        return "kernels do not know this form of index"
    return f"there is no kernel for {type(node.op).__name__}"
