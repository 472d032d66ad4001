"""The README's two commands are where `.ci/run` and a new user look for them, each one line to paste."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name, end", [("demo", "python -m graphc demo"), ("test", "python -m pytest -n 2")])
def test_command(name: str, end: str) -> None:
    marker = f"<!-- {name}-command -->\n"
    text = README.read_text(encoding="utf-8")
    assert text.count(marker) == 1
    command = re.match(r"```bash\n(.+)\n```\n", text.partition(marker)[2])
    assert command, f"no one-line ```bash fence after {marker}"
    assert command[1].endswith(end)
