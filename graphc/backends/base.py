"""What every backend offers, and how one is found by its name."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, Protocol

from graphc.errors import BackendError
from graphc.graph.fgraph import Guard
from graphc.graph.op import Op
from graphc.schedule.schedule import Schedule


class GuardFailed(Exception):
    """Two sizes that a variant assumes to be equal are not; the function looks for another variant, or explains."""

    def __init__(self, guard: Guard, left: int, right: int) -> None:
        super().__init__(f"{left} != {right}")
        self.guard = guard
        self.left = int(left)
        self.right = int(right)


class Executable(Protocol):
    """A compiled schedule."""

    schedule: Schedule
    source: str

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for the values of the schedule's inputs.  Raises GuardFailed before anything is changed."""


class Backend(Protocol):
    """A module in this room."""

    def compile(self, schedule: Schedule) -> Executable:
        """Make a schedule run."""

    def spells(self, op: Op) -> bool:
        """Whether the backend has an own spelling for the op; otherwise its body is compiled."""


# The backends that exist, fastest first, with the package each needs.
PACKAGES: dict[str, str] = {"numpy": "numpy"}


def usable(name: str) -> str | None:
    """None if the backend can be used here, else the reason why not."""
    if name not in PACKAGES:
        return f"backend {name!r} is not part of this version; it has {', '.join(map(repr, PACKAGES))}"
    if importlib.util.find_spec(PACKAGES[name]) is None:
        return f"backend {name!r} needs the package {PACKAGES[name]}, which is not installed"
    return None


def backend(name: str) -> Backend:
    """The backend called `name`; "auto" is the first one that is usable."""
    if name == "auto":
        name = next(known for known in PACKAGES if usable(known) is None)
    reason = usable(name)
    if reason is not None:
        raise BackendError(f"{reason}. Use backend='auto' or one of {', '.join(map(repr, PACKAGES))}")
    module: Any = importlib.import_module(f"graphc.backends.{name}")
    found: Backend = module
    return found
