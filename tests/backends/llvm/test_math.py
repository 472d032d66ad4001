"""Elementary functions as LLVM instructions: values against mpmath, special cases against NumPy, on three processors.

`BOUNDS` states the largest error of each function in units in the last place (ULP); `python -m pytest --full` tries
more points.  One lane must give the same bits as a whole vector, or the end of an array would differ from its middle.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import platform
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from scipy import special

import graphc
import graphc.tensor as T
from graphc.backends.llvm import coefficients
from graphc.backends.llvm.emit import Kind
from graphc.backends.llvm.math import BINARY_FUNCTIONS, FUNCTIONS, definitions, symbol
from graphc.backends.llvm.target import AVX2, BASELINE, host, machine
from graphc.ops.declare import ELEMENTWISE
from tests.backends.llvm import minimax

llvm = pytest.importorskip("llvmlite.binding")

Array = Any

DTYPES = ("float64", "float32")
TARGETS = {"host": host(), "avx2": AVX2, "baseline": BASELINE}
EVERYTHING = [*FUNCTIONS, *BINARY_FUNCTIONS]

# ---- a module that applies each function to arrays ----

LOOP = """
define void @loop.{symbol}({pointers}, ptr noalias %out, i64 %size) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{loads}
  %r = call {kind} @{symbol}({arguments})
  %to = getelementptr {element}, ptr %out, i64 %i
  store {kind} %r, ptr %to, align {align}
  %next = add i64 %i, {lanes}
  %more = icmp slt i64 %next, %size
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def loop(name: str, kind: Kind) -> str:
    """A function of pointers to arrays, whose size is a multiple of the lanes."""
    operands = range(2 if name in BINARY_FUNCTIONS else 1)
    align = kind.bits // 8
    loads = (
        f"  %q{k} = getelementptr {kind.element}, ptr %p{k}, i64 %i\n  %x{k} = load {kind}, ptr %q{k}, align {align}"
        for k in operands
    )
    return LOOP.format(
        symbol=symbol(name, kind),
        kind=kind,
        element=kind.element,
        lanes=kind.lanes,
        align=align,
        pointers=", ".join(f"ptr noalias %p{k}" for k in operands),
        loads="\n".join(loads),
        arguments=", ".join(f"{kind} %x{k}" for k in operands),
    )


@dataclass(frozen=True)
class Library:
    """Compiled loops for one kind."""

    kind: Kind
    engine: Any

    def __call__(self, name: str, *xs: Array) -> Array:
        out = np.empty_like(xs[0])
        assert out.size % self.kind.lanes == 0
        types = [ctypes.c_void_p] * (len(xs) + 1)
        address = self.engine.get_function_address(f"loop.{symbol(name, self.kind)}")
        function = ctypes.CFUNCTYPE(None, *types, ctypes.c_int64)(address)
        function(*(x.ctypes.data for x in xs), out.ctypes.data, out.size)
        return out


@cache
def library(target_name: str, dtype: str, lanes: int) -> Library:
    """Every function, compiled for a processor; it is kept for the tests that follow."""
    target, kind = TARGETS[target_name], Kind(dtype, lanes)
    texts, declarations = definitions([(name, kind) for name in EVERYTHING], target)
    text = "\n".join([*declarations, *texts, *(loop(name, kind) for name in EVERYTHING)])
    for_target = machine.__wrapped__(target)  # one of its own: the engine takes possession of it
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = for_target.triple, str(for_target.target_data)
    module.verify()
    builder = llvm.create_pass_builder(for_target, llvm.create_pipeline_tuning_options(speed_level=1))
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, for_target)
    engine.finalize_object()
    return Library(kind, engine)


def skip_unless_it_runs(target_name: str) -> None:
    """Skip the tests of processors that this machine cannot stand in for."""
    if target_name == "host":
        return
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"{target_name} is an x86-64, this machine is not")
    has = llvm.get_host_cpu_features()
    if target_name == "avx2" and not all(has.get(name, False) for name in ("avx2", "fma", "bmi", "bmi2")):
        pytest.skip("this machine has no AVX2")


def vector(target_name: str, dtype: str) -> int:
    return TARGETS[target_name].lanes(np.dtype(dtype).itemsize)


