"""Which updates may be made where the old value is, and which copies are left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import function, shared
from graphc.ifelse import ifelse
from graphc.kernels.handover import copy_of
from graphc.kernels.inplace import checks
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Accumulate, Loop, Require, Store
from graphc.kernels.plan import Plan
from graphc.kernels.steps import Commit, Verify

i, j = T.lvectors("i", "j")
e, x = T.dvectors("e", "x")
k = T.lscalar("k")


def plan_of(*updates: Any, outputs: Any = ()) -> Plan:
    f = function([i, j, e, x, k], list(outputs), updates=list(updates), backend="llvm", on_unused_input="ignore")
    (variant,) = f.variants.values()
    made: Plan = variant.executable.plan  # type: ignore[attr-defined]
    return made


def tables() -> tuple[Any, Any]:
    return shared(np.ones((50, 4)), name="w"), shared(np.ones((50, 4)), name="u")


# What is updated, and the numbers of the updates that may be made in place.
UPDATES: dict[str, tuple[Callable[[Any, Any], list[Any]], tuple[int, ...]]] = {
    "rows are added to": (lambda w, u: [(w, T.inc_subtensor(w[i], e[:, None]))], (0,)),
    "rows are set": (lambda w, u: [(w, T.set_subtensor(w[i], 2.0))], (0,)),
    "one row": (lambda w, u: [(w, T.set_subtensor(w[3], e))], (0,)),
    "a slice": (lambda w, u: [(w, T.inc_subtensor(w[k : k + 3], e))], (0,)),
    "rows of its own, scaled": (lambda w, u: [(w, T.set_subtensor(w[i], w[i] * 0.9))], (0,)),
    "two tables by each other": (
        lambda w, u: [(w, T.inc_subtensor(w[i], u[j])), (u, T.inc_subtensor(u[j], w[i]))], (0, 1),
    ),
    "one after the other": (lambda w, u: [(w, T.inc_subtensor(T.inc_subtensor(w[i], 1.0)[j], 2.0))], (0,)),
    "beside another update": (lambda w, u: [(w, T.inc_subtensor(w[i], 1.0)), (u, u - w)], (0,)),
    "the old value goes elsewhere": (lambda w, u: [(w, T.inc_subtensor(w[i], 1.0)), (u, w)], (0,)),
    "all of it": (lambda w, u: [(w, w * 0.5)], ()),
    "a part of another table": (lambda w, u: [(w, T.inc_subtensor(u[i], 1.0))], ()),
    "of a table in another order": (lambda w, u: [(w, T.inc_subtensor(w.T[:, i], 1.0).T)], ()),
    "of what was computed": (lambda w, u: [(w, T.inc_subtensor((w * 2)[i], 1.0))], ()),
    "the new value is read": (lambda w, u: [(w, T.inc_subtensor(w[i], 1.0)), (u, T.inc_subtensor(w[i], 1.0) * 2)], ()),
}  # fmt: skip


@pytest.mark.parametrize("name", UPDATES)
def test_what_may_be_made_in_place(name: str) -> None:
    build, expected = UPDATES[name]
    made = plan_of(*build(*tables()))
    found = () if made.in_place is None else tuple(result for result, _ in made.in_place.updates)
    assert found == expected, repr(made.schedule)
    commits = [step for step in made.steps if isinstance(step, Commit)]
    assert bool(commits) == bool(expected)
    assert made.steps[made.commit :] == tuple(commits)
    assert [step.of for step in made.steps if isinstance(step, Verify)] == [step.launch for step in commits]


def test_a_result_that_is_returned_too_is_made_apart() -> None:
    w, _ = tables()
    new = T.inc_subtensor(w[i], 1.0)
    assert plan_of((w, new), outputs=[new]).in_place is None
    assert plan_of((w, new), outputs=[w[i]]).in_place is not None


def test_what_reads_the_old_value_comes_before_the_commit() -> None:
    w, u = tables()
    made = plan_of((w, T.inc_subtensor(w[i], u[j])), (u, T.inc_subtensor(u[j], w[i])), outputs=[w.sum()])
    inputs = made.schedule.graph.inputs
    for step in made.steps[made.commit :]:
        assert isinstance(step, Commit)
        assert not {w, u} & {x for x in step.launch.arrays if x in inputs}


def test_the_schedule_says_so() -> None:
    w, _ = tables()
    f = function([i], [], updates=[(w, T.inc_subtensor(w[i], 1.0))], backend="llvm")
    weigh, copy, verify, write, commit = str(f.schedule).splitlines()[1:]
    assert weigh.endswith("weigh kernel 1")
    assert copy.endswith("kernel 0 (w): copy   if not in place")
    assert verify.endswith("verify kernel 1 (i)")
    assert "IncSubtensor" in write
    assert write.endswith("in the commit")
    assert commit.startswith("commit")


@pytest.mark.parametrize("name", ["rows are added to", "rows are set", "one row", "a slice"])
def test_checks_write_nothing_and_check_the_same(name: str) -> None:
    made = plan_of(*UPDATES[name][0](*tables()))
    (commit,) = [step for step in made.steps if isinstance(step, Commit)]
    kernel, verified = commit.launch.kernel, checks(commit.launch).kernel
    assert not verified.written
    assert not any(isinstance(s, Store | Accumulate) for s in verified.statements())
    required = [sum(isinstance(s, Require) for s in k.statements()) for k in (kernel, verified)]
    assert required[0] == required[1]
    loops = [s for s in verified.statements() if isinstance(s, Loop)]
    assert len(loops) == ("i" in {x.name for x in commit.launch.arrays if hasattr(x, "name")})
    assert verified.sizes == kernel.sizes


# ---- copies ----


@pytest.mark.parametrize("backend", ["llvm", "numpy"])
def test_one_copy_is_enough_for_increments_of_increments(backend: str) -> None:
    a = T.dmatrix("a")
    chain = T.inc_subtensor(T.inc_subtensor(T.inc_subtensor(a[i], 1.0)[j], 2.0)[0], 3.0)
    f = function([a, i, j], chain, backend=backend)
    value, rows, others = np.zeros((5, 2)), np.array([1, 1, 4]), np.array([4, 0])
    expected = value.copy()
    np.add.at(expected, rows, 1.0)
    np.add.at(expected, others, 2.0)
    expected[0] += 3.0
    assert (f(value, rows, others) == expected).all()
    assert not value.any()
    if backend == "llvm":
        (variant,) = f.variants.values()
        steps = variant.executable.plan.steps  # type: ignore[attr-defined]
        assert sum(copy_of(step) is not None for step in steps) == 1


def test_what_is_read_later_is_copied() -> None:
    a = T.dmatrix("a")
    first = T.inc_subtensor(a[i], 1.0)
    f = function([a, i, j], [T.inc_subtensor(first[j], 2.0), first.sum(axis=0)], backend="llvm")
    second, total = f(np.zeros((3, 2)), np.array([0]), np.array([0]))
    assert second.tolist() == [[3, 3], [0, 0], [0, 0]]
    assert total.tolist() == [1, 1]
    one, other = function([a, i, j], [T.inc_subtensor(first[j], 2.0), first], backend="llvm")(
        np.zeros((2, 1)), np.array([0]), np.array([1])
    )
    assert one.tolist() == [[1], [2]]
    assert other.tolist() == [[1], [0]]
    made = [step for step in f.schedule.plan.steps if isinstance(step, Launch)]  # type: ignore[attr-defined]
    assert sum(copy_of(step) is not None for step in made) == 2 or len(made) == 4


def results_of(backend: str, inputs: list[Any], outputs: list[Any], args: list[Any]) -> list[Any]:
    found: list[Any] = function(inputs, outputs, backend=backend, on_unused_input="ignore")(*args)
    return found


def test_what_is_seen_under_another_name_is_copied() -> None:
    """By the result of a branch, and by rows where they are."""
    a, b, m = T.dmatrices("a", "b", "m")
    first = T.inc_subtensor(a[i], 1.0)
    second = T.inc_subtensor(first[j], 2.0)
    picked = ifelse(k, first, b)
    early = T.dot(first[:3], m)
    seen_again = T.inc_subtensor(first[j], T.dot(early, m)[:2])
    programs = [[second, second + picked], [seen_again, T.dot(T.dot(seen_again, m), first[:3].T)]]
    numbers = np.arange(24.0).reshape(6, 4)
    args = [numbers, -numbers, numbers[:4] + 1, np.array([0, 2]), np.array([2, 5]), 1]
    for outputs in programs:
        found, expected = (results_of(name, [a, b, m, i, j, k], outputs, args) for name in ("llvm", "numpy"))
        for value, right in zip(found, expected, strict=True):
            assert (value == right).all()


def test_a_commit_reads_nothing_that_is_handed_over_meanwhile() -> None:
    a = T.dmatrix("a")
    first = T.inc_subtensor(a[i], 1.0)
    w, u = shared(np.zeros((6, 4))), shared(np.zeros((6, 4)))
    updates = [(w, T.set_subtensor(w[j], first)), (u, T.inc_subtensor(first[i], 2.0))]
    f = function([a, i, j], [], updates=updates, backend="llvm")
    f(np.ones((6, 4)), np.array([1]), np.arange(6))
    assert w.get_value()[:, 0].tolist() == [1, 2, 1, 1, 1, 1]
    assert u.get_value()[:, 0].tolist() == [1, 4, 1, 1, 1, 1]


def test_what_python_has_computed_is_copied() -> None:
    a = T.dmatrix("a")
    masked = T.set_subtensor(a[a > 5.0], 0.0)
    numbers = np.arange(24.0).reshape(6, 4)
    args = [numbers, np.array([0, 2])]
    ((found,), (expected,)) = (
        results_of(name, [a, i], [T.inc_subtensor(masked[i], 1.0)], args) for name in ("llvm", "numpy")
    )
    assert (found == expected).all()
