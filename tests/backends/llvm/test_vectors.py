"""Loops on vectors: whole ones and the last one, whose vector math is compiled once."""

from __future__ import annotations

import re

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.backends.llvm.executable import LlvmExecutable
from graphc.backends.llvm.target import AVX2, BASELINE, Target, host
from graphc.compile.function import Function

SIZES = (0, 1, 3, 4, 5, 7, 8, 9, 16, 17, 31, 1024, 1029, 2051)
TARGETS = [pytest.param(host(), id="host"), pytest.param(AVX2, id="avx2"), pytest.param(BASELINE, id="baseline")]


def on_target(f: Function, target: Target) -> LlvmExecutable:
    """The same function compiled for a processor."""
    if target is AVX2 and not host().masked:
        pytest.skip("this processor has no AVX2")
    executable = f._latest.executable
    assert isinstance(executable, LlvmExecutable)
    return LlvmExecutable(executable.schedule, executable.plan, target)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("target", TARGETS)
def test_vector_math_of_any_number_of_elements(target: Target, dtype: str) -> None:
    x, y = (T.TensorType(dtype, (None,))(name) for name in "xy")
    z = T.exp(x) * y
    ours = on_target(graphc.function([x, y], [z, z.sum(), T.log(y) * z, T.tanh(z).max()], backend="llvm"), target)
    rng = np.random.default_rng(0)
    for n in SIZES[1:]:
        a, b = (rng.uniform(0.1, 1, n).astype(dtype) for _ in range(2))
        c = np.exp(a) * b
        rtol = 1e-13 if dtype == "float64" else 1e-5
        for found, want in zip(ours.run([a, b]), [c, c.sum(), np.log(b) * c, np.tanh(c).max()], strict=True):
            np.testing.assert_allclose(found, want, rtol=rtol)


@pytest.mark.parametrize("target", TARGETS)
def test_vector_math_added_to_columns(target: Target) -> None:
    x = T.dmatrix("x")
    y = T.exp(x)
    ours = on_target(graphc.function([x], [y.sum(axis=0), T.tanh(y).sum(axis=0), y], backend="llvm"), target)
    for columns in (0, 1, 7, 8, 9, 33, 300):
        a = np.random.default_rng(0).uniform(-1, 1, (6, columns))
        b = np.exp(a)
        for found, want in zip(ours.run([a]), [b.sum(0), np.tanh(b).sum(0), b], strict=True):
            np.testing.assert_allclose(found, want, rtol=1e-13)


@pytest.mark.skipif(not host().masked, reason="the last vector is taken one by one")
def test_vector_math_is_called_once() -> None:
    x, y = T.dvectors("x", "y")
    f = graphc.function([x, y], [(T.tanh(x) * y).sum(), T.tanh(x) - y], backend="llvm")
    assert len(re.findall(r"call <.*@[\w.]*tanh", f.llvm)) == 1