def padded(x: Array) -> Array:
    """A size that every vector divides."""
    return np.resize(x, -(-x.size // 16) * 16)


# ---- what is expected ----


def mp_sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def np_sigmoid(x: Array) -> Array:
    """SciPy's is 0 where the result is subnormal."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def mp_softplus(x: Any) -> Any:
    return mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x))


def mp_logaddexp(x: Any, y: Any) -> Any:
    return max(x, y) + mp.log1p(mp.exp(-abs(x - y)))


Draw = Callable[[np.random.Generator, int], Array]


def uniform(low: float, high: float) -> Draw:
    return lambda random, count: random.uniform(low, high, count)


def spread(low: float, high: float) -> Draw:
    """Both signs, exponents of 2 evenly between two."""
    return lambda random, count: np.exp2(random.uniform(low, high, count)) * random.choice([-1.0, 1.0], count)


def positive(low: float, high: float) -> Draw:
    return lambda random, count: np.exp2(random.uniform(low, high, count))


def beside_one(low: float, high: float) -> Draw:
    """1 and a little more, or less for a negative sign."""
    return lambda random, count: 1.0 + np.exp2(random.uniform(low, high, count))


def quarter_turns(high: float) -> Draw:
    """The numbers nearest to multiples of pi / 2."""
    return lambda random, count: np.rint(random.uniform(-high, high, count)) * (np.pi / 2)


@dataclass(frozen=True)
class Expected:
    """What a function must give.

    Attributes
    ----------
    exactly: the function of mpmath.
    numpy: the function of NumPy or SciPy.
    bound, bound_without_fma: the largest error in ULP, of a processor with a fused multiply-add and of one without.
    draws: where to look.
    """

    exactly: Callable[..., Any]
    numpy: Callable[..., Any]
    bound: float
    bound_without_fma: float
    draws: tuple[Draw, ...]


EXPONENTIAL = (uniform(-745, 710), uniform(-104, 89), uniform(-1, 1), spread(-60, 9))
LOGARITHM = (positive(-1074, 1023), positive(-149, 127), uniform(0.5, 2), uniform(0.7, 0.8))
TRIGONOMETRIC = (uniform(-4, 4), uniform(-1e5, 1e5), spread(-40, 1023), spread(-10, 127), quarter_turns(1e5))
ARC = (uniform(-1, 1), spread(-100, 0), uniform(0.4, 0.6))
ANY = (uniform(-2, 2), spread(-1070, 1023), spread(-140, 127), spread(-20, 20))

EXPECTED: dict[str, Expected] = {
    "exp": Expected(mp.exp, np.exp, 1, 1, EXPONENTIAL),
    "exp2": Expected(lambda x: mp.power(2, x), np.exp2, 1, 1, (*EXPONENTIAL[2:], uniform(-1074, 1024))),
    "expm1": Expected(mp.expm1, np.expm1, 1, 1, EXPONENTIAL),
    "decay": Expected(lambda x: mp.exp(-abs(x)), lambda x: np.exp(-np.abs(x)), 1, 1, EXPONENTIAL),
    "sigmoid": Expected(mp_sigmoid, np_sigmoid, 2, 2, EXPONENTIAL),
    "softplus": Expected(mp_softplus, lambda x: np.logaddexp(0, x), 2, 2, EXPONENTIAL),
    "sinh": Expected(mp.sinh, np.sinh, 2.5, 2.5, (uniform(-710, 710), uniform(-89, 89), *EXPONENTIAL[2:])),
    "cosh": Expected(mp.cosh, np.cosh, 1.5, 1.5, (uniform(-710, 710), uniform(-89, 89), *EXPONENTIAL[2:])),
    "tanh": Expected(mp.tanh, np.tanh, 2, 2.5, (uniform(-20, 20), uniform(-1, 1), spread(-1070, 9))),
    "log": Expected(mp.log, np.log, 1, 1, LOGARITHM),
    "log2": Expected(lambda x: mp.log(x, 2), np.log2, 1, 1, LOGARITHM),
    "log10": Expected(mp.log10, np.log10, 1, 1, LOGARITHM),
    "log1p": Expected(mp.log1p, np.log1p, 1, 1, (uniform(-1, 1), spread(-1070, 0), positive(-60, 1023), uniform(0, 9))),
    "arcsinh": Expected(mp.asinh, np.arcsinh, 2, 2, ANY),
    "arccosh": Expected(mp.acosh, np.arccosh, 2.5, 2.5, (beside_one(-50, 0), positive(0, 1023), uniform(1, 9))),
    "arctanh": Expected(mp.atanh, np.arctanh, 2.5, 2.5, ARC),
    "sin": Expected(mp.sin, np.sin, 2, 3, TRIGONOMETRIC),
    "cos": Expected(mp.cos, np.cos, 2, 3, TRIGONOMETRIC),
    "tan": Expected(mp.tan, np.tan, 2, 3, TRIGONOMETRIC),
    "arcsin": Expected(mp.asin, np.arcsin, 2.5, 2.5, ARC),
    "arccos": Expected(mp.acos, np.arccos, 1.5, 1.5, ARC),
    "arctan": Expected(mp.atan, np.arctan, 2, 2, ANY),
    "deg2rad": Expected(mp.radians, np.deg2rad, 1, 1, ANY),
    "rad2deg": Expected(mp.degrees, np.rad2deg, 1, 1, (uniform(-2, 2), spread(-100, 100))),
    "erf": Expected(mp.erf, special.erf, 1.05, 1.2, (uniform(-1.2, 1.2), uniform(-6, 6), spread(-1070, 3))),
    "pow": Expected(
        mp.power, np.power, 1, 1, (uniform(0.5, 2), positive(-3, 3), positive(-120, 120)),
    ),
    "arctan2": Expected(mp.atan2, np.arctan2, 2, 2, ANY),
    "logaddexp": Expected(mp_logaddexp, np.logaddexp, 2, 2, (uniform(-30, 30),)),
}  # fmt: skip


def points(name: str, dtype: str, count: int) -> list[Array]:
    """Random arguments."""
    random = np.random.default_rng(zlib.crc32(f"{name} {dtype}".encode()))
    draws = EXPECTED[name].draws
    each = -(-count // len(draws))

    def operand() -> Array:
        with np.errstate(all="ignore"):
            x = padded(np.concatenate([draw(random, each) for draw in draws])).astype(dtype)
        # mpmath knows no negative zero; zeros and infinities are among the special points.
        return np.where((x == 0) | np.isinf(x), 1, x).astype(dtype)

    xs = [operand() for _ in range(2 if name in BINARY_FUNCTIONS else 1)]
    if name == "pow":
        # Exponents that take the result to both ends of the range.
        reach = np.log(float(np.finfo(dtype).max)) * 1.05 / np.maximum(np.abs(np.log(xs[0].astype(float))), 1e-3)
        xs[1] = (reach * random.uniform(-1, 1, reach.size)).astype(dtype)
    return xs


def exactly(name: str, xs: list[Array]) -> tuple[Array, Array]:
    """The result as a float64 and what is missing from it."""
    nearest, missing = np.empty(xs[0].size), np.zeros(xs[0].size)
    with mp.workprec(120):
        for k, arguments in enumerate(zip(*(x.tolist() for x in xs), strict=True)):
            value = EXPECTED[name].exactly(*map(mp.mpf, arguments))
            if abs(value) > np.finfo(float).max:
                nearest[k] = math.copysign(math.inf, value)
            else:
                nearest[k] = float(value)
                missing[k] = float(value - nearest[k])
    return nearest, missing


def ulps(got: Array, nearest: Array, missing: Array | float = 0.0, beside: Array | None = None) -> Array:
    """The errors of results in units in the last place; infinite where a nan, an infinity or a sign is wrong.

    `beside`: numbers that were added up to the result; the unit is that of the largest.
    """
    with np.errstate(all="ignore"):
        expected = nearest.astype(got.dtype)
        largest = np.abs(expected) if beside is None else np.fmax(np.abs(expected), beside)
        errors = np.abs((got.astype(float) - nearest) - missing) / np.spacing(largest)
        same = (got == expected) & (np.signbit(got) == np.signbit(expected)) | np.isnan(got) & np.isnan(expected)
        special = ~np.isfinite(expected) | ~np.isfinite(got) | ((expected == 0) & (beside is None))
        wrong_sign = (np.signbit(got) != np.signbit(expected)) & ~np.isnan(expected) & (beside is None)
    return np.where(special, np.where(same, 0.0, np.inf), np.where(wrong_sign, np.inf, errors))


def check(name: str, target_name: str, xs: list[Array], got: Array, errors: Array, more: float = 0.0) -> None:
    """Fail at the largest error if it is more than the bound."""
    expected = EXPECTED[name]
    bound = (expected.bound if TARGETS[target_name].fma else expected.bound_without_fma) + more
    k = int(np.argmax(errors))
    arguments = ", ".join(repr(x[k]) for x in xs)
    assert errors[k] <= bound, f"{name}({arguments}) = {got[k]!r} on {target_name}: {errors[k]:.3f} ULP, not {bound}"


def largest_operand(name: str, xs: list[Array]) -> Array | None:
    """logaddexp adds a number to the larger operand, which may cancel it."""
    return np.fmax(*(np.where(np.isfinite(x), np.abs(x), 0) for x in xs)) if name == "logaddexp" else None


@dataclass(frozen=True)
class Reference:
    """Arguments, and what is expected of them."""

    xs: list[Array]
    nearest: Array
    missing: Array


@cache
def reference(name: str, dtype: str, count: int) -> Reference:
    """Random points, the same for every target."""
    xs = points(name, dtype, count)
    return Reference(xs, *exactly(name, xs))


# ---- tests ----

on_every_target = pytest.mark.parametrize("target_name", TARGETS)
in_both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def test_every_function_has_its_expectation_and_is_an_op() -> None:
    assert set(EXPECTED) == set(EVERYTHING)
    assert [name for name in EVERYTHING if name not in ELEMENTWISE] == []


@on_every_target
@in_both_dtypes
@pytest.mark.parametrize("name", EVERYTHING)
def test_random_points(name: str, dtype: str, target_name: str, full: bool) -> None:
    skip_unless_it_runs(target_name)
    expected = reference(name, dtype, 20_000 if full else 1_500)
    got = library(target_name, dtype, vector(target_name, dtype))(name, *expected.xs)
    beside = largest_operand(name, expected.xs)
    check(name, target_name, expected.xs, got, ulps(got, expected.nearest, expected.missing, beside))


@on_every_target
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_sweep_of_float32(name: str, target_name: str, full: bool) -> None:
    """Every so many bit patterns, nan and infinity among them, against NumPy in float64."""
    skip_unless_it_runs(target_name)
    step = 251 if full else 16_411
    x = padded(np.arange(0, 2**32, step, dtype=np.uint32)).view(np.float32)
    got = library(target_name, "float32", vector(target_name, "float32"))(name, x)
    with np.errstate(all="ignore"):
        nearest = EXPECTED[name].numpy(x.astype(float))
    check(name, target_name, [x], got, ulps(got, nearest))


MAGNITUDES = (
    "0 inf nan 0.5 0.75 1 1.5 2 3 20 400 1e5 1e9 1e19 3e30 1e154 1e300 1e-5 1e-20 1e-300 1e-310 5e-324 1e-40 1e-45 "
    "2.2250738585072014e-308 1.1754943508222875e-38 1.7976931348623157e308 3.4028234663852886e38 "
    "2.220446049250313e-16 1.1920928955078125e-07 1.0000000000000002 0.9999999999999999 1.0000001 0.9999999 "
    "709.78 709.79 710.47 710.48 745.1 745.2 88.72 88.73 89.41 89.42 103.9 104 1023 1024 1074 1076 127 128 149 151 "
    "3.141592653589793 1.5707963267948966 0.7853981633974483 4503599627370496 9007199254740994 8388609 16777218"
)


def special_points(name: str, dtype: str) -> list[Array]:
    """Zeros, infinities, nan, the ends of the format and of the functions' ranges; all pairs of them."""
    with np.errstate(all="ignore"):
        x = np.array([float(word) for word in MAGNITUDES.split()]).astype(dtype)
    x = np.concatenate([x, -x])
    operands = 2 if name in BINARY_FUNCTIONS else 1
    return [padded(np.array(column)) for column in zip(*itertools.product(x, repeat=operands), strict=True)]


@on_every_target
@in_both_dtypes
@pytest.mark.parametrize("name", EVERYTHING)
def test_special_points(name: str, dtype: str, target_name: str) -> None:
    """NumPy's own errors come on top of the bound."""
    skip_unless_it_runs(target_name)
    xs = special_points(name, dtype)
    got = library(target_name, dtype, vector(target_name, dtype))(name, *xs)
    with np.errstate(all="ignore"):
        nearest = EXPECTED[name].numpy(*(x.astype(float) for x in xs))
    check(name, target_name, xs, got, ulps(got, nearest, beside=largest_operand(name, xs)), more=2)


@on_every_target
@in_both_dtypes
def test_one_lane_gives_the_bits_of_a_vector(dtype: str, target_name: str) -> None:
    skip_unless_it_runs(target_name)
    one, many = library(target_name, dtype, 1), library(target_name, dtype, vector(target_name, dtype))
    for name in EVERYTHING:
        for xs in (reference(name, dtype, 1_500).xs, special_points(name, dtype)):
            np.testing.assert_array_equal(one(name, *xs), many(name, *xs), err_msg=name)


@in_both_dtypes
def test_vectors_of_any_length_give_the_same_bits(dtype: str) -> None:
    """exp looks powers up in a register of a whole vector, where there is AVX-512."""
    xs = reference("exp", dtype, 1_500).xs
    one, *others = (library("host", dtype, lanes)("exp", *xs) for lanes in (1, 2, 4, 8, 16, 32))
    for other in others:
        np.testing.assert_array_equal(other, one)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_that_share_an_exponential(dtype: str) -> None:
    """In one kernel sigmoid and softplus of a number, and of its negative, are written out (see `kernels.sharing`)."""
    x = T.vector("x", dtype)
    outputs = [f(z) for f in (T.nnet.sigmoid, T.nnet.softplus) for z in (x, -x)]
    step = graphc.function([x], outputs, backend="llvm")
    assert step.source.count("decay(") == 1
    points = reference("sigmoid", dtype, 1_500).xs[0]
    for got, (name, sign) in zip(step(points), itertools.product(("sigmoid", "softplus"), (1, -1)), strict=True):
        nearest, missing = exactly(name, [sign * points])
        check(name, "host", [points], got, ulps(got, nearest, missing))


def test_saturated() -> None:
    """Beyond these arguments the result is exact, and it does not waver."""
    for target_name, dtype in itertools.product(("host",), DTYPES):
        apply = library(target_name, dtype, 1)
        x = padded(np.linspace(20, 700, 100)).astype(dtype)
        assert (apply("tanh", x) == 1).all()
        assert (apply("erf", x) == 1).all()
        assert (apply("expm1", -2 * x) == -1).all()


@on_every_target
@in_both_dtypes
def test_exponentials_of_vast_numbers(dtype: str, target_name: str) -> None:
    """Of which the next multiple of log(2) is far away."""
    skip_unless_it_runs(target_name)
    apply = library(target_name, dtype, vector(target_name, dtype))
    last = np.finfo(dtype).maxexp
    for significand in (1.0, 1.37, 1.99):
        x = padded(np.ldexp(significand, np.arange(11, last))).astype(dtype)
        for name in ("exp", "exp2"):
            assert (apply(name, x) == math.inf).all()
            assert (apply(name, -x) == 0).all()


@on_every_target
@in_both_dtypes
def test_every_nan_stays_one(dtype: str, target_name: str) -> None:
    """Signalling ones among them, which a processor treats otherwise."""
    skip_unless_it_runs(target_name)
    apply = library(target_name, dtype, vector(target_name, dtype))
    mantissa = np.finfo(dtype).nmant
    infinity = np.array(math.inf, dtype).view(f"int{8 * np.dtype(dtype).itemsize}")
    payloads = np.array([1, 77, 1 << (mantissa - 1), (1 << mantissa) - 1], infinity.dtype)
    x = (infinity | payloads).view(dtype)
    x = padded(np.concatenate([x, -x]))
    for name in FUNCTIONS:
        assert np.isnan(apply(name, x)).all(), name


def test_powers_are_exact_where_they_can_be() -> None:
    for dtype in DTYPES:
        apply = library("host", dtype, 1)
        x = padded(np.arange(-120.0, 120.0)).astype(dtype)
        np.testing.assert_array_equal(apply("exp2", x), np.ldexp(1.0, x.astype(int)).astype(dtype))
        np.testing.assert_array_equal(apply("log2", apply("exp2", x)), x)
        np.testing.assert_array_equal(apply("pow", x, np.full_like(x, 2)), x * x)


def test_definitions_are_written_once() -> None:
    kind = Kind("float32", 4)
    texts, declarations = definitions([("sin", kind), ("cos", kind), ("sin", kind)], BASELINE)
    text = "\n".join(texts)
    assert text.count("define") == 4  # sin, cos, and what reduces large angles: of a vector, of one number
    assert text.count(f"@{symbol('sin', kind)}(") == 1
    assert all(line.startswith("declare ") for line in declarations)


def test_coefficients_are_those_of_the_script(full: bool, capsys: pytest.CaptureFixture[str]) -> None:
    if not full:
        pytest.skip("Remez's algorithm takes seconds; run with --full")
    minimax.main()
    kept = Path(coefficients.__file__).read_text(encoding="utf-8")
    assert capsys.readouterr().out == kept
