"""What CuPy computes on the device: equal to NumPy, and nothing goes to the host for it.

On the device that stands for a GPU NumPy stands for CuPy.  With --backend=cupy, on a GPU, it is CuPy itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphc.tensor as T
from graphc import function, shared
from graphc.backends.cupy.chosen import standing_in
from graphc.backends.cupy.device import Placed
from graphc.backends.cupy.libraries import TABLE, Library, library_of
from graphc.kernels.steps import Call
from tests.cuda.host_device import DeviceError, HostDevice, compiler
from tests.cuda.test_functions import Gpu

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ compiles the kernels for the CPU")


class Watched(HostDevice):
    """A device that counts the bytes which go to the host, and how often a library is asked."""

    def __init__(self) -> None:
        super().__init__(late=True)
        self.homes: list[tuple[int, int]] = []
        self.downloaded = 0
        self.asked = 0

    def pinned(self, nbytes: int) -> Any:
        found = super().pinned(nbytes)
        self.homes.append((found.ctypes.data, nbytes))
        return found

    def copy(self, target: int, source: int, nbytes: int) -> None:
        if any(start <= target < start + size for start, size in self.homes):
            self.downloaded += nbytes
        super().copy(target, source, nbytes)

    def compute(self, function: Callable[..., Any], operands: Sequence[Placed | int], out: Placed) -> None:
        self.asked += 1
        super().compute(function, operands, out)

    def find(self, function: Callable[..., Any], operands: Sequence[Placed | int]) -> tuple[Placed, object]:
        self.asked += 1
        return super().find(function, operands)


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[Watched | Gpu]:
    if request.config.getoption("--backend") == "cupy":
        yield Gpu()
        return
    with standing_in(Watched()) as made:
        assert isinstance(made, Watched)
        yield made


@pytest.fixture
def watched(device: Watched | Gpu) -> Watched:
    if not isinstance(device, Watched):
        pytest.skip("it is about the device that stands for a GPU")
    return device


# ---- programs ----

EVERY = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
DISCRETE, FLOATS = EVERY[:-2], EVERY[-2:]
HALF = ("float16",)

TINY = 1e-40  # a float32 that CuPy would flush to zero


def numbers(shape: Sequence[int], dtype: str, seed: int = 0) -> Any:
    """Values of all sizes and signs."""
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(dtype)
    if dtype.startswith("float"):
        found = random.normal(size=shape).astype(dtype)
        found.flat[:2] = (-0.0, TINY)
        return found
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def places(shape: Sequence[int], size: int, seed: int = 1) -> Any:
    """Indices, also from the end."""
    return np.random.default_rng(seed).integers(-size, size, shape)


def mask(*shape: int) -> Any:
    """About half of the places."""
    return np.random.default_rng(2).integers(0, 2, shape).astype("bool")


class Program(NamedTuple):
    """A function of the values of some arrays, which are given for each dtype."""

    build: Callable[..., Any]
    values: Callable[[str], Sequence[Any]]
    dtypes: Sequence[str]
    tolerance: float = 0


def of_array(build: Callable[..., Any], *shapes: Sequence[int], dtypes: Sequence[str], tolerance: float = 0) -> Program:
    """A program of arrays of one dtype."""
    return Program(build, lambda d: [numbers(s, d, seed) for seed, s in enumerate(shapes)], dtypes, tolerance)


def indexed(
    build: Callable[..., Any], *others: Any, dtypes: Sequence[str] = EVERY, tolerance: float = 0
) -> Program:
    """A program of an array of three axes, and of indices."""
    return Program(build, lambda d: [numbers((4, 5, 6), d), *others], dtypes, tolerance)


TWICE = np.array([1, 3, -3])
ROWS, COLUMNS = places((3,), 4), places((3,), 6)
PROGRAMS: dict[str, Program] = {
    "mask": indexed(lambda x, m: x[m], mask(4, 5, 6)),
    "mask of the first axis": indexed(lambda x, m: x[m], mask(4)),
    "mask between slices": indexed(lambda x, m: x[1:, m, ::2], mask(5)),
    "mask and number": indexed(lambda x, m, n: x[n, m], mask(5, 6), np.int64(-1)),
    "two masks": indexed(lambda x, m, n: x[m, :, n], np.arange(4) > 1, np.arange(6) > 3),
    "mask that is false": indexed(lambda x, m: x[m], np.zeros(4, bool)),
    "arrays apart": indexed(lambda x, i, j: x[i, :, j], ROWS, COLUMNS),
    "arrays of several ranks": indexed(lambda x, i, j: x[i, j], places((2, 3), 4), places((3,), 5)),
    "array and number": indexed(lambda x, n, j: x[n, :, j], np.int64(-2), COLUMNS),
    "narrow indices": indexed(lambda x, i, j: x[i, :, j], ROWS.astype("int8"), (COLUMNS % 6).astype("uint16")),
    "step": indexed(lambda x, n: x[:, ::n], np.int64(-2)),
    "step that keeps all": indexed(lambda x, n: x[::n], np.int64(1)),
    "half of an array": indexed(lambda x: x[1:, 0, ::-1], dtypes=HALF),
    "put a number": indexed(lambda x, m: T.set_subtensor(x[:, m], T.cast(1, x.dtype)), mask(5)),
    "put a row": indexed(lambda x, m: T.set_subtensor(x[m], x[0, ::-1]), mask(4)),
    "put elements": indexed(lambda x, m: T.set_subtensor(x[m], x[m][::-1]), mask(4, 5, 6)),
    "put beside a number": indexed(lambda x, m, n: T.set_subtensor(x[m, n], x[0, 0]), mask(4), np.int64(-1)),
    "put into nothing": indexed(lambda x, m: T.set_subtensor(x[m], x[0]), np.zeros(4, bool)),
    "add": indexed(
        lambda x, m: T.inc_subtensor(x[m], x[m]), mask(4, 5, 6), dtypes=[d for d in EVERY if d != "float32"]
    ),
    "put at arrays": indexed(lambda x, i, j: T.set_subtensor(x[i, :, j], x[1].T[:3]), TWICE, TWICE),
    "put a number at arrays": indexed(lambda x, i, j: T.set_subtensor(x[i, :, j], x[1, 1, 1]), TWICE, TWICE),
    "put at arrays of several ranks": indexed(
        lambda x, i, j: T.set_subtensor(x[i, j], x[1]), places((2, 5), 4), places((5,), 5)
    ),
    "put halves": indexed(lambda x, i: T.set_subtensor(x[i], x[:3]), TWICE, dtypes=HALF),
    "put beside a mask": indexed(
        lambda x, m, i: T.set_subtensor(x[m, :, i], x[1].T[:3]), np.arange(4) > 0, places((3,), 6)
    ),
    "add at arrays": indexed(
        lambda x, i, j: T.inc_subtensor(x[i, :, j], x[1].T[:3]), TWICE, TWICE, dtypes=DISCRETE[1:]
    ),
    "add floats at arrays": indexed(
        lambda x, i, j: T.inc_subtensor(x[i, :, j], x[1].T[:3]), TWICE, TWICE, dtypes=FLOATS, tolerance=1e-5
    ),
    "gradient at arrays": indexed(
        lambda x, i, j: T.grad((x[i, :, j] ** 2).sum(), x), TWICE, TWICE, dtypes=FLOATS, tolerance=1e-5
    ),
    "gradient": indexed(lambda x, m: T.grad((x[m] ** 2).sum(), x), mask(4, 5, 6), dtypes=FLOATS),
    "product": of_array(T.dot, (7, 5), (5, 3), dtypes=DISCRETE),
    "product of a row and a column": of_array(T.dot, (1, 5), (5, 1), dtypes=DISCRETE),
    "product with integers": Program(T.dot, lambda d: [numbers((3, 4), d), numbers((4, 2), "float64")], SIGNED, 1e-15),
    "power": Program(lambda x, y: x**y, lambda d: [numbers((50,), d), np.arange(50, dtype=d) % 9], SIGNED),
    "comparison": Program(
        lambda x, y: T.lt(x, y), lambda d: [numbers((50,), d), numbers((50,), "uint64")], ["int64"]
    ),
    "range": Program(lambda n, m: T.arange(n, m, 3), lambda d: [np.array(2, d), np.array(20, d)], SIGNED),
    "diagonal": Program(lambda n: T.eye(n, 5, 1), lambda d: [np.array(3, d)], ["int64"]),
    "many parts": of_array(lambda x: T.concatenate([x] * 40, axis=1), (2, 3), dtypes=EVERY),
    "many numbers": of_array(lambda x: T.stack([x[0]] * 40), (3,), dtypes=EVERY),
    "halves": of_array(lambda x, y: T.switch(x > y, abs(x) / y, -x) * 2 + T.sqrt(abs(y)), (9, 5), (5,), dtypes=HALF),
    "functions of halves": of_array(lambda x: T.exp(x) + T.log1p(abs(x)), (9, 5), dtypes=HALF, tolerance=2e-3),
    "powers of halves": of_array(lambda x, y: abs(x) ** y + T.sgn(x), (9, 5), (5,), dtypes=HALF, tolerance=2e-3),
    "halves of others": of_array(lambda x: T.cast(x, "float16"), (50,), dtypes=EVERY),
    "halves as others": of_array(lambda x: T.cast(x, "float64") + T.cast(x, "float32"), (50,), dtypes=HALF),
    "sums of halves": of_array(lambda x: x.sum(1), (9, 50), dtypes=HALF, tolerance=4e-3),
    "mean of halves": of_array(lambda x: x.mean(0, keepdims=True), (9, 50), dtypes=HALF, tolerance=4e-3),
    "largest of halves": of_array(lambda x: x.max(1) + x.min((0, 1)), (9, 5), dtypes=HALF),
    "softmax of halves": of_array(T.nnet.softmax, (9, 5), dtypes=HALF, tolerance=4e-3),
    "product of halves": of_array(T.dot, (7, 5), (5, 3), dtypes=HALF, tolerance=4e-3),
    "halves everywhere": Program(
        lambda n: T.alloc(T.cast(n, "float16"), n, 2), lambda d: [np.array(3, d)], ["int64"]
    ),
    "filled with halves": of_array(lambda x: T.zeros_like(x) + T.alloc(x[0, 0], 9, 5), (9, 5), dtypes=HALF),
}
ALL = [(name, dtype) for name, program in PROGRAMS.items() for dtype in program.dtypes]


def compiled(build: Callable[..., Any], values: Sequence[Any], backend: str) -> Any:
    """A function of arrays like some values."""
    inputs = [T.tensor(v.dtype.name, shape=(None,) * v.ndim) for v in map(np.asarray, values)]
    return function(inputs, build(*inputs), backend=backend, on_unused_input="ignore")


@pytest.mark.parametrize("name, dtype", ALL)
def test_it_is_what_numpy_computes_and_stays_on_the_device(device: Watched | Gpu, name: str, dtype: str) -> None:
    program = PROGRAMS[name]
    values = program.values(dtype)
    want = np.asarray(compiled(program.build, values, "numpy")(*values))
    f = compiled(program.build, values, "cupy")
    given = [device.asarray(v) if np.ndim(v) else v for v in values]
    for _ in range(2):
        if isinstance(device, Watched):
            device.downloaded = device.asked = 0
        found = f(*given)
        if isinstance(device, Watched):
            assert device.asked
            assert device.downloaded in (0, 4) or not any(map(np.ndim, values)), "no more than the error word"
        got = np.asarray(found.get() if hasattr(found, "get") else found)
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        if program.tolerance:
            exact = want.astype("float64")
            np.testing.assert_allclose(got.astype("float64"), exact, program.tolerance, program.tolerance)
        else:
            np.testing.assert_array_equal(got, want)
            assert got.dtype.kind != "f" or (np.signbit(got) == np.signbit(want)).all()
    assert " to the host, " not in str(f.schedule)


def libraries(f: Any) -> list[Library | None]:
    """What computes the nodes of a function that have no kernel."""
    plan = f._latest.executable.plan
    return [library_of(step.node) for step in plan.steps if isinstance(step, Call)]


def test_every_entry_of_the_table_computes_some_program() -> None:
    used: list[Library | None] = []
    for program in PROGRAMS.values():
        for dtype in program.dtypes:
            values = program.values(dtype)
            f = compiled(program.build, values, "cupy")
            f(*values)
            used += libraries(f)
    missing = [(op.__name__, i) for op, found in TABLE.items() for i, entry in enumerate(found) if entry not in used]
    assert missing == []


# ---- errors ----

X = np.arange(12.0).reshape(3, 4)
BAD: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "index": (lambda x, i, j: T.stack([x, x])[i, :, j], [X, np.array([0, 1]), np.array([1, 4])]),
    "index before the first": (lambda x, i, j: T.stack([x, x])[i, :, j], [X, np.array([0, -3]), np.array([1, 1])]),
    "number beside a mask": (lambda x, m, n: x[m, n], [X, np.ones(3, bool), np.int64(4)]),
    "number beside a false mask": (lambda x, m, n: x[m, n], [X, np.zeros(3, bool), np.int64(4)]),
    "mask that is too short": (lambda x, m: x[m], [X, np.ones(2, bool)]),
    "mask that is too long": (lambda x, m: x[m], [X, np.ones(4, bool)]),
    "mask of one": (lambda x, m: T.set_subtensor(x[m], 0), [X, np.ones(1, bool)]),
    "elements for a mask": (lambda x, m, y: T.set_subtensor(x[m], y), [X, X > 5, np.ones(5)]),
    "elements for a false mask": (lambda x, m, y: T.set_subtensor(x[m], y), [X, X > 50, np.ones(5)]),
    "elements to add": (lambda x, m, y: T.inc_subtensor(x[m], y), [X, X > 5, np.ones(5)]),
    "elements for arrays": (
        lambda x, i, y: T.set_subtensor(T.stack([x, x], 2)[i, :, i % 2], y), [X, np.array([0, 2]), np.ones((3, 4))]
    ),
    "elements to add at arrays": (
        lambda x, i, y: T.inc_subtensor(T.stack([x, x], 2)[i, :, i % 2], y), [X, np.array([0, 2]), np.ones((3, 4))]
    ),
    "put outside": (
        lambda x, i, y: T.set_subtensor(T.stack([x, x], 2)[i, :, i % 2], y), [X, np.array([0, 3]), np.ones((2, 4))]
    ),
    "add outside": (
        lambda x, i, y: T.inc_subtensor(T.stack([x, x], 2)[i, :, i % 2], y), [X, np.array([0, -4]), np.ones((2, 4))]
    ),
    "mask beside an array": (lambda x, m, i: x[m, i], [X, np.ones(3, bool), np.array([0, 1])]),
    "step": (lambda x, n: x[::n], [X, np.int64(0)]),
    "bool that bounds a slice": (lambda x, m, n: x[m, n:], [X, X[:, 0] > 0, np.True_]),
    "power": (lambda x, y: x**y, [np.arange(3), np.array([1, 0, -1])]),
    "step of a range": (lambda n, m: T.arange(n, 9, m), [np.int64(1), np.int64(0)]),
    "sizes of a diagonal": (lambda n: T.eye(n), [np.int64(-1)]),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_are_those_of_numpy(case: str) -> None:
    build, values = BAD[case]
    said = []
    for backend in ("numpy", "cupy"):
        f = compiled(build, values, backend)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever NumPy raises
            f(*values)
        said.append((caught.type, str(caught.value).splitlines()[0]))
    assert said[0] == said[1]


def test_a_check_is_looked_at_before_anything_changes() -> None:
    w, x, y = shared(np.zeros(3, "int64"), "w"), T.lvector("x"), T.lvector("y")
    f = function([x, y], x**y, updates={w: w + 1}, backend="cupy")
    good, bad = np.array([1, 2, 0]), np.array([1, -2, 0])
    for exponent, count in ((good, 1), (bad, 1), (good, 2)):
        if exponent is bad:
            with pytest.raises(ValueError, match="negative integer powers"):
                f(good, bad)
        else:
            f(good, good)
        assert w.get_value().tolist() == [count] * 3


# ---- what is left to the host ----

EMPTY: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "mask": (lambda x, m: x[m], [np.zeros((0, 3)), np.zeros(0, bool)]),
    "mask beside no elements": (lambda x, m: x[m], [np.zeros((4, 0)), mask(4)]),
    "put": (lambda x, m: T.set_subtensor(x[m], 1), [np.zeros((0, 3)), np.zeros(0, bool)]),
    "product": (T.dot, [np.zeros((2, 0), "int32"), np.zeros((0, 3), "int32")]),
    "product of none": (T.dot, [np.zeros((0, 2), "int32"), np.zeros((2, 3), "int32")]),
    "power": (lambda x, y: x**y, [np.zeros((0,), "int8"), np.zeros((0,), "int8")]),
    "halves": (lambda x: T.exp(x).sum(), [np.zeros((0, 2), "float16")]),
    "range": (lambda n: T.arange(n, 2, 1), [np.int64(5)]),
    "diagonal": (lambda n: T.eye(n), [np.int64(0)]),
}


@pytest.mark.parametrize("case", EMPTY)
def test_without_elements(watched: Watched, case: str) -> None:
    build, values = EMPTY[case]
    got, want = (np.asarray(compiled(build, values, backend)(*values)) for backend in ("cupy", "numpy"))
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    np.testing.assert_array_equal(got, want)
    assert not watched.asked


HOSTED: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "sums of halves": (lambda x, i: T.inc_subtensor(x[i, :, i], 1), [numbers((4, 4, 4), "float16"), ROWS]),
    "sums that CuPy flushes": (lambda x, m: T.inc_subtensor(x[m], x[m]), [numbers((4,), "float32"), mask(4)]),
    "products that may be rounded": (T.dot, [numbers((2, 2), "float32"), numbers((2, 2), "int8")]),
    "places of halves": (lambda x: T.argmax(x, 0), [numbers((4, 3), "float16")]),
    "indices without signs": (
        lambda x, i: x[i, :, i], [numbers((4, 4, 4), "float64"), np.array([0, 1], "uint64")]
    ),
}


@pytest.mark.parametrize("case", HOSTED)
def test_what_cupy_would_compute_otherwise(case: str) -> None:
    build, values = HOSTED[case]
    f = compiled(build, values, "cupy")
    np.testing.assert_array_equal(f(*values), compiled(build, values, "numpy")(*values))
    assert None in libraries(f)
    assert " to the host, " in str(f.schedule)


# ---- the schedule ----


def test_a_schedule_says_what_cupy_computes() -> None:
    x, n = T.dvector("x"), T.lmatrix("n")
    positive = x > 0
    f = function([x, n], [T.inc_subtensor(x[positive], x[positive]), T.dot(n, n)], backend="cupy", name="both")
    assert str(f.schedule) == SCHEDULE


SCHEDULE = """\
schedule both(x, n)
    0  check n.shape[1] == n.shape[0]
    1  t3 = kernel 0 (x, c2): gt
    2  t4 = call AdvancedSubtensor{mask:1}(x, t3)  # CuPy computes it, on the device
    3  t5 = call IncSubtensor{mask:1}(x, t4, t3)  # CuPy computes it, on the device
    4  t6 = call dot(n, n)  # CuPy computes it, on the device
