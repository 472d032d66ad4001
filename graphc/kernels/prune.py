"""Statements whose result nobody uses are dropped."""

from __future__ import annotations

from dataclasses import replace

from graphc.kernels.loopir import (
    Accumulate,
    Extent,
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
)  # fmt: skip


def pruned(kernel: Kernel) -> Kernel:
    """The kernel without them; checks stay."""
    return replace(kernel, body=_pruned(kernel.body, set()))


def _pruned(statements: tuple[Statement, ...], used: set[Value]) -> tuple[Statement, ...]:
    """The statements that matter, given the values used after them, to which is added what they use."""
    kept: list[Statement] = []
    for statement in reversed(statements):
        if isinstance(statement, Let | Load | Number | Position | Extent) and statement.out not in used:
            continue
        if isinstance(statement, Loop):
            carries = tuple(carry for carry in statement.carries if carry.out in used)
            used.update(carry.value for carry in carries)
            body = _pruned(statement.body, used)
            if not body and not carries:
                continue
            statement = replace(statement, body=body, carries=carries)
        used.update(_uses(statement))
        kept.append(statement)
    return tuple(reversed(kept))


def _uses(statement: Statement) -> list[Value]:
    """The values a statement uses."""
    if isinstance(statement, Let):
        return list(statement.args)
    if isinstance(statement, Require | Output):
        return [statement.value]
    if not isinstance(statement, Load | Store | Accumulate):
        return []
    found = [i.by if isinstance(i, Shifted) else i for i in statement.index]
    values = [i for i in found if isinstance(i, Value)]
    return values if isinstance(statement, Load) else [*values, statement.value]
