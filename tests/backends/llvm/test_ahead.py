"""Large work by rows: which loops ask for lines of the cache before they are written, and which constants stay."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.backends.llvm.shares import share
from graphc.backends.llvm.target import AVX2, BASELINE, Target
from graphc.graph.variable import Variable
from graphc.kernels.launch import Launch
from graphc.kernels.shares import taken_apart

x, m, n, f = T.dvector("x"), T.dmatrix("m"), T.dmatrix("n"), T.fmatrix("f")
AVX512 = Target("skylake-avx512", "", 64, masked=True, fma=True)
TARGETS = {"avx512": AVX512, "avx2": AVX2, "baseline": BASELINE}

# A program, and how many lines a vector of one of its loops asks for.
PROGRAMS: dict[str, tuple[list[Variable], Any, int]] = {
    "softmax": ([m], T.nnet.softmax(m), 1),
    "two results of rows": ([m, n], [T.nnet.softmax(m), T.nnet.softmax(m) * n], 2),
    "rows that are only added up": ([m], T.exp(m - T.max(m, axis=1, keepdims=True)).sum(axis=1), 0),
    "no rows": ([x], T.exp(x) / T.exp(x).sum(), 0),
    "nothing to wait for": ([m], m - m.sum(axis=1, keepdims=True), 0),
}


def texts(inputs: list[Variable], outputs: Any, target: Target) -> list[str]:
    """The kernels of a function for large work."""
    executable: Any = next(iter(graphc.function(inputs, outputs, backend="llvm").variants.values())).executable
    launches = [step for step in executable.plan.steps if isinstance(step, Launch)]
    return [share(s.shared, target, "k").text for step in launches for s in taken_apart(step, 2)]


@pytest.mark.parametrize("target", ["avx512", "avx2"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_which_loops_ask_for_lines(name: str, target: str) -> None:
    inputs, outputs, lines = PROGRAMS[name]
    found = [text.count("call void @llvm.prefetch") for text in texts(inputs, outputs, TARGETS[target])]
    assert sum(found) == lines


@pytest.mark.parametrize("target, stay", [("avx512", True), ("avx2", False), ("baseline", False)])
def test_where_constants_stay_in_registers(target: str, stay: bool) -> None:
    """Where there are 32 of them; each is loaded once, before the loop over rows."""
    (text,) = texts([f], T.nnet.softmax(f), TARGETS[target])
    loaded = re.findall(r"= load volatile <16 x float>, ptr (@\S+)", text)
    assert bool(loaded) == stay
    assert len(set(loaded)) == len(loaded)


def test_constants_of_vectors_that_no_register_holds() -> None:
    """Bools come 64 at a time, and so do the floats they become; the row makes it a loop in a loop."""
    b, row = T.matrix("b", "bool"), T.vector("row", "bool")
    out = T.tanh(T.cast(b ^ row, "float32")) < 0.5
    assert any("load volatile <64 x float>" in text for text in texts([b, row], out, AVX512))
    step = graphc.function([b, row], out, backend="llvm")
    value, other = (np.random.default_rng(0).random(shape) < 0.5 for shape in ((3000, 1000), 1000))
    assert (step(value, other) == ~(value ^ other)).all()


@pytest.mark.parametrize("columns", [7, 64, 1000, 1003])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_are_those_of_small_work(dtype: str, columns: int) -> None:
    """Row by row, which is small work, and all at once."""
    z = T.matrix("z", dtype)
    step = graphc.function([z], [T.nnet.softmax(z), T.max(z, axis=1)], backend="llvm")
    value = np.random.default_rng(0).normal(size=(2_000_000 // columns, columns)).astype(dtype)
    value[5, columns // 2], value[6] = np.nan, -np.inf
    whole, largest = step(value)
    for row in (0, 1, 5, 6, 7, len(value) - 1):
        one, top = step(value[row : row + 1])
        np.testing.assert_array_equal(whole[row], one[0])
        np.testing.assert_array_equal(largest[row], top[0])
