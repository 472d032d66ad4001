"""Lazy choice: ``ifelse`` runs one of two branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from graphc import dtypes
from graphc.graph.op import Gradient, Op, as_variables, refuse, zero
from graphc.graph.sizes import Shape, Size, Sizes, StaticSizes
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Variable, as_variable
from graphc.ops.broadcasting import zeros_like
from graphc.ops.conversion import cast
from graphc.ops.declare import function

# Branches of several expressions.
Listed = list[Any] | tuple[Any, ...]


class IfElse(Op):
    """``ifelse(condition, *then, *otherwise)``: the nodes of the branch that is not chosen do not run."""

    __props__ = ("count",)
    name = "if"
    lazy = True

    def __init__(self, count: int) -> None:
        self.count = count

    def make_node(self, *inputs: Any) -> Apply:
        condition, *branches = as_variables(self, inputs)
        if condition.ndim:
            hint = "T.switch(condition, a, b) chooses element by element"
            raise refuse(TypeError, "ifelse", "the condition must be a scalar", [condition], hint)
        thens, others = branches[: self.count], branches[self.count :]
        pairs = [self._unify(condition, a, b) for a, b in zip(thens, others, strict=True)]
        types = []
        for a, b in pairs:
            shape = [n if n == m else None for n, m in zip(a.type.shape, b.type.shape, strict=True)]
            types.append(TensorType(a.dtype, shape=shape))
        return Apply(self, [condition, *(a for a, _ in pairs), *(b for _, b in pairs)], types)

    @staticmethod
    def _unify(condition: Variable, a: Variable, b: Variable) -> tuple[Variable, Variable]:
        """Both branches in one dtype: equal ones stay, numbers and integers are cast to their common dtype."""
        if a.ndim != b.ndim:
            raise refuse(TypeError, "ifelse", "the branches must have the same number of axes", [condition, a, b])
        dtype = dtypes.promote(((a.dtype, a.type.weak), (b.dtype, b.type.weak)))
        return cast(a, dtype), cast(b, dtype)

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        result: list[Shape | None] = []
        for a, b in zip(shapes[1 : 1 + self.count], shapes[1 + self.count :], strict=True):
            # The sizes of the two branches may differ: which one the result has is known when it has run.
            known: list[Size] = [n if _equal(n, m) else None for n, m in zip(a, b, strict=True)]
            static = isinstance(sizes, StaticSizes)
            result.append(tuple(known) if static or None not in known else sizes.unknown(len(known)))
        return result

    def perform(self, node: Apply, *values: Any) -> Any:
        condition, *branches = values
        chosen = branches[: self.count] if condition else branches[self.count :]
        return chosen[0] if self.count == 1 else tuple(chosen)

    def aliases(self, output: int) -> tuple[int, ...]:
        return 1 + output, 1 + self.count + output

    def branch_of(self, node: Apply, position: int) -> bool | None:
        return None if position == 0 else position <= self.count

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        condition = inputs[0]
        thens, others = inputs[1 : 1 + self.count], inputs[1 + self.count :]

        def chosen(g: Gradient, x: Variable, taken: bool) -> Gradient:
            if not isinstance(g, Variable):
                return g
            nothing = zeros_like(x, g.dtype)
            return ifelse(condition, g, nothing) if taken else ifelse(condition, nothing, g)

        return [
            zero,
            *(chosen(g, x, True) for g, x in zip(gs, thens, strict=True)),
            *(chosen(g, x, False) for g, x in zip(gs, others, strict=True)),
        ]

    def text(self) -> str:
        return "if"


def _equal(n: Size, m: Size) -> bool:
    return n is m or (isinstance(n, int) and isinstance(m, int) and n == m)


@overload
def ifelse(condition: Any, then_branch: Listed, else_branch: Listed, name: str | None = None) -> list[Variable]: ...
@overload
def ifelse(condition: Any, then_branch: Any, else_branch: Any, name: str | None = None) -> Variable: ...
@function
def ifelse(condition: Any, then_branch: Any, else_branch: Any, name: str | None = None) -> Variable | list[Variable]:
    """`then_branch` if the scalar `condition` is not zero, else `else_branch`; only the chosen one is computed.

    Each branch is one expression or a list of them; corresponding ones must have the same rank, and are cast to a
    common dtype.  ``T.switch`` chooses element by element and computes both.

        >>> ifelse(T.lt(z, 0), 0, 1)
    """
    several = isinstance(then_branch, list | tuple)
    if several != isinstance(else_branch, list | tuple):
        raise TypeError("ifelse: either both branches are lists or neither is")
    thens = list(then_branch) if several else [then_branch]
    others = list(else_branch) if several else [else_branch]
    if len(thens) != len(others):
        raise ValueError(f"ifelse: the branches have {len(thens)} and {len(others)} expressions")
    branches = [as_variable(x) for x in (*thens, *others)]
    outputs = IfElse(len(thens)).make_node(condition, *branches).outputs
    if name is not None:
        for i, out in enumerate(outputs):
            out.name = name if not several else f"{name}_{i}"
    return list(outputs) if several else outputs[0]
