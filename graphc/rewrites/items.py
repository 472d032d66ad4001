"""Items: what stands between the brackets of an index, for each axis one."""

from __future__ import annotations

from typing import Any

from graphc.graph.variable import Apply, Constant
from graphc.ops.indexing import IncSubtensor, as_index, is_basic
from graphc.rewrites.engine.context import Context

Item = Any  # an int, a Variable or a slice


def items_of(node: Apply) -> list[Item]:
    """The index of a node that reads or writes, as a user would write it, with ints for constants."""
    op: Any = node.op
    first = 2 if isinstance(op, IncSubtensor) else 1
    arguments = [int(a.data) if isinstance(a, Constant) and a.ndim == 0 else a for a in node.inputs[first:]]
    return list(as_index(op.pattern, arguments))


def is_whole(item: Item) -> bool:
    """Whether an item takes the whole axis."""
    return isinstance(item, slice) and item == slice(None)


def is_constant(item: Item) -> bool:
    """Whether an item is known before anything runs."""
    if isinstance(item, slice):
        return all(bound is None or isinstance(bound, int) for bound in (item.start, item.stop, item.step))
    return isinstance(item, int)


def given(bound: Item, default: Any) -> Any:
    """A bound of a slice, or what its absence stands for."""
    return default if bound is None else bound


def cannot_fail(context: Context, node: Apply) -> bool:
    """Whether an index is in range for certain: a node that is dropped must not take its IndexError along."""
    op: Any = node.op
    return is_basic(op.pattern) and all(
        isinstance(item, slice) or (isinstance(item, int) and isinstance(n, int) and -n <= item < n)
        for item, n in zip(items_of(node), context.table.shape(node.inputs[0]), strict=True)
    )
