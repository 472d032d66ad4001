"""The tally of random programs, printed at the end of the run."""

from __future__ import annotations

from typing import Any

from .tally import TALLY

FACTS = ("updates", "a broadcast variant", "aliasing inputs", "an exception")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not TALLY["programs"]:
        return
    facts = ", ".join(f"{TALLY[fact]} {fact}" for fact in FACTS)
    terminalreporter.write_line(f"random graphs: {TALLY['programs']} programs, of which had: {facts}")
    judged, elements = TALLY["of them judged to the last digits"], TALLY["float elements"]
    terminalreporter.write_line(
        f"  {elements} float elements that need not be the same bits, {judged} of them well conditioned"
    )
