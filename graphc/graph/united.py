"""The sizes of interned variables: those that must be equal are united into one.

Where two sizes meet in an elementwise op, they are taken to be equal, and that is written down as a `Guard`.  Under
these guards it is known which axes broadcast.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphc.errors import ShapeError, explain
from graphc.graph.guards import Axis, Guard
from graphc.graph.predicates import ALWAYS, Predicate
from graphc.graph.sizes import Shape, Size, Sizes
from graphc.graph.variable import Apply, Variable, operand


class UnitedSizes(Sizes):
    """What is known of sizes in one compilation, and the guards under which it holds.

    That an expression of sizes is a node too, is for the `Interner` to know.

    ones: the axes that are taken to have size 1.
    guards: what must hold, in the order in which it was found.
    origin: for an interned variable the variables of the user's that it stands for.
    """

    def __init__(self, ones: Iterable[Axis] = ()) -> None:
        self.ones = frozenset(ones)
        self.guards: list[Guard] = []
        self.origin: dict[Variable, list[Variable]] = {}
        self._guessed = bool(self.ones)  # whether any size rests on how an axis broadcasts
        self._shapes: dict[Variable, Shape] = {}
        self._equal_shapes: dict[Shape, Shape] = {}  # one tuple for all that are equal: most comparisons end at `is`
        self._united: dict[Variable, Size] = {}
        self._bearer: dict[Variable, Axis] = {}  # size -> the first variable that has it
        self._age: dict[Variable, int] = {}  # size -> when its bearer was made
        self._agreed: set[tuple[int, int, Predicate]] = set()  # guards under predicates, each written down once
        # The user's node that is being entered, and its predicate; None while leaves enter and while rules rewrite.
        self._context: tuple[Apply, Predicate] | None = None

    def shape(self, variable: Variable) -> Shape:
        """The sizes of an interned variable, as ints and interned int64 scalars; equal sizes are one object."""
        shape = self._shapes[variable]
        if self._united and any([n in self._united for n in shape]):
            found = tuple([self.find(n) for n in shape])
            shape = self._shapes[variable] = self._equal_shapes.setdefault(found, found)
        return shape

    def static(self, shape: Shape) -> tuple[int | None, ...]:
        """The sizes that are known as ints."""
        found = [self.find(n) for n in shape]
        return tuple([n if isinstance(n, int) else None for n in found])

    def find(self, size: Size) -> Size:
        """The one that stands for all sizes which must equal `size`."""
        while isinstance(size, Variable) and size in self._united:
            size = self._united[size]
        return size

    def unknown_value(self, variable: Variable) -> Size:
        return self.find(variable)

    # ---- sizes that must be equal ----

    def same(self, a: Size, b: Size) -> Size:
        return self._meet(a, b, broadcasts=False)

    def meet(self, a: Size, b: Size) -> Size:
        a, b = self.find(a), self.find(b)
        if a == 1 and isinstance(a, int):
            return b
        if b == 1 and isinstance(b, int):
            return a
        return self._meet(a, b, broadcasts=True)

    def stretch(self, have: Size, wanted: Size) -> Size:
        return super().stretch(self.find(have), self.find(wanted))

    def _meet(self, a: Size, b: Size, broadcasts: bool) -> Size:
        """One size for two that must be equal, written down as a guard of the node that is being entered.

        Two that are known to differ are an error, unless what is known rests on a guess: that an axis is no 1 (or that
        it is one).  Then it is a guard that fails, after those of the guesses, which lead to another variant.

        Under a predicate nothing is united: the two are equal only if that branch is taken.  While rules rewrite,
        the sizes of what they build agree by the guards that are there.
        """
        first, second = self.find(a), self.find(b)
        if first is second or (isinstance(first, int) and isinstance(second, int) and first == second):
            return first
        node, when = self._context or (None, ALWAYS)
        both_known = isinstance(first, int) and isinstance(second, int)
        if both_known and not when and not self._guessed:
            raise ShapeError(self._disagree(first, second))
        if node is None:
            return self._older(first, second)
        self._guessed = self._guessed or broadcasts
        if not when and not both_known:
            self._guard(first, second, node, (self._axis(first), self._axis(second)), broadcasts)
            return self._unite(first, second)
        key = (id(first), id(second), when)
        if key not in self._agreed:
            self._agreed.add(key)
            self._guard(first, second, node, (self._axis(first), self._axis(second)), broadcasts)
        return self._older(first, second)

    def _guard(
        self, a: Size, b: Size, node: Apply | None, axes: tuple[Axis | None, Axis | None], broadcasts: bool
    ) -> None:
        when = ALWAYS if self._context is None else self._context[1]
        self.guards.append(Guard(self.find(a), self.find(b), node, axes, broadcasts, when))

    def _unite(self, a: Size, b: Size) -> Size:
        """From now on the two sizes are one: the older of them."""
        stays = self._older(a, b)
        goes = b if stays is a else a
        assert isinstance(goes, Variable)
        self._united[goes] = stays
        return stays

    def _older(self, a: Size, b: Size) -> Size:
        """The one that stands for both: a known size, else the one whose bearer was made first.

        The bearer of the older cannot depend on a variable that has either size, so an expression for the size can
        replace that variable without making a circle.
        """
        if isinstance(a, int) or isinstance(b, int):
            return a if isinstance(a, int) else b
        never = len(self._age)
        return b if self._age.get(b, never) < self._age.get(a, never) else a  # type: ignore[arg-type]

    def _assume_ones(self, new: Variable, user: Variable) -> None:
        """Apply what is assumed about a variable of the user's to the one that stands for it."""
        for axis, size in enumerate(self._shapes[new]):
            if (user, axis) in self.ones and self.find(size) != 1:
                self._guard(size, 1, None, ((user, axis), None), broadcasts=True)
                self._unite(self.find(size), 1)

    def _axis(self, size: Size) -> Axis | None:
        """An axis of a variable of the user's that has this size."""
        if not isinstance(size, Variable) or size not in self._bearer:
            return None
        bearer, axis = self._bearer[size]
        users = self.origin.get(bearer)
        return (users[0], axis) if users else (bearer, axis)

    def _disagree(self, a: Size, b: Size) -> str:
        if self._context is None:
            return f"sizes {a} and {b} do not agree"
        node, _ = self._context
        return explain(
            f"{node.op}: sizes {a} and {b} do not agree", map(operand, node.inputs), node.site, "reshape or index"
        )

    # ---- whose sizes they are ----

    def _bear(self, size: Variable, variable: Variable, axis: int) -> None:
        """Note that `variable` has this size, if it is the first."""
        if size not in self._bearer:
            self._age[size] = len(self._age)
            self._bearer[size] = (variable, axis)

    def leaf_like(self, variable: Variable) -> Variable | None:
        """A leaf that is known to have the shape of `variable`."""
        shape = self.shape(variable)
        for size in shape:
            bearer, _ = self._bearer.get(size, (None, 0)) if isinstance(size, Variable) else (None, 0)
            if bearer is not None and bearer.owner is None:
                have = self.shape(bearer)
                if len(have) == len(shape) and all(n is m or n == m for n, m in zip(have, shape, strict=True)):
                    return bearer
        return None

    def succeed(self, new: Variable, old: Variable) -> None:
        """Note that `new` takes the place of `old`: sizes that only `old` could tell are now told by `new`.

        What is known of the sizes of `old`, perhaps by a guard only, holds of those of `new`.
        """
        if self._shapes[new] is self._shapes[old]:
            return
        have, had = self.shape(new), self.shape(old)
        for size, known in zip(have, had, strict=True):
            if isinstance(size, Variable) and isinstance(known, int):
                self._united[size] = known
            elif size is not known and isinstance(known, Variable) and self._bearer.get(known, (None, 0))[0] is old:
                self._united[known] = size

    def known_ones(self, new: Variable, old: Variable) -> None:
        """Note that `new`, which is broadcast to take the place of `old`, has size 1 where that one has."""
        have, had = self.shape(new), self.shape(old)
        for size, known in zip(have, had[len(had) - len(have) :], strict=True):
            if known == 1 and isinstance(known, int) and isinstance(size, Variable):
                self._united[size] = known
