"""Where the tests have never been run, a process of its own tries generated code first; a failure means NumPy."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.backends import base, disk
from graphc.backends.llvm import selfcheck
from graphc.demo import doctor
from graphc.errors import BackendError

FAILURES = {
    "import sys; sys.exit('numbers are wrong')": "numbers are wrong",
    "assert False, 'exp is wrong'": "AssertionError: exp is wrong",
    "import os; os.abort()": "SIGABRT",
    "raise SystemExit(3)": "exit code 3",
}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A processor that nobody has tried, and a directory for caches."""
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(base, "PACKAGES", {"llvm": "llvmlite", "numpy": "numpy"})
    tmp_path.chmod(stat.S_IRWXU)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("GRAPHC_CACHE", raising=False)
    selfcheck.failure.cache_clear()
    disk.directory.cache_clear()
    yield tmp_path
    selfcheck.failure.cache_clear()
    disk.directory.cache_clear()


def test_the_check_passes_here() -> None:
    selfcheck.check()


def test_where_the_tests_are_run_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "failure", lambda: "asked")
    for system, machine in base.TESTED["llvm"]:
        monkeypatch.setattr(platform, "system", lambda system=system: system)
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        assert base.usable("llvm") is None


def test_it_passes_in_another_process_and_is_remembered(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert base.usable("llvm") is None
    note = elsewhere / "graphc" / selfcheck.NOTE
    monkeypatch.setattr(selfcheck, "PROGRAM", "raise SystemExit(1)")
    assert base.usable("llvm") is None, "it is asked once in a process"
    selfcheck.failure.cache_clear()
    assert base.usable("llvm") is None, "and once for several"
    note.write_text("another machine", encoding="utf-8")
    selfcheck.failure.cache_clear()
    assert base.usable("llvm") is not None


def test_nothing_is_kept_where_others_can_write(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere.chmod(0o777)
    monkeypatch.setattr(selfcheck, "PROGRAM", "pass")
    assert base.usable("llvm") is None
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("program", FAILURES)
@pytest.mark.usefixtures("elsewhere")
def test_a_failure_means_numpy(program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(selfcheck, "PROGRAM", program)
    reason = base.usable("llvm")
    assert reason is not None
    assert reason.startswith(f"backend 'llvm' does not work on {platform.system()} riscv64: ")
    assert FAILURES[program] in reason
    assert "\n" not in reason
    assert base.backend("auto") is base.backend("numpy")
    x = T.dvector("x")
    f = graphc.function([x], T.exp(x) * 2, backend="auto")
    assert f.kernels == []
    np.testing.assert_allclose(f([0.0, 1.0]), [2.0, 2 * np.e])
    with pytest.raises(BackendError, match="riscv64"):
        graphc.function([x], x * 2, backend="llvm")
    assert [line for line in doctor.report().splitlines() if "riscv64" in line] == [f"  llvm     not usable: {reason}"]
    assert not (tmp_path / "graphc" / selfcheck.NOTE).exists(), "only that it passed is kept"


@pytest.mark.usefixtures("elsewhere")
def test_a_check_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "SECONDS", 0.2)
    monkeypatch.setattr(selfcheck, "PROGRAM", "import time; time.sleep(60)")
    assert "TimeoutExpired" in str(base.usable("llvm"))


WITHOUT = """
import numpy as np, graphc, graphc.tensor as T
from graphc.demo import doctor
x = T.dvector()
assert graphc.function([x], x * 2)(np.ones(3)).tolist() == [2, 2, 2]
print(*[line for line in doctor.report().splitlines() if line.startswith("  llvm ")])
try:
    graphc.function([x], x * 2, backend="llvm")
except graphc.errors.BackendError as error:
    print(error)
"""

ABSENT = "ModuleNotFoundError(\"No module named 'llvmlite'\", name='llvmlite')"
BROKEN = {
    "OSError('cannot load libllvmlite.so\\n  no such file')": "OSError: cannot load libllvmlite.so no such file",
    "ImportError('libstdc++.so.6')": "ImportError: libstdc++.so.6",
    ABSENT: "",
}


@pytest.mark.parametrize("error", BROKEN)
def test_without_an_llvmlite_that_can_be_imported_functions_run_on_numpy(tmp_path: Path, error: str) -> None:
    (tmp_path / "llvmlite").mkdir()
    (tmp_path / "llvmlite" / "__init__.py").write_text("__version__ = '0.47.0'")
    (tmp_path / "llvmlite" / "binding.py").write_text(f"raise {error}")
    path = os.pathsep.join([str(tmp_path), str(Path(graphc.__file__).parents[1])])
    environment = {name: value for name, value in os.environ.items() if name != "GRAPHC_FLAGS"} | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", WITHOUT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = f"cannot be imported: {BROKEN[error]} (try: pip install --force-reinstall llvmlite)"
    if error == ABSENT:
        told = "is not installed (try: pip install llvmlite)"
    reason = f"backend 'llvm' needs the package llvmlite, which {told}"
    doctors, errors = done.stdout.splitlines()
    assert doctors == f"  llvm     not usable: {reason}"
    assert errors == f"{reason}. Use backend='auto' or one of 'llvm', 'numpy', 'cupy'"
