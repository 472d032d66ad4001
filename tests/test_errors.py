"""How error messages are put together."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import errors
from graphc.errors import MAX_LINES, Site, describe, explain, with_context

SITE = Site("program.py", 7, "main")

DESCRIBED: list[tuple[Any, str]] = [
    (np.ones((2, 3)), "ndarray of float64, shape (2, 3)"),
    (np.array([1, 2]), "ndarray of int64, shape (2,), value [1 2]"),
    (np.array([[1.5], [2.5]]), "ndarray of float64, shape (2, 1), value [[1.5] [2.5]]"),
    (np.float32(0.5), "float32 of float32, shape (), value 0.5"),
    (np.zeros((0, 3)), "ndarray of float64, shape (0, 3), value []"),
    (3, "int 3"),
    ("text", "str 'text'"),
    (None, "NoneType None"),
    ([1] * 100, "list " + "[" + "1, " * 18 + "1," + "..."[:3]),
    (T.dvector("v"), "Variable v"),
]


@pytest.mark.parametrize("value, text", DESCRIBED, ids=lambda v: str(v)[:15])
def test_describe(value: Any, text: str) -> None:
    found = describe(value)
    assert "\n" not in found
    if isinstance(value, list):
        assert found.startswith("list [1, 1, 1")
        assert found.endswith("...")
        assert len(found) < 80
    else:
        assert found == text


def test_explain() -> None:
    assert explain("add: sizes differ", ["x: vector", "y: matrix"], SITE, "x.T\nor y.T") == (
        "add: sizes differ\n"
        "    x: vector\n"
        "    y: matrix\n"
        '  built at File "program.py", line 7, in main\n'
        "  try: x.T\n"
        "       or y.T"
    )
    assert explain("alone") == "alone"


@pytest.mark.parametrize("operands", [0, 10, 11, 12, 13, 14, 500])
@pytest.mark.parametrize("hints", [0, 1, 3, 40])
@pytest.mark.parametrize("heads", [1, 2, 40])
def test_at_most_15_lines(operands: int, hints: int, heads: int) -> None:
    text = explain(
        "\n".join(f"head {i}" for i in range(heads)),
        [f"operand {i}" for i in range(operands)],
        SITE,
        "\n".join(f"hint {i}" for i in range(hints)) or None,
    )
    lines = text.splitlines()
    assert len(lines) <= MAX_LINES
    assert lines[0] == "head 0"
    if heads + operands + hints + 1 <= MAX_LINES:
        assert len(lines) == heads + operands + hints + 1
    elif heads + hints < 10:
        assert any("more" in line for line in lines), "what was left out is counted"
        assert any("program.py" in line for line in lines), "the line of the user is never left out"


class Own(Exception):
    """One argument."""


class Two(ValueError):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code


class Keyword(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Strict(TypeError):
    def __init__(self, message: str) -> None:
        if "\n" in message:
            raise ValueError("one line only")
        super().__init__(message)


def with_attribute() -> Own:
    error = Own("mine")
    error.note = "kept"  # type: ignore[attr-defined]
    return error


ERRORS: list[Exception] = [
    ValueError("mine"), TypeError("mine"), IndexError("mine"), KeyError("mine"), ZeroDivisionError("mine"),
    ValueError(), Own("mine"), Two(3, "mine"), Keyword(code=4), Strict("mine"), with_attribute(),
    AssertionError("mine"), OSError(2, "mine"), FileNotFoundError(2, "mine", "file"), StopIteration(5), MemoryError(),
    RecursionError("mine"), UnicodeDecodeError("utf8", b"x", 0, 1, "mine"), np.linalg.LinAlgError("mine"),
    NotImplementedError(), np.exceptions.AxisError(3, 2), errors.ShapeError("mine"),
]  # fmt: skip

MESSAGE = "op: what happened\n    x: vector\n  built at here"


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_with_context_keeps_the_kind(error: Exception) -> None:
    told = with_context(error, MESSAGE)
    assert isinstance(told, type(error))
    assert type(told).__name__ == type(error).__name__
    assert str(told) == MESSAGE
    for name, value in vars(error).items():
        assert getattr(told, name) == value
    if isinstance(error, OSError | Two):
        assert told.args == error.args
        assert getattr(told, "errno", None) == getattr(error, "errno", None)
    assert str(error) != MESSAGE, "the original is as it was"


@pytest.mark.parametrize(
    "error", [e for e in ERRORS if not isinstance(e, Keyword | UnicodeDecodeError)], ids=lambda e: type(e).__name__
)
def test_explained_errors_pickle(error: Exception) -> None:
    """They come back from other processes."""
    twin = pickle.loads(pickle.dumps(with_context(error, MESSAGE)))
    assert isinstance(twin, type(error))
    assert str(twin) == MESSAGE


def test_site() -> None:
    assert str(SITE) == 'File "program.py", line 7, in main'
