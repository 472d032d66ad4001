"""Importing the room brings nothing but NumPy and the standard library."""

from __future__ import annotations

import sys

from tests.test_import import newly_imported_by


def test_only_numpy() -> None:
    assert newly_imported_by("import graphc.printing") - set(sys.stdlib_module_names) <= {"graphc", "numpy"}
