"""Formulas that lose digits, overflow or underflow become ones that do not.

The rules hold for every mode and backend: a user may write ``log(1 / (1 + exp(-x)))`` and get the right number.
Sources: Maechler, Accurately computing log(1 - exp(-|a|)) (2012); Blanchard, Higham & Higham, Accurately computing the
log-sum-exp and softmax functions (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.graph.pattern import wildcards
from graphc.graph.variable import Apply, Variable
from graphc.ops.broadcasting import fill
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.elementwise import add, and_, eq, ge, le, mul, neg, sub, switch, true_div
from graphc.ops.indexing import IncSubtensor, Subtensor
from graphc.ops.nnet import AlongAxis, logsoftmax, logsumexp, sigmoid, softmax, softplus
from graphc.ops.reduction import Reduction, is_reduction
from graphc.ops.reshape import Reshape
from graphc.ops.transcendental import exp, expm1, log, log1mexp, log1p, logaddexp
from graphc.rewrites.algebra import SAFER
from graphc.rewrites.canonicalize import CANONICALIZE
from graphc.rewrites.engine.context import Context, same_sizes
from graphc.rewrites.engine.matching import value_of_constant
from graphc.rewrites.engine.rule import rule, rules
from graphc.rewrites.engine.table import table
from graphc.rewrites.products import Product, product_of

x, y = wildcards("x y")

LOG_AND_EXP = rules(
    28,
    "stable",
    (log(1 + x), log1p(x)),
    (log(1 - x), log1p(-x)),
    (exp(x) - 1, expm1(x)),
    (1 - exp(x), -expm1(x)),
)

SIGMOIDS = rules(
    29,
    "stable",
    (1 / (1 + exp(-x)), sigmoid(x)),
    (1 / (1 + exp(x)), sigmoid(-x)),
    (exp(x) / (1 + exp(x)), sigmoid(x)),
    (y / (1 + exp(-x)), y * sigmoid(x)),
    (y / (1 + exp(x)), y * sigmoid(-x)),
    (1 - sigmoid(x), sigmoid(-x)),
)

# The logit of a probability; of anything else it is nan.
PROBABILITY = switch(and_(ge(x, 0), le(x, 1)), x, float("nan"))

SIGMOIDS_OF_LOGITS = rules(
    30,
    "stable",
    (sigmoid(log(x / (1 - x))), PROBABILITY),
    (sigmoid(log(x) - log1p(-x)), PROBABILITY),  # as rule 28 writes log(x) - log(1 - x)
)

LOGS_OF_SIGMOIDS = rules(
    30,
    "stable",
    (log(sigmoid(x)), -softplus(-x)),
    (log1p(-sigmoid(x)), -softplus(x)),
    (log1p(exp(x)), softplus(x)),
    (log1p(-exp(x)), log1mexp(x)),
    (log(-expm1(x)), log1mexp(x)),
    (log(exp(x) + exp(y)), logaddexp(x, y)),
    # For y = -inf the second term is nothing; inf - inf would make it nan.
    (log(exp(x) - exp(y)), x + log1mexp(switch(eq(y, -float("inf")), -float("inf"), y - x))),
)


@rule(29, "stable", mul, true_div)
def sigmoids_in_products(context: Context, node: Apply) -> Variable | None:
    """exp(x) * sigmoid(-x) -> sigmoid(x), sigmoid(x) / sigmoid(-x) -> exp(x), s / s -> 1 for a sigmoid s"""
    product = product_of(node.outputs[0]) if context.occurs(sigmoid) else None
    if product is None:
        return None
    changed = False
    while _exp_times_sigmoid(product) or _odds(product) or _cancel_sigmoid(product) or _share(product):
        changed = True
    return product.expression() if changed else None


def _argument(variable: Variable, op: Any) -> Variable | None:
    """u, if `variable` is ``op(u)``."""
    return variable.owner.inputs[0] if variable.owner is not None and variable.owner.op is op else None


def _negated(a: Variable, b: Variable) -> bool:
    """Whether a is -b."""
    return _argument(a, neg) is b or _argument(b, neg) is a


def _is_sigmoid(variable: Variable) -> bool:
    return _argument(variable, sigmoid) is not None


def _exp_times_sigmoid(product: Product) -> bool:
    """exp(u) * sigmoid(-u) -> sigmoid(u)."""
    for factor, variable in product.above():
        u = _argument(variable, exp)
        if u is None:
            continue
        for other, m in product.above():
            v = _argument(m, sigmoid)
            if v is not None and _negated(u, v):
                factor.variable, other.variable = sigmoid(u), None
                return True
    return False


def _odds(product: Product) -> bool:
    """sigmoid(u) / sigmoid(-u) -> exp(u)."""
    for factor, variable in product.above():
        u = _argument(variable, sigmoid)
        for other, d in product.below():
            v = _argument(d, sigmoid)
            if u is not None and v is not None and _negated(u, v):
                factor.variable, other.variable = exp(u), None
                return True
    return False


def _cancel_sigmoid(product: Product) -> bool:
    """s / s -> 1 for s = sigmoid(u), which is positive; another factor must be there to be nan where u is."""
    for below, d in product.below():
        u = _argument(d, sigmoid)
        for above, n in product.above():
            others = [f for f in product.factors if f is not below and f is not above]
            if u is not None and n is d and any(_nan_with(f.variable, u) for f in others):
                below.variable = above.variable = None
                return True
    return False


def _nan_with(factor: Variable | None, u: Variable) -> bool:
    """Whether a factor is a function of u or -u that is nan where u is."""
    if factor is None:
        return False
    for op in (sigmoid, exp):
        v = _argument(factor, op)
        if v is not None and (v is u or _negated(u, v)):
            return True
    return factor is u or _negated(factor, u)


def _is_along_axis(variable: Variable, name: str) -> bool:
    op = variable.owner.op if variable.owner is not None else None
    return isinstance(op, AlongAxis) and op.name == name


def _share(product: Product) -> bool:
    """(a / s1 + b / s2) * s1 * s2 -> a * s2 + b * s1 for sigmoids s1, s2: the gradient of a cross-entropy."""
    sigmoids = [(factor, x) for factor, x in product.above() if _is_sigmoid(x)]
    if not sigmoids:
        return False
    for factor, x in product.above():
        if x.owner is None or x.owner.op not in (add, sub):
            continue
        terms = [_times_sigmoids(term, [s for _, s in sigmoids]) for term in x.owner.inputs]
        if all(term is not None for term in terms):
            factor.variable = x.owner.op(*terms)
            for used, _ in sigmoids:
                used.variable = None
            return True
    return False


def _times_sigmoids(term: Variable, sigmoids: Sequence[Variable]) -> Variable | None:
    """`term` times the sigmoids, if at least one cancels."""
    product = product_of(term)
    if product is None:
        return None
    left = []
    for s in sigmoids:
        same = [f for f, d in product.below() if d is s]
        if same:
            same[0].variable = None
        else:
            left.append(s)
    if len(left) == len(sigmoids):
        return None
    result: Any = product.expression()
    for s in left:
        result = result * s
    return result  # type: ignore[no-any-return]


# ---- sums of exponentials ----


def _sum_of_exp(variable: Variable) -> tuple[Variable, Reduction] | None:
    """u and the sum, if `variable` is ``sum(exp(u))``."""
    if variable.owner is None or not is_reduction(variable, "sum"):
        return None
    op: Any = variable.owner.op
    u = _argument(variable.owner.inputs[0], exp)
    return None if u is None or u.dtype != op.dtype else (u, op)


@rule(31, "stable", log)
def log_of_sum_of_exp(context: Context, node: Apply) -> Variable | None:
    """log(sum(exp(x), axis)) -> logsumexp(x, axis)"""
    found = _sum_of_exp(node.inputs[0])
    if found is None:
        return None
    u, op = found
    return logsumexp(u, op.axis, op.keepdims)


@rule(31, "stable", true_div)
def exp_over_sum_of_exp(context: Context, node: Apply) -> Variable | None:
    """exp(x) / sum(exp(x), axis, keepdims) -> softmax(x, axis)"""
    above, below = node.inputs
    u = _argument(above, exp)
    axis = None if u is None else _axis_summed(context, below, u)
    return None if u is None or axis is None else softmax(u, axis)


@rule(31, "stable", mul)
def softmax_in_products(context: Context, node: Apply) -> Variable | None:
    """a / sum(exp(x)) * exp(x) -> a * softmax(x), anywhere in a product"""
    product = product_of(node.outputs[0]) if context.occurs(exp) else None
    if product is None:
        return None
    for factor, variable in product.above():
        u = _argument(variable, exp)
        for divisor, d in product.below():
            axis = None if u is None else _axis_summed(context, d, u)
            if u is not None and axis is not None:
                factor.variable, divisor.variable = softmax(u, axis), None
                return product.expression()
    return None


def _axis_summed(context: Context, below: Variable, u: Variable) -> int | None:
    """The axis, if `below` is the sum of exp(u) along one axis, in a shape that broadcasts against u."""
    summed = below
    if below.owner is not None and isinstance(below.owner.op, DimShuffle):
        summed = below.owner.inputs[0]  # the axis that was summed away, put back
    found = _sum_of_exp(summed)
    if found is None or found[0] is not u:
        return None
    axes = found[1].axes(u)
    if len(axes) != 1:
        return None
    want = [1 if i in axes else n for i, n in enumerate(context.shape(u))]
    have = context.shape(below)
    missing = want[: len(want) - len(have)]  # axes that broadcasting puts back
    if missing not in ([], [1]) or not same_sizes(have, want[len(missing) :]):
        return None
    return axes[0]


@rule(31, "stable", log)
def log_of_softmax(context: Context, node: Apply) -> Variable | None:
    """log(softmax(x)) -> logsoftmax(x), also through an index, a dimshuffle or a reshape"""
    path: list[Apply] = []
    inner = node.inputs[0]
    while inner.owner is not None and isinstance(inner.owner.op, Subtensor | DimShuffle | Reshape):
        path.append(inner.owner)
        inner = inner.owner.inputs[0]
    source: Any = inner.owner
    if not _is_along_axis(inner, "softmax"):
        return None
    result: Any = logsoftmax(source.inputs[0], source.op.axis)
    for step in reversed(path):
        result = step.op(result, *step.inputs[1:])
    return result  # type: ignore[no-any-return]


@rule(31, "stable", exp)
def exp_of_logsoftmax(context: Context, node: Apply) -> Variable | None:
    """exp(logsoftmax(x)) -> softmax(x)"""
    source: Any = node.inputs[0].owner
    if not _is_along_axis(node.inputs[0], "logsoftmax"):
        return None
    return softmax(source.inputs[0], source.op.axis)


@rule(31, "stable", sub)
def softmax_gradient(context: Context, node: Apply) -> Variable | None:
    """w - sum(w) * s -> g - sum(g) * s, for w = (g / s) * s or its like with an index, and a softmax s"""
    for w, weighted in (node.inputs, node.inputs[::-1]):
        if weighted.owner is None or weighted.owner.op is not mul:
            continue
        for total, s in (weighted.owner.inputs, weighted.owner.inputs[::-1]):
            if not _is_along_axis(s, "softmax") or not is_reduction(total, "sum") or total.owner is None:
                continue
            g = _without_softmax(w, s) if total.owner.inputs[0] is w else None
            if g is not None:
                g = g if context.same_shape(g, w) else fill(s, g)
                rest: Any = total.owner.op(g) * s
                return g - rest if w is node.inputs[0] else rest - g  # type: ignore[no-any-return]
    return None


def _without_softmax(w: Variable, s: Variable) -> Variable | None:
    """g, if `w` is ``(g / s) * s``, or ``inc(zeros, g / s[i], i) * s``."""
    product = product_of(w)
    if product is None:
        return None
    for above, n in product.above():
        if n is not s:
            continue
        for below, d in product.below():
            if d is s:
                below.variable = above.variable = None
                return product.expression()
        for factor, scattered in product.above():
            unscaled = _scattered_without(scattered, s)
            if unscaled is not None:
                factor.variable, above.variable = unscaled, None
                return product.expression()
    return None


def _scattered_without(scattered: Variable, s: Variable) -> Variable | None:
    """inc(zeros, v, i), if `scattered` is ``inc(zeros, v / s[i], i)``."""
    write = scattered.owner
    if write is None or not isinstance(write.op, IncSubtensor) or not write.op.add:
        return None
    base, values, *index = write.inputs
    product = product_of(values)
    if value_of_constant(base) != 0 or product is None:
        return None
    for factor, d in product.below():
        if _reads(d, s, write.op.pattern, index):
            factor.variable = None
            return write.op(base, product.expression(), *index)  # type: ignore[no-any-return]
    return None


def _reads(d: Variable, s: Variable, pattern: Any, index: list[Variable]) -> bool:
    """Whether d is s[index]."""
    node = d.owner
    if node is None or not isinstance(node.op, Subtensor) or node.op.pattern != pattern or node.inputs[0] is not s:
        return False
    return all(a is b for a, b in zip(node.inputs[1:], index, strict=True))


NEGATIVE_SUMS = rules(
    18,
    "stable",
    ((-x) - y, -(x + y)),  # not exact: where the sum is zero its sign differs
)

STABILIZE = table(
    "stabilize",
    NEGATIVE_SUMS,
    SAFER,
    LOG_AND_EXP,
    SIGMOIDS,
    LOGS_OF_SIGMOIDS,
    SIGMOIDS_OF_LOGITS,
    exp_over_sum_of_exp,
    softmax_in_products,
    sigmoids_in_products,
    log_of_sum_of_exp,
    log_of_softmax,
    exp_of_logsoftmax,
    softmax_gradient,
    CANONICALIZE,
)
