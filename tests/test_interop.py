"""Programs that say ``import theano``: the module table, the names of old NumPy, and `python -m graphc run`."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import graphc
import graphc.tensor as T
from graphc.interop.theano import MODULES, NUMPY_NAMES, run_script, theano_names

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_every_name_it_lists(name: str) -> None:
    with theano_names():
        module = importlib.import_module(name)
        for listed in module.__all__:
            getattr(module, listed)
        for listed in MODULES[name].names:
            getattr(module, listed)


def test_names_mean_graphc() -> None:
    with theano_names():
        import theano
        import theano.tensor as TT
        import theano.tensor.nnet
        from theano import config, function, pp, shared
        from theano.compile import SharedVariable
        from theano.ifelse import ifelse
        from theano.printing import debugprint

        assert function is theano.function is graphc.function
        assert (pp, shared, config, debugprint) == (graphc.pp, graphc.shared, graphc.config, graphc.debugprint)
        assert TT.nnet.softmax is theano.tensor.nnet.softmax is T.nnet.softmax
        assert SharedVariable is graphc.SharedVariable
        assert ifelse is importlib.import_module("graphc.ifelse").ifelse
        assert theano.__version__ == "1.0.5"
        assert theano._asarray([1], dtype="floatX").dtype == graphc.config.floatX
        names: dict[str, object] = {}
        exec("from theano.tensor import *", names)
        assert names["dot"] is T.dot
        assert names["dmatrix"] is T.dmatrix


@pytest.mark.parametrize(
    "statement, message",
    [
        ("import theano.sandbox.rng_mrg", "nothing for Theano's theano.sandbox.rng_mrg"),
        ("import theano.tensor.nnett", "Did you mean theano.tensor.nnet"),
        ("from theano import no_such_thing", "nothing for Theano's theano.no_such_thing"),
        ("import theano; theano.functon", "Did you mean theano.function"),
    ],
)
def test_what_graphc_lacks_is_said(statement: str, message: str) -> None:
    with theano_names(), pytest.raises((ImportError, AttributeError), match=message):
        exec(statement, {})


def test_everything_is_put_back() -> None:
    before = set(vars(np)), list(sys.meta_path)
    real, part = ModuleType("theano"), ModuleType("theano.tensor")
    sys.modules["theano"], sys.modules["theano.tensor"] = real, part
    try:
        with theano_names():
            import theano

            assert theano is not real
            assert np.float is float  # type: ignore[attr-defined]
        assert sys.modules["theano"] is real
        assert sys.modules["theano.tensor"] is part
        assert not [name for name in sys.modules if name.startswith("theano.") and name != "theano.tensor"]
    finally:
        del sys.modules["theano"], sys.modules["theano.tensor"]
    assert (set(vars(np)), list(sys.meta_path)) == before


def test_also_after_an_error() -> None:
    def fail() -> None:
        with theano_names():
            import theano

            raise ZeroDivisionError(theano.__version__)

    with pytest.raises(ZeroDivisionError, match=r"1\.0\.5"):
        fail()
    assert "theano" not in sys.modules
    assert not hasattr(np, "float")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # some are only on their way out
def test_names_of_old_numpy() -> None:
    with theano_names():
        for name in NUMPY_NAMES:
            assert hasattr(np, name)
        numpy: object = np
        assert numpy.product([2, 3]) == 6  # type: ignore[attr-defined]
        assert numpy.asscalar(np.array([5])) == 5  # type: ignore[attr-defined]
        assert numpy.in1d([[1, 2]], [2]).tolist() == [False, True]  # type: ignore[attr-defined]
        assert numpy.asfarray([1]).dtype == float  # type: ignore[attr-defined]
        assert numpy.msort(np.array([2, 1])).tolist() == [1, 2]  # type: ignore[attr-defined]


SCRIPT = """
import sys
import numpy as np
import theano
import theano.tensor as T
x = T.vector("x")
f = theano.function([x], T.sum(x ** 2), name="f")
print(__name__, sys.argv, sys.path[0], np.float, f([1, 2]))
if sys.argv[1] == "exit":
    sys.exit(7)
if sys.argv[1] == "fail":
    T.dot(x, T.matrix("y")) + undefined
"""


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "graphc", "run", str(script), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_run(tmp_path: Path) -> None:
    done = run(tmp_path, "--option", "value")
    script = str(tmp_path / "script.py")
    assert done.stdout == f"__main__ {[script, '--option', 'value']} {tmp_path} <class 'float'> 5.0\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert run(tmp_path, "exit").returncode == 7


def test_traceback_begins_in_the_script(tmp_path: Path) -> None:
    done = run(tmp_path, "fail")
    first, place, line, *_ = done.stderr.splitlines()
    assert done.returncode == 1
    assert first == "Traceback (most recent call last):"
    assert place == f'  File "{tmp_path / "script.py"}", line 12, in <module>'
    assert line.strip() == 'T.dot(x, T.matrix("y")) + undefined'
    assert done.stderr.rstrip().endswith("NameError: name 'undefined' is not defined")


def test_a_script_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_script("no_such_script.py") == 2
    assert "no_such_script.py" in capsys.readouterr().err


def test_syntax_error_and_state_of_the_caller(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "wrong.py"
    script.write_text("x = = 1\n")
    before = list(sys.argv), list(sys.path), sys.modules["__main__"]
    assert run_script(script) == 1
    assert (list(sys.argv), list(sys.path), sys.modules["__main__"]) == before
    assert f'File "{script}", line 1' in capsys.readouterr().err
