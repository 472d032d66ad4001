"""Choices: what is known to be chosen needs no `switch` or `ifelse`, and what is chosen by one condition needs one."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.graph.variable import Apply, Variable
from graphc.ops.control import IfElse
from graphc.ops.conversion import cast
from graphc.ops.declare import Elementwise
from graphc.ops.elementwise import (
    add,
    and_,
    eq,
    ge,
    gt,
    le,
    lt,
    maximum,
    minimum,
    mul,
    neq,
    or_,
    sub,
    switch,
    true_div,
    xor,
)
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.matching import value_of_constant
from graphc.rewrites.engine.rule import rule

# Functions that cost no more than a switch.
CHEAP = (add, sub, mul, maximum, minimum, lt, le, gt, ge, eq, neq, and_, or_, xor)


@rule(25, "exact", switch)
def switch_of_constant(context: Context, node: Apply) -> Variable | None:
    """switch(constant, a, b) -> the branch; switch(c, a, a) -> a"""
    condition, a, b = node.inputs
    value = value_of_constant(condition)
    if value is not None:
        return a if value else b
    return a if a is b else None


@rule(25, "exact", switch)
def switch_of_switch(context: Context, node: Apply) -> Variable | None:
    """switch(c, switch(c, a, b), d) -> switch(c, a, d), switch(c, a, switch(c, b, d)) -> switch(c, a, d)"""
    condition, *branches = node.inputs
    chosen = [_chosen(x, condition, i) for i, x in enumerate(branches)]
    if all(new is old for new, old in zip(chosen, branches, strict=True)):
        return None
    return switch(condition, *chosen)  # type: ignore[no-any-return]


def _chosen(x: Variable, condition: Variable, branch: int) -> Variable:
    """What `x` is where `condition` chooses the first (0) or the second branch."""
    return cast(x.owner.inputs[1 + branch], x.dtype) if _is_switch(x, condition) else x  # type: ignore[union-attr]


def _is_switch(x: Variable, condition: Variable) -> bool:
    return x.owner is not None and x.owner.op is switch and x.owner.inputs[0] is condition


@rule(25, "exact", Elementwise, over=(switch,))
def elementwise_of_switches(context: Context, node: Apply) -> Variable | None:
    """f(switch(c, a, b), switch(c, d, e)) -> switch(c, f(a, d), f(b, e)), if nobody else reads these two"""
    first = node.inputs[0].owner
    if first is None or first.op is not switch or len(node.inputs) < 2:
        return None
    condition = first.inputs[0]
    if not all(_is_switch(x, condition) and context.read_once(x) for x in node.inputs):
        return None
    yes, no = ([_chosen(x, condition, branch) for x in node.inputs] for branch in (0, 1))
    # f is computed twice: either it is no dearer than the switch that goes, or it is one of numbers.
    if node.op not in CHEAP and any(x.ndim for x in yes) and any(x.ndim for x in no):
        return None
    return switch(condition, node.op(*yes), node.op(*no))  # type: ignore[no-any-return]


# A nan that the user multiplies by 0 is nan.  In gradients the mask is outside already: see gradient/core.py.
@rule(25, "algebraic", mul, true_div)
def product_of_switch(context: Context, node: Apply) -> Variable | None:
    """switch(c, a, 0) * k -> switch(c, a * k, 0); wrong where k is inf or nan"""
    out = node.outputs[0]
    for i, (masked, other) in enumerate((node.inputs, node.inputs[::-1])):
        inner = masked.owner
        if inner is None or inner.op is not switch or (node.op is true_div and i == 1):
            continue
        if not context.same_shape(masked, out) or masked.dtype != out.dtype:
            continue
        condition, a, b = inner.inputs
        if value_of_constant(b) == 0:
            return switch(condition, node.op(a, other), b)  # type: ignore[no-any-return]
        if value_of_constant(a) == 0:
            return switch(condition, a, node.op(b, other))  # type: ignore[no-any-return]
    return None


# ---- one of two branches is run ----


@rule(25, "exact", IfElse)
def ifelse_of_constant(context: Context, node: Apply) -> list[Variable] | None:
    """ifelse(constant, a, b) -> the branch"""
    value = value_of_constant(node.inputs[0])
    if value is None:
        return None
    thens, others = _branches(node)
    return _instead_of(context, node, thens if value else others)


@rule(25, "exact", IfElse)
def ifelse_of_equals(context: Context, node: Apply) -> list[Variable] | None:
    """ifelse(c, a, a) -> a; one of several results is taken out"""
    thens, others = _branches(node)
    pairs = [(a, b) for a, b in zip(thens, others, strict=True) if a is not b]
    if len(pairs) == len(thens):
        return None
    left = iter(_ifelse(context, node.inputs[0], [a for a, _ in pairs], [b for _, b in pairs]) if pairs else ())
    return _instead_of(context, node, [a if a is b else next(left) for a, b in zip(thens, others, strict=True)])


@rule(25, "exact", IfElse)
def ifelse_of_ifelse(context: Context, node: Apply) -> list[Variable] | None:
    """ifelse(c, ifelse(c, a, b), d) -> ifelse(c, a, d), ifelse(c, a, ifelse(c, b, d)) -> ifelse(c, a, d)"""
    condition = node.inputs[0]
    thens, others = ([_run(x, condition, i) for x in branch] for i, branch in enumerate(_branches(node)))
    if all(new is old for new, old in zip((*thens, *others), node.inputs[1:], strict=True)):
        return None
    return _instead_of(context, node, _ifelse(context, condition, thens, others))


def _ifelse(
    context: Context, condition: Variable, thens: Sequence[Variable], others: Sequence[Variable]
) -> list[Variable]:
    made = IfElse(len(thens)).make_node(condition, *thens, *others)
    return [context.table.intern(x) for x in made.outputs]


def _branches(node: Apply) -> tuple[Sequence[Variable], Sequence[Variable]]:
    """What an ifelse gives if its condition holds, and if not."""
    count = len(node.outputs)
    return node.inputs[1 : 1 + count], node.inputs[1 + count :]


def _run(x: Variable, condition: Variable, branch: int) -> Variable:
    """What `x` is if `condition` makes the first (0) or the second branch run."""
    if x.owner is None or not isinstance(x.owner.op, IfElse) or x.owner.inputs[0] is not condition:
        return x
    return _branches(x.owner)[branch][x.index or 0]


def _instead_of(context: Context, node: Apply, results: Sequence[Variable]) -> list[Variable]:
    """The results in the place of those of an ifelse; sizes that only running it could tell are now theirs."""
    for new, old in zip(results, node.outputs, strict=True):
        context.table.succeed(new, old)
    return list(results)


CHOICES = [
    *switch_of_constant,
    *switch_of_switch,
    *elementwise_of_switches,
    *ifelse_of_constant,
    *ifelse_of_equals,
    *ifelse_of_ifelse,
]
