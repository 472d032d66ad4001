"""Sums, products, extrema and their relatives along every kind of axis."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc import dtypes
from graphc.compile.function import function
from graphc.configuration import config
from graphc.evaluator import evaluate
from graphc.ops import reduction
from graphc.ops.elementwise import eq, switch
from graphc.ops.reduction import KINDS, Reduction
from tests.ops.arrays import (
    ALL,
    LAYOUTS,
    Array,
    Row,
    check,
    check_row,
    check_shape,
    numbers,
    rng,
    run,
    sample,
    special,
    tensor,
)

REAL = tuple(d for d in ALL if d not in dtypes.COMPLEX)
AXES: list[Any] = [None, 0, -1, 1, (0, 1), (-1, 0), [1], (0, 1, 2), ()]


def as_mean(function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's mean or variance; of integers in floatX."""

    def mean(x: Array, *args: Any, **kwargs: Any) -> Any:
        out = np.asarray(function(x, *args, **kwargs))
        return out.astype(config.floatX) if x.dtype.kind in "biu" else out

    return mean


# name -> NumPy's function, error bound, dtypes, whether differentiable
FUNCTIONS: dict[str, tuple[Callable[..., Any], float, tuple[str, ...], bool]] = {
    "sum": (np.sum, 8, ALL, True),
    "prod": (np.prod, 8, ALL, True),
    "max": (np.max, 0, ALL, True),
    "min": (np.min, 0, ALL, True),
    "any": (np.any, 0, ALL, False),
    "all": (np.all, 0, ALL, False),
    "mean": (as_mean(np.mean), 8, ALL, True),
    "var": (as_mean(np.var), 16, ALL, True),
    "std": (as_mean(np.std), 16, ALL, True),
}
POSITIONS: dict[str, Callable[..., Any]] = {"argmax": np.argmax, "argmin": np.argmin}


def _rows() -> list[Row]:
    rows = []
    x = numbers(2, 3, 4) + 0.5
    for (name, (numpy, ulps, kinds, smooth)), axis, keepdims in itertools.product(
        FUNCTIONS.items(), AXES, (False, True)
    ):
        given = tuple(axis) if isinstance(axis, list) else axis
        if name == "std" and axis == ():
            continue  # the square root of 0 everywhere: no derivative
        rows.append(
            Row(
                f"{name}(axis={axis}, keepdims={keepdims})",
                lambda x, name=name, axis=axis, keepdims=keepdims: getattr(reduction, name)(x, axis, keepdims=keepdims),
                lambda x, numpy=numpy, axis=given, keepdims=keepdims: numpy(x, axis=axis, keepdims=keepdims),
                (x,), ulps, derivable=smooth, dtypes=kinds,
            )
        )  # fmt: skip
    for (name, numpy), axis, keepdims in itertools.product(POSITIONS.items(), (None, 0, 1, -1), (False, True)):
        rows.append(
            Row(
                f"{name}(axis={axis}, keepdims={keepdims})",
                lambda x, name=name, axis=axis, keepdims=keepdims: getattr(reduction, name)(x, axis, keepdims),
                lambda x, numpy=numpy, axis=axis, keepdims=keepdims: numpy(x, axis=axis, keepdims=keepdims),
                (x,), derivable=False,
            )
        )  # fmt: skip
    for L, axis in itertools.product((0, 1, 2, 3, "inf"), (None, 0, -1)):
        rows.append(
            Row(
                f"norm(L={L!r}, axis={axis})",
                lambda x, L=L, axis=axis: reduction.norm(x, L, axis),
                lambda x, L=L, axis=axis: _norm(x, L, axis),
                (x,), 8, derivable=L != 0, dtypes=("float32", "float64", "complex64", "complex128"),
            )
        )  # fmt: skip
    return rows


def _norm(x: Array, L: Any, axis: Any) -> Any:
    order = np.inf if L == "inf" else L
    out = np.linalg.norm(x.ravel() if axis is None else x, order, axis=axis)
    return np.asarray(out).astype(np.int64) if L == 0 else np.asarray(out)


ROWS = _rows()


