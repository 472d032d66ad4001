"""Writing to an index: what was written is read without the array, and what changes nothing is not written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.graph.variable import Apply, Variable
from graphc.ops.elementwise import add
from graphc.ops.indexing import IncSubtensor, Subtensor, is_basic
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.matching import value_of_constant
from graphc.rewrites.engine.rule import rule
from graphc.rewrites.items import cannot_fail

# ---- 14: reading what was written, and writing what is there ----


@rule(14, "exact", Subtensor)
def read_what_was_written(context: Context, node: Apply) -> Variable | None:
    """set_subtensor(x[i], y)[i] -> y; inc_subtensor(x[i], y)[i] -> x[i] + y, where no index is repeated"""
    write = node.inputs[0].owner
    op: Any = node.op
    if write is None or not isinstance(write.op, IncSubtensor) or write.op.pattern != op.pattern:
        return None
    if not is_basic(op.pattern) or not _same(write.inputs[2:], node.inputs[1:]):
        return None
    x, y = write.inputs[:2]
    if write.op.add:
        return add(op(x, *node.inputs[1:]), y)  # type: ignore[no-any-return]
    return y if cannot_fail(context, node) else None  # the driver broadcasts it to the shape of the place


@rule(14, "exact", IncSubtensor)
def write_that_changes_nothing(context: Context, node: Apply) -> Variable | None:
    """set(x[i], x[i]) -> x; set(set(x[i], y)[i], z) -> set(x[i], z); set(x[:], y) -> y; inc(x[i], 0) -> x"""
    op: Any = node.op
    x, y, *index = node.inputs
    read = y.owner
    if not op.add and read is not None and isinstance(read.op, Subtensor) and read.op.pattern == op.pattern:
        same = read.inputs[0] is x and _same(read.inputs[1:], index)
        if same and cannot_fail(context, read):
            return x
    inner = x.owner
    if not op.add and inner is not None and isinstance(inner.op, IncSubtensor) and inner.op.pattern == op.pattern:
        same = _same(inner.inputs[2:], index)
        if same:
            return op(inner.inputs[0], y, *index)  # type: ignore[no-any-return]
    if all(entry == "slice:---" for entry in op.pattern):
        return add(x, y) if op.add else y
    if op.add and _adds_nothing(y) and cannot_fail(context, node):
        return x
    return None


@rule(14, "exact", IncSubtensor)
def increment_of_zeros(context: Context, node: Apply) -> Variable | None:
    """inc(zeros[i], y) -> set(zeros[i], y), where no index is repeated"""
    op: Any = node.op
    x, y, *index = node.inputs
    # 0 + -0.0 is 0.0: only integers keep their bits.
    if not op.add or not is_basic(op.pattern) or value_of_constant(x) != 0 or not dtypes.is_discrete(x.dtype):
        return None
    return IncSubtensor(op.pattern, add=False)(x, y, *index)  # type: ignore[no-any-return]


def _adds_nothing(y: Variable) -> bool:
    """Whether `y` is an integer 0, or -0.0: -0.0 + 0.0 is 0.0."""
    value = value_of_constant(y)
    return value == 0 and not isinstance(value, complex) and bool(dtypes.is_discrete(y.dtype) or np.signbit(value))


def _same(first: Sequence[Variable], second: Sequence[Variable]) -> bool:
    return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))


# ---- 15: sums of increments ----


@rule(15, "rounding", add)
def chain_increments(context: Context, node: Apply) -> Variable | None:
    """inc(zeros[i], a) + inc(zeros[j], b) -> inc(inc(zeros[i], a)[j], b), for bases of one shape"""
    first, second = node.inputs
    for base, other in ((first, second), (second, first)):
        write = other.owner
        if write is None or not isinstance(write.op, IncSubtensor) or not write.op.add:
            continue
        zeros, y, *index = write.inputs
        if value_of_constant(zeros) != 0 or base.dtype != other.dtype or not context.same_shape(base, other):
            continue
        if base.owner is None or not isinstance(base.owner.op, IncSubtensor):
            continue
        if not context.read_once(other):
            continue
        return write.op(base, y, *index)  # type: ignore[no-any-return]
    return None


WRITES = [*read_what_was_written, *write_that_changes_nothing, *increment_of_zeros, *chain_increments]
