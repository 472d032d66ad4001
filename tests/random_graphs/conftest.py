"""The tally of random programs, printed at the end of the run."""

from __future__ import annotations

from collections import Counter
from typing import Any

TALLY: Counter[str] = Counter()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not TALLY:
        return
    total = TALLY["programs"]
    facts = ", ".join(f"{TALLY[fact]} {fact}" for fact in sorted(TALLY) if fact != "programs")
    terminalreporter.write_line(f"random graphs: {total} programs, of which had: {facts}")
