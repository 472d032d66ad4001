"""Transfers: the values of shared variables that the next call of a function takes to the other side.

A value has one owner at a time, the host or a device.  It lies where the last function that owned it left it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

from graphc.graph.shared import Cell

Side = Literal["host", "device"]


def transfers(cells: Mapping[str, Cell], targets: Iterable[Cell], side: Side) -> tuple[str, ...]:
    """A line for the values that the next call moves to its side, and one for those that every call copies.

    cells: those that a call reads, by name; targets: those that it writes; side: where it runs.
    """
    written = set(map(id, targets))
    crossing = {name: cell for name, cell in cells.items() if _owner(cell) != side}
    if side == "host":  # which reads a copy, and has the new values
        moved = [name for name, cell in crossing.items() if id(cell) in written]
        copied = [name for name in crossing if name not in moved]
    else:  # which reads numbers from the host
        moved = [name for name, cell in crossing.items() if id(cell) in written or cell.value.ndim]
        copied = []
    found = {"moves   ": moved, "copies  ": copied}
    return tuple(f"{verb}{', '.join(names)} to the {side}" for verb, names in found.items() if names)


def _owner(cell: Cell) -> Side:
    return "host" if isinstance(cell.value, np.ndarray) else "device"
