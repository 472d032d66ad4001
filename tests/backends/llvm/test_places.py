"""Places of extrema, also on processors with shorter vectors, or without masks."""

from __future__ import annotations

import numpy as np
import pytest

import graphc.tensor as T
from graphc import function
from graphc.backends.llvm.executable import LlvmExecutable
from graphc.backends.llvm.spelling import spells
from graphc.kernels.drafts import kernel_ops
from graphc.kernels.plan import plan
from graphc.ops.reduction import Place
from tests.backends.llvm.test_math import TARGETS, skip_unless_it_runs


def test_rows_that_do_not_lie_in_memory_are_put_there() -> None:
    x = T.dmatrix("x")
    f = function([x], Place("argmax", 1, False)(x.T), backend="llvm")
    value = np.random.default_rng(0).normal(size=(5, 7))
    assert f(value).tolist() == value.argmax(0).tolist()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", "bool"])
def test_the_first_of_equals_is_found(dtype: str, target: str) -> None:
    skip_unless_it_runs(target)
    x = T.matrix("x", dtype)
    outputs = [T.argmax(x, axis=1), T.argmin(x, axis=1), T.max(x, axis=1)]
    (variant,) = function([x], outputs, backend="llvm").variants.values()
    executable = LlvmExecutable(variant.schedule, plan(variant.schedule, kernel_ops(spells)), TARGETS[target])
    random = np.random.default_rng(0)
    for columns in (1, 3, 4, 5, 16, 33, 100, 515):
        value = random.integers(0, 4, (9, columns)).astype(dtype)
        if value.dtype.kind == "f":
            value[::2][value[::2] == 3] = np.nan
            value[1] = -np.inf
        argmax, argmin, largest = executable.run([value])
        np.testing.assert_array_equal(argmax, value.argmax(1))
        np.testing.assert_array_equal(argmin, value.argmin(1))
        np.testing.assert_array_equal(largest, value.max(1))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["max", "min"])
def test_nan_is_found_wherever_it_is(name: str, dtype: str, target: str) -> None:
    """Two vectors at a time are looked at together, and a rest of one or two."""
    skip_unless_it_runs(target)
    x = T.matrix("x", dtype)
    (variant,) = function([x], getattr(T, name)(x, axis=1), backend="llvm").variants.values()
    executable = LlvmExecutable(variant.schedule, plan(variant.schedule, kernel_ops(spells)), TARGETS[target])
    for columns in (1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 129, 145, 200, 300):
        value = np.random.default_rng(columns).normal(size=(columns, columns)).astype(dtype)
        (extrema,) = executable.run([value])
        np.testing.assert_array_equal(extrema, getattr(value, name)(axis=1))
        np.fill_diagonal(value, np.nan)
        (extrema,) = executable.run([value])
        assert np.isnan(extrema).all()
