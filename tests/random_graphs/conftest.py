"""The tally of random programs, printed at the end of the run."""

from __future__ import annotations

from typing import Any

from .tally import TALLY

FACTS = ("updates", "a broadcast variant", "aliasing inputs", "an exception")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for backend, tally in TALLY.items():
        facts = ", ".join(f"{tally[fact]} {fact}" for fact in FACTS)
        terminalreporter.write_line(f"random graphs on {backend}: {tally['programs']} programs, of which had: {facts}")
        judged, elements = tally["of them judged to the last digits"], tally["float elements"]
        terminalreporter.write_line(
            f"  {elements} float elements that need not be the same bits, {judged} of them well conditioned"
        )
        if tally["run by NumPy"]:
            terminalreporter.write_line(f"  {tally['run by NumPy']} programs were run by NumPy as a whole")
