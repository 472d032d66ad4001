"""A compiled schedule as machine code over a frame.

A *frame* is a row of 64-bit words, the *slots*: pointers to arrays, their sizes, and the values of rank-0 arrays
themselves (in the low bytes of their slot).  Machine code is called with the address of a frame and finds everything
there; constants are in the frame from the start.

    prologue(frame)   checks the sizes of the inputs, computes all other sizes that follow from them
    body(frame)       computes the results
    commit(frame)     finishes results that may be where inputs are; few programs have it

Between the first two the caller allocates the results and the temporaries, whose sizes are known by then, and writes
their addresses into their slots.  All return 0, or 1 + the number of the step that failed.  Before the commit nothing
but results and temporaries is ever written, so a call that failed can be made again, by other means.

Results may get the memory of the inputs they replace if the prologue has left `NOT_TAKEN` in the word `apart`: all that
may, or none, and then the caller writes `TAKEN` there.  The commit of a call in which they do so does not fail.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A word of the frame."""

    index: int


@dataclass(frozen=True)
class Place:
    """Where an array is described in the frame.

    dtype; slot: of the address of its first element, or of the value itself if the rank is 0; sizes: numbers, or the
    slots that hold them.  All arrays are in C order, aligned, in native byte order.
    """

    dtype: str
    slot: int
    sizes: tuple[int | Slot, ...]

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.sizes)


@dataclass(frozen=True)
class Program:
    """Machine code, and what its caller does.

    Attributes
    ----------
    words: the frame at the start of a call, little-endian int64 words: constants (and addresses of constant arrays).
    inputs: what the caller fills before the prologue: the address and every size (all `Slot`s), or the value.
    results: what the caller allocates (rank > 0) between prologue and body, and hands back after it.
    temporaries: what the caller allocates between the two and may use again in the next call; rank > 0.
    prologue, body, commit: addresses of ``int32 (ptr frame)``; the last may be 0.
    keep: objects that must live as long as the code is used.
    apart: that word, or 0; in_place: pairs of the number of a result and that of the input whose memory it may get.
    """

    words: tuple[int, ...]
    inputs: tuple[Place, ...]
    results: tuple[Place, ...]
    temporaries: tuple[Place, ...]
    prologue: int
    body: int
    keep: tuple[object, ...] = ()
    commit: int = 0
    apart: int = 0
    in_place: tuple[tuple[int, int], ...] = ()
