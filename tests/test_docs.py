"""The Python blocks of each page in docs/ run, from top to bottom, in one fresh interpreter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def program(page: Path) -> str:
    """The blocks of a page as a program with the page's line numbers, so that tracebacks point into it."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        starts = line == "```python"
        inside = inside and line != "```"
        lines.append(line if inside else "")
        inside = inside or starts
    return "\n".join(lines) + "\n"


def test_there_are_pages() -> None:
    names = {page.stem for page in PAGES}
    assert {"tour", "adding_an_op", "adding_a_rule", "adding_a_backend", "aliasing"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    source = program(page)
    if not source.strip():
        pytest.skip("no Python in it")
    script = tmp_path / f"{page.stem}.py"
    script.write_text(source, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_a_page_names_exist(page: Path) -> None:
    for name in re.findall(r"`((?:graphc|tests)/[\w/.]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name