def test_every_reduction_has_rows() -> None:
    assert set(KINDS) <= set(FUNCTIONS)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_values(row: Row, backend: str, full: bool) -> None:
    """Every dtype, with the layouts in turn."""
    for i, (dtype, layout) in enumerate(itertools.product(row.dtypes, LAYOUTS)):
        if full or i % 8 == 0:  # 8 is prime to the number of layouts: each one has its turn, each dtype one or two
            check_row(row, backend, dtype, layout)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_shapes(row: Row, backend: str) -> None:
    check_shape(row, backend)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("name", [*FUNCTIONS, *POSITIONS])
def test_special_values(name: str, dtype: str, backend: str) -> None:
    """nan, infinities and the ends of a range among other values; each element alone, too."""
    numpy = POSITIONS[name] if name in POSITIONS else FUNCTIONS[name][0]
    ulps = 0 if name in POSITIONS else FUNCTIONS[name][1]
    values = [special(dtype), special(dtype)[::-1][:3], sample(dtype, (1000,), rng(name, dtype)), special(dtype)[:1]]
    if name in ("var", "std"):
        values = [np.where(np.isfinite(v) & (np.abs(v) < 100), v, 3).astype(dtype) for v in values]
    for value in values:
        with np.errstate(all="ignore"):
            want = np.asarray(numpy(value))
            if name in ("var", "std") and dtype == "float16":  # NumPy's sum of squares overflows
                want = np.asarray(numpy(value.astype("float32"))).astype(dtype)
        x = tensor(dtype, 1)
        out = getattr(reduction, name)(x)
        check(evaluate(out, {x: value}), want, ulps)
        absolute = rounding(name, value) if backend == "cupy" and want.dtype.kind == "f" else 0
        check(function([x], out, backend=backend)(value), want, ulps, absolute)


def rounding(name: str, value: Array) -> Any:
    """How many epsilons two sums may differ by that add in different orders.

    Nobody can promise more than a small multiple of ``eps * sum(|x|)``: where terms cancel, that is many units in the
    last place of the sum.  Threads add in another order than NumPy does.
    """
    if name not in ("sum", "mean"):
        return 0
    finite = np.abs(value[np.isfinite(value)].astype("longdouble"))
    return 2 * finite.sum() / (value.size if name == "mean" else 1)


def test_nan_wins_wherever_it_is(backend: str) -> None:
    for position in range(5):
        x = np.arange(5.0)
        x[position] = np.nan
        for name in ("max", "min", "sum", "prod", "mean"):
            assert np.isnan(run(getattr(reduction, name), x, backend=backend)), name
        assert run(reduction.argmax, x, backend=backend) == position
        assert run(reduction.argmin, x, backend=backend) == position


