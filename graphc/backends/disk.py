"""A directory for what is worth keeping from process to process: machine code, and where a check has passed.

It lies in the user's cache directory, and is used only if it belongs to the user and nobody else can write to it: what
is read there is run.  ``GRAPHC_CACHE`` names another directory, or is ``off``.  It may be deleted at any time.

A full disk or a lost power supply may damage a file, so each ends with a digest of its content.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

# Files of machine code that are kept; beyond, the older half is deleted.
MOST_FILES = 4000

_DIGEST_BYTES = 16


@cache
def directory() -> Path | None:
    """The directory, made if need be; None if there can be none."""
    path = wanted()
    return path if path is not None and refusal(path) is None else None


def wanted() -> Path | None:
    """Where the directory should be, with no symbolic links in its path; None if there should be none."""
    named = os.environ.get("GRAPHC_CACHE")
    if named == "off" or not hasattr(os, "getuid"):
        return None
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.path.realpath(named or os.path.join(home, "graphc")))


def refusal(path: Path) -> str | None:
    """Why nothing may be kept in a directory, which is made if need be; None if it may.

    Whoever can write to a directory above can put another one in its place, so all are looked at, from the root down.
    """
    for place in (*reversed(path.parents), path):
        try:
            if not place.exists():
                place.mkdir(mode=0o700, exist_ok=True)
            problem = _problem(place.lstat(), place == path)
        except OSError as error:
            return f"{place}: {error.strerror}"
        if problem is not None:
            return f"{place} {problem}"
    return None


def _problem(found: os.stat_result, is_last: bool) -> str | None:
    """Who else could put something there.  Above the directory itself, the sticky bit protects what is the user's."""
    if found.st_uid != os.getuid() and (is_last or found.st_uid != 0):
        return f"belongs to user {found.st_uid}"
    if found.st_mode & 0o022 and (is_last or not found.st_mode & 0o1000):
        return f"can be written by others (mode {found.st_mode & 0o7777:o})"
    return None


def read(name: str) -> bytes | None:
    """What was kept under a name.  A damaged file is deleted."""
    home = directory()
    if home is None:
        return None
    try:
        kept = (home / name).read_bytes()
    except OSError:
        return None
    content, digest = kept[:-_DIGEST_BYTES], kept[-_DIGEST_BYTES:]
    if digest == _digest(content):
        return content
    with contextlib.suppress(OSError):
        (home / name).unlink()
    return None


def write(name: str, content: bytes) -> None:
    """Keep something; whole or not at all."""
    home = directory()
    if home is None:
        return
    with contextlib.suppress(OSError):
        handle, part = tempfile.mkstemp(prefix=f"{name}.", suffix=".part", dir=home)
        with os.fdopen(handle, "wb") as file:
            file.write(content + _digest(content))
        os.replace(part, home / name)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


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
