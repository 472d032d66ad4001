"""How reductions are carried through loops: the registers they need, one step, and the end.

Sums of floats are exact to a few roundings of the result: lanes add up blocks of a few elements each (see `blocks`),
whose sums are added with the error of each addition kept aside (Neumaier, 1974), which costs little, a block at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.backends.llvm.emit import Builder, Kind, Value
from graphc.backends.llvm.shuffles import some_lanes
from graphc.backends.llvm.spelling import SPELLINGS
from graphc.kernels.loopir import EXTREMUM
from graphc.kernels.neutral import neutral

State = tuple[Value, ...]


@dataclass(frozen=True)
class Accumulator:
    """A reduction in registers.

    start: the registers before the first element; step: after one more (vector of) element; finish: the scalars that
    stand for all the elements in one step more, of which the last is the result; narrow: the vectors of half as many
    lanes that do so in a step each.
    """

    start: Callable[[Builder, Kind], State]
    step: Callable[..., State]
    finish: Callable[[Builder, State], State]
    narrow: Callable[[Builder, State], Sequence[State]] = lambda b, state: [(half,) for half in halves(b, state[0])]


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


def halves(b: Builder, x: Value) -> tuple[Value, Value]:
    """The lower and the upper lanes of a vector."""
    half = x.kind.lanes // 2
    return some_lanes(b, x, 0, half), some_lanes(b, x, half, half)


def accumulator(kind: str, dtype: str) -> Accumulator:
    """The way a reduction of elements of a dtype is carried."""
    floats = dtype.startswith("float")
    if kind in EXTREMUM:
        return Accumulator(_place_start(kind), _place_step(kind), _place_finish(kind), _place_narrow(kind))
    if floats and kind in ("max", "min"):
        return Accumulator(_extremum_start(kind), _extremum_step(kind), _extremum_finish(kind), _extremum_narrow)
    return Accumulator(
        lambda b, k: (b.constant(neutral(kind, dtype), k),),
        lambda b, state, x: (combine(b, kind, state[0], x),),
        lambda b, state: (across(b, kind, state[0]),),
    )


def partial(kind: str, dtype: str) -> Accumulator:
    """A reduction lane by lane, as it is kept in memory."""
    return Accumulator(
        lambda b, k: (b.constant(neutral(kind, dtype), k),),
        lambda b, state, x: (combine(b, kind, state[0], x),),
        lambda b, state: state,
    )


# ---- the largest and smallest floats: nan is looked for aside, so that a step is one comparison ----

# Where two vectors are taken as one of twice the lanes, one comparison sees nan in either half.


def _extremum_start(kind: str) -> Callable[[Builder, Kind], State]:
    def start(b: Builder, k: Kind) -> State:
        is_two = k.lanes > b.target.lanes(k.bits // 8)
        return b.constant(neutral(kind, k.dtype), k), b.constant(False, Kind("bool", k.lanes // (1 + is_two)))

    return start


def _extremum_step(kind: str) -> Callable[[Builder, State, Value], State]:
    predicate = "ogt" if kind == "max" else "olt"

    def step(b: Builder, state: State, x: Value) -> State:
        best, nan = state
        found = b.compare("uno", *((x, x) if nan.kind.lanes == x.kind.lanes else halves(b, x)))
        return b.select(b.compare(predicate, x, best), x, best), b.binary("or", nan, found)

    return step


def _extremum_narrow(b: Builder, state: State) -> Sequence[State]:
    best, nan = state
    one, other = halves(b, best)
    if nan.kind.lanes > one.kind.lanes:
        nan = b.binary("or", *halves(b, nan))
    return [(b.select(nan, b.constant(float("nan"), one.kind), one),), (other,)]


def _extremum_finish(kind: str) -> Callable[[Builder, State], State]:
    def finish(b: Builder, state: State) -> State:
        best, nan = across(b, kind, state[0]), across(b, "any", state[1])
        return (b.select(nan, b.constant(float("nan"), best.kind), best),)

    return finish


# ---- the place of the extremum: that of each lane, with the number of the element that was the first to be it ----

# Of floats there is a third register: whether nan has been there, after which the place stays.  The extremum is that of
# the others, so that one step waits for no more than one comparison of the step before it.


def _place_start(kind: str) -> Callable[[Builder, Kind], State]:
    def start(b: Builder, k: Kind) -> State:
        nothing = b.constant(neutral(kind, k.dtype), k), b.constant(0, k.of("int64"))
        return (*nothing, b.constant(False, k.of("bool"))) if k.is_float else nothing

    return start


def _place_step(kind: str) -> Callable[[Builder, State, Value, Value], State]:
    sign = "gt" if EXTREMUM[kind] == "max" else "lt"

    def step(b: Builder, state: State, x: Value, at: Value) -> State:
        best, place, *nan = state
        if not nan:
            better = b.compare(("s" if x.kind.is_signed else "u") + sign, x, best)
            return b.select(better, x, best), b.select(better, at, place)
        unseen = b.binary("xor", nan[0], b.constant(True, nan[0].kind))
        better = b.binary("and", b.compare(f"u{sign}", x, best), unseen)  # or x is nan
        best = b.select(b.compare(f"o{sign}", x, best), x, best)
        return best, b.select(better, at, place), b.binary("or", nan[0], b.is_nan(x))

    return step


def _place_finish(kind: str) -> Callable[[Builder, State], State]:
    def finish(b: Builder, state: State) -> State:
        best, place, *nan = state
        lanes = best.kind.lanes
        extremum = across(b, EXTREMUM[kind], best)
        chosen = b.compare("oeq" if nan else "eq", best, b.splat(extremum, lanes)) if lanes > 1 else None
        if nan:
            found = across(b, "any", nan[0])
            extremum = b.select(found, b.constant(float("nan"), extremum.kind), extremum)
            chosen = chosen and b.select(b.splat(found, lanes), nan[0], chosen)
        return extremum, place if chosen is None else _least(b, place, chosen)

    return finish


def _place_narrow(kind: str) -> Callable[[Builder, State], Sequence[State]]:
    """The place of all lanes: of equals in two halves the first counts."""
    finish = _place_finish(kind)
    return lambda b, state: [tuple(b.splat(x, state[0].kind.lanes // 2) for x in finish(b, state))]


def _least(b: Builder, place: Value, chosen: Value) -> Value:
    """The least of the places in the lanes that are chosen."""
    return across(b, "min", b.select(chosen, place, b.constant(neutral("min", "int64"), place.kind)))


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


def compensated_finish(b: Builder, state: State) -> State:
    """The sum with what was lost; of infinite sums, that is nan and does not count."""
    total, lost = state
    zero = b.constant(0.0, lost.kind)
    return (across(b, "sum", b.add(total, b.select(b.is_nan(lost), zero, lost))),)


def compensated() -> Accumulator:
    """Sums of floats, term by term."""
    return Accumulator(compensated_start, compensated_step, compensated_finish)


def starts(b: Builder, accumulators: Sequence[Accumulator], kinds: Sequence[Kind]) -> list[State]:
    """The states of several accumulators before the first element."""
    return [a.start(b, kind) for a, kind in zip(accumulators, kinds, strict=True)]
