"""Which nodes run together, and what that may never change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc.tensor as T
from graphc.backends.llvm import spelling
from graphc.compile.function import function
from graphc.evaluator import evaluate
from graphc.graph.variable import Constant, Variable
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.fuse import MOST_ARRAYS, MOST_NODES
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Accumulate, Let, Load, Loop
from graphc.kernels.plan import Plan, plan
from graphc.kernels.steps import Call, Pick, Product, Window
from graphc.ops.indexing import IncSubtensor
from graphc.ops.shape import ShapeOf
from tests.compile.programs import Calls
from tests.kernels.machine import Machine
from tests.kernels.programs import PROGRAMS, Program
from tests.kernels.test_kernels import close, launches, plan_of


def planned(shapes: str, build: Any, dtypes: str = "") -> Plan:
    return plan_of(Program("", shapes, build, dtypes).function("llvm"))


def kernels(shapes: str, build: Any) -> list[str]:
    return [launch.kernel.text for launch in launches(planned(shapes, build))]


# ---- every plan of the corpus ----


def check_order(made: Plan) -> None:
    """Nothing is read before it is made, and nothing is made twice."""
    done: set[Any] = set(made.schedule.graph.inputs)

    def known(key: Any) -> bool:
        if isinstance(key, Constant) or key in done or made.home.get(key, key) in done:
            return True
        is_size = isinstance(key, Variable) and key.owner is not None and isinstance(key.owner.op, ShapeOf)
        return is_size and known(key.owner.inputs[0])

    for step in made.steps:
        if isinstance(step, Launch):
            kernel = step.kernel
            for key, array in zip(step.arrays, kernel.arrays, strict=True):
                if array in kernel.written:
                    in_place = any(isinstance(node.op, IncSubtensor) and key in node.outputs for node in step.nodes)
                    assert key not in done or in_place, f"{key} is made twice"
                else:
                    assert known(key), f"{key} is read before it is made"
            for x in (*step.sizes, *step.scalars):
                assert known(x), f"{x} is read before it is made"
            done.update(k for k, a in zip(step.arrays, kernel.arrays, strict=True) if a in kernel.written)
            done.update(step.outputs)
        elif isinstance(step, Pick | Window):
            done.update(step.node.outputs)
        elif isinstance(step, Product):
            assert all(known(view.base) for view in (step.x, step.y))
            done.update(step.node.outputs)
        elif isinstance(step, Call):
            assert all(known(x) for x in step.node.inputs)
            done.update(step.node.outputs)


def check_closed(made: Plan) -> None:
    """What is added to memory is complete only after the kernel: it is not read there."""
    for launch in launches(made):
        statements = list(launch.kernel.statements())
        added = {s.array for s in statements if isinstance(s, Accumulate)}
        assert added.isdisjoint(s.array for s in statements if isinstance(s, Load)), launch.kernel


def check_parameters(made: Plan) -> None:
    """What a kernel writes is one parameter, after those it reads: the text does not tell in which order they come."""
    for launch in launches(made):
        kernel = launch.kernel
        assert sorted(kernel.arrays, key=lambda array: array in kernel.written) == list(kernel.arrays)
        names = [key for key, array in zip(launch.arrays, kernel.arrays, strict=True) if array in kernel.written]
        assert len(names) == len(set(names)), f"two parameters for one memory\n{kernel}"


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_order_and_what_is_closed(program: Program) -> None:
    f = program.function("llvm")
    for fuses in (True, False):
        made = plan_of(f, fuses)
        check_order(made)
        check_closed(made)
        check_parameters(made)
        if not fuses:
            assert all(len(launch.nodes) <= 1 for launch in launches(made))


# ---- equal structure ----


def test_equal_structure_is_one_kernel() -> None:
    """Names, constants and sizes are parameters."""
    first = kernels("nm m", lambda x, y: T.tanh(x * 2 + y))
    second = kernels("nk k", lambda a, b: T.tanh(a * 0.25 + b))
    assert first == second
    assert first != kernels("nm n", lambda x, y: T.tanh(x * 2 + y.dimshuffle(0, "x")))


@pytest.mark.parametrize("name", ["dot_of_a_column", "dot_of_a_row"])
def test_a_product_with_a_column_reads_the_matrix_where_it_is(name: str) -> None:
    (program,) = [p for p in PROGRAMS if p.name == name]
    made = launches(plan_of(program.function("llvm")))
    assert [node.op.text() for launch in made for node in launch.nodes] == ["dot", "add"]
    assert all(launch.nodes for launch in made), "what computes no node copies"


def test_layers_of_a_network_are_one_kernel() -> None:
    def layers(x: Any, w: Any, b: Any) -> Any:
        for _ in range(5):
            x = T.tanh(T.dot(x, w) + b)
        return x

    texts = kernels("nm mm m", layers)
    assert len(texts) == 5
    assert len(set(texts)) == 1


def test_a_small_exponent_shapes_the_code_and_other_numbers_do_not() -> None:
    def power(n: float) -> list[str]:
        return kernels("n", lambda x: T.pow(x, n))

    assert power(3) != power(5)
    assert kernels("n", lambda x: x * 2.5) == kernels("n", lambda x: x * 3.5)


# ---- what runs together ----


def passes(text: str) -> int:
    """How many loops stand in a kernel."""
    return sum(line.lstrip().startswith("for ") for line in text.splitlines())


def test_a_softmax_is_one_kernel_of_three_passes_over_a_row() -> None:
    (text,) = kernels("nm", lambda x: T.nnet.softmax(x))
    assert passes(text) == 1 + 3
    assert text.count("exp(") == 1


def test_what_is_computed_for_rows_joins_a_group_that_comes_to_go_by_rows_later() -> None:
    """The gradient of cross-entropy has a number for each row before anything of its kernel goes by rows."""
    x, y = T.fmatrix("x"), T.lvector("y")
    loss = T.nnet.categorical_crossentropy(T.nnet.softmax(x), y).mean()
    f = function([x, y], T.grad(loss, x), backend="llvm")
    (text,) = [launch.kernel.text for launch in launches(plan_of(f)) if launch.kernel.arrays]
    assert text.count("exp(") == 1
    assert passes(text) == 1 + 3
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 7)).astype("float32"), rng.integers(0, 7, 5)
    expected = function([x, y], T.grad(loss, x), backend="numpy")(*values)
    np.testing.assert_allclose(f(*values), expected, rtol=1e-5, atol=1e-8)


def test_what_only_a_later_kernel_reads_is_computed_there() -> None:
    """The labels of a network come before its products, and the matrix made of them is never in memory."""
    x, w, y = T.dmatrix("x"), T.dmatrix("w"), T.lvector("y")
    loss = T.nnet.categorical_crossentropy(T.nnet.softmax(x.dot(w)), y).mean()
    f = function([x, w, y], T.grad(loss, w), backend="llvm")
    made = plan_of(f)
    texts = [launch.kernel.text for launch in launches(made) if launch.kernel.arrays]
    assert len(texts) == 1
    assert "position" in texts[0]
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 4)), rng.normal(size=(4, 3)), rng.integers(0, 3, 5)
    expected = function([x, w, y], T.grad(loss, w), backend="numpy")(*values)
    np.testing.assert_allclose(f(*values), expected, rtol=1e-12)
    with pytest.raises(IndexError, match="9 is out of bounds"):
        f(*values[:2], np.array([0, 1, 9, 0, 1]))


def test_an_array_that_is_written_into_is_made_before() -> None:
    """Its producer stays where it is, though all else that it makes is read later."""

    def build(x: Any, y: Any, i: Any) -> Any:
        return T.sin(x) * 3 + T.inc_subtensor(T.exp(x)[i], y)

    check_order(planned("n n n", build, "float64 float64 int64"))


def test_reductions_of_one_extent_are_one_pass() -> None:
    (text,) = kernels("nm", lambda x: [x.sum(), x.max(), T.sqr(x).sum()])
    assert passes(text) == 1


def test_a_value_computed_by_a_call_is_not_waited_for_inside() -> None:
    """``a -> call -> b`` and ``a -> b``: a and b are two kernels."""
    made = planned("n", lambda x: T.exp(x) + Calls(lambda v: v * 2)(T.exp(x)))
    kinds = [type(step) for step in made.steps]
    assert kinds == [Launch, Call, Launch]
    value = np.array([0.5, -1.0, 2.0])
    close(Machine(made).run([value]), [3 * np.exp(value)])


def test_a_column_sum_is_used_after_its_kernel() -> None:
    texts = kernels("nm", lambda x: x / x.sum(axis=0))
    assert len(texts) == 2


def test_a_chain_is_cut_where_a_kernel_would_grow_too_large() -> None:
    def chain(x: Any) -> Any:
        for _ in range(3 * MOST_NODES):
            x = T.sin(x)
        return x

    made = launches(planned("n", chain))
    assert len(made) >= 3
    assert all(len(launch.nodes) <= MOST_NODES for launch in made)


def test_a_kernel_has_no_more_arrays_than_registers_can_follow() -> None:
    inputs = [T.dvector() for _ in range(3 * MOST_ARRAYS)]
    f = function(inputs, [T.sqrt(x) for x in inputs], backend="llvm")
    total = function(inputs, sum(inputs[1:], start=inputs[0]), backend="llvm")
    for made in (plan_of(f), plan_of(total)):
        assert all(len(launch.arrays) <= MOST_ARRAYS + 2 for launch in launches(made))
    values = [np.full(3, float(i)) for i in range(len(inputs))]
    np.testing.assert_array_equal(total(*values), np.sum(values, axis=0))
    np.testing.assert_array_equal(f(*values), np.sqrt(values))


def test_loops_are_collapsed_where_memory_lies_side_by_side() -> None:
    (whole,) = kernels("nmk nmk", lambda x, y: x + y)
    assert passes(whole) == 1
    (row,) = kernels("nmk k", lambda x, y: x + y)
    assert passes(row) == 2
    (transposed,) = kernels("nm mn", lambda x, y: x + y.T)
    assert passes(transposed) == 2


def test_what_does_not_change_is_computed_before_the_loop() -> None:
    (launch,) = launches(planned("nm n", lambda x, y: x * T.exp(y).dimshuffle(0, "x")))[-1:]
    inner = [s for s in launch.kernel.statements() if isinstance(s, Loop)][-1]
    assert not any(isinstance(s, Let) and s.op.name == "exp" for s in inner.body)


# ---- random graphs of what fuses ----

UNARY = ("exp", "sqr", "neg", "tanh", "abs_")
SHAPES = ((None, None), (None, None), (None,), (1, None), (None, 1), ())


@st.composite
def graphs(draw: Any) -> tuple[list[Variable], list[Variable]]:
    """Elementwise ops, reductions, transposes and calls over a matrix and what broadcasts against it."""
    inputs = [T.tensor("float64", shape=shape, name=f"x{i}") for i, shape in enumerate(SHAPES)]
    pool = list(inputs)
    for _ in range(draw(st.integers(2, 14))):
        x = pool[-1 - min(draw(st.integers(0, len(pool) - 1)), draw(st.integers(0, len(pool) - 1)))]
        kind = draw(st.integers(0, 9))
        if kind < 2:
            made = getattr(T, UNARY[draw(st.integers(0, len(UNARY) - 1))])(T.tanh(x))
        elif kind < 6:
            made = T.add(x, pool[draw(st.integers(0, len(pool) - 1))]) * 0.5
        elif kind < 9 and x.ndim:
            axis = draw(st.sampled_from([None, 0, x.ndim - 1]))
            name = draw(st.sampled_from(["sum", "max", "min", "mean"]))
            made = getattr(T, name)(x, axis=axis, keepdims=draw(st.booleans()))
        else:
            made = Calls(lambda v: v + 1)(x)
        pool.append(made)
    outputs = draw(st.lists(st.sampled_from(pool[len(inputs) :]), min_size=1, max_size=4))
    return inputs, outputs


@given(graphs())
@settings(max_examples=60)
def test_random_groups(built: tuple[list[Variable], list[Variable]]) -> None:
    """The plan of a random graph is in order, and means what NumPy says."""
    inputs, outputs = built
    random = np.random.default_rng(0)
    values = [random.normal(size=tuple(n or 3 for n in x.type.shape)) for x in inputs]
    f = function(inputs, outputs, backend="llvm", on_unused_input="ignore")
    wanted = evaluate(outputs, dict(zip(inputs, values, strict=True)))
    close(f(*values), wanted, 512)
    for fuses in (True, False):
        made = plan_of(f, fuses)
        check_order(made)
        check_closed(made)
        close(Machine(made).run(values), wanted, 512)


@pytest.mark.parametrize("write", [T.inc_subtensor, T.set_subtensor])
@pytest.mark.parametrize(
    "value, index, atomic, count",
    [
        ("cheap", "array", False, 2),
        ("dear", "array", False, 3),
        ("dear", "array", True, 2),
        ("dear", "slice", False, 2),
    ],
)
def test_what_is_added_to_an_index_is_computed_in_the_loop(
    write: Any, value: str, index: str, atomic: bool, count: int
) -> None:
    """The copy, and one loop that computes and writes; dear functions are not computed one after the other."""
    x, y, i = T.dvector("x"), T.dvector("y"), T.lvector("i")
    place = x[i] if index == "array" else x[1 : 1 + y.shape[0]]
    out = write(place, T.exp(y) if value == "dear" else 2 * y - 1)
    f = function([x, y, i], out, backend="llvm", on_unused_input="ignore")
    made = plan(f.schedule, kernel_ops(spelling.spells), atomic=atomic)
    repeats = atomic and write is T.set_subtensor  # the last one must come last
    assert len([launch for launch in launches(made) if launch.arrays]) == count + repeats
    values = [np.arange(4.0), np.array([1.0, -2.0, 3.0]), np.array([2, 0, 2])]
    close(Machine(made).run(values), [evaluate(out, dict(zip([x, y, i], values, strict=True)))], 512)


@pytest.mark.parametrize("read", [lambda t: t, T.sgn, lambda t: t[:, None]])
def test_what_is_written_to_an_index_may_follow_from_the_array(read: Any) -> None:
    """The array is copied before anything is written, and so is what follows from it read from the old one."""
    x, i = T.dvector("x"), T.lvector("i")
    t = 2 * x - 1
    column = read(t).ndim == 2
    out = T.inc_subtensor((t[:, None] if column else t)[i], read(t))
    made = plan_of(function([x, i], out, backend="llvm"))
    check_order(made)
    values = [np.array([1.0, -2.0, 3.0]), np.array([2, 0, 2])]
    close(Machine(made).run(values), [evaluate(out, dict(zip([x, i], values, strict=True)))], 512)


def test_what_a_group_reads_from_memory_is_not_computed_in_it_later() -> None:
    """One group reads `p` from memory, another computes it again, and the two might become one."""
    x, a = T.tensor3("x", "float32"), T.tensor("float64", shape=(None, 1, 1), name="a")
    p = x * 0.1
    one, two = (T.sqrt(T.clip(z + a * 0.1, -20, 20)) for z in (abs(T.clip(p, -20, 20)), p))
    outputs = [one.max(axis=2), two.max(axis=1)]
    made = plan_of(function([x, a], outputs, backend="llvm"))
    check_order(made)
    values = [np.arange(30, dtype="float32").reshape(2, 5, 3), np.ones((2, 1, 1))]
    expected = [evaluate(out, dict(zip([x, a], values, strict=True))) for out in outputs]
    close(Machine(made).run(values), expected, 512)


def test_a_sum_with_and_without_keepdims_is_one_sum() -> None:
    def passes(keepdims: bool) -> int:
        def standardised(x: Any) -> Any:
            return (x - x.mean(axis=0, keepdims=keepdims)) / x.std(axis=0, keepdims=keepdims)

        return len(launches(planned("nm", standardised)))

    assert passes(keepdims=False) == passes(keepdims=True)
