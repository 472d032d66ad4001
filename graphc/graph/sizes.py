"""Symbolic sizes: how ops compute the shapes of their results from those of their operands.

A size is an ``int`` where it is known, a scalar int64 Variable where it is an expression of other sizes, and None
where nothing is known.  An op's shape rule is written once, in terms of `Sizes`, and read twice: when the user builds
a node (`StaticSizes`: only ints and None) and when the node enters a FunctionGraph (there every size is an int or an
interned expression, and two that must be equal are united).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Union

from graphc.errors import ShapeError

if TYPE_CHECKING:
    from graphc.graph.variable import Variable

Size = Union[int, "Variable", None]
Shape = tuple[Size, ...]


class Sizes:
    """Arithmetic on sizes.  Ints are folded; what is symbolic goes to `symbolic`; None absorbs."""

    def symbolic(self, name: str, a: Any, b: Any) -> Size:
        """``name(a, b)`` where at least one of the two is a Variable."""
        raise NotImplementedError

    def value(self, variable: Variable) -> Size:
        """The value of an integer scalar, as a size."""
        data = getattr(variable, "data", None)  # only a Constant has any
        return self.unknown_value(variable) if data is None else int(data)

    def unknown_value(self, variable: Variable) -> Size:
        """The value of a scalar that is no constant."""
        raise NotImplementedError

    def unknown(self, ndim: int) -> Shape | None:
        """The shape of a result whose sizes only running tells."""
        return None

    def same(self, a: Size, b: Size) -> Size:
        """One size for two that must be equal; ShapeError if they cannot be."""
        raise NotImplementedError

    def meet(self, a: Size, b: Size) -> Size:
        """One size for two that meet in an elementwise op: a 1 broadcasts."""
        if a == 1 and isinstance(a, int):
            return b
        if b == 1 and isinstance(b, int):
            return a
        return self.same(a, b)

    def stretch(self, have: Size, wanted: Size) -> Size:
        """The size of an axis of size `have` that is broadcast to `wanted`: of the two only the former may be a 1."""
        if have == 1 and isinstance(have, int):
            return wanted
        return (self.same if wanted == 1 and isinstance(wanted, int) else self.meet)(wanted, have)

    # ---- arithmetic ----

    def add(self, a: Size, b: Size) -> Size:
        """``a + b``."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if b == 0 and isinstance(b, int):
            return a
        if a == 0 and isinstance(a, int):
            return b
        return None if a is None or b is None else self.symbolic("add", a, b)

    def sub(self, a: Size, b: Size) -> Size:
        """``a - b``."""
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        if b == 0 and isinstance(b, int):
            return a
        return None if a is None or b is None else self.symbolic("sub", a, b)

    def mul(self, a: Size, b: Size) -> Size:
        """``a * b``."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 1 and isinstance(a, int):
            return b
        if b == 1 and isinstance(b, int):
            return a
        if 0 in (a if isinstance(a, int) else 1, b if isinstance(b, int) else 1):
            return 0
        return None if a is None or b is None else self.symbolic("mul", a, b)

    def floordiv(self, a: Size, b: Size) -> Size:
        """``a // b``; unknown for a zero divisor."""
        if b == 1 and isinstance(b, int):
            return a
        if isinstance(a, int) and isinstance(b, int):
            return a // b if b else None
        return None if a is None or b is None else self.symbolic("int_div", a, b)

    def maximum(self, a: Size, b: Size) -> Size:
        """The larger of the two."""
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        return None if a is None or b is None else a if a is b else self.symbolic("maximum", a, b)

    def minimum(self, a: Size, b: Size) -> Size:
        """The smaller of the two."""
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        return None if a is None or b is None else a if a is b else self.symbolic("minimum", a, b)

    def from_end(self, index: Size, n: Size) -> Size:
        """``index`` where it is not negative, else ``n + index``: a bound of a slice counted from the end."""
        if isinstance(index, int):
            return index if index >= 0 else self.add(n, index)
        return None if index is None or n is None else self.symbolic("from_end", index, n)

    def total(self, sizes: Sequence[Size]) -> Size:
        """The product of all sizes: the number of elements."""
        result: Size = 1
        for size in sizes:
            result = self.mul(result, size)
        return result

    # ---- shapes ----

    def broadcast(self, shapes: Sequence[Shape]) -> Shape:
        """The shape of an elementwise result: ranks aligned on the right, sizes met axis by axis."""
        wide = [shape for shape in shapes if shape]  # scalars go with everything
        first = wide[0] if wide else ()
        for shape in wide:
            if shape is not first:
                break
        else:
            return first
        ndim = max(map(len, wide))
        result: list[Size] = [1] * ndim
        for shape in wide:
            offset = ndim - len(shape)
            for axis, size in enumerate(shape):
                result[offset + axis] = self.meet(result[offset + axis], size)
        met = tuple(result)
        return next((shape for shape in wide if shape == met), met)


class KnownSizes(Protocol):
    """Where sizes are known: a FunctionGraph's table, as the ops see it."""

    def shape(self, variable: Variable) -> Shape:
        """The sizes of a variable."""

    def same(self, a: Size, b: Size) -> Size:
        """One size for two that must be equal."""

    def meet(self, a: Size, b: Size) -> Size:
        """One size for two of which one may be 1."""

    def size_variable(self, size: Size) -> Variable:
        """A size as an int64 scalar that expressions can use."""


class StaticSizes(Sizes):
    """Sizes as far as they are known when the user builds a node."""

    def symbolic(self, name: str, a: Any, b: Any) -> Size:
        return None

    def unknown_value(self, variable: Variable) -> Size:
        return None

    def unknown(self, ndim: int) -> Shape | None:
        return (None,) * ndim

    def same(self, a: Size, b: Size) -> Size:
        if isinstance(a, int) and isinstance(b, int) and a != b:
            raise ShapeError(f"sizes {a} and {b} do not agree")
        return b if a is None else a


static_sizes = StaticSizes()
