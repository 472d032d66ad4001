"""A progress bar for long loops: tqdm's if it is installed, else a plain one; none where nobody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

WIDTH = 30
SECONDS_BETWEEN = 0.1


def steps(count: int, what: str) -> Iterator[int]:
    """``range(count)``, with a bar on stderr when that is a terminal."""
    if not sys.stderr.isatty():
        yield from range(count)
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield from _plain(count, what)
        return
    bar: Any = tqdm(range(count), desc=what, leave=False, mininterval=SECONDS_BETWEEN)
    yield from bar


def _plain(count: int, what: str) -> Iterator[int]:
    due = time.monotonic() + SECONDS_BETWEEN
    for i in range(count):
        yield i
        now = time.monotonic()
        if now >= due:
            due = now + SECONDS_BETWEEN
            filled = WIDTH * (i + 1) // count
            sys.stderr.write(f"\r{what}: [{'#' * filled}{'.' * (WIDTH - filled)}] {i + 1}/{count}")
            sys.stderr.flush()
    sys.stderr.write("\r\x1b[K")
    sys.stderr.flush()
