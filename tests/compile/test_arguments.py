"""Which values an argument may have: dtypes, downcasts, lists, numbers, strict inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import In, config, function, shared
from graphc.dtypes import ALL

HERE = Path(__file__).name

LOSS = "without risking loss of precision"

# dtype of the input, value, and whether it is accepted for allow_input_downcast None, True, False,
# first with floatX=float64, then with float32 ("y" yes, "-" TypeError).
SCALARS: list[tuple[str, Any, str, str]] = [
    ("float64", 0.1, "yyy", "yyy"),
    ("float64", 3, "yyy", "yyy"),
    ("float64", True, "yyy", "yyy"),
    ("float64", np.float32(0.1), "yyy", "yyy"),
    ("float64", np.int64(3), "yyy", "yyy"),
    ("float64", np.array(2, "uint8"), "yyy", "yyy"),
    ("float64", 1j, "-y-", "-y-"),
    ("float64", np.array(1j), "-y-", "-y-"),
    ("float32", 0.1, "-y-", "yy-"),
    ("float32", 0.5, "yyy", "yyy"),
    ("float32", float("nan"), "yyy", "yyy"),
    ("float32", float("inf"), "yyy", "yyy"),
    ("float32", 1e300, "-y-", "yy-"),
    ("float32", 3, "yyy", "yyy"),
    ("float32", 2**24 + 1, "-y-", "-y-"),
    ("float32", np.float64(0.1), "-y-", "-y-"),
    ("float32", np.float64(0.5), "yyy", "yyy"),
    ("float32", np.array(0.5), "-y-", "-y-"),
    ("float32", np.float32(0.1), "yyy", "yyy"),
    ("float32", np.int64(3), "yyy", "yyy"),
    ("float32", np.array(3), "-y-", "-y-"),
    ("float32", np.array(3, "int16"), "yyy", "yyy"),
    ("float16", 0.1, "-y-", "-y-"),
    ("int64", 3, "yyy", "yyy"),
    ("int64", 3.0, "yyy", "yyy"),
    ("int64", 3.5, "-y-", "-y-"),
    ("int64", float("nan"), "-y-", "-y-"),
    ("int64", True, "yyy", "yyy"),
    ("int64", np.array(3.0), "-y-", "-y-"),
    ("int64", np.array(3, "int32"), "yyy", "yyy"),
    ("int64", 2**63, "-y-", "-y-"),
    ("int32", 3, "yyy", "yyy"),
    ("int32", 2**31, "-y-", "-y-"),
    ("int32", np.int64(3), "yyy", "yyy"),
    ("int32", np.int64(2**40), "-y-", "-y-"),
    ("int32", np.array(3), "-y-", "-y-"),
    ("int8", -129, "-y-", "-y-"),
    ("uint8", 255, "yyy", "yyy"),
    ("uint8", -1, "-y-", "-y-"),
    ("uint8", 256, "-y-", "-y-"),
    ("uint64", 2**63, "yyy", "yyy"),
    ("bool", True, "yyy", "yyy"),
    ("bool", np.True_, "yyy", "yyy"),
    ("bool", 1, "yyy", "yyy"),
    ("bool", 2, "-y-", "-y-"),
    ("complex128", 1j, "yyy", "yyy"),
    ("complex128", 0.5, "yyy", "yyy"),
    ("complex64", 1j, "yyy", "yyy"),
    ("complex64", 0.1j, "-y-", "-y-"),
    ("complex64", np.array(1j), "-y-", "-y-"),
]


@pytest.mark.parametrize("floatX", ["float64", "float32"])
@pytest.mark.parametrize("dtype, value, with64, with32", SCALARS)
def test_scalar_arguments(dtype: str, value: Any, with64: str, with32: str, floatX: str) -> None:
    x = T.tensor(dtype, ())
    flags = with64 if floatX == "float64" else with32
    with config.change_flags(floatX=floatX):
        for allow, accepted in zip((None, True, False), flags, strict=True):
            f = function([x], x, allow_input_downcast=allow)
            g = function([In(x, allow_downcast=allow)], x)
            for h in (f, g):
                if accepted == "-":
                    with pytest.raises(TypeError, match=LOSS) as caught:
                        h(value)
                    assert HERE in str(caught.value)
                    continue
                with np.errstate(all="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # allow_downcast=True of 1j, nan
                    expected = np.asarray(value).astype(dtype)
                    out = h(value)
                assert out.dtype == dtype
                np.testing.assert_array_equal(out, expected)


LISTS: list[tuple[str, Any, str]] = [
    ("float64", [1, 2], "y"),
    ("float64", [1.5, 2], "y"),
    ("float64", (1, 2), "y"),
    ("float64", [np.float32(1), 2], "y"),
    ("float64", [np.array(1.0), np.array(2.0)], "y"),
    ("float64", [True, False], "y"),
    ("float64", [], "y"),
    ("float64", range(3), "y"),
    ("float64", np.ones(2).data, "y"),
    ("float64", np.ma.array([1.0, 2.0]), "y"),
    ("float64", np.array([1.0, 2.0], ">f8"), "y"),
    ("float64", np.arange(6.0)[::2], "y"),
    ("float64", ["a", "b"], "-"),
    ("float64", [None, 1.0], "-"),
    ("float64", [[1], [2, 3]], "-"),
    ("float64", {1: 2}, "-"),
    ("float64", {1.0, 2.0}, "-"),
    ("float64", "12", "-"),
    ("float64", b"12", "-"),
    ("float64", None, "-"),
    ("float64", object(), "-"),
    ("float64", np.array(["a"]), "-"),
    ("float64", np.array([1.0], object), "-"),
    ("float64", np.array(["2020-01-01"], "datetime64[D]"), "-"),
    ("float64", 1.0, "-"),
    ("float64", [[1.0]], "-"),
    ("float64", np.ones((1, 1)), "-"),
    ("int64", [1, 2], "y"),
    ("int64", [1.0, 2.0], "y"),
    ("int64", [1.5], "-"),
    ("int64", [], "y"),
    ("int64", np.array([], "float64"), "-"),
    ("int8", [127, -128], "y"),
    ("int8", [128], "-"),
    ("bool", [True, False], "y"),
    ("bool", [0, 1], "y"),
    ("bool", [0, 2], "-"),
    ("complex64", [1, 1j], "y"),
    ("float32", [0.5, 1], "y"),
    ("float32", [0.1], "-"),
]  # fmt: skip


@pytest.mark.parametrize("dtype, value, accepted", LISTS, ids=range(len(LISTS)))
def test_vector_arguments(dtype: str, value: Any, accepted: str) -> None:
    x = T.tensor(dtype, (False,), name="x")
    s = shared(0, "s")
    f = function([x], x, updates={s: s + 1})
    if accepted == "-":
        with pytest.raises(TypeError, match=rf"bad argument for input 0 \(x\): (.|\n)*{HERE}") as caught:
            f(value)
        assert len(str(caught.value).splitlines()) <= 15
        assert s.get_value() == 0
        return
    out = f(value)
    assert type(out) is np.ndarray
    assert out.dtype == dtype
    assert out.dtype.isnative
    np.testing.assert_array_equal(out, np.asarray(value).astype(dtype))


def test_nested_lists() -> None:
    m, t = T.dmatrix("m"), T.ltensor3("t")
    assert function([m], m.sum())([[1, 2], [3, 4.5]]) == 10.5
    assert function([m], m.sum(0))(([1, 2], (3, 4))).tolist() == [4.0, 6.0]
    assert function([t], t.sum())([[[1, 2]], [[3, 4]]]) == 10
    with pytest.raises(TypeError, match="expected matrix"):
        function([m], m)([1, 2])
    assert function([m], m.sum())(np.empty((0, 3)).tolist() or np.empty((0, 3))) == 0.0


def test_floatX_is_that_of_the_call_for_lists_too() -> None:
    with config.change_flags(floatX="float32"):
        v, m = T.vector("v"), T.matrix("m")
        f = function([v, m], T.dot(m, v))
        out = f([0.1, 0.2], [[0.3, 0.4]])
        assert out.dtype == np.float32
        with pytest.raises(TypeError, match=LOSS):
            f(np.array([0.1, 0.2]), [[0.3, 0.4]])
        assert function([v], v, allow_input_downcast=True)(np.array([0.1])).dtype == np.float32


STRICT: dict[str, tuple[Any, bool]] = {
    "array of this dtype": (np.ones(2), True),
    "array of another": (np.ones(2, "float32"), False),
    "ints": (np.ones(2, int), False),
    "list": ([1.0, 2.0], False),
    "number": (1.0, False),
    "other rank": (np.ones((2, 2)), False),
}


@pytest.mark.parametrize("case", STRICT)
def test_strict(case: str) -> None:
    value, accepted = STRICT[case]
    x = T.dvector("x")
    f = function([In(x, strict=True)], x + 1)
    if accepted:
        assert f(value).tolist() == [2.0, 2.0]
    else:
        with pytest.raises(TypeError, match=r"strict=True|expected vector"):
            f(value)


def test_strict_default() -> None:
    x = T.dvector("x")
    with pytest.raises(TypeError, match=r"the value for x: expected an array of float64.*strict=True"):
        In(x, value=[1.0], strict=True)
    assert function([In(x, value=np.ones(1), strict=True)], x)().tolist() == [1.0]


def test_In_overrides_the_function() -> None:
    x, y = T.fscalars("x", "y")
    f = function([In(x, allow_downcast=False), y], x + y, allow_input_downcast=True)
    assert f(0.5, 0.1) == np.float32(0.5) + np.float32(0.1)
    with pytest.raises(TypeError, match=r"input 0 \(x\)"):
        f(0.1, 0.1)


@pytest.mark.parametrize("dtype", ALL)
def test_every_dtype_passes_through(dtype: str) -> None:
    for ndim in range(4):
        x = T.tensor(dtype, (False,) * ndim)
        value = np.arange(2**ndim).reshape((2,) * ndim).astype(dtype)
        out = function([x], x)(value)
        assert out.dtype == dtype
        np.testing.assert_array_equal(out, value)


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1, ::-1][::-1, ::-1],
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "read-only": lambda a: np.lib.stride_tricks.as_strided(a, writeable=False),
    "big-endian": lambda a: a.astype(">f8"),
    "unaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view("f8").reshape(a.shape),
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_arguments(layout: str) -> None:
    x = T.dmatrix("x")
    f = function([x], [T.tanh(x) * 2 + x, T.dot(x, x.T), x.sum(0), x])
    value = LAYOUTS[layout](np.arange(12.0).reshape(3, 4))
    plain = np.array(np.asarray(value), "f8", order="C")
    for got, expected in zip(f(value), f(plain), strict=True):
        assert type(got) is np.ndarray
        np.testing.assert_allclose(got, expected)


def test_shared_set_value_follows_the_same_rules() -> None:
    s = shared(np.zeros(2, "float32"), "s")
    s.set_value([1, 2])
    with pytest.raises(TypeError, match=LOSS):
        s.set_value([0.1, 0.2])
    with pytest.raises(TypeError, match=LOSS):
        s.set_value(np.array([0.1, 0.2]))
    loose = shared(np.zeros(2, "float32"), allow_downcast=True)
    loose.set_value(np.array([0.1, 0.2]))
    assert loose.get_value().dtype == np.float32
    assert s.get_value().tolist() == [1.0, 2.0]
