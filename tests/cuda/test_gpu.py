"""The programs of the corpus on a GPU, large enough for many blocks and for cuBLAS; run with ``--backend=cupy``.

The sanitizers of a GPU watch this file (benchmarks/gpu/h200.sh): one process, and every kind of kernel.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.corpus import CORPUS
from tests.kernels.programs import Program

SIZES = {"small": {"n": 7, "m": 5}, "medium": {"n": 300, "m": 70}, "wide": {"n": 33, "m": 2100}}


@pytest.fixture(autouse=True)
def on_a_gpu(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--backend").startswith("cupy"):
        pytest.skip("with --backend=cupy on a GPU; without one, test_kernels.py runs these programs' kernels")


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("program", CORPUS, ids=str)
def test_programs(program: Program, sizes: str) -> None:
    """The first call is told step by step, the second is recorded, the third is the recording."""
    values = program.values(**SIZES[sizes])
    wanted = program.function("numpy")(*values)
    f = program.function("cupy")
    for _ in range(3):
        for got, want in zip(f(*values), wanted, strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            if want.dtype.kind != "f":
                np.testing.assert_array_equal(got, want)
                continue
            eps = float(np.finfo(want.dtype).eps)
            scale = np.abs(want[np.isfinite(want)]).max(initial=1)
            np.testing.assert_allclose(got, want, rtol=1000 * eps, atol=1000 * eps * scale)
