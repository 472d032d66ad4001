"""The list of rules in docs/rewrites.md is the one the tables make."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphc.rewrites.catalogue import markdown

PAGE = Path(__file__).parents[2] / "docs" / "rewrites.md"
BEGIN, END = "<!-- rules -->\n", "<!-- /rules -->"


def test_the_documented_rules_are_those_of_the_tables(request: pytest.FixtureRequest) -> None:
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    listed, _, tail = rest.partition(END)
    made = f"\n{markdown()}\n"
    if request.config.getoption("--update-golden"):
        PAGE.write_text(head + BEGIN + made + END + tail, encoding="utf-8")
        return
    assert listed == made, "docs/rewrites.md is out of date: run pytest tests/rewrites --update-golden"
