"""Every test in this directory compiles for the backend that ``--backend`` names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from graphc import config


@pytest.fixture(autouse=True)
def _backend_under_test(backend: str) -> Iterator[None]:
    with config.change_flags(backend=backend):
        yield
