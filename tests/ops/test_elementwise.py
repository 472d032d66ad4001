"""Every elementwise op against NumPy (dtypes, layouts, shapes) and against exact arithmetic (values)."""

from __future__ import annotations

import itertools
import math
import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp
from scipy.special import erf

from graphc import dtypes
from graphc.compile.function import Function, function
from graphc.configuration import config
from graphc.evaluator import evaluate
from graphc.gradient.core import grad
from graphc.graph.variable import Variable, constant
from graphc.ops.broadcasting import fill as fill_op
from graphc.ops.broadcasting import full_like, ones_like, zeros_like
from graphc.ops.conversion import cast, real
from graphc.ops.declare import ELEMENTWISE
from graphc.ops.elementwise import round
from graphc.ops.elementwise import switch as switch_op
from graphc.ops.identities import tensor_copy, zero_grad
from tests.ops.arrays import ALL, LAYOUTS, SHAPES, Array, check, difference, rng, run, sample, special, tensor

BITS = ("bool", *dtypes.INTEGERS)
REAL = (*BITS, *dtypes.FLOATS)
NUMBERS = tuple(d for d in ALL if d != "bool")
REAL_NUMBERS = tuple(d for d in REAL if d != "bool")


@dataclass(frozen=True)
class Row:
    """One elementwise op.

    numpy: what NumPy says; exact: what mathematics says, for Python or mpmath numbers (None: not a real function).
    accepts: its dtypes.  ulps: the bound on the error against `exact`; absolute: in units of epsilon, where the
    result may be the difference of nearly equal numbers.  steady: the error against `numpy`.
    flushes: a result below the smallest normal number may be 0 (SciPy's expit).
    domain: which real arguments `exact` is asked about; elsewhere `numpy` decides.
    operands: what the op is given, from three arrays or variables.
    """

    numpy: Callable[..., Any]
    exact: Callable[..., Any]
    accepts: tuple[str, ...] = ALL
    ulps: float = 0
    absolute: float = 0
    steady: float = 0
    flushes: bool = False
    domain: Callable[..., bool] = lambda *x: True
    operands: Callable[..., tuple[Any, ...]] | None = None


def smooth(numpy: Callable[..., Any], exact: Callable[..., Any], ulps: float = 4, **options: Any) -> Row:
    """A function that is computed by an approximation; NumPy has several, depending on the layout."""
    return Row(numpy, exact, ulps=ulps, **{"steady": 4, **options})


def floating(x: Any) -> Any:
    """`x` in the dtype NumPy's real functions give for it."""
    return np.asarray(x, np.cbrt(np.ones((), x.dtype)).dtype)


def exponent(x: Any, y: Any, *rest: Any) -> tuple[Any, Any]:
    """NumPy has no negative powers of integers."""
    return (x, y & 7) if np.dtype(y.dtype).kind in "iu" else (x, y)


def int_div(x: Any, y: Any) -> Any:
    return x // y if isinstance(x, int) else mp.floor(x / y)


def clip(x: Any, low: Any, high: Any) -> Any:
    """np.clip, which leaves open which zero complex numbers with real parts 0 and -0 give."""
    return np.clip(x, low, high) if x.dtype.kind != "c" else np.minimum(np.maximum(x, low), high)


def log1mexp(x: Any) -> Any:
    """One more word of precision; -inf gives -0.0, as log1p has it."""
    wide = floating(x).astype(np.longdouble)
    return np.where(wide < -1, np.log1p(-np.exp(wide)), np.log(-np.expm1(wide))).astype(floating(x).dtype)


def half_away(x: Any) -> Any:
    return mp.sign(x) * mp.floor(abs(mpmath.mpf(x)) + mpmath.mpf(1) / 2)


def decimal_half_away(x: Any) -> Any:
    """Rounding by NumPy's exact decimal conversion: no addition that could round itself."""
    x = np.asarray(x, np.rint(np.ones((), x.dtype)).dtype)
    return np.copysign(np.where(np.abs(x) % 1 >= 0.5, np.ceil(np.abs(x)), np.floor(np.abs(x))), x).astype(x.dtype)


