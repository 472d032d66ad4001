"""What random programs found, each as a small test of its own."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.errors import ShapeError
from graphc.evaluator import evaluate
from graphc.ifelse import ifelse


def test_flattening_an_empty_batch_keeps_the_other_sizes(backend: str) -> None:
    x = T.dtensor3("x")
    for y in (x.flatten(2), x.reshape((x.shape[0], -1))):
        empty = np.zeros((0, 3, 4))
        assert evaluate(y, {x: empty}).shape == (0, 12)
        assert graphc.function([x], y, backend=backend)(empty).shape == (0, 12)


def test_a_function_compiles_though_the_present_values_do_not_fit(backend: str) -> None:
    s = graphc.shared(np.ones(1))
    f = graphc.function([], T.stack([s, T.constant(np.zeros(2))]), backend=backend)
    with pytest.raises(ShapeError):
        f()
    s.set_value(np.ones(2))
    assert f().tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_sizes_that_can_never_agree_are_refused(backend: str) -> None:
    x = T.bmatrix("x")
    square = T.dot(x, x.T)
    with pytest.raises(ShapeError, match="sizes 0 and 1"):
        graphc.function([x], T.stack([square, T.constant(np.zeros((0, 1), "int8"))]), backend=backend)


def test_a_slice_whose_step_is_an_input_meets_another_array(backend: str) -> None:
    x, y, k = T.dvector("x"), T.dvector("y"), T.lscalar("k")
    f = graphc.function([x, y, k], x[::k] + y, backend=backend)
    assert f([1.0, 2.0, 3.0], [10.0, 20.0], 2).tolist() == [11.0, 23.0]
    assert f([1.0, 2.0], [10.0, 20.0], -1).tolist() == [12.0, 21.0]
    assert f([1.0, 2.0], [10.0, 20.0], 5).tolist() == [11.0, 21.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_power_of_scalars_has_the_bits_of_that_of_arrays(dtype: str, backend: str) -> None:
    x, v = T.tensor(dtype, shape=()), T.tensor(dtype, shape=(None,))
    f, g = (graphc.function([y], y**3.7, backend=backend, numerics="ieee") for y in (x, v))
    values = np.random.default_rng(0).uniform(0, 3, 200).astype(dtype)
    assert [f(value) for value in values] == list(g(values))
    if backend == "numpy":
        assert g(values).tolist() == np.power(values, np.asarray(3.7, dtype)).tolist()


@pytest.mark.parametrize("make", [T.nnet.softmax, T.nnet.logsoftmax])
def test_softmax_of_nothing_is_nothing(make: object, backend: str) -> None:
    x = T.dmatrix("x")
    f = graphc.function([x], make(x), backend=backend)  # type: ignore[operator]
    assert f(np.zeros((2, 0))).shape == (2, 0)


def test_softmax_with_infinite_elements_is_what_the_formula_gives(backend: str) -> None:
    x = T.dvector("x")
    f = graphc.function([x], T.exp(x) / T.exp(x).sum(), backend=backend)
    np.testing.assert_array_equal(f([2.0, np.inf, -np.inf]), [0.0, np.nan, 0.0])


def test_a_long_chain_of_fills_is_not_followed_step_by_step(backend: str) -> None:
    x = T.dvector("x")
    y = x
    for _ in range(500):
        y = T.tanh(y)
    f = graphc.function([x], T.grad(y.sum(), x), backend=backend)
    assert f([0.0]).tolist() == [1.0]


def test_a_number_that_a_call_is_given_may_be_an_array_of_one_element(backend: str) -> None:
    x = T.tensor("bool", shape=(None,))
    f = graphc.function([x], T.log(T.exp(T.arccos(x)).sum()), backend=backend)  # in float16
    assert f([True, False]).dtype == "float16"
    assert f([]) == 0 or np.isneginf(f([]))


def test_a_condition_of_any_dtype(backend: str) -> None:
    for dtype in ("bool", "int8", "uint64", "float16", "float32", "complex64", "complex128"):
        c, x = T.tensor(dtype, shape=()), T.dscalar("x")
        f = graphc.function([c, x], ifelse(c, x + 1, x * 3), backend=backend)
        assert [float(f(np.asarray(v, dtype), 2.0)) for v in (0, 1)] == [6.0, 3.0], dtype


def test_a_dot_product_with_a_vector_of_one_number(backend: str) -> None:
    x = T.dvector("x")
    f = graphc.function([x], T.dot(T.zeros_like(x) + 2, T.ones_like(x)), backend=backend)
    assert f(np.zeros(11)) == 22


def test_a_slice_of_one_element(backend: str) -> None:
    x = T.vector("x")
    pair = T.stack([x[0], x[1]])
    outputs = [pair[::2], pair[1::2], pair[::-2], pair[5::-3], pair[-9:1], pair[1:9], pair[:1], pair[:0:-1]]
    f = graphc.function([x], outputs, backend=backend)
    assert [r.tolist() for r in f([3.0, 4.0])] == [[3], [4], [4], [4], [3], [4], [3], [4]]


def test_a_step_of_a_branch_runs_after_the_choice(backend: str) -> None:
    x, c = T.dscalar("x"), T.dscalar("c")
    y = x * 2
    for i in range(3):
        y = ifelse(c > i, x + i, y)
    f = graphc.function([x, c], y, backend=backend)
    assert [float(f(1.0, c)) for c in (-1, 0.5, 1.5, 2.5)] == [2.0, 1.0, 2.0, 3.0]


def test_an_array_meets_itself_in_other_ways(backend: str) -> None:
    x, v = T.dmatrix("x"), T.dvector("v")
    outputs = [
        v.dimshuffle(0, "x") * v,
        x * x.T,
        T.exp(x - x.T).sum(axis=0),
        x[::-1] - x,
        x.sum(axis=0) + x.sum(axis=1),
    ]
    f = graphc.function([x, v], outputs, backend=backend)
    a, b = np.arange(9.0).reshape(3, 3), np.array([1.5, -3.0])
    wanted = [np.outer(b, b), a * a.T, np.exp(a - a.T).sum(axis=0), a[::-1] - a, a.sum(axis=0) + a.sum(axis=1)]
    for got, want in zip(f(a, b), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)


def test_an_index_into_a_new_axis_is_checked(backend: str) -> None:
    s, v, i = T.dscalar("s"), T.dvector("v"), T.lvector("i")
    for out in (s.dimshuffle("x")[1], v.dimshuffle(0, "x")[:, 1], v.dimshuffle("x", 0)[i]):
        f = graphc.function([s, v, i], out, backend=backend, on_unused_input="ignore")
        with pytest.raises(IndexError, match="out of bounds"):
            f(1.0, [1.0, 2.0], [0, 1])
    f = graphc.function([v, i], [v.dimshuffle("x", 0)[i], v.dimshuffle(0, "x")[:, -1]], backend=backend)
    assert [r.tolist() for r in f([1.0, 2.0], [0, -1])] == [[[1, 2], [1, 2]], [1, 2]]


def test_a_size_of_a_branch_is_computed_after_the_choice(backend: str) -> None:
    x = T.lmatrix("x")
    v = x.flatten()
    f = graphc.function([x], ifelse(x.sum() > 0, T.outer(v, v), x), backend=backend)
    assert f([[2]]).tolist() == [[4]]
    assert f([[1, 2], [3, 4]]).shape == (4, 4)
    assert f([[-1, 0]]).tolist() == [[-1, 0]]


def test_a_condition_that_is_the_one_number_of_an_array(backend: str) -> None:
    x = T.dvector("x")
    condition = x.max(keepdims=True).dimshuffle()
    for c in (condition, T.log(T.exp(x).sum())):
        f = graphc.function([x], ifelse(c, x + 1, x * 3), backend=backend)
        assert f([1.0, 2.0]).tolist() == [2.0, 3.0]
    f = graphc.function([x], ifelse(condition, x + 1, x * 3), backend=backend)
    assert f([0.0, -2.0]).tolist() == [0.0, -6.0]


def test_the_condition_is_the_one_number_of_an_array(backend: str) -> None:
    x = T.dvector()
    size = T.log(T.exp(abs(x)).sum(axis=0))
    _, chosen = ifelse(size, [size.dimshuffle("x"), x], [x, size.dimshuffle("x")])
    f = graphc.function([x], chosen, backend=backend)
    assert f(np.zeros(0)).shape == (0,), "-inf is true"


def test_what_is_written_has_the_size_of_the_index(backend: str) -> None:
    x = T.dvector()
    f = graphc.function([x], T.inc_subtensor(x[[0]], abs(x)), backend=backend)
    assert f(np.ones(1)) == [2.0]
    with pytest.raises(IndexError):
        f(np.ones(0))
    with pytest.raises(ValueError, match="shape"):
        f(np.ones(2))


def test_a_product_of_what_lost_an_axis(backend: str) -> None:
    m = T.dmatrix()
    v = T.logsumexp(m, axis=0)
    f = graphc.function([m], T.dot(v, v), backend=backend)
    assert f(np.zeros((0, 0))) == 0.0
    np.testing.assert_allclose(f(np.zeros((2, 3))), 3 * np.log(2.0) ** 2, rtol=1e-14)


def test_a_slice_counted_from_the_end_of_what_only_running_knows(backend: str) -> None:
    x, y, k = T.dvector("x"), T.dvector("y"), T.lscalar("k")
    f = graphc.function([x, k], x[x > 0][:k] + 1, backend=backend)
    assert f([1.0, -1.0, 2.0, 3.0], -1).tolist() == [2.0, 3.0]
    g = graphc.function([x, y, k], ifelse(k > 0, x, y)[:k] + 1, backend=backend)
    assert g([1.0, 2.0, 3.0], [4.0, 5.0], -1).tolist() == [5.0]
    assert g([1.0, 2.0, 3.0], [4.0, 5.0], 2).tolist() == [2.0, 3.0]


def test_an_axis_that_a_guard_of_a_branch_knows_to_be_1(backend: str) -> None:
    x, y, k = T.dmatrix("x"), T.dmatrix("y"), T.lscalar("k")
    chosen = ifelse(k > 0, y, x.sum(axis=1, keepdims=True))
    f = graphc.function([x, y, k], T.grad((chosen * chosen).sum(), x), backend=backend)
    a, b = np.arange(6.0).reshape(3, 2), np.ones((1, 3))
    assert f(a, b, -1).tolist() == [[2.0, 2.0], [10.0, 10.0], [18.0, 18.0]]
    assert f(a, b, 1).tolist() == [[0.0, 0.0]] * 3
    assert f(a[:, :1], b, -1).tolist() == [[0.0], [4.0], [8.0]]


def test_an_axis_of_what_is_kept_that_a_guard_knows_to_be_1(backend: str) -> None:
    x, n = T.dvector("x"), T.lscalar("n")
    kept = (x * 1.0)[x > 0]
    f = graphc.function([x, n], T.fill(kept[n:n], T.alloc(kept, 2, 1)), backend=backend)
    assert f([-1.0, 3.0], 0).shape == (2, 0)
    for wrong in ([-1.0], [1.0, 2.0]):
        with pytest.raises(ShapeError):
            f(wrong, 0)


def test_a_reshape_that_fails_by_numbers_alone_fails_when_it_runs(backend: str) -> None:
    """No rule makes one that cannot even be built out of it and what follows."""
    x = T.dscalar("x")
    f = graphc.function([x], T.reshape(x, (-1, 2)).dimshuffle("x", 0, 1), backend=backend)
    with pytest.raises(ValueError, match="reshape"):
        f(1.0)
