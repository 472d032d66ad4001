"""Every law of arithmetic, indexing and reductions: the left side as a user writes it, through the whole pipeline.

The trace must name the rule.  An exact rule gives the bits of the graph as it was written; one of another class is
judged against the value at 200 bits, as docs/rewrites.md defines the classes.  Edge values are never left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.compile.function import Function
from graphc.evaluator import evaluate
from graphc.graph.fgraph import FunctionGraph
from graphc.ifelse import ifelse
from graphc.rewrites.algebra import CHEAPER, LAWS, SAFER
from graphc.rewrites.catalogue import ELSEWHERE, TITLES, by_number
from graphc.rewrites.engine.driver import rewrite
from graphc.rewrites.indexing import INDEXING
from graphc.rewrites.lifts import LIFTS
from graphc.rewrites.reductions import REDUCTIONS
from graphc.rewrites.shapes import RESHAPE_LIFTS, SHAPES
from graphc.rewrites.specialize import SPECIALIZE

INF, NAN = float("inf"), float("nan")
RNG = np.random.default_rng(20)
EDGES = np.array(
    [NAN, INF, -INF, 0.0, -0.0, 5e-324, -5e-324, 1e-310, 1e-160, 1e-20, -1e-20, 0.5, -0.5, 1.0, -1.0, 1.5, 2.0, 3.0,
     -2.5, 20.0, -20.0, 37.0, 300.0, -300.0, 709.0, 710.0, -745.0, -800.0, 1e10, -1e10, 1e160, 1e300, -1e300,
     1.7976931348623157e308]
)  # fmt: skip
FLOATS = np.concatenate([EDGES, RNG.normal(size=60), RNG.normal(size=40) * 100])
INTS = np.array([0, 1, -1, 2, 3, 7, -8, 127, -128, 2**31, -(2**40), 2**62])


@dataclass(frozen=True)
class Law:
    """number and class of the rule; the expression; its value by mpmath, if not exact; its inputs; the rule's name."""

    number: int
    numerics: str
    make: Callable[..., Any]
    truth: Callable[..., Any] | None = None
    dtype: str = "float64"
    ndim: int = 1
    count: int = 1
    rule: str = ""


