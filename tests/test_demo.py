"""`python -m graphc demo` and `doctor`: tables are computed, pictures written, and the exit code tells how it went."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import graphc
from graphc.__main__ import main
from graphc.configuration import OPTIONS
from graphc.demo import doctor, progress, show
from graphc.demo.example import Band, Check, Example, Outcome, seconds_per_call

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One quick run, as a user starts it."""
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "graphc", "demo", "--quick", "--out", str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False), out


def test_every_result_is_as_expected(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = demo
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "", "no progress bar where nobody watches"
    for example in show.EXAMPLES:
        assert f"\n{example.title}\n---" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.endswith((" ok", " DIFFERS"))]
    assert len(rows) > 30
    assert all(row.endswith(" ok") for row in rows)
    assert f"all {len(rows)} results are as expected" in done.stdout
    for number in ("1.4159216338643326", "1.4215863505344246", "-11.847269294336078"):
        assert any(number in row for row in rows)


def test_a_time_for_each_loop(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = demo
    rows = [line for line in done.stdout.splitlines() if line.count(" us ") == 2]
    assert len(rows) == len(show.EXAMPLES) - 1, "all but the first functions are loops"


def test_pictures(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, out = demo
    files = list(out.iterdir())
    assert {str(file) for file in files} == {line.strip() for line in done.stdout.splitlines() if str(out) in line}
    drawings = [file for file in files if file.suffix == ".svg"]
    assert len(drawings) >= len(show.EXAMPLES)
    for file in drawings:
        assert ElementTree.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    pytest.importorskip("matplotlib")
    assert {file.name for file in files if file.suffix == ".png"} == {
        "mexican_hat.png", "mexican_hat_shared.png", "and.png", "and_or.png", "moons_loss.png", "moons_boundary.png",
    }  # fmt: skip


def wrong(quick: bool) -> Outcome:
    return Outcome(checks=(Check("one", 1.0, 1.0), Check("two", 2.0, 3.0, 0.5)))


def test_a_wrong_result_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show.show(tmp_path, True, [Example("Wrong", wrong)]) == 1
    printed = capsys.readouterr().out
    assert sum(line.endswith("DIFFERS") for line in printed.splitlines()) == 1
    assert "1 of 2 results differ" in printed


def test_without_matplotlib(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    x = graphc.tensor.dscalar("x")
    outcome = Outcome(checks=(), plots=(("never.png", pytest.fail),), graphs=(("square.svg", "a square", x**2),))
    assert show.show(tmp_path, True, [Example("Drawn", lambda quick: outcome)]) == 0
    assert "pip install matplotlib" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["square.svg"]


@pytest.mark.parametrize(
    "check, ok",
    [
        (Check("", 1.0, 1.0), True),
        (Check("", 1.0, 1.1, 0.2), True),
        (Check("", 1.0, 1.1, 0.05), False),
        (Check("", np.nan, np.nan), False),
        (Check("", [1.0, 2.0], [1.0, 2.0]), True),
        (Check("", [1.0, 2.0], [1.0]), False),
        (Check("", 0.5, Band(0.4, 0.6)), True),
        (Check("", 0.7, Band(0.4, 0.6)), False),
        (Check("", np.nan, Band(0.4, 0.6)), False),
        (Check("", "0.02", "0.02"), True),
        (Check("", "0.02", "0.03"), False),
    ],
)
def test_check(check: Check, ok: bool) -> None:
    assert check.ok is ok


def test_seconds_per_call_counts_calls() -> None:
    calls: list[None] = []
    seconds = seconds_per_call(lambda: calls.append(None), batches=3, batch_seconds=1e-4)
    assert 0 < seconds < 1e-3
    assert len(calls) > 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("installed", [True, False])
def test_progress_on_a_terminal(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if installed:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN", 0.0)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress.steps(5, "walking")) == [0, 1, 2, 3, 4]
    assert "walking" in terminal.getvalue()
    assert "5/5" in terminal.getvalue()


def test_doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GRAPHC_FLAGS", "floatX=float64")
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line for line in printed.splitlines() if line.startswith("  ")}
    assert np.__version__ in lines["NumPy"]
    assert lines["numpy"].endswith("usable")
    for backend in ("llvm", "cupy"):
        assert backend in printed
    assert set(doctor.EXTRAS) <= set(lines)
    assert lines["tqdm"].endswith("not installed: pip install tqdm")
    assert set(OPTIONS) <= set(lines)
    assert lines["floatX"].endswith("GRAPHC_FLAGS")
    assert lines["mode"].endswith("default")


def native_code() -> dict[str, str]:
    return {line.split()[0]: line for line in doctor.native_code()}


def test_doctor_tells_about_native_code(monkeypatch: pytest.MonkeyPatch) -> None:
    llvmlite = pytest.importorskip("llvmlite")
    assert "Native code (llvm)" in doctor.report()
    lines = native_code()
    assert set(lines) == {"llvmlite", "processor", "calls", "BLAS", "cache", "tested"}
    assert llvmlite.__version__ in lines["llvmlite"]
    assert "vectors of" in lines["processor"]
    assert "Linux x86_64" in lines["tested"]
    assert "here a check" not in lines["tested"]
    monkeypatch.setattr("graphc.backends.llvm.blas.find", lambda: None)
    monkeypatch.setattr(doctor, "TESTED", {"llvm": frozenset({("Plan9", "vax")})})
    lines = native_code()
    assert "none found" in lines["BLAS"]
    assert lines["tested"].endswith("Plan9 vax; here a check of a few kernels passed")


def test_doctor_tells_how_calls_reach_machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llvmlite")
    from graphc.backends.llvm import capi, entry

    monkeypatch.setenv("GRAPHC_ENTRY", "python")
    assert doctor.way_in() == "python, by GRAPHC_ENTRY"
    monkeypatch.delenv("GRAPHC_ENTRY")
    monkeypatch.setattr(entry, "machine_code", lambda arrays=True: None if arrays else object())
    assert "buffer protocol" in doctor.way_in()
    monkeypatch.setattr(entry, "machine_code", lambda arrays=True: None)
    assert doctor.way_in().startswith("through Python: its objects")
    monkeypatch.setattr(capi, "supported", lambda: False)
    assert doctor.way_in().endswith("is not supported")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    for command in ("demo", "run", "doctor"):
        assert command in printed
