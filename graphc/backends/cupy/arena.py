"""One block of memory for everything a call needs in between: what is not needed at the same time shares a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

Key = TypeVar("Key")

# Device memory is given out in multiples of this, so that vectors of 16 bytes and whole cache lines are aligned.
ALIGNMENT = 256


class Life(NamedTuple):
    """How many bytes are needed, from which step to which."""

    nbytes: int
    first: int
    last: int


def packed(lives: Mapping[Key, Life]) -> tuple[dict[Key, int], int]:
    """The offset of each piece of memory, and how much there is in all.

    The largest pieces are placed first, each as low as what is needed at the same time permits.
    """
    placed: list[tuple[int, int, Life]] = []
    offsets: dict[Key, int] = {}
    for key, life in sorted(lives.items(), key=lambda item: -item[1].nbytes):
        size = aligned(life.nbytes)
        offset = 0
        for start, end, _ in sorted(p for p in placed if p[2].first <= life.last and life.first <= p[2].last):
            if offset + size <= start:
                break
            offset = max(offset, end)
        offsets[key] = offset
        placed.append((offset, offset + size, life))
    return offsets, max((end for _, end, _ in placed), default=0)


def aligned(nbytes: int) -> int:
    """The next multiple of the alignment, at least one."""
    return max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT
