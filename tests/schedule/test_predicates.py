"""Laziness: what is not needed does not run, and what is not known to run is not relied on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.errors import ShapeError
from graphc.graph.op import Op
from graphc.graph.predicates import ALWAYS, Choice, choices_of, either, predicates
from graphc.graph.variable import Apply, Variable
from graphc.ifelse import ifelse


class Noted(Op):
    """The identity, which notes when it runs: by no means pure."""

    pure = False

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    def make_node(self, *inputs: Any) -> Apply:
        (x,) = inputs
        return Apply(self, [x], [x.type])

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        self.notes.append(self.name)
        return np.array(values[0])

    def gradient(self, gs: Sequence[Any], outs: Any, inputs: Any) -> Sequence[Any]:
        return [Noted("grad " + self.name, self.notes)(gs[0])]


class Notes:
    """Expressions that say when they are computed."""

    def __init__(self) -> None:
        self.list: list[str] = []

    def __call__(self, name: str, x: Variable) -> Any:
        return Noted(name, self.list)(x)

    def of(self, f: graphc.Function, *args: Any) -> list[str]:
        """What ran in a call."""
        self.list.clear()
        f(*args)
        return sorted(self.list)


@pytest.fixture
def note() -> Notes:
    return Notes()


# ---- the algebra of predicates ----


def choice(when: Any = ALWAYS) -> Choice:
    return Choice(T.dscalar(), when)


def test_both_branches_are_the_predicate_of_the_choice() -> None:
    a = choice()
    b = choice(((a, True),))
    both = either(((b, True),), ((b, False),))
    assert both == ((a, True),)
    assert either(both, ((a, False),)) == ALWAYS


def test_a_choice_implies_its_own_predicate() -> None:
    a = choice()
    b = choice(((a, True),))
    assert either(((a, True),), ((b, True),)) == ((a, True),)


def test_never_or_something_is_that() -> None:
    p = ((choice(), True),)
    assert either(None, p) == p
    assert either(p, ALWAYS) == ALWAYS


def test_choices_come_after_those_they_depend_on() -> None:
    a = choice()
    b = choice(((a, True),))
    c = choice(((b, False),))
    assert choices_of([((c, True),)]) == [a, b, c]


def test_without_lazy_ops_everything_is_always_needed() -> None:
    x = T.dscalar("x")
    assert set(predicates([T.exp(x) + 1]).values()) == {ALWAYS}


# ---- what runs ----


def test_the_branch_not_taken_does_not_run(note: Notes, backend: str) -> None:
    x, c = T.dvector("x"), T.lscalar("c")
    f = graphc.function([x, c], ifelse(c, note("then", x + 1), note("else", x - 1)), backend=backend)
    assert note.of(f, [1.0], 1) == ["then"]
    assert note.of(f, [1.0], 0) == ["else"]


def test_what_both_branches_need_runs_once(note: Notes, backend: str) -> None:
    x, c = T.dvector("x"), T.lscalar("c")
    both = note("both", x)
    f = graphc.function([x, c], ifelse(c, both + 1, both * 2), backend=backend)
    assert note.of(f, [1.0], 1) == note.of(f, [1.0], 0) == ["both"]


def test_what_is_needed_outside_runs_always(note: Notes, backend: str) -> None:
    x, c = T.dvector("x"), T.lscalar("c")
    e = note("e", x)
    f = graphc.function([x, c], [ifelse(c, e, x), e * 2], backend=backend)
    assert note.of(f, [1.0], 0) == ["e"]


def test_two_choices_share_a_node(note: Notes, backend: str) -> None:
    x, c, d = T.dvector("x"), T.lscalar("c"), T.lscalar("d")
    e = note("e", x)
    f = graphc.function([x, c, d], ifelse(c, e + 1, x) + ifelse(d, x, e * 2), backend=backend)
    assert note.of(f, [1.0], 1, 0) == note.of(f, [1.0], 1, 1) == note.of(f, [1.0], 0, 0) == ["e"]
    assert note.of(f, [1.0], 0, 1) == []


def test_gradients_are_as_lazy_as_values(note: Notes, backend: str) -> None:
    x, c, d = T.dvector("x"), T.lscalar("c"), T.lscalar("d")
    shared_node = note("e", T.exp(x))
    cost = ifelse(c, shared_node, note("other", x)).sum() * ifelse(d, shared_node * 2, x).sum()
    g = T.grad(cost, x)
    f = graphc.function([x, c, d], [cost, g], backend=backend)
    arguments = np.array([0.5, -1.0])
    assert note.of(f, arguments, 0, 0) == ["grad other", "other"]
    assert "other" not in note.of(f, arguments, 1, 0)
    assert note.of(f, arguments, 1, 1) == ["e", "grad e"]
    for flags in ((0, 0), (0, 1), (1, 0), (1, 1)):
        _, actual = f(arguments, *flags)
        np.testing.assert_allclose(actual, differences(f, arguments, flags), rtol=1e-6)


def differences(f: graphc.Function, x: np.ndarray, flags: tuple[int, ...]) -> list[float]:
    steps = np.eye(len(x)) * 1e-6
    return [(float(f(x + s, *flags)[0]) - float(f(x - s, *flags)[0])) / 2e-6 for s in steps]


def test_nested_choices(note: Notes, backend: str) -> None:
    x, c, d = T.dvector("x"), T.lscalar("c"), T.lscalar("d")
    inner = ifelse(d, note("a", x), note("b", x))
    f = graphc.function([x, c, d], ifelse(c, inner + 1, note("c", x)), backend=backend)
    assert note.of(f, [1.0], 1, 1) == ["a"]
    assert note.of(f, [1.0], 1, 0) == ["b"]
    assert note.of(f, [1.0], 0, 1) == note.of(f, [1.0], 0, 0) == ["c"]


def test_a_condition_may_depend_on_a_node_of_a_branch(note: Notes, backend: str) -> None:
    x, c = T.dscalar("x"), T.lscalar("c")
    a = note("a", x * 2)
    inner = ifelse(a > 1, note("big", a), note("small", -a))
    f = graphc.function([x, c], ifelse(c, inner, x), backend=backend)
    assert note.of(f, 3.0, 1) == ["a", "big"]
    assert note.of(f, 0.0, 1) == ["a", "small"]
    assert note.of(f, 3.0, 0) == []


def test_a_condition_is_computed_before_a_branch_that_shares_its_nodes(note: Notes, backend: str) -> None:
    x = T.dscalar("x")
    a = note("a", x)
    f = graphc.function([x], ifelse(a > 0, a + 1, note("b", a)), backend=backend)
    assert note.of(f, 1.0) == ["a"]
    assert note.of(f, -1.0) == ["a", "b"]


def test_several_values_of_one_choice(note: Notes, backend: str) -> None:
    x, c = T.dscalar("x"), T.lscalar("c")
    first, second = ifelse(c, [note("a", x), note("b", x)], [note("c", x), note("d", x)])
    f = graphc.function([x, c], [first, second], backend=backend)
    assert note.of(f, 1.0, 1) == ["a", "b"]
    assert note.of(f, 1.0, 0) == ["c", "d"]


def test_updates_under_a_choice(note: Notes, backend: str) -> None:
    x, s = T.dscalar("x"), graphc.shared(1.0)
    f = graphc.function([x], [], updates={s: ifelse(x > 0, note("up", s + x), note("down", s - x))}, backend=backend)
    assert note.of(f, 2.0) == ["up"]
    assert s.get_value() == 3.0
    assert note.of(f, -1.0) == ["down"]
    assert s.get_value() == 4.0


def test_an_impure_op_runs_once_for_each_application(note: Notes, backend: str) -> None:
    x = T.dscalar("x")
    op = Noted("once", note.list)
    f = graphc.function([x], [op(x), op(x)], backend=backend)
    assert note.of(f, 1.0) == ["once", "once"]


# ---- guards ----


def test_sizes_in_a_branch_not_taken_need_not_agree(backend: str) -> None:
    x, y, c = T.dvector("x"), T.dvector("y"), T.lscalar("c")
    f = graphc.function([x, y, c], ifelse(c, x + y, x * 2), backend=backend)
    assert f([1.0, 2.0], [1.0, 2.0, 3.0], 0).tolist() == [2.0, 4.0]
    with pytest.raises(ShapeError, match="sizes 2 and 3"):
        f([1.0, 2.0], [1.0, 2.0, 3.0], 1)


def test_sizes_that_agree_in_one_branch_are_not_taken_for_equal_elsewhere(backend: str) -> None:
    x, y, c = T.dvector("x"), T.dvector("y"), T.lscalar("c")
    outside = [T.zeros_like(y) + 1, T.ones_like(x) * 2.0, x.shape[0], y.shape[0], T.fill(T.exp(x), 3.0)]
    f = graphc.function([x, y, c], [ifelse(c, (x + y).sum(), x.sum()), *outside], backend=backend)
    total, *found = f([1.0, 2.0], [1.0, 2.0, 3.0], 0)
    assert total == 3.0
    assert [np.shape(v) for v in found] == [(3,), (2,), (), (), (2,)]
    assert [int(v) for v in found[2:4]] == [2, 3]


def test_sizes_known_to_differ_matter_only_in_the_branch_that_is_taken(backend: str) -> None:
    x, y, c = T.dvector("x"), graphc.shared(np.ones(1)), T.lscalar("c")
    f = graphc.function([x, c], ifelse(c, T.dot(x, y), x.sum()), backend=backend)
    assert f([1.0, 2.0], 0) == 3.0
    with pytest.raises(ShapeError):
        f([1.0, 2.0], 1)


def test_a_branch_may_broadcast(backend: str) -> None:
    x, y, c = T.dvector("x"), T.dvector("y"), T.lscalar("c")
    f = graphc.function([x, y, c], ifelse(c, x + y, x * 2), backend=backend)
    assert f([1.0, 2.0], [10.0], 1).tolist() == [11.0, 12.0]
    assert f([1.0, 2.0], [10.0, 20.0, 30.0], 0).tolist() == [2.0, 4.0]
    assert f([1.0, 2.0], [10.0, 20.0], 1).tolist() == [11.0, 22.0]


def test_a_size_that_only_a_branch_knows(backend: str) -> None:
    x, y, c = T.dvector("x"), T.dvector("y"), T.lscalar("c")
    f = graphc.function([x, y, c], ifelse(c, (x[x > 0] + y).sum(), y.sum()), backend=backend)
    assert f([1.0, -2.0, 3.0], [1.0, 1.0], 1) == 6.0
    assert f([1.0, -2.0, 3.0], [1.0, 1.0, 1.0], 0) == 3.0
    with pytest.raises(ShapeError):
        f([1.0, -2.0, 3.0], [1.0, 1.0, 1.0], 1)


def test_a_failing_branch_harms_only_when_taken(backend: str) -> None:
    x, c = T.dvector("x"), T.lscalar("c")
    f = graphc.function([x, c], ifelse(c, x[5], x.sum()), backend=backend)
    assert f([1.0], 0) == 1.0
    with pytest.raises(IndexError):
        f([1.0], 1)


def test_a_size_that_depends_on_what_it_sizes_makes_no_circle(backend: str) -> None:
    """The mask's result is as long as x, so x is as long as the mask's result, which depends on zeros like x."""
    x = T.dvector("x")
    z = T.zeros_like(T.exp(x)) + 1
    masked = z[z > 0]
    f = graphc.function([x], masked + x, backend=backend)
    assert f([1.0, 2.0]).tolist() == [2.0, 3.0]


# ---- depth ----


@pytest.mark.parametrize("side", ["then", "else"])
def test_a_thousand_nested_choices(side: str, note: Notes, backend: str) -> None:
    """Each choice runs one branch; the time to compile grows with the number of nodes, not with that of paths."""

    def build(depth: int) -> tuple[graphc.Function, float]:
        x, c = T.dscalar("x"), T.dscalar("c")
        y = x
        for i in range(depth):
            branches = (T.sin(y + i), x * float(i))
            y = ifelse(c > i, *(branches if side == "then" else branches[::-1]))
        start = time.perf_counter()
        f = graphc.function([x, c], y, backend=backend)
        return f, time.perf_counter() - start

    _, small = build(250)
    f, large = build(1000)
    assert large < 60 * small + 5, "far from linear"
    expected = 0.5
    if side == "then":
        for i in range(1000):
            expected = np.sin(expected + i)
        np.testing.assert_allclose(f(0.5, 1e9), expected)
        assert f(0.5, -1.0) == 0.5 * 999
    else:
        assert f(0.5, 1e9) == 0.5 * 999


def test_ladder_of_choices_that_share_their_branches(backend: str) -> None:
    """if c0: a else: (if c1: a else: ...): the predicate of `a` is always, found step by step."""
    x, c = T.dscalar("x"), T.dscalar("c")
    a = T.exp(x)
    y = a * 2
    for i in range(300):
        y = ifelse(c > i, a + i, y)
    f = graphc.function([x, c], y, backend=backend)
    assert f(0.0, 10.5) == 11.0
    assert f(0.0, -1.0) == 2.0
    assert f(0.0, 1000.0) == 300.0


# ---- one program, one source ----

NESTED = """
import sys
import graphc
import graphc.tensor as T
from graphc.ifelse import ifelse

a, b, c, x, w = *T.dscalars("a", "b", "c"), T.dvector("x"), graphc.shared([1.0, 2.0, 3.0], "w")
h = T.tanh(x * w)
inner = ifelse(a > 0, h.sum(), ifelse(b > 0, T.exp(h).sum(), ifelse(a > b, h.max(), (h + w).sum())))
other = ifelse(c > a, inner * 2, ifelse(b > 0, h.max(), inner + h.sum()))
cost = inner + other + ifelse(T.and_(a > 1, b > 1), other, inner)
g = T.grad(cost, w)
f = graphc.function([a, b, c, x], [cost, g], updates=[(w, w - ifelse(a > 0, g, g * 2))], backend=sys.argv[1])
print(f.schedule, f.source, sep="\\n")
"""


def test_every_process_writes_the_same_source(backend: str, beginning: str) -> None:
    command = [sys.executable, "-c", beginning + NESTED, backend]
    texts = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    (text,) = texts
    assert "branch" in text
