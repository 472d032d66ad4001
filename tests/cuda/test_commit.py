"""Updates in the commit: written to where the old values are, and what must not be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import graphc.tensor as T
from benchmarks.native import FLOAT32_MLP, mlp_data, mlp_function
from graphc import config, function, shared
from graphc.backends.cupy import walk
from graphc.backends.cupy.chosen import standing_in
from graphc.backends.cupy.commands import Copy, Multiply, RunKernel
from graphc.ifelse import ifelse
from tests.cuda.host_device import HostDevice, compiler
from tests.cuda.play import close

pytestmark = pytest.mark.skipif(compiler() is None, reason="g++ compiles the kernels for the CPU")

N = 140  # one block does not run all
FEW = 1 << 15  # products of no more multiplications would still be our own
RATE = 0.01
ROWS = [1, 7, 1]
ULPS = 256  # of the largest element: sums of N products in other orders, over a few steps

Updates = Callable[[Any, Any, Any, Any], dict[Any, Any]]

# Of matrices w and v, given matrices x and y: the updates, and how many products and launches run in the commit, if
# products are cuBLAS's; if they are our own, those products are kernels too, and all kernels are one launch.
CASES: dict[str, tuple[Updates, tuple[int, int]]] = {
    "a step": (lambda w, v, x, y: {w: w - RATE * T.dot(x.T, y)}, (1, 0)),
    "a step up": (lambda w, v, x, y: {w: T.dot(x, y.T) * RATE + w}, (1, 0)),
    "a product is added": (lambda w, v, x, y: {w: w + T.dot(x, y), v: v - T.dot(y, x)}, (2, 0)),
    "elementwise": (lambda w, v, x, y: {w: w - RATE * T.tanh(x), v: v * y}, (0, 1)),
    "momentum": (lambda w, v, x, y: {v: 0.9 * v - RATE * x, w: w + 0.9 * v - RATE * x}, (0, 1)),
    "nothing old": (lambda w, v, x, y: {w: x * y + 1}, (0, 1)),
    "the product is read twice": (lambda w, v, x, y: {w: w - T.dot(x, y), v: T.exp(T.dot(x, y) * 1e-3)}, (0, -1)),
    "not minus it": (lambda w, v, x, y: {w: T.dot(x, y) - w}, (0, 1)),
    "a factor is replaced": (lambda w, v, x, y: {w: w - RATE * T.dot(v, y), v: v + 1}, (0, -1)),
    "a factor is the variable": (lambda w, v, x, y: {w: w - RATE * T.dot(w, w)}, (0, -1)),
    "transposed": (lambda w, v, x, y: {w: w.T + x}, (0, 0)),
    "of each other": (lambda w, v, x, y: {w: v + x, v: w + x}, (0, -1)),
    "twice the same": (lambda w, v, x, y: {w: w + x, v: w + x}, (0, -1)),
    "some rows": (lambda w, v, x, y: {w: T.inc_subtensor(w[ROWS], x[:3])}, (0, 1)),
    "some rows, twice": (lambda w, v, x, y: {w: T.set_subtensor(T.inc_subtensor(w[ROWS], x[:3])[2:4], y[:2])}, (0, -1)),
    "some rows of both": (lambda w, v, x, y: {w: T.inc_subtensor(w[ROWS], x[:3]), v: v * y}, (0, -1)),
    "rows of each other": (
        lambda w, v, x, y: {w: T.inc_subtensor(w[ROWS], v[ROWS]), v: T.set_subtensor(v[2], w[1])}, (0, -1),
    ),
    "rows by what is replaced": (lambda w, v, x, y: {w: T.inc_subtensor(w[ROWS], v[0]), v: v + x}, (0, -1)),
    "rows, and what reads them": (lambda w, v, x, y: {w: T.inc_subtensor(w[ROWS], 1.0), v: v - w}, (0, -1)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def device() -> Iterator[HostDevice]:
    with standing_in(HostDevice(late=True)) as made:
        yield made


def instance_of(f: Any) -> Any:
    """What the last call ran."""
    return f._latest.executable._last.instance


def counted(f: Any) -> tuple[int, int]:
    """How many products and launches of the last call ran in the commit."""
    commits = instance_of(f).commits
    return tuple(sum(isinstance(c, kind) for c in commits) for kind in (Multiply, RunKernel))  # type: ignore[return-value]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products are cuBLAS's."""
    monkeypatch.setattr(walk, "MOST_OWN", FEW)


