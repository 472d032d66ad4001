"""GRAPHC_DEBUG: each level says what the one below says, and more; without it nothing is said."""

from __future__ import annotations

import re

import pytest

import graphc
import graphc.tensor as T

LINE = r"graphc: told: nodes \d+, kernels \d+, [\d.]+ ms \(build [\d.]+, canonicalize [\d.]+, .*backend [\d.]+\)\n"
RULE = "rule 28 [stable] log(add(1, x)) -> log1p(x)"


def said(level: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], backend: str) -> str:
    monkeypatch.setenv("GRAPHC_DEBUG", level)
    x = T.dvector("x")
    f = graphc.function([x], T.log(1 + x) * 2, name="told", backend=backend)
    f([1.0])
    out, err = capsys.readouterr()
    assert out == ""
    assert (str(f.schedule) in err) == (f.source in err) == (level in ("2", "3"))
    return err


def test_levels(backend: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {level: said(level, monkeypatch, capsys, backend) for level in ("0", "", "no", "1", "2", "3")}
    assert texts["0"] == texts[""] == texts["no"] == ""
    assert re.fullmatch(LINE, texts["1"])
    assert re.search(LINE + r"\Z", texts["2"])
    assert RULE not in texts["2"]
    assert texts["3"].startswith(RULE)
    assert re.search(LINE + r"\Z", texts["3"])


def test_kernels_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llvmlite")
    text = said("2", monkeypatch, capsys, "llvm")
    assert text.startswith("schedule told(x)")
    assert "# kernel 0\nkernel(x0: f64[n0]" in text
    assert ", kernels 1, " in text


def test_each_variant_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GRAPHC_DEBUG", "1")
    x, y = T.dvectors("x", "y")
    f = graphc.function([x, y], x + y, name="told")
    f([1.0, 2.0], [3.0, 4.0])
    assert capsys.readouterr().err.count("graphc: told") == 1
    f([1.0, 2.0], [3.0])
    assert capsys.readouterr().err.count("graphc: told") == 1
