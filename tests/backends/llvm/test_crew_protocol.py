"""The protocol of the crew, in all orders in which its steps can happen.

This is a model: a leader who has two jobs, one after the other, and two workers, each as a table of atomic steps, those
of `graphc/backends/llvm/crew.ll` and called as they are called there.  All states that can be reached are looked at.
Each mutation leaves out one thing that the protocol rests on, and must be caught.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

WORKERS = 2
SHARES = (2, 1)  # of each job


@dataclass(frozen=True)
class State:
    """All that is shared, and where everybody is."""

    state: int = 0
    next: int = 0
    count: int = 0
    inside: int = 0
    sleeps: tuple[bool, ...] = (False,) * WORKERS
    locks: tuple[bool, ...] = (False,) * WORKERS  # whether the lock can be taken
    at: tuple[str, ...] = ("open", *("watch",) * WORKERS)  # the leader, the workers
    seen: tuple[int, ...] = (0,) * WORKERS  # the state of the job that a worker entered
    job: int = 0
    done: tuple[int, ...] = ()  # the shares of this job that were taken
    waking: int = 0  # whom the leader looks at


class Wrong(AssertionError):
    pass


def put(values: tuple, i: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:i], value, *values[i + 1 :])


def leader(s: State, without: str) -> Iterator[State]:
    def to(place: str, **changes: object) -> State:
        return replace(s, at=put(s.at, 0, place), **changes)  # type: ignore[arg-type]

    match s.at[0]:
        case "open":
            if "take" in s.at[1:]:
                raise Wrong("a worker reads the job that is being written")
            yield to("opened", count=SHARES[s.job], next=0, done=())
        case "opened":
            yield to("wake", state=s.state + 1, waking=0)
        case "wake" if s.waking == WORKERS or without == "wake":
            yield to("take")
        case "wake":
            i = s.waking
            if s.sleeps[i] and s.locks[i]:
                raise Wrong("a lock is released twice")
            locks = put(s.locks, i, True) if s.sleeps[i] else s.locks
            yield to("wake", sleeps=put(s.sleeps, i, False), locks=locks, waking=i + 1)
        case "take" if s.next < s.count:
            yield to("take", next=s.next + 1, done=(*s.done, s.next))
        case "take":
            yield to("close")
        case "close":
            yield to("wait" if without != "wait" else "check", state=s.state + 1)
        case "wait" if not s.inside:
            yield to("check")
        case "check":
            if sorted(s.done) != list(range(SHARES[s.job])):
                raise Wrong(f"shares {s.done} were taken")
            yield to("open" if s.job + 1 < len(SHARES) else "end", job=min(s.job + 1, len(SHARES) - 1))


def worker(s: State, i: int, without: str) -> Iterator[State]:
    called = s.state % 2 == 1

    def to(place: str, **changes: object) -> State:
        return replace(s, at=put(s.at, i + 1, place), **changes)  # type: ignore[arg-type]

    match s.at[i + 1]:
        case "watch":
            yield to("enter" if called else "lie down")
        case "lie down":
            yield to("look again" if without != "look again" else "sleep", sleeps=put(s.sleeps, i, True))
        case "look again":
            yield to("get up" if called else "sleep")
        case "get up":
            woken = not s.sleeps[i] and without != "take the lock"
            yield to("sleep" if woken else "enter", sleeps=put(s.sleeps, i, False))
        case "sleep" if s.locks[i]:
            yield to("enter", locks=put(s.locks, i, False))
        case "enter":
            yield to("entered", inside=s.inside + (without != "inside"))
        case "entered":
            yield to("take" if called else "leave", seen=put(s.seen, i, s.state))
        case "take" if s.next < s.count:
            yield to("run", next=s.next + 1, done=(*s.done, s.next))
        case "take":
            yield to("leave")
        case "run":
            if s.at[0] == "end" or (s.state != s.seen[i] and s.inside == 0):
                raise Wrong("a share runs after its job has ended")
            yield to("take")
        case "leave":
            entered = s.seen[i] % 2 == 1
            yield to("wait" if entered else "watch", inside=s.inside - (without != "inside"))
        case "wait" if s.state != s.seen[i]:
            yield to("watch")


def explore(without: str = "") -> int:
    """Look at every state; how many there are."""
    threads: list[Callable[[State], Iterator[State]]] = [lambda s: leader(s, without)]
    threads += [lambda s, i=i: worker(s, i, without) for i in range(WORKERS)]  # type: ignore[misc]
    pending, seen = [State()], {State()}
    while pending:
        s = pending.pop()
        following = [t for thread in threads for t in thread(s)]
        if not following and s.at[0] != "end":
            raise Wrong(f"nobody can go on: {s}")
        for t in following:
            if t not in seen:
                seen.add(t)
                pending.append(t)
    return len(seen)


def test_every_share_is_taken_once_and_nobody_waits_for_ever() -> None:
    assert explore() > 1_000


@pytest.mark.parametrize("without", ["wait", "inside", "take the lock"])
def test_what_the_protocol_rests_on(without: str) -> None:
    with pytest.raises(Wrong):
        explore(without)


def test_a_worker_who_does_not_look_again_sleeps_through_a_job() -> None:
    """That is no mistake of the result: the leader does the work alone.  The locks stay right, too."""
    assert explore("look again") > 1_000
    assert explore("wake") > 1_000
