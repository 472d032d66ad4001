"""Every elementwise op in CUDA C, for every dtype it computes in, compared with what NumPy makes of edge values.

All expressions are kernels of one source.  g++ compiles it for the CPU, where undefined behaviour is looked for while
it runs, and NVRTC for two architectures.  On the CPU the C library stands in for CUDA's functions of floats: what is
tested of those is that the right one is called.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc.tensor  # noqa: F401  (declares the ops)
from graphc import dtypes
from graphc.backends.cupy import nvrtc
from graphc.backends.cupy.prelude import PRELUDE, prelude, used
from graphc.backends.cupy.spelling import C_TYPE, accumulate, combine, known, number, spell, spells
from graphc.backends.cupy.teams import TEAMS
from graphc.backends.cupy.tiles import TILES
from graphc.backends.llvm import spelling as llvm
from graphc.evaluator import value_of
from graphc.graph.op import Op
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant
from graphc.kernels.interpret import PAIRS
from graphc.ops.broadcasting import fill
from graphc.ops.conversion import Cast
from graphc.ops.declare import ELEMENTWISE
from graphc.ops.identities import tensor_copy

Array = np.ndarray[Any, Any]

# On a GPU each thread takes one element.
DEVICE = "#define EACH(i, n) if (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n)\n"

# Here a kernel is a function that is called from Python, and runs through all of them.
HOST = """
#include "hostcuda.h"
#undef __global__
#define __global__
#define EACH(i, n) for (long long i = 0; i < n; i++)
"""

FLAGS = (
    "-O1 -std=c++17 -fPIC -shared -ffp-contract=off -fno-strict-aliasing -Wall "
    f"-fsanitize=undefined,float-cast-overflow -I{Path(__file__).parent}"
).split()

# Functions whose last bits are the C library's, or CUDA's; here, the largest error in units in the last place.
INEXACT = frozenset(
    """
    pow exp exp2 expm1 decay log log2 log10 log1p sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh
    arcsinh arccosh arctanh sigmoid softplus logaddexp erf
    """.split()
)
ULPS = 4


# ---- values ----


def values(dtype: str) -> Array:
    """Numbers of a dtype where something may go wrong, and a few where nothing should."""
    if dtype == "bool":
        return np.array([False, True])
    if dtypes.is_float(dtype):
        info = np.finfo(dtype)
        some = [
            0.0, 1.0, 0.5, 1.5, 2.5, 3.0, 0.1, 1e-3, 1e-9, 0.7, 7.25, 20.5, 100.3, 255.9, 300.0, 4e4, 1e5,
            2.0**31, 2.0**32, 2.0**33 + 2.0**20, 2.0**53, 2.0**62, 2.0**63, 1.5 * 2.0**63, 2.0**64, 1e20, 1e30,
            info.max, info.tiny, info.smallest_subnormal, info.tiny / 3, 1 + info.eps, np.inf, np.nan,
        ]  # fmt: skip
        return np.array([sign * x for x in some for sign in (1.0, -1.0)], dtype)
    limits = np.iinfo(dtype)
    some = [0, 1, 2, 3, 5, 7, 8, 31, 32, 63, 64, 100, 127, 1000, limits.max // 2, limits.max // 2 + 1]
    every = {*some, *(-x for x in some), limits.min, limits.min + 1, limits.max, limits.max - 1}
    return np.array(sorted(x for x in every if limits.min <= x <= limits.max), dtype)


def crossed(*arrays: Array) -> tuple[Array, ...]:
    """Every value of each array with every value of the others."""
    return tuple(x.ravel() for x in np.meshgrid(*arrays, indexing="ij"))


# ---- cases ----


@dataclass(frozen=True)
class Case:
    """An expression in ``x0[i]``, ``x1[i]``, ..., and what NumPy makes of `inputs`."""

    label: str
    expression: str
    inputs: tuple[Array, ...]
    out: Array
    exact: bool = True


def names(count: int) -> list[str]:
    return [f"x{k}[i]" for k in range(count)]


def node_of(op: Any, given: Sequence[str]) -> Apply | None:
    """The op on scalars of these dtypes, if it computes in them and a kernel can."""
    try:
        node = op.make_node(*(TensorType(d, shape=())() for d in given))
    except TypeError:
        return None
    return node if op.signature(node.inputs)[0] == tuple(given) and spells(node) else None


def case(node: Apply) -> Case:
    """A node on every combination of values."""
    given = [x.dtype for x in node.inputs]
    dtype = node.outputs[0].dtype
    inputs = crossed(*map(values, given))
    out = numpys(node, inputs)
    if node.op.name == "sigmoid" and dtype == "float32":  # SciPy's underflows where it need not
        out = numpys(node.op.make_node(TensorType("float64", shape=())()), inputs).astype(dtype)
    if isinstance(node.op, Cast) and dtypes.is_float(given[0]) and dtype == "uint32":
        # Of numbers that do not fit NumPy makes other things in arrays than alone.
        out = np.array([numpys(node, [x]) for x in inputs[0]], dtype)
    expression = spell(node.op, names(len(given)), given, dtype)
    return Case(f"{node.op} of {', '.join(given)}", expression, inputs, out, is_exact(node.op, dtype))


def numpys(node: Apply, inputs: Sequence[Any]) -> Array:
    """What NumPy makes of a node."""
    (out,) = value_of(node, inputs)
    return out


def is_exact(op: Op, dtype: str) -> bool:
    return op.name not in INEXACT or not dtypes.is_float(dtype)


def elementwise_cases() -> Iterator[Case]:
    for op in ELEMENTWISE.values():
        for dtype in C_TYPE:
            for first in ("bool", "int16", "float32", "float64") if op.name == "switch" else (dtype,):
                node = node_of(op, (first, *[dtype] * (op.nin - 1)))
                if node is not None:
                    yield case(node)
    for have in C_TYPE:
        x = TensorType(have, shape=())()
        yield case(tensor_copy.make_node(x))
        yield case(fill.make_node(x, x))
        for want in C_TYPE:
            yield case(Cast(want).make_node(x))


def power_cases() -> Iterator[Case]:
    """Powers whose exponent is not negative, and those whose exponent is known to the renderer."""
    for dtype in (*dtypes.INTEGERS, "float32", "float64"):
        is_float = dtypes.is_float(dtype)
        x = values(dtype)
        for exponent in (-3, -1, 0.5, *range(1, 9)) if is_float else (0, 1, 2, 3, 6, 8, 21, 64):
            y = Constant(TensorType(dtype, shape=()), np.asarray(exponent, dtype))
            node = ELEMENTWISE["pow"].make_node(TensorType(dtype, shape=())(), y)
            assert spells(node)
            power = node.op(*(TensorType(dtype, shape=())() for _ in range(2))).owner  # a 0.5 not told is no root
            for told, meant in ((None, power), (exponent, node)):
                out = numpys(meant, [x, np.full_like(x, exponent)])
                expression = spell(node.op, ["x0[i]", number(exponent, dtype)], [dtype] * 2, dtype, told)
                yield Case(f"{dtype} ** {exponent}", expression, (x,), out, is_exact(node.op, dtype))


def reduction_cases() -> Iterator[Case]:
    for kind, function in PAIRS.items():
        for dtype in C_TYPE:
            inputs = crossed(values(dtype), values(dtype))
            with np.errstate(all="ignore"):
                out = function(*inputs).astype(dtype)
            yield Case(f"{kind} of {dtype}", combine(kind, dtype, *names(2)), inputs, out)


with np.errstate(all="ignore"):
    CASES = [*elementwise_cases(), *power_cases(), *reduction_cases()]

# The cases by what they are given: a kernel each.
GROUPS: dict[str, list[Case]] = {}
for _case in CASES:
    GROUPS.setdefault("_".join(["of", *(x.dtype.name for x in _case.inputs)]), []).append(_case)

# Reductions in memory that threads share.
SHARED = {(kind, dtype): f"{kind}_{dtype}" for kind in PAIRS if kind != "dot" for dtype in C_TYPE}

NUMBERS = {
    dtype: [*values(dtype), *(np.array([1 / 3, 123456.0, 1e-5], dtype) if dtypes.is_float(dtype) else ())]
    for dtype in C_TYPE
}


# ---- one source ----


def kernel(name: str, parameters: Sequence[str], lines: Sequence[str]) -> str:
    return "\n".join([f'extern "C" __global__ void {name}({", ".join(parameters)}) {{', *lines, "}", ""])


def group_kernel(name: str, cases: Sequence[Case]) -> str:
    parameters = [f"const {C_TYPE[x.dtype.name]} *x{k}" for k, x in enumerate(cases[0].inputs)]
    parameters += [f"{C_TYPE[c.out.dtype.name]} *y{k}" for k, c in enumerate(cases)]
    loops = [f"  EACH(i, n) y{k}[i] = {c.expression};" for k, c in enumerate(cases)]
    return kernel(name, [*parameters, "long long n"], loops)


def shared_kernel(name: str, kind: str, dtype: str) -> str:
    parameters = [f"{C_TYPE[dtype]} *y", f"const {C_TYPE[dtype]} *x", "const long long *at", "long long n"]
    return kernel(name, parameters, [f"  EACH(i, n) {accumulate(kind, 'y + at[i]', 'x[i]')};"])


def number_kernel(dtype: str) -> str:
    lines = [f"  y[{k}] = {number(x, dtype)};" for k, x in enumerate(NUMBERS[dtype])]
    return kernel(f"numbers_{dtype}", [f"{C_TYPE[dtype]} *y"], lines)


@cache
def source() -> str:
    kernels = [group_kernel(name, cases) for name, cases in GROUPS.items()]
    kernels += [shared_kernel(name, *which) for which, name in SHARED.items()]
    kernels += [number_kernel(dtype) for dtype in NUMBERS]
    text = "\n".join(kernels)
    return f"{prelude(used(text))}\n{text}"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The source compiled for the CPU."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    folder: Path = tmp_path_factory.mktemp("spelling")
    path, built = folder / "kernels.cpp", folder / "kernels.so"
    path.write_text(HOST + source())
    done = subprocess.run(["g++", *FLAGS, str(path), "-o", str(built)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    assert "warning" not in done.stderr, done.stderr[:4000]
    return ctypes.CDLL(str(built))


def call(function: Any, arrays: Sequence[Array], *count: int) -> None:
    function(*(ctypes.c_void_p(x.ctypes.data) for x in arrays), *map(ctypes.c_longlong, count))


def wrong(case: Case, found: Array) -> list[str]:
    """What of the result is not as expected."""
    wanted = case.out
    good = found == wanted
    if dtypes.is_float(wanted.dtype.name):
        with np.errstate(all="ignore"):
            if not case.exact:
                good |= np.abs(found - wanted) <= ULPS * np.spacing(np.abs(wanted))
            good &= np.signbit(found) == np.signbit(wanted)
            good |= np.isnan(found) & np.isnan(wanted)
    return [
        f"{case.label}: {case.expression} for {', '.join(repr(x[i]) for x in case.inputs)} "
        f"is {found[i]!r}, not {wanted[i]!r}"
        for i in np.flatnonzero(~good)
    ]


# ---- tests ----


@pytest.mark.parametrize("group", GROUPS)
def test_every_expression_means_what_numpy_does(
    library: ctypes.CDLL, capfd: pytest.CaptureFixture[str], group: str
) -> None:
    cases = GROUPS[group]
    found = [np.empty_like(c.out) for c in cases]
    call(getattr(library, group), [*cases[0].inputs, *found], cases[0].out.size)
    problems = [problem for c, out in zip(cases, found, strict=True) for problem in wrong(c, out)]
    assert not problems, f"{len(problems)} problems\n" + "\n".join(problems[:40])
    assert not capfd.readouterr().err  # where undefined behaviour would be reported


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_are_exact(library: ctypes.CDLL, dtype: str) -> None:
    wanted = np.array(NUMBERS[dtype], dtype)
    found = np.empty_like(wanted)
    call(getattr(library, f"numbers_{dtype}"), [found])
    assert wrong(Case("number", "number(x)", (wanted,), wanted), found) == []


@pytest.mark.parametrize("kind, dtype", SHARED)
def test_reductions_in_memory_are_those_of_numpy(
    library: ctypes.CDLL, capfd: pytest.CaptureFixture[str], kind: str, dtype: str
) -> None:
    some = values(dtype)
    rng = np.random.default_rng(1)
    at = rng.integers(0, 64, size=400)
    value = rng.choice(some, size=400)
    memory = rng.choice(some, size=64)
    wanted = memory.copy()
    with np.errstate(all="ignore"):
        for i, x in zip(at, value, strict=True):
            wanted[i] = PAIRS[kind](wanted[i], x)
    call(getattr(library, SHARED[kind, dtype]), [memory, value, at], 400)
    np.testing.assert_array_equal(memory, wanted)
    assert not capfd.readouterr().err


@pytest.mark.parametrize("dtype", C_TYPE)
def test_nothing_is_lost_when_threads_reduce_into_neighbours(library: ctypes.CDLL, dtype: str) -> None:
    n, threads = 400_000, 4
    memory, value = np.zeros(8, dtype), np.ones(n, dtype)
    at = np.arange(n, dtype=np.int64) % 8
    function = getattr(library, SHARED["sum", dtype])

    start = threading.Barrier(threads)

    def add() -> None:
        start.wait()
        call(function, [memory, value, at], n)  # without the GIL

    running = [threading.Thread(target=add) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    np.testing.assert_array_equal(memory, np.full(8, threads * n // 8).astype(dtype))


@pytest.mark.parametrize("arch", ["sm_75", "sm_90"])
def test_nvrtc_compiles_every_expression(arch: str) -> None:
    if nvrtc.found() is None:
        pytest.skip("needs NVRTC")
    compiled = nvrtc.compile(DEVICE + source(), arch)
    assert len(compiled.kernels) == len(GROUPS) + len(SHARED) + len(NUMBERS)
    assert "warning" not in compiled.log, compiled.log[:4000]


def test_numbers_are_exact_for_nvrtc() -> None:
    if nvrtc.found() is None:
        pytest.skip("needs NVRTC")
    rng = np.random.default_rng(2)
    lines = []
    for dtype, suffix in (("float32", "f"), ("float64", "")):
        some = [*values(dtype), *rng.normal(size=50).astype(dtype), *rng.integers(0, 10**6, 50).astype(dtype) / 8]
        lines += [f"static_assert({number(x, dtype)} == {float(x).hex()}{suffix});" for x in some if np.isfinite(x)]
    nvrtc.compile("\n".join(lines))


def test_the_prelude_holds_what_is_used_and_what_that_uses() -> None:
    assert prelude([]) == ""
    assert used("a = g_add(b, c) + g_mine(d) + my_g_sub(e);") == {"g_add"}
    text = prelude(["g_atomic_max"])
    assert used(text) == {"g_atomic_max", "g_atomic", "g_swap", "g_bits", "g_word", "g_maximum"}
    assert text.index("g_maximum") < text.index("g_atomic_max")


def test_each_function_of_the_prelude_is_used_by_a_case() -> None:
    by_kernels = {name for name, text in PRELUDE.items() if text in TEAMS + TILES}  # test_kernels.py runs those
    assert used(source()) | by_kernels == PRELUDE.keys()


def test_each_function_of_the_prelude_stands_after_what_it_calls() -> None:
    before: set[str] = set()
    for name, text in PRELUDE.items():
        before.add(name)
        assert used(text) <= before, name


def test_cuda_spells_what_llvm_spells() -> None:
    assert [op.name for op in ELEMENTWISE.values() if llvm.known(op) and not known(op)] == []
    for op in ELEMENTWISE.values():
        for dtype in C_TYPE:
            try:
                node = op.make_node(*(TensorType(dtype, shape=())() for _ in range(op.nin)))
            except TypeError:
                continue
            assert spells(node) or not llvm.spells(node), node


def test_a_dtype_that_cuda_c_has_no_name_for_is_not_spelled() -> None:
    half = TensorType("float16", shape=())()
    assert not spells(ELEMENTWISE["add"].make_node(half, half))


def test_a_missing_spelling_says_what_is_missing() -> None:
    with pytest.raises(LookupError, match="no CUDA C for clip of int8, int8, int8"):
        spell(ELEMENTWISE["clip"], ["a", "b", "c"], ["int8"] * 3, "int8")


def test_source_reads_well() -> None:
    op = ELEMENTWISE
    assert spell(op["add"], ["t0", "t1"], ["float32"] * 2, "float32") == "t0 + t1"
    assert spell(op["add"], ["t0", "t1"], ["int64"] * 2, "int64") == "g_add(t0, t1)"
    assert spell(op["tanh"], ["t0"], ["float32"], "float32") == "tanhf(t0)"
    assert spell(op["pow"], ["x", "y"], ["float64"] * 2, "float64", 3) == "x * (x * x)"
    assert spell(op["pow"], ["x", "y"], ["float64"] * 2, "float64", -2) == "1 / (x * x)"
    assert spell(op["pow"], ["x", "y"], ["float64"] * 2, "float64", 6) == "(x * x) * ((x * x) * (x * x))"
    assert spell(op["pow"], ["x", "y"], ["int32"] * 2, "int32", 5) == "g_mul(x, g_mul(g_mul(x, x), g_mul(x, x)))"
    assert spell(op["pow"], ["x", "y"], ["int32"] * 2, "int32", 4) == "g_mul(g_mul(x, x), g_mul(x, x))"
    assert spell(Cast("int8"), ["t0"], ["float32"], "int8") == "(signed char)g_int32(t0)"
    assert [number(2.5, "float32"), number(-1, "int64"), number(0.1, "float64")] == [
        "2.5f", "(-1LL)", "0x1.999999999999ap-4",
    ]  # fmt: skip
