"""`import graphc` is quick because it leaves every heavy dependency to the first use that needs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """
import json, sys
before = set(sys.modules)
{statement}
print(json.dumps(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})))
"""
LATER = {"scipy", "sympy", "llvmlite", "cupy", "matplotlib"}


def newly_imported_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter imports for a statement."""
    command = [sys.executable, "-c", PROGRAM.format(statement=statement)]
    root = Path(__file__).parents[1]
    output = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert output.returncode == 0, output.stderr
    return set(json.loads(output.stdout))


@pytest.mark.parametrize("module", ["graphc", "graphc.tensor"])
def test_import_brings_numpy_and_nothing_heavy(module: str) -> None:
    imported = newly_imported_by(f"import {module}")
    assert {"graphc", "numpy"} <= imported
    assert not imported & LATER


def test_a_heavy_import_would_be_seen() -> None:
    assert newly_imported_by("import scipy.special") & LATER == {"scipy"}


def test_evaluate_is_what_the_documentation_calls() -> None:
    import graphc
    import graphc.tensor as T

    x = T.dscalar("x")
    assert graphc.evaluate(x * 2, {x: np.float64(3)}) == 6.0
