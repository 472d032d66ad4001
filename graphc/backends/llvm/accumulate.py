"""How reductions are carried through loops: the registers they need, one step, and the end.

Sums of floats are exact to a few roundings of the result: lanes add up blocks of `BLOCK` elements each, and the sums
of blocks are added with the error of each addition kept aside (Neumaier, 1974), which costs little, a block at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.backends.llvm.emit import Builder, Kind, Value
from graphc.backends.llvm.spelling import SPELLINGS
from graphc.kernels.neutral import neutral

# Elements that a lane adds up without a look at rounding errors.
BLOCK = 16

State = tuple[Value, ...]


@dataclass(frozen=True)
class Accumulator:
    """A reduction in registers.

    start: the registers before the first element; step: after one more (vector of) element; finish: the scalar.
    """

    start: Callable[[Builder, Kind], State]
    step: Callable[[Builder, State, Value], State]
    finish: Callable[[Builder, State], Value]


def combine(b: Builder, kind: str, x: Value, y: Value) -> Value:
    """The reduction of two values."""
    if kind in ("sum", "dot"):
        return SPELLINGS["add"](b, x, y)
    if kind == "prod":
        return SPELLINGS["mul"](b, x, y)
    if kind in ("any", "all"):
        return b.binary("or" if kind == "any" else "and", x, y)
    return SPELLINGS["maximum" if kind == "max" else "minimum"](b, x, y)


def across(b: Builder, kind: str, x: Value) -> Value:
    """The reduction of the lanes of a vector."""
    if x.kind.lanes == 1:
        return x
    scalar = Kind(x.kind.dtype)
    if x.kind.is_float and kind in ("sum", "dot", "prod"):
        name, start = ("fmul", 1.0) if kind == "prod" else ("fadd", -0.0)
        path = f"@llvm.vector.reduce.{name}.{x.kind.suffix}"
        b.declare(f"{scalar} {path}({scalar}, {x.kind})")
        # Lanes may be added in any order: pairwise.
        return b.let(scalar, f"call reassoc {scalar} {path}({b.constant(start, scalar)}, {x})")
    if x.kind.dtype == "bool":
        name = "or" if kind in ("any", "sum", "dot", "max") else "and"
    elif x.kind.is_float:
        name = "fmax" if kind == "max" else "fmin"
    elif kind in ("max", "min"):
        name = ("s" if x.kind.is_signed else "u") + kind
    else:
        name = "mul" if kind == "prod" else "add"
    path = f"@llvm.vector.reduce.{name}.{x.kind.suffix}"
    b.declare(f"{scalar} {path}({x.kind})")
    flags = "nnan " if x.kind.is_float else ""  # an extremum is looked for beside nan: see below
    return b.let(scalar, f"call {flags}{scalar} {path}({x})")


def accumulator(kind: str, dtype: str) -> Accumulator:
    """The way a reduction of elements of a dtype is carried."""
    floats = dtype.startswith("float")
    if floats and kind in ("max", "min"):
        return Accumulator(_extremum_start(kind), _extremum_step(kind), _extremum_finish(kind))
    return Accumulator(
        lambda b, k: (b.constant(neutral(kind, dtype), k),),
        lambda b, state, x: (combine(b, kind, state[0], x),),
        lambda b, state: across(b, kind, state[0]),
    )


def partial(kind: str, dtype: str) -> Accumulator:
    """A reduction lane by lane, as it is kept in memory."""
    return Accumulator(
        lambda b, k: (b.constant(neutral(kind, dtype), k),),
        lambda b, state, x: (combine(b, kind, state[0], x),),
        lambda b, state: state[0],
    )


# ---- the largest and smallest floats: nan is looked for aside, so that a step is one comparison ----


def _extremum_start(kind: str) -> Callable[[Builder, Kind], State]:
    return lambda b, k: (b.constant(neutral(kind, k.dtype), k), b.constant(False, k.of("bool")))


def _extremum_step(kind: str) -> Callable[[Builder, State, Value], State]:
    predicate = "ogt" if kind == "max" else "olt"

    def step(b: Builder, state: State, x: Value) -> State:
        best, nan = state
        return b.select(b.compare(predicate, x, best), x, best), b.binary("or", nan, b.is_nan(x))

    return step


def _extremum_finish(kind: str) -> Callable[[Builder, State], Value]:
    def finish(b: Builder, state: State) -> Value:
        best, nan = across(b, kind, state[0]), across(b, "any", state[1])
        return b.select(nan, b.constant(float("nan"), best.kind), best)

    return finish


# ---- sums of sums ----


def compensated_start(b: Builder, kind: Kind) -> State:
    """A sum, and what was lost of it."""
    return b.constant(0.0, kind), b.constant(0.0, kind)


def compensated_step(b: Builder, state: State, x: Value) -> State:
    """One more term: the error of the addition is known exactly (Knuth, 1969)."""
    total, lost = state
    new = b.add(total, x)
    seen = b.sub(new, total)
    error = b.add(b.sub(total, b.sub(new, seen)), b.sub(x, seen))
    return new, b.add(lost, error)


def compensated_finish(b: Builder, state: State) -> Value:
    """The sum with what was lost; of infinite sums, that is nan and does not count."""
    total, lost = state
    zero = b.constant(0.0, lost.kind)
    return across(b, "sum", b.add(total, b.select(b.is_nan(lost), zero, lost)))


def compensated() -> Accumulator:
    """Sums of floats, term by term."""
    return Accumulator(compensated_start, compensated_step, compensated_finish)


def starts(b: Builder, accumulators: Sequence[Accumulator], kinds: Sequence[Kind]) -> list[State]:
    """The states of several accumulators before the first element."""
    return [a.start(b, kind) for a, kind in zip(accumulators, kinds, strict=True)]
