"""FunctionGraph: what `function` compiles: an immutable, hash-consed graph whose sizes are known to agree.

The user's nodes are *interned*: equal ops on the same inputs become one node, so common subexpressions are found for
free and equality is ``is``.  On the way in, the sizes that meet in an elementwise op are unified into one, and every
unification is written down as a `Guard` that the compiled function checks when it runs.  Under these guards it is
known which axes broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from graphc.errors import ShapeError, Site, explain
from graphc.graph.bindings import ops
from graphc.graph.op import Op
from graphc.graph.predicates import ALWAYS, Predicate, choices_of, map_predicates, predicates
from graphc.graph.sizes import Shape, Size, Sizes
from graphc.graph.traverse import leaves_of, toposort
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Constant, Variable, constant, operand

# An axis of a variable of the user's whose size is assumed to be 1: `(variable, axis)`.
Axis = tuple[Variable, int]

# Constants above this size are equal only if they are the same object.
INTERNED_BYTES = 4096


@dataclass(frozen=True)
class Guard:
    """Two sizes that must be equal when the function runs.

    left, right: sizes: ints or interned int64 scalars.
    node: the user's node whose operands must agree, for the message; None for an assumption of a variant.
    axes: the axes (of the user's variables) that have these sizes.  If one of the two turns out to be 1 and
        `broadcasts`, a variant with that axis of static size 1 can run.
    when: the predicate of the node: a branch that is not taken is not checked.
    """

    left: Size
    right: Size
    node: Apply | None
    axes: tuple[Axis | None, Axis | None]
    broadcasts: bool
    when: Predicate = ALWAYS


class Interner(Sizes):
    """The table of one compilation: nodes, constants, sizes and guards.  It only ever grows."""

    def __init__(self, ones: Iterable[Axis] = ()) -> None:
        self.ones = frozenset(ones)
        self._guessed = bool(self.ones)  # whether any size rests on how an axis broadcasts
        self.guards: list[Guard] = []
        self.origin: dict[Variable, list[Variable]] = {}
        self.normal: set[Variable] = set()  # the variables in the normal form of the last phase of rewriting
        self.ops: dict[Op, Op] = {}  # all ops that occurred: of equal ones the first, which stands for all
        self._op_of: dict[int, Op] = {}  # the id of an op -> the one that stands for it
        self._nodes: dict[Any, Apply] = {}
        self._constants: dict[Any, Constant] = {}
        self._weak: set[Variable] = set()  # the weak constants
        self._strong: dict[Any, list[Constant | None]] = {}  # what stands for the weak constants among operands
        self._shapes: dict[Variable, Shape] = {}
        self._equal_shapes: dict[Shape, Shape] = {}  # one tuple for all that are equal: most comparisons end at `is`
        self._united: dict[Variable, Size] = {}
        self._symbols: set[Variable] = set()  # the sizes that are read off a variable, not computed from others
        self._bearer: dict[Variable, Axis] = {}  # size -> the first variable that has it
        self._age: dict[Variable, int] = {}  # size -> when its bearer was made
        self._agreed: set[tuple[int, int, Predicate]] = set()  # guards under predicates, each written down once
        self._only_under: dict[Any, Predicate] = {}  # nodes whose sizes agree under a predicate only
        # The user's node that is being entered, and its predicate; None while leaves enter and while rules rewrite.
        self._context: tuple[Apply, Predicate] | None = None
        self._keep: list[Any] = []  # what is known by its id must stay alive

    # ---- nodes ----

    def __contains__(self, variable: Variable) -> bool:
        return variable in self._shapes

    def leaf(self, user: Variable) -> Variable:
        """The interned leaf for an input or shared variable: the variable itself, or a stand-in for one with owner."""
        leaf = user if user.owner is None else Variable(user.type, name=user.name)
        if leaf in self._shapes:
            return leaf
        self._shapes[leaf] = tuple(
            n if n is not None else self.symbol(leaf, axis) for axis, n in enumerate(leaf.type.shape)
        )
        self._record(leaf, user)
        return leaf

    def constant(self, value: Constant) -> Constant:
        """The interned constant of this dtype, shape and bytes (so that -0.0 is not 0.0, and nan is nan)."""
        data = value.data
        small = data.nbytes <= INTERNED_BYTES
        key = (data.dtype, data.shape, data.tobytes()) if small else id(value)
        found = self._constants.get((key, value.type.weak))
        if found is None:
            self._constants[key, value.type.weak] = found = value
            if value.type.weak:
                self._weak.add(value)
            self._shapes[value] = value.type.shape
        return found

    def intern(self, variable: Variable, site: Site | None = None) -> Variable:
        """The interned twin of an expression whose leaves are interned or constant; `site` is noted in new nodes."""
        if variable in self._shapes:
            return variable
        image: dict[Variable, Variable] = {}
        self._enter(toposort([variable], stop=self._shapes), image, site)
        return self.image(variable, image)

    def enter(self, nodes: Iterable[Apply], image: dict[Variable, Variable], needed: Mapping[Apply, Predicate]) -> None:
        """Intern the user's nodes, in order, into `image` (user's variable -> interned one), which has the leaves."""
        for node in nodes:
            self._context = (node, needed.get(node, ALWAYS))
            outputs = self.apply(node.op, [image[x] for x in node.inputs], node.outputs, node.site)
            for user, new in zip(node.outputs, outputs, strict=True):
                image[user] = new
                self._record(new, user)
        self._context = None

    def _enter(self, nodes: Iterable[Apply], image: dict[Variable, Variable], site: Site | None) -> None:
        for node in nodes:
            inputs = [self.image(x, image) for x in node.inputs]
            outputs = self.apply(node.op, inputs, node.outputs, site or node.site)
            image.update(zip(node.outputs, outputs, strict=True))

    def image(self, x: Variable, image: dict[Variable, Variable]) -> Variable:
        found = image.get(x)
        if found is not None:
            return found
        if x in self._shapes:
            return x
        assert isinstance(x, Constant), f"{x!r} is not interned"
        return self.constant(x)

    def apply(
        self, op: Op, inputs: Sequence[Variable], like: Sequence[Variable], site: Site | None = None
    ) -> tuple[Variable, ...]:
        """The outputs of `op` on interned inputs; `like` gives their dtypes."""
        known = self._op_of.get(id(op))
        op = self._known(op) if known is None else known
        if not self._weak.isdisjoint(inputs):
            inputs = self._strengthened(op, inputs)
        key = (id(op), *inputs) if op.pure else (id(op), object())
        found = self._nodes.get(key)
        if self._context is not None:
            when = self._context[1]
            if found is None and when:
                self._only_under[key] = when
            elif found is not None and self._only_under.get(key, when) != when:
                op.infer_shape(self, inputs, [self._shapes[x] for x in inputs])  # they must agree under this one too
                if not when:
                    del self._only_under[key]
        if found is not None:
            return found.outputs
        simpler = op.with_sizes(self, inputs)
        if simpler is not None:
            return (self.intern(simpler),)
        have = [self._shapes[x] for x in inputs]
        shapes = op.infer_shape(self, inputs, have)
        types = [self._type(out.type, shape, inputs, have) for out, shape in zip(like, shapes, strict=True)]
        node = self._nodes[key] = Apply(op, inputs, types, site)
        for out, shape in zip(node.outputs, shapes, strict=True):
            self._shapes[out] = shape if shape in have else self._borne(out, shape)
        return node.outputs

    def _known(self, op: Op) -> Op:
        """The first of the ops that equal `op`; from now on it is found by identity."""
        self._keep.append(op)
        known = self._op_of[id(op)] = self.ops.setdefault(op, op)
        return known

    def _borne(self, out: Variable, shape: Shape | None) -> Shape:
        """The shape of a new variable, whose sizes nobody may have had before; what is not known becomes a symbol."""
        if shape is None:
            shape = (None,) * out.ndim
        if None in shape:  # x[::k]: how long it is is known by running
            shape = tuple([self.symbol(out, axis) if n is None else n for axis, n in enumerate(shape)])
        for axis, size in enumerate(shape):
            if isinstance(size, Variable):
                self._bear(size, out, axis)
        return shape

    def _strengthened(self, op: Op, inputs: Sequence[Variable]) -> list[Variable]:
        """The inputs with weak constants cast to the dtype that `op` uses them in, which depends on the dtypes only."""
        key = (op, *[id(x) if isinstance(x, Constant) else (x.type.dtype, x.type.weak) for x in inputs])
        strong = self._strong.get(key)
        if strong is None:
            cast = [x if isinstance(x, Constant) else None for x in op.strengthen(inputs)]
            strong = self._strong[key] = [None if x is None else self.constant(x) for x in cast]
        return [x if new is None else new for x, new in zip(inputs, strong, strict=True)]

    def _type(
        self, like: TensorType, shape: Shape | None, inputs: Sequence[Variable], have: Sequence[Shape]
    ) -> TensorType:
        """The type of a result: the dtype of `like` with the sizes that are known; an input's if it is the same."""
        for x, known in zip(inputs, have, strict=True):
            if known is shape:
                same = x.type
                if same.dtype == like.dtype and same.weak == like.weak:
                    return same
        return _typed(like, shape if shape is None else self.static(shape))

    def _record(self, new: Variable, user: Variable) -> None:
        """Note that `new` stands for the user's variable, and apply what is assumed about that."""
        self.origin.setdefault(new, []).append(user)
        if new.name is None and new is not user:
            new.name = user.name
        if self.ones:
            for axis, size in enumerate(self._shapes[new]):
                if (user, axis) in self.ones and self.find(size) != 1:
                    self._guard(size, 1, None, ((user, axis), None), broadcasts=True)
                    self._unite(self.find(size), 1)

    # ---- sizes ----

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

    def size_variable(self, size: Size) -> Variable:
        """A size as an int64 scalar that expressions can use."""
        size = self.find(size)
        return size if isinstance(size, Variable) else self.intern_constant(np.int64(size or 0))

    def intern_constant(self, value: Any) -> Constant:
        """The interned constant of a NumPy value."""
        made = constant(value)
        assert isinstance(made, Constant)
        return self.constant(made)

    def find(self, size: Size) -> Size:
        """The one that stands for all sizes which must equal `size`."""
        while isinstance(size, Variable) and size in self._united:
            size = self._united[size]
        return size

    def same(self, a: Size, b: Size) -> Size:
        return self._meet(a, b, broadcasts=False)

    def meet(self, a: Size, b: Size) -> Size:
        a, b = self.find(a), self.find(b)
        if a == 1 and isinstance(a, int):
            return b
        if b == 1 and isinstance(b, int):
            return a
        return self._meet(a, b, broadcasts=True)

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

    def guarded(self, size: Variable) -> bool:
        """Whether a size that is read off a variable is known by a guard, which must go on reading it."""
        return size in self._symbols and isinstance(self.find(size), int)

    def known_ones(self, new: Variable, old: Variable) -> None:
        """Note that `new`, which is broadcast to take the place of `old`, has size 1 where that one has."""
        have, had = self.shape(new), self.shape(old)
        for size, known in zip(have, had[len(had) - len(have) :], strict=True):
            if known == 1 and isinstance(known, int) and isinstance(size, Variable):
                self._united[size] = known

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

    def symbol(self, variable: Variable, axis: int) -> Variable:
        """The size of an axis as it is read off the variable, whatever is known of it: ``shape_of(variable, axis)``."""
        node = ops.shape_of(variable, axis).owner
        key = (id(self._known(node.op)), variable)
        if key in self._nodes:
            return self._nodes[key].out
        out: Variable = node.out
        self._nodes[key] = node
        self._symbols.add(out)
        self._shapes[out] = ()
        self._bear(out, variable, axis)
        return out

    def symbolic(self, name: str, a: Any, b: Any) -> Size:
        return self.find(self.intern(getattr(ops, name)(self.find(a), self.find(b))))

    def unknown_value(self, variable: Variable) -> Size:
        return self.find(variable)


