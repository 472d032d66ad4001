"""Machine code and CUDA kernels do what NumPy does: ops x dtypes x shapes x layouts, pairwise; all with --full.

One function carries all ops of a family for one dtype and one rank, and is called with many shapes and layouts.
Integers, bools, comparisons, ``+ - * / sqrt`` and what only moves elements agree to the bit; other functions within
`ULPS`.  Sums are of numbers that no order of additions rounds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from graphc import dtypes
from graphc.backends.cupy.chosen import standing_in
from graphc.backends.llvm.emit import ITEMSIZE
from graphc.backends.llvm.target import host
from graphc.compile.function import Function, function
from graphc.configuration import MODES, NUMERICS
from graphc.evaluator import evaluate
from graphc.graph.variable import Variable
from graphc.kernels.steps import Call
from graphc.ops.conversion import cast
from graphc.ops.declare import ELEMENTWISE
from tests.cuda.host_device import HostDevice, compiler
from tests.ops.arrays import LAYOUTS, Array, difference, rng, sample, special, tensor
from tests.ops.test_elementwise import ROWS, operands

NATIVE = tuple(d for d in dtypes.ALL if d in ITEMSIZE)
OTHERS = tuple(d for d in dtypes.ALL if d not in ITEMSIZE)  # computed by NumPy
ULPS = 4

Expressions = dict[str, Variable]


# ---- families of ops ----


def elementwise(x: Variable, y: Variable, z: Variable) -> Expressions:
    return {name: ELEMENTWISE[name](*operands(name, x, y, z)) for name, row in ROWS.items() if x.dtype in row.accepts}


def mixed(x: Variable, y: Variable, z: Variable) -> Expressions:
    """With every other dtype on the right."""
    made = {}
    for dtype in NATIVE if x.dtype in NATIVE else dtypes.ALL:
        right = y if dtype == y.dtype else T.switch(T.isnan(y), 1, T.clip(y, 0, 9)) if _is_real(y) else T.neq(y, 0)
        other = cast(right, dtype)
        for name in ("add", "mul", "true_div", "lt", "eq", "maximum", "switch"):
            if dtype in ROWS[name].accepts:
                made[f"{name} {dtype}"] = ELEMENTWISE[name](*(x, other, x)[: ELEMENTWISE[name].nin])
    return made


def casts(x: Variable, y: Variable, z: Variable) -> Expressions:
    """To every dtype; what a dtype does not hold is nobody's promise, so that integers are made of small numbers."""
    made = {}
    for dtype in NATIVE:
        small = T.switch(T.isnan(x), 1, T.clip(x, 0, 100)) if _is_real(x) else T.neq(x, 0)
        made[dtype] = cast(x if dtype.startswith(("float", "bool")) and _is_real(x) else small, dtype)
    return made


def _is_real(x: Variable) -> bool:
    return not dtypes.is_complex(x.dtype)


def axes(x: Variable) -> list[Any]:
    """What reductions are over: each axis, neighbours, everything."""
    pairs = [(0, x.ndim - 1), tuple(range(1, x.ndim))] if x.ndim > 2 else []
    return [None, *range(x.ndim), *pairs]


def reductions(x: Variable, y: Variable, z: Variable) -> Expressions:
    made = {}
    for axis in axes(x):
        for name in ("sum", "prod", "any", "all", "mean"):
            made[f"{name} {axis}"] = getattr(T, name)(x, axis=axis)
        made[f"sum {axis} kept"] = T.sum(x, axis=axis, keepdims=True)
        made[f"sum of products {axis}"] = T.sum(x * y, axis=axis)
    return made


def extremes(x: Variable, y: Variable, z: Variable) -> Expressions:
    """Reductions that nothing cannot have."""
    if not _is_real(x):
        return {}
    made = {f"{name} {axis}": getattr(T, name)(x, axis=axis) for name in ("max", "min") for axis in axes(x)}
    simple = [None, *range(x.ndim)]
    return made | {f"{name} {axis}": getattr(T, name)(x, axis=axis) for name in ("argmax", "argmin") for axis in simple}


