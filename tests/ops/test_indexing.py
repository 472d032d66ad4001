"""Indexing, and writing to an index: NumPy's rules, one row for each."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from graphc import tensor as T
from graphc.compile.function import function
from graphc.evaluator import evaluate
from graphc.graph.types import TensorType
from graphc.graph.variable import constant
from graphc.ops.bounds import FORGIVEN, within
from graphc.ops.indexing import AdvancedSubtensor, Subtensor
from graphc.schedule.schedule import Compute
from tests.ops.arrays import ALL, LAYOUTS, Array, Row, check, check_row, check_shape, numbers, run, tensor

x1, x2, x3, x4 = numbers(6), numbers(3, 4), numbers(2, 3, 4), numbers(2, 3, 4, 5)
_ = slice(None)

STARTS, STOPS, STEPS = (None, 1, -2, 9, -9), (None, 4, -1, 9, -9), (None, 2, -1, -3)

# An index of numbers alone, for arrays of 1, 2, 3, 4 axes.
BASIC: list[tuple[Array, Any]] = [
    (x1, 0), (x1, 5), (x1, -1), (x1, -6), (x1, np.int8(2)), (x1, Ellipsis), (x1, ()), (x1, None), (x1, _),
    *((x1, slice(*bounds)) for bounds in itertools.product(STARTS, STOPS, STEPS)),
    (x1, slice(3, 3)), (x1, slice(4, 2)), (x1, slice(2, 4, -1)), (x1, slice(0, None, 4)), (x1, slice(5, None, -2)),
    (x2, 1), (x2, (1, 2)), (x2, (-1, -1)), (x2, (_, 0)), (x2, (slice(1, None), slice(None, -1))),
    (x2, (0, slice(1, 3))),
    (x2, (Ellipsis, 0)), (x2, (0, Ellipsis)), (x2, (Ellipsis, None)), (x2, (None, 0)), (x2, (_, None, 1)),
    (x2, (None, _, None)), (x2, (slice(None, None, -1), slice(None, None, 2))), (x2, (slice(5, 0, -2), -1)),
    (x3, (1, Ellipsis, 2)), (x3, (Ellipsis, slice(None, None, -1))), (x3, (_, 1)), (x3, (0, 1, 2)),
    (x3, (0, None, 1, None, 2)),
    (x3, (slice(-1, None), Ellipsis)), (x4, (0, _, -1)), (x4, (_, 1, None, Ellipsis, slice(None, None, 3))),
]  # fmt: skip

i0, i1, i2 = np.array(1), np.array([1, 0, -1, 1]), np.array([[0, 1], [-1, 0]])
mask1, mask2 = x1 > 0, x2 > 0

# An index that gathers.
GATHER: list[tuple[Array, Any]] = [
    (x1, i1), (x1, i2), (x1, [0, 5, 0]), (x1, np.array([], int)), (x1, []), (x1, i1.astype("int8")),
    (x1, np.array([1, 0], "uint64")), (x2, i1[:3]), (x2, i2), (x2, (i1, i1)), (x2, (i2, 0)), (x2, (0, i1)),
    (x2, (_, i1)),
    (x2, (slice(1, None), i2)), (x2, (i1, slice(None, None, 2))), (x2, (i2, [0, 1])), (x2, (i1[:, None], i1[:2])),
    (x2, (None, i1)), (x2, (i1, None)), (x2, (i1, None, i1)), (x2, (Ellipsis, i1)),
    (x3, (i2, _, i1[:2])), (x3, (_, i1, i1)), (x3, (i2, 1)), (x3, (0, _, i1)), (x3, (0, i1)), (x3, (1, i1, _)),
    (x3, (_, i1[:2], slice(1, 3))), (x3, (i2, slice(1, None), 0)), (x3, (_, 0, i1)), (x3, (Ellipsis, i2)),
    (x3, (i2, Ellipsis, i2)), (x3, (None, i2, 1)), (x3, (i2, _, None, i2)),
    (x4, (_, i1[:2], _, i1[:2])), (x4, (0, _, i1, _)), (x4, (_, 1, i2, _)), (x4, (i1[:2], 1, _, 2)),
    (x4, (_, i1, i1, i1)),
]  # fmt: skip

MASKS: list[tuple[Array, Any]] = [
    (x1, mask1), (x1, mask1 & False), (x2, mask2), (x2, mask2[0:3, 0]), (x2, (_, mask2[0])), (x2, (0, mask2[0])),
    (x2, (mask2[:, 0], 1)), (x2, (mask2[:, 0], slice(1, 3))), (x3, mask2[:2, :3]), (x3, (_, mask2)), (x3, (1, mask2)),
    (x3, (mask2[:2, 0], _, 0)), (x3, (Ellipsis, mask2[0])), (x2, (mask2[:, 0], None)), (x2, [True, False, True]),
]  # fmt: skip


def label(index: Any) -> str:
    if isinstance(index, tuple):
        return f"({', '.join(map(label, index))})"
    if isinstance(index, slice):
        return ":".join("" if b is None else str(b) for b in (index.start, index.stop, index.step))
    if isinstance(index, np.ndarray):
        return f"{index.dtype}{list(index.shape)}"
    return "..." if index is Ellipsis else str(index)


def _rows(table: list[tuple[Array, Any]], known: bool = True) -> list[Row]:
    return [
        Row(f"x{x.ndim}[{label(i)}]", lambda x, i=i: x[i], lambda x, i=i: x[i], (x,), known=known) for x, i in table
    ]


# Arrays and masks that are symbolic, too.
SYMBOLIC = [
    Row("x[i]", lambda x, i: x[i], lambda x, i: x[i], (x1, i1)),
    Row("x[i, j]", lambda x, i, j: x[i, j], lambda x, i, j: x[i, j], (x2, i1, i1)),
    Row("x[i, i]", lambda x, i: x[i, i], lambda x, i: x[i, i], (x2, i1)),
    Row("x[k]", lambda x, k: x[k], lambda x, k: x[int(k)], (x2, i0)),
    Row("x[k, i]", lambda x, k, i: x[k, i], lambda x, k, i: x[k, i], (x2, i0, i1)),
    Row("x[i, :, k]", lambda x, i, k: x[i, :, k], lambda x, i, k: x[i, :, k], (x3, i2, i0)),
    Row("x[k:m]", lambda x, k, m: x[k:m], lambda x, k, m: x[k:m], (x1, 1, 4)),
    Row("x[k:]", lambda x, k: x[k:], lambda x, k: x[k:], (x1, -2)),
    Row("x[:k]", lambda x, k: x[:k], lambda x, k: x[:k], (x1, -2)),
    Row("x[:k], beyond", lambda x, k: x[:k], lambda x, k: x[:k], (x1, 99)),
    Row("x[k:], before", lambda x, k: x[k:], lambda x, k: x[k:], (x1, -99)),
    Row("x[k:m], empty", lambda x, k, m: x[k:m], lambda x, k, m: x[k:m], (x1, 4, 1)),
    Row("x[k:m:-1]", lambda x, k, m: x[k:m:-1], lambda x, k, m: x[k:m:-1], (x1, 4, 1)),
    Row("x[k:m:2]", lambda x, k, m: x[k:m:2], lambda x, k, m: x[k:m:2], (x1, -5, -1)),
    Row("x[k::-2]", lambda x, k: x[k::-2], lambda x, k: x[k::-2], (x1, 99)),
    Row("x[n - 1]", lambda x: x[x.shape[0] - 1], lambda x: x[-1], (x2,)),
    Row("x[1:n]", lambda x: x[1 : x.shape[0]], lambda x: x[1:], (x2,)),
    Row("x[k:k + 2]", lambda x, k: x[k : k + 2], lambda x, k: x[k : k + 2], (x1, 3)),
    Row("x[i][j]", lambda x, i: x[i][1:, ::-1], lambda x, i: x[i][1:, ::-1], (x2, i1)),
    Row("x[mask]", lambda x, m: x[m], lambda x, m: x[m], (x2, mask2), known=False),
    Row("x[x > 0]", lambda x: x[x > 0], lambda x: x[x > 0], (x2,), known=False, dtypes=("float64", "int32")),
    Row("x[mask][::-1]", lambda x, m: x[m][::-1] * 2, lambda x, m: x[m][::-1] * 2, (x1, mask1), known=False,
        dtypes=("float64", "int32")),
    Row("stack[1]", lambda x, y: T.stack([x, y])[1], lambda x, y: np.stack([x, y])[1], (x1, x1[::-1])),
    Row("stack[1, 0]", lambda x, y: T.stack([x, y])[1, 0], lambda x, y: np.stack([x, y])[1, 0], (x1, x1[::-1])),
    Row("stack[-1]", lambda x, y: T.stack([x, y])[-1], lambda x, y: np.stack([x, y])[-1], (x1, x1[::-1])),
]  # fmt: skip

READS = [*_rows(BASIC), *_rows(GATHER), *_rows(MASKS, known=False), *SYMBOLIC]


def _write(verb: str, index: Any) -> Any:
    """Of NumPy: a copy of x with x[index] set, or with y added there (repeated indices add up)."""

    def write(x: Array, y: Any) -> Array:
        out: Array = x.copy()
        if verb == "set":
            out[index] = y
        else:
            np.add.at(out, index, y)
        return out

    return write


def _writes() -> list[Row]:
    rows = []
    for (x, index), verb in itertools.product([*BASIC, *GATHER, *MASKS], ("set", "inc")):
        entries = index if isinstance(index, tuple) else (index,)
        if any(entry is None for entry in entries):
            continue  # new axes are made below the index
        function = T.set_subtensor if verb == "set" else T.inc_subtensor
        target = x[index]
        values = numbers(*np.shape(target), seed=7) if np.ndim(target) else np.float64(2.5)
        for kind, y in (("", values), (" by a scalar", np.float64(1.5))):
            rows.append(
                Row(
                    f"{verb}(x{x.ndim}[{label(index)}]){kind}",
                    lambda x, y, i=index, function=function: function(x[i], y),
                    _write(verb, index),
                    (x, y),
                )
            )
    return rows


WRITES = [
    *_writes(),
    Row("set a column", lambda x, y: T.set_subtensor(x[:, 1:3], y), _write("set", (_, slice(1, 3))),
        (x2, numbers(3, 1))),
    Row("inc a row", lambda x, y: T.inc_subtensor(x[1:], y), _write("inc", (slice(1, None),)), (x2, numbers(4))),
    Row("set(x[k])", lambda x, y, k: T.set_subtensor(x[k], y), lambda x, y, k: _write("set", int(k))(x, y),
        (x2, numbers(4), -1)),
    Row("set(x[k:])", lambda x, y, k: T.set_subtensor(x[k:], y), lambda x, y, k: _write("set", slice(k, None))(x, y),
        (x2, numbers(2, 4), 1)),
    Row("inc(x[i])", lambda x, y, i: T.inc_subtensor(x[i], y), lambda x, y, i: _write("inc", i)(x, y),
        (x1, numbers(4), i1)),
    Row("set(x[mask])", lambda x, m: T.set_subtensor(x[m], 0), lambda x, m: _write("set", m)(x, 0), (x2, mask2),
        dtypes=ALL[1:]),
    Row("x[i].set", lambda x, y: x[1:3].set(y), _write("set", slice(1, 3)), (x1, numbers(2))),
    Row("x[i].inc", lambda x, y: x[[0, 0, 1]].inc(y), _write("inc", [0, 0, 1]), (x1, numbers(3))),
    Row("set(x.T[i])", lambda x, y: T.set_subtensor(x.T[1], y), lambda x, y: _write("set", 1)(x.T, y),
        (x2, numbers(3))),
    Row("set(x[i, None])", lambda x, y: T.set_subtensor(x[:2].dimshuffle(0, "x", 1), y[:, None]),
        _write("set", slice(0, 2)), (x2, numbers(2, 4))),
    Row("inc twice", lambda x, y: T.inc_subtensor(T.inc_subtensor(x[:3], y)[1:], 1),
        lambda x, y: _write("inc", slice(1, None))(_write("inc", slice(0, 3))(x, y), 1),
        (x1, numbers(3)), dtypes=ALL[1:]),
]  # fmt: skip

ROWS = [*READS, *WRITES]


@pytest.mark.parametrize("row", READS, ids=str)
def test_reading(row: Row, backend: str, full: bool) -> None:
    """Some dtypes and layouts in turn; all with --full."""
    for i, (dtype, layout) in enumerate(itertools.product(row.dtypes, LAYOUTS)):
        if full or i % 29 == len(row.name) % 29:
            check_row(row, backend, dtype, layout)
    check_row(row, backend)


@pytest.mark.parametrize("row", WRITES, ids=str)
def test_writing(row: Row, backend: str, full: bool) -> None:
    for i, (dtype, layout) in enumerate(itertools.product(row.dtypes, LAYOUTS)):
        if full or i % 29 == len(row.name) % 29:
            check_row(row, backend, dtype, layout)
    check_row(row, backend)


def test_every_dtype_and_layout_occurs() -> None:
    for rows in (READS, WRITES):
        seen = {
            pair
            for row in rows
            if row.dtypes == ALL
            for i, pair in enumerate(itertools.product(ALL, LAYOUTS))
            if i % 29 == len(row.name) % 29
        }
        assert {dtype for dtype, _layout in seen} == set(ALL)
        assert {layout for _dtype, layout in seen} == set(LAYOUTS)


@pytest.mark.parametrize("row", [row for row in ROWS if row.known], ids=str)
def test_shapes(row: Row, backend: str) -> None:
    symbolic = any(np.ndim(v) == 0 and np.asarray(v).dtype.kind == "i" for v in row.values)
    if symbolic:  # the shape of x[k:m] depends on values, so that fixed sizes do not tell
        inputs = [tensor(np.asarray(v).dtype.name, np.ndim(v)) for v in row.values]
        f = function(inputs, row.ours(*inputs).shape, backend=backend, on_unused_input="ignore")
        check(f(*row.values), np.array(np.shape(row.numpy(*row.values)), np.int64))
        assert not any(isinstance(s, Compute) and isinstance(s.node.op, Subtensor) for s in f.schedule.steps)
        return
    check_shape(row, backend)


@pytest.mark.parametrize("row", [row for row in READS if not row.known], ids=str)
def test_the_shape_of_a_masked_array_is_known_by_running(row: Row, backend: str) -> None:
    got, shape = run(lambda *inputs: [row.ours(*inputs), row.ours(*inputs).shape], *row.values, backend=backend)
    assert shape.tolist() == list(got.shape)


# ---- views and gathers ----


def test_numbers_make_views_and_arrays_gather() -> None:
    x = tensor("float64", 2)
    assert type(x[1:, 0].owner.op) is Subtensor
    assert type(x[[0, 1]].owner.op) is AdvancedSubtensor
    assert type(x[x > 0].owner.op) is AdvancedSubtensor
    assert x.shape[0].owner.op != x[0].owner.op  # the size itself, not an element of a vector


def test_one_element_is_a_scalar(backend: str) -> None:
    x = tensor("float64", 2)
    assert x[0, 0].ndim == 0
    check(function([x], x[1, 2], backend=backend)(x2), np.asarray(x2[1, 2]))


def test_the_sizes_that_are_known() -> None:
    x = TensorType("float64", shape=(5, None))()
    assert x[1:4].type.shape == (3, None)
    assert x[::-2].type.shape == (3, None)
    assert x[0].type.shape == (None,)
    assert x[[1, 2]].type.shape == (2, None)
    assert x[:, [1, 2]].type.shape == (5, 2)
    assert x[None].type.shape == (1, 5, None)


# ---- repeated indices ----


def test_repeated_indices_add_up_and_the_last_one_stays(backend: str) -> None:
    x, i, y = np.zeros(3), np.array([1, 1, 1, 2]), np.array([1.0, 2, 4, 8])
    check(run(lambda x, i, y: T.inc_subtensor(x[i], y), x, i, y, backend=backend), np.array([0.0, 7, 8]))
    check(run(lambda x, i, y: T.set_subtensor(x[i], y), x, i, y, backend=backend), np.array([0.0, 4, 8]))
    check(run(lambda x, i: T.inc_subtensor(x[i], 1), x, i, backend=backend), np.array([0.0, 3, 1]))
    x, rows, columns = np.zeros((2, 2)), np.array([0, 0, 1]), np.array([1, 1, 0])
    got = run(lambda x, i, j: T.inc_subtensor(x[i, j], 1), x, rows, columns, backend=backend)
    check(got, np.array([[0.0, 2], [1, 0]]))
    got = run(lambda x, i: T.inc_subtensor(x[:, i], 1), np.zeros((2, 3)), np.array([2, 2, 0]), backend=backend)
    check(got, np.array([[1.0, 0, 2], [1, 0, 2]]))
    got = run(lambda x, i: T.inc_subtensor(x[i, 1:], 1), np.zeros((2, 3)), np.array([1, 1]), backend=backend)
    check(got, np.array([[0.0, 0, 0], [0, 2, 2]]))


def test_set_instead_of_inc(backend: str) -> None:
    got = run(lambda x: T.inc_subtensor(x[1:3], 9, set_instead_of_inc=True), x1, backend=backend)
    check(got, _write("set", slice(1, 3))(x1, 9))


def test_writing_leaves_the_original_alone(backend: str) -> None:
    x = tensor("float64", 1, "x")
    value = x1.copy()
    new, old = function([x], [T.set_subtensor(x[0], 99), x * 1], backend=backend)(value)
    check(value, x1)
    check(old, x1)
    assert new[0] == 99


# ---- dtypes ----


def test_written_values_are_cast_up_only() -> None:
    x, y = tensor("int32", 1), tensor("float64", 1)
    with pytest.raises(TypeError, match="cannot put float64 into int32"):
        T.set_subtensor(x[:2], y)
    assert T.set_subtensor(y[:2], x).dtype == "float64"
    assert T.set_subtensor(tensor("float32", 1)[0], 0.5).dtype == "float32"
    with pytest.raises(OverflowError, match="300 is out of bounds for uint8"):
        T.set_subtensor(tensor("uint8", 1)[0], 300)
    with pytest.raises(TypeError, match="cannot put"):
        T.set_subtensor(x[0], 0.5)


# ---- what is refused, and when ----


@pytest.mark.parametrize(
    "kind, match, index",
    [
        (IndexError, "too many indices: 3 for 2 axes", (0, 0, 0)),
        (IndexError, "only one Ellipsis", (Ellipsis, Ellipsis)),
        (TypeError, "cannot index with float 1.5", 1.5),
        (TypeError, "cannot index with str", "a"),
        (TypeError, "a lone True or False", True),
        (TypeError, "must be integers or bools, got float64", np.array([0.0])),
        (ValueError, "slice step cannot be zero", slice(None, None, 0)),
        (TypeError, "bounds of a slice", slice(1.5, None)),
        (TypeError, "must be integers", [0.5]),
    ],
)
def test_what_is_no_index(kind: type[Exception], match: str, index: Any) -> None:
    with pytest.raises(kind, match=match):
        tensor("float64", 2)[index]


OUTSIDE: list[tuple[Array, Any]] = [
    (x1, 6), (x1, -7), (x2, (0, 4)), (x2, (-4, 0)), (x1, np.array([0, 6])), (x1, np.array([-7])), (x2, (i1, 4)),
    (x1, mask1[:5]), (x2, mask2[:, :3]),
]  # fmt: skip


@pytest.mark.parametrize("x, index", OUTSIDE, ids=[label(i) for _x, i in OUTSIDE])
def test_out_of_range_is_an_index_error(x: Array, index: Any, backend: str) -> None:
    """Never clamped: when reading, setting or incrementing, with known and with symbolic indices."""
    symbol = tensor("float64", x.ndim, "x")
    given = index if isinstance(index, tuple) else (index,)
    arrays = [np.asarray(i) for i in given]
    symbols = [tensor(a.dtype.name, a.ndim) for a in arrays]
    for entry, extra_inputs, extra in ((index, [], []), (tuple(symbols), symbols, arrays)):
        for out in (symbol[entry], T.set_subtensor(symbol[entry], 0), T.inc_subtensor(symbol[entry], 1)):
            with pytest.raises(IndexError, match=r"(out of bounds|did not match|too many)"):
                function([symbol, *extra_inputs], out, backend=backend)(x, *extra)
            with pytest.raises(IndexError):
                evaluate(out, dict(zip([symbol, *extra_inputs], [x, *extra], strict=True)))


def test_a_fixed_size_tells_an_index_error_when_the_node_is_built() -> None:
    x = T.stack([tensor("float64", 0), tensor("float64", 0)])
    with pytest.raises(IndexError, match="2 is out of bounds"):
        x[2]
    assert len(list(x)) == 2


def test_writing_needs_an_index() -> None:
    x = tensor("float64", 1)
    with pytest.raises(TypeError, match="must be an index of a variable"):
        T.set_subtensor(x, 1)
    with pytest.raises(ValueError, match="2 axes do not fit into 1"):
        T.set_subtensor(x[:2], tensor("float64", 2))
    with pytest.raises(TypeError, match="must be an index of a variable"):
        T.inc_subtensor(constant(3.0), 1)


def test_written_values_must_fit(backend: str) -> None:
    x, y = tensor("float64", 1), tensor("float64", 1)
    with pytest.raises(ValueError, match=r"(do not agree|could not broadcast)"):
        function([x, y], T.set_subtensor(x[:3], y), backend=backend)(x1, np.zeros(2))
    check(
        function([x, y], T.set_subtensor(x[:3], y), backend=backend)(np.ones(4), np.zeros(1)), np.array([0.0, 0, 0, 1])
    )


def test_the_sizes_of_gathered_arrays_must_agree(backend: str) -> None:
    x, i, j = tensor("float64", 2), tensor("int64", 1), tensor("int64", 1)
    f = function([x, i, j], x[i, j], backend=backend)
    check(f(x2, np.array([0, 1]), np.array([2])), x2[[0, 1], 2])
    with pytest.raises((IndexError, ValueError), match=r"(do not agree|could not be broadcast)"):
        f(x2, np.array([0, 1]), np.array([0, 1, 2]))


@pytest.mark.parametrize("columns", [0, 3])
@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_indices_are_checked_though_nothing_is_read(reduce: str, columns: int, backend: str) -> None:
    """Rows that are only added up, or compared, need not exist if they have no columns; the index must be right."""
    x, i = T.dmatrix("x"), T.lvector("i")
    f = function([x, i], getattr(T, reduce)(x[i], axis=0), backend=backend)
    assert f(np.ones((5, columns)), [1, 4]).shape == (columns,)
    with pytest.raises(IndexError, match="7 is out of bounds"):
        f(np.ones((5, columns)), [1, 7])


_wrong = np.array([1, 7])


@pytest.mark.parametrize(
    "shape, index, wrong",
    [
        ((5, 0), (_wrong, _), "index 7 is out of bounds for axis 0 with size 5"),
        ((5, 0), (-_wrong, _), "index -7 is out of bounds for axis 0 with size 5"),
        ((0, 5), (_, _wrong), "index 7 is out of bounds for axis 1 with size 5"),
        ((5, 3), (_wrong, slice(1, 1)), "index 7 is out of bounds for axis 0 with size 5"),
        ((0, 3), (_wrong, _), "index 1 is out of bounds for axis 0 with size 0"),
        ((2, 2, 5, 0), (np.ones((2, 2), bool), np.array([9]), _), "index 9 is out of bounds for axis 2 with size 5"),
        ((5, 0), (np.array([-5, 4]), _), None),
        ((5, 0), (np.array([], int), _), None),
        ((5, 3), (np.array([], int), np.array([9])), None),
        ((0, 3), (slice(0), _), None),
    ],
)
def test_every_numpy_reports_what_the_newest_one_does(
    shape: tuple[int, ...], index: tuple[Any, ...], wrong: str | None
) -> None:
    x = np.ones(shape)
    if wrong is None:
        assert within(x, index) is x
        assert x[index].size == 0
    else:
        with pytest.raises(IndexError, match=wrong):
            within(x, index)
        if not FORGIVEN:
            with pytest.raises(IndexError, match=wrong):
                x[index]
