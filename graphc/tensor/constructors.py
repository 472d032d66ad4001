"""Symbolic inputs: ``dscalar('x')``, ``matrix('X')``, ``fvectors('a', 'b')``.

A letter chooses the dtype: b int8, w int16, i int32, l int64, f float32, d float64, c complex64, z complex128.
Without a letter it is ``config.floatX``.  The plural makes several at once: ``dscalars('x', 'y')``, ``dscalars('xy')``
or ``dscalars(2)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.dtypes import LETTERS
from graphc.graph.types import TensorType
from graphc.graph.variable import Variable

# The kinds, with one flag an axis: is its size 1?
KINDS: dict[str, tuple[bool, ...]] = {
    "scalar": (),
    "vector": (False,),
    "row": (True, False),
    "col": (False, True),
    "matrix": (False, False),
    **{f"tensor{n}": (False,) * n for n in range(3, 8)},
}
PLURALS: dict[str, str] = {
    "scalars": "scalar", "vectors": "vector", "rows": "row", "cols": "col", "matrices": "matrix",
    **{f"tensor{n}s": f"tensor{n}" for n in range(3, 8)},
}  # fmt: skip


def tensor(
    dtype: Any = None,
    broadcastable: Sequence[bool] | None = None,
    name: str | None = None,
    shape: Sequence[int | None] | None = None,
) -> Variable:
    """A symbolic array of any dtype and rank.

    >>> tensor("float32", (False, True), name="column")
    >>> tensor("int64", shape=(None, 3))
    """
    if broadcastable is None and shape is None:
        raise TypeError("tensor(dtype, ...) needs broadcastable=(False, ...) or shape=(None, ...), one entry an axis")
    return TensorType("floatX" if dtype is None else dtype, broadcastable, shape)(name)


def _constructor(kind: str) -> Callable[..., Variable]:
    def construct(name: str | None = None, dtype: Any = None) -> Variable:
        return TensorType("floatX" if dtype is None else dtype, KINDS[kind])(name)

    construct.__name__ = construct.__qualname__ = kind
    construct.__doc__ = f"A symbolic {kind} of `dtype`, by default config.floatX."
    return construct


def _plural(name: str, singular: Callable[..., Variable]) -> Callable[..., Any]:
    def construct(*names: Any, dtype: Any = None) -> Any:
        options = {} if dtype is None else {"dtype": dtype}
        if len(names) == 1 and isinstance(names[0], int):
            made = [singular(**options) for _ in range(names[0])]
        elif len(names) == 1:
            made = [singular(n, **options) for n in names[0]]
        else:
            made = [singular(n, **options) for n in names]
        return made[0] if len(made) == 1 else made

    construct.__name__ = construct.__qualname__ = name
    construct.__doc__ = "Several variables at once: by their names, as one string of letters, or by their number."
    return construct


def _all() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for kind, flags in KINDS.items():
        made[kind] = _constructor(kind)
        for letter, dtype in LETTERS.items():
            made[letter + kind] = TensorType(dtype, flags)
    for plural, kind in PLURALS.items():
        for prefix in ("", *LETTERS):
            made[prefix + plural] = _plural(prefix + plural, made[prefix + kind])
    return made


CONSTRUCTORS: dict[str, Any] = _all()
