"""Kernels whose loop can be run in shares: by several threads, or with a look at signals after each.

A plan for large work is one whose kernels have been taken apart, a loop each (stages.py), so that a share of the loop's
iterations is a piece of work of its own.  How many shares a total has depends on sizes alone, and so does the order of
additions: not on the number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graphc.graph.predicates import Predicate
from graphc.graph.variable import Variable
from graphc.kernels.gpuir import walk
from graphc.kernels.launch import AT_ONCE, IN_ORDER, PARTS, TOTALS, WHOLE, InShares, Launch, Memory, Shared
from graphc.kernels.loopir import (
    EXTREMUM,
    Accumulate,
    Array,
    Axis,
    Carry,
    Index,
    Kernel,
    Load,
    Loop,
    Output,
    Shifted,
    Store,
    Value,
)  # fmt: skip
from graphc.kernels.nests import ordered
from graphc.kernels.plan import Plan
from graphc.kernels.stages import Stage, staged
from graphc.kernels.steps import Commit, Step, Verify


def in_shares(plan: Plan, threads: int) -> Plan:
    """The same plan for large work, whose rows are there once for each thread."""
    pairs: list[tuple[Step, Predicate]] = []
    begins: list[int] = []  # of what becomes of each step
    for step, when in zip(plan.steps, plan.whens, strict=True):
        begins.append(len(pairs))
        pairs += _in_shares(plan, step, when, threads)
    begins.append(len(pairs))
    steps, whens = [step for step, _ in pairs], [when for _, when in pairs]
    return replace(
        plan, steps=tuple(steps), whens=tuple(whens), early=begins[plan.early], commit=begins[plan.commit]
    )


def _in_shares(plan: Plan, step: Step, when: Predicate, threads: int) -> list[tuple[Step, Predicate]]:
    """A step for large work.

    What the commit changes where it is, is little work, and done at once.  What is made apart is done in shares before.
    """
    if isinstance(step, Launch):
        return [(made, when) for made in taken_apart(step, threads)]
    if plan.in_place is None or not isinstance(step, Verify | Commit):
        return [(step, when)]
    here: Predicate = ((plan.in_place.apart, False),)
    if isinstance(step, Commit):
        return [(step, here)]
    apart: Predicate = ((plan.in_place.apart, True),)
    return [
        *((made, here) for made in taken_apart(step.launch, threads) if step.launch.kernel.body),
        *((made, apart) for made in taken_apart(step.of, threads)),
    ]


def taken_apart(launch: Launch, threads: int) -> list[InShares]:
    """A launch as launches of one loop each."""
    kernel = launch.kernel
    keys: dict[Array, Variable | Memory] = dict(zip(kernel.arrays, launch.arrays, strict=True))
    found = staged(kernel)
    keys |= {array: Memory(array.dtype, (1,)) for array in found.kept}
    kernels: list[Shared] = []
    for stage in found.stages:
        kernels += _shares_of(replace(kernel, arrays=tuple(keys), written=kernel.written | {*found.kept}), stage, keys)
    made: dict[Array, Memory] = {}
    for shared in kernels:
        made |= {array: _one_each(keys[array], threads) for array in shared.rows}
        made |= {array: Memory(array.dtype, (PARTS,)) for _, array in shared.totals}
    keys |= made
    return [
        InShares(s, replace(launch, kernel=s.kernel, arrays=tuple(keys[a] for a in s.kernel.arrays))) for s in kernels
    ]


def _one_each(key: Variable | Memory, threads: int) -> Memory:
    assert isinstance(key, Memory)
    return Memory(key.dtype, (threads, *key.shape))


def _shares_of(kernel: Kernel, stage: Stage, keys: Mapping[Array, Variable | Memory]) -> list[Shared]:
    """A stage as kernels: its loop, and what comes after."""
    loop, before, after = stage.loop, stage.before, stage.after
    if loop is None:
        return [Shared(replace(kernel, body=(*before, *after)), WHOLE)]
    rows = _rows(loop)
    one_by_one = _must_be_in_order(loop, rows) or not all(isinstance(keys[row], Memory) for row in rows)
    if one_by_one and loop.carries:
        return [Shared(replace(kernel, body=(*before, loop, *after)), WHOLE)]
    if one_by_one:
        first = Shared(replace(kernel, body=(*before, loop)), IN_ORDER)
    elif not loop.carries:
        first = Shared(replace(kernel, body=(*before, loop)), AT_ONCE, rows)
    else:
        loop = _with_extrema(loop)
        totals = tuple((carry.out, Array(carry.out.dtype, ((PARTS,),))) for carry in loop.carries)
        arrays, added = tuple(array for _, array in totals), _added(loop, dict(totals))
        kernel = replace(kernel, arrays=(*kernel.arrays, *arrays), written=kernel.written | {*arrays})
        first = Shared(replace(kernel, body=(*before, loop)), TOTALS, rows, totals)
        after = (added, *after)
    return [first, Shared(replace(kernel, body=(*before, *after)), WHOLE)] if after else [first]


def _with_extrema(loop: Loop) -> Loop:
    """The loop with the extremum carried beside each place: it tells in which share the right place is."""
    wanted = [(EXTREMUM[c.kind], c.value) for c in loop.carries if c.kind in EXTREMUM]
    known = {(c.kind, c.value) for c in loop.carries}
    beside = [Carry(Value(x.dtype), kind, x) for kind, x in dict.fromkeys(wanted) if (kind, x) not in known]
    return replace(loop, carries=(*loop.carries, *beside))


def _added(loop: Loop, totals: Mapping[Value, Array]) -> Loop:
    """The loop over what the shares of a loop carried."""
    axis = Axis((PARTS,))
    loads = [Load(Value(carry.out.dtype), totals[carry.out], (axis,)) for carry in loop.carries]
    total = {(carry.kind, carry.value): load.out for carry, load in zip(loop.carries, loads, strict=True)}

    def added(carry: Carry, taken: Value) -> Carry:
        if carry.kind in EXTREMUM:
            return Carry(carry.out, carry.kind, total[EXTREMUM[carry.kind], carry.value], taken)
        return Carry(carry.out, "sum" if carry.kind == "dot" else carry.kind, taken)

    carries = [added(carry, load.out) for carry, load in zip(loop.carries, loads, strict=True)]
    return Loop(axis, tuple(loads), tuple(carries))


def _rows(loop: Loop) -> tuple[Array, ...]:
    """The arrays that an iteration keeps for itself: it stores to them without saying which iteration it is."""
    stores = [s for s in walk((loop,)) if isinstance(s, Store)]
    own = [s.array for s in stores if all(isinstance(i, Axis) for i in s.index) and loop.axis not in s.index]
    return tuple(dict.fromkeys(own))


def _must_be_in_order(loop: Loop, rows: tuple[Array, ...]) -> bool:
    """Whether iterations write to the same places, but for rows of their own."""
    inside = list(walk((loop,)))
    sums = [s for s in inside if isinstance(s, Accumulate) and s.array not in rows]
    return (
        loop.axis in ordered(loop)
        or any(isinstance(s, Output) for s in inside)
        or not all(_follows(s.index, loop.axis) for s in sums)
    )


def _follows(index: tuple[Index, ...], axis: Axis) -> bool:
    """Whether an index is another one in every iteration."""
    return any(i is axis or (isinstance(i, Shifted) and i.axis is axis) for i in index)
