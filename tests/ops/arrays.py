"""What the tables of this room share: values with their special cases, memory layouts, and how results are compared."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.compile.function import function
from graphc.evaluator import evaluate
from graphc.graph.types import TensorType
from graphc.graph.variable import Variable
from graphc.ops.shape import ShapeOf
from graphc.schedule.schedule import Compute

Array = np.ndarray[Any, Any]


def rng(*seed: Any) -> np.random.Generator:
    """Random numbers that depend on the names of a test case only."""
    return np.random.default_rng([ord(letter) for letter in repr(seed)])


# ---- values ----


def special(dtype: str) -> Array:
    """The values of a dtype at which something may go wrong."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        return np.array([False, True])
    if kind in "iu":
        limits = np.iinfo(dtype)
        return np.array([0, 1, 2, 3, 7, limits.max, limits.max - 1, limits.min, limits.min + 1], dtype)
    real = np.dtype(dtype).type(0).real.dtype
    limits = np.finfo(real)
    tiny, small, huge = limits.smallest_subnormal, limits.smallest_normal, limits.max
    halves = [0.5, 1, 1.5, 2, 2.5, 3]
    parts = np.array([0, *halves, tiny, small, huge, np.inf, np.nan], real)
    parts = np.concatenate([parts, -parts[:-1]])
    if kind == "f":
        return parts
    few = np.array([0.0, -0.0, 1, -1.5, np.inf, -np.inf, np.nan], real)
    grid = np.empty((len(few), len(few)), dtype)
    grid.real, grid.imag = few[:, None], few
    return grid.ravel()


def sample(dtype: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Random values of which about every third is special."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        return np.asarray(random.integers(0, 2, shape), bool)
    if kind in "iu":
        limits = np.iinfo(dtype)
        small = random.integers(max(limits.min, -9), 10, shape)
        values = np.where(random.random(shape) < 0.5, small, random.integers(limits.min, limits.max, shape, dtype))
    else:
        values = random.normal(size=shape) * 10.0 ** random.integers(-3, 3, shape)
        if kind == "c":
            values = values + 1j * random.normal(size=shape)
    chosen = random.choice(special(dtype), shape)
    with np.errstate(all="ignore"):
        return np.asarray(np.where(random.random(shape) < 0.3, chosen, np.asarray(values).astype(dtype)), dtype)


# ---- layouts: the same values (but for `broadcast`) elsewhere in memory ----


def _strided(x: Array) -> Array:
    wide = np.zeros([2 * n for n in x.shape], x.dtype)
    view = wide[(slice(None, None, 2),) * x.ndim + (...,)]
    view[...] = x
    return view


def _negative(x: Array) -> Array:
    backwards = (slice(None, None, -1),) * x.ndim + (...,)
    return np.asarray(x[backwards].copy()[backwards])


def _broadcast(x: Array) -> Array:
    return np.asarray(np.broadcast_to(x[:1], x.shape)) if x.ndim and x.size else x


def _unaligned(x: Array) -> Array:
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:]
    view: Array = raw.view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": lambda x: np.array(x, order="C"),
    "transposed": lambda x: np.array(x, order="F"),
    "strided": _strided,
    "negative": _negative,
    "broadcast": _broadcast,
    "unaligned": _unaligned,
    "byteswapped": lambda x: x.astype(x.dtype.newbyteorder()),
}

# One shape for each of three operands.
SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "scalar": ((),) * 3,
    "empty": ((0,),) * 3,
    "one": ((1,),) * 3,
    "vector": ((7,),) * 3,
    "matrix": ((3, 4),) * 3,
    "broadcasting": ((1, 5), (4, 1), (4, 5)),
    "tensor": ((2, 3, 4),) * 3,
    "long": ((1000,),) * 3,
}


# ---- running ----


def tensor(dtype: str, ndim: int, name: str | None = None) -> Variable:
    """A symbolic array whose sizes are not known."""
    return TensorType(dtype, shape=(None,) * ndim)(name)


def like(value: Any, name: str | None = None) -> Variable:
    """A symbolic array of the dtype and rank of `value`."""
    value = np.asarray(value)
    return tensor(value.dtype.name, value.ndim, name)


