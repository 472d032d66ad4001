"""Dtypes: their names, and NumPy's promotion with weak Python numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import config, dtypes

NAMES: list[tuple[Any, str]] = [
    *((name, name) for name in dtypes.ALL),
    *((np.dtype(name), name) for name in dtypes.ALL),
    *((np.dtype(name).type, name) for name in dtypes.ALL),
    (float, "float64"), (int, "int64"), (bool, "bool"), (complex, "complex128"), ("f4", "float32"), ("<f8", "float64"),
    (">f8", "float64"), ("d", "float64"), ("half", "float16"), ("single", "float32"), ("double", "float64"),
]  # fmt: skip


@pytest.mark.parametrize("given, name", NAMES)
def test_check(given: Any, name: str) -> None:
    assert dtypes.check(given) == name


NONE = ["float65", "", "object", object, "U3", str, "M8[s]", None, 3, [], "i4,f4", "V8", "floatx", object()]


@pytest.mark.parametrize("given", NONE, ids=range(len(NONE)))
def test_check_refuses(given: Any) -> None:
    with pytest.raises(TypeError, match=r"no dtype.* has bool, int8"):
        dtypes.check(given)


def test_floatX() -> None:
    for name in dtypes.FLOATS:
        with config.change_flags(floatX=name):
            assert dtypes.check("floatX") == name
            assert dtypes.of_number(1.0) == name
    assert dtypes.check("floatX") == config.floatX


def test_of_number() -> None:
    assert [dtypes.of_number(n) for n in (True, 1, -1, 2**62, 2**63, 1.5, 1j)] == [
        "bool", "int64", "int64", "int64", "uint64", config.floatX, "complex128",
    ]  # fmt: skip
    with config.change_flags(floatX="float32"):
        assert dtypes.of_number(1j) == "complex64"


def test_kinds_partition_the_dtypes() -> None:
    for name in dtypes.ALL:
        kind = np.dtype(name).kind
        assert dtypes.is_float(name) == (kind == "f")
        assert dtypes.is_complex(name) == (kind == "c")
        assert dtypes.is_discrete(name) == (kind in "biu")
        assert dtypes.is_inexact(name) != dtypes.is_discrete(name)


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "pow": lambda x, y: x**y,
    "floordiv": lambda x, y: x // y,
    "mod": lambda x, y: x % y,
    "less": lambda x, y: x < y,
    "maximum": np.maximum,
    "and": lambda x, y: x & y,
    "arctan2": np.arctan2,
}  # fmt: skip


def outcome(function: Callable[[Any, Any], Any], x: Any, y: Any) -> str:
    """The dtype of the result, or "TypeError"."""
    try:
        with np.errstate(all="ignore"):
            return str(function(x, y).dtype)
    except TypeError:
        return "TypeError"


@pytest.mark.parametrize("name", BINARY)
def test_promotion_is_numpys(name: str) -> None:
    """Every pair of dtypes, and every dtype with the Python numbers on either side."""
    function = BINARY[name]
    for a, b in itertools.product(dtypes.ALL, repeat=2):
        x, y = T.tensor(a, (False,)), T.tensor(b, (False,))
        assert outcome(function, x, y) == outcome(function, np.ones(1, a), np.ones(1, b)), (a, b)
    for a, number in itertools.product(dtypes.ALL, [1, 1.5, 1j]):
        x, value = T.tensor(a, (False,)), np.ones(1, a)
        assert outcome(function, x, number) == outcome(function, value, number), (a, number)
        assert outcome(function, number, x) == outcome(function, number, value), (number, a)


@pytest.mark.parametrize("floatX", ["float32", "float64"])
def test_true_division_of_integers_gives_floatX(floatX: str) -> None:
    """The one exception to NumPy, which Theano programs rely on."""
    with config.change_flags(floatX=floatX):
        for a, b in itertools.product(dtypes.ALL, repeat=2):
            got = outcome(lambda x, y: x / y, T.tensor(a, ()), T.tensor(b, ()))
            if dtypes.is_discrete(a) and dtypes.is_discrete(b):
                assert got == floatX
            else:
                assert got == outcome(lambda x, y: x / y, np.ones(1, a), np.ones(1, b))


def test_numpy_scalars_are_not_weak() -> None:
    x = T.fvector("x")
    assert (x * 2.0).dtype == "float32"
    assert (x * np.float64(2)).dtype == "float64"
    assert (x * np.array(2.0)).dtype == "float64"
    assert (T.ivector() + 1).dtype == "int32"
    assert (T.ivector() + np.int64(1)).dtype == "int64"


def test_weak_results_stay_weak() -> None:
    x = T.fvector("x")
    assert (x * (T.as_tensor_variable(2.0) + 1)).dtype == "float64", "a constant that was asked for is not weak"
    assert (x * -(2.0)).dtype == "float32"


def test_promote() -> None:
    assert dtypes.promote((("float32", False), ("int64", True))) == "float32"
    assert dtypes.promote((("float32", False), ("int64", False))) == "float64"
    assert dtypes.promote((("int64", True), ("float64", True))) == "float64"
    assert dtypes.promote((("int8", False), ("float64", True))) == "float64"
