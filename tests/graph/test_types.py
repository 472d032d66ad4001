"""TensorType: how types are written, compared and printed, and which sizes they know."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import TensorType, config
from graphc.dtypes import LETTERS

KINDS = [
    ((), "scalar"), ((False,), "vector"), ((True, False), "row"), ((False, True), "col"), ((False, False), "matrix"),
    ((True, True), "matrix"), ((True,), "vector"), ((False,) * 3, "tensor3"), ((False,) * 7, "tensor7"),
    ((False,) * 9, "tensor9"),
]  # fmt: skip


@pytest.mark.parametrize("broadcastable, kind", KINDS)
def test_kind(broadcastable: tuple[bool, ...], kind: str) -> None:
    made = TensorType("float64", broadcastable)
    assert made.kind == kind
    assert made.ndim == len(broadcastable)
    assert made.broadcastable == broadcastable


REPR = [
    (TensorType("float64", ()), "TensorType(float64, scalar)"),
    (TensorType("int8", (False, False)), "TensorType(int8, matrix)"),
    (TensorType("float32", (True, False)), "TensorType(float32, row)"),
    (TensorType("float32", (False, True)), "TensorType(float32, col)"),
    (TensorType("bool", shape=(None, 3)), "TensorType(bool, (?, 3))"),
    (TensorType("bool", shape=(3,)), "TensorType(bool, (3,))"),
    (TensorType("bool", (True, True)), "TensorType(bool, (1, 1))"),
    (TensorType("complex64", shape=(1, 5)), "TensorType(complex64, (1, 5))"),
]


@pytest.mark.parametrize("made, text", REPR)
def test_repr(made: TensorType, text: str) -> None:
    assert repr(made) == text
    assert pickle.loads(pickle.dumps(made)) == made


def test_equality() -> None:
    assert TensorType("float64", (False, True)) == TensorType(np.dtype("f8"), shape=(None, 1))
    assert hash(TensorType("float64", (True,))) == hash(TensorType(float, shape=(1,)))
    assert TensorType("float64", (False,)) != TensorType("float32", (False,))
    assert TensorType("float64", (False,)) != TensorType("float64", (True,))
    assert TensorType("float64", (False,)) != TensorType("float64", (False, False))
    assert TensorType("float64", ()) == TensorType("float64", (), weak=True)


def test_accepts() -> None:
    matrix, row = TensorType("float64", (False, False)), TensorType("float64", (True, False))
    assert matrix.accepts(row)
    assert not row.accepts(matrix)
    assert not matrix.accepts(TensorType("float32", (False, False)))
    assert not matrix.accepts(TensorType("float64", (False,)))


def test_calling_a_type_makes_a_variable() -> None:
    kind = TensorType("int32", (False,))
    x, y = kind("x"), kind()
    assert (x.name, y.name) == ("x", None)
    assert x.type is kind
    again = x.type("z")
    assert again.type == x.type
    assert again is not x
    assert x.clone().name == "x"
    assert x.clone("w").name == "w"
    assert kind.clone(dtype="int8") == TensorType("int8", (False,))
    assert kind.clone(shape=(3,)).shape == (3,)


def test_floatX() -> None:
    with config.change_flags(floatX="float32"):
        assert TensorType("floatX", ()).dtype == "float32"
        assert T.matrix().dtype == "float32"
        assert T.dmatrix().dtype == "float64"
    assert TensorType("floatX", ()).dtype == config.floatX


def test_constructors() -> None:
    kinds = {
        "scalar": (), "vector": (False,), "row": (True, False), "col": (False, True), "matrix": (False, False),
        **{f"tensor{n}": (False,) * n for n in range(3, 8)},
    }  # fmt: skip
    for kind, flags in kinds.items():
        for letter, dtype in {**LETTERS, "": config.floatX}.items():
            x = getattr(T, letter + kind)("x")
            assert (x.dtype, x.broadcastable, x.name) == (dtype, flags, "x")
            plural = letter + ("matrices" if kind == "matrix" else kind + "s")
            assert [v.name for v in getattr(T, plural)("a", "b")] == ["a", "b"]
            assert [v.type for v in getattr(T, plural)(3)] == [x.type] * 3
    assert [v.name for v in T.dscalars("xyz")] == ["x", "y", "z"]
    assert T.matrix("m", dtype="int8").dtype == "int8"
    assert T.tensor("int8", (False, True), "t").broadcastable == (False, True)


# As a program calls it that no type checker has seen.
made: Any = TensorType

BAD: list[tuple[Any, str]] = [
    (lambda: TensorType("float64"), "either broadcastable or shape"),
    (lambda: TensorType("float64", (), ()), "either broadcastable or shape"),
    (lambda: TensorType("float65", ()), "no dtype"),
    (lambda: TensorType("object", ()), "no dtype 'object'"),
    (lambda: TensorType(None, ()), "no dtype"),
    (lambda: TensorType("float128", ()), "no dtype"),
    (lambda: TensorType("U3", ()), "no dtype"),
    (lambda: TensorType("float64", shape=(-1,)), "negative"),
    (lambda: made("float64", shape=("n",)), "size"),
    (lambda: made("float64", shape=(2.5,)), "size"),
    (lambda: made("float64", 3), "one entry an axis"),
    (lambda: made("float64", shape=3), "one entry an axis"),
    (lambda: T.tensor("float64"), "needs broadcastable"),
    (lambda: T.tensor(), "needs broadcastable"),
]


@pytest.mark.parametrize("make, message", BAD)
def test_types_that_do_not_exist(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()
