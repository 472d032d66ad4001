"""Stores past the cache: which loops have them, and that results are the same, wherever they begin in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import function
from graphc.backends.llvm import streams
from graphc.backends.llvm.shares import share
from graphc.backends.llvm.target import AVX2, BASELINE, Target, host
from graphc.graph.variable import Variable
from graphc.kernels.launch import Launch
from graphc.kernels.shares import taken_apart

x, y, m, v = T.dvector("x"), T.dvector("y"), T.dmatrix("m"), T.fvector("v")

# A program, and whether some loop of it stores past the cache.
PROGRAMS: dict[str, tuple[list[Variable], Variable | list[Variable], bool]] = {
    "map": ([x, y], x * y, True),
    "of rows": ([m, x], m + x, True),
    "two results": ([x, y], [x * y, x - y], True),
    "narrow": ([x], T.cast(x, "float32"), True),
    "very narrow": ([x], x > 0, False),
    "what is carried": ([x], [x * 2, x.sum()], False),
    "rows that are reduced": ([m], T.nnet.softmax(m), False),
    "a total": ([x], x.sum(), False),
}


@pytest.mark.parametrize("target", [AVX2, BASELINE], ids=["avx2", "baseline"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_which_loops_store_past_the_cache(name: str, target: Target) -> None:
    inputs, outputs, expected = PROGRAMS[name]
    steps = [step for launch in launches(inputs, outputs) for step in taken_apart(launch, 2)]
    texts = [share(step.shared, target, "k").text for step in steps]
    assert any("!nontemporal" in text for text in texts) == (expected and target.masked)
    assert all(text.count("call void @llvm.x86.sse.sfence()") == ("!nontemporal" in text) for text in texts)


def launches(inputs: list[Variable], outputs: Any) -> list[Launch]:
    """The kernels of a function."""
    executable: Any = next(iter(function(inputs, outputs, backend="llvm").variants.values())).executable
    return [step for step in executable.plan.steps if isinstance(step, Launch)]


def test_the_size_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    told = tmp_path / "size"
    monkeypatch.setattr(streams, "SIZE", told)
    for text, size in (("32768K\n", 32 << 20), ("512K\n", 512 << 10), ("", streams.USUAL), ("huge\n", streams.USUAL)):
        told.write_text(text)
        assert streams.cache_bytes.__wrapped__() == size
    monkeypatch.setattr(streams, "SIZE", tmp_path / "missing")
    assert streams.cache_bytes.__wrapped__() == streams.USUAL


@pytest.fixture
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is large work is larger than the cache."""
    monkeypatch.setattr(streams, "cache_bytes", lambda: 64)


# Rows that begin anywhere, that are short, and that are shared out.
SHAPES = [(400_003,), (601, 807), (3, 133_337), (401, 1001), (40_001, 15), (25_000, 17)]


@pytest.mark.usefixtures("small_cache")
@pytest.mark.skipif(not host().masked, reason="this processor has no masked stores, and so none past the cache")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int16", "int8", "bool"])
def test_results_are_those_of_numpy(dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-9, 9, size=shape).astype(dtype) for _ in range(2))
    u, w = (T.TensorType(dtype, (None,) * len(shape))() for _ in range(2))
    row = T.TensorType(dtype, (None,))()
    outputs = [u * w + u, T.cast(u, "float64") * 0.5, T.cast(w, "int8"), w + row]
    expected = function([u, w, row], outputs, backend="numpy")(a, b, a[..., :].reshape(-1)[: shape[-1]])
    f = function([u, w, row], outputs, backend="llvm")
    for _ in range(2):
        for got, want in zip(f(a, b, a.reshape(-1)[: shape[-1]]), expected, strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