ROWS: dict[str, Row] = {
    "add": Row(np.add, operator.add),
    "sub": Row(np.subtract, operator.sub, NUMBERS),
    "mul": Row(np.multiply, operator.mul, steady=1),
    "true_div": Row(np.true_divide, operator.truediv, steady=2, domain=lambda x, y: y != 0),
    "int_div": Row(np.floor_divide, int_div, REAL, domain=lambda x, y: y != 0 and abs(x / y) < 2**52),
    "mod": Row(np.remainder, lambda x, y: mpmath.mpf(float(x) % float(y)), REAL, domain=lambda x, y: y != 0),
    "pow": smooth(np.power, operator.pow, 1, domain=lambda x, y: x != 0 or y >= 0, operands=exponent, steady=16),
    "neg": Row(np.negative, operator.neg, NUMBERS),
    "abs_": Row(np.absolute, abs, steady=4),
    "sgn": Row(np.sign, mp.sign, NUMBERS, steady=1),
    "reciprocal": Row(lambda x: np.reciprocal(x.astype(np.exp(x).dtype)), lambda x: 1 / x, domain=bool),
    "sqr": Row(np.square, lambda x: x * x, steady=2),
    "sqrt": Row(np.sqrt, mp.sqrt, steady=1),
    "maximum": Row(np.maximum, max),
    "minimum": Row(np.minimum, min),
    "lt": Row(np.less, operator.lt),
    "le": Row(np.less_equal, operator.le),
    "gt": Row(np.greater, operator.gt),
    "ge": Row(np.greater_equal, operator.ge),
    "eq": Row(np.equal, operator.eq),
    "neq": Row(np.not_equal, operator.ne),
    "and_": Row(np.bitwise_and, operator.and_, BITS),
    "or_": Row(np.bitwise_or, operator.or_, BITS),
    "xor": Row(np.bitwise_xor, operator.xor, BITS),
    "invert": Row(np.invert, operator.invert, BITS),
    "isnan": Row(np.isnan, mp.isnan),
    "isinf": Row(np.isinf, mp.isinf),
    "isfinite": Row(np.isfinite, mp.isfinite),
    "switch": Row(np.where, lambda c, x, y: x if c else y, operands=lambda x, y, z: (x, y, z)),
    "clip": Row(clip, lambda x, low, high: min(max(x, low), high)),
    "ceil": Row(np.ceil, mp.ceil, REAL),
    "floor": Row(np.floor, mp.floor, REAL),
    "trunc": Row(np.trunc, lambda x: mp.sign(x) * mp.floor(abs(x)), REAL),
    "round_half_to_even": Row(np.rint, mp.nint),
    "round_half_away_from_zero": Row(decimal_half_away, half_away, REAL),
    "exp": smooth(np.exp, mp.exp),
    "exp2": smooth(np.exp2, lambda x: mp.power(2, x)),
    "expm1": smooth(np.expm1, mp.expm1),
    "log": smooth(np.log, mp.log),
    "log2": smooth(np.log2, lambda x: mp.log(x) / mp.log(2)),
    "log10": smooth(np.log10, lambda x: mp.log(x) / mp.log(10)),
    "log1p": smooth(np.log1p, mp.log1p),
    "logaddexp": smooth(
        np.logaddexp, lambda x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))), 2, accepts=REAL, absolute=2,
    ),
    "log1mexp": smooth(
        log1mexp, lambda x: mp.log1p(-mp.exp(x)) if x < -1 else mp.log(-mp.expm1(x)), accepts=REAL,
        domain=lambda x: x < 0,
    ),
    "sin": smooth(np.sin, mp.sin),
    "cos": smooth(np.cos, mp.cos),
    "tan": smooth(np.tan, mp.tan),
    "arcsin": smooth(np.arcsin, mp.asin),
    "arccos": smooth(np.arccos, mp.acos),
    "arctan": smooth(np.arctan, mp.atan),
    "arctan2": smooth(np.arctan2, mp.atan2, accepts=REAL),
    "sinh": smooth(np.sinh, mp.sinh),
    "cosh": smooth(np.cosh, mp.cosh),
    "tanh": smooth(np.tanh, mp.tanh),
    "arcsinh": smooth(np.arcsinh, mp.asinh),
    "arccosh": smooth(np.arccosh, mp.acosh),
    "arctanh": smooth(np.arctanh, mp.atanh, domain=lambda x: abs(x) != 1),
    "erf": smooth(lambda x: erf(floating(x)).astype(floating(x).dtype), mp.erf, accepts=REAL),
    "deg2rad": smooth(np.deg2rad, lambda x: x * mp.pi / 180, 2, accepts=REAL),
    "rad2deg": smooth(np.rad2deg, lambda x: x * 180 / mp.pi, 2, accepts=REAL),
    "sigmoid": smooth(
        lambda x: np.exp(-np.logaddexp(0, -floating(x).astype(np.longdouble))).astype(floating(x).dtype),
        lambda x: 1 / (1 + mp.exp(-x)), accepts=REAL, flushes=True,
    ),
    "softplus": smooth(
        lambda x: np.logaddexp(np.zeros_like(floating(x)), floating(x)), lambda x: mp.log1p(mp.exp(x)), accepts=REAL,
    ),
    "decay": smooth(lambda x: np.exp(-np.abs(floating(x))), lambda x: mp.exp(-abs(x)), accepts=REAL),
    "softsign": smooth(
        lambda x: floating(x) / (1 + np.abs(floating(x))), lambda x: x / (1 + abs(x)), 2, accepts=REAL, steady=1,
    ),
    "hard_sigmoid": smooth(
        lambda x: np.clip(floating(x) * 0.2 + 0.5, 0, 1), lambda x: min(max(x / 5 + mpmath.mpf(1) / 2, 0), 1), 1,
        accepts=REAL, absolute=1, steady=1,
    ),
}  # fmt: skip


