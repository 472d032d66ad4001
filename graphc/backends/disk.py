"""A directory for what is worth keeping from process to process: machine code, and where a check has passed.

It lies in the user's cache directory, and is used only if it belongs to the user and nobody else can write to it: what
is read there is run.  ``GRAPHC_CACHE`` names another directory, or is ``off``.  It may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from functools import cache
from pathlib import Path

# Files of machine code that are kept; beyond, the older half is deleted.
MOST_FILES = 4000


@cache
def directory() -> Path | None:
    """The directory, made if need be; None if there can be none."""
    named = os.environ.get("GRAPHC_CACHE")
    if named == "off" or not hasattr(os, "getuid"):
        return None
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(named) if named else Path(home) / "graphc"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(path.parent):
            return None
        path.mkdir(mode=0o700, exist_ok=True)
        return path if _is_ours(path) else None
    except OSError:
        return None


def _is_ours(path: Path) -> bool:
    """Whether nobody but the user (and the superuser) can put anything there."""
    found = path.stat()
    trusted = found.st_uid in (os.getuid(), 0)
    return trusted and (not found.st_mode & 0o022 or bool(found.st_mode & 0o1000))


def read(name: str) -> bytes | None:
    """What was kept under a name."""
    home = directory()
    if home is None:
        return None
    try:
        return (home / name).read_bytes()
    except OSError:
        return None


def write(name: str, content: bytes) -> None:
    """Keep something; whole or not at all."""
    home = directory()
    if home is None:
        return
    with contextlib.suppress(OSError):
        handle, part = tempfile.mkstemp(prefix=f"{name}.", suffix=".part", dir=home)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(part, home / name)


def tidy() -> None:
    """Delete the older half of the files if there are too many."""
    home = directory()
    if home is None:
        return
    with contextlib.suppress(OSError):
        files = list(home.iterdir())
        if len(files) > MOST_FILES:
            for path in sorted(files, key=lambda p: p.stat().st_mtime)[: len(files) // 2]:
                with contextlib.suppress(OSError):
                    path.unlink()