def compute(
    outputs: Sequence[Variable], given: Sequence[tuple[Variable, Any]], backend: str
) -> Iterator[tuple[str, list[Array]]]:
    """The results of the compiled function and of `evaluate`, each with its name.  A warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = function([x for x, _ in given], list(outputs), backend=backend, on_unused_input="ignore")
        yield backend, compiled(*[value for _, value in given])
        yield "evaluate", evaluate(list(outputs), dict(given))


def run(build: Callable[..., Any], *values: Any, backend: str) -> Any:
    """The value of ``build(*variables)`` on both ways, which must agree to the last bit."""
    values = tuple(np.asarray(value) for value in values)
    inputs = [like(value) for value in values]
    built = build(*inputs)
    outputs = list(built) if isinstance(built, list | tuple) else [built]
    (_, first), (_, second) = compute(outputs, list(zip(inputs, values, strict=True)), backend)
    for out, a, b in zip(outputs, first, second, strict=True):
        assert a.dtype == b.dtype == out.dtype
        problem = difference(a, b, ulps=8)
        assert problem is None, f"{backend} and evaluate differ: {problem}"
        assert out.type.ndim == a.ndim, f"{out.type} has a value of shape {a.shape}"
        assert all(n in (None, m) for n, m in zip(out.type.shape, a.shape, strict=True)), (out.type, a.shape)
    return first if isinstance(built, list | tuple) else first[0]


# ---- comparing ----


def difference(actual: Any, expected: Any, ulps: float = 0, absolute: float = 0) -> str | None:
    """What differs: dtype, shape, or the worst element; None if nothing does.

    Infinities, nans and the signs of zeros must agree; `ulps` (units in the last place of the expected value) and
    `absolute` (in units of the dtype's epsilon) bound the rest.  A complex number is compared as a whole.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.dtype != expected.dtype:
        return f"dtype {actual.dtype}, expected {expected.dtype}"
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    bad = ~_close(actual, expected, ulps, absolute)
    if not bad.any():
        return None
    where = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"{int(bad.sum())} of {bad.size} values, at {where}: {actual[where]!r}, expected {expected[where]!r}"


def _close(a: Array, e: Array, ulps: float, absolute: float) -> Array:
    if a.dtype.kind in "biu":
        return np.asarray(a == e)
    if a.dtype.kind == "c":
        finite = np.isfinite(e) & np.isfinite(a)
        parts = _close(a.real.copy(), e.real.copy(), ulps, absolute) & _close(
            a.imag.copy(), e.imag.copy(), ulps, absolute
        )
        with np.errstate(all="ignore"):
            whole = np.abs(a - e) <= ulps * np.spacing(np.abs(e))
        return np.asarray(np.where(finite & np.isfinite(np.abs(e)), parts | whole, parts))
    with np.errstate(all="ignore"):
        error = np.abs(a.astype(np.longdouble) - e.astype(np.longdouble))
        bound = ulps * np.abs(np.spacing(e)).astype(np.longdouble) + absolute * float(np.finfo(e.dtype).eps)
        near = error <= bound
        zeros = (a != 0) | (e != 0) | (np.signbit(a) == np.signbit(e))
        huge = np.isinf(a) & (np.abs(e) >= np.finfo(e.dtype).max * (1 - ulps * np.finfo(e.dtype).eps)) & (a * e > 0)
        return np.asarray(((near | (a == e)) & zeros) | (np.isnan(a) & np.isnan(e)) | (huge & (ulps > 0)))


def check(actual: Any, expected: Any, ulps: float = 0, absolute: float = 0) -> None:
    """AssertionError that says what differs."""
    problem = difference(actual, expected, ulps, absolute)
    assert problem is None, problem


ALL = dtypes.ALL


# ---- rows: a function of the room, and what NumPy says it is ----


@dataclass(frozen=True)
class Row:
    """A call of a function of the room.

    ours, numpy: the call on variables and on arrays; values: the arrays.  Those of float64 stand for any dtype.
    ulps, absolute: the bound on the error, as for `difference`.
    known: whether the shape of the result follows from those of the operands.
    derivable: whether it has a derivative with respect to the float64 values.  dtypes: those it is tried with.
    """

    name: str
    ours: Callable[..., Any]
    numpy: Callable[..., Any]
    values: tuple[Any, ...]
    ulps: float = 0
    absolute: float = 0
    known: bool = True
    derivable: bool = True
    dtypes: Sequence[str] = dtypes.ALL

    def __str__(self) -> str:
        return self.name

    def arrays(self, dtype: str = "float64", layout: str = "contiguous") -> list[Array]:
        """The values, those of float64 as another dtype, in a layout."""
        arrays = [np.asarray(value) for value in self.values]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arrays = [a.astype(dtype) if a.dtype == np.float64 else a for a in arrays]
        return [LAYOUTS[layout](a) for a in arrays]


def numbers(*shape: int, seed: int = 0) -> Array:
    """Distinct numbers between -4 and 4 in float64, none near 0, with exact halves: any dtype holds some of them."""
    count = int(np.prod(shape))
    steps = (np.random.default_rng(seed).permutation(count) + 1) / 2
    signs = np.where(np.arange(count) % 3 == 1, -1, 1)
    return np.asarray(steps * signs).reshape(shape)


def check_row(row: Row, backend: str, dtype: str = "float64", layout: str = "contiguous") -> None:
    """Value, dtype and shape are those of NumPy."""
    arrays = row.arrays(dtype, layout)
    inputs = [tensor(a.dtype.name, a.ndim) for a in arrays]
    out = row.ours(*inputs)
    with np.errstate(all="ignore"):
        want = np.asarray(row.numpy(*[a.astype(a.dtype.name) for a in arrays]))
    assert out.dtype == want.dtype, f"{out.dtype}, expected {want.dtype}"
    for way, (got,) in compute([out], list(zip(inputs, arrays, strict=True)), backend):
        problem = difference(got, want, row.ulps, row.absolute)
        assert problem is None, f"{row} of {dtype}, {layout}, by {way}: {problem}"


def check_shape(row: Row, backend: str) -> None:
    """The shape is known without computing the array, and before anything runs if those of the operands are."""
    arrays = row.arrays()
    want = np.shape(row.numpy(*arrays))
    fixed = row.ours(*[TensorType(a.dtype.name, shape=a.shape)() for a in arrays])
    assert fixed.type.shape == want, f"{row}: of fixed sizes {fixed.type}, expected {want}"
    inputs = [tensor(a.dtype.name, a.ndim) for a in arrays]
    out = row.ours(*inputs)
    assert out.ndim == len(want)
    assert all(n in (None, m) for n, m in zip(out.type.shape, want, strict=True)), f"{row}: {out.type}, expected {want}"
    f = function(inputs, out.shape, backend=backend, on_unused_input="ignore")
    check(f(*arrays), np.array(want, np.int64))
    for step in f.schedule.steps:
        if isinstance(step, Compute) and any(b.kind == "input" and b.variable.ndim for b in step.reads):
            assert isinstance(step.node.op, ShapeOf), f"{row}: computed for its shape\n{f.schedule!r}"