def half_domain(f: Callable[[Any], Any], inside: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """nan outside of the domain."""
    return lambda x: f(x) if inside(x) else mpmath.nan


def _fixed(x: Any) -> Any:
    """The first five elements of `x`: how many is known."""
    return T.reshape(x[:5], (5,))


EXACT: list[Law] = [
    Law(18, "exact", lambda x: 1 * x),
    Law(18, "exact", lambda x: -1 * x),
    Law(18, "exact", lambda x: x - 0),
    Law(18, "exact", lambda x: x / 1),
    Law(18, "exact", lambda x: -(-x)),
    Law(18, "exact", lambda x, y: x + (-y), count=2),
    Law(18, "exact", lambda x, y: x - (-y), count=2),
    Law(18, "exact", lambda x, y: (-x) * y, count=2),
    Law(18, "exact", lambda x, y: (-x) / y, count=2),
    Law(18, "exact", lambda x, y: (-x) / (-y), count=2),
    Law(18, "exact", lambda x: x + 0, dtype="int64"),
    Law(18, "exact", lambda x: x // 1, dtype="int64"),
    Law(19, "exact", lambda x: x**0),
    Law(19, "exact", lambda x: x**1),
    Law(19, "exact", lambda x: 1**x),
    Law(19, "exact", lambda x: x * x),
    Law(19, "exact", lambda x: x**0.5),
    Law(20, "exact", lambda x: ~~x, dtype="int64"),
    Law(20, "exact", lambda x: abs(abs(x))),
    Law(20, "exact", lambda x: abs(-x)),
    Law(21, "exact", lambda x: abs(T.sqr(x))),
    Law(17, "exact", lambda x: 2 + (x + 3), dtype="int64", rule="merge_integer_terms"),
    Law(17, "exact", lambda x: 2**62 - (2**62 - (x - 2**62)), dtype="int64", rule="merge_integer_terms"),
    Law(17, "exact", lambda x: T.cast(100, "int8") + (100 - x), dtype="int8", rule="merge_integer_terms"),
    Law(17, "exact", lambda x: (x - 200) - 100, dtype="uint8", rule="merge_integer_terms"),
    Law(17, "exact", lambda x: 3 - (3 - x), dtype="uint8", rule="merge_integer_terms"),
    Law(21, "exact", lambda x, y: abs(x) * abs(y), count=2, rule="mul(abs_(x), abs_(y))"),
    Law(21, "exact", lambda x, y: abs(x) / abs(y), count=2, rule="true_div(abs_(x), abs_(y))"),
    Law(24, "exact", lambda x: T.maximum(x, x)),
    Law(24, "exact", lambda x: T.minimum(x, x)),
    Law(24, "exact", lambda x: x < x),
    Law(24, "exact", lambda x: x > x),
    Law(24, "exact", lambda x: x <= x, dtype="int64"),
    Law(24, "exact", lambda x: T.eq(x, x), dtype="int64"),
    Law(24, "exact", lambda x: T.neq(x, x), dtype="int64"),
    Law(24, "exact", lambda x: x.shape[0] >= 0),
    Law(24, "exact", lambda x: T.maximum(x.shape[0], 0)),
    Law(25, "exact", lambda x, y: T.switch(True, x, y), count=2),
    Law(25, "exact", lambda x: T.switch(x > 0, x, x)),
    Law(25, "exact", lambda x, y: T.switch(x > 0, T.switch(x > 0, x, y), x * y), count=2, rule="switch_of_switch"),
    Law(25, "exact", lambda x, y: T.switch(x > 0, y, T.switch(x > 0, x, x * y)), count=2, rule="switch_of_switch"),
    Law(25, "exact", lambda x: T.switch(x > 0, x, T.switch(x > 0, 3, x + 1)), rule="switch_of_switch"),
    Law(
        25,
        "exact",
        lambda x, y: T.switch(x > y, x, y) - T.switch(x > y, y, 2.0),
        count=2,
        rule="elementwise_of_switches",
    ),
    Law(
        25,
        "exact",
        lambda x, y: T.switch(x > y, x, 3.0) / T.switch(x > y, y, 2.0),
        count=2,
        rule="elementwise_of_switches",
    ),
    Law(
        25,
        "exact",
        lambda x: T.switch(x > 0, x, x[:1]) < T.switch(x > 0, T.cast(x, "float32"), 2),
        rule="elementwise_of_switches",
    ),
    Law(25, "exact", lambda x: ifelse(T.constant(True), x, x[1:]), rule="ifelse_of_constant"),
    Law(25, "exact", lambda x: ifelse(T.constant(0), x, x[1:]) + 1, rule="ifelse_of_constant"),
    Law(25, "exact", lambda x: ifelse(False, [x, 2 * x], [x[1:], 3 * x])[1], rule="ifelse_of_constant"),
    Law(25, "exact", lambda x: ifelse(x[0] > 0, x + 1, x + 1), rule="ifelse_of_equals"),
    Law(25, "exact", lambda x: sum(ifelse(x[3] > 0, [x, x + 1], [2 * x, x + 1])), rule="ifelse_of_equals"),
    Law(25, "exact", lambda x: ifelse(x[3] > 0, ifelse(x[3] > 0, x[1:], x), x + 1), rule="ifelse_of_ifelse"),
    Law(25, "exact", lambda x: ifelse(x[2] > 0, x, ifelse(x[2] > 0, x + 1, x[1:])), rule="ifelse_of_ifelse"),
    Law(
        25,
        "exact",
        lambda x: T.concatenate(ifelse(x[2] > 0, ifelse(x[2] > 0, [x, x + 1], [x + 2, x[1:]]), [x[2:], x + 3])),
        rule="ifelse_of_ifelse",
    ),
    Law(26, "exact", lambda x: T.cast(T.cast(x, "int64"), "int8"), dtype="int32"),
    Law(26, "exact", lambda x: T.cast(T.cast(x, "float64"), "float32"), dtype="int16"),
    Law(27, "exact", lambda x: x & x, dtype="int64"),
    Law(27, "exact", lambda x: x | x, dtype="int64"),
    Law(27, "exact", lambda x: x ^ x, dtype="int64"),
    Law(27, "exact", lambda x: x & 0, dtype="int64"),
    Law(27, "exact", lambda x: x | 0, dtype="int64"),
    Law(27, "exact", lambda x: x ^ 0, dtype="int64"),
    Law(27, "exact", lambda x: x & True, dtype="bool"),
    Law(27, "exact", lambda x: x | True, dtype="bool"),
    # ---- axes and broadcasts ----
    Law(4, "exact", lambda x: x.T.T, ndim=2, rule="compose_dimshuffles"),
    Law(4, "exact", lambda x: T.exp(x + x[0]).T, ndim=2, rule="dimshuffle_of_elementwise"),
    Law(4, "exact", lambda x: T.alloc(x[0], 5, x.shape[1]).T, ndim=2, rule="dimshuffle_of_broadcast"),
    Law(4, "exact", lambda x: T.alloc(x, 1, x.shape[0]).dimshuffle(1), rule="dimshuffle_of_broadcast"),
    Law(5, "exact", lambda x: x.reshape((x.shape[0],)), rule="reshape_to_own_shape"),
    Law(5, "exact", lambda x: x.flatten().reshape((-1,)), rule="reshape_to_own_shape"),
    Law(5, "exact", lambda x: x.reshape((-1, 1)), rule="reshape_to_dimshuffle"),
    Law(5, "exact", lambda x: x.reshape((1, x.shape[0], 1)), rule="reshape_to_dimshuffle"),
    Law(
        5,
        "exact",
        lambda x: x.dimshuffle(0, "x", 1).reshape((x.shape[0], x.shape[1])),
        ndim=2,
        rule="reshape_to_dimshuffle",
    ),
    Law(5, "exact", lambda x: x.reshape((2, 1, -1)).flatten(), rule="merge_reshapes"),
    Law(5, "exact", lambda x: x.flatten().reshape((x.shape[1], x.shape[0])), ndim=2, rule="merge_reshapes"),
    Law(5, "exact", lambda x: x.T.flatten().reshape((x.shape[1], x.shape[0])), ndim=2, rule="merge_reshapes"),
    Law(5, "exact", lambda x: x.flatten().reshape(x.shape, ndim=2), ndim=2, rule="merge_reshapes"),
    Law(5, "exact", lambda x: x.dimshuffle(0, "x", 1).flatten(), ndim=2, rule="merge_reshapes"),
    Law(5, "exact", lambda x: x.flatten().dimshuffle("x", 0), ndim=2, rule="merge_reshapes"),
    Law(5, "exact", lambda x: T.exp(2 * x).flatten(), ndim=2, rule="reshape_of_unary"),
    Law(8, "exact", lambda x: T.alloc(x, x.shape[0]), rule="useless_alloc"),
    Law(8, "exact", lambda x: T.alloc(T.alloc(x, 2, x.shape[0]), 3, 2, x.shape[0]), rule="broadcast_of_broadcast"),
    Law(8, "exact", lambda x: T.alloc(T.alloc(x[0], x.shape[0]), 3, x.shape[0]), rule="broadcast_of_broadcast"),
    Law(8, "exact", lambda x: T.fill(x, T.fill(x[0], x[0, 0])), ndim=2, rule="broadcast_of_broadcast"),
    Law(8, "exact", lambda x: T.alloc(T.fill(x, 2.5), 3, x.shape[0]), rule="broadcast_of_broadcast"),
    Law(8, "exact", lambda x: T.exp(T.alloc(x, 3, x.shape[0])), rule="elementwise_of_fill"),
    Law(8, "exact", lambda x: 1 + T.alloc(x, 3, x.shape[0]) * T.alloc(2.0, 3, x.shape[0]), rule="elementwise_of_fill"),
    Law(8, "exact", lambda x: T.exp(T.fill(x, x[0])), ndim=2, rule="elementwise_of_fill"),
    # ---- indexing ----
    Law(11, "exact", lambda x: x[0 : x.shape[0]]),
    Law(11, "exact", lambda x: x[0:]),
    Law(11, "exact", lambda x: T.reshape(x[:6], (6,))[-1]),
    Law(12, "exact", lambda x: T.concatenate([x[:3], x[:2]])[1:][:2]),
    Law(12, "exact", lambda x: x[1:][2:]),
    Law(12, "exact", lambda x: x[1::2][1:3]),
    Law(12, "exact", lambda x: x[:, 1:][0], ndim=2),
    Law(13, "exact", lambda x: T.sqr(x)[1:3]),
    Law(13, "exact", lambda x: (x * 2 + 1)[2]),
    Law(13, "exact", lambda x: T.zeros_like(x)[1:3]),
    Law(13, "exact", lambda x: x.max(axis=1)[1], ndim=2),
    Law(13, "exact", lambda x: x.T[1], ndim=2),
    Law(11, "exact", lambda x: _fixed(x)[-3:-1], rule="drop_useless_bounds"),
    Law(12, "exact", lambda x: x[2:][3], rule="merge_indices"),
    Law(12, "exact", lambda x: x[2::3][4], rule="merge_indices"),
    Law(13, "exact", lambda x: T.exp(x + x[0])[2:5], ndim=2, rule="lift_through_elementwise"),
    Law(13, "exact", lambda x: (x * x[:, 0].dimshuffle(0, "x"))[2, 1:], ndim=2, rule="lift_through_elementwise"),
    Law(13, "exact", lambda x: (x * x[:, 0].dimshuffle(0, "x"))[:, ::-1], ndim=2, rule="lift_through_elementwise"),
    Law(13, "exact", lambda x: T.switch(x > 0, x, x[0])[:0, 1], ndim=2, rule="lift_through_elementwise"),
    Law(13, "exact", lambda x: T.alloc(x, 5, x.shape[0])[3, 1:], rule="lift_through_broadcast"),
    Law(13, "exact", lambda x: T.alloc(x[0], x.shape[0], 3)[1:], ndim=2, rule="lift_through_broadcast"),
    Law(5, "exact", lambda x: x.dimshuffle(0, "x").reshape((-1,))[1:], rule="reshape_to_dimshuffle"),
    Law(13, "exact", lambda x: x[:, :1].dimshuffle(0)[2], ndim=2, rule="lift_through_dimshuffle"),
    Law(13, "exact", lambda x: T.concatenate([x, T.exp(x), x])[: x.shape[0]], rule="lift_through_join"),
    Law(13, "exact", lambda x: T.concatenate([_fixed(x), _fixed(x) + 1])[6], rule="lift_through_join"),
    Law(13, "exact", lambda x: T.concatenate([_fixed(x), _fixed(x) + 1])[5:9:2], rule="lift_through_join"),
    Law(13, "exact", lambda x: T.concatenate([_fixed(x), _fixed(x) + 1])[-5:], rule="lift_through_join"),
    Law(14, "exact", lambda x: T.set_subtensor(x[1:3], 5.0)[1:3]),
    Law(14, "exact", lambda x: T.inc_subtensor(x[1:3], 0), dtype="int64", rule="write_that_changes_nothing"),
    Law(14, "exact", lambda x: T.inc_subtensor(x[1:3], -0.0), rule="write_that_changes_nothing"),
    Law(14, "exact", lambda x: T.inc_subtensor(x[1:3], 5.0)[1:3]),
    Law(14, "exact", lambda x: T.set_subtensor(x[1:3], x[1:3])),
    Law(14, "exact", lambda x: T.set_subtensor(T.set_subtensor(x[1:3], 1.0)[1:3], 2.0)),
    Law(14, "exact", lambda x: T.set_subtensor(x[:], 3.0)),
    Law(16, "exact", lambda x: T.stack([x, x + 1])[T.constant(1)]),
    Law(16, "exact", lambda x: x[T.arange(x.shape[0])]),
    Law(9, "exact", lambda x: T.concatenate([x[:3], x[3:5]])),
    Law(9, "exact", lambda x: T.concatenate([T.zeros(0), x, x[1:]]), rule="join_slices"),
    Law(9, "exact", lambda x: T.concatenate([T.stack([x, x + 1]), T.stack([x])]), rule="join_stacks"),
    Law(9, "exact", lambda x: T.concatenate([T.stack([x, x + 1], 1), T.stack([x], 1)], 1), rule="join_stacks"),
    # ---- reductions ----
    Law(23, "exact", lambda x: x.max(axis=1).max(), ndim=2),
    Law(23, "exact", lambda x: x.min(axis=0).min(), ndim=2),
    Law(23, "exact", lambda x: x.sum(axis=1).sum(), ndim=2, dtype="int64"),
    Law(23, "exact", lambda x: x.dimshuffle(0, "x").sum(axis=1), dtype="int64"),
    Law(23, "exact", lambda x: x.dimshuffle(0, "x").prod(axis=1)),
    Law(23, "exact", lambda x: x[0].sum()),
    Law(23, "exact", lambda x: x.max(axis=(0, 1), keepdims=True), ndim=2, rule="reduction_over_all_axes"),
    Law(23, "exact", lambda x, y: T.stack([x, y, -y]).max(axis=0), count=2, rule="extremum_of_stack"),
    Law(23, "exact", lambda x, y: T.stack([x, y], axis=1).min(axis=1), count=2, rule="extremum_of_stack"),
    Law(23, "exact", lambda x: T.stack([x[0], x[1]]).max(), rule="extremum_of_stack"),
    Law(23, "exact", lambda x: T.stack([x, -x]).max(axis=0), dtype="int8", ndim=2, rule="extremum_of_stack"),
]

STABLE: list[Law] = [
    Law(17, "stable", lambda x: 2 + (x + 3), lambda x: x + 5, rule="merge_constant_terms"),
    Law(17, "stable", lambda x: 1 - (1 - x), lambda x: x, rule="merge_constant_terms"),
    Law(17, "stable", lambda x: 0.25 - (x - 0.5), lambda x: mpmath.mpf(0.75) - x, rule="merge_constant_terms"),
    Law(17, "stable", lambda x: 1.5 - (x + 1.5), lambda x: -x, rule="merge_constant_terms"),
    Law(23, "stable", lambda x, y: T.stack([x, y]).sum(axis=0), lambda x, y: x + y, count=2, rule="sum_of_stack"),
    Law(23, "stable", lambda x, y: T.stack([x, y], 1).prod(axis=1), lambda x, y: x * y, count=2, rule="sum_of_stack"),
    Law(23, "stable", lambda x: x.dimshuffle(0, "x").sum(axis=1), lambda x: x),
    Law(18, "stable", lambda x, y: (-x) - y, lambda x, y: -x - y, count=2),
    Law(20, "stable", lambda x: T.log(T.exp(x)), lambda x: x),
    Law(20, "stable", lambda x: T.log1p(T.expm1(x)), lambda x: x),
    Law(20, "stable", lambda x: T.sqrt(T.sqr(x)), abs),
    Law(20, "stable", lambda x: T.arcsinh(T.sinh(x)), lambda x: x),
    Law(20, "stable", lambda x: T.sinh(T.arcsinh(x)), lambda x: x),
    Law(20, "stable", lambda x: T.tan(T.arctan(x)), lambda x: x),
    Law(20, "stable", lambda x: T.arctanh(T.tanh(x)), lambda x: x),
    Law(20, "stable", lambda x: T.arccosh(T.cosh(x)), abs),
    Law(20, "stable", lambda x: T.log2(T.exp2(x)), lambda x: x),
    Law(20, "stable", lambda x: T.exp2(T.log2(x)), half_domain(lambda x: x, lambda x: x >= 0)),
    Law(20, "stable", lambda x: T.sqr(T.sqrt(x)), half_domain(lambda x: x, lambda x: x >= 0)),
    Law(20, "stable", lambda x: T.sqrt(x) ** 2, half_domain(lambda x: x, lambda x: x >= 0), rule="sqr(sqrt(x))"),
    Law(20, "stable", lambda x: T.reciprocal(T.reciprocal(x)), lambda x: x),
    Law(20, "stable", lambda x: T.exp(T.log(x)), half_domain(lambda x: x, lambda x: x >= 0)),
    Law(20, "stable", lambda x: T.expm1(T.log1p(x)), half_domain(lambda x: x, lambda x: x >= -1)),
    Law(20, "stable", lambda x: T.exp(T.log1p(x)), half_domain(lambda x: 1 + x, lambda x: x >= -1)),
    Law(20, "stable", lambda x: T.cosh(T.arccosh(x)), half_domain(lambda x: x, lambda x: x >= 1)),
    Law(20, "stable", lambda x: T.tanh(T.arctanh(x)), half_domain(lambda x: x, lambda x: abs(x) <= 1)),
    Law(20, "stable", lambda x: T.sin(T.arcsin(x)), half_domain(lambda x: x, lambda x: abs(x) <= 1)),
    Law(20, "stable", lambda x: T.cos(T.arccos(x)), half_domain(lambda x: x, lambda x: abs(x) <= 1)),
]

ROUNDING: list[Law] = [
    *(Law(19, "rounding", lambda x, n=n: x**n, lambda x, n=n: x**n) for n in (2, 3, 4, 5, 6, 7, 8)),
    *(Law(19, "rounding", lambda x, n=n: x**n, lambda x, n=n: x**n) for n in (-1, -2, -3, -4)),
    Law(17, "rounding", lambda x: 2.5 * (x * 3.0), lambda x: mpmath.mpf(7.5) * x),
    Law(
        23, "rounding", lambda x: (2.5 * T.stack([x] * 8, 1)).sum(axis=1), lambda x: 20 * x, rule="constant_out_of_sum"
    ),
    Law(
        23,
        "rounding",
        lambda x: (-2.5 * T.stack([x, x, x], 1)).prod(axis=1),
        lambda x: mpmath.mpf(-2.5) ** 3 * x**3,
        rule="constant_out_of_prod",
    ),
]


def variables(law: Law) -> list[Any]:
    return [T.tensor(law.dtype, (False,) * law.ndim, name=name) for name in "xyz"[: law.count]]


def values(law: Law) -> list[np.ndarray[Any, Any]]:
    """Edge values and random ones; for two operands every pair of edges."""
    if law.dtype == "bool":
        source = np.array([True, False, True, True, False])
    elif law.dtype.startswith(("int", "uint")):
        source = INTS.astype(law.dtype)
    else:
        source = FLOATS
    if law.ndim == 2:
        return [source[: len(source) // 3 * 3].reshape(-1, 3).copy()]
    if law.count == 1:
        return [source]
    grid = np.meshgrid(source[:40], source[:40])
    return [g.ravel().copy() for g in grid]


def compiled(law: Law, xs: list[Any]) -> Function:
    """The function, after a check that its trace names the rule."""
    numerics = "ieee" if law.numerics == "exact" else "algebraic" if law.numerics == "algebraic" else "default"
    f = graphc.function(xs, law.make(*xs), numerics=numerics, backend="numpy", on_unused_input="ignore")
    used = {(applied.rule.number, applied.rule.numerics) for applied in f.rewrites}
    assert (law.number, law.numerics) in used, f"rule {law.number} ({law.numerics}) not among {sorted(used)}"
    assert any(applied.rule.text.startswith(law.rule) for applied in f.rewrites), f"{law.rule} not in {f.rewrites}"
    return f


def label(law: Law) -> str:
    x = variables(law)
    return f"{law.number}-{graphc.pp(law.make(*x), style='math')[:60]}"


@pytest.mark.parametrize("law", EXACT, ids=label)
def test_exact(law: Law) -> None:
    xs, arrays = variables(law), values(law)
    wanted = evaluate(law.make(*xs), dict(zip(xs, arrays, strict=True)))
    got = compiled(law, xs)(*arrays)
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    both_nan = np.isnan(got) & np.isnan(wanted) if got.dtype.kind == "f" else np.zeros(got.shape, bool)
    same = got.view(f"u{got.itemsize}") == wanted.view(f"u{got.itemsize}")
    assert np.all(same | both_nan), (got[~(same | both_nan)], wanted[~(same | both_nan)])


@pytest.mark.parametrize("law", STABLE, ids=label)
def test_stable(law: Law) -> None:
    """The error is never larger than that of the formula as written; finite only where the truth is finite."""
    xs, arrays = variables(law), values(law)
    written = evaluate(law.make(*xs), dict(zip(xs, arrays, strict=True)))
    got = compiled(law, xs)(*arrays)
    for point, ours, theirs in zip(zip(*arrays, strict=True), got, written, strict=True):
        true = truth_at(law, point)
        assert error(ours, true) <= error(theirs, true), f"at {point}: {ours!r}, written {theirs!r}, true {true}"


@pytest.mark.parametrize("law", ROUNDING, ids=label)
def test_rounding(law: Law) -> None:
    """At most 4 ULP worse than the formula as written, where all steps stay inside the range; specials the same."""
    xs, arrays = variables(law), values(law)
    written = evaluate(law.make(*xs), dict(zip(xs, arrays, strict=True)))
    got = compiled(law, xs)(*arrays)
    for (point,), ours, theirs in zip(zip(*arrays, strict=True), got, written, strict=True):
        if not np.isfinite(point) or point == 0:
            assert np.array_equal(ours, theirs, equal_nan=True), f"at {point}: {ours!r}, written {theirs!r}"
            assert np.isnan(ours) or np.signbit(ours) == np.signbit(theirs)
        elif 1e-30 < abs(point) < 1e30:
            true = truth_at(law, (point,))
            assert error(ours, true) <= error(theirs, true) + 4, f"at {point}: {ours!r}, true {true}"


def truth_at(law: Law, point: tuple[Any, ...]) -> Any:
    assert law.truth is not None
    with mpmath.workprec(200):
        if any(np.isnan(p) for p in point):
            return mpmath.nan
        return law.truth(*(mpmath.mpf(float(p)) for p in point))


def error(value: float, true: Any) -> float:
    """The distance in ULP; 0 for the same special value; inf where one is finite or nan and the other is not."""
    with mpmath.workprec(200):
        if mpmath.isnan(true) or np.isnan(value):
            return 0.0 if mpmath.isnan(true) and np.isnan(value) else INF
        if mpmath.isinf(true) or np.isinf(value):
            return 0.0 if mpmath.mpf(float(value)) == true else INF
        nearest = float(true)
        if np.isinf(nearest):
            return 0.0 if value == nearest else INF
        return float(abs(mpmath.mpf(float(value)) - true) / mpmath.mpf(math.ulp(nearest)))


# ---- algebraic rules, and what they must not touch by default ----

ALGEBRAIC: list[tuple[int, Callable[..., Any], int, Any, Any]] = [
    # number, expression, operands, at, by the laws of real numbers
    (17, lambda x: x / x, 1, [0.0], 1.0),
    (17, lambda x: x - x, 1, [INF], 0.0),
    (17, lambda x, y: x * y / y, 2, [3.0, 0.0], 3.0),
    (17, lambda x, y: x + y - y, 2, [3.0, INF], 3.0),
    (18, lambda x: 0 * x, 1, [NAN], 0.0),
    (18, lambda x: 0 / x, 1, [0.0], 0.0),
    (19, lambda x, y: T.exp(x) * T.exp(y), 2, [-800.0, 801.0], np.exp(1.0)),
    (19, lambda x: x**2.5 * x**-1.5, 1, [0.0], 0.0),
    (21, lambda x: x / abs(x), 1, [0.0], 0.0),
    (22, lambda x, y: (x / y + 2.0) * y, 2, [3.0, 0.0], 3.0),
    (22, lambda x, y: (x / y - y / x) * y * x, 2, [3.0, 0.0], 9.0),
    (23, lambda x: (1e200 * x).prod(), 1, [1e-200], 1.0),
    (27, lambda x: T.eq(x, x), 1, [NAN], True),
    (27, lambda x: T.neq(x, x), 1, [NAN], False),
    (33, lambda x: T.argmax(T.log(x)), 1, [-1.0], 0),
    (36, lambda x: T.dot(T.zeros_like(x), x), 1, [INF], 0.0),
]


@pytest.mark.parametrize("number, make, count, point, wanted", ALGEBRAIC)
def test_algebraic(number: int, make: Callable[..., Any], count: int, point: list[float], wanted: float) -> None:
    xs = [T.dvector(name) for name in "xy"[:count]]
    arrays = [np.array([p]) for p in point]
    f = graphc.function(xs, make(*xs), numerics="algebraic", backend="numpy", on_unused_input="ignore")
    assert number in {applied.rule.number for applied in f.rewrites if applied.rule.numerics == "algebraic"}
    np.testing.assert_allclose(np.ravel(f(*arrays))[0], wanted)
    written = evaluate(make(*xs), dict(zip(xs, arrays, strict=True)))
    for numerics in ("ieee", "default"):
        g = graphc.function(xs, make(*xs), numerics=numerics, backend="numpy")
        np.testing.assert_array_equal(g(*arrays), written)


# ---- what is left of an expression ----

NORMAL_FORMS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    # of a matrix m and a vector v: as written, as rewritten
    (lambda m, v: m.flatten().reshape((m.shape[1], m.shape[0])), lambda m, v: m.reshape((m.shape[1], m.shape[0]))),
    (lambda m, v: m.flatten().reshape(m.shape, ndim=2), lambda m, v: m),
    (lambda m, v: m.reshape((1, -1)).flatten(), lambda m, v: m.reshape((m.shape[0] * m.shape[1],))),
    (lambda m, v: v.dimshuffle(0, "x").flatten().dimshuffle("x", 0), lambda m, v: v.dimshuffle("x", 0)),
    (lambda m, v: v.reshape((-1, 1)), lambda m, v: v.dimshuffle(0, "x")),
    (lambda m, v: (m + v)[2], lambda m, v: m[2] + v),
    (lambda m, v: (m + v)[:, 1:], lambda m, v: m[:, 1:] + v[1:]),
    (lambda m, v: (m * v.dimshuffle(0, "x"))[2, 1:], lambda m, v: m[2, 1:] * v[2].dimshuffle("x")),
    (lambda m, v: v[v.shape[0] - 1 :][1:],) * 2,
    (lambda m, v: T.dot(m, m.T)[2], lambda m, v: T.dot(m[2], m.T)),
    (lambda m, v: T.dot(m, m.T)[:, 2], lambda m, v: T.dot(m, m[2])),
    (lambda m, v: T.dot(m, m.T)[1:, 2], lambda m, v: T.dot(m[1:], m[2])),
    (lambda m, v: T.dot(m, v)[1], lambda m, v: T.dot(m[1], v)),
    (lambda m, v: T.nnet.softmax(m)[2], lambda m, v: T.nnet.softmax(m[2], axis=0)),
    (lambda m, v: T.nnet.softmax(m)[2, 1],) * 2,
    (lambda m, v: T.nnet.logsoftmax(m, axis=0)[:, 1:3], lambda m, v: T.nnet.logsoftmax(m[:, 1:3], axis=0)),
    (lambda m, v: T.concatenate([v, T.exp(v)])[v.shape[0] :], lambda m, v: T.exp(v)),
    (lambda m, v: T.concatenate([v, m[0]])[: v.shape[0] + 1],) * 2,
    (lambda m, v: m.sum(axis=(0, 1)), lambda m, v: m.sum()),
    (lambda m, v: T.stack([v, m[0], v]).sum(axis=0), lambda m, v: v + m[0] + v),
    (lambda m, v: T.stack([v] * 8).sum(axis=0),) * 2,
    (lambda m, v: T.switch(v > 0, v, 0.0) * T.switch(v > 0, 2.0, 3.0), lambda m, v: T.switch(v > 0, v * 2.0, 0.0)),
    (lambda m, v: T.switch(v > 0, v, m[0]) ** T.switch(v > 0, 2.5, m[1]),) * 2,
    (lambda m, v: 0.1 + (v + 0.2),) * 2,
    # May fail at run time, and must.
    (lambda m, v: T.alloc(v, 5, v.shape[0])[7],) * 2,
    (lambda m, v: v.reshape((2, 3)).reshape((6,)), lambda m, v: v.reshape((6,))),
    (lambda m, v: m.reshape((2, 3)).reshape((-1, 1)), lambda m, v: m.reshape((6, 1))),
    (lambda m, v: v.reshape((v.shape[0], 3)).reshape(m.shape, ndim=2),) * 2,
]


@pytest.mark.parametrize("written, normal", NORMAL_FORMS)
def test_normal_form(written: Callable[..., Any], normal: Callable[..., Any]) -> None:
    m, v = T.dmatrix("m"), T.dvector("v")
    graph = FunctionGraph.build([m, v], [written(m, v)])
    want = graph.intern(normal(m, v))
    graph, _ = rewrite(graph, SPECIALIZE)
    assert graph.outputs[0] is want, graphc.pp(graph.outputs[0])


# ---- rules whose value is judged otherwise ----


def test_a_nan_that_the_user_multiplies_by_zero_stays() -> None:
    """25: sinking the product into the branches would hide it."""
    x, y = T.dvectors("x", "y")
    f = graphc.function([x, y], T.switch(x > 0, x, 0.0) * y)
    np.testing.assert_array_equal(f([-1.0, 1.0], [np.nan, np.nan]), [np.nan, np.nan])


def test_masked_products_stay_masked() -> None:
    """25: the derivative of the branch not taken is infinite, and must not leak."""
    x = T.dvector("x")
    g = T.grad(T.switch(x < 1, x, T.sqrt(x)).sum(), x)
    for mode in ("FAST_RUN", "FAST_COMPILE"):
        f = graphc.function([x], g, mode=mode)
        np.testing.assert_array_equal(f([0.0, 0.25, 4.0]), [1.0, 1.0, 0.25])


def test_increments_of_one_base() -> None:
    """15: two gradients through two indices of one array are one chain of increments."""
    x = T.dvector("x")
    g = T.grad((x[:2] ** 2).sum() + (x[1:] ** 3).sum(), x)
    f = graphc.function([x], g, backend="numpy")
    point = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(f(point), [2.0, 4.0 + 12.0, 27.0], rtol=1e-15)


@pytest.mark.parametrize("name", ["exp", "tanh", "nnet.sigmoid", "nnet.softplus", "nnet.softmax"])
def test_argmax_sees_through_monotonic_functions(name: str) -> None:
    """33: also where the function is too flat to tell two arguments apart."""
    function: Any = T
    for part in name.split("."):
        function = getattr(function, part)
    x = T.dmatrix("x")
    f = graphc.function([x], T.argmax(function(x), axis=1), backend="numpy")
    assert 33 in {applied.rule.number for applied in f.rewrites}
    np.testing.assert_array_equal(f([[1.0, 3.0, 2.0], [800.0, 900.0, 1000.0], [-3.0, -2.0, -5.0]]), [1, 2, 1])


@pytest.mark.parametrize("c", [2.0, -3.5, 2.0**-20, 2.0**20])
def test_constants_leave_sums(c: float) -> None:
    """23: for constants of moderate size."""
    x = T.dvector("x")
    values = RNG.normal(size=1000) + 3
    makers: tuple[Callable[[], Any], ...] = (lambda: (c * x).sum(), lambda: (x / c).sum())
    for make in makers:
        f = graphc.function([x], make(), backend="numpy")
        assert 23 in {applied.rule.number for applied in f.rewrites}
        with mpmath.workprec(200):
            exact = mpmath.fsum(values.tolist()) * c if make().owner.inputs[0].owner.op is T.mul else None
        reference = evaluate(make(), {x: values})
        np.testing.assert_allclose(f(values), reference, rtol=1e-14)
        assert exact is None or abs(float(exact) - f(values)) <= 1e-13 * abs(float(exact))


def test_constants_of_immoderate_size_stay() -> None:
    x = T.dvector("x")
    f = graphc.function([x], (1e-300 * x).sum(), backend="numpy")
    np.testing.assert_allclose(f([1e308, 1e308]), 2e8)


def test_sum_of_broadcast() -> None:
    """23: sum(alloc(c, n)) -> c * n."""
    x, c = T.dmatrix("x"), T.dscalar("c")
    f = graphc.function([x, c], T.fill(x, c).sum(), backend="numpy")
    assert 23 in {applied.rule.number for applied in f.rewrites}
    np.testing.assert_allclose(f(np.ones((7, 3)), 0.1), 2.1, rtol=1e-15)


def test_sum_of_squared_outer() -> None:
    """37: the matrix is never made."""
    x, y = T.dvector("x"), T.dvector("y")
    f = graphc.function([x, y], T.sqr(T.outer(x, y)).sum(), backend="numpy")
    assert 37 in {applied.rule.number for applied in f.rewrites}
    assert all(out.variable.ndim < 2 for step in f.schedule.steps for out in getattr(step, "writes", ()))
    a, b = RNG.normal(size=30), RNG.normal(size=20)
    np.testing.assert_allclose(f(a, b), (np.outer(a, b) ** 2).sum(), rtol=1e-13)


def test_an_index_out_of_range_is_still_an_error() -> None:
    """14: a write that is dropped must not take its IndexError along."""
    x = T.dvector("x")
    for make in (lambda: T.set_subtensor(x[5], 1.0)[5], lambda: T.set_subtensor(x[5], x[5])):
        f = graphc.function([x], make(), backend="numpy")
        with pytest.raises(IndexError):
            f([1.0, 2.0])


def test_one_result_of_an_ifelse_is_taken_out_once() -> None:
    """25: the other one stays, and rewriting ends, also where it goes through the graph again for a doubtful reader."""
    x = T.dvector("x")
    y = T.exp(x)
    a, b = ifelse(x[0] > 0, [x, x + 1], [2 * x, x + 1])
    f = graphc.function([x], [a, b, y[1:], y], backend="numpy")
    assert sum(applied.rule.text.startswith("ifelse_of_equals") for applied in f.rewrites) == 2  # of a and of b
    np.testing.assert_array_equal(f([-1.0, 2.0])[:2], [[-2.0, 4.0], [0.0, 3.0]])


@pytest.mark.parametrize(
    "step",
    [
        lambda y, m, i: T.exp(y).reshape(m.shape if i % 2 else m.shape[::-1], ndim=2),
        lambda y, m, i: T.exp(y)[1:] + 1,
        lambda y, m, i: T.switch(m > 0, y, m) * T.switch(m > 0, m, 2.0),
        lambda y, m, i: T.switch(m > 0, T.exp(y), T.switch(m > 0, m, y)),
        lambda y, m, i: ifelse(m[0, 0] > 0, T.exp(y), ifelse(m[0, 0] > 0, m, y)),
        lambda y, m, i: T.concatenate([y[:1], y[1:]]),
        lambda y, m, i: 3 - y + 1,
        lambda y, m, i: T.tanh(y).T + i,
        lambda y, m, i: (T.tanh(y) * m).T + i,
    ],
)
def test_a_chain_takes_as_many_rules_as_it_is_long(step: Callable[..., Any]) -> None:
    def applied(length: int) -> int:
        m = y = T.dmatrix("m")
        for i in range(length):
            y = step(y, m, i)
        return len(rewrite(FunctionGraph.build([m], [y]), SPECIALIZE)[1])

    assert applied(80) <= 2.5 * applied(40) + 5


# ---- every rule of these tables, and every number ----

TESTED_HERE = [*LAWS, *SAFER, *CHEAPER, *SHAPES, *RESHAPE_LIFTS, *INDEXING, *LIFTS, *REDUCTIONS]


def others() -> list[tuple[list[Any], Any, str]]:
    """Inputs, expression and numerics of what fires rules that the tables above do not reach."""
    x, m, i = T.dvector("x"), T.dmatrix("m"), T.lvector("i")
    return [
        ([x], T.grad(T.switch(x < 1, x, T.sqrt(x)).sum(), x), "default"),
        ([x], T.switch(x < 1, x, 0) * T.exp(x), "algebraic"),
        ([x], T.grad((x[:2] ** 2).sum() + (x[1:] ** 3).sum(), x), "default"),
        ([m], T.argmax(T.nnet.softmax(m), axis=1), "default"),
        ([m], T.dot(m, m.T * 2.0).T, "ieee"),
        ([m], T.dot(m, m.T)[1], "default"),
        ([m], T.nnet.softmax(m)[1], "default"),
        ([m], T.fill(m, 2.5 * m.sum()).sum(), "default"),
        ([x], T.sqr(T.outer(x, x)).sum(), "default"),
        ([x], (2.5 * x).sum(), "default"),
        ([x], (1e-300 * x).sum(), "algebraic"),
        ([x, m], (x.sum() * m).sum(axis=0), "algebraic"),
        ([x, m], (m / x.dimshuffle(0, "x")).sum(axis=1), "algebraic"),
        ([x], (3.0 * x).prod(), "algebraic"),
        ([m], m.sum(axis=1).sum(), "algebraic"),
        ([i], T.inc_subtensor(T.zeros_like(i)[1:3], 5), "ieee"),
        ([x], x**3 * x**2.5, "algebraic"),
        ([x], x**2.5 * x**1.5, "algebraic"),
        ([x], x / T.exp(x), "algebraic"),
        ([x, m], (x / m - m / x) * m * x, "algebraic"),
        ([x, m], (x / m + m / x) * m * x, "algebraic"),
        ([x, m], (x / m + x) * m, "algebraic"),
        ([x, m], (x / m - x) * m, "algebraic"),
    ]


def test_every_rule_fires() -> None:
    fired: set[str] = set()
    for law in [*EXACT, *STABLE, *ROUNDING]:
        fired.update(applied.rule.text for applied in compiled(law, variables(law)).rewrites)
    for _, make, count, _, _ in ALGEBRAIC:
        xs = [T.dvector(name) for name in "xy"[:count]]
        f = graphc.function(xs, make(*xs), numerics="algebraic", backend="numpy", on_unused_input="ignore")
        fired.update(applied.rule.text for applied in f.rewrites)
    for inputs, out, numerics in others():
        f = graphc.function(inputs, out, numerics=numerics, backend="numpy", on_unused_input="ignore")
        fired.update(applied.rule.text for applied in f.rewrites)
    silent = sorted({rule.text for rule in TESTED_HERE} - fired)
    assert not silent, "rules that no test fires:\n" + "\n".join(silent)


def test_every_number_has_rules_or_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """A table number -> rules; fails on a number with neither a rule nor a reason."""
    missing = []
    lines = []
    for number, found in by_number().items():
        classes = sorted({rule.numerics for rule in found})
        lines.append(f"{number:3} {TITLES[number]:45} {len(found):3} rules {', '.join(classes)}")
        if not found and number not in ELSEWHERE:
            missing.append(number)
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert not missing, f"numbers without a rule or a reason: {missing}"
