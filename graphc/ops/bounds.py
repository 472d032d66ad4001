"""An index must be right though nothing is read: what NumPy says since 2.3, and what earlier ones only warn of."""

from __future__ import annotations

from typing import Any

import numpy as np

FORGIVEN = np.lib.NumpyVersion(np.__version__) < "2.3.0"
"""Whether this NumPy lets an index out of bounds pass if the result is empty."""


def within(x: Any, index: tuple[Any, ...]) -> Any:
    """`x` itself, if NumPy 2.3 would take ``x[index]``.

    x: an array. index: integers, integer arrays, masks and slices, one for each axis (a mask: for each of its axes).
    Raises IndexError for an integer out of bounds, unless the integer arrays together have no element (and so name no
    place).  Larger arrays are left to NumPy, which looks at every index that it reads by.

    >>> within(np.ones((5, 0)), (np.array([1, 7]), slice(None)))
    Traceback (most recent call last):
    IndexError: index 7 is out of bounds for axis 0 with size 5
    """
    places: list[tuple[int, Any]] = []
    axis = 0
    empty = not x.size
    for entry in index:
        mask = isinstance(entry, np.ndarray) and entry.dtype == bool
        if isinstance(entry, slice):
            empty = empty or not range(*entry.indices(x.shape[axis]))
        elif np.size(entry) == 0:
            return x
        elif not mask:
            places.append((axis, entry))
        axis += entry.ndim if mask else 1
    if empty:
        for axis, entry in places:
            size, numbers = x.shape[axis], np.ravel(entry)
            wrong = numbers[(numbers < -size) | (numbers >= size)]
            if wrong.size:
                raise IndexError(f"index {wrong[0]} is out of bounds for axis {axis} with size {size}")
    return x
