"""The loop IR's statements, each in a kernel of a few lines."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.kernels import loopir
from graphc.kernels.interpret import Refused, interpret
from graphc.kernels.loopir import (
    Accumulate,
    Array,
    Axis,
    Carry,
    Extent,
    Kernel,
    Let,
    Load,
    Loop,
    Output,
    Position,
    Store,
)
from graphc.ops.elementwise import add, lt, mul

N = loopir.Size()
I = Axis((N,))  # noqa: E741


def value(dtype: str = "float64") -> loopir.Value:
    return loopir.Value(dtype)


def test_a_loop_carries_a_reduction_and_of_nothing_its_neutral_element() -> None:
    x, s, t, u, out = Array("float64", ((N,),)), value(), value(), value(), value()
    body = (Loop(I, (Load(t, x, (I,)), Let(u, mul, (t, s))), (Carry(out, "sum", u),)), Output(s2 := value(), out))
    kernel = Kernel((N,), (s,), (x,), (s2,), body)
    assert interpret(kernel, [3], [2.0], [np.array([1.0, 2.0, 4.0])]) == [14.0]
    assert interpret(kernel, [0], [2.0], [np.zeros(0)]) == [0.0]
    for kind, neutral in (("prod", 1), ("max", -np.inf), ("min", np.inf), ("dot", 0)):
        carried = Loop(I, (Load(t, x, (I,)),), (Carry(out, kind, t),))
        assert interpret(Kernel((N,), (), (x,), (s2,), (carried, Output(s2, out))), [0], [], [np.zeros(0)]) == [neutral]


def test_a_loop_carries_the_place_of_an_extremum() -> None:
    x, t, at, out, s = Array("float64", ((N,),)), value(), value("int64"), value("int64"), value("int64")
    for kind, numpy in (("argmax", np.argmax), ("argmin", np.argmin)):
        loop = Loop(I, (Load(t, x, (I,)), Position(at, I)), (Carry(out, kind, t, at),))
        kernel = Kernel((N,), (), (x,), (s,), (loop, Output(s, out)))
        assert f"t2 = {kind} t0 at t1:" in kernel.text
        for row in ([1, 2, 2, 1], [1.0, np.nan, 3, np.nan], [-np.inf] * 3, [np.inf] * 3, [0.0, -0.0, 0.0]):
            for backwards in (False, True):
                assert interpret(kernel, [len(row)], [], [np.array(row, float)], backwards) == [numpy(row)], row
        assert interpret(kernel, [0], [], [np.zeros(0)]) == [0]


def test_indices_are_axes_numbers_values_and_shifted_axes() -> None:
    x, at, y = Array("float64", ((N,), (3,))), Array("int64", ((N,),)), Array("float64", ((N,),))
    i, t, one, shifted = value("int64"), value(), value("int64"), value()
    two = Axis((2,))
    body = (
        Loop(I, (Load(i, at, (I,)), Load(t, x, (I, i)), Store(y, (I,), t))),
        loopir.Number(one, 1),
        Loop(two, (Load(shifted, x, (0, loopir.Shifted(two, one))), Accumulate("sum", y, (0,), shifted))),
    )
    kernel = Kernel((N,), (), (x, at, y), (), body, frozenset({y}))
    values = np.arange(6.0).reshape(2, 3)
    for backwards in (False, True):
        made = np.full(2, np.nan)
        interpret(kernel, [2], [], [values, np.array([2, 0]), made], backwards)
        assert made.tolist() == [2 + 1 + 2, 3]
    with pytest.raises(AssertionError, match="index"):
        interpret(kernel, [2], [], [values, np.array([3, 0]), np.zeros(2)])


def test_positions_extents_and_what_is_required() -> None:
    y, at, n, fine = Array("int64", ((N,),)), value("int64"), value("int64"), value("bool")
    limit, total = value("int64"), value("int64")
    body = (
        Extent(n, N),
        Let(fine, lt, (n, limit)),
        loopir.Require(fine),
        Loop(I, (Position(at, I), Let(total, add, (at, n)), Store(y, (I,), total))),
    )
    kernel = Kernel((N,), (limit,), (y,), (), body, frozenset({y}))
    made = np.zeros(3, np.int64)
    interpret(kernel, [3], [4], [made])
    assert made.tolist() == [3, 4, 5]
    with pytest.raises(Refused):
        interpret(kernel, [3], [3], [made])


def test_a_loop_runs_over_a_product_of_sizes_and_arrays_are_seen_as_the_kernel_sees_them() -> None:
    both = Axis((N, 2))
    x, t, out, parameter = Array("float32", ((N, 2),)), value("float32"), value("float32"), value("float32")
    loop = Loop(both, (Load(t, x, (both,)),), (Carry(out, "max", t),))
    kernel = Kernel((N,), (), (x,), (parameter,), (loop, Output(parameter, out)))
    assert interpret(kernel, [3], [], [np.arange(6, dtype=np.float32).reshape(3, 2)]) == [5]
    with pytest.raises(AssertionError, match="C order"):
        interpret(kernel, [3], [], [np.zeros((3, 2), np.float32, order="F")])
    with pytest.raises(AssertionError, match="float64"):
        interpret(kernel, [3], [], [np.zeros((3, 2))])
