"""The engine: patterns, matching, conditions, fitting, the trace, and what happens when rules run in circles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.compile.pipeline import PHASES
from graphc.configuration import config
from graphc.errors import RewriteError
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.op import Op
from graphc.graph.pattern import wildcards
from graphc.graph.variable import Apply, Constant, Variable, as_variable
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.elementwise import neg, sub
from graphc.ops.transcendental import exp, log, tanh
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.driver import rewrite
from graphc.rewrites.engine.matching import match, substitute
from graphc.rewrites.engine.rule import Rule, rule, rules
from graphc.rewrites.engine.table import ALLOWED, Table, table
from graphc.rewrites.stabilize import STABILIZE

from .cases import CASES, Case, sample
from .test_rules import RULES, judge
from .test_rules import inputs_of as inputs_of_case

X, Y = wildcards("x y")


def graph(*outputs: Variable) -> FunctionGraph:
    from graphc.graph.traverse import inputs_of

    return FunctionGraph.build(inputs_of(outputs), list(outputs))


def rewritten(g: FunctionGraph, rules: Table, numerics: str = "default") -> Variable:
    """What a graph's only output becomes."""
    new, _ = rewrite(g, rules, numerics)
    (out,) = new.outputs
    return out


def matches(pattern: Any, expression: Variable) -> list[dict[str, Variable]]:
    g = graph(expression)
    return [{p.name: v for p, v in found.items()} for found in match(pattern, g.outputs[0], {})]


# ---- patterns ----


def test_equal_expressions_are_one_node() -> None:
    x, y = T.dvectors("x", "y")
    g = graph(T.exp(x) + T.exp(x) * y)
    node = g.outputs[0].owner
    assert node is not None
    assert g.intern(T.exp(x)) is node.inputs[0]
    assert len(g.toposort()) == 3


def test_rewriting_ends_in_the_interned_twin_of_what_a_user_would_write() -> None:
    x = T.dvector("x")
    g = graph(T.log(1 / (1 + T.exp(-x))))
    assert rewritten(g, STABILIZE) is g.intern(-T.nnet.softplus(-x))


def test_a_pattern_prints_as_it_is_written() -> None:
    assert repr(log(1 + X)) == "log(add(1, x))"


def test_a_wildcard_that_occurs_twice_stands_for_one_variable() -> None:
    x, y = T.dscalars("x", "y")
    assert matches(X * X, x * x)
    assert not matches(X * X, x * y)


@pytest.mark.parametrize("expression", [lambda x: 1 + T.exp(x), lambda x: T.exp(x) + 1], ids=["1+e", "e+1"])
def test_operands_of_a_commutative_op_match_in_either_order(expression: Any) -> None:
    x = T.dvector("x")
    assert [found["x"] for found in matches(1 + exp(X), expression(x))] == [x]


def test_commutative_operands_match_in_either_order_below_the_top() -> None:
    x, y = T.dvectors("x", "y")
    assert matches(log(exp(X) * (1 + Y)), T.log((y + 1) * T.exp(x)))
    assert not matches(X - exp(Y), T.exp(y) - x)  # a difference is not commutative


@pytest.mark.parametrize("one", [1, 1.0, np.float64(1), np.int64(1), np.ones(3), T.constant(1.0)], ids=repr)
def test_a_number_matches_every_constant_of_that_value(one: Any) -> None:
    x = T.dvector("x")
    assert matches(log(1 + X), T.log(one + x))


def test_a_number_matches_an_array_filled_with_it() -> None:
    x = T.dvector("x")
    assert matches(log(1 + X), T.log(T.ones_like(x) + x))


@pytest.mark.parametrize("other", [2, -1.0, 0, np.array([1.0, 1.0, 2.0]), np.nan], ids=repr)
def test_a_number_matches_no_other_constant(other: Any) -> None:
    x = T.dvector("x")
    assert not matches(log(1 + X), T.log(other + x))


def test_substitute_builds_the_right_side() -> None:
    x, y = T.dvectors("x", "y")
    assert graphc.pp(substitute(X * tanh(Y) + 2, {X: x, Y: y})) == graphc.pp(x * T.tanh(y) + 2)


# ---- the look of a node ----


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_look_rules_out_only_what_does_not_match(case: Case) -> None:
    inputs, _ = inputs_of_case(case, "float64")
    g = graph(case.build(*inputs))
    (everything,) = {phase for phase in PHASES if set(RULES.values()) <= set(phase.rules)}
    for node in g.nodes:
        tried = everything.selection(ALLOWED["algebraic"]).for_node(node)
        for r in everything.rules:
            if r not in tried and (r.key is node.op or r.key in type(node.op).__mro__):
                assert r.replace(Context(g), node) is None, f"{r} was not tried on {node}"


