"""A launch that fills an array before another one adds to each of its elements once: the addition becomes a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.kernels.gpuir import GRID, GpuKernel, GpuStatement, Once, Spread, walk
from graphc.kernels.loopir import Accumulate, Array, Load, Number, Store
from graphc.kernels.neutral import neutral


def without_fills(kernels: Sequence[GpuKernel]) -> list[GpuKernel]:
    """Launches in order, without those that are not needed."""
    result: list[GpuKernel] = []
    waiting = list(kernels)
    while waiting:
        kernel = waiting.pop(0)
        filled = _filled(kernel)
        users = [i for i, other in enumerate(waiting) if filled and filled[0] in other.kernel.arrays]
        stored = _storing(waiting[users[0]], *filled) if filled and users else None
        if stored is None:
            result.append(kernel)
        else:
            waiting[users[0]] = stored
    return result


def _filled(kernel: GpuKernel) -> tuple[Array, float | int | bool] | None:
    """The array that a launch fills, and with which number, if that is all it does."""
    match kernel.body:
        case [*before, Spread(over=over, body=[Store() as store], carries=())] if over == GRID:
            numbers = {s.out: s.number for s in before if isinstance(s, Number)}
            top = kernel.shared_out
            assert top is not None
            is_whole = len(store.index) == len(top.axes) and set(store.index) == set(top.axes)
            if len(numbers) == len(before) and store.value in numbers and is_whole:
                return store.array, numbers[store.value]
    return None


def _storing(kernel: GpuKernel, array: Array, number: float | int | bool) -> GpuKernel | None:
    """The launch that stores what it would add to an array of equal numbers; None if it may not."""
    top = kernel.shared_out
    touching = [s for s in walk((*kernel.body, *kernel.finish)) if isinstance(s, Load | Store | Accumulate)]
    ours = [s for s in touching if s.array is array]
    if top is None or len(ours) != 1:
        return None
    (added,) = ours
    if not isinstance(added, Accumulate) or added.shared or number != neutral(added.kind, array.dtype):
        return None
    if len(added.index) != len(top.axes) or set(added.index) != set(top.axes):
        return None
    new = Store(array, added.index, added.value)

    def stored(s: GpuStatement) -> GpuStatement:
        if isinstance(s, Once):
            return Once(tuple(new if x is added else x for x in s.body))
        return new if s is added else s

    body = tuple(stored(s) for s in top.body)
    if body == top.body:  # it is further inside
        return None
    made = replace(top, body=body)
    return replace(kernel, body=tuple(made if s is top else s for s in kernel.body))
