"""Lazy choice: the branch that is not taken runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc import tensor as T
from graphc.compile.function import function
from graphc.evaluator import evaluate
from graphc.gradient import grad
from graphc.graph.op import Op
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Variable, as_variable
from graphc.ops.control import ifelse
from tests.ops.arrays import ALL, check, numbers, rng, run, sample, tensor


class Counted(Op):
    """The identity, which counts how often it runs; its gradient is counted too."""

    __props__ = ()

    def __init__(self, label: str, counts: dict[str, int]) -> None:
        self.label, self.counts = label, counts

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def make_node(self, *inputs: Any) -> Apply:
        x = as_variable(inputs[0])
        return Apply(self, [x], [x.type.clone()])

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        self.counts[self.label] = self.counts.get(self.label, 0) + 1
        return np.array(values[0])

    def gradient(self, gs: Any, outs: Any, inputs: Any) -> Any:
        return [Counted(f"gradient of {self.label}", self.counts)(gs[0])]


class Raising(Op):
    """The identity that cannot be computed."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        x = as_variable(inputs[0])
        return Apply(self, [x], [x.type.clone()])

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        raise ArithmeticError("this branch must not run")


raising = Raising()
x2 = numbers(3, 4)

Counts = dict[str, int]


def counted(build: Callable[..., Any], values: tuple[Any, ...], backend: str) -> list[Counts]:
    """What ran, compiled and evaluated, of ``build(counter, *inputs)``; `counter` makes a `Counted` by its label."""
    counts: Counts = {}
    values = tuple(np.asarray(v) for v in values)
    inputs = [tensor(v.dtype.name, v.ndim) for v in values]
    out = build(lambda label, x: Counted(label, counts)(x), *inputs)
    outputs = out if isinstance(out, list) else [out]
    compiled = function(inputs, outputs, backend=backend, on_unused_input="ignore")
    counts.clear()
    first = compiled(*values)
    ran = [dict(counts)]
    counts.clear()
    second = evaluate(outputs, dict(zip(inputs, values, strict=True)))
    for a, b in zip(first, second, strict=True):
        check(a, b)
    return [*ran, dict(counts)]


@pytest.mark.parametrize("condition", [0, 1, -1, 0.5, np.nan, True, False], ids=repr)
def test_what_is_not_zero_is_true(condition: Any, backend: str) -> None:
    got = run(lambda c, a, b: ifelse(c, a, b), condition, 1.0, 2.0, backend=backend)
    assert got == (1.0 if condition else 2.0)


@pytest.mark.parametrize("zero", [0j, complex(-0.0, 0.0), complex(0.0, -0.0), complex(-0.0, -0.0)], ids=str)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_a_complex_zero_of_any_sign_is_false(dtype: str, zero: complex, backend: str) -> None:
    z, zs = T.tensor(dtype, shape=()), T.tensor(dtype, shape=(None,))
    f = function([z], [ifelse(z, 1, 2), T.switch(z, 1, 2), T.cast(z, "bool")], backend=backend)
    assert [int(v) for v in f(np.asarray(zero, dtype))] == [2, 2, 0]
    g = function([zs], [T.switch(zs, 1, 2).min(), T.any(zs), T.all(zs), T.cast(zs, "bool").sum()], backend=backend)
    for length in (1, 2, 7, 33):
        assert [int(v) for v in g(np.full(length, zero, dtype))] == [2, 0, 0, 0]


@pytest.mark.parametrize("dtype", ALL)
def test_branches_of_every_dtype(dtype: str, backend: str) -> None:
    for taken in (0, 1):
        a, b = (sample(dtype, (3, 4), rng(dtype, i)) for i in (0, 1))
        check(run(lambda c, a, b: ifelse(c, a, b), taken, a, b, backend=backend), a if taken else b)


def test_branches_are_cast_to_their_common_dtype(backend: str) -> None:
    for taken in (0, 1):
        got = run(lambda c, a, b: ifelse(c, a, b), taken, np.int8(3), np.float32(2.5), backend=backend)
        check(got, np.asarray(3 if taken else 2.5, "float32"))
    assert ifelse(tensor("bool", 0), tensor("float32", 0), 2.5).dtype == "float32"
    assert ifelse(tensor("bool", 0), 0, 1).dtype == "int64"