def products(x: Variable, y: Variable, z: Variable) -> Expressions:
    if x.ndim == 1:
        return {"vectors": T.dot(x, y), "outer": T.outer(x, y[:9])}
    if x.ndim == 2:
        return {
            "with vector": T.dot(x, y[0]), "vector with": T.dot(z[:, 0], x), "with transpose": T.dot(x[:9], y[:7].T),
            "transpose with": T.dot(x[:, :9].T, z[:, :5]), "row with": T.dot(x[0], y.T),
        }  # fmt: skip
    return {}


def moves(x: Variable, y: Variable, z: Variable) -> Expressions:
    """What only moves elements."""
    made: Expressions = {
        "copy": T.tensor_copy(x), "T": x.T, "new axes": x.dimshuffle("x", *reversed(range(x.ndim)), "x"),
        "flatten": x.flatten(), "alloc": T.alloc(x, 2, *x.shape), "zeros": T.zeros_like(x), "ones": T.ones_like(x),
        "shape": T.stack(list(x.shape)) if x.ndim else x.size, "stack": T.stack([x, y, x]), "size": x.size,
    }  # fmt: skip
    if x.ndim:
        made |= {
            "join": T.concatenate([x, y, z]), "join last": T.concatenate([x, y], axis=-1), "tail": x[1:],
            "backwards": x[::-1], "every other": x[..., ::2], "end": x[-3:], "row": T.expand_dims(x, 0),
            "set": T.set_subtensor(x[1:], y[1:]), "set one": T.set_subtensor(x[:1], y[:1]),
            "increment": T.inc_subtensor(x[::2], 1) if x.dtype != "bool" else x, "range": T.arange(x.shape[0]),
            "reshape": x.reshape((-1, 1)), "repeat": T.concatenate([x[:1], x]),
        }  # fmt: skip
    return made


@dataclass(frozen=True)
class Family:
    """Expressions of three arrays of one dtype and shape.

    exact: whether an expression must agree to the bit; values: of the arrays; smallest: the smallest size of an axis.
    """

    build: Callable[[Variable, Variable, Variable], Expressions]
    values: Callable[[str, tuple[int, ...], np.random.Generator], Array]
    exact: Callable[[str], bool] = lambda name: True
    smallest: int = 0
    ranks: tuple[int, ...] = (0, 1, 2, 3)