@pytest.mark.parametrize("checked", [False, True], ids=["", "checked"])
@pytest.mark.parametrize("arguments", ["host", "device", "live"])
@pytest.mark.parametrize("case", CASES)
def test_updates_are_those_of_numpy(
    device: HostDevice, case: str, arguments: str, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an argument is the very memory that is replaced, and if something is checked before."""
    for most in (FEW, walk.MOST_OWN):
        monkeypatch.setattr(walk, "MOST_OWN", most)
        updated(device, case, arguments, checked, is_own=most > FEW)


def updated(device: HostDevice, case: str, arguments: str, checked: bool, is_own: bool) -> None:
    rng = np.random.default_rng(0)
    a, b, start = rng.normal(size=(3, N, N))
    made: list[Any] = []
    for backend in ("numpy", "cupy"):
        w, v = shared(start, "w"), shared(start * 2, "v")
        (x, y), i = T.dmatrices("x", "y"), T.lvector("i")
        updates, _ = CASES[case]
        outputs = [i.sum(), w[i].sum() if checked else w[1].sum()]
        f = function([x, y, i], outputs, updates=updates(w, v, x, y), backend=backend, on_unused_input="ignore")
        made.append((f, w, v))
    (reference, *expected), (f, w, v) = made
    for _ in range(4):
        first: Any = a
        if arguments == "live":
            first = w.get_value(borrow=True, return_internal_type=True)
        given = [first, b] if arguments == "host" else [first if arguments == "live" else device.asarray(a), b]
        wanted = reference(w.get_value() if arguments == "live" else a, b, [1, 2])
        found = f(*given, [1, 2])
        for got, want in zip(found, wanted, strict=True):
            assert close(np.asarray(getattr(got, "get", lambda got=got: got)()), want, ULPS)
        for got, want in zip((w, v), expected, strict=True):
            assert close(got.get_value(), want.get_value(), ULPS)
    products, launches = CASES[case][1]
    if is_own:
        products, launches = 0, min(launches + products, 1) if launches >= 0 else -1
    assert counted(f)[0] == products
    assert launches < 0 or counted(f)[1] == launches
    before = w.get_value(), v.get_value()
    if checked:
        with pytest.raises(IndexError):
            f(a, b, [N])
        for got, want in zip((w, v), before, strict=True):
            np.testing.assert_array_equal(got.get_value(), want)


def test_new_values_are_where_the_old_ones_were(device: HostDevice) -> None:
    w, x = shared(np.zeros((N, N)), "w"), T.dmatrix("x")
    f = function([x], updates={w: w + T.dot(x, x)}, backend="cupy")
    f(np.eye(N))
    there = w.get_value(borrow=True, return_internal_type=True)
    for i in range(2, 5):
        f(np.eye(N))
        np.testing.assert_array_equal(there.get(), i * np.eye(N))
    mine = device.asarray(np.eye(N))
    w.set_value(mine, borrow=True)
    f(np.eye(N))
    np.testing.assert_array_equal(w.get_value(), 2 * np.eye(N))
    np.testing.assert_array_equal(mine.get(), np.eye(N), "a function does not write into the user's memory")


def test_rows_that_are_not_written_are_not_copied(device: HostDevice) -> None:
    """Unless the user has the memory of the old value."""
    w, i = shared(np.zeros((N, N)), "w"), T.lvector("i")
    f = function([i], updates={w: T.inc_subtensor(w[i], 1.0)}, backend="cupy")
    expected = np.zeros((N, N))
    for _ in range(3):
        f(ROWS)
        np.add.at(expected, ROWS, 1.0)
        np.testing.assert_array_equal(w.get_value(), expected)
    copies = [c for c in instance_of(f).commits if isinstance(c, Copy)]
    assert [c.target.value == c.source.value for c in copies] == [True]
    mine = device.asarray(expected)
    w.set_value(mine, borrow=True)
    f(ROWS)
    np.testing.assert_array_equal(mine.get(), expected)
    np.add.at(expected, ROWS, 1.0)
    np.testing.assert_array_equal(w.get_value(), expected)
    with pytest.raises(IndexError):
        f([0, N])
    np.testing.assert_array_equal(w.get_value(), expected)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("precision", ["highest", "tf32"])
def test_tf32_only_when_asked_for(device: HostDevice, precision: str) -> None:
    """Of products that are added too, in recordings, and of those that are told one by one."""
    w, x, b = shared(np.zeros((N, N), "float32"), "w"), T.fmatrix("x"), T.bscalar("b")
    step = function([x], T.dot(x, x), updates={w: w - T.dot(x, x.T)}, backend="cupy", matmul_precision=precision)
    branch = function([b, x], ifelse(b, T.dot(x, x), x), backend="cupy", matmul_precision=precision)
    value = np.eye(N, dtype="float32")
    for _ in range(3):
        step(value)
        branch(1, value)
    assert device.precisions == [precision] * 9
    with config.change_flags(matmul_precision=precision):
        function([x], T.dot(x, x), backend="cupy")(value)
    assert device.precisions == [precision] * 10


def test_the_nodes_of_a_training_step(device: HostDevice) -> None:
    """784-512-512-10, batch 128: products are kernels, together with what reads them; updates run in the commit."""
    f, given = training_step(device)
    for _ in range(2):
        f(*given)
    assert not any(isinstance(c, Multiply) for c in instance_of(f).commands)
    assert counted(f) == (0, 1)
    assert f._latest.executable.nodes <= MOST_NODES


@pytest.mark.usefixtures("library")
def test_the_products_of_a_training_step(device: HostDevice) -> None:
    """Eight products of the library, of which three go straight into the weights."""
    f, given = training_step(device)
    for _ in range(2):
        f(*given)
    assert sum(isinstance(c, Multiply) for c in instance_of(f).commands) == 5
    assert counted(f) == (3, 1)


def training_step(device: HostDevice) -> tuple[Any, tuple[Any, Any]]:
    """A step of a network, and its arguments on the device."""
    x, y, start = mlp_data(FLOAT32_MLP, 128)
    return mlp_function(start, {"backend": "cupy"}), (device.asarray(x), device.asarray(y))


MOST_NODES = 8
