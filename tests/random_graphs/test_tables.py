"""Random updates of parts of tables: every backend does what NumPy's does, to the bit, and nothing to what is held."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.backends.base import AUTOMATIC, usable
from graphc.errors import ShapeError

from .tables import Scenario

BACKENDS = [name for name in AUTOMATIC if usable(name) is None and name != "numpy"]

# Most programs decide about a hundred times; numbers that are left out count as 0.
numbers = st.lists(st.integers(0, 839), min_size=60, max_size=160)


@pytest.mark.parametrize("backend", BACKENDS)
@given(numbers=numbers)
@settings(max_examples=settings().max_examples // 2)
def test_tables_are_as_by_numpy(backend: str, numbers: list[int]) -> None:
    expected, found = (Scenario(numbers, name).run() for name in ("numpy", backend))
    told = "\n".join(found.text)
    assert len(found.seen) == len(expected.seen)
    for (what, value), (_, right) in zip(found.seen, expected.seen, strict=True):
        assert_same(value, right, f"{what}\n{told}")


def assert_same(value: Any, right: Any, told: str) -> None:
    """Fail unless two values are the same, or two errors of one kind; sizes may be compared before anything else."""
    if isinstance(value, list) and isinstance(right, list):
        for one, other in zip(value, right, strict=True):
            assert_same(one, other, told)
    elif isinstance(right, Exception) or isinstance(value, Exception):
        kinds = (type(right), ShapeError) if isinstance(right, Exception) else ()
        assert isinstance(value, kinds), f"{value!r} instead of {right!r}: {told}"
    else:
        assert value.dtype == right.dtype, told
        assert np.array_equal(value, right), f"{value} instead of {right}: {told}"