@pytest.mark.parametrize("name", ["sum", "prod", "mean"])
def test_dtype_and_acc_dtype(name: str, backend: str) -> None:
    """`dtype` is the result's, `acc_dtype` that of the accumulation."""
    reduce, numpy = getattr(reduction, name), getattr(np, name)
    x = (np.arange(1, 9) / 8).astype("float32").reshape(2, 4)
    check(run(lambda x: reduce(x, 0, "float64"), x, backend=backend), numpy(x, 0, dtype="float64"), 1)
    check(run(lambda x: reduce(x, dtype="complex64"), x, backend=backend), numpy(x, dtype="complex64"), 1)
    wide = run(lambda x: reduce(x, acc_dtype="float64"), x, backend=backend)
    check(wide, numpy(x.astype("float64")).astype("float32"))
    small = np.full((3, 50), 2, "int8")
    for dtype in ("int8", "int16", "uint8", "float32", "float64"):
        got = run(lambda x, dtype=dtype: reduce(x, 1, dtype), small, backend=backend)
        if not (name == "mean" and dtype in dtypes.INTEGERS):
            check(got, numpy(small, 1, dtype=dtype), 4)
    if name == "sum":
        tenth = np.full(100_000, 0.1, "float32")
        exact = np.float32(np.sum(tenth.astype("float64")))
        check(run(lambda x: reduce(x, acc_dtype="float64"), tenth, backend=backend), exact)
    for wanted in ({"dtype": "float64"}, {"acc_dtype": "float32"}):
        with pytest.raises(TypeError, match="cannot accumulate complex128"):
            reduce(tensor("complex128", 1), **wanted)
    if name != "mean":
        halves = np.array([[1.5, 2.5, 3]])
        check(run(lambda x: reduce(x, 1, "int64"), halves, backend=backend), numpy(halves, 1, dtype="int64"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_empty(name: str, backend: str) -> None:
    """Nothing sums to 0, multiplies to 1, and has no extremum."""
    reduce, numpy = getattr(reduction, name), FUNCTIONS[name][0]
    for shape, axis in (((0,), None), ((0, 3), 0), ((3, 0), 1), ((0, 3), 1), ((2, 0, 3), (0, 1))):
        value = np.zeros(shape)
        try:
            with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
                patch.setattr("warnings.warn", lambda *args, **kwargs: None)
                want = np.asarray(numpy(value, axis=axis))
        except ValueError:
            x = tensor("float64", len(shape))
            with pytest.raises(ValueError, match="zero-size"):
                function([x], reduce(x, axis), backend=backend)(value)
            with pytest.raises(ValueError, match="zero-size"):
                evaluate(reduce(x, axis), {x: value})
            continue
        check(run(lambda x, axis=axis: reduce(x, axis), value, backend=backend), want)
    for position in POSITIONS:
        x = tensor("float64", 1)
        with pytest.raises(ValueError, match="empty"):
            function([x], getattr(reduction, position)(x), backend=backend)(np.zeros(0))


@pytest.mark.parametrize("name", [*FUNCTIONS, *POSITIONS])
def test_a_scalar_is_its_own_reduction(name: str, backend: str) -> None:
    numpy = POSITIONS[name] if name in POSITIONS else FUNCTIONS[name][0]
    for dtype in ("float32", "int8", "bool"):
        value = np.array(1, dtype)
        check(run(getattr(reduction, name), value, backend=backend), np.asarray(numpy(value)))
        check(
            run(lambda x: getattr(reduction, name)(x, keepdims=True), value, backend=backend), np.asarray(numpy(value))
        )


@pytest.mark.parametrize("ddof", [0, 1, 2])
def test_ddof(ddof: int, backend: str) -> None:
    x = numbers(4, 5)
    for name in ("var", "std"):
        for axis in (None, 0, 1):
            got = run(lambda x, name=name, axis=axis: getattr(reduction, name)(x, axis, ddof), x, backend=backend)
            check(got, getattr(np, name)(x, axis=axis, ddof=ddof), 8)


def test_max_and_argmax(backend: str) -> None:
    x = numbers(3, 4)
    top, position = run(lambda x: reduction.max_and_argmax(x, 1), x, backend=backend)
    check(top, x.max(1))
    check(position, x.argmax(1))


def test_argmax_takes_the_first_of_equals(backend: str) -> None:
    x = np.array([[1.0, 3, 3], [2, 2, 1]])
    check(run(lambda x: reduction.argmax(x, 1), x, backend=backend), np.array([1, 0]))
    check(run(lambda x: reduction.argmin(x, 0), x, backend=backend), np.array([0, 1, 1]))
    check(run(lambda x: reduction.argmax(x, (0, 1)), x, backend=backend), np.array(1))


SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0)


def _searched(dtype: str, columns: int) -> list[np.ndarray[Any, Any]]:
    """Matrices in whose rows and columns the extremum is hard to find: ties, nan, and nothing but what is least."""
    random = np.random.default_rng(columns)
    shape = (7, columns)
    if dtype.startswith("float"):
        made = [random.normal(size=shape), random.choice(SPECIAL, shape), random.choice(SPECIAL[1:], shape)]
        made += [np.full(shape, number) for number in SPECIAL]
    elif dtype == "bool":
        made = [random.integers(0, 2, shape), random.integers(0, 9, shape) == 0, np.zeros(shape), np.ones(shape)]
    else:
        limits = np.iinfo(dtype)
        extremes = np.array([limits.min, limits.max, 0, 1], dtype)
        made = [random.choice(extremes, shape), random.integers(0, 3, shape)]
        made += [np.full(shape, number) for number in extremes]
    return [x.astype(dtype) for x in made]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "uint8", "uint64", "bool"])