def dyadic(dtype: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Numbers whose sums and products are exact in any order, a few nan and infinities."""
    if dtypes.is_discrete(dtype):
        values = sample(dtype, shape, random)
        return values % 2**40 if values.itemsize == 8 else values  # a mean is of the sum as a float
    values = random.choice([0.5, 1.0, -1.0, 2.0, 1.0, -0.5], shape)
    odd = random.choice([np.nan, np.inf, -np.inf, 0.0], shape)
    return np.asarray(np.where(random.random(shape) < 0.01, odd, values)).astype(dtype)


def zeroless(dtype: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Anything but -0.0, which an extremum may or may not prefer to 0.0."""
    values = sample(dtype, shape, random)
    return np.where(values == 0, np.zeros((), dtype), values)


FAMILIES: dict[str, Family] = {
    "elementwise": Family(elementwise, sample, lambda name: not ROWS[name].ulps),
    "mixed": Family(mixed, sample),
    "casts": Family(casts, sample),
    "reductions": Family(reductions, dyadic, ranks=(1, 2, 3)),
    "extremes": Family(extremes, zeroless, smallest=1, ranks=(1, 2, 3)),
    "products": Family(products, dyadic, smallest=1, ranks=(1, 2)),
    "moves": Family(moves, sample),
}


# ---- cases ----


@dataclass(frozen=True)
class Case:
    layout: str
    shape: tuple[int, ...]


def sizes(dtype: str) -> list[int]:
    """0, 1, the number of lanes and its neighbours, and many."""
    found = {0, 1, 1003}
    for itemsize in {ITEMSIZE.get(dtype, 8), 8}:
        lanes = host().lanes(itemsize)
        found |= {lanes - 1, lanes, lanes + 1}
    return sorted(found)


def shapes(dtype: str, ndim: int) -> list[tuple[int, ...]]:
    """Shapes of every size class."""
    if ndim == 0:
        return [()] * len(LAYOUTS)
    around: list[tuple[int, ...]] = [{1: (), 2: (3,), 3: (2, 3)}[ndim]]
    found = [(*others, n) for others in around for n in sizes(dtype)]
    if ndim > 1:
        found += [(n, *others) for others in around for n in sizes(dtype)]
    return found


def cases(dtype: str, ndim: int, full: bool) -> Iterator[Case]:
    """Every shape with layouts in turn, every layout at least once; the product with --full."""
    if full:
        yield from itertools.starmap(Case, itertools.product(LAYOUTS, shapes(dtype, ndim)))
        return
    start = dtypes.ALL.index(dtype)
    layouts = itertools.islice(itertools.cycle(LAYOUTS), start, None)
    yield from (Case(next(layouts), shape) for shape in shapes(dtype, ndim))


def ranks(family: Family, dtype: str, full: bool) -> list[int]:
    """All ranks for the common floats, else 1 and another."""
    if full or dtype in ("float64", "float32"):
        return list(family.ranks)
    others = [rank for rank in family.ranks if rank != 1]
    return [1, others[dtypes.ALL.index(dtype) % len(others)]]


def test_the_cases_cover_every_pair() -> None:
    """(dtype, layout), (dtype, size), (op, layout) and (op, size): all ops of a family are in one function."""
    for family in FAMILIES.values():
        for dtype in dtypes.ALL:
            chosen = [case for ndim in ranks(family, dtype, False) for case in cases(dtype, ndim, False)]
            assert {case.layout for case in chosen} == set(LAYOUTS)
            assert {n for case in chosen for n in case.shape} >= set(sizes(dtype))
        assert {ndim for dtype in dtypes.ALL for ndim in ranks(family, dtype, False)} == set(family.ranks)


# ---- running ----


Pair = tuple[list[str], list[Variable], Function, Function]


@cache
def both(name: str, dtype: str, ndim: int, backend: str = "llvm") -> list[Pair]:
    """The expressions of a family compiled by NumPy's backend and another: those that kernels know apart."""
    inputs = [tensor(dtype, ndim, letter) for letter in "xyz"]
    made = FAMILIES[name].build(*inputs)
    native = {label for label, x in made.items() if {x.dtype, dtype} <= set(ITEMSIZE)}
    compiled = []
    for labels in (sorted(native), sorted(set(made) - native)):
        if labels:
            outputs = [made[label] for label in labels]
            first, second = (
                function(inputs, outputs, backend=used, on_unused_input="ignore", numerics="ieee")
                for used in ("numpy", backend)
            )
            compiled.append((labels, outputs, first, second))
    return compiled


@pytest.mark.parametrize("dtype", dtypes.ALL)
@pytest.mark.parametrize("name", FAMILIES)
def test_llvm_agrees_with_numpy(name: str, dtype: str, full: bool) -> None:
    agrees(name, dtype, full, "llvm")


# Kernels for a GPU are compiled by g++ here, which takes its time: without --full one dtype a family.
ON_A_DEVICE = dict(zip(FAMILIES, ("float32", "int16", "uint64", "int32", "float64", "bool", "uint8"), strict=True))


@pytest.mark.skipif(compiler() is None, reason="g++ compiles the kernels for the CPU")
@pytest.mark.parametrize("name", FAMILIES)
def test_cuda_agrees_with_numpy(name: str, full: bool) -> None:
    with standing_in(DEVICE):
        for dtype in dtypes.ALL if full else (ON_A_DEVICE[name],):
            agrees(name, dtype, full, "cupy")


DEVICE = HostDevice(late=True)


def agrees(name: str, dtype: str, full: bool, backend: str) -> None:
    """Fail if a family of ops has other values than NumPy."""
    family = FAMILIES[name]
    problems = []
    for ndim in ranks(family, dtype, full):
        for case in cases(dtype, ndim, full):
            if min(case.shape, default=1) < family.smallest:
                continue
            random = rng(name, dtype, case)
            values = [LAYOUTS[case.layout](family.values(dtype, case.shape, random)) for _ in range(3)]
            for labels, _, reference, compiled in both(name, dtype, ndim, backend):
                for label, got, want in zip(labels, compiled(*values), reference(*values), strict=True):
                    ulps = 0 if family.exact(label) or dtype in OTHERS else ULPS
                    absolute = ROWS[label].absolute if label in ROWS else 0
                    problem = difference(*_flushed(got, want, ulps), ulps, absolute)
                    if problem is not None:
                        problems.append(f"{label} of {case}: {problem}")
    assert not problems, "\n".join([*problems[:30], f"{len(problems)} in all"])


def _flushed(got: Array, want: Array, ulps: float) -> tuple[Array, Array]:
    """Both with 0 for what is not normal, for functions of which the one flushes it (SciPy's expit)."""
    if not ulps or got.shape != want.shape or want.dtype.kind != "f":
        return got, want
    tiny = np.finfo(want.dtype).smallest_normal
    gone = (np.abs(want) < tiny) & (np.abs(got) < tiny) & ((got == 0) | (want == 0)) & ((got != 0) | (want != 0))
    zero = np.zeros((), want.dtype)
    return np.where(gone, zero, got), np.where(gone, zero, want)


# What calls back into Python though kernels know the dtype.
CALLED = {"pow", "lt", "eq", "Join", "MakeVector", "dot"}


@pytest.mark.parametrize("name", FAMILIES)
def test_what_can_be_machine_code_is(name: str) -> None:
    """Numbers that kernels know are handed to NumPy neither as a whole nor, but for `CALLED`, node by node."""
    for dtype in ("float64", "float32", "int64", "int8", "bool"):
        for ndim in ranks(FAMILIES[name], dtype, False):
            for labels, _, _, compiled in both(name, dtype, ndim):
                for variant in compiled.variants.values():
                    plan = getattr(variant.executable, "plan", None)
                    assert plan is not None, f"{name} of {dtype}, rank {ndim}: {labels} are run by NumPy"
                    nodes = [step.node for step in plan.steps if isinstance(step, Call)]
                    native = [n for n in nodes if {x.dtype for x in (*n.inputs, *n.outputs)} <= set(ITEMSIZE)]
                    called = {str(n.op).partition("{")[0] for n in native}
                    assert called <= CALLED, f"{name} of {dtype}, rank {ndim}: {called - CALLED}"


# ---- memory ----


def fence(executable: Any) -> list[tuple[Array, int, int]]:
    """Allocate an executable's arrays between fences; returns them as they are made, with where each array lies."""
    made: list[tuple[Array, int, int]] = []

    def allocate(frame: Any, memories: dict[int, Any], place: Any) -> None:
        shape, dtype = executable._shape(frame, place), np.dtype(place.dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        raw = np.full(size + 2048, 0xAB, np.uint8)
        start = 1024 - raw.__array_interface__["data"][0] % 64
        array = raw[start : start + size].view(dtype).reshape(shape)
        made.append((raw, start, size))
        memories[place.slot] = array
        frame[place.slot] = array.__array_interface__["data"][0]

    executable._allocate = allocate
    return made


@pytest.mark.parametrize("name", FAMILIES)
def test_kernels_write_inside_their_arrays(name: str) -> None:
    """The last, partial vector touches nothing behind the array."""
    for dtype in ("float64", "float32", "int32", "bool"):
        inputs = [tensor(dtype, 1, letter) for letter in "xyz"]
        made = FAMILIES[name].build(*inputs)
        outputs = [x for x in made.values() if x.dtype in ITEMSIZE]
        f = function(inputs, outputs, backend="llvm", on_unused_input="ignore")
        (variant,) = f.variants.values()
        arrays = fence(variant.executable)
        for n in sizes(dtype)[1 if name == "moves" else FAMILIES[name].smallest : -1]:
            values = [FAMILIES[name].values(dtype, (n,), rng(name, dtype, n)) for _ in range(3)]
            arrays.clear()
            variant.executable.run(values[: len(variant.schedule.graph.inputs)])
            for raw, start, size in arrays:
                assert (raw[:start] == 0xAB).all()
                assert (raw[start + size :] == 0xAB).all(), f"{name} of {n} {dtype}"


# ---- sums of anything ----


@pytest.mark.parametrize("backend", ["llvm", "cupy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_are_as_exact_as_numpys(dtype: str, backend: str, full: bool) -> None:
    """Of numbers that do round: within two units in the last place of the exact sum of their magnitudes."""
    if backend == "cupy" and compiler() is None:
        pytest.skip("g++ compiles the kernels for the CPU")
    with standing_in(DEVICE):
        check_sums(dtype, backend, full)


def check_sums(dtype: str, backend: str, full: bool) -> None:
    """Fail if sums are less exact than they could be."""
    x = tensor(dtype, 2, "x")
    outputs = [x.sum(), x.sum(axis=0), x.sum(axis=1), T.dot(x, x[0]), T.dot(x[:, 0], x)]
    reference, compiled = (function([x], outputs, backend=used) for used in ("numpy", backend))
    eps = float(np.finfo(dtype).eps)
    for shape in ((1, 1), (3, 1), (1, 9), (17, 33), (5, 1024), (3, 5000), (4000, 3), *([(300, 3000)] if full else [])):
        values = rng(dtype, shape).normal(size=shape).astype(dtype)
        wide = values.astype(np.longdouble)
        exact = [wide.sum(), wide.sum(0), wide.sum(1), wide @ wide[0], wide[:, 0] @ wide]
        large = abs(wide)
        size = [large.sum(), large.sum(0), large.sum(1), large @ large[0], large[:, 0] @ large]
        for i, (got, want, bound) in enumerate(zip(compiled(values), exact, size, strict=True)):
            rows = shape[0] if i in (1, 4) else 1  # columns are added one row after another
            assert np.all(abs(got - want) <= (2 + rows / 8) * eps * bound), (i, shape)
        for got, want, bound in zip(compiled(values), reference(values), size, strict=True):
            assert np.all(abs(got - want) <= (8 + shape[0]) * eps * bound)


# ---- broadcasting ----


@pytest.mark.parametrize("dtype", ["float64", "int16", "bool"])
def test_one_function_for_every_pattern_of_broadcasting(dtype: str, full: bool) -> None:
    names = ("add", "maximum", "lt", "eq") if dtype != "bool" else ("and_", "lt", "eq")
    rank = 2
    x, y = tensor(dtype, rank, "x"), tensor(dtype, rank, "y")
    outputs = [ELEMENTWISE[name](x, y) for name in names]
    outputs += [T.sum(outputs[0], axis=axis) for axis in (0, 1)]
    reference, compiled = (function([x, y], outputs, backend=backend) for backend in ("numpy", "llvm"))
    n, m = 5, 9
    for left, right in itertools.product([(n, m), (1, m), (n, 1), (1, 1)], repeat=2):
        for layout in LAYOUTS if full else list(LAYOUTS)[:: 1 if left == (n, 1) else 4]:
            random = rng(dtype, left, right, layout)
            values = [LAYOUTS[layout](dyadic(dtype, shape, random)) for shape in (left, right)]
            for got, want in zip(compiled(*values), reference(*values), strict=True):
                problem = difference(got, want)
                assert problem is None, f"{left} {right} {layout}: {problem}"


def test_special_values_of_each_dtype_meet_each_other() -> None:
    """The elementwise family on all pairs of special values."""
    problems = []
    for dtype in NATIVE:
        pool = special(dtype)
        x, y = (grid.ravel() for grid in np.meshgrid(pool, pool))
        for labels, _, reference, compiled in both("elementwise", dtype, 1):
            wanted = reference(x, y, np.roll(y, 1))
            for label, got, want in zip(labels, compiled(x, y, np.roll(y, 1)), wanted, strict=True):
                ulps = ULPS if ROWS[label].ulps else 0
                problem = difference(*_flushed(got, want, ulps), ulps, ROWS[label].absolute)
                if problem is not None:
                    problems.append(f"{label} of {dtype}: {problem}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("numerics", [*NUMERICS])
@pytest.mark.parametrize("backend", ["numpy", "llvm", "cupy"])
def test_a_power_of_one_half_of_special_values(backend: str, numerics: str) -> None:
    """Arrays of NumPy are the model, of which `x ** 0.5` is the square root."""
    if backend == "cupy" and compiler() is None:
        pytest.skip("g++ compiles the kernels for the CPU")
    for dtype, rank, mode in itertools.product(["float32", "float64"], [0, 1], MODES):
        x = tensor(dtype, rank, "x")
        with standing_in(DEVICE), np.errstate(all="ignore"):
            f = function([x], x**0.5, backend=backend, numerics=numerics, mode=mode)
            values = np.array([-np.inf, -0.0, 0.0, 4.0, np.inf], dtype)
            for value in [values] if rank else [np.asarray(v) for v in values]:
                for got in (f(value), evaluate(x**0.5, {x: value})):
                    problem = difference(np.asarray(got), np.asarray(value**0.5))
                    assert problem is None, f"{dtype} {value} {mode}: {problem}"
