"""Launches that run beside each other: which do, that they do what they would one after the other, and their memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc.tensor as T
from graphc import function, shared
from graphc.backends.cupy import instance, nvrtc, walk
from graphc.backends.cupy.beside import Piece, Room, groups, spans
from graphc.backends.cupy.chosen import standing_in
from graphc.backends.cupy.commands import RunKernel
from graphc.backends.cupy.launches import MOST_LITTLE, MOST_TURNS, Sequel, prepare
from graphc.tensor import nnet
from tests.cuda.corpus import BY_NAME, CORPUS, calls, compiled, sources, usual_sizes
from tests.cuda.host_device import ORDERS, HostDevice, compiler
from tests.cuda.play import close, noticed, play
from tests.cuda.test_commit import training_step
from tests.cuda.test_corpus import MOST_REGISTERS
from tests.cuda.together import Played, alone, in_lots, together

needs_compiler = pytest.mark.skipif(compiler() is None, reason="g++ compiles the kernels for the CPU")

# ---- which commands: each reads some cells and writes some; those in capitals stay commands of their own, and of the
# others four fit, with three texts: their names ----

ORDER = {
    "nothing in common": ("a: x>y  b: z>w", "ab"),
    "the same is read": ("a: x>y  b: x>z", "ab"),
    "read after write": ("a: x>y  b: y>z", "a b"),
    "write after read": ("a: x>y  b: z>x", "a b"),
    "write after write": ("a: x>y  b: z>y", "a b"),
    "written and read": ("a: x>y  b: y>y  c: y>z", "a b c"),
    "the earliest": ("a: x>y  b: y>z  c: x>w", "ac b"),
    "the earliest behind it": ("a: x>y  b: y>z  c: y>w", "a bc"),
    "behind the last that read": ("a: x>y  b: y>z  c: w>x  d: w>y", "a bc d"),
    "two chains": ("a: x>y  b: y>z  c: u>v  d: v>w", "ac bd"),
    "others keep their places": ("A: x>y  B: z>w  c: z>u  D: z>v", "A B c D"),
    "before others": ("a: x>y  B: y>z  c: w>u  D: u>v", "ac B D"),
    "behind others": ("a: x>y  B: y>z  c: z>u  d: y>v", "a B cd"),
    "one memory, one after the other": ("a: x>m  b: m>y  c: z>m  d: m>w", "a b c d"),
    "only three fit": ("a: x>y  b: x>z  c: x>u  d: x>v", "abc d"),
    "of equal text more fit": ("a: x>y  b: x>z  e: x>u  e: x>v  e: x>w", "abee e"),
    "what does not fit joins the next": ("a: x>y  b: x>z  c: x>u  d: y>v  e: x>w", "abc de"),
}


def pieces(text: str) -> tuple[str, list[Piece]]:
    """The names of commands, and what they touch."""
    found = re.findall(r"(\w): (\w*)>(\w*)", text)
    names = "".join(name for name, *_ in found)
    return names, [piece(read, written, name.islower(), name) for name, read, written in found]


def piece(read: Any, written: Any, joins: bool, text: str = "") -> Piece:
    """A command."""
    read, written = ([ord(x) if isinstance(x, str) else x for x in cells] for cells in (read, written))
    return Piece([*read, *written], written, Room(1, 10, text) if joins else None)


@pytest.mark.parametrize("case", ORDER)
def test_which_commands_run_at_the_same_time(case: str) -> None:
    text, wanted = ORDER[case]
    names, found = pieces(text)
    assert " ".join("".join(names[i] for i in group) for group in groups(found, Room(4, 35))) == wanted


some = st.lists(
    st.builds(piece, st.sets(st.integers(0, 6), max_size=2), st.sets(st.integers(0, 6), max_size=2), st.booleans()),
    max_size=14,
)


@given(some)
def test_each_comes_after_what_it_depends_on(commands: list[Piece]) -> None:
    found = groups(commands, Room(3, 1000))
    position = {i: p for p, group in enumerate(found) for i in group}
    assert sorted(position) == list(range(len(commands)))
    for j, later in enumerate(commands):
        for i, earlier in enumerate(commands[:j]):
            if not set(earlier.touched).isdisjoint(later.written) or not set(earlier.written).isdisjoint(later.touched):
                assert position[i] < position[j]
            if earlier.room is None and later.room is None:
                assert position[i] < position[j]
    for group in found:
        assert len(group) == 1 or all(commands[i].room is not None for i in group)
        assert len(group) <= 3


@given(some)
def test_spans_are_from_the_first_touch_to_the_last(commands: list[Piece]) -> None:
    order = [[commands[i] for i in group] for group in groups(commands, Room(3, 1000))]
    for cell, (first, last) in spans(order).items():
        touching = [p for p, group in enumerate(order) if any(cell in piece.touched for piece in group)]
        assert (touching[0], touching[-1]) == (first, last)


# ---- which launches ----


@pytest.mark.parametrize("n, m, fits", [(200, 90, True), (2, 32 * (MOST_TURNS + 1), False), (2**17, 9, False)])
def test_what_takes_long_does_not_run_beside_others(n: int, m: int, fits: bool) -> None:
    assert (n * m > MOST_LITTLE) == (n == 2**17)
    (call,) = calls(BY_NAME["row_softmax"], n=3, m=5)
    sizes = dict(zip(call.kernel.sizes, sorted([n, m], reverse=n > m), strict=True))
    (launch,) = prepare(call.kernel, sizes.__getitem__, 132, beside=True).launches
    assert (launch.beside is not None) == fits
    (single,) = prepare(call.kernel, sizes.__getitem__, 132, alone=True).launches
    assert single.beside is None


# ---- kernels of the corpus ----


@cache
def lots(full: bool) -> list[Played]:
    """The calls of the corpus, or of half of it, a few at a time."""
    programs = CORPUS if full else CORPUS[::2]
    found = [
        alone(call, **usual_sizes(program)) for program in programs for call in calls(program, **usual_sizes(program))
    ]
    return in_lots([made for made in found if made[0].steps and made[0].wanted is not None], 5)


@needs_compiler
def test_kernels_beside_each_other_do_what_they_do_alone(full: bool) -> None:
    """In every order of blocks, to the same bits where a kernel alone gives the same bits."""
    kernels = {name: launch for _, used in lots(full) for name, launch in used.items()}
    modules = compiled(HostDevice(), sources(kernels, at_once=20))
    devices = [HostDevice(order) for order in ORDERS]
    for made, _ in lots(full):
        found = noticed(devices, [modules] * len(devices), made)
        assert found is None, f"{made}: {found}"


@needs_compiler
@pytest.mark.parametrize("name", ["row_softmax", "column_sum", "several_reductions", "gather", "layer"])
def test_kernels_of_equal_text_are_written_once(name: str) -> None:
    """Three of one between others."""
    sizes = usual_sizes(BY_NAME[name])
    same = alone(calls(BY_NAME[name], **sizes)[0], **sizes)
    other = alone(calls(BY_NAME["map_chain"], n=70, m=35)[0], n=70, m=35)
    made, kernels = together([other, same, same, same, other])
    text = kernels[made.steps[0].name].source("kernel")
    assert text.count("typedef") == 3
    assert "    if (blockIdx.x < end1) {" in text
    assert "    } else if (blockIdx.x < end2) {" in text
    modules = compiled(HostDevice(), sources(kernels))
    devices = [HostDevice(order) for order in ORDERS]
    assert noticed(devices, [modules] * len(devices), made) is None


@needs_compiler
def test_a_check_of_one_kernel_does_not_touch_the_others() -> None:
    (bad, *_) = (made for made in map(alone, calls(BY_NAME["gather"], True, n=3, m=5)) if made[0].wanted is None)
    (good, *_) = (alone(call, n=3, m=5) for call in calls(BY_NAME["column_sum"], n=3, m=5))
    for pair in ([bad, good], [good, bad]):
        made, kernels = together(pair)
        assert len(made.steps) == max(len(bad[0].steps), len(good[0].steps))
        after = play(HostDevice(), compiled(HostDevice(), sources(kernels)), made)
        first = 0 if pair[0] is good else len(bad[0].buffers)
        assert after[made.error]
        for i, want in (good[0].wanted or {}).items():
            assert close(after[first + i], want, good[0].ulps)


@pytest.mark.skipif(nvrtc.found() is None, reason="NVRTC was not found: pip install nvidia-cuda-nvrtc")
@pytest.mark.parametrize("arch", ["sm_75", "sm_90"])
def test_nvrtc_compiles_kernels_beside_each_other(arch: str, full: bool) -> None:
    kernels = {name: launch for _, used in lots(full) for name, launch in used.items()}
    for source in sources(kernels, at_once=20):
        for name, taken in nvrtc.compile(source, arch).kernels.items():
            assert taken.registers <= MOST_REGISTERS, (name, taken)
            assert not taken.spills, taken
            assert taken.shared <= 48 * 1024, taken


@needs_compiler
@pytest.mark.skipif(nvrtc.found() is None, reason="NVRTC was not found: pip install nvidia-cuda-nvrtc")
@pytest.mark.parametrize("arch", ["sm_75", "sm_90"])
def test_nvrtc_compiles_a_training_step(arch: str) -> None:
    with standing_in(made := HostDevice()):
        f, given = training_step(made)
        f(*given)
    kernels = nvrtc.compile(f.cuda, arch).kernels
    several = [name for name in kernels if re.search(rf"{name}\(const unsigned int end0", f.cuda)]
    assert len(several) == 3
    for name in several:
        assert kernels[name].registers <= MOST_REGISTERS, kernels[name]
        assert not kernels[name].spills, kernels[name]


# ---- functions ----

Build = Callable[[Any, Any, Any], Sequence[Any]]
N, M = 150, 130  # enough that one block does not run all


def scattered(x: Any, i: Any) -> Any:
    return T.inc_subtensor(T.zeros_like(x)[i], x[i])


# Of matrices x (N, N) and y (M, M), and a vector of indices: what is computed, and how many launches it takes, and
# how many if each kernel is one.
FUNCTIONS: dict[str, tuple[Build, int, int]] = {
    "of two sizes": (lambda x, y, i: [T.exp(x), T.tanh(y)], 1, 2),
    "totals": (lambda x, y, i: [x.sum(), y.max()], 1, 2),
    "rows and columns": (lambda x, y, i: [nnet.softmax(x), T.exp(y).sum(axis=0)], 1, 2),
    "products": (lambda x, y, i: [T.dot(x, x.T), T.tanh(T.dot(y.T, y))], 1, 2),
    "indices": (lambda x, y, i: [x[i] * 2, T.exp(y)], 1, 2),
    "read after write": (lambda x, y, i: [x / T.exp(x).sum(), y + 1], 2, 3),
    "two chains": (lambda x, y, i: [T.dot(T.dot(x, x), x), T.dot(T.dot(y, y), y)], 2, 4),
    "one memory": (lambda x, y, i: [T.dot(T.dot(x, x), x), T.dot(T.dot(x.T, x), x)], 2, 4),
    "write after write": (lambda x, y, i: [scattered(x, i), y * 2], 2, 4),
}


def instance_of(f: Any) -> Any:
    """What the last call ran."""
    return f._latest.executable._last.instance


def launches_of(f: Any) -> int:
    """How many launches the last call was."""
    made = instance_of(f)
    return sum(isinstance(c, RunKernel) for c in (*made.commands, *made.commits))


def one_after_the_other() -> Any:
    """Each launch by itself, in the shape in which it would run beside others."""

    def prepared(*arguments: Any) -> Sequel:
        made = prepare(*arguments)
        return replace(made, launches=tuple(launch.beside or launch for launch in made.launches))

    return mock.patch.object(walk, "prepare", prepared)


def results(case: str, order: str = "forward") -> tuple[list[bytes], int]:
    """The bits that some calls of a function give, and how many launches a call is."""
    build, *_ = FUNCTIONS[case]
    rng = np.random.default_rng(1)
    found: list[bytes] = []
    with standing_in(HostDevice(order, late=True)):
        (x, y), i = T.dmatrices("x", "y"), T.lvector("i")
        f = function([x, y, i], build(x, y, i), backend="cupy", on_unused_input="ignore")
        for _ in range(3):
            given = rng.normal(size=(N, N)), rng.normal(size=(M, M)), rng.permutation(N)[:40]
            found += [np.asarray(result).tobytes() for result in f(*given)]
        return found, launches_of(f)


@needs_compiler
@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_give_the_same_bits_as_one_launch_after_the_other(case: str) -> None:
    _, together, apart = FUNCTIONS[case]
    with one_after_the_other():
        wanted, count = results(case)
    assert count == apart
    for order in ORDERS:
        found, count = results(case, order)
        assert count == together
        assert are_equal(found, wanted), order


def are_equal(found: list[bytes], wanted: list[bytes]) -> bool:
    """Of which pytest has nothing to print."""
    return found == wanted


@needs_compiler
@pytest.mark.parametrize("case", [case for case, (_, count, _) in FUNCTIONS.items() if count > 1])
def test_what_depends_on_another_would_be_wrong_beside_it(case: str) -> None:
    """In some order of blocks: the cases above are worth something."""
    wanted, _ = results(case)

    def forgetful(pieces: Sequence[Piece], most: Room) -> list[list[int]]:
        return groups([piece._replace(written=()) for piece in pieces], most)

    with mock.patch.object(instance, "groups", forgetful):
        every = [results(case, order) for order in ORDERS]
    assert {count for _, count in every} == {1}
    assert not all(are_equal(found, wanted) for found, _ in every)


@needs_compiler
def test_where_memory_is_much_arrays_take_turns() -> None:
    """Two chains of one shape: what the first one keeps has the place of what the second one does."""
    wanted, count = results("one memory")
    with mock.patch.object(instance, "MOST_APART", 0):
        every = [results("one memory", order) for order in ORDERS]
    assert {count, *(taken for _, taken in every)} == {2, 4}
    assert all(are_equal(found, wanted) for found, _ in every)


@needs_compiler
def test_what_is_needed_at_the_same_time_does_not_share_memory() -> None:
    """Two chains: what the second one keeps is written when the first one begins."""
    wanted, _ = results("two chains")

    def of_steps(order: Sequence[Sequence[Piece]]) -> dict[int, tuple[int, int]]:
        return spans([[piece] for group in zip(*order, strict=True) for piece in group])

    with mock.patch.object(instance, "spans", of_steps):
        found, _ = results("two chains")
    assert not are_equal(found, wanted)


@pytest.fixture
def device() -> Iterator[HostDevice]:
    with standing_in(HostDevice("reverse", late=True)) as made:
        yield made


@needs_compiler
def test_all_new_values_are_written_by_one_launch(device: HostDevice) -> None:
    start = {name: np.random.default_rng(2).normal(size=n) for name, n in (("a", 20_000), ("b", 300), ("c", 7))}
    x = T.dscalar("x")
    made = []
    for backend in ("numpy", "cupy"):
        variables = [shared(value, name) for name, value in start.items()]
        f = function([x], updates={v: v - x * T.tanh(v) for v in variables}, backend=backend)
        for rate in (0.1, 0.2, 0.3):
            f(rate)
        made.append([v.get_value() for v in variables])
    for want, got in zip(*made, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-13)
    assert launches_of(f) == 1
    assert f.cuda.count("__global__") == 1
    assert "blockIdx.x < end1" in f.cuda


@needs_compiler
def test_a_launch_without_another_beside_it_is_as_it_was(device: HostDevice) -> None:
    x = T.dmatrix("x")
    f = function([x], T.exp(x).sum(axis=0), backend="cupy")
    f(np.ones((N, N)))
    (run,) = instance_of(f).commands
    assert run.block == (32, 32)
    assert "end0" not in f.cuda


@needs_compiler
def test_no_launch_has_too_many_arguments_or_statements(device: HostDevice) -> None:
    """A few hundred vectors of different lengths: their kernels are of equal text, and written once a launch."""
    xs = [T.dvector(f"x{i}") for i in range(600)]
    f = function(xs, [T.tanh(x * i) for i, x in enumerate(xs, 2)], backend="cupy")
    values = [np.full(100 + i, 1 / (i + 1)) for i in range(600)]
    for i, (got, value) in enumerate(zip(f(*values), values, strict=True), 2):
        np.testing.assert_allclose(got, np.tanh(value * i), rtol=1e-14)
    runs = instance_of(f).commands
    assert 1 < len(runs) < 5
    assert max(len(run.arguments) for run in runs) <= instance.MOST_ARGUMENTS
    assert f.cuda.count("tanh(") == len(runs)