def test_places_of_extrema(dtype: str, backend: str) -> None:
    """For rows around the lengths of vectors, along any axis, of what lies in memory otherwise, and of expressions."""
    x = tensor(dtype, 2)
    for name, numpy in POSITIONS.items():
        place = getattr(reduction, name)
        builds: dict[str, Callable[[Any, Any], Any]] = {
            "rows": lambda place, x: place(x, 1),
            "columns": lambda place, x: place(x, 0, keepdims=True),
            "all": lambda place, x: place(x),
            "transposed": lambda place, x: place(x.T, 1, keepdims=True),
            "all of the transposed": lambda place, x: place(x.T),
            "expression": lambda place, x: place(switch(eq(x, x), x, x), 1),
        }
        wanted: dict[str, Callable[[Any, Any], Any]] = {
            "rows": lambda numpy, x: numpy(x, 1),
            "columns": lambda numpy, x: numpy(x, 0, keepdims=True),
            "all": lambda numpy, x: numpy(x),
            "transposed": lambda numpy, x: numpy(x.T, 1, keepdims=True),
            "all of the transposed": lambda numpy, x: numpy(x.T),
            "expression": lambda numpy, x: numpy(x, 1),
        }
        f = function([x], {label: build(place, x) for label, build in builds.items()}, backend=backend)
        for columns in (1, 2, 7, 8, 9, 17, 63, 64, 65, 130, 515):
            for value in _searched(dtype, columns):
                for label, found in f(value).items():
                    np.testing.assert_array_equal(
                        found, wanted[label](numpy, value), err_msg=f"{name} of {label}, {columns} columns:\n{value}"
                    )


def test_a_place_beside_the_extremum_and_what_follows_from_it(backend: str) -> None:
    x = numbers(6, 70)
    x[2, 5] = np.nan
    top, position = run(lambda x: reduction.max_and_argmax(x, 1, keepdims=True), x, backend=backend)
    check(top, x.max(1, keepdims=True))
    check(position, x.argmax(1, keepdims=True))
    check(run(lambda x: reduction.argmax(x, 1).argmin() + reduction.argmin(x, 1).sum(), x, backend=backend),
          np.asarray(x.argmax(1).argmin() + x.argmin(1).sum()))  # fmt: skip
    check(run(lambda x: reduction.argmax(x[:1], 1), x, backend=backend), x[:1].argmax(1))
    check(run(lambda x: reduction.argmax(x[:, :1], 1), x, backend=backend), x[:, :1].argmax(1))
    check(run(lambda x: reduction.argmax(reduction.max(x, 1)), x, backend=backend), np.asarray(x.max(1).argmax()))


@pytest.mark.parametrize("name", POSITIONS)
def test_there_is_no_place_in_nothing(name: str, backend: str) -> None:
    x = tensor("float64", 2)
    for axis, empty, fine in ((0, (0, 3), (3, 0)), (1, (3, 0), (0, 3)), (None, (3, 0), (1, 1))):
        f = function([x], getattr(reduction, name)(x, axis), backend=backend)
        with pytest.raises(ValueError, match=r"empty|zero-size"):
            f(np.zeros(empty))
        check(f(np.zeros(fine)), getattr(np, name)(np.zeros(fine), axis))


def test_methods_are_the_functions() -> None:
    x = tensor("float64", 3)
    for name in (*FUNCTIONS, *POSITIONS):
        method, plain = getattr(x, name)(axis=1, keepdims=True), getattr(reduction, name)(x, axis=1, keepdims=True)
        assert method.type == plain.type
        assert method.owner.op == plain.owner.op
    assert x.norm(2).type == reduction.norm(x, 2).type


def test_wrong_axes_are_refused() -> None:
    x = tensor("float64", 2)
    for name in (*FUNCTIONS, *POSITIONS):
        reduce = getattr(reduction, name)
        with pytest.raises(ValueError, match="axis 2 is out of bounds for 2 axes"):
            reduce(x, 2)
        with pytest.raises(ValueError, match="axis -3 is out of bounds"):
            reduce(x, -3)
        with pytest.raises(TypeError, match="axis must be ints"):
            reduce(x, 0.5)
    with pytest.raises(ValueError, match="names one axis twice"):
        reduction.sum(x, (0, -2))
    with pytest.raises(ValueError, match="takes one axis"):
        reduction.argmax(tensor("float64", 3), (0, 1))
    with pytest.raises(TypeError, match="order"):
        reduction.norm(x, None)


def test_equal_reductions_are_computed_once(backend: str) -> None:
    x = tensor("float64", 2)
    f = function([x], [reduction.sum(x, 0), reduction.sum(x, -2)], backend=backend)
    assert sum(isinstance(node.op, Reduction) for node in f.graph.toposort()) == 1
