"""The look of a node: what is seen of it at first sight, in a form that is quickly compared.

Most rules match few nodes, and the look of a node tells nearly always which rules need not be tried on it.
"""

from __future__ import annotations

from typing import Any

from graphc.graph.variable import Apply

Look = tuple[Any, ...]

# Nodes of more inputs are seen by their op alone.
MOST_OPERANDS = 4


def look_of(node: Apply) -> Look:
    """The identity of the op, whether the first and the last input are one, and what makes each input.

    Of a leaf that is its class; nodes of more inputs than `MOST_OPERANDS` are seen by their op alone.
    """
    inputs = node.inputs
    if not 0 < len(inputs) <= MOST_OPERANDS:
        return (id(node.op),)
    tops = [type(x) if x.owner is None else id(x.owner.op) for x in inputs]
    return (id(node.op), inputs[0] is inputs[-1], *tops)
