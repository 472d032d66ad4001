"""The statements of one node: what each op is in the body of a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.graph.variable import Apply, Constant
from graphc.kernels.addressing import Addressing, Read
from graphc.kernels.arithmetic import converted, let, number
from graphc.kernels.groups import Member
from graphc.kernels.loopir import Statement, Value
from graphc.ops.broadcasting import Alloc, Fill
from graphc.ops.declare import Elementwise
from graphc.ops.elementwise import add, eq, mul, switch
from graphc.ops.identities import Identity
from graphc.ops.indexing import IncSubtensor, Subtensor
from graphc.ops.matmul import Dot
from graphc.ops.ranges import ARange
from graphc.ops.reduction import Place, Reduction

# Exponents up to this are products: x ** 7 in four multiplications.
MOST_SQUARINGS = 8


def computed(body: list[Statement], member: Member, read: Read, places: Addressing) -> Value:
    """The value of a node at this iteration."""
    if member.reduced is not None:  # nothing to reduce: all the axes have size 1
        return number(body, 0) if isinstance(member.node.op, Place) else reduced(body, member, read)
    if member.index:
        return places.element(body, member, read)
    args = [read(position) for position in range(len(member.reads))]
    write = next(_WRITERS[kind] for kind in type(member.node.op).__mro__ if kind in _WRITERS)
    return write(body, member, args, places)


def reduced(body: list[Statement], member: Member, read: Read) -> Value:
    """What a reduction takes of one element, in the dtype it accumulates in."""
    node = member.node
    dtype = (node.inputs if isinstance(node.op, Place) else node.outputs)[0].dtype
    args = [converted(body, read(position), dtype) for position in range(len(member.reads))]
    return args[0] if len(args) == 1 else let(body, mul, *args)


def place(body: list[Statement], member: Member, places: Addressing) -> Value | None:
    """The number of an element, if the place of one is what a reduction looks for."""
    if not isinstance(member.node.op, Place):
        return None
    assert member.reduced is not None
    (axis,) = member.reduced
    return places.position(body, axis)


def known_exponent(node: Apply) -> float | None:
    """The exponent of a power that is worth code of its own: a small integer, or 1/2."""
    if node.op.name != "pow" or not isinstance(node.inputs[1], Constant) or node.inputs[1].ndim:
        return None
    exponent: float = node.inputs[1].data.item()
    return exponent if exponent == 0.5 or (float(exponent).is_integer() and abs(exponent) <= MOST_SQUARINGS) else None


# ---- one op each ----


def _elementwise(body: list[Statement], member: Member, args: Sequence[Value], _: Addressing) -> Value:
    node = member.node
    op = node.op
    assert isinstance(op, Elementwise)
    loop, dtype = op.signature(node.inputs)
    cast = [converted(body, a, want) for a, want in zip(args, loop, strict=True)]
    exponent = known_exponent(node)
    if exponent is not None:
        cast[1] = number(body, exponent, loop[1])
    return converted(body, let(body, op, *cast, dtype=dtype), node.outputs[0].dtype)


def _multiplied(body: list[Statement], member: Member, args: Sequence[Value], _: Addressing) -> Value:
    return let(body, mul, *[converted(body, a, member.node.outputs[0].dtype) for a in args])


def _first(body: list[Statement], member: Member, args: Sequence[Value], _: Addressing) -> Value:
    return converted(body, args[0], member.node.outputs[0].dtype)


def _second(body: list[Statement], member: Member, args: Sequence[Value], _: Addressing) -> Value:
    return converted(body, args[1], member.node.outputs[0].dtype)


def _counted(body: list[Statement], member: Member, args: Sequence[Value], places: Addressing) -> Value:
    """``start + step * i``."""
    dtype = member.node.outputs[0].dtype
    (axis,) = member.out.axes
    start, _, step = member.node.inputs
    assert isinstance(start, Constant)
    assert isinstance(step, Constant)
    at = converted(body, places.position(body, axis), dtype)
    if step.data != 1:
        at = let(body, mul, at, converted(body, args[2], dtype))
    return at if start.data == 0 else let(body, add, at, converted(body, args[0], dtype))


def _one_hot(body: list[Statement], member: Member, args: Sequence[Value], places: Addressing) -> Value:
    """The number of a row where its index points, else 0."""
    columns = places.shapes.shape(member.node.inputs[0])[1]
    index = places.inside(body, converted(body, args[1], "int64"), places.extent(body, columns))
    here = let(body, eq, places.position(body, member.out.axes[1]), index, dtype="bool")
    nothing = number(body, 0, args[0].dtype)
    return let(body, switch, here, args[0], nothing, dtype=nothing.dtype)


def _only(body: list[Statement], member: Member, args: Sequence[Value], places: Addressing) -> Value:
    """The sum of a row with one number, which its index must point into."""
    one_hot = member.node.inputs[0].owner
    assert one_hot is not None
    columns = places.shapes.shape(one_hot.inputs[0])[1]
    value, index = args
    places.inside(body, converted(body, index, "int64"), places.extent(body, columns))
    return value


_WRITERS: dict[type, Callable[[list[Statement], Member, Sequence[Value], Addressing], Value]] = {
    Elementwise: _elementwise,
    Identity: _first,
    Fill: _second,
    Alloc: _first,
    Subtensor: _first,
    ARange: _counted,
    IncSubtensor: _one_hot,
    Reduction: _only,
    Dot: _multiplied,
}
