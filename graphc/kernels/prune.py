"""What a kernel computes twice is computed once, and what nobody uses not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from graphc.kernels.launch import Launch
from graphc.kernels.loopir import (
    Accumulate,
    Array,
    Carry,
    Extent,
    Index,
    Kernel,
    Let,
    Load,
    Loop,
    Number,
    Output,
    Position,
    Require,
    Shifted,
    Statement,
    Store,
    Value,
    uses,
)  # fmt: skip

Item = TypeVar("Item")
_Defining = Let | Number | Position | Extent | Load


def pruned(launch: Launch) -> Launch:
    """The launch without statements and parameters that do not matter; checks stay."""
    kernel = launch.kernel
    body = _pruned(_merged(kernel.body, kernel.written, {}, {}), set())
    kernel = replace(kernel, body=body)
    used = _parameters(kernel)

    def those(items: Sequence[Item], parameters: Sequence[object]) -> tuple[Item, ...]:
        return tuple([item for item, p in zip(items, parameters, strict=True) if p in used])

    return replace(
        launch,
        kernel=replace(
            kernel,
            sizes=those(kernel.sizes, kernel.sizes),
            scalars=those(kernel.scalars, kernel.scalars),
            arrays=those(kernel.arrays, kernel.arrays),
        ),
        sizes=those(launch.sizes, kernel.sizes),
        scalars=those(launch.scalars, kernel.scalars),
        arrays=those(launch.arrays, kernel.arrays),
    )


def _merged(
    statements: Iterable[Statement], written: frozenset[Array], same: dict[Value, Value], known: dict[object, Value]
) -> tuple[Statement, ...]:
    """The statements, of equal ones only the first; `same` tells what stands for a value, `known` what is there."""
    known = dict(known)  # what a loop computes is not known after it
    kept: list[Statement] = []
    for statement in statements:
        statement = _renamed(statement, same)
        if isinstance(statement, Loop):
            body = _merged(statement.body, written, same, known)
            carries = tuple(_carried(c, same) for c in statement.carries)
            kept.append(replace(statement, body=body, carries=carries))
            continue
        key = _key(statement, written)
        if key in known:
            if isinstance(statement, _Defining):
                same[statement.out] = known[key]
            continue
        if isinstance(statement, _Defining | Require) and key is not None:
            known[key] = statement.value if isinstance(statement, Require) else statement.out
        kept.append(statement)
    return tuple(kept)


def _key(statement: Statement, written: frozenset[Array]) -> object:
    """What equal statements have in common; None for one that must stay."""
    if isinstance(statement, Let):
        return statement.op, statement.args, statement.out.dtype
    if isinstance(statement, Number):
        return "number", repr(statement.number), statement.out.dtype
    if isinstance(statement, Position):
        return "position", statement.axis
    if isinstance(statement, Extent):
        return "extent", statement.size
    if isinstance(statement, Require):
        return "require", statement.value
    if isinstance(statement, Load) and statement.array not in written:
        return statement.array, statement.index
    return None


def _renamed(statement: Statement, same: dict[Value, Value]) -> Statement:
    """A statement in terms of the values that are kept."""
    if same.keys().isdisjoint(uses(statement)):
        return statement

    def place(i: Index) -> Index:
        if isinstance(i, Shifted):
            return Shifted(i.axis, same.get(i.by, i.by))
        return same.get(i, i) if isinstance(i, Value) else i

    if isinstance(statement, Let):
        return replace(statement, args=tuple(same.get(a, a) for a in statement.args))
    if isinstance(statement, Load):
        return replace(statement, index=tuple(map(place, statement.index)))
    if isinstance(statement, Store | Accumulate):
        value = same.get(statement.value, statement.value)
        return replace(statement, index=tuple(map(place, statement.index)), value=value)
    if isinstance(statement, Require | Output):
        return replace(statement, value=same.get(statement.value, statement.value))
    return statement


def _carried(carry: Carry, same: dict[Value, Value]) -> Carry:
    """What a loop carries in terms of the values that are kept."""
    at = None if carry.at is None else same.get(carry.at, carry.at)
    return replace(carry, value=same.get(carry.value, carry.value), at=at)


def _pruned(statements: tuple[Statement, ...], used: set[Value]) -> tuple[Statement, ...]:
    """The statements that matter, given the values used after them, to which is added what they use."""
    kept: list[Statement] = []
    for statement in reversed(statements):
        if isinstance(statement, _Defining) and statement.out not in used:
            continue
        if isinstance(statement, Loop):
            carries = tuple(carry for carry in statement.carries if carry.out in used)
            used.update(x for carry in carries for x in carry.uses)
            body = _pruned(statement.body, used)
            if not body and not carries:
                continue
            statement = replace(statement, body=body, carries=carries)
        used.update(uses(statement))
        kept.append(statement)
    return tuple(reversed(kept))


def _parameters(kernel: Kernel) -> set[object]:
    """The sizes, scalars and arrays that a kernel uses."""
    found: set[object] = set()
    for statement in kernel.statements():
        found.update(uses(statement))
        if isinstance(statement, Loop):
            found.update(statement.axis.sizes)
            found.update(x for c in statement.carries for x in c.uses)
        elif isinstance(statement, Extent):
            found.add(statement.size)
        elif isinstance(statement, Load | Store | Accumulate):
            found.add(statement.array)
            found.update(n for dims in statement.array.sizes for n in dims)
    return found
