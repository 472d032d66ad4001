"""Formulas that lose digits, overflow or underflow become ones that do not.

The rules hold for every mode and backend: a user may write ``log(1 / (1 + exp(-x)))`` and get the right number.
Sources: Maechler, Accurately computing log(1 - exp(-|a|)) (2012); Blanchard, Higham & Higham, Accurately computing the
log-sum-exp and softmax functions (2021).
"""

from __future__ import annotations

from typing import Any

from graphc.graph.pattern import wildcards
from graphc.graph.variable import Apply, Variable
from graphc.ops.elementwise import exp, expm1, log, log1mexp, log1p, logaddexp, mul, neg, switch, true_div
from graphc.ops.indexing import IncSubtensor, Subtensor
from graphc.ops.nnet import AlongAxis, logsoftmax, sigmoid, softmax, softplus
from graphc.ops.reduction import is_reduction
from graphc.ops.shape import DimShuffle
from graphc.rewrites.algebra import SAFER
from graphc.rewrites.canonicalize import CANONICALIZE
from graphc.rewrites.engine import Context, rule, rules, table, value_of_constant
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
    (1 - sigmoid(x), sigmoid(-x)),
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
    (log(exp(x) - exp(y)), x + log1mexp(switch(exp(y) > 0, y - x, -float("inf")))),
    (sigmoid(log(x / (1 - x))), x, lambda context, x: False),  # right only for 0 <= x <= 1: needs assumptions
)


@rule(29, "stable", mul, true_div)
def sigmoids_in_products(context: Context, node: Apply) -> Variable | None:
    """exp(x) / (1 + exp(x)) -> sigmoid(x), sigmoid(x) / sigmoid(x) -> 1, anywhere in a product"""
    product = product_of(node.outputs[0])
    return None if product is None or not simplify_sigmoids(product) else product.expression(node.outputs[0].dtype)


def simplify_sigmoids(product: Product) -> bool:
    """Merge and cancel factors; True if something changed.  A sigmoid is positive, so cancelling it is no guess."""
    changed = False
    again = True
    while again:
        again = _one_plus_exp(product) or _exp_times_sigmoid(product) or _cancel_sigmoid(product) or _share(product)
        changed = changed or again
    return changed


def _argument(variable: Variable, op: Any) -> Variable | None:
    """u, if `variable` is ``op(u)``."""
    return variable.owner.inputs[0] if variable.owner is not None and variable.owner.op is op else None


def _negated(a: Variable, b: Variable) -> bool:
    """Whether a is -b."""
    return _argument(a, neg) is b or _argument(b, neg) is a


def _minus(u: Variable) -> Variable:
    inner = _argument(u, neg)
    return inner if inner is not None else -u


def _one_plus_exp(product: Product) -> bool:
    """1 / (1 + exp(u)) -> sigmoid(-u), and with a factor exp(u) -> sigmoid(u)."""
    for d in product.denominator:
        u = _exponent_of_one_plus_exp(d)
        if u is None:
            continue
        product.denominator.remove(d)
        for n in product.numerator:
            if _argument(n, exp) is u:
                product.numerator.remove(n)
                product.numerator.append(sigmoid(u))
                return True
        product.numerator.append(sigmoid(_minus(u)))
        return True
    return False


def _exponent_of_one_plus_exp(d: Variable) -> Variable | None:
    if d.owner is None or d.owner.op.name != "add":
        return None
    for one, other in (d.owner.inputs, d.owner.inputs[::-1]):
        if value_of_constant(one) == 1:
            return _argument(other, exp)
    return None


def _exp_times_sigmoid(product: Product) -> bool:
    """exp(u) * sigmoid(-u) -> sigmoid(u)."""
    for n in product.numerator:
        u = _argument(n, exp)
        if u is None:
            continue
        for m in product.numerator:
            v = _argument(m, sigmoid)
            if v is not None and _negated(u, v):
                product.numerator.remove(n)
                product.numerator.remove(m)
                product.numerator.append(sigmoid(u))
                return True
    return False


def _cancel_sigmoid(product: Product) -> bool:
    """sigmoid(u) / sigmoid(u) -> 1."""
    for d in product.denominator:
        if _argument(d, sigmoid) is None:
            continue
        for n in product.numerator:
            if n is d or (_argument(n, sigmoid) is not None and _argument(n, sigmoid) is _argument(d, sigmoid)):
                product.numerator.remove(n)
                product.denominator.remove(d)
                return True
    return False


def _share(product: Product) -> bool:
    """(a / s1 + b / s2) * s1 * s2 -> a * s2 + b * s1 for sigmoids s1, s2: the gradient of a cross-entropy."""
    for i, factor in enumerate(product.numerator):
        node = factor.owner
        if node is None or node.op.name not in ("add", "sub"):
            continue
        others = product.numerator[:i] + product.numerator[i + 1 :]
        if not any(_argument(o, sigmoid) is not None for o in others):
            continue
        terms = []
        for term in node.inputs:
            part = product_of(term)
            if part is None or not any(_argument(d, sigmoid) is not None for d in part.denominator):
                break
            before = len(part.denominator)
            part.numerator += [o for o in others if _argument(o, sigmoid) is not None]
            while _cancel_sigmoid(part):
                pass
            if len(part.denominator) == before:
                break
            terms.append(part.expression(factor.dtype))
        else:
            rest = [o for o in others if _argument(o, sigmoid) is None]
            product.numerator[:] = [*rest, node.op(*terms)]
            return True
    return False


