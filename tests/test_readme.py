"""The README: two commands to paste where `.ci/run` looks for them, an example that prints what it says, and tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import graphc
import graphc.tensor as T
from graphc import gradient
from graphc.backends.base import usable

README = Path(__file__).parents[1] / "README.md"
OPTIONS_IN_TABLE = {"axis", "keepdims", "dtype", "consider_constant", "known_grads", "disconnected_inputs"}


@pytest.mark.parametrize("name, end", [("demo", "python -m graphc demo"), ("test", "python -m pytest -n 2")])
def test_command(name: str, end: str) -> None:
    marker = f"<!-- {name}-command -->\n"
    text = README.read_text(encoding="utf-8")
    assert text.count(marker) == 1
    command = re.match(r"```bash\n(.+)\n```\n", text.partition(marker)[2])
    assert command, f"no one-line ```bash fence after {marker}"
    assert command[1].endswith(end)


def fence(name: str, language: str) -> str:
    """The content of the fence that follows a marker."""
    block = re.search(rf"<!-- {name} -->\n```{language}\n(.*?)```\n", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block, f"no ```{language} fence after <!-- {name} -->"
    return block[1]


@pytest.mark.skipif(usable("llvm") is not None, reason="it prints loops, which the LLVM backend has")
def test_example_prints_what_it_says(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    script = tmp_path / "example.py"
    script.write_text(fence("example", "python"), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(README.parent), "GRAPHC_FLAGS": "backend=llvm"}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, printed = fence("example-output", "text"), done.stdout.rstrip("\n") + "\n"
    if request.config.getoption("--update-golden"):
        README.write_text(README.read_text(encoding="utf-8").replace(said, printed), encoding="utf-8")
    else:
        assert printed == said, "run again with --update-golden and review"


def test_files_that_it_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target


def test_names_in_the_table_exist() -> None:
    """The rows that list functions list functions of `T`, `T.nnet` or graphc."""
    text = README.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\w[\w ]*) \| (.*) \|$", text, re.MULTILINE))
    for row in ("reductions", "shapes", "products", "neural networks", "gradients"):
        for name in re.findall(r"[a-z_]\w*(?![\w*])", " ".join(re.findall(r"`([^`]+)`", rows[row])), re.IGNORECASE):
            known = name in OPTIONS_IN_TABLE or any(hasattr(module, name) for module in (T, T.nnet, graphc, gradient))
            assert known, f"{row}: {name}"


def test_changelog_has_this_version() -> None:
    changelog = (README.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{graphc.__version__}]" in changelog
