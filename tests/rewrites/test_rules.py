"""Every rule in the tables: both sides on random and edge values, judged by mpmath as its numerics class demands.

exact: the same bits. rounding: an error at most 4 ULP more than the left side's, wherever no intermediate is within a
factor 2**20 of the end of the range; the same nan and infinities. stable: an error no larger than the left side's,
and a finite value for an infinite or nan one only if the true value is finite. An error that happens to be smaller
than the left side's formula deserves is no merit: the left side is granted the spread it shows when each of its
operations is off by up to 4 ULP, and the right side 4 ULP for its own rounding. Below the smallest normal number
errors do not count (SciPy's expit flushes to 0 there). In rule 31 the inputs are moved by up to 4 ULP too: a shift by
the largest element rounds the exponents, as Blanchard, Higham and Higham explain, and is as accurate in this sense.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.compile.pipeline import PHASES
from graphc.evaluator import evaluate
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.traverse import toposort
from graphc.graph.variable import Variable
from graphc.ops.matmul import Dot
from graphc.ops.nnet import AlongAxis
from graphc.ops.reduction import Reduction
from graphc.rewrites.catalogue import ELSEWHERE, by_number
from graphc.rewrites.engine.driver import rewrite
from graphc.rewrites.engine.rule import Rule
from graphc.rewrites.engine.table import Table

from ..random_graphs.oracle import evaluate_noisy, noisy
from .cases import CASES, Case, sample
from .exact_values import mp, rounded, truth
from .test_laws import TESTED_HERE

RULES: dict[str, Rule] = {r.text: r for phase in PHASES for r in phase.rules}
SLACK = 4


def rules_of(case: Case) -> list[Rule]:
    """The rules that a case is for: one, also where it is tried on several ops."""
    return [r for phase in PHASES for r in phase.rules if r.text.startswith(case.rule)]


def inputs_of(case: Case, dtype: str) -> tuple[list[Variable], dict[Variable, np.ndarray]]:
    values = sample(case.inputs, dtype)
    inputs = [T.tensor(values[n].dtype.name, shape=[None] * values[n].ndim, name=n) for n in case.inputs]
    return inputs, {x: values[n] for x, n in zip(inputs, case.inputs, strict=True)}


def ids(case: Case) -> str:
    return str(case)


# ---- completeness ----


def test_every_rule_has_a_case() -> None:
    tested = {r.text for case in CASES for r in rules_of(case)}
    tested |= {r.text for r in TESTED_HERE}  # the tables of tests/rewrites/test_laws.py
    assert not set(RULES) - tested, "rules without a case in tests/rewrites/cases.py"


def test_every_case_names_a_rule() -> None:
    for case in CASES:
        assert len({r.text for r in rules_of(case)}) == 1, case.rule


def test_numbers_have_rules_and_rules_have_tests(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = by_number(Table("all", tuple(RULES.values())))
    cases = {text: sum(any(r.text == text for r in rules_of(case)) for case in CASES) for text in RULES}
    with capsys.disabled():
        print()
        for number in (1, 2, 3, 4, 8, 18, 19, 28, 29, 30, 31):
            found = numbers.get(number, [])
            count = sum(cases[r.text] for r in found)
            print(
                f"  rule {number:2}: {len(found):2} rules, {count:2} cases"
                + ("" if found else f"  {ELSEWHERE.get(number)}")
            )
    for number in (1, 2, 3, 4, 28, 29, 30, 31):
        assert numbers.get(number) or number in ELSEWHERE, f"number {number} has neither a rule nor a reason"


# ---- both sides ----


@pytest.mark.parametrize("case", CASES, ids=ids)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rule_keeps_what_its_class_promises(case: Case, dtype: str) -> None:
    inputs, values = inputs_of(case, dtype)
    left = case.build(*inputs)
    before = FunctionGraph.build(inputs, [left])
    # The rule alone, after those it needs to see its left side: the tables before its own.
    rule = rules_of(case)[0]
    for phase in PHASES:
        others = tuple(r for r in phase.rules if r.text != rule.text)
        if rule in phase.rules:
            alone, trace = rewrite(before, Table("alone", tuple(rules_of(case))))
            if not trace:
                before, _ = rewrite(before, Table(phase.name, others))
                alone, trace = rewrite(before, Table("alone", tuple(rules_of(case))))
            break
        before, _ = rewrite(before, phase)
    if not trace:
        pytest.skip("seen only in the pipeline, together with other rules")  # the next test insists on it
    judge(case, rule, before.outputs[0], alone.outputs[0], dict(zip(before.inputs, values.values(), strict=True)))


def true_values(case: Case, left: Variable, values: dict[Variable, np.ndarray]) -> np.ndarray | None:
    return truth(left if case.true is None else case.true(*values), values)


def judge(case: Case, rule: Rule, left: Variable, right: Variable, values: dict[Variable, np.ndarray]) -> None:
    with np.errstate(all="ignore"):
        old, new = evaluate(left, values), evaluate(right, values)
    assert (new.dtype, new.shape) == (old.dtype, old.shape)
    if rule.numerics == "exact":
        assert_same_bits(old, new, any(order_is_free(node.op) for node in toposort([left])))
    else:
        true = true_values(case, left, values)
        assert true is not None or old.dtype.kind != "f", (
            "tests/rewrites/exact_values.py does not know an op of this case"
        )
        assert_accurate(rule, rule.numerics, left, true, old, new, values)


def order_is_free(op: Any) -> bool:
    return isinstance(op, Dot | AlongAxis) or (isinstance(op, Reduction) and op.name in ("sum", "prod"))


def assert_same_bits(old: np.ndarray, new: np.ndarray, sums: bool) -> None:
    if sums:  # the order in which elements are added is nobody's promise
        np.testing.assert_allclose(new, old, rtol=1e-5 if old.dtype == "float32" else 1e-13)
        return
    np.testing.assert_array_equal(new, old)
    if old.dtype.kind == "f":
        number = ~np.isnan(old)
        np.testing.assert_array_equal(np.signbit(new)[number], np.signbit(old)[number])


def assert_accurate(
    rule: Rule,
    numerics: str,
    left: Variable,
    true_value: Any,
    old: np.ndarray,
    new: np.ndarray,
    values: dict[Variable, np.ndarray],
) -> None:
    """What `rounding` and `stable` promise, element by element."""
    dtype = old.dtype.name
    if old.dtype.kind != "f":
        np.testing.assert_array_equal(new, old)
        return
    runs = [one_noisy(left, values, np.random.default_rng(seed), rule.number == 31) for seed in range(4)]
    tiny = float(np.finfo(dtype).tiny)
    infinite = sum(np.isinf(np.broadcast_to(v, old.shape)).astype(int) for v in values.values() if fits(v, old))
    bad = []
    for i in np.ndindex(old.shape):
        a, b, true = old[i], new[i], true_value[i]
        want = rounded(true, dtype)
        if np.isnan(a) and np.isnan(b):
            continue
        if a == b:
            continue
        if numerics == "rounding" and not (np.isfinite(want) and in_range(want, dtype)):
            # At the ends of the range only nan, inf and 0 among the inputs are promised anything.
            if any(np.ndim(v) and special(v[i]) for v in values.values()):
                bad.append((i, a, b, want))
            continue
        if not np.isfinite(want):
            # Both cannot be right. The new one may not be worse, nor invent a number.
            worse = same(a, want) and not same(b, want)
            invented = np.isfinite(b) and not np.isfinite(a) and infinite_inputs(infinite, i) < 2
            if worse or invented:
                bad.append((i, a, b, want))
            continue
        ulp = float(np.spacing(np.abs(np.asarray(want, dtype))))
        error_a, error_b = (abs(mp.mpf(float(v)) - true) if np.isfinite(v) else mp.inf for v in (a, b))
        spread = max(
            [
                0.0,
                *(abs(float(r[i]) - float(a)) for r in runs if r is not None and np.isfinite(r[i]) and np.isfinite(a)),
            ]
        )
        if error_b > error_a + spread + max(SLACK * ulp, tiny):
            bad.append((i, a, b, want))
    where = [
        (i, {x.name: (v[i] if v.shape == old.shape else v[i[0]] if v.ndim else v) for x, v in values.items()})
        for i, *_ in bad[:5]
    ]
    assert not bad, f"{len(bad)} of {old.size} elements are worse: (index, left, right, true) {bad[:5]} for {where}"


def one_noisy(left: Variable, values: dict[Variable, np.ndarray], rng: np.random.Generator, inputs_too: bool) -> Any:
    moved = {x: noisy(v, rng, False) if inputs_too else v for x, v in values.items()}
    return evaluate_noisy([left], moved, rng, lambda node: True)[0]


def fits(v: np.ndarray, out: np.ndarray) -> bool:
    return v.shape == out.shape


def infinite_inputs(infinite: Any, i: tuple[int, ...]) -> int:
    return int(infinite[i]) if isinstance(infinite, np.ndarray) else 0


def same(a: Any, b: Any) -> bool:
    return bool(a == b or (np.isnan(a) and np.isnan(b)))


def special(v: Any) -> bool:
    return bool(np.any(~np.isfinite(v) | (v == 0)))


def in_range(v: float, dtype: str) -> bool:
    """Whether the square root of a value and its square are far from the ends of the range."""
    info = np.finfo(dtype)
    return abs(v) == 0 or float(info.tiny) * 2**20 < abs(v) < float(info.max) / 2**20


# ---- the whole pipeline ----


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_rule_fires_for_what_a_user_writes(case: Case) -> None:
    inputs, values = inputs_of(case, "float64")
    left = case.build(*inputs)
    f = graphc.function(inputs, left, backend="numpy", on_unused_input="ignore")  # whose functions `evaluate` uses
    fired = {applied.rule.text for applied in f.rewrites}
    assert rules_of(case)[0].text in fired, "\n".join(map(str, f.rewrites))
    with np.errstate(all="ignore"):
        old = evaluate(left, values)
    new = f(*values.values())
    assert (new.dtype, new.shape) == (old.dtype, old.shape)
    kinds = {applied.rule.numerics for applied in f.rewrites}
    if kinds <= {"exact"}:
        assert_same_bits(old, new, any(order_is_free(node.op) for node in toposort([left])))
        return
    true = true_values(case, left, values)
    if true is not None:
        assert_accurate(rules_of(case)[0], "stable" if "stable" in kinds else "rounding", left, true, old, new, values)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_ieee_applies_exact_rules_only(case: Case) -> None:
    inputs, values = inputs_of(case, "float64")
    left = case.build(*inputs)
    f = graphc.function(inputs, left, backend="numpy", numerics="ieee", on_unused_input="ignore")
    assert {applied.rule.numerics for applied in f.rewrites} <= {"exact"}
    with np.errstate(all="ignore"):
        old = evaluate(left, values)
    assert_same_bits(old, f(*values.values()), any(order_is_free(node.op) for node in toposort([left])))
