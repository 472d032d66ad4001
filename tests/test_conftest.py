"""The test suite's own options and fixtures, tried on a small suite that borrows conftest.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graphc.backends.base import AUTOMATIC, usable

FASTEST = next(name for name in AUTOMATIC if usable(name) is None)

pytest_plugins = "pytester"

SUITE = """
import graphc
from hypothesis import given, settings, strategies

def test_text(golden):
    golden("pp/sum").check("x + y")

def test_options(full, backend):
    print("OPTIONS", full, backend, graphc.config.backend, settings().max_examples)

@settings(max_examples=5, database=None)
@given(strategies.integers(0, 2**64))
def test_draw(n):
    print("DREW", n)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    pytester.makepyfile(test_suite=SUITE)
    return pytester


def test_golden_fails_until_updated_and_again_when_the_text_changes(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("test_suite.py::test_text")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*kept in golden/pp/sum.txt", "*now", "+x + y", "*--update-golden*"])

    suite.runpytest_subprocess("test_suite.py::test_text", "--update-golden").assert_outcomes(passed=1)
    kept = suite.path / "golden" / "pp" / "sum.txt"
    assert kept.read_bytes() == b"x + y\n"
    suite.runpytest_subprocess("test_suite.py::test_text").assert_outcomes(passed=1)

    kept.write_text("x - y\n")
    result = suite.runpytest_subprocess("test_suite.py::test_text")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["-x - y", "+x + y"])


@pytest.mark.parametrize(
    "options, seen",
    [
        (["--backend=numpy"], "OPTIONS False numpy numpy 400"),
        (["--full", "--backend=llvm"], "OPTIONS True llvm llvm 10000"),
        ([], f"OPTIONS False {FASTEST} auto 400"),
    ],
)
def test_options_reach_the_tests(
    suite: pytest.Pytester, options: list[str], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRAPHC_FLAGS", raising=False)
    result = suite.runpytest_subprocess("-s", "test_suite.py::test_options", *options)
    result.assert_outcomes(passed=1)
    assert seen in result.stdout.str()


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_a_run_repeats_with_the_seed_that_it_printed(
    suite: pytest.Pytester, workers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)  # there every run has the same seed

    def run(*options: str) -> tuple[str, list[str]]:
        result = suite.runpytest_subprocess("-rP", "test_suite.py::test_draw", *workers, *options)
        output = result.stdout.str()
        seed = re.search(r"--hypothesis-seed=(\d+)", output)
        assert seed, output
        return seed[1], re.findall(r"DREW \d+", output)

    seed, drawn = run()
    assert drawn
    assert run(f"--hypothesis-seed={seed}") == (seed, drawn)
    assert run()[0] != seed
