"""The interned graph: equal nodes are one object, unequal ones are not, and each knows the user's nodes it is for."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import Apply, FunctionGraph, Op, Variable, function, grad, pp, shared
from graphc.gradient import consider_constant, disconnected_grad, grad_clip, grad_scale, zero_grad
from graphc.graph.interner import INTERNED_BYTES
from graphc.graph.traverse import inputs_of
from graphc.graph.variable import Constant, as_variable
from tests.compile.programs import Calls, Doubled, Sloppy

HERE = Path(__file__).name

X, Y = T.dmatrix("x"), T.dmatrix("y")


def interned(*outputs: Variable) -> tuple[Variable, ...]:
    return FunctionGraph.build([X, Y], outputs).outputs


MERGE: dict[str, Callable[[], tuple[Variable, Variable]]] = {
    "equal sums": lambda: (X + Y, X + Y),
    "deep": lambda: (T.exp(T.tanh(X * Y)), T.exp(T.tanh(X * Y))),
    "constants": lambda: (X + 1.5, X + 1.5),
    "constant of equal value": lambda: (X * 2, X * 2.0),
    "array constants": lambda: (X + np.ones((2, 2)), X + np.ones((2, 2))),
    "nan": lambda: (X + np.nan, X + float("nan")),
    "inf": lambda: (X + np.inf, X + float("inf")),
    "names differ": lambda: (named(X + Y, "a"), named(X + Y, "b")),
    "indices": lambda: (X[1:, 0], X[1:, 0]),
    "slices of equal constants": lambda: (X[T.constant(1) :], X[1:]),
    "reductions": lambda: (X.sum(axis=0), X.sum(axis=-2)),
    "sizes": lambda: (X.shape[0] + 1, X.shape[0] + 1),
    "equal ops of a user": lambda: (Doubled(3.0)(X), Doubled(3.0)(X)),
    "gradients": lambda: (grad((X * Y).sum(), X), grad((X * Y).sum(), X)),
}

APART: dict[str, Callable[[], tuple[Variable, Variable]]] = {
    "another op": lambda: (X + Y, X - Y),
    "another order": lambda: (X - Y, Y - X),
    "another axis": lambda: (X.sum(axis=0), X.sum(axis=1)),
    "another constant": lambda: (X + 1, X + 2),
    "zero and minus zero": lambda: (X + 0.0, X + -0.0),
    "dtype of a constant": lambda: (T.constant(1.0, dtype="float32") + 0, T.constant(1.0, dtype="float64") + 0),
    "bool and int": lambda: (T.constant(True), T.constant(1)),
    "shape of a constant": lambda: (T.constant([1.0, 1.0]), T.constant([[1.0, 1.0]])),
    "nans of different bits": lambda: (T.constant(np.nan), T.constant(np.copysign(np.nan, -1.0))),
    "impure ops": lambda: ((op := Calls(print))(X), op(X)),
    "ops without __props__": lambda: (Sloppy(abs)(X), Sloppy(abs)(X)),
    "ops of other properties": lambda: (Doubled(2.0)(X), Doubled(3.0)(X)),
    "index patterns": lambda: (X[0], X[0:1]),
}


def named(x: Variable, name: str) -> Variable:
    x.name = name
    return x


@pytest.mark.parametrize("case", MERGE)
def test_equal_nodes_are_one(case: str) -> None:
    first, second = MERGE[case]()
    assert first is not second, "in the user's hands every variable is its own object"
    a, b = interned(first, second)
    assert a is b


@pytest.mark.parametrize("case", APART)
def test_different_nodes_stay_apart(case: str) -> None:
    a, b = interned(*APART[case]())
    assert a is not b


def test_one_op_without_props_equals_itself() -> None:
    op = Sloppy(abs)
    a, b = interned(op(X), op(X))
    assert a is b


def test_large_constants_are_known_by_identity() -> None:
    small, large = np.zeros(INTERNED_BYTES // 8), np.zeros(INTERNED_BYTES // 8 + 1)
    a, b = interned(T.constant(small), T.constant(small))
    assert a is b
    k = T.constant(large)
    a, b, c = interned(k, k, T.constant(large))
    assert a is b
    assert a is not c


FLOATS = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1.7976931348623157e308, 0.1]
BITS = [(dtype, value) for dtype in ("float64", "float32", "float16", "complex128") for value in FLOATS]
BITS += [("int64", 2**62 + 1), ("int64", -1), ("int8", -128), ("uint64", 2**64 - 1), ("bool", True)]


@pytest.mark.parametrize("dtype, value", BITS)
def test_constants_keep_their_bits(dtype: str, value: Any) -> None:
    """Through interning, folding and the generated source."""
    with np.errstate(all="ignore"):
        data = np.array(value).astype(dtype)
        product = data * np.ones((), dtype)
    x = T.tensor(dtype, ())
    k = T.constant(data)
    zero = np.zeros((), dtype)
    f = function([x], [k, k * np.ones((), dtype), T.switch(x, k, k), T.stack([k, x])])
    for out, expected in zip(f(zero), [data, product, data, np.stack([data, zero])], strict=True):
        assert out.dtype == dtype
        assert out.tobytes() == expected.tobytes(), (out, expected)


def test_minus_zero_is_used() -> None:
    x = T.dvector("x")
    f = function([x], [1 / T.switch(x > 0, 0.0, -0.0), 1 / T.switch(x > 0, -0.0, 0.0)])
    a, b = f([1.0, -1.0])
    assert a.tolist() == [np.inf, -np.inf]
    assert b.tolist() == [-np.inf, np.inf]


def test_impure_ops_run_as_often_as_they_are_written() -> None:
    calls: list[Any] = []
    op = Calls(lambda value: calls.append(1))
    x = T.dvector("x")
    function([x], [op(x), op(x), op(x)[0]])([1.0])
    assert len(calls) == 3
    calls.clear()
    once = op(x)
    function([x], [once, once + 1, once.sum()])([1.0])
    assert len(calls) == 1


def test_equal_expressions_are_computed_once() -> None:
    calls: list[Any] = []

    class Counted(Doubled):
        def perform(self, node: Apply, *values: Any) -> Any:
            calls.append(1)
            return super().perform(node, *values)

    x = T.dvector("x")
    a, b = function([x], [Counted()(x) + 1, Counted()(x) + 1])([1.0])
    assert len(calls) == 1
    assert not np.shares_memory(a, b)


# ---- origin ----


def test_origin_lists_the_users_variables() -> None:
    a = X + Y
    b = X + Y
    c = T.exp(b)
    graph = FunctionGraph.build([X, Y], [a, b, c])
    assert graph.origin(graph.outputs[0]) == [a, b]
    assert graph.origin(graph.outputs[2]) == [c]
    assert graph.origin(graph.inputs[0]) == [X]


def test_names_survive() -> None:
    hidden = named(X + Y, "hidden")
    graph = FunctionGraph.build([X, Y], [T.exp(hidden)])
    node = graph.outputs[0].owner
    assert node is not None
    assert node.inputs[0].name == "hidden"
    first, second = named(X + Y, "first"), named(X + Y, "second")
    graph = FunctionGraph.build([X, Y], [first, second])
    assert graph.outputs[0].name == "first"


def test_site_of_a_node() -> None:
    out = T.exp(X)
    site = out.owner.site
    assert site is not None
    assert (Path(site.filename).name, site.function) == (HERE, "test_site_of_a_node")
    x = T.dscalar("x")
    assert x.site is not None
    assert Path(x.site.filename).name == HERE
    assert x.site.lineno == site.lineno + 4
    node = FunctionGraph.build([X], [out]).outputs[0].owner
    assert node is not None
    assert node.site == site


SITES: dict[str, Callable[[], Variable]] = {
    "operator": lambda: X + Y,
    "reversed operator": lambda: 1 - X,
    "method": lambda: X.sum(axis=0),
    "function": lambda: T.dot(X, Y),
    "body": lambda: T.nnet.softplus(X),
    "index": lambda: X[0],
    "gradient": lambda: grad(X.sum(), X),
    "NumPy's function": lambda: np.exp(X),
    "user's op": lambda: Doubled()(X),
    "constant": lambda: T.constant(1.0),
    "shared": lambda: shared(1.0),
    "set_subtensor": lambda: T.set_subtensor(X[0], 1.0),
}


@pytest.mark.parametrize("case", SITES)
def test_every_way_to_build_a_node_notes_the_line(case: str) -> None:
    site = SITES[case]().site
    assert site is not None
    assert Path(site.filename).name == HERE, site


# ---- what the user has stays as it is ----


def test_compiling_changes_nothing() -> None:
    x, s = T.dvector("x"), shared(np.ones(2), "s")
    out = T.sum(T.exp(x) * s + 0) * 1
    before, nodes = pp(out), pickle.dumps([x, s, out])
    function([x], [out, grad(out, x)], updates={s: s * 2})
    assert pp(out) == before
    assert pickle.dumps([x, s, out]) == nodes


def test_unpickled_and_copied_print_the_same() -> None:
    out = T.nnet.sigmoid(T.dot(X, Y.T) - 0.5).sum(axis=1)[::2] ** 2
    for twin in (pickle.loads(pickle.dumps(out)), copy.deepcopy(out)):
        assert pp(twin) == pp(out)
        assert len(FunctionGraph.build(inputs_of([twin]), [twin]).toposort()) == len(
            FunctionGraph.build([X, Y], [out]).toposort()
        )


@pytest.mark.parametrize(
    "op", [consider_constant, disconnected_grad, zero_grad, lambda x: grad_clip(x, -1, 1), lambda x: grad_scale(x, 2)]
)
def test_what_stops_a_gradient_is_unpickled_as_itself(op: Any) -> None:
    out = op(X)
    twin = pickle.loads(pickle.dumps(out))
    assert twin.owner.op == out.owner.op
    assert pp(twin) == pp(out)


class Pair(Op):
    """Two outputs of different types."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        x = as_variable(inputs[0])
        return Apply(self, [x], [x.type, x.type.clone(dtype="int64")])

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [shapes[0], shapes[0]]

    def perform(self, node: Apply, *values: Any) -> Any:
        return values[0] + 1, np.arange(values[0].size).reshape(values[0].shape)


def test_an_op_with_two_outputs() -> None:
    x = T.dvector("x")
    a, b = Pair()(x)
    c, d = Pair()(x)
    i, j, k, m = FunctionGraph.build([x], [a, b, c, d]).outputs
    assert (i, j) == (k, m)
    assert i is not j
    assert i.owner is j.owner
    out = function([x], [b, a, b])([5.0, 6.0])
    assert [o.tolist() for o in out] == [[0, 1], [6.0, 7.0], [0, 1]]
    assert [o.dtype.name for o in function([x], [d, c])([1.0])] == ["int64", "float64"]


def test_constant_data_cannot_be_written() -> None:
    memory = np.ones(3)
    k = T.constant(memory)
    assert isinstance(k, Constant)
    memory[:] = 5
    assert k.data.tolist() == [1.0] * 3
    with pytest.raises(ValueError, match="read-only"):
        k.data[0] = 2