def test_every_declared_op_has_a_row() -> None:
    assert set(ROWS) == set(ELEMENTWISE)


def operands(name: str, *given: Any) -> tuple[Any, ...]:
    """As many of the given arrays or variables as the op takes."""
    choose = ROWS[name].operands
    return choose(*given) if choose is not None else given[: ELEMENTWISE[name].nin]


def expected(name: str, *values: Any) -> Any:
    """NumPy's result; integers divide to floatX, as in Theano."""
    with np.errstate(all="ignore"):
        result = np.asarray(ROWS[name].numpy(*values))
    if name == "true_div" and all(dtypes.is_discrete(v.dtype.name) for v in values):
        return result.astype(config.floatX)
    return result


def unflushed(name: str, got: Array, want: Array) -> Array:
    """`got`, in which a 0 may stand for a number below the smallest normal one, if the op's row says so."""
    if not ROWS[name].flushes or got.dtype.kind != "f":
        return got
    return np.where((got == 0) & (np.abs(want) < np.finfo(want.dtype).smallest_normal), want, got)


# ---- dtypes ----

# NumPy has none of the same dtypes.
NO_UFUNCS = (
    "softplus", "sigmoid", "decay", "softsign", "hard_sigmoid", "log1mexp", "erf", "round_half_away_from_zero",
)  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_an_op_takes_the_dtypes_that_numpy_takes_and_gives_what_it_gives(name: str) -> None:
    op, row = ELEMENTWISE[name], ROWS[name]
    free = 2 if op.nin > 1 else 1
    for combination in itertools.product(ALL, repeat=free):
        types = combination if op.nin < 3 else (combination[0], *combination[:2][::-1][: op.nin - 1])
        inputs = [tensor(dtype, 1) for dtype in types]
        values = [np.ones(1, dtype) for dtype in types]
        try:
            want: str | None = expected(name, *values).dtype.name
        except TypeError:
            want = None
        if name not in NO_UFUNCS:
            accepted = want is not None
        else:
            accepted = types[0] in row.accepts
        if len(set(types)) == 1:
            assert accepted == (types[0] in row.accepts), types
        if not accepted:
            with pytest.raises(TypeError, match="not defined for"):
                op(*inputs)
            continue
        assert op(*inputs).dtype == want, types


