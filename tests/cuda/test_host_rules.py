"""What a static function may do on the host between calls, on a device where everything waits for `synchronize`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc
import graphc.tensor as T
from graphc import function
from graphc.backends.cupy.arena import ALIGNMENT, Life, aligned, packed
from graphc.backends.cupy.chosen import standing_in
from graphc.backends.cupy.numbers import is_static
from graphc.tensor import nnet
from tests.cuda.corpus import plan_of
from tests.cuda.host_device import HostDevice, HostRecording, compiler
from tests.cuda.play import close
from tests.kernels.programs import PROGRAMS, Program

needs_compiler = pytest.mark.skipif(compiler() is None, reason="g++ was not found")


class Counting(HostDevice):
    """Counts what is asked of it, in capture and out of it.  What may not be in capture, `HostDevice` refuses."""

    def __init__(self) -> None:
        super().__init__(late=True)
        self.asked: Counter[str] = Counter()

    def compile(self, source: str) -> Any:
        self.asked["compile"] += 1
        return super().compile(source)

    def allocate(self, nbytes: int) -> Any:
        self.asked["allocate"] += 1
        return super().allocate(nbytes)

    def begin(self) -> None:
        self.asked["record"] += 1
        super().begin()

    def end(self) -> HostRecording:
        recording = super().end()
        self.asked["recorded"] += len(recording.operations)
        return recording

    def synchronize(self) -> None:
        self.asked["synchronize"] += 1
        super().synchronize()

    def since(self, before: Counter[str]) -> Counter[str]:
        """What was asked since then."""
        return self.asked - before


@pytest.fixture
def device() -> Iterator[Counting]:
    """The device that stands for a GPU."""
    with standing_in(made := Counting()):
        yield made


STATIC = [program for program in PROGRAMS if is_static(plan_of(program, ""))]


def test_most_programs_are_static() -> None:
    assert len(STATIC) > len(PROGRAMS) * 3 // 4


# ---- calls from the host ----


@needs_compiler
@pytest.mark.parametrize("program", STATIC, ids=str)
def test_calls_of_the_same_sizes_compile_allocate_and_record_nothing(program: Program, device: Counting) -> None:
    reference, f = program.function("numpy"), program.function("cupy")
    values = program.values(n=40, m=40)
    for _ in range(2):  # the first call finds its places, the second one records them
        agree(f(*values), reference(*values))
    before = device.asked.copy()
    for i in range(3):
        changed = [x if x.dtype.kind != "f" else np.asarray(x + i) for x in values]
        agree(f(*changed), reference(*changed))
    asked = device.since(before)
    assert not asked.keys() & {"compile", "allocate", "record"}, asked
    assert asked["synchronize"] <= 3, "one wait for each call"


@needs_compiler
def test_sizes_that_come_again_find_what_was_made_for_them(device: Counting) -> None:
    program = next(p for p in STATIC if p.name == "chained_rows")
    reference, f = program.function("numpy"), program.function("cupy")
    every = [program.values(n=n, m=m) for n, m in ((3, 5), (40, 40), (2, 200))]
    for _ in range(2):
        for values in every:
            agree(f(*values), reference(*values))
    before = device.asked.copy()
    for values in every[::-1]:
        agree(f(*values), reference(*values))
    assert not device.since(before).keys() & {"compile", "allocate", "record"}


@needs_compiler
def test_a_recording_holds_what_the_first_call_did(device: Counting) -> None:
    x = T.dmatrix("x")
    f = function([x], [nnet.softmax(x), T.exp(x).sum(axis=0), x.sum(), (x * 2).max(axis=1)], backend="cupy")
    value = np.random.default_rng(1).normal(size=(300, 60))
    f(value)
    first = len(device.launches)
    f(value)
    again = len(device.launches) - first
    assert again == first
    assert device.asked["record"] <= 1
    f(value)
    assert len(device.launches) - first - again == first


@needs_compiler
def test_a_number_that_no_size_follows_from_may_change(device: Counting) -> None:
    x, s = T.dmatrix("x"), T.dscalar("s")
    f = function([x, s], [T.stack([s, s + 1]), T.concatenate([x, x * s])], backend="cupy")
    value = np.ones((40, 40))
    for i in range(5):
        if i == 2:
            before = device.asked.copy()
        pair, joined = f(value, np.array(i / 2))
        np.testing.assert_array_equal(pair, [i / 2, i / 2 + 1])
        np.testing.assert_array_equal(joined, np.concatenate([value, value * i / 2]))
    assert not device.since(before).keys() & {"compile", "allocate", "record"}


# ---- arrays on the device ----


@needs_compiler
def test_arrays_on_the_device_stay_there_and_their_places_may_change(device: Counting) -> None:
    x, y = T.dmatrix("x"), T.dvector("y")
    build = [nnet.softmax(x * y), T.exp(x).sum(axis=0) + y]
    f, reference = (function([x, y], build, backend=backend) for backend in ("cupy", "numpy"))
    random = np.random.default_rng(2)
    for i in range(6):
        values = random.normal(size=(300, 60)), random.normal(size=60)
        there = [device.asarray(v) for v in values]
        before = device.asked.copy()
        results = f(*there)
        assert not i or not device.since(before)["synchronize"], "nobody waits for what stays on the device"
        assert all(device.holds(r) for r in results)
        agree([r.get() for r in results], reference(*values))


@needs_compiler
def test_results_on_the_device_are_not_overwritten_by_the_next_call(device: Counting) -> None:
    x = T.dmatrix("x")
    f = function([x], [T.exp(x), x.sum(axis=0)], backend="cupy")
    values = [np.full((30, 40), i / 10) for i in range(5)]
    results = [f(device.asarray(value)) for value in values]
    for value, (exp, total) in zip(values, results, strict=True):
        np.testing.assert_allclose(exp.get(), np.exp(value))
        np.testing.assert_allclose(total.get(), value.sum(axis=0))


@needs_compiler
def test_results_on_the_host_are_not_overwritten_by_the_next_call(device: Counting) -> None:
    x = T.dmatrix("x")
    f = function([x], T.exp(x), backend="cupy")
    values = [np.full((30, 40), i / 10) for i in range(5)]
    results = [f(value) for value in values]
    for value, result in zip(values, results, strict=True):
        np.testing.assert_allclose(result, np.exp(value))


# ---- shared variables ----


@needs_compiler
@pytest.mark.parametrize("rows", [4, 500], ids=["one block", "many launches"])
def test_updates_stay_where_they_are_and_nothing_is_made_for_them(rows: int, device: Counting) -> None:
    x = T.dmatrix("x")
    start = np.random.default_rng(4).normal(size=(30, 20))
    w = graphc.shared(start.copy(), name="w")
    cost = T.sqr(T.dot(x, w)).mean()
    step = function([x], cost, updates=[(w, w - 0.1 * T.grad(cost, w))], backend="cupy")
    value = np.random.default_rng(5).normal(size=(rows, 30))
    expected = start
    for i in range(6):
        if i == 3:
            before = device.asked.copy()
        product = value @ expected
        np.testing.assert_allclose(step(value), np.square(product).mean(), rtol=1e-9)
        expected = expected - 0.1 * (value.T @ (2 * product)) / product.size
    assert not device.since(before).keys() & {"compile", "allocate", "record"}
    np.testing.assert_allclose(w.get_value(), expected, rtol=1e-9)


@needs_compiler
def test_a_value_that_is_set_is_the_one_that_is_used(device: Counting) -> None:
    w = graphc.shared(np.zeros(5), name="w")
    step = function([], w.sum(), updates=[(w, w + 1)], backend="cupy")
    assert [float(step()) for _ in range(3)] == [0, 5, 10]
    w.set_value(np.full(5, 100.0))
    assert [float(step()) for _ in range(3)] == [500, 505, 510]
    w.set_value(np.full(7, 1.0))
    assert [float(step()) for _ in range(3)] == [7, 14, 21]


# ---- checks ----


@needs_compiler
def test_a_call_that_is_refused_changes_nothing_and_the_next_one_is_right(device: Counting) -> None:
    w = graphc.shared(np.zeros((4, 3)), name="w")
    i = T.lvector("i")
    step = function([i], w.sum(), updates=[(w, T.inc_subtensor(w[i], 1.0))], backend="cupy")
    step([0, 1])
    with pytest.raises(IndexError, match="9 is out of bounds"):
        step([0, 9])
    np.testing.assert_array_equal(w.get_value().sum(axis=1), [3, 3, 0, 0])
    assert float(step([2, 2])) == 6
    np.testing.assert_array_equal(w.get_value().sum(axis=1), [3, 3, 6, 0])


def agree(results: Any, wanted: Any) -> None:
    """Equal, but for rounding."""
    if not isinstance(wanted, list | tuple):
        results, wanted = [results], [wanted]
    assert len(results) == len(wanted)
    for got, want in zip(results, wanted, strict=True):
        assert close(np.asarray(got), np.asarray(want), 4096), f"{got} instead of {want}"


# ---- memory ----

lives = st.builds(
    lambda nbytes, first, length: Life(nbytes, first, first + length),
    st.one_of(st.integers(0, 5), st.integers(0, 5000)),
    st.integers(0, 12),
    st.integers(0, 6),
)


@given(st.dictionaries(st.integers(), lives, max_size=12))
def test_what_is_needed_at_the_same_time_does_not_overlap(needed: dict[int, Life]) -> None:
    offsets, total = packed(needed)
    assert offsets.keys() == needed.keys()
    owner: dict[tuple[int, int], int] = {}  # of each piece of memory at each time
    for key, life in needed.items():
        assert offsets[key] % ALIGNMENT == 0
        assert offsets[key] + life.nbytes <= total
        first = offsets[key] // ALIGNMENT
        for time in range(life.first, life.last + 1):
            for piece in range(first, first + aligned(life.nbytes) // ALIGNMENT):
                assert owner.setdefault((time, piece), key) == key
    most = max((piece for _, piece in owner), default=-1) + 1
    assert total == most * ALIGNMENT, "no more than is used"


@given(st.dictionaries(st.integers(), lives, max_size=12))
def test_memory_is_no_more_than_all_pieces_and_no_less_than_the_most_at_a_time(needed: dict[int, Life]) -> None:
    _, total = packed(needed)
    sizes = [aligned(life.nbytes) for life in needed.values()]
    at_once = [sum(aligned(x.nbytes) for x in needed.values() if x.first <= t <= x.last) for t in range(20)]
    assert max(at_once) <= total <= sum(sizes)


class Sum(graphc.Op):
    """Of any number of vectors, by Python."""

    def make_node(self, *inputs: Any) -> graphc.Apply:
        return graphc.Apply(self, inputs, [inputs[0].type])

    def infer_shape(self, sizes: Any, inputs: Any, shapes: Any) -> Any:
        return [shapes[0]]

    def perform(self, node: graphc.Apply, *values: Any) -> Any:
        return sum(values)


@needs_compiler
def test_values_for_a_call_into_python_are_waited_for_once(device: Counting) -> None:
    """And the results once more."""
    x = T.dvector("x")
    f = function([x], [Sum()(T.exp(x), T.sin(x), T.exp(x)), x + 1, x * 2], backend="cupy")
    f([1.0, 2.0])
    before = Counter(device.asked)
    wanted: list[Any] = [2 * np.exp([0, 1]) + np.sin([0, 1]), [1, 2], [0, 2]]
    for found, expected in zip(f([0.0, 1.0]), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert device.since(before)["synchronize"] == 2
