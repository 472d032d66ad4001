"""What a program should give: `evaluate` on the user's graph, and how far rounding may carry a result away from it.

The tolerance is not one number: a difference of two nearly equal products has lost digits that no order of operations
can give back. So the graph is evaluated again with the result of every operation that rounds moved by up to 4 ULP at
random; how far the results spread tells how well conditioned they are. A compiled result must lie within 64 times that
spread, plus 8 ULP. Where an answer is discrete (integers, bools, shapes, nan or not) and the noise changes it, the
question has no answer and is not asked. Sums and products that are small dyadic numbers get no noise: they are exact.

With ``numerics="ieee"`` only sums, products and dot products get noise, whose order is nobody's promise, and on
another backend than NumPy's functions like `exp`, of which each has its own; a graph without them must agree to the
last bit, the sign of zero included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphc.evaluator import needed_inputs, value_of
from graphc.graph.traverse import toposort
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.broadcasting import Fill, SumTo
from graphc.ops.conversion import Cast
from graphc.ops.declare import Elementwise
from graphc.ops.identities import Identity
from graphc.ops.indexing import IncSubtensor
from graphc.ops.matmul import Dot
from graphc.ops.nnet import AlongAxis
from graphc.ops.reduction import Reduction

from .tally import TALLY

RUNS = 3
ULPS = 4
SPREADS = 64

Array = np.ndarray[Any, Any]


# Ops that do not round, and ops that do not round where operands and result are small dyadic numbers.
NO_ROUNDING = frozenset(
    "neg abs_ sgn maximum minimum switch clip ceil floor trunc round_half_to_even fill cast tensor_copy".split()
)
ARITHMETIC = frozenset("add sub mul sqr".split())

# Ops whose results have the same bits on every backend.
SAME_BITS = frozenset(
    """add sub mul true_div int_div mod neg abs_ sgn reciprocal sqr sqrt maximum minimum lt le gt ge eq neq and_ or_ xor
    invert isnan isinf isfinite switch clip ceil floor trunc round_half_to_even round_half_away_from_zero""".split()
)


def has_own_function(node: Apply) -> bool:
    """Whether a backend computes the op with a function of its own."""
    op = node.op
    return isinstance(op, Elementwise) and op.name not in SAME_BITS and not isinstance(op, Cast | Fill | Identity)


def order_matters(node: Apply) -> bool:
    """Whether the value depends on the order in which elements are added or multiplied."""
    op = node.op
    return (
        isinstance(op, Dot | AlongAxis | SumTo)
        or (isinstance(op, IncSubtensor) and op.add)
        or (isinstance(op, Reduction) and op.name in ("sum", "prod"))
    )


def exact(array: Array) -> Array:
    """Which elements are small dyadic numbers, infinite or nan."""
    parts = (array.real, array.imag) if array.dtype.kind == "c" else (array,)
    good = np.ones(array.shape, bool)
    for part in parts:
        with np.errstate(all="ignore"):
            good &= ~np.isfinite(part) | ((part * 64 == np.rint(part * 64)) & (abs(part) < 2**16))
    return good


def certain(node: Apply, inputs: list[Array | None], result: Array) -> Array | bool:
    """Which elements of the result cannot have been rounded."""
    if order_matters(node):
        return all(np.all(exact(v)) for v in inputs if v is not None and v.dtype.kind in "fc") and exact(result)
    if not isinstance(node.op, Elementwise) or node.op.name in NO_ROUNDING:
        return True
    if node.op.name not in ARITHMETIC:
        return False
    parts = np.broadcast_arrays(exact(result), *(exact(v) for v in inputs if v is not None))
    return np.asarray(np.logical_and.reduce(parts))


def noisy(array: Array, rng: np.random.Generator, kept: Array | bool) -> Array:
    """`array` with the elements that are not to be kept moved by up to `ULPS`."""
    if array.dtype.kind not in "fc":
        return array
    moved = array * (1 + ULPS * np.finfo(array.dtype).eps * rng.uniform(-1, 1, array.shape))
    return np.where(kept, array, moved).astype(array.dtype)


def evaluate_noisy(
    outputs: list[Variable],
    values: Mapping[Variable, Array],
    rng: np.random.Generator,
    gets_noise: Callable[[Apply], bool],
) -> list[Array | None]:
    """The outputs with noise; None for one that fails with it."""
    known = dict(values)

    def compute(wanted: Variable) -> None:
        stack = [wanted]
        while stack:
            x = stack[-1]
            if x in known:
                stack.pop()
                continue
            if x.owner is None:
                assert isinstance(x, Constant)
                known[x] = x.data
                continue
            node = x.owner
            missing = [y for y in needed_inputs(node, known) if y not in known]
            if missing:
                stack += missing
                continue
            given = [known.get(y) for y in node.inputs]
            results = value_of(node, given)
            if gets_noise(node):
                results = tuple(noisy(r, rng, certain(node, given, r)) for r in results)
            known.update(zip(node.outputs, results, strict=True))

    found: list[Array | None] = []
    with np.errstate(all="ignore"):
        for x in outputs:
            try:
                compute(x)
                found.append(known[x])
            except (ValueError, IndexError, TypeError, ArithmeticError):
                found.append(None)
    return found


class Oracle:
    """The right values of some variables for given leaves, computed by some backend."""

    def __init__(
        self,
        outputs: list[Variable],
        leaves: Mapping[Variable, Array],
        exact_values: list[Array],
        backend: str = "numpy",
    ) -> None:
        self.backend = backend
        self.outputs = outputs
        self.leaves = leaves
        self.values = exact_values
        self._runs: dict[bool, list[list[Array | None]]] = {}

    def runs(self, ieee: bool) -> list[list[Array | None]]:
        if ieee not in self._runs:
            self._runs[ieee] = [
                evaluate_noisy(
                    self.outputs, self.leaves, np.random.default_rng(seed), self._inexact if ieee else lambda node: True
                )
                for seed in range(RUNS)
            ]
        return self._runs[ieee]

    def _inexact(self, node: Apply) -> bool:
        """Whether backends may differ in the last bits of a node's value, even if no rule changes it."""
        return order_matters(node) or (self.backend != "numpy" and has_own_function(node))

    def sign_of_zero_counts(self, position: int) -> bool:
        """Whether 0.0 and -0.0 are told apart: not by the largest of both, for which it is a matter of order."""
        return self.backend == "numpy" or not any(
            isinstance(node.op, Dot | Reduction) for node in toposort([self.outputs[position]])
        )

    def meets_infinity(self, position: int) -> bool:
        """Whether something that the output is computed from overflows or is nan."""
        known = dict(self.leaves)
        with np.errstate(all="ignore"):
            for node in toposort([self.outputs[position]]):
                if node.op.lazy or any(x not in known and not isinstance(x, Constant) for x in node.inputs):
                    return True  # it is not worth following branches
                results = value_of(node, [known.get(x, getattr(x, "data", None)) for x in node.inputs])
                known.update(zip(node.outputs, results, strict=True))
                if any(r.dtype.kind in "fc" and not np.isfinite(r).all() for r in results):
                    return True
        return False

    def check(self, position: int, actual: Any, ieee: bool) -> None:
        """Fail unless `actual` is the value of the output at this position."""
        expected = self.values[position]
        what = f"output {position}"
        assert isinstance(actual, np.ndarray), f"{what} is a {type(actual)}"
        assert actual.dtype == expected.dtype == self.outputs[position].dtype, f"{what}: {actual.dtype}"
        runs = [run[position] for run in self.runs(ieee)]
        if any(run is None or run.shape != expected.shape for run in runs):
            return  # whether it has this shape at all depends on the last bits
        assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
        if expected.dtype.kind not in "fc":
            if not ieee and self.meets_infinity(position):
                return  # a comparison with a nan that a stable form avoids may come out otherwise
            agreed = np.logical_and.reduce([run == expected for run in runs])
            assert np.array_equal(actual[agreed], expected[agreed]), f"{what}: {actual} expected {expected}"
            return
        parts = ("real", "imag") if expected.dtype.kind == "c" else ("real",)
        for part in parts:
            a, e = getattr(actual, part), getattr(expected, part)
            if not self.sign_of_zero_counts(position):
                a, e = (np.where(v == 0, np.zeros((), v.dtype), v) for v in (a, e))
            self._check_part(what, a, e, [getattr(r, part) for r in runs], ieee)

    def _check_part(self, what: str, actual: Array, expected: Array, runs: list[Array], ieee: bool) -> None:
        with np.errstate(all="ignore"):
            spread = np.max([abs(run - expected) for run in runs], axis=0) if runs else np.zeros(expected.shape)
            finite = np.isfinite(expected) & np.logical_and.reduce([np.isfinite(run) for run in runs])
            if ieee and np.all((spread == 0) | ~finite):
                same = (actual == expected) & (np.signbit(actual) == np.signbit(expected))
                same |= np.isnan(actual) & np.isnan(expected)
                same |= ~np.logical_and.reduce([_same(run, expected) for run in runs])
                assert same.all(), f"{what}: not the same bits: {actual!r} expected {expected!r}"
                return
            finite &= spread < 0.01 * (abs(expected) + 1e-30)  # else no digit of it is certain
            ulp = np.spacing(abs(expected))
            close = abs(actual - expected) <= SPREADS * spread + 8 * ulp
        # Where the formula as written overflows or divides nothing by nothing, a stable form may know better.
        TALLY[self.backend]["float elements"] += expected.size
        TALLY[self.backend]["of them judged to the last digits"] += int(finite.sum())
        # And where the noise leaves no digit standing, nothing is asked.
        beyond = ~finite & (_same(actual, expected) | ((not ieee) & np.isfinite(actual)) | ~_all_same(runs, expected))
        if not ieee:
            beyond |= ~finite & ~np.isfinite(expected)
        beyond |= ~finite & np.isfinite(expected)
        assert (np.where(finite, close, beyond)).all(), f"{what}: {actual!r} expected {expected!r}, spread {spread!r}"


def _same(a: Array, b: Array) -> Array:
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))


def _all_same(runs: list[Array], expected: Array) -> Array:
    return np.asarray(np.logical_and.reduce([_same(run, expected) for run in runs]))
