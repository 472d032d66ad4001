"""The notebooks run, print the numbers of the articles, and their saved outputs are those of today."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Notebook -> what it prints or shows.
PRINTS: dict[str, tuple[str, ...]] = {
    "000_theano_intro": (
        "array(6.)",
        "array([4., 4., 4.])",
        "* (x ** (TensorConstant{7} - TensorConstant{1})))",
        "0.0845462594395677",
        "The optimized value of the weight is: 1.41592163386",
        "at sqrt(2): -2.75854342227616",
        "The optimized value of the weight is: 1.42158635053442",
        "after one more update: 1.421598514571952",
        "0 AND 0 = 0\n0 AND 1 = 0\n1 AND 0 = 0\n1 AND 1 = 1",
        "0 AND 0 is 0.00\n0 AND 1 is 0.02\n1 AND 0 is 0.02\n1 AND 1 is 0.98",
        "w: [7.78360937 7.78360935]\nb: -11.8472692943",
        "1 AND 1 is 0.98    1 OR 1 is 1.00",
    ),
    "002_perceptron_mlp": (
        "float32 int32",
        "array([[2., 2.],\n       [4., 4.]])",
        "[id A] ''   ",
        "= tanh(",
        "Loss after iteration 0: 0.7",
        "Loss after iteration 1000: 0.29",
        "Loss after iteration 5000: 0.22",
        "Loss after iteration 10000: 0.12",
        "Loss after iteration 19000: 0.0",
    ),
}


def printed(notebook: Any) -> str:
    """All text in the outputs."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            texts.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return "".join(text.rstrip("\n") + "\n" for text in texts)


def rounded(text: str) -> str:
    """With numbers of 15 and more digits cut, whose last ones differ between machines."""
    return re.sub(r"(\.\d{9})\d+", r"\1", text)


def test_every_notebook_is_in_the_table() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(PRINTS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_saved(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    assert path.stat().st_size < 200_000
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert str(Path.home()) not in path.read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")  # of the kernel's machinery
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, 4)
    saved = printed(notebook)
    resources = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    now = printed(notebook)
    for text in PRINTS[path.stem]:
        assert text in now
    # Code that is generated may change without the notebooks being saved again.
    numbers = r"-?\d+\.\d{2,}"
    for line_saved, line_now in zip(
        (line for line in rounded(saved).splitlines() if "iteration" in line or " is " in line),
        (line for line in rounded(now).splitlines() if "iteration" in line or " is " in line),
        strict=True,
    ):
        assert re.sub(numbers, "#", line_saved) == re.sub(numbers, "#", line_now)
        pairs = zip(re.findall(numbers, line_saved), re.findall(numbers, line_now), strict=True)
        assert all(abs(float(a) - float(b)) < 1e-5 for a, b in pairs)