commit  t5, t6
memory  bool[x.shape[0]]  t3
runs    step by step
waits   for t4.shape[0], the places of t3"""


def test_a_size_that_the_host_knows_is_not_waited_for() -> None:
    x, n = T.dvector("x"), T.lscalar("n")
    for step, waits in ((n, False), (T.cast(x.sum(), "int64"), True)):
        f = function([x, n], x[::step] * 2, backend="cupy", on_unused_input="ignore")
        assert f(np.ones(3), 3).tolist() == [2.0]
        assert ("waits" in str(f.schedule)) == waits


# ---- the device that stands for a GPU ----


def test_rules_of_libraries(watched: Watched) -> None:
    device = watched
    x = device.asarray(np.arange(6.0).reshape(2, 3))
    where = Placed(x.address, "float64", (2, 3))
    copied, _ = device.find(lambda library, x: library.dot(x.T, x), [where])
    assert (copied.dtype, copied.shape) == ("float64", (3, 3))
    with pytest.raises(DeviceError, match="lies in an operand"):
        device.find(lambda library, x: x[1:], [where])
    with pytest.raises(DeviceError, match="no elements"):
        device.find(lambda library, x: x, [Placed(x.address, "float64", (0,))])
    with pytest.raises(DeviceError, match="not in memory of the device"):
        device.find(lambda library, x: x + 1, [Placed(x.address, "float64", (2, 4))])
    device.begin()
    for ask in (lambda: device.compute(lambda library, x: x, [where], where), lambda: device.find(abs, [where])):
        with pytest.raises(DeviceError, match="during capture"):
            ask()
    device.end()
