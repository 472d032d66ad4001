"""Arrays seen through others: dimensions in another order, and arrays that are one number everywhere."""

from __future__ import annotations

from typing import NamedTuple

from graphc.graph.variable import Apply, Variable
from graphc.ops.broadcasting import Alloc, Fill
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.indexing import Subtensor


class View(NamedTuple):
    """A variable as the elements of another, its dimensions in another order.

    dims: for each dimension of the variable that of `base`, or None for a new one of size 1.
    """

    base: Variable
    dims: tuple[int | None, ...]


def view(x: Variable) -> View:
    """What `x` is a view of, through any number of dimshuffles."""
    dims: tuple[int | None, ...] = tuple(range(x.ndim))
    while x.owner is not None and isinstance(x.owner.op, DimShuffle):
        order = x.owner.op.new_order
        dims = tuple(None if d is None or order[d] == "x" else int(order[d]) for d in dims)
        x = x.owner.inputs[0]
    return View(x, dims)


def filling(x: Variable) -> Variable | None:
    """The number that an array is full of, if it is made so."""
    if x.owner is None or not isinstance(x.owner.op, Fill | Alloc):
        return None
    value = x.owner.inputs[1 if isinstance(x.owner.op, Fill) else 0]
    return value if value.ndim == 0 and value.dtype == x.dtype else None


def is_window(node: Apply) -> bool:
    """Whether an index takes neighbouring rows, or one row: a part of the memory as it is."""
    if type(node.op) is not Subtensor or node.inputs[0].ndim < 2:
        return False
    first, *rest = node.op.pattern
    if first not in ("int", "slice:---", "slice:1--", "slice:-1-", "slice:11-"):
        return False
    return all(entry == "slice:---" for entry in rest) and all(x.dtype == "int64" for x in node.inputs[1:])


def keeps_order(op: DimShuffle) -> bool:
    """Whether a dimshuffle only adds and drops dimensions of size 1, so that memory stays as it is."""
    kept = [int(i) for i in op.new_order if i != "x"]
    return kept == sorted(kept)


def written_into(node: Apply) -> Variable:
    """What is in the memory of an indexed array before a node writes to it: a copy of an array, or one number."""
    x = node.inputs[0]
    value = filling(x)
    return view(x).base if value is None else value
