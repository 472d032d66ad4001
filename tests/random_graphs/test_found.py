"""What random programs found, each as a small test of its own."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.errors import ShapeError
from graphc.evaluate import evaluate


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_power_of_scalars_has_the_bits_of_that_of_arrays(dtype: str, backend: str) -> None:
    x = T.tensor(dtype, shape=())
    f = graphc.function([x], x**3.7, backend=backend, numerics="ieee")
    for value in np.random.default_rng(0).uniform(0, 3, 200).astype(dtype):
        assert f(value) == np.power(value[None], np.asarray(3.7, dtype))[0]


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
