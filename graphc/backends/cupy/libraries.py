"""What CuPy computes on the device: ops that no kernel has, as far as its answer is NumPy's.

An entry of the table says for which nodes that is so, and how.  The functions take CuPy first, or NumPy where another
device stands for a GPU.  They move elements, and compute with these:

    integers    without signs, so that they wrap
    float64     each operation is a kernel of its own: nothing is contracted
    float16     in float32, like NumPy: equal, `exp` and its like to the last bit or two; sums and products of matrices
                are rounded once

Float32 is only moved, because CuPy flushes small numbers to zero when it adds, compares or converts them; but it is
added to a place that may be there twice, where a GPU flushes anyway.

What is not in the table the host computes; so it does when an operand has no elements, or more than CuPy counts in 32
bits, and when NumPy might refuse: its errors are the right ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.backends.cupy.device import Placed
from graphc.graph.op import Op
from graphc.graph.variable import Apply, Constant, Variable
from graphc.kernels.views import filling
from graphc.ops.broadcasting import Alloc, Fill
from graphc.ops.conversion import Cast
from graphc.ops.declare import Elementwise
from graphc.ops.elementwise import Power, is_root
from graphc.ops.indexing import AdvancedSubtensor, IncSubtensor, Subtensor, as_index, axes_taken, entries
from graphc.ops.join import Join, Stack
from graphc.ops.matmul import Dot
from graphc.ops.ranges import ARange, Eye
from graphc.ops.reduction import Peak, Reduction

# More elements than CuPy counts in 32 bits.
TOO_MANY = 1 << 31

# Elementwise functions of float16 with NumPy's results: the one operation is rounded twice, to float32 and to float16,
# which for these is as good as once.
HALVES = frozenset(
    "add subtract multiply divide negative absolute sign sqrt square reciprocal maximum minimum where "
    "less less_equal greater greater_equal equal not_equal isnan isinf isfinite ceil floor trunc rint".split()
)
# And those that are computed by another library of functions of float32.
NEAR_HALVES = frozenset(
    "exp expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh "
    "power".split()
)
# Entries of an index that are integers.
INTEGERS = frozenset({"int", "array"})
COMPARISONS = frozenset("less less_equal greater greater_equal equal not_equal".split())

Operand = Placed | int
"""Of a node: where an array is, or a number that the host must know."""


def _nothing(node: Apply) -> Sequence[Variable]:
    return ()


def _always(node: Apply, *operands: Any) -> bool:
    return True


def _never(node: Apply) -> bool:
    return False


@dataclass(frozen=True)
class Library:
    """How a library computes a node.

    takes: for which nodes; compute: what becomes the result when it is assigned to it, of CuPy, the node and its
    operands; numbers: the inputs that the host must know; fits: whether NumPy would take operands of these sizes;
    wrong: on the device, whether NumPy would refuse their elements; finds: for which nodes the size of the result, a
    new array, is not known before; waits: for which CuPy waits, because a size follows from elements.
    """

    takes: Callable[[Apply], bool]
    compute: Callable[..., Any]
    numbers: Callable[[Apply], Sequence[Variable]] = _nothing
    fits: Callable[..., bool] = _always
    wrong: Callable[..., Any] | None = None
    finds: Callable[[Apply], bool] = _never
    waits: Callable[[Apply], bool] = _never


def library_of(node: Apply) -> Library | None:
    """How a library computes a node; None if the host must."""
    return next((found for found in TABLE.get(type(node.op), ()) if found.takes(node) and _counts(found, node)), None)


def _counts(library: Library, node: Apply) -> bool:
    """Whether the numbers that the host must know are integers: NumPy takes no bools to bound a slice."""
    return all(x.dtype in dtypes.INTEGERS for x in library.numbers(node))


def is_countable(operands: Sequence[Operand], shape: Sequence[int]) -> bool:
    """Whether operands and a result have elements, and not too many."""
    shapes = [shape, *(x.shape for x in operands if isinstance(x, Placed))]
    return all(0 < math.prod(sizes) < TOO_MANY and min(sizes, default=1) > 0 for sizes in shapes)


# ---- indices ----


def _bounds(first: int) -> Callable[[Apply], Sequence[Variable]]:
    """The bounds of slices among the inputs of a node whose index begins with input `first`."""

    def bounds(node: Apply) -> Sequence[Variable]:
        found = entries(_pattern(node), node.inputs[first:])
        return [x for entry, given in found if entry.startswith("slice:") for x in given if x is not None]

    return bounds


def _pattern(node: Apply) -> tuple[str, ...]:
    assert isinstance(node.op, Subtensor | IncSubtensor)
    return node.op.pattern


def _has_mask(node: Apply) -> bool:
    return any(entry.startswith("mask:") for entry in _pattern(node))


def _index_fits(node: Apply, x: Placed, *arguments: Operand) -> bool:
    """Whether masks are of the sizes they index, and no slice has a step of 0."""
    axis = 0
    for entry, given in entries(_pattern(node), arguments):
        taken = axes_taken(entry)
        if entry.startswith("slice:") and given[2] == 0:
            return False
        if entry.startswith("mask:") and given[0].shape != x.shape[axis : axis + taken]:
            return False
        axis += taken
    return True


def _is_outside(cupy: Any, node: Apply, x: Any, *arguments: Any) -> Any:
    """Whether an integer among the indices is out of bounds."""
    axis = 0
    found: list[Any] = []
    for entry, given in entries(_pattern(node), arguments):
        if entry in INTEGERS:
            i = given[0].astype("int64")
            found.append(cupy.any((i < -x.shape[axis]) | (i >= x.shape[axis])))
        axis += axes_taken(entry)
    return reduce(or_, found)


def _has_integers(node: Apply) -> bool:
    """Whether there are integers among the indices, and such that can be compared with sizes."""
    arguments = node.inputs[1 if isinstance(node.op, Subtensor) else 2 :]
    found = [given[0] for entry, given in entries(_pattern(node), arguments) if entry in INTEGERS]
    return bool(found) and all(x.dtype != "uint64" for x in found)


def _has_none(node: Apply) -> bool:
    """Whether there are no integers among the indices."""
    return INTEGERS.isdisjoint(_pattern(node))


def _has_any_step(node: Apply) -> bool:
    """Whether the size of a slice is not known before its step."""
    found = entries(_pattern(node), node.inputs[1:])
    steps = [given[2] for entry, given in found if entry.startswith("slice:") and given[2] is not None]
    return not all(isinstance(step, Constant) for step in steps)


def _is_found(node: Apply) -> bool:
    """Whether the size of what is read is found when it is."""
    return _has_mask(node) or _has_any_step(node)


def _read(cupy: Any, node: Apply, x: Any, *arguments: Any) -> Any:
    out = x[as_index(_pattern(node), arguments)]
    return out.copy() if _has_any_step(node) else out


def _is_written_by_masks(node: Apply) -> bool:
    """Whether each element is written once; and if it is added to, as NumPy adds."""
    op, x = node.op, node.inputs[0]
    assert isinstance(op, IncSubtensor)
    if not _has_mask(node) or "array" in op.pattern:
        return False
    return not op.add or x.dtype != "float32" or _is_zero(x)


def _is_zero(x: Variable) -> bool:
    """Whether an array is 0 everywhere."""
    value = filling(x)
    return isinstance(value, Constant) and bool(value.data == 0) and not np.signbit(value.data)


def _is_choice(node: Apply) -> bool:
    """Whether one number is put where one mask is true."""
    op = node.op
    assert isinstance(op, IncSubtensor)
    masks = [entry for entry in op.pattern if entry.startswith("mask:")]
    rest = {entry for entry in op.pattern if entry not in masks}
    return not op.add and len(masks) == 1 and rest <= {"slice:---"} and not node.inputs[1].ndim


def _choose(cupy: Any, node: Apply, x: Any, y: Any, mask: Any) -> Any:
    before = next(i for i, entry in enumerate(_pattern(node)) if entry.startswith("mask:"))
    after = x.ndim - before - mask.ndim
    return cupy.where(mask.reshape((1,) * before + mask.shape + (1,) * after), y, x)


def _write(cupy: Any, node: Apply, x: Any, y: Any, *arguments: Any) -> Any:
    """Put elements where masks are true, or add them: no place is there twice."""
    op = node.op
    assert isinstance(op, IncSubtensor)
    out, index = x.copy(), as_index(op.pattern, arguments)
    old = out[index]
    new = cupy.broadcast_to(y, old.shape)
    out[index] = _sum(cupy, old, new) if op.add else new
    return out


def _sum(cupy: Any, x: Any, y: Any) -> Any:
    """``x + y``, where `x` is 0 if it is float32."""
    if x.dtype == "float32":  # all bits as they are, but -0.0 becomes 0.0
        bits = cupy.ascontiguousarray(y).view("uint32")
        return cupy.where(bits == 1 << 31, 0, bits).astype("uint32").view("float32")
    if x.dtype.kind in "iu":
        return (_wraps(x, x.dtype) + _wraps(y, x.dtype)).astype(x.dtype)
    return x + y


def _is_put_at_arrays(node: Apply) -> bool:
    """Whether elements replace others at integer arrays, which may name a place twice."""
    op = node.op
    assert isinstance(op, IncSubtensor)
    return not op.add and "array" in op.pattern and _has_integers(node)


def _put(cupy: Any, node: Apply, x: Any, y: Any, *arguments: Any) -> Any:
    """Put elements in their places; in a place that is there twice the last one stays."""
    index = as_index(_pattern(node), arguments)
    if not y.ndim:
        out = x.copy()
        out[index] = y
        return out
    last = cupy.zeros(x.shape, "uint32")  # the number of the element that stays
    shape = last[index].shape
    new = cupy.broadcast_to(y, shape).ravel()
    cupy.maximum.at(last, index, cupy.arange(1, new.size + 1, dtype="uint32").reshape(shape))
    return cupy.where(last > 0, new[cupy.maximum(last, 1) - 1], x)


def _is_added_at_arrays(node: Apply) -> bool:
    """Whether elements are added at integer arrays, and CuPy adds such atomically."""
    op = node.op
    assert isinstance(op, IncSubtensor)
    adds = node.inputs[0].dtype in ("float32", "float64", *dtypes.INTEGERS)
    return op.add and adds and "array" in op.pattern and _has_integers(node)


def _add(cupy: Any, node: Apply, x: Any, y: Any, *arguments: Any) -> Any:
    """Add elements, in any order, by the instruction that kernels add with."""
    index, is_float = as_index(_pattern(node), arguments), dtypes.is_float(x.dtype.name)
    out, y = (x.copy(), y) if is_float else (_wraps(x, x.dtype), _wraps(y, x.dtype))
    cupy.add.at(out, index, y)
    return out.astype(x.dtype)


def _after_y(check: Callable[..., Any]) -> Callable[..., Any]:
    """A check of an index, for a node that writes to it."""
    return lambda node, x, y, *arguments: check(node, x, *arguments)


def _is_outside_written(cupy: Any, node: Apply, x: Any, y: Any, *arguments: Any) -> Any:
    return _is_outside(cupy, node, x, *arguments)


# ---- integers ----


def _wraps(x: Any, dtype: Any) -> Any:
    """An integer array without signs, of at least 32 bits: C says what overflows."""
    return x.astype("uint64" if np.dtype(dtype).itemsize == 8 else "uint32")


def _are_discrete(node: Apply) -> bool:
    return all(dtypes.is_discrete(x.dtype) for x in (*node.inputs, *node.outputs))


def _integer_product(cupy: Any, node: Apply, x: Any, y: Any) -> Any:
    dtype = node.outputs[0].dtype
    out = cupy.dot(_wraps(x, dtype), _wraps(y, dtype))
    return out != 0 if dtype == "bool" else out.astype(dtype)


def _integer_power(cupy: Any, node: Apply, x: Any, y: Any) -> Any:
    dtype = node.outputs[0].dtype
    return cupy.power(_wraps(x, dtype), _wraps(y, dtype)).astype(dtype)


def _is_negative(cupy: Any, node: Apply, x: Any, y: Any) -> Any:
    return cupy.any(y < 0)


def _compares_signs(node: Apply) -> bool:
    """Whether numbers with and without signs are compared, in 64 bits."""
    op = node.op
    return isinstance(op, Elementwise) and op.numpy in COMPARISONS and set(_loop(node)) == {"int64", "uint64"}


def _range(cupy: Any, node: Apply, start: int, stop: int, step: int) -> Any:
    count = len(range(start, stop, step))
    return cupy.arange(count, dtype="int64") * np.int64(step) + np.int64(start)


# ---- floats ----


def _is_mixed_product(node: Apply) -> bool:
    """Whether factors are to become float64, which all but float32 do as in NumPy."""
    return node.outputs[0].dtype == "float64" and all(x.dtype != "float32" for x in node.inputs)


def _mixed_product(cupy: Any, node: Apply, x: Any, y: Any) -> Any:
    return cupy.dot(x.astype("float64"), y.astype("float64"))


def _is_half(node: Apply) -> bool:
    return node.outputs[0].dtype == "float16"


def _has_halves(node: Apply) -> bool:
    return "float16" in [x.dtype for x in (*node.inputs, *node.outputs)]


def _half_product(cupy: Any, node: Apply, x: Any, y: Any) -> Any:
    return cupy.dot(x.astype("float32"), y.astype("float32"))


def _loop(node: Apply) -> tuple[str, ...]:
    assert isinstance(node.op, Elementwise)
    return node.op.signature(node.inputs)[0]


def _computes_halves(node: Apply) -> bool:
    op, loop = node.op, {*_loop(node)}
    assert isinstance(op, Elementwise)
    if op.numpy not in HALVES | NEAR_HALVES:
        return False
    return "float16" in loop and {*loop, node.outputs[0].dtype} <= {"float16", "bool"}


def _elementwise(cupy: Any, node: Apply, *operands: Any) -> Any:
    op = node.op
    assert isinstance(op, Elementwise)
    assert op.numpy is not None
    arrays = [x.astype(dtype) for x, dtype in zip(operands, _loop(node), strict=True)]
    return getattr(cupy, op.numpy)(*arrays)


def _converts_halves(node: Apply) -> bool:
    """Whether a conversion is to float16, or from it to what holds all of its numbers."""
    return _has_halves(node) and (_is_half(node) or node.outputs[0].dtype in ("float32", "float64", "bool"))


def _converted(cupy: Any, node: Apply, x: Any) -> Any:
    return x.astype(node.outputs[0].dtype)


def _reduces_halves(node: Apply) -> bool:
    op = node.op
    assert isinstance(op, Reduction)
    return node.inputs[0].dtype == "float16" and op.name != "prod" and op.dtype in ("float16", "float32", "bool")


def _reduced(cupy: Any, node: Apply, x: Any) -> Any:
    op = node.op
    assert isinstance(op, Reduction)
    terms = x.astype("float32") if op.name == "sum" else x
    return getattr(cupy, op.numpy)(terms, axis=op.axis, keepdims=op.keepdims)


# ---- elements that are only moved ----


def _joins_like(node: Apply) -> bool:
    """Whether arrays of one dtype are joined: no element is converted."""
    return all(x.dtype == node.outputs[0].dtype for x in node.inputs)


def _joined(cupy: Any, node: Apply, *operands: Any) -> Any:
    op = node.op
    assert isinstance(op, Join)
    return cupy.concatenate(operands, axis=op.axis)


def _stacked(cupy: Any, node: Apply, *operands: Any) -> Any:
    op = node.op
    assert isinstance(op, Stack)
    return cupy.stack(operands, axis=op.axis)


def _diagonal(cupy: Any, node: Apply, n: int, m: int, k: int) -> Any:
    return cupy.eye(n, m, k, dtype=node.outputs[0].dtype)


def _inputs(node: Apply) -> Sequence[Variable]:
    return node.inputs


_READ = Library(_has_none, _read, _bounds(1), _index_fits, finds=_is_found, waits=_has_mask)
_WRITE = Library(
    lambda node: _is_written_by_masks(node) and _has_none(node),
    _write,
    _bounds(2),
    _after_y(_index_fits),
    finds=_always,
    waits=_has_mask,
)
_READS = (_READ, replace(_READ, takes=_has_integers, wrong=_is_outside))

TABLE: Mapping[type[Op], tuple[Library, ...]] = {
    Subtensor: _READS,
    AdvancedSubtensor: _READS,
    IncSubtensor: (
        Library(lambda node: _has_mask(node) and _is_choice(node), _choose, fits=_after_y(_index_fits)),
        _WRITE,
        replace(
            _WRITE,
            takes=lambda node: _is_written_by_masks(node) and _has_integers(node),
            wrong=_is_outside_written,
        ),
        replace(_WRITE, takes=_is_put_at_arrays, compute=_put, wrong=_is_outside_written),
        replace(_WRITE, takes=_is_added_at_arrays, compute=_add, wrong=_is_outside_written),
    ),
    Dot: (
        Library(_are_discrete, _integer_product),
        Library(_is_mixed_product, _mixed_product),
        Library(_is_half, _half_product),
    ),
    Power: (
        Library(_are_discrete, _integer_power, wrong=_is_negative),
        Library(lambda node: _computes_halves(node) and not is_root(node), _elementwise),
    ),
    Elementwise: (Library(_compares_signs, _elementwise), Library(_computes_halves, _elementwise)),
    Cast: (Library(_converts_halves, _converted),),
    Fill: (Library(_has_halves, lambda cupy, node, x, value: value),),
    Alloc: (Library(_is_half, lambda cupy, node, value, *sizes: value, numbers=lambda node: node.inputs[1:]),),
    Reduction: (Library(_reduces_halves, _reduced),),
    Peak: (Library(_reduces_halves, _reduced),),
    Join: (Library(_joins_like, _joined),),
    Stack: (Library(_joins_like, _stacked),),
    ARange: (
        Library(
            lambda node: node.outputs[0].dtype == "int64" and all(x.dtype in dtypes.SIGNED for x in node.inputs),
            _range,
            _inputs,
            lambda node, start, stop, step: step != 0,
        ),
    ),
    Eye: (Library(_always, _diagonal, _inputs),),
}
