"""Reverse-mode differentiation: from a cost back to what it depends on.

Each op turns the gradient with respect to its result into gradients with respect to its inputs; the contributions to
one variable are added in the order in which they are found.  Two things happen here and nowhere else: a contribution
that has the broadcast shape of an elementwise op is summed back to the shape of the input, and it is cast to the
input's dtype.  Source: Griewank & Walther, Evaluating Derivatives (2008), chapter 3.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.configuration import config
from graphc.errors import DisconnectedInputError, UndefinedGradientError, explain
from graphc.graph.bindings import ops
from graphc.graph.collector import collector_paused
from graphc.graph.op import Gradient, UndefinedGradientOf, Zero, zero
from graphc.graph.predicates import ALWAYS, Predicate, predicates
from graphc.graph.site import creation_site
from graphc.graph.traverse import rebuild, toposort
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable, as_variable, operand
from graphc.ops.broadcasting import fill, sum_to, zeros_like
from graphc.ops.control import ifelse
from graphc.ops.conversion import cast, real
from graphc.ops.declare import Elementwise, function
from graphc.ops.elementwise import and_, eq, neq, switch


def grad(
    cost: Variable | None,
    wrt: Variable | Sequence[Variable],
    consider_constant: Sequence[Variable] | None = None,
    disconnected_inputs: str = "raise",
    add_names: bool = True,
    known_grads: Mapping[Variable, Any] | None = None,
    return_disconnected: str = "zero",
    null_gradients: str = "raise",
) -> Any:
    """The gradient of the scalar `cost` with respect to `wrt`, as expressions.

    Parameters
    ----------
    cost: a 0-d variable; None if `known_grads` says where to start.
    wrt: a variable, or a list or tuple of them; the result has the same form.
    consider_constant: variables through which no gradient flows.
    disconnected_inputs: what to do if `cost` does not depend on a variable of `wrt`: "raise", "warn" or "ignore".
    add_names: call the results ``(dcost/dx)``.
    known_grads: gradients of `cost` with respect to some variables, which are then not derived.
    return_disconnected: what stands for the gradient of a disconnected input: "zero", "none" or "disconnected".
    null_gradients: "raise" if the gradient passes through an op that has none; "return" gives None for it.

    Raises TypeError if `cost` is no scalar and DisconnectedInputError as said.

        >>> x = T.dscalar("x")
        >>> pp(grad(x ** 2, x))
    """
    targets = _targets(wrt)
    _one_of("disconnected_inputs", disconnected_inputs, ("raise", "warn", "ignore"))
    _one_of("return_disconnected", return_disconnected, ("zero", "none", "disconnected"))
    _one_of("null_gradients", null_gradients, ("raise", "return"))
    seeds = _seeds(cost, known_grads or {})
    with collector_paused():
        found, undefined = backward(seeds, targets, consider_constant or (), set(known_grads or ()))

    def of(x: Variable) -> Any:
        g: Any = found.get(x)
        if g is None and x in undefined:
            return _undefined(undefined[x], null_gradients)
        if g is None:
            g = _disconnected(x, cost, disconnected_inputs, return_disconnected)
        if isinstance(g, Zero):
            g = zeros_like(x, config.floatX if dtypes.is_discrete(x.dtype) else x.dtype)
        if add_names and cost is not None:
            _name(g, cost, x)
        return g

    results = list(map(of, targets))
    if isinstance(wrt, Variable):
        return results[0]
    return tuple(results) if isinstance(wrt, tuple) else results


def _targets(wrt: Any) -> list[Variable]:
    """What is derived by, as a list."""
    if not hasattr(wrt, "__iter__"):
        raise TypeError(f"grad: wrt must be a variable or a list of them, got {type(wrt).__name__} {wrt!r}")
    targets = [wrt] if isinstance(wrt, Variable) else list(wrt)
    for x in targets:
        if not isinstance(x, Variable):
            raise TypeError(f"grad: wrt holds {x!r} of type {type(x).__name__}, expected symbolic variables")
    return targets


def _seeds(cost: Any, known: Mapping[Variable, Any]) -> dict[Variable, Variable]:
    """The gradients to start from: of the cost by itself, and those that are known."""
    seeds: dict[Variable, Variable] = {}
    if isinstance(cost, Variable):
        if cost.ndim != 0:
            hint = "cost.sum() or cost.mean()"
            raise TypeError(explain("grad: cost must be a scalar.", [operand(cost)], creation_site(), hint))
        seeds[cost] = _ones(cost)
    elif cost is not None:
        raise TypeError(f"grad: cost is {cost!r} of type {type(cost).__name__}, expected a symbolic variable")
    elif not known:
        raise ValueError("grad: cost is None, so known_grads must say where to start")
    for x, g in known.items():
        g = as_variable(g)
        if g.ndim != x.ndim:
            raise TypeError(explain("grad: a known gradient must have the rank of its variable", map(operand, (x, g))))
        seeds[x] = g
    return seeds


def _undefined(node: Apply, null_gradients: str) -> None:
    """What stands for a gradient that passes through a node which has none."""
    if null_gradients == "raise":
        raise UndefinedGradientError(explain(f"grad: {node.op} has no gradient", map(operand, node.inputs), node.site))


def _name(g: Gradient, cost: Variable, x: Variable) -> None:
    """Call a gradient ``(dcost/dx)``, if both have names and it has none."""
    new = isinstance(g, Variable) and g.owner is not None and g.name is None
    if new and cost.name is not None and x.name is not None:
        g.name = f"(d{cost.name}/d{x.name})"  # type: ignore[union-attr]


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"grad: {name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def _ones(cost: Variable) -> Variable:
    """The gradient of the cost with respect to itself."""
    dtype = config.floatX if dtypes.is_discrete(cost.dtype) else cost.dtype
    one: Variable = fill(cost, Constant(TensorType(dtype, ()), np.ones((), dtype)))
    return one


def _disconnected(x: Variable, cost: Variable | None, action: str, result: str) -> Gradient:
    message = explain(
        f"grad: the cost does not depend on {x}, so its gradient with respect to it is 0",
        [operand(x), *([operand(cost)] if cost is not None else [])],
        x.site,
        "check that every term of the cost is on the line you think it is;\ndisconnected_inputs='ignore' gives zeros",
    )
    if action == "raise":
        raise DisconnectedInputError(message)
    if action == "warn":
        warnings.warn(message, stacklevel=3)
    return zero if result == "zero" else None


def backward(
    seeds: Mapping[Variable, Variable],
    targets: Iterable[Variable],
    constants: Iterable[Variable] = (),
    known: Iterable[Variable] = (),
) -> tuple[dict[Variable, Gradient], dict[Variable, Apply]]:
    """Gradients with respect to `targets`, from those with respect to the variables in `seeds`.

    Returns the gradients, and for variables reached only through an op without a gradient the node of that op.
    """
    targets = list(targets)
    known = set(known)
    order = toposort(list(seeds), stop=set(constants))
    reach = set(targets)
    for node in order:
        if any(x in reach for x in node.inputs):
            reach.update(node.outputs)

    # A gradient that comes out of the branch of a lazy choice is needed only if that branch was taken.
    lazy = any(node.op.lazy for node in order)
    branches = predicates(list(seeds), stop=set(constants)) if lazy else {}

    gradients: dict[Variable, Gradient] = dict(seeds)
    undefined: dict[Variable, Apply] = {}
    for node in reversed(order):
        gs = [gradients.get(out) for out in node.outputs]
        wanted = [x in reach for x in node.inputs]
        if not any(wanted):
            continue
        if all(g is None for g in gs):
            for out in node.outputs:
                if out in undefined:
                    undefined.update((x, undefined[out]) for x in node.inputs)
            continue
        try:
            contributions = _contributions(node, gs)
        except UndefinedGradientOf:
            undefined.update((x, node) for x in node.inputs)
            continue
        when = branches.get(node, ALWAYS)
        for x, g, needed in zip(node.inputs, contributions, wanted, strict=True):
            if needed and x not in known:
                g = _finish(g, x, node)
                if when and isinstance(g, Variable) and (x.owner is None or branches.get(x.owner) != when):
                    g = _chosen(when, g, zeros_like(x, g.dtype))
                gradients[x] = _accumulate(gradients.get(x), g)
    return {x: gradients.get(x) for x in targets}, undefined


def _contributions(node: Apply, gs: Sequence[Gradient]) -> Sequence[Gradient]:
    """The gradients with respect to the inputs of a node.

    Where a gradient is masked, ``switch(c, g, 0)``, the mask goes outside what an elementwise op multiplies it by: 0
    times an infinite derivative on the branch not taken would be nan.  So does the sum over what was broadcast: the
    op is linear in `g`.
    """
    (g,) = gs if isinstance(node.op, Elementwise) else (None,)
    summed = isinstance(g, Variable) and g.owner is not None and g.owner.op is sum_to
    mask = _mask(g.owner.inputs[0] if summed else g)  # type: ignore[union-attr]
    if mask is None:
        return node.op.gradient(gs, node.outputs, node.inputs)
    condition, inner = mask
    found = [_masked(condition, c) for c in node.op.gradient([inner], node.outputs, node.inputs)]
    return [sum_to(c, node.outputs[0]) if summed and isinstance(c, Variable) else c for c in found]


def _mask(g: Gradient) -> tuple[Variable, Variable] | None:
    """The condition and g, of a masked gradient ``switch(condition, g, 0)``."""
    if not isinstance(g, Variable) or g.owner is None or g.owner.op is not switch:
        return None
    condition, a, b = g.owner.inputs
    if _is_zero(b) and a.ndim == g.ndim:
        return condition, a
    return (eq(condition, 0), b) if _is_zero(a) and b.ndim == g.ndim else None


def _is_zero(x: Variable) -> bool:
    return isinstance(x, Constant) and x.ndim == 0 and bool(x.data == 0)


def _masked(condition: Variable, g: Gradient) -> Gradient:
    """``switch(condition, g, 0)``; two masks become one."""
    if not isinstance(g, Variable):
        return g
    inner = _mask(g)
    if inner is not None:
        condition, g = and_(_truth(condition), _truth(inner[0])), inner[1]
    masked: Variable = switch(condition, g, 0)
    return masked


def _truth(condition: Variable) -> Variable:
    truth: Variable = condition if condition.dtype == "bool" else neq(condition, 0)
    return truth


def _accumulate(first: Gradient, second: Gradient) -> Gradient:
    """The sum of two contributions."""
    if second is None or (isinstance(second, Zero) and first is not None):
        return first
    if first is None or isinstance(first, Zero):
        return second
    total: Variable = ops.add(first, second)
    return total


def _chosen(when: Predicate, g: Variable, nothing: Variable) -> Variable:
    """`g` if one of the branches in `when` was taken, else `nothing`; neither is computed in vain."""
    result = nothing
    for choice, taken in when:
        pair = (g, result) if taken else (result, g)
        chosen: Any = ifelse(choice.condition, *pair)
        result = _chosen(choice.when, chosen, result) if choice.when else chosen
    return result


def _finish(g: Gradient, x: Variable, node: Apply) -> Gradient:
    """A contribution in the shape and dtype of the input it is for."""
    if not isinstance(g, Variable):
        return g
    if dtypes.is_discrete(x.dtype):
        return zero
    if isinstance(node.op, Elementwise) and _may_broadcast(x, node):
        back: Variable = ops.sum(g, dtype=g.dtype) if x.ndim == 0 else sum_to(g, x)
    else:
        back = g
    if not dtypes.is_complex(x.dtype):
        back = real(back)
    return back if back.dtype == x.dtype else cast(back, x.dtype)


def _may_broadcast(x: Variable, node: Apply) -> bool:
    """Whether the result of an elementwise node may be larger than its input `x`."""
    out = node.outputs[0]
    if out.ndim == 0:
        return False
    if None not in out.type.shape and x.type.shape == out.type.shape:
        return False
    return not (x.ndim == out.ndim and all(y is x or all(y.type.broadcastable) for y in node.inputs))


# ---- ops declared by their body ----


@lru_cache(maxsize=1024)
def _body_gradient(op: Elementwise, types: tuple[tuple[str, bool], ...], g_dtype: str) -> tuple[Any, ...]:
    """The derivative of a body on fresh scalar leaves, into which the operands are put afterwards.

    Deriving on the operands themselves would count an operand twice that occurs twice.
    """
    leaves = [Variable(TensorType(dtype, (), weak=weak)) for dtype, weak in types]
    g = Variable(TensorType(g_dtype, ()))
    out = op.expand(*leaves)
    assert out is not None
    found, _ = backward({out: g}, leaves)
    return g, leaves, [found[x] for x in leaves]


@function
def gradient_of_body(op: Elementwise, g: Variable, inputs: Sequence[Variable]) -> list[Gradient]:
    """The gradients of an elementwise op that is declared by its body."""
    g_leaf, leaves, derived = _body_gradient(op, tuple((x.dtype, x.type.weak) for x in inputs), g.dtype)
    replacements = dict(zip((g_leaf, *leaves), (g, *inputs), strict=True))
    expressions = iter(rebuild([d for d in derived if isinstance(d, Variable)], replacements))
    return [next(expressions) if isinstance(d, Variable) else d for d in derived]


# ---- products of vectors with the Jacobian ----


def Lop(f: Any, wrt: Any, eval_points: Any, consider_constant: Any = None, disconnected_inputs: str = "raise") -> Any:
    """``v^T J``: the vector `eval_points` (one for each output of `f`) times the Jacobian of `f` by `wrt`."""
    outs = [f] if isinstance(f, Variable) else list(f)
    points = (
        [eval_points] if isinstance(f, Variable) and not isinstance(eval_points, list | tuple) else list(eval_points)
    )
    if len(outs) != len(points):
        raise ValueError(f"Lop: {len(outs)} outputs and {len(points)} vectors")
    known: dict[Variable, Any] = {}
    for out, point in zip(outs, points, strict=True):
        known[out] = known[out] + point if out in known else as_variable(point)
    return grad(None, wrt, consider_constant, disconnected_inputs, known_grads=known)


def Rop(f: Any, wrt: Any, eval_points: Any, disconnected_outputs: str = "raise") -> Any:
    """``J v``: the Jacobian of `f` by `wrt` times the vector `eval_points` (one for each variable of `wrt`).

    It is the `Lop` of the `Lop`: ``u^T J`` is linear in `u`, and its derivative in the direction `v` is ``J v``.
    """
    outs = [f] if isinstance(f, Variable) else list(f)
    xs = [wrt] if isinstance(wrt, Variable) else list(wrt)
    points = (
        [eval_points] if isinstance(wrt, Variable) and not isinstance(eval_points, list | tuple) else list(eval_points)
    )
    if len(xs) != len(points):
        raise ValueError(f"Rop: {len(xs)} variables and {len(points)} vectors")
    us = [Variable(out.type.clone()) for out in outs]
    back = grad(None, xs, known_grads=dict(zip(outs, us, strict=True)), disconnected_inputs="ignore")
    products = [(g * as_variable(v)).sum() for g, v in zip(back, points, strict=True)]
    total = products[0]
    for product in products[1:]:
        total = total + product
    forward = grad(total, us, disconnected_inputs="ignore" if disconnected_outputs != "raise" else "raise")
    # `u` occurs linearly, so it is gone from the result except in shapes; there the output itself stands for it.
    results = rebuild(forward, dict(zip(us, outs, strict=True)))
    if isinstance(f, Variable):
        return results[0]
    return tuple(results) if isinstance(f, tuple) else results