def test_the_branch_not_taken_does_not_run(backend: str) -> None:
    def build(count: Any, c: Variable, x: Variable) -> Any:
        return ifelse(c, count("then", x), count("else", x * 2))

    assert counted(build, (1, x2), backend) == [{"then": 1}] * 2
    assert counted(build, (0, x2), backend) == [{"else": 1}] * 2


def test_the_branch_not_taken_may_raise(backend: str) -> None:
    c, x = tensor("int64", 0), tensor("float64", 2)
    out = ifelse(c, x + 1, raising(x) * 2)
    f = function([c, x], out, backend=backend)
    check(f(1, x2), x2 + 1)
    check(evaluate(out, {c: 1, x: x2}), x2 + 1)
    with pytest.raises(ArithmeticError, match="must not run"):
        f(0, x2)
    check(f(1, x2), x2 + 1)  # and the function is as good as before


def test_a_shape_error_or_index_error_of_the_branch_not_taken_is_none(backend: str) -> None:
    c, x, y = tensor("int64", 0), tensor("float64", 1), tensor("float64", 1)
    for bad in (x + y, x[y.shape[0] + 9], T.dot(x, y), x.reshape((7, 7)).sum(0)):
        good = x.sum() if bad.ndim == 0 else x
        f = function([c, x, y], ifelse(c, good, bad), backend=backend, on_unused_input="ignore")
        check(f(1, np.ones(3), np.ones(4)), np.asarray(np.ones(3).sum() if bad.ndim == 0 else np.ones(3)))
        with pytest.raises((ValueError, IndexError)):
            f(0, np.ones(3), np.ones(4))


def test_nested(backend: str) -> None:
    def build(count: Any, c: Variable, d: Variable, x: Variable) -> Any:
        inner = ifelse(count("inner condition", d), count("a", x), count("b", x))
        return ifelse(c, inner, count("c", x))

    assert counted(build, (1, 1, 2.0), backend) == [{"inner condition": 1, "a": 1}] * 2
    assert counted(build, (1, 0, 2.0), backend) == [{"inner condition": 1, "b": 1}] * 2
    assert counted(build, (0, 1, 2.0), backend) == [{"c": 1}] * 2


def test_lists(backend: str) -> None:
    def build(count: Any, c: Variable, x: Variable, y: Variable) -> Any:
        return ifelse(c, [count("x", x), count("y", y)], [y, x])

    assert counted(build, (1, 1.0, 2.0), backend) == [{"x": 1, "y": 1}] * 2
    assert counted(build, (0, 1.0, 2.0), backend) == [{}] * 2
    a, b = run(lambda c, x, y: ifelse(c, [x, y], [y, x]), 0, 1.0, 2.0, backend=backend)
    assert (a, b) == (2, 1)
    named = ifelse(tensor("bool", 0), [tensor("float64", 0)] * 2, [tensor("float64", 1).sum()] * 2, name="n")
    assert [x.name for x in named] == ["n_0", "n_1"]
    assert isinstance(ifelse(tensor("bool", 0), [1], [2]), list)


def test_two_choices_share_nodes(backend: str) -> None:
    """What both need in some branch runs once, if either needs it."""

    def build(count: Any, c: Variable, d: Variable, x: Variable) -> Any:
        common = count("shared", x)
        return [ifelse(c, common, x), ifelse(d, count("other", x), common * 2)]

    assert counted(build, (1, 1, 3.0), backend) == [{"shared": 1, "other": 1}] * 2
    assert counted(build, (1, 0, 3.0), backend) == [{"shared": 1}] * 2
    assert counted(build, (0, 0, 3.0), backend) == [{"shared": 1}] * 2
    assert counted(build, (0, 1, 3.0), backend) == [{"other": 1}] * 2


def test_what_an_output_needs_runs_anyway(backend: str) -> None:
    def build(count: Any, c: Variable, x: Variable) -> Any:
        y = count("y", x)
        return [ifelse(c, y, x), y]

    assert counted(build, (0, 3.0), backend) == [{"y": 1}] * 2


def test_one_condition_for_both_is_decided_once(backend: str) -> None:
    def build(count: Any, c: Variable, x: Variable) -> Any:
        condition = count("condition", c)
        return [ifelse(condition, count("a", x), x), ifelse(condition, x, count("b", x))]

    assert counted(build, (1, 3.0), backend) == [{"condition": 1, "a": 1}] * 2
    assert counted(build, (0, 3.0), backend) == [{"condition": 1, "b": 1}] * 2