@pytest.mark.parametrize("name", [n for n in ROWS if ELEMENTWISE[n].nin == 2])
def test_mixed_dtypes_have_the_values_of_numpy(name: str, backend: str) -> None:
    """All pairs of dtypes in one function."""
    random = rng(name, "mixed")
    outputs, wanted = [], []
    values: dict[Variable, Array] = {}
    for left, right in itertools.product(ALL, ALL):
        x, y = tensor(left, 1), tensor(right, 1)
        a, b = sample(left, (5,), random), sample(right, (5,), random)
        if dtypes.is_discrete(left) and dtypes.is_discrete(right) and name == "pow":
            b = b & b.dtype.type(1)
        try:
            want = expected(name, a, b)
        except TypeError:
            continue
        outputs.append(ELEMENTWISE[name](x, y))
        wanted.append(want)
        values |= {x: a, y: b}
    compiled = function(list(values), outputs, backend=backend)(*values.values())
    evaluated = evaluate(outputs, values)
    problems = []
    for out, got, also, want in zip(outputs, compiled, evaluated, wanted, strict=True):
        for way, result in ((backend, got), ("evaluate", also)):
            problem = difference(result, want, ROWS[name].steady)
            if problem is not None:
                types = ", ".join(x.dtype for x in out.owner.inputs)
                problems.append(f"{way} ({types}): {problem}")
    assert not problems, "\n".join(problems)


# ---- layouts and shapes ----


@dataclass(frozen=True)
class Case:
    dtype: str
    layout: str
    shape: str

    def __str__(self) -> str:
        return f"{self.dtype}-{self.layout}-{self.shape}"


def cases(full: bool) -> Iterator[Case]:
    """Every (dtype, layout) with shapes in turn; the whole product with --full."""
    if full:
        yield from itertools.starmap(Case, itertools.product(ALL, LAYOUTS, SHAPES))
        return
    shapes = itertools.cycle(SHAPES)
    yield from (Case(dtype, layout, next(shapes)) for dtype in ALL for layout in LAYOUTS)


def test_the_cases_cover_every_pair() -> None:
    for name, row in ROWS.items():
        chosen = [case for case in cases(full=False) if case.dtype in row.accepts]
        assert {case.dtype for case in chosen} == set(row.accepts), name
        assert {case.layout for case in chosen} == set(LAYOUTS), name
        assert {case.shape for case in chosen} == set(SHAPES), name
    assert len({(case.dtype, case.layout) for case in cases(full=False)}) == len(ALL) * len(LAYOUTS)


@cache
def everything(dtype: str, ndim: int, backend: str) -> tuple[list[str], list[Variable], list[Variable], Function]:
    """One function with all the ops that take `dtype`."""
    inputs = [tensor(dtype, ndim, name) for name in "xyz"]
    names = [name for name, row in ROWS.items() if dtype in row.accepts]
    outputs = [ELEMENTWISE[name](*operands(name, *inputs)) for name in names]
    return names, inputs, outputs, function(inputs, outputs, backend=backend)


