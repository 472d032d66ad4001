"""The Python blocks of each page in docs/ run, from top to bottom, in one fresh interpreter.

A ```text fence that follows a block is what the block prints; ``--update-golden`` writes it anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from graphc.backends.base import usable

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))

BLOCK = re.compile(r"^```python\n.*?^```\n(?:\n*^```text\n(?P<printed>.*?)^```\n)?", re.DOTALL | re.MULTILINE)
END_OF_BLOCK = "---- end of block ----"


def program(page: Path) -> str:
    """The blocks of a page as a program with the page's line numbers, so that tracebacks point into it."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if inside and line == "```":
            lines.append(f"print({END_OF_BLOCK!r})")
        else:
            lines.append(line if inside else "")
        inside = line != "```" if inside else line == "```python"
    return "\n".join(lines) + "\n"


def test_there_are_pages() -> None:
    names = {page.stem for page in PAGES}
    assert {"tour", "adding_an_op", "adding_a_rule", "adding_a_backend", "aliasing", "kernels"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source, text = program(page), page.read_text(encoding="utf-8")
    if not source.strip():
        pytest.skip("no Python in it")
    if '"llvm"' in source and usable("llvm") is not None:
        pytest.skip(str(usable("llvm")))
    script = tmp_path / f"{page.stem}.py"
    script.write_text(source, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = iter(done.stdout.split(f"{END_OF_BLOCK}\n"))
    if request.config.getoption("--update-golden"):
        page.write_text(BLOCK.sub(lambda block: with_output(block, next(printed)), text), encoding="utf-8")
        return
    for block in BLOCK.finditer(text):
        now = next(printed)
        if block["printed"] is not None:
            assert now.strip("\n") == block["printed"].strip("\n"), "run again with --update-golden and review"


def with_output(block: re.Match[str], printed: str) -> str:
    """A block with what it prints now, if the page shows that."""
    if block["printed"] is None:
        return block[0]
    start, end = (place - block.start() for place in block.span("printed"))
    return block[0][:start] + printed.strip("\n") + "\n" + block[0][end:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_a_page_names_exist(page: Path) -> None:
    for name in re.findall(r"`((?:graphc|tests)/[\w/.]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name
