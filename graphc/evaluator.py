"""The value of a graph, one NumPy call after another: slow, obvious, and the definition of what is right.

It folds constants, computes test values, and is what compiled functions are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

from graphc.errors import MissingInputError, explain
from graphc.graph.shared import SharedVariable
from graphc.graph.variable import Apply, Constant, Variable, operand

Array = np.ndarray[Any, Any]


@overload
def evaluate(outputs: Variable, values: Mapping[Variable, Any] | None = None) -> Array: ...


@overload
def evaluate(outputs: Sequence[Variable], values: Mapping[Variable, Any] | None = None) -> list[Array]: ...


def evaluate(
    outputs: Variable | Sequence[Variable], values: Mapping[Variable, Any] | None = None
) -> Array | list[Array]:
    """The value of one variable or of several, for given values of the inputs.

    Nothing is rewritten.  The branch of a lazy op that is not chosen is not computed.

        >>> evaluate(x * 2, {x: 3.0})
        array(6.)
    """
    wanted = [outputs] if isinstance(outputs, Variable) else list(outputs)
    known: dict[Variable, Array] = {x: x.type.filter(value) for x, value in (values or {}).items()}
    with np.errstate(all="ignore"):
        for x in wanted:
            _compute(x, known)
    return known[wanted[0]] if isinstance(outputs, Variable) else [known[x] for x in wanted]


def _compute(wanted: Variable, known: dict[Variable, Array]) -> None:
    """Put the value of `wanted`, and of all it depends on, into `known`."""
    stack = [wanted]
    while stack:
        x = stack[-1]
        if x in known:
            stack.pop()
            continue
        if x.owner is None:
            known[x] = _leaf(x)
            continue
        node = x.owner
        missing = [y for y in needed_inputs(node, known) if y not in known]
        if missing:
            stack.extend(reversed(missing))
            continue
        results = value_of(node, [known.get(y) for y in node.inputs])
        known.update(zip(node.outputs, results, strict=True))


def needed_inputs(node: Apply, known: Mapping[Variable, Array]) -> list[Variable]:
    """The inputs a node needs, given the values that are known: of a lazy op the condition first."""
    if not node.op.lazy:
        return list(node.inputs)
    condition = node.inputs[0]
    if condition not in known:
        return [condition]
    taken = bool(known[condition])
    return [y for i, y in enumerate(node.inputs) if node.op.branch_of(node, i) in (None, taken)]


def _leaf(x: Variable) -> Array:
    if isinstance(x, Constant):
        return x.data
    if isinstance(x, SharedVariable):
        return x.container.data
    raise MissingInputError(explain(f"no value was given for {x}", [operand(x)], x.site, "evaluate(y, {x: value})"))


def value_of(node: Apply, values: Sequence[Any]) -> tuple[Array, ...]:
    """The outputs of one node for the values of its inputs; an op without a NumPy function is computed by its body."""
    if node.op.has_value:
        out = node.op.perform(node, *values)
        results = out if isinstance(out, tuple | list) else (out,)
        return tuple(np.asarray(r) for r in results)
    expansion = node.op.expand(*node.inputs)
    assert expansion is not None, f"{node.op} has neither a value nor a body"
    inner: dict[Variable, Array] = dict(zip(node.inputs, values, strict=True))
    _compute(expansion, inner)
    return (inner[expansion],)