def compare(dtype: str, values: list[Array], backend: str) -> list[str]:
    names, inputs, outputs, compiled = everything(dtype, values[0].ndim, backend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ways = {backend: compiled(*values), "evaluate": evaluate(outputs, dict(zip(inputs, values, strict=True)))}
    problems = []
    native = [value.astype(dtype) for value in values]
    for i, name in enumerate(names):
        want = expected(name, *operands(name, *native))
        if name == "log1mexp":  # nothing is said about positive numbers but that there is no value
            want = np.where(native[0] > 0, np.asarray(np.nan, want.dtype), want)
        for way, results in ways.items():
            got = unflushed(name, results[i], want) if results[i].shape == want.shape else results[i]
            problem = difference(got, want, ROWS[name].steady, ROWS[name].absolute)
            if problem is not None:
                problems.append(f"{name} by {way}: {problem}")
    return problems


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_shapes(dtype: str, layout: str, backend: str, full: bool) -> None:
    for case in cases(full):
        if (case.dtype, case.layout) != (dtype, layout):
            continue
        random = rng(str(case))
        values = [LAYOUTS[layout](sample(dtype, shape, random)) for shape in SHAPES[case.shape]]
        problems = compare(dtype, values, backend)
        assert not problems, f"{case}\n" + "\n".join(problems)


@pytest.mark.parametrize("dtype", ALL)
def test_special_values(dtype: str, backend: str) -> None:
    """Every special value with every other, as arrays and (a few) as scalars, which take another path."""
    pool = special(dtype)
    x, y = (grid.ravel() for grid in np.meshgrid(pool, pool))
    values = [x, y, np.roll(y, 1)]
    problems = compare(dtype, values, backend)
    for i in rng(dtype, "scalars").choice(len(x), 12):
        problems += compare(dtype, [np.array(value[i]) for value in values], backend)
    assert not problems, "\n".join(problems[:20])


# ---- exact values ----

REALS = [
    5e-324, 2.2250738585072014e-308, 1e-300, 1e-30, 1e-8, 1e-3, 0.1, 0.25, 0.49999999999999994, 0.5, math.log(2), 0.9,
    0.999999, 1.0, 1.000001, 1.5, math.pi / 2, 2.0, 2.5, 3.0, math.pi, 10.5, 20.0, 36.7, 100.0, 700.0, 745.1, 1e5, 1e15,
    4503599627370497.5, 1e22, 1e300,
]  # fmt: skip
FEW = [5e-324, 1e-30, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 10.5, 100.0, 745.1, 1e15, 1e300]


def points(nin: int, dtype: str) -> list[Array]:
    """Finite real numbers of both signs, as columns for the operands."""
    random = rng(nin, dtype, "points")
    some: list[Any]
    if dtypes.is_discrete(dtype):
        limits = np.iinfo(dtype)
        some = [0, 1, 2, 3, 7, 12, limits.max, limits.min, limits.min // 2]
    elif nin == 1:
        some = [0.0, *REALS, *(-v for v in REALS), *random.normal(size=30), *(random.normal(size=30) * 100)]
    else:
        some = [0.0, *FEW, *(-v for v in FEW)]
    with np.errstate(all="ignore"):
        column = np.array(some).astype(dtype)
    column = column[np.isfinite(column)] + column.dtype.type(0)  # mpmath has no -0.0
    if nin == 3:
        column = random.choice(column, 8)
    return [grid.ravel() for grid in np.meshgrid(*[column] * nin)]


def rounded(value: Any, dtype: str) -> Any:
    """An exact number as the nearest one of `dtype`; what is not real is nan."""
    if dtypes.is_discrete(dtype):
        return np.dtype(dtype).type(value)
    if isinstance(value, mpmath.mpc):
        value = value.real if value.imag == 0 else mpmath.nan
    nearest = float(mpmath.nstr(mpmath.mpf(value), 40)) if mpmath.isfinite(value) else float(value)
    with np.errstate(all="ignore"):
        return np.float64(nearest).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("name", ROWS)
def test_exact_values(name: str, dtype: str, backend: str) -> None:
    op, row = ELEMENTWISE[name], ROWS[name]
    if dtype not in row.accepts:
        dtype = "int64"
    columns = points(op.nin, dtype)
    discrete = dtypes.is_discrete(dtype)
    inside, numbers = [], []
    with mp.workprec(200):
        for i, point in enumerate(zip(*columns, strict=True)):
            arguments = [int(v) if discrete else mpmath.mpf(float(v)) for v in point]
            arguments = list(operands(name, *map(np.asarray, point))) if name == "pow" and discrete else arguments
            arguments = [int(v) for v in arguments] if discrete else arguments
            if row.domain(*arguments):
                inside.append(i)
                numbers.append(row.exact(*(mpmath.mpf(v) if _is_real(name) else v for v in arguments)))
    values = [column[inside] for column in columns]
    inputs = [tensor(dtype, 1) for _ in range(3)]
    out = op(*operands(name, *inputs[: op.nin], *inputs[op.nin :]))
    limits = np.iinfo(out.dtype) if np.dtype(out.dtype).kind in "iu" else None
    keep = [i for i, v in enumerate(numbers) if limits is None or limits.min <= v <= limits.max]
    values = [column[keep] for column in values]
    want = np.array([rounded(numbers[i], out.dtype) for i in keep], out.dtype)
    given = dict(zip(inputs[: op.nin], values, strict=True))
    compiled = function(list(given), out, backend=backend)
    for got in (compiled(*values), evaluate(out, given)):
        got, wanted = (np.where(v == 0, np.zeros((), v.dtype), v) for v in (got, want))  # mpmath has no -0.0
        problem = difference(unflushed(name, got, wanted), wanted, row.ulps, row.absolute)
        assert problem is None, f"{problem}\n{values}" if len(values[0]) < 10 else problem


def _is_real(name: str) -> bool:
    """Whether the exact value of an op on integers is a real number, to be rounded."""
    out: Variable = ELEMENTWISE[name](*[tensor("int32", 0)] * ELEMENTWISE[name].nin)
    return out.dtype.startswith("float")


# ---- Python numbers, floatX ----

NUMBERS_OF_PYTHON = [True, 0, 1, -1, 2, 100, 300, 2**31, 2**40, 2**63, 1.5, -0.0, 1e6, 1e300, math.inf, math.nan, 2j]
WEAK_OPS = {name: op for name, op in ELEMENTWISE.items() if op.nin == 2 and name != "pow"}


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("number", NUMBERS_OF_PYTHON, ids=repr)
def test_python_numbers_are_weak(dtype: str, number: Any, backend: str) -> None:
    """``float32 * 2``, ``uint8 + 1``, ``int8 < 300`` on either side, exactly as NumPy has them."""
    if dtype == "bool" and number == 2**63:
        pytest.skip("NumPy compares no bool with an int beyond int64; graphc does")
    x, value = tensor(dtype, 1), np.concatenate([special(dtype), sample(dtype, (5,), rng(dtype, number))])
    outputs, wanted, labels = [], [], []
    for name, op in WEAK_OPS.items():
        for reverse in (False, True):
            pair, arguments = (x, number), (value, number)
            if reverse:
                pair, arguments = pair[::-1], arguments[::-1]
            try:
                want = _with_number(name, *arguments)
            except (TypeError, OverflowError) as error:
                with pytest.raises(type(error)):
                    op(*pair)
                continue
            outputs.append(op(*pair))
            wanted.append(want)
            labels.append(f"{name}({'number, x' if reverse else 'x, number'})")
    compiled, evaluated = function([x], outputs, backend=backend)(value), evaluate(outputs, {x: value})
    problems = []
    for label, got, also, want in zip(labels, compiled, evaluated, wanted, strict=True):
        row = ROWS[label.partition("(")[0]]
        problems += [f"{label}: {p}" for p in (difference(r, want, row.steady) for r in (got, also)) if p]
    assert not problems, "\n".join(problems)


def _with_number(name: str, x: Any, y: Any) -> Any:
    with np.errstate(all="ignore"):
        result = np.asarray(ROWS[name].numpy(x, y))
    return result.astype(config.floatX) if name == "true_div" and _discrete(x) and _discrete(y) else result


def _discrete(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "biu"


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("power", [0, 1, 2, 3, 7, -1, 0.5, 2.0, -2.5, 1j], ids=repr)
def test_python_numbers_as_powers(dtype: str, power: Any, backend: str) -> None:
    x, value = tensor(dtype, 1), sample(dtype, (9,), rng(dtype, power))
    value = np.where(np.isfinite(value), value, 2).astype(dtype)
    try:
        with np.errstate(all="ignore"):
            want = np.power(value, power)
    except (ValueError, OverflowError) as error:  # integers to negative powers
        with pytest.raises(type(error)):
            function([x], x**power, backend=backend)(value)
        return
    for got in (function([x], x**power, backend=backend)(value), evaluate(x**power, {x: value})):
        assert np.asarray(got).dtype == want.dtype
        near = np.isclose(got, want, rtol=40 * _epsilon(want), atol=0, equal_nan=True)
        assert near.all(), (value[~near], np.asarray(got)[~near], want[~near])


def _epsilon(x: Array) -> float:
    return float(np.finfo(x.dtype).eps) if x.dtype.kind in "fc" else 0.0


def test_a_python_number_takes_the_dtype_of_what_it_meets() -> None:
    assert (tensor("float32", 1) * 2).dtype == "float32"
    assert (tensor("float32", 1) * 2.5).dtype == "float32"
    assert (tensor("uint8", 1) + 1).dtype == "uint8"
    assert (tensor("int64", 1) + 1.5).dtype == "float64"
    assert (tensor("int8", 1) / 2).dtype == "float64"
    assert (tensor("float32", 1) + np.float64(1)).dtype == "float64"  # a NumPy scalar is not weak
    assert (tensor("float32", 1) + 1j).dtype == "complex64"
    x = tensor("float16", 1)
    assert (x + (ELEMENTWISE["neg"](1) + 2.5)).dtype == "float16"  # an expression of Python numbers alone stays weak


def test_floatX_is_the_dtype_of_quotients_and_lone_floats(backend: str) -> None:
    with config.change_flags(floatX="float32"):
        i, j = tensor("int32", 1), tensor("int64", 1)
        a, b = np.array([1, 7, -3], "int32"), np.array([3, 2**40, 7])
        (got,) = function([i, j], [i / j], backend=backend)(a, b)
        check(got, a.astype("float32") / b.astype("float32"))
        check(evaluate(i / j, {i: a, j: b}), got)
        assert (i * 0.5).dtype == "float64"  # NumPy's promotion of int32 and a Python float
        assert cast(1.5, "floatX").dtype == "float32"
        assert ELEMENTWISE["exp"](0.5).dtype == "float32"
        assert (i > 0).dtype == "bool"
    assert (i / j).dtype == "float64"


# ---- conversions, and ops that are no rows of the table ----


@pytest.mark.parametrize("source", ALL)
def test_cast_is_astype(source: str, backend: str) -> None:
    """Every pair of dtypes, on values that the target can hold (others are the processor's choice)."""
    random = rng(source, "cast")
    for target in ALL:
        for ndim, shape in ((1, (9,)), (0, ())):
            values = sample(source, shape, random)
            if target in dtypes.INTEGERS and source not in BITS:
                values = np.trunc(np.nan_to_num(values.real, nan=0, posinf=5, neginf=3).clip(0, 100)).astype(source)
            x = tensor(source, ndim)
            chosen = real(x) if loses_imaginary_part(source, target) else x
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                (got,) = function([x], [cast(chosen, target)], backend=backend)(values)
                also = evaluate(cast(chosen, target), {x: values})
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")  # NumPy warns that it drops imaginary parts
                want = values.astype(target)
            check(got, want)
            check(also, want)


def loses_imaginary_part(source: str, target: str) -> bool:
    return dtypes.is_complex(source) and target in (*dtypes.INTEGERS, *dtypes.FLOATS)


@pytest.mark.parametrize("source", dtypes.COMPLEX)
def test_cast_of_a_complex_number_to_a_real_one_is_refused(source: str) -> None:
    x = tensor(source, 1)
    for target in ALL:
        if loses_imaginary_part(source, target):
            for number in (x, constant(np.ones(2, source))):
                with pytest.raises(TypeError, match=r"T.real\(x\)"):
                    cast(number, target)
                with pytest.raises(TypeError, match=r"T.real\(x\)"):
                    number.astype(target)
        else:
            assert cast(x, target).dtype == target
    assert real(x).dtype == dtypes.REAL[source]
    assert real(real(x)).dtype == dtypes.REAL[source]


def test_the_gradient_of_a_real_number_is_real(backend: str) -> None:
    x, z = tensor("float64", 1), tensor("complex128", 1)
    f = function([x, z], grad(real((x * z).sum()), x), backend=backend)
    check(f(np.ones(2), np.array([1 + 2j, 3 - 1j])), np.array([1.0, 3.0]))


def test_cast_to_its_own_dtype_is_the_variable_itself() -> None:
    x = tensor("float32", 1)
    assert cast(x, "float32") is x
    with pytest.raises(TypeError, match="no dtype"):
        cast(x, "decimal")


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("like", ["float64", "bool"])
def test_fill_and_its_relatives(dtype: str, like: str, backend: str) -> None:
    shape, value = np.zeros((2, 3), like), sample(dtype, (), rng(dtype, "fill"))
    check(run(fill_op, shape, value, backend=backend), np.full((2, 3), value, dtype))
    column = sample(dtype, (2, 1), rng(dtype, "column"))
    check(run(fill_op, shape, column, backend=backend), np.broadcast_to(column, (2, 3)))
    check(run(zeros_like, column, backend=backend), np.zeros_like(column))
    check(run(ones_like, column, backend=backend), np.ones_like(column))
    check(run(lambda x: ones_like(x, like), column, backend=backend), np.ones_like(column, like))
    check(run(lambda x: full_like(x, 1), column, backend=backend), np.full_like(column, 1))
    check(run(tensor_copy, column, backend=backend), column)
    check(run(zero_grad, column, backend=backend), column)


def test_round_takes_a_mode(backend: str) -> None:
    halves = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    check(run(round, halves, backend=backend), np.array([-2.0, -2, -0.0, 0, 2, 2]))
    for away in (lambda x: round(x, "half_away_from_zero"), lambda x: x.round("half_away_from_zero")):
        check(run(away, halves, backend=backend), np.array([-3.0, -2, -1, 1, 2, 3]))
    with pytest.raises(ValueError, match="half_to_even"):
        round(tensor("float64", 0), "up")


def test_switch_takes_any_condition(backend: str) -> None:
    """What is not zero is true: also nan, and numbers of other dtypes than the branches."""
    for dtype in ALL:
        condition = special(dtype)
        got = run(lambda c: switch_op(c, 1, 2), condition, backend=backend)
        check(got, np.where(condition, 1, 2))


def test_an_output_never_shares_memory_with_an_input(backend: str) -> None:
    for name, op in ELEMENTWISE.items():
        x = tensor("int64" if name in ("and_", "or_", "xor", "invert") else "float64", 1)
        value = np.ones(3, x.dtype)
        (got,) = function([x], [op(*[x] * op.nin)], backend=backend)(value)
        assert not np.shares_memory(got, value), name
        assert got.flags.writeable


def test_operators_and_numbers_of_operands() -> None:
    x = tensor("int64", 1)
    symbols = {
        "add": x + x, "sub": x - x, "mul": x * x, "true_div": x / x, "int_div": x // x, "mod": x % x, "pow": x**x,
        "neg": -x, "abs_": abs(x), "and_": x & x, "or_": x | x, "xor": x ^ x, "invert": ~x,
        "lt": x < x, "le": x <= x, "gt": x > x, "ge": x >= x,
    }  # fmt: skip
    for name, out in symbols.items():
        assert out.owner.op is ELEMENTWISE[name]
    assert divmod(x, 2)[0].owner.op is ELEMENTWISE["int_div"]
    assert divmod(2, x)[1].owner.op is ELEMENTWISE["mod"]
    assert (+x) is x
    with pytest.raises(TypeError, match=r"exp\(\) takes 1 operand, got 2"):
        ELEMENTWISE["exp"](x, x)
    with pytest.raises(TypeError, match="clip: cannot use 'no number'"):
        ELEMENTWISE["clip"](x, 0, "no number")