def test_gradient(backend: str) -> None:
    for taken in (0, 1):
        got = run(lambda c, x: grad(ifelse(c, x**2, 3 * x), x), taken, 5.0, backend=backend)
        assert got == (10 if taken else 3)
        da, db = run(
            lambda c, x, y: grad(ifelse(c, (x * y).sum(), (x + y).sum()), [x, y]), taken, x2, x2, backend=backend
        )
        check(da, x2 if taken else np.ones_like(x2))
        check(db, x2 if taken else np.ones_like(x2))


def test_the_gradient_of_the_branch_not_taken_does_not_run(backend: str) -> None:
    def build(count: Any, c: Variable, x: Variable) -> Any:
        return grad(ifelse(c, count("a", x), count("b", x)), x)

    for taken, this, other in ((1, "a", "b"), (0, "b", "a")):
        compiled, evaluated = counted(build, (taken, 3.0), backend)
        assert compiled == {f"gradient of {this}": 1}
        assert evaluated.keys() & {other, f"gradient of {other}"} == set()  # `this` runs for its shape


def test_an_infinite_derivative_of_the_branch_not_taken_does_not_leak(backend: str) -> None:
    def build(x: Variable) -> Any:
        return grad(ifelse(T.gt(x, 0), T.log(x) + T.sqrt(x), x), x)

    assert run(build, 0.0, backend=backend) == 1
    assert run(build, 4.0, backend=backend) == 0.5


def test_the_gradient_of_a_branch_not_taken_may_raise(backend: str) -> None:
    def build(c: Variable, x: Variable, i: Variable) -> Any:
        outer = ifelse(c, x[i] ** 2, x.sum())
        return grad(outer * ifelse(1 - c, x[0], x[i]), x)

    x = np.array([3.0, 4.0])
    check(run(build, 1, x, 1, backend=backend), np.array([0.0, 48]))
    check(run(build, 0, x, 9, backend=backend), np.array([10.0, 3]))


def test_the_gradient_of_a_list_and_of_nested_choices(backend: str) -> None:
    def build(c: Variable, d: Variable, x: Variable) -> Any:
        a, b = ifelse(c, [x**2, x], [x, x**3])
        return grad(ifelse(d, a * b, a + b), x)

    for c, d, want in ((1, 1, 12.0), (0, 1, 32.0), (1, 0, 5.0), (0, 0, 13.0)):
        assert run(build, c, d, 2.0, backend=backend) == want


def test_no_gradient_flows_to_the_condition(backend: str) -> None:
    x = tensor("float64", 0)
    check(function([x], grad(ifelse(x, x * 2, x * 3), x), backend=backend)(1.0), np.asarray(2.0))


def test_branches_of_different_sizes(backend: str) -> None:
    c, x = tensor("int64", 0), tensor("float64", 2)
    out = ifelse(c, x[:1], x)
    f = function([c, x], [out, out.shape, out * 2], backend=backend)
    for taken, want in ((1, x2[:1]), (0, x2)):
        got, shape, twice = f(taken, x2)
        check(got, want)
        check(shape, np.array(want.shape))
        check(twice, want * 2)
    assert ifelse(c, T.zeros((2, 3)), T.zeros((2, 4))).type.shape == (2, None)


def test_results_share_no_memory_with_the_inputs(backend: str) -> None:
    c, x, y = tensor("int64", 0), tensor("float64", 1), tensor("float64", 1)
    f = function([c, x, y], ifelse(c, x, y), backend=backend)
    a, b = np.ones(3), np.zeros(3)
    for taken in (0, 1):
        got = f(taken, a, b)
        assert not np.shares_memory(got, a)
        assert not np.shares_memory(got, b)


def test_what_is_refused() -> None:
    c, x = tensor("bool", 0), tensor("float64", 1)
    with pytest.raises(TypeError, match="the condition must be a scalar"):
        ifelse(x, x, x)
    with pytest.raises(TypeError, match="same number of axes"):
        ifelse(c, x, x.sum())
    with pytest.raises(TypeError, match="either both branches are lists or neither"):
        ifelse(c, [x], x)
    with pytest.raises(ValueError, match="2 and 1 expressions"):
        ifelse(c, [x, x], [x])
    assert TensorType("float64", (False,)) == ifelse(c, x, x).type
