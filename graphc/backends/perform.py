"""A node computed by its own `perform`, with errors that name the line that built it: some ops on every backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.errors import describe, explain, with_context
from graphc.evaluator import value_of
from graphc.graph.variable import Apply


def performer(node: Apply) -> Callable[..., tuple[Any, ...]]:
    """A node as a function of arrays, whose results never share memory with its arguments or each other."""
    op, several = node.op, len(node.outputs) > 1

    def perform(*values: Any) -> tuple[Any, ...]:
        arrays = tuple(np.asarray(v) for v in values)
        out = op.perform(node, *arrays) if op.has_value else value_of(node, arrays)[0]
        results = tuple(out) if several else (out,)
        fresh: list[Any] = []
        for i, (result, variable) in enumerate(zip(results, node.outputs, strict=True)):
            array = np.asarray(result, variable.dtype)
            if array.ndim != variable.ndim:
                raise TypeError(f"perform returned {describe(array)} for an output of type {variable.type!r}")
            if not op.aliases(i) and any(np.may_share_memory(array, v) for v in (*arrays, *fresh)):
                array = array.copy()
            fresh.append(array if array.ndim else array[()])
        return tuple(fresh)

    return perform


def explained(error: Exception, node: Apply, values: Sequence[Any]) -> Exception:
    """The error with the op, its operands and the line that built the node."""
    numbers = [v[()] if isinstance(v, np.ndarray) and not v.ndim else v for v in values]
    operands = [f"{x!r}: {describe(value)}" for x, value in zip(node.inputs, numbers, strict=True)]
    return with_context(error, explain(f"{_written(node)}: {error}", operands, node.site))


def _written(node: Apply) -> str:
    """The op that the user wrote: that of the node, or the one whose body it is part of."""
    return (node.site.op if node.site is not None else "") or str(node.op)


def out_of_memory(error: MemoryError, node: Apply | None, name: str, dtype: str, shape: tuple[int, ...]) -> Exception:
    """The error with the op whose array there is no memory for, the array and the line that built the node."""
    problem = str(error) or "out of memory"
    headline = problem if node is None else f"{_written(node)}: {problem}"
    array = f"{name}: ndarray of {dtype}, shape {shape}"
    return with_context(error, explain(headline, [array], None if node is None else node.site))
