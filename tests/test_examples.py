"""Every script in examples/ runs and prints what it promises."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))

# Script -> patterns that its output has, in this order.
PRINTS: dict[str, tuple[str, ...]] = {
    "lazy_ifelse": (r"ifelse: 300 in", r"switch: 300 in", r"first element, or 0: 7\.0 0\.0"),
    "logic_gates": (
        r"0 AND 0 is 0\.00\n0 AND 1 is 0\.02\n1 AND 0 is 0\.02\n1 AND 1 is 0\.98",
        r"0 OR 0 is 0\.02\n0 OR 1 is 0\.99\n1 OR 0 is 0\.99\n1 OR 1 is 1\.00",
        r"cost 0\.089",
    ),
    "look_inside": (
        r"pp +Sum\(\(log\(sigmoid\(x\)\) \* y\)\)",
        r"math +sum\(log\(sigmoid\(x\)\)\*y\)",
        r"latex +\\sum",
        r"Sum \[id A\] ''",
        r"softplus[^\n]* \[id [A-Z]\] ''   \d",
        r"rule \d+ \[stable\] log\(sigmoid\(x\)\) ->",
        r"schedule",
        r"def f\(x, y\):",
        r"picture: True",
    ),
    "mexican_hat": (r"step   0: weight 0\.500000, error 12\.260483", r"last weight 1\.421586, next weight 1\.421599"),
    "minibatch_givens": (r"epoch 4: mean cost 0\.0001", r"weights \[ 2\.  -1\.   0\.5\]"),
    "moons_mlp": (r"loss before step 0: 0\.7366", r"loss before step 4000: 0\.080", r"accuracy 0\.97"),
    "theano_script": (r"\(TensorConstant\{1\} / \(TensorConstant\{1\} \+ exp\(", r"cost 0\.2644 after 200", r"y 0\.99"),
    "threshold_neuron": (r"0 AND 0 = 0\n0 AND 1 = 0\n1 AND 0 = 0\n1 AND 1 = 1",),
}


def test_every_script_is_in_the_table() -> None:
    assert [script.stem for script in SCRIPTS] == sorted(PRINTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example(script: Path) -> None:
    source = script.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), "an example says what it shows"
    runner = ["-m", "graphc", "run", str(script), "200"] if "import theano\n" in source else [str(script)]
    done = subprocess.run(
        [sys.executable, *runner],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    pattern = ".*".join(PRINTS[script.stem])
    assert re.search(pattern, done.stdout, re.DOTALL), done.stdout


def environment() -> dict[str, str]:
    """With this graphc first on the path, also where another one is installed."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
