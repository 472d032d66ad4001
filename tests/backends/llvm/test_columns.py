"""Sums of columns: in registers and in memory, they are added up in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import function
from graphc.backends.llvm.columns import FEW_COLUMNS, FEW_ELEMENTS
from graphc.backends.llvm.target import host

DTYPES = ("float64", "float32", "int32", "int8", "bool")


def in_order(rows: Any, reduction: np.ufunc, dtype: str, start: Any) -> Any:
    """The reduction of rows, one after another."""
    total = np.full(rows.shape[1], start, dtype)
    for row in rows:
        total = reduction(total, row, dtype=dtype)
    return total


@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_are_reduced_in_order(dtype: str) -> None:
    x = T.matrix("x", dtype)
    f = function([x], [x.sum(axis=0), x.max(axis=0)], backend="llvm")
    lanes = host().lanes(1)
    widths = (0, 1, 3, 8, 9, lanes, FEW_COLUMNS * lanes, FEW_COLUMNS * lanes + 1)
    for rows in (1, 2, 5, 70):
        for width in widths:
            values = np.random.default_rng(rows).normal(scale=50, size=(rows, width)).astype(dtype)
            total, largest = f(values)
            np.testing.assert_array_equal(total, in_order(values, np.add, total.dtype.name, 0))
            np.testing.assert_array_equal(largest, values.max(axis=0))


def test_more_rows_than_the_cache_holds() -> None:
    x, d = T.dmatrix("x"), T.dvector("d")
    f = function([x, d], T.dot(x.T, d), backend="llvm")
    for width in (1, 5, 8, 12, 40):
        rows = FEW_ELEMENTS // width + 3
        values, weights = np.ones((rows, width)), np.arange(float(rows))
        assert f(values, weights).tolist() == [rows * (rows - 1) / 2] * width


def test_nan_stays_in_its_column() -> None:
    x = T.dmatrix("x")
    f = function([x], [x.sum(axis=0), x.min(axis=0)], backend="llvm")
    values = np.ones((4, 3))
    values[2, 1] = np.nan
    for result in f(values):
        assert np.isnan(result).tolist() == [False, True, False]


def test_without_rows_sums_are_zero() -> None:
    x = T.dmatrix("x")
    f = function([x], x.sum(axis=0), backend="llvm")
    assert f(np.ones((0, 5))).tolist() == [0] * 5
