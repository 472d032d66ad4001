"""What every test may use: `--full`, `--backend`, golden files, and how hypothesis draws."""

from __future__ import annotations

import difflib
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import graphc
from graphc.backends.base import AUTOMATIC, usable
from graphc.backends.cupy.chosen import standing_in

GOLDEN = Path(__file__).parent / "golden"

# `ci` is the default, `full` goes with --full; a test that sets no max_examples of its own gets these counts.
# No deadline: a first call compiles. Every run draws anew, and its seed stands in the header.
COMMON: dict[str, Any] = {
    "deadline": None,
    "derandomize": False,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("ci", max_examples=400, **COMMON)
settings.register_profile("full", max_examples=10_000, **COMMON)


STANDING_IN = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("graphc")
    group.addoption("--full", action="store_true", help="run full products instead of pairwise tables")
    group.addoption("--update-golden", action="store_true", help="rewrite the files in tests/golden")
    group.addoption(
        "--backend",
        default="auto",
        choices=("auto", "numpy", "llvm", "cupy", "cupy-on-cpu"),
        help="where functions run (default: auto); cupy-on-cpu executes a GPU's kernels on the CPU",
    )


@pytest.hookimpl(tryfirst=True)  # before hypothesis reads its own two options
def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("full" if config.getoption("--full") else "ci")
    if config.getoption("--backend") == "cupy-on-cpu":
        from tests.cuda.host_device import HostDevice

        graphc.config.backend = "cupy"
        config.stash[STANDING_IN] = standing_in(HostDevice(late=True))
        config.stash[STANDING_IN].__enter__()
    elif config.getoption("--backend") != "auto":
        # In the environment, so that the processes that tests start follow too.
        flags = [os.environ.get("GRAPHC_FLAGS", ""), f"backend={config.getoption('--backend')}"]
        os.environ["GRAPHC_FLAGS"] = ",".join(filter(None, flags))
        graphc.config.backend = config.getoption("--backend")
    if config.getoption("--backend") == "cupy" and hasattr(config, "workerinput"):
        config.pluginmanager.register(LostGpu())
    if config.option.hypothesis_seed is None:
        from_controller = getattr(config, "workerinput", {}).get("hypothesis_seed")
        # Where nobody watches, a run repeats the one before it; everywhere else each run draws anew.
        drawn = "20261120" if os.environ.get("CI") else str(random.SystemRandom().randrange(2**32))
        config.option.hypothesis_seed = from_controller or drawn


class LostGpu:
    """Ends a worker of pytest-xdist whose GPU is lost to it; another one goes on.

    After a kernel that touched what is not its own, every call of CUDA in the process fails.
    """

    @pytest.hookimpl(trylast=True)  # when the failure has been told
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.failed:
            return
        try:
            import cupy

            cupy.cuda.runtime.deviceSynchronize()
        except Exception as error:
            print(f"after {report.nodeid}: {error}", file=sys.__stderr__, flush=True)
            os._exit(70)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the seed to a worker of pytest-xdist."""
    node.workerinput["hypothesis_seed"] = str(node.config.option.hypothesis_seed)


def pytest_report_header(config: pytest.Config) -> str:
    extent = "full" if config.getoption("--full") else "pairwise (all with --full)"
    seed = config.option.hypothesis_seed
    return f"graphc: backend {backend_under_test()}, products {extent}, --hypothesis-seed={seed}"


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether to run full products."""
    return bool(request.config.getoption("--full"))


def backend_under_test() -> str:
    """The backend that functions run on unless a test says otherwise."""
    if graphc.config.backend != "auto":
        return str(graphc.config.backend)
    return next(name for name in AUTOMATIC if usable(name) is None)


@pytest.fixture(scope="session")
def backend() -> str:
    """The name of the backend under test."""
    return backend_under_test()


@pytest.fixture(scope="session")
def beginning(request: pytest.FixtureRequest) -> str:
    """What a program in another process begins with to have the backend under test."""
    return STAND_IN if request.config.getoption("--backend") == "cupy-on-cpu" else ""


STAND_IN = """
from graphc.backends.cupy.chosen import standing_in
from tests.cuda.host_device import HostDevice
standing = standing_in(HostDevice(late=True))
standing.__enter__()
"""


@dataclass(frozen=True)
class Golden:
    """A text under review: what the program writes today must equal what is kept in `path`."""

    path: Path
    update: bool

    def check(self, text: str) -> None:
        text = text.rstrip("\n") + "\n"
        if self.update:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(text, encoding="utf-8", newline="\n")
            return
        kept = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        if kept == text:
            return
        name = self.path.relative_to(GOLDEN.parent).as_posix()
        lines = kept.splitlines(), text.splitlines()
        diff = difflib.unified_diff(*lines, f"kept in {name}", "now", lineterm="")
        advice = "If the new text is right, run again with --update-golden and review the change."
        pytest.fail("\n".join([*diff, "", advice]), pytrace=False)


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Callable[[str], Golden]:
    """`golden("pp/polynomial").check(text)` compares with tests/golden/pp/polynomial.txt."""
    update = bool(request.config.getoption("--update-golden"))
    return lambda name: Golden(GOLDEN / f"{name}.txt", update)