def test_a_rule_over_some_op_is_tried_on_nodes_with_such_an_operand_only() -> None:
    seen: list[Variable] = []

    @rule(0, "exact", Op, over=(tanh, DimShuffle, Constant))
    def look(context: Context, node: Apply) -> None:
        """tried, and matches nothing"""
        seen.append(node.outputs[0])

    x, m = T.dvector("x"), T.dmatrix("m")
    g = graph(T.exp(T.tanh(x)), m.T + m, x * 2.0, x * x)
    rewrite(g, table("look", look))
    assert list(dict.fromkeys(seen)) == list(g.outputs[:3])


# ---- conditions and fitting ----


def test_a_condition_is_asked_with_the_variables_by_name() -> None:
    asked: list[dict[str, Variable]] = []

    def never(context: Context, **found: Variable) -> bool:
        asked.append(found)
        return False

    x, y = T.dvectors("x", "y")
    g = graph(T.exp(x) * y)
    assert rewritten(g, table("t", rules(99, "exact", (exp(X) * Y, Y, never)))) is g.outputs[0]
    assert asked == [{"x": x, "y": y}]


def test_a_law_of_arithmetic_is_not_applied_across_dtypes() -> None:
    i = T.lvector("i")
    g = graph(T.log(1 + i))  # int64 + 1, then a float: no log1p of integers
    assert rewritten(g, STABILIZE) is g.outputs[0]


def test_a_replacement_is_cast_to_the_dtype_it_replaces() -> None:
    x = T.fvector("x")

    @rule(99, "exact", exp)
    def wider(context: Context, node: Any) -> Variable:
        """exp(x) -> x in float64"""
        return T.cast(node.inputs[0], "float64")

    g = graph(T.exp(x))
    out = rewritten(g, table("t", wider))
    assert out.dtype == "float32"


def test_a_replacement_is_broadcast_to_the_shape_it_replaces() -> None:
    x, y = T.dvector("x"), T.dscalar("y")
    g = graph(x * y)
    out = rewritten(g, table("t", rules(99, "algebraic", (X * Y, Y))), "algebraic")
    assert out is g.intern(T.alloc(y, x.shape[0]))
    f = graphc.function([x, y], out, on_unused_input="ignore", numerics="ieee")
    assert f(np.zeros(3), 2.0).tolist() == [2.0, 2.0, 2.0]


def test_a_rule_that_raises_the_rank_is_refused() -> None:
    x = T.dvector("x")

    @rule(99, "exact", exp)
    def taller(context: Context, node: Any) -> Variable:
        """exp(x) -> a row"""
        return node.inputs[0].dimshuffle("x", 0)  # type: ignore[no-any-return]

    with pytest.raises(RewriteError, match=r"exp changed the rank from 1 to 2"):
        rewritten(graph(T.exp(x)), table("t", taller))


def test_the_users_line_is_copied_to_what_replaces_a_node() -> None:
    x = T.dvector("x")
    y = T.log(1 + x)  # the line
    node = rewritten(graph(y), STABILIZE).owner
    assert node is not None
    assert node.site == y.owner.site
    assert "test_engine.py" in str(node.site)


# ---- tables and classes ----


def test_numerics_choose_the_classes() -> None:
    x = T.dscalar("x")
    four = {numerics: rules(99, numerics, (tanh(X), X + k)) for k, numerics in enumerate(CLASSES)}
    allowed = {"ieee": {"exact"}, "default": {"exact", "rounding", "stable"}, "algebraic": set(CLASSES)}
    for numerics, classes in allowed.items():
        for name, made in four.items():
            g = graph(T.tanh(x))
            changed = rewritten(g, table(name, made), numerics) is not g.outputs[0]
            assert changed == (name in classes), (numerics, name)


CLASSES = ("exact", "rounding", "stable", "algebraic")


def test_rules_are_tried_in_the_order_of_the_table() -> None:
    x = T.dscalar("x")
    first, second = rules(99, "exact", (tanh(X), X + 1)), rules(99, "exact", (tanh(X), X + 2))
    g = graph(T.tanh(x))
    assert rewritten(g, table("t", first, second)) is g.intern(x + 1)
    g = graph(T.tanh(x))
    assert rewritten(g, table("t", table("inner", second), first)) is g.intern(x + 2)


def test_a_rule_on_a_class_of_ops_is_tried_on_all_of_them() -> None:
    tried = []

    @rule(99, "exact", DimShuffle)
    def look(context: Context, node: Any) -> None:
        """nothing"""
        tried.append(node.op)

    m = T.dmatrix("m")
    rewritten(graph(T.exp(m.T).dimshuffle("x", 0, 1)), table("t", look))
    assert len(tried) == 2


def test_what_replaces_a_node_is_rewritten_in_turn() -> None:
    x = T.dscalar("x")
    chain = rules(99, "exact", (tanh(X), exp(X)), (exp(X), log(X)), (log(X), X))
    assert rewritten(graph(T.tanh(x)), table("t", chain)) is x