# What is seen of an interned node at first sight, in a form that is quickly compared: see `look_of`.
Look = tuple[Any, ...]
MOST_OPERANDS = 4


def look_of(node: Apply) -> Look:
    """The identity of the op, whether the first and the last input are one, and what makes each input.

    Of a leaf that is its class; nodes of more inputs than `MOST_OPERANDS` are seen by their op alone.
    """
    inputs = node.inputs
    if not 0 < len(inputs) <= MOST_OPERANDS:
        return (id(node.op),)
    tops = [type(x) if x.owner is None else id(x.owner.op) for x in inputs]
    return (id(node.op), inputs[0] is inputs[-1], *tops)


def _typed(like: TensorType, shape: tuple[int | None, ...] | None) -> TensorType:
    """The type of an interned variable, with the sizes that are known by now."""
    known = like.shape if shape is None else shape
    return like if known == like.shape else TensorType(like.dtype, shape=known, weak=like.weak)


@dataclass(frozen=True)
class FunctionGraph:
    """A graph ready to be rewritten and scheduled.

    Attributes
    ----------
    inputs: the leaves whose values the caller passes, in order.
    outputs: what is computed.
    guards: what must hold of the sizes.
    table: the `Interner` all its nodes live in; a rewritten graph shares it.
    """

    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    guards: tuple[Guard, ...]
    table: Interner

    @classmethod
    def build(
        cls,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        ones: Iterable[Axis] = (),
        nodes: Sequence[Apply] | None = None,
    ) -> FunctionGraph:
        """Intern the graph between `inputs` and `outputs`; the axes in `ones` are assumed to have size 1.

        nodes: what makes the outputs, sorted, if that is known already.
        """
        table = Interner(ones)
        image = {x: table.leaf(x) for x in inputs}
        nodes = toposort(outputs, stop=image) if nodes is None else nodes
        for x in leaves_of(nodes, outputs, stop=image):
            if x not in image:
                image[x] = table.constant(x) if isinstance(x, Constant) else table.leaf(x)
        needed = predicates(outputs, stop=image, order=nodes) if any([node.op.lazy for node in nodes]) else {}
        table.enter(nodes, image, needed)
        interned = tuple(image[x] for x in outputs)
        graph = cls(tuple(image[x] for x in inputs), interned, tuple(table.guards), table)
        # The guards speak of the user's conditions; all of these are interned by now.
        return graph.map(lambda x: image.get(x, x))

    def intern(self, variable: Variable) -> Variable:
        """The node of this graph's table that equals `variable`."""
        return self.table.intern(variable)

    def shape(self, variable: Variable) -> Shape:
        """The sizes of a variable of this graph."""
        return self.table.shape(variable)

    @cached_property
    def roots(self) -> tuple[Variable, ...]:
        """The outputs, and what the guards read."""
        roots = dict.fromkeys(self.outputs)
        for guard in self.guards:
            roots.update(dict.fromkeys(x for x in (guard.left, guard.right) if isinstance(x, Variable)))
        roots.update((choice.condition, None) for choice in choices_of(guard.when for guard in self.guards))
        return tuple(roots)

    @cached_property
    def nodes(self) -> tuple[Apply, ...]:
        """The nodes that make the roots, each after those it depends on."""
        return tuple(toposort(self.roots))

    @cached_property
    def looks(self) -> dict[Look, list[int]]:
        """The positions of the nodes of each look."""
        found: dict[Look, list[int]] = {}
        for position, node in enumerate(self.nodes):
            found.setdefault(look_of(node), []).append(position)
        return found

    def toposort(self) -> list[Apply]:
        """The nodes that make the outputs, each after those it depends on."""
        return toposort(self.outputs)

    @property
    def apply_nodes(self) -> list[Apply]:
        """Theano's name for the nodes."""
        return self.toposort()

    def map(self, image: Callable[[Variable], Variable]) -> FunctionGraph:
        """The graph with its roots mapped by a rewriting that preserves values."""

        def size(n: Size) -> Size:
            new = image(n) if isinstance(n, Variable) else n
            return int(new.data) if isinstance(new, Constant) else new

        whens = map_predicates([guard.when for guard in self.guards], image)
        guards = tuple(
            replace(guard, left=size(guard.left), right=size(guard.right), when=when)
            for guard, when in zip(self.guards, whens, strict=True)
        )
        return FunctionGraph(self.inputs, tuple(image(x) for x in self.outputs), guards, self.table)

    def origin(self, variable: Variable) -> list[Variable]:
        """The variables of the user's that an interned one stands for."""
        return list(self.table.origin.get(variable, ()))

    def __repr__(self) -> str:
        return f"FunctionGraph({list(self.inputs)} -> {list(self.outputs)}, {len(self.toposort())} nodes)"

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def to_svg(self, **options: Any) -> str:
        """A drawing of the graph, as SVG text."""
        return str(ops.to_svg(self, **options))

    def to_dot(self, **options: Any) -> str:
        """The graph in Graphviz's language."""
        return str(ops.to_dot(self, **options))