# ---- sums of exponentials ----


def _along(reduction: Variable) -> int | None:
    """The one axis that a reduction is over, or None."""
    assert reduction.owner is not None
    op: Any = reduction.owner.op
    axes = op.axes(reduction.owner.inputs[0])
    return axes[0] if len(axes) == 1 else None


@rule(31, "stable", log)
def log_of_sum_of_exp(context: Context, node: Apply) -> Variable | None:
    """log(sum(exp(x), axis)) -> logsumexp(x, axis)"""
    (summed,) = node.inputs
    if not is_reduction(summed, "sum") or summed.owner is None:
        return None
    u = _argument(summed.owner.inputs[0], exp)
    axis = _along(summed)
    op: Any = summed.owner.op
    if u is None or u.dtype != op.dtype:
        return None
    from graphc.ops.nnet import logsumexp

    if axis is not None:
        return logsumexp(u, axis, op.keepdims)  # type: ignore[no-any-return]
    return logsumexp(u, None, op.keepdims) if len(op.axes(u)) == u.ndim else None


@rule(31, "stable", true_div)
def exp_over_sum_of_exp(context: Context, node: Apply) -> Variable | None:
    """exp(x) / sum(exp(x), keepdims) -> softmax(x)"""
    above, below = node.inputs
    u = _argument(above, exp)
    if u is None or not u.ndim:
        return None
    summed = below
    if below.owner is not None and isinstance(below.owner.op, DimShuffle):
        summed = below.owner.inputs[0]
    if not is_reduction(summed, "sum") or summed.owner is None or summed.owner.inputs[0] is not above:
        return None
    axis = _along(summed)
    if axis is None:
        return None
    op: Any = summed.owner.op
    expected = context.table.shape(op.expanded(summed, u) if below is summed else below) if below is summed else None
    shape = context.table.shape(below)
    want = [1 if i == axis else n for i, n in enumerate(context.table.shape(u))]
    if expected is None and len(shape) != len(want):
        return None
    if len(shape) == len(want) and not all(n is m or n == m for n, m in zip(shape, want, strict=True)):
        return None
    if len(shape) != len(want) and u.ndim != 1:
        return None
    return softmax(u, axis)  # type: ignore[no-any-return]


@rule(31, "stable", log)
def log_of_softmax(context: Context, node: Apply) -> Variable | None:
    """log(softmax(x)) -> logsoftmax(x), also through an index or a dimshuffle"""
    path: list[Apply] = []
    inner = node.inputs[0]
    while inner.owner is not None and isinstance(inner.owner.op, Subtensor | DimShuffle):
        path.append(inner.owner)
        inner = inner.owner.inputs[0]
    source = inner.owner
    if source is None or not isinstance(source.op, AlongAxis) or source.op.name != "softmax":
        return None
    result: Any = logsoftmax(source.inputs[0], source.op.axis)
    for step in reversed(path):
        result = step.op(result, *step.inputs[1:])
    return result  # type: ignore[no-any-return]


@rule(31, "stable", exp)
def exp_of_logsoftmax(context: Context, node: Apply) -> Variable | None:
    """exp(logsoftmax(x)) -> softmax(x)"""
    source = node.inputs[0].owner
    if source is None or not isinstance(source.op, AlongAxis) or source.op.name != "logsoftmax":
        return None
    return softmax(source.inputs[0], source.op.axis)  # type: ignore[no-any-return]


@rule(31, "stable", mul)
def softmax_gradient_of_index(context: Context, node: Apply) -> Variable | None:
    """inc(zeros, v / s[i], i) * s -> inc(zeros, v, i), for a softmax s: a probability is positive"""
    for scattered, s in (node.inputs, node.inputs[::-1]):
        write = scattered.owner
        if write is None or not isinstance(write.op, IncSubtensor) or not write.op.add:
            continue
        if s.owner is None or not isinstance(s.owner.op, AlongAxis) or s.owner.op.name != "softmax":
            continue
        base, values, *index = write.inputs
        product = product_of(values)
        if value_of_constant(base) != 0 or product is None:
            continue
        for d in product.denominator:
            if _reads(d, s, write.op.pattern, index):
                product.denominator.remove(d)
                return write.op(base, product.expression(values.dtype), *index)  # type: ignore[no-any-return]
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
    exp_over_sum_of_exp,
    sigmoids_in_products,
    log_of_sum_of_exp,
    log_of_softmax,
    exp_of_logsoftmax,
    softmax_gradient_of_index,
    CANONICALIZE,
)
