"""Machine code is kept from process to process, where only the user can write."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphc.backends import disk
from graphc.backends.llvm import link
from graphc.backends.llvm.target import host
from graphc.demo import doctor

TEXT = "define i64 @answer() {\n  ret i64 42\n}\n"

PROGRAM = """
import numpy as np, graphc, graphc.tensor as T
x = T.dvector()
f = graphc.function([x], T.tanh(x * 3 + 1).sum(), backend="llvm")
print(float(f(np.arange(5.0))))
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    tmp_path.chmod(stat.S_IRWXU)
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "kept"))
    disk.directory.cache_clear()
    yield tmp_path / "kept"
    disk.directory.cache_clear()


def test_what_is_kept_is_read_again(home: Path) -> None:
    assert disk.read("name") is None
    disk.write("name", b"content")
    assert disk.read("name") == b"content"
    assert [path.name for path in home.iterdir()] == ["name"], "no part of a file is left"
    assert stat.S_IMODE(home.stat().st_mode) == stat.S_IRWXU


def test_off_means_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CACHE", "off")
    disk.directory.cache_clear()
    disk.write("name", b"content")
    assert disk.read("name") is None
    disk.directory.cache_clear()


@pytest.mark.parametrize("others", [stat.S_IWGRP, stat.S_IWOTH])
def test_nothing_is_kept_where_others_can_write(home: Path, others: int) -> None:
    home.mkdir()
    home.chmod(stat.S_IRWXU | others)
    disk.write("name", b"content")
    assert disk.directory() is None
    assert list(home.iterdir()) == []


def test_too_many_files_become_fewer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MOST_FILES", 9)
    for i in range(10):
        disk.write(f"{i}", b"")
        os.utime(home / f"{i}", (i, i))
    disk.tidy()
    assert sorted(path.name for path in home.iterdir()) == ["5", "6", "7", "8", "9"]


def test_a_module_is_compiled_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = link.link(TEXT, host(), ["answer"])
    monkeypatch.setattr(link, "parsed", lambda *arguments: pytest.fail("compiled again"))
    second = link.link(TEXT, host(), ["answer"])
    assert first["answer"] != second["answer"]
    assert len(list(home.iterdir())) == 1


def test_another_process_finds_all_it_needs(home: Path) -> None:
    environment = {**os.environ, "GRAPHC_CACHE": str(home)}

    def run() -> str:
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    first = run()
    kept = {path.name for path in home.iterdir()}
    assert run() == first
    assert {path.name for path in home.iterdir()} == kept, "nothing in the text depends on the process"


def test_nothing_is_kept_where_others_can_add_files(home: Path) -> None:
    """As in /tmp: who knows the name of a file that will be read puts it there, and it is run."""
    home.mkdir()
    home.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO | stat.S_ISVTX)
    assert disk.directory() is None
    assert disk.refusal(home) == f"{home} can be written by others (mode 1777)"
    assert doctor.kept() == f"none: {disk.refusal(home)}"


@pytest.mark.parametrize("sticky", [0, stat.S_ISVTX])
def test_every_directory_above_is_looked_at(home: Path, sticky: int) -> None:
    """Who can rename one puts a directory of his own in its place; the sticky bit forbids that."""
    open_to_all = home / "open"
    open_to_all.mkdir(parents=True)
    open_to_all.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO | sticky)
    path = open_to_all / "mine" / "graphc"
    reason = disk.refusal(path)
    assert reason == (None if sticky else f"{open_to_all} can be written by others (mode 777)")
    assert path.exists() == bool(sticky)


def test_links_are_followed_first(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home.mkdir()
    (tmp_path / "link").symlink_to(home)
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "link" / "below"))
    assert disk.directory() == home.resolve() / "below"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no such owners on Windows")
def test_what_belongs_to_somebody_else_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    owner = home.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert str(disk.refusal(home)).endswith(f"belongs to user {owner}")
    assert disk.directory() is None


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda kept: b"",
    "something else": lambda kept: b"not machine code",
    "truncated": lambda kept: kept[: len(kept) // 2],
    "the last byte lost": lambda kept: kept[:-1],
    "a byte flipped": lambda kept: kept[:9] + bytes([kept[9] ^ 1]) + kept[10:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_made_again(home: Path, damage: str) -> None:
    """A full disk and a lost power supply leave such files."""
    link.link(TEXT, host(), ["answer"])
    (path,) = home.iterdir()
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[damage](whole))
    assert disk.read(path.name) is None
    assert not path.exists()
    path.write_bytes(DAMAGE[damage](whole))
    assert link.link(TEXT, host(), ["answer"])["answer"]
    assert path.read_bytes() == whole


def test_nothing_is_something_to_keep(home: Path) -> None:
    disk.write("name", b"")
    assert disk.read("name") == b""
