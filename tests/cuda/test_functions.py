"""Functions on the device that stands for a GPU: what is no matter of one kernel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import graphc.tensor as T
from graphc import function
from graphc.backends.cupy.chosen import standing_in
from tests.cuda.host_device import HostDevice, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ compiles the kernels for the CPU")


@pytest.fixture(autouse=True)
def device() -> Iterator[HostDevice]:
    with standing_in(HostDevice()) as made:
        yield made


# ---- checks ----


@pytest.mark.parametrize("columns", [0, 3])
@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
@pytest.mark.parametrize("kind", ["one", "several", "accumulated"])
def test_an_index_is_checked_though_the_result_is_empty(kind: str, write: bool, columns: int) -> None:
    x, y = T.dmatrix("x"), T.dmatrix("y")
    i = T.lscalar("i") if kind == "one" else T.lvector("i")
    out = x[i]
    if write:
        out = (T.inc_subtensor if kind == "accumulated" else T.set_subtensor)(x[i], y[0])
    f = function([x, y, i], out, backend="cupy", on_unused_input="ignore")
    value = np.zeros((5, columns))
    good, bad = (4, 7) if kind == "one" else ([0, 4], [0, 7])
    assert f(value, value, good).shape == (value[good].shape if not write else value.shape)
    with pytest.raises(IndexError, match="7 is out of bounds"):
        f(value, value, bad)
