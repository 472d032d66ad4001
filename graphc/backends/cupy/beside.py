"""Which commands run at the same time: launches that do not need each other become one.

A command comes after those that wrote what it touches, and after those that touched what it writes; all others may be
told at any time.  So a launch joins the earliest one behind what it must come after, as far as there is room.  What
stays a command of its own keeps its place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Room(NamedTuple):
    """What launches take of one, or may take.  Those of equal text are written once."""

    arguments: int
    statements: int
    text: str = ""


class Piece(NamedTuple):
    """A command.

    touched: the cells (by id) of the memory it reads or writes; written: those that it writes.
    room: what it takes of a launch that it joins, None if it joins none.
    """

    touched: Iterable[int]
    written: Iterable[int]
    room: Room | None


def groups(pieces: Sequence[Piece], most: Room) -> list[list[int]]:
    """The numbers of the commands that run at the same time, one group after the other.

    most: what the launches of a group may take together.
    """
    found: list[list[int]] = []
    joined: list[int] = []  # the positions of groups that others may join
    left: dict[int, _Left] = {}
    touched: dict[int, int] = {}  # the last group that did it
    written: dict[int, int] = {}
    for number, piece in enumerate(pieces):
        before = [written[cell] for cell in piece.touched if cell in written]
        before += [touched[cell] for cell in piece.written if cell in touched]
        position = len(found)
        if piece.room is not None:
            behind = joined[bisect_right(joined, max(before, default=-1)) :]
            position = next((p for p in behind if left[p].has(piece.room)), position)
        if position == len(found):
            found.append([])
            if piece.room is not None:
                joined.append(position)
                left[position] = _Left(most)
        found[position].append(number)
        if piece.room is not None:
            left[position].take(piece.room)
        touched |= {cell: max(position, touched.get(cell, 0)) for cell in piece.touched}
        written |= {cell: max(position, written.get(cell, 0)) for cell in piece.written}
    return found


class _Left:
    """What is left of a launch."""

    def __init__(self, most: Room) -> None:
        self.arguments, self.statements = most.arguments, most.statements
        self.texts: set[str] = set()

    def has(self, room: Room) -> bool:
        """Whether it is enough."""
        return room.arguments <= self.arguments and (room.text in self.texts or room.statements <= self.statements)

    def take(self, room: Room) -> None:
        """Have less."""
        self.arguments -= room.arguments
        if room.text not in self.texts:
            self.statements -= room.statements
            self.texts.add(room.text)


def spans(found: Sequence[Sequence[Piece]]) -> dict[int, tuple[int, int]]:
    """For each cell the first group that touches it, and the last."""
    known: dict[int, tuple[int, int]] = {}
    for position, group in enumerate(found):
        for piece in group:
            for cell in piece.touched:
                known[cell] = known.get(cell, (position, position))[0], position
    return known
