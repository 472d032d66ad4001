"""The wheel holds every file of the package, with the marker that says that it is typed, and no tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "from setuptools import build_meta; build_meta.build_wheel('.')"


def test_wheel_holds_the_typed_package(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")  # the version that pyproject.toml builds with
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("graphc", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert build.returncode == 0, build.stderr

    (wheel,) = tmp_path.glob("graphc-*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = [path.relative_to(tmp_path) for path in (tmp_path / "graphc").rglob("*") if path.is_file()]
    assert "graphc/py.typed" in held
    assert held == {path.as_posix() for path in package}, "declare data files in pyproject.toml, package-data"
