"""Axes and broadcasts: a dimshuffle, a reshape, a fill or an alloc goes, or goes where it costs less.

A dimshuffle moves towards the leaves and a broadcast towards the results; where only axes of size 1 come or go, the
normal form is a dimshuffle, which other rules see through, and never a reshape.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graphc.graph.sizes import Size
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.broadcasting import Alloc, Fill, fill
from graphc.ops.declare import Elementwise
from graphc.ops.dimshuffle import DimShuffle, dimshuffle
from graphc.ops.elementwise import mul
from graphc.ops.matmul import Dot, dot
from graphc.ops.reshape import Reshape, reshape
from graphc.rewrites.engine.context import Context, same_sizes
from graphc.rewrites.engine.rule import rule

# A reshape goes below no more functions than this: of many in a chain, each would go below all of those before it.
MOST_PASSED = 16


def is_one(size: Size) -> bool:
    """Whether a size is known to be 1."""
    return isinstance(size, int) and size == 1


def is_broadcast(x: Variable) -> bool:
    """Whether `x` is a fill or an alloc."""
    return x.owner is not None and isinstance(x.owner.op, (Fill, Alloc))


def value_broadcast(x: Variable) -> Variable | None:
    """What `x` is a broadcast of, if it is a fill or an alloc."""
    if x.owner is None or not is_broadcast(x):
        return None
    return x.owner.inputs[1 if isinstance(x.owner.op, Fill) else 0]


# ---- 4: dimshuffle ----


@rule(4, "exact", DimShuffle)
def compose_dimshuffles(context: Context, node: Apply) -> Variable | None:
    """dimshuffle(dimshuffle(x)) -> dimshuffle(x), and none at all if nothing moves"""
    (inner,) = node.inputs
    op: Any = node.op
    if op.new_order == tuple(range(inner.ndim)):
        return inner
    if inner.owner is None or not isinstance(inner.owner.op, DimShuffle):
        return None
    first = inner.owner.op.new_order
    return dimshuffle(inner.owner.inputs[0], *("x" if i == "x" else first[i] for i in op.new_order))


@rule(4, "exact", DimShuffle)
def transpose_of_dot(context: Context, node: Apply) -> Variable | None:
    """dot(x, y).T -> dot(y.T, x.T)"""
    (inner,) = node.inputs
    op: Any = node.op
    if op.new_order != (1, 0) or inner.owner is None or not isinstance(inner.owner.op, Dot):
        return None
    a, b = inner.owner.inputs
    if not context.read_once(inner):
        return None
    return dot(b.T, a.T)


@rule(4, "exact", DimShuffle)
def dimshuffle_of_broadcast(context: Context, node: Apply) -> Variable | None:
    """dimshuffle(alloc(x, shape)) -> alloc(dimshuffle(x), the new shape)"""
    (inner,) = node.inputs
    value = value_broadcast(inner)
    # The driver broadcasts it to the shape of the node.
    return None if value is None else _moved(value, node)


# A dimshuffle moves past no more than so many elementwise nodes: in a long chain each would have to go all the way.
MOST_PASSED = 8


@rule(4, "exact", DimShuffle)
def dimshuffle_of_elementwise(context: Context, node: Apply) -> Variable | None:
    """dimshuffle(f(x, y)) -> f(dimshuffle(x), dimshuffle(y)), if nobody else reads f(x, y) and few such f are above"""
    (inner,) = node.inputs
    passed: list[Apply] = []
    pending = [inner]
    while pending:
        made = pending.pop().owner
        if made is None or not isinstance(made.op, Elementwise) or isinstance(made.op, Fill) or not made.out.ndim:
            continue  # here it ends
        passed.append(made)
        if len(passed) > MOST_PASSED or not context.read_once(made.out):
            return None
        pending += made.inputs
    return _moved_past(inner, node, set(passed)) if passed else None


def _moved_past(x: Variable, node: Apply, passed: set[Apply]) -> Variable:
    """A dimshuffle of `x` that has moved above some elementwise nodes, a few levels deep at most."""
    if x.owner is None or x.owner not in passed:
        return _moved(x, node)
    moved: Variable = x.owner.op(*(_moved_past(y, node, passed) for y in x.owner.inputs))
    return moved


def _moved(x: Variable, node: Apply) -> Variable:
    """What a dimshuffle of an array does to `x`, which broadcasts to the shape of that array."""
    op: Any = node.op
    missing = op.input_ndim - x.ndim
    order = ["x" if i == "x" or i < missing else i - missing for i in op.new_order]
    while order and order[0] == "x":  # broadcasting puts these back
        del order[0]
    if x.owner is not None and isinstance(x.owner.op, DimShuffle):  # they meet here, before that one moves on
        first = x.owner.op.new_order
        order = ["x" if i == "x" else first[int(i)] for i in order]
        x = x.owner.inputs[0]
    return x if order == list(range(x.ndim)) else dimshuffle(x, *order)


# ---- 5: reshape ----


@rule(5, "exact", Reshape)
def reshape_to_own_shape(context: Context, node: Apply) -> Variable | None:
    """reshape(x, shape(x)) -> x"""
    source = node.inputs[0]
    return source if context.same_shape(source, node.outputs[0]) else None


@rule(5, "exact", Reshape)
def reshape_to_dimshuffle(context: Context, node: Apply) -> Variable | None:
    """reshape(x) -> dimshuffle(x), if only axes of size 1 come or go"""
    source = node.inputs[0]
    have, want = context.shape(source), context.shape(node.outputs[0])
    kept = [axis for axis, n in enumerate(have) if not is_one(n)]
    if not same_sizes([have[axis] for axis in kept], [n for n in want if not is_one(n)]):
        return None
    places = iter(kept)
    return dimshuffle(source, *("x" if is_one(n) else next(places) for n in want))


@rule(5, "exact", Reshape, DimShuffle)
def merge_reshapes(context: Context, node: Apply) -> Variable | None:
    """reshape(reshape(x)) -> reshape(x); either may be a dimshuffle by which only axes of size 1 come or go"""
    (middle, *_), out = node.inputs, node.outputs[0]
    inner = middle.owner
    if inner is None or not (_keeps_order(node) and _keeps_order(inner)):
        return None
    if isinstance(node.op, DimShuffle) and (isinstance(inner.op, DimShuffle) or not context.read_once(middle)):
        return None
    source, want = inner.inputs[0], context.shape(out)
    # The number of elements may be wrong: the reshape that is dropped must not take its ShapeError along.
    have = context.shape(source)
    if not any(_same_total(context.shape(middle), shape) for shape in (have, want)) or _differ(have, want):
        return None
    return reshape(source, [context.table.size_variable(n) for n in want])


def _keeps_order(node: Apply) -> bool:
    """Whether an op keeps the elements in row-major order: a reshape does, a transpose does not."""
    if isinstance(node.op, DimShuffle):
        axes = [int(i) for i in node.op.new_order if i != "x"]
        return axes == sorted(axes)
    return isinstance(node.op, Reshape)


def _same_total(a: Iterable[Size], b: Iterable[Size]) -> bool:
    """Whether two shapes are known to have the same number of elements."""
    (number, factors), (other_number, other_factors) = _factors(a), _factors(b)
    return number == other_number and factors == other_factors


def _differ(a: Iterable[Size], b: Iterable[Size]) -> bool:
    """Whether two shapes are known to have different numbers of elements: then there is no reshape."""
    (number, factors), (other_number, other_factors) = _factors(a), _factors(b)
    return number != other_number and not factors and not other_factors


def _factors(shape: Iterable[Size]) -> tuple[int, list[int]]:
    """The number of elements of a shape: a number, and the (ids of the) sizes it is to be multiplied with."""
    number, factors = 1, []
    stack: list[Size] = list(shape)
    while stack:
        n = stack.pop()
        if isinstance(n, int):
            number *= n
        elif n is not None and n.owner is not None and n.owner.op is mul:
            stack += [int(x.data) if isinstance(x, Constant) else x for x in n.owner.inputs]
        else:
            factors.append(id(n))
    return number, sorted(factors)


@rule(5, "exact", Reshape)
def reshape_of_unary(context: Context, node: Apply) -> Variable | None:
    """reshape(f(x)) -> f(reshape(x)), for scalars beside x, if nobody else reads f(x)"""
    source, *sizes = node.inputs
    inner = source.owner
    if inner is None or _argument(source) is None or _many_below(source) or not context.read_once(source):
        return None
    return inner.op(*(node.op(x, *sizes) if x.ndim else x for x in inner.inputs))  # type: ignore[no-any-return]


def _argument(x: Variable) -> Variable | None:
    """The array that `x` is an elementwise function of, if it is the only one."""
    if x.owner is None or not isinstance(x.owner.op, Elementwise) or isinstance(x.owner.op, Fill):
        return None
    arrays = [operand for operand in x.owner.inputs if operand.ndim]
    return arrays[0] if len(arrays) == 1 else None


def _many_below(x: Variable) -> bool:
    """Whether `x` is a function of a function, and so on, more than `MOST_PASSED` times."""
    for _ in range(MOST_PASSED):
        argument = _argument(x)
        if argument is None:
            return False
        x = argument
    return True


# ---- 8: fill and alloc ----


@rule(8, "exact", Fill)
def useless_fill(context: Context, node: Apply) -> Variable | None:
    """fill(a, b) -> b, if b has the shape already, else fill(x, b) for a leaf x of the shape of a"""
    like, value = node.inputs
    if context.same_shape(value, node.outputs[0]):
        return value
    leaf = context.table.leaf_like(like)
    return None if leaf is None or leaf is like else fill(leaf, value)


@rule(8, "exact", Alloc)
def useless_alloc(context: Context, node: Apply) -> Variable | None:
    """alloc(x, shape(x)) -> x"""
    value = node.inputs[0]
    return value if context.same_shape(value, node.outputs[0]) else None


@rule(8, "exact", Alloc, Fill)
def broadcast_of_broadcast(context: Context, node: Apply) -> Variable | None:
    """alloc(alloc(x, s), t) -> alloc(x, t), and likewise for fill"""
    if isinstance(node.op, Alloc):
        return value_broadcast(node.inputs[0])  # the driver broadcasts it to the shape of the node
    like, value = node.inputs
    inner = value_broadcast(value)
    return None if inner is None or not context.same_shape(like, node.outputs[0]) else fill(like, inner)


@rule(8, "exact", Elementwise, over=(Fill, Alloc))
def elementwise_of_fill(context: Context, node: Apply) -> Variable | None:
    """f(fill(a, b), c) -> fill(a, f(b, c)), if c is a scalar or a fill too"""
    if isinstance(node.op, Fill) or not node.outputs[0].ndim:
        return None
    if any([x.ndim and not is_broadcast(x) for x in node.inputs]):
        return None
    result: Variable = node.op(*(value_broadcast(x) if x.ndim else x for x in node.inputs))
    for x in node.inputs:
        if x.owner is not None and isinstance(x.owner.op, Fill) and context.same_shape(x, node.outputs[0]):
            return fill(x.owner.inputs[0], result)  # type: ignore[no-any-return]
    return result  # the driver broadcasts it


@rule(8, "exact", Elementwise, over=(Fill, Alloc))
def drop_fill(context: Context, node: Apply) -> Variable | None:
    """f(fill(a, b), c) -> f(b, c), if c has the shape of the result"""
    if isinstance(node.op, Fill) or not node.outputs[0].ndim:
        return None
    if not any(map(is_broadcast, node.inputs)):
        return None
    out = context.table.shape(node.outputs[0])
    for i, value in enumerate(map(value_broadcast, node.inputs)):
        if value is None:
            continue
        others = [other for j, other in enumerate(node.inputs) if j != i]
        covered = [context.table.shape(other) for other in (*others, value)]
        if same_sizes(context.table.broadcast(covered), out):
            return node.op(*node.inputs[:i], value, *node.inputs[i + 1 :])  # type: ignore[no-any-return]
    return None


# Not before formulas have been recognised: log(reshape(softmax(x))) is none.
RESHAPE_LIFTS = [*reshape_of_unary]

SHAPES = [
    *compose_dimshuffles,
    *transpose_of_dot,
    *dimshuffle_of_broadcast,
    *dimshuffle_of_elementwise,
    *reshape_to_own_shape,
    *reshape_to_dimshuffle,
    *merge_reshapes,
    *useless_fill,
    *useless_alloc,
    *broadcast_of_broadcast,
    *elementwise_of_fill,
    *drop_fill,
]