# ---- the trace ----


def test_the_trace_tells_rule_line_before_after_and_class() -> None:
    x = T.dvector("x")
    _, trace = rewrite(graph(T.log(1 + x)), STABILIZE)
    (entry,) = trace
    lines = str(entry).splitlines()
    assert lines[0].startswith("rule 28 [stable] log(add(1, x)) -> log1p(x) (stabilize.py:")
    assert [line.strip() for line in lines[1:]] == ["log(1.0 + x)", "->", "log1p(x)"]
    assert entry.rule.site is not None
    with open(entry.rule.site.filename, encoding="utf-8") as source:
        line = source.read().splitlines()[entry.rule.site.lineno - 1]
    assert "log1p(x)" in line


def test_debug_prints_the_trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GRAPHC_DEBUG", "3")
    x = T.dvector("x")
    graphc.function([x], T.log(1 + x))
    assert "rule 28 [stable] log(add(1, x)) -> log1p(x)" in capsys.readouterr().err


# ---- circles ----


def test_rules_that_undo_each_other_are_named() -> None:
    x = T.dscalar("x")
    circle = rules(99, "exact", (tanh(X), neg(exp(X))), (neg(exp(X)), tanh(X)))
    with pytest.raises(RewriteError) as caught:
        rewritten(graph(T.tanh(x) + 1), table("t", circle))
    text = str(caught.value)
    assert "tanh(x) -> neg(exp(x))" in text
    assert "neg(exp(x)) -> tanh(x)" in text
    assert "test_engine.py" in text


def test_a_rule_that_grows_forever_is_stopped() -> None:
    x = T.dscalar("x")
    grow = rules(99, "exact", (tanh(X), tanh(X + 1)))
    pattern = r"more than 20 times(.|\n)*tanh\(x\) -> tanh\(add\(x, 1\)\)"
    with config.change_flags(rewrite__steps=20), pytest.raises(RewriteError, match=pattern):
        rewritten(graph(T.tanh(x)), table("t", grow))


def test_a_rule_that_returns_its_own_node_changes_nothing() -> None:
    x = T.dscalar("x")

    @rule(99, "exact", tanh)
    def same(context: Context, node: Any) -> Variable:
        """tanh(x) -> tanh(x)"""
        return node.outputs[0]  # type: ignore[no-any-return]

    _, trace = rewrite(graph(T.tanh(x)), table("t", same))
    assert not trace


def test_a_rule_that_asks_who_reads_is_asked_again_when_readers_went() -> None:
    """The second reader of exp(m) goes while the first is looked at; one pass would leave the transpose outside."""
    m = T.dmatrix("m")
    e = T.exp(m)
    g = graph(e.T + T.zeros_like(e).T)
    new, _ = rewrite(g, STABILIZE)
    _, again = rewrite(new, STABILIZE)
    assert not again


# ---- the judge itself ----


@pytest.mark.parametrize(
    "numerics, left, right",
    [
        ("stable", lambda x: T.log(1 + x), lambda x: x),  # right near 0 only
        ("stable", lambda x: T.log1p(x), lambda x: T.log(1 + x)),  # the wrong way round
        ("stable", lambda x: x / x, lambda x: T.ones_like(x)),  # hides a nan
        ("rounding", lambda x: x**5, lambda x: T.exp(5 * T.log(abs(x))) * T.sgn(x)),  # loses digits
        ("exact", lambda x: x + 0.0, lambda x: x),  # -0.0 + 0.0 is 0.0
        ("exact", lambda x: x * 0.5 * 3, lambda x: x * 1.5),  # rounds once, not twice
    ],
)  # fmt: skip
def test_a_rule_in_the_wrong_class_is_caught(numerics: str, left: Any, right: Any) -> None:

    x = T.dvector("x")
    wrong = Rule(99, numerics, exp, lambda context, node: None, "wrong", None)
    with pytest.raises(AssertionError):
        judge(Case("wrong", left), wrong, left(x), right(x), {x: sample(("x",), "float64")["x"]})


# ---- weak numbers ----


def test_arithmetic_on_python_numbers_alone_stays_weak() -> None:
    """-1 - 1 is still a Python number when it meets a float32: folded, it must not become an int64 that widens it."""
    x, s = T.fvector("x"), graphc.shared(np.ones(2, "float32"))
    exponent = sub(as_variable(-1), as_variable(1))
    y = x**exponent
    assert y.dtype == "float32"
    for numerics in ("ieee", "default"):
        f = graphc.function([x], y, updates={s: y}, numerics=numerics)
        assert f(np.full(2, 2, "float32")).dtype == "float32"
        assert s.get_value().dtype == "float32"
