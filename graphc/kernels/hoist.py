"""What does not change in a loop is computed before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from graphc.kernels import loopir
from graphc.kernels.loopir import Array, Kernel, Let, Load, Loop, Statement, defines


def hoisted(kernel: Kernel) -> Kernel:
    """The kernel with what does not change in a loop computed before it."""
    return replace(kernel, body=_hoist(kernel.body, kernel.written))


def _hoist(statements: tuple[Statement, ...], written: frozenset[Array]) -> tuple[Statement, ...]:
    result: list[Statement] = []
    for statement in statements:
        if not isinstance(statement, Loop):
            result.append(statement)
            continue
        stays: list[Statement] = []
        guarded = False  # by a check that stays in the loop: what may be out of bounds stays behind it
        changing: set[object] = {statement.axis}
        for inner in _hoist(statement.body, written):
            if isinstance(inner, Let):
                fixed = changing.isdisjoint(inner.args)
            elif isinstance(inner, Load):
                fixed = changing.isdisjoint(_parts(inner.index)) and inner.array not in written and not guarded
            elif isinstance(inner, loopir.Position):
                fixed = inner.axis not in changing
            elif isinstance(inner, loopir.Require):
                fixed = inner.value not in changing
            else:
                fixed = isinstance(inner, loopir.Number | loopir.Extent)
            guarded = guarded or (isinstance(inner, loopir.Require) and not fixed)
            if fixed:
                result.append(inner)
            else:
                stays.append(inner)
                changing.update(defines(inner))
        result.append(replace(statement, body=tuple(stays)))
    return tuple(result)


def _parts(index: Sequence[loopir.Index]) -> Iterable[object]:
    """The axes and values that an index depends on."""
    for i in index:
        yield from (i.axis, i.by) if isinstance(i, loopir.Shifted) else (i,)
