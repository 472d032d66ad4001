"""The interner: equal ops on the same inputs become one node, so that equality is ``is``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import Site
from graphc.graph.bindings import ops
from graphc.graph.guards import Axis
from graphc.graph.op import Op
from graphc.graph.predicates import ALWAYS, Predicate
from graphc.graph.sizes import Shape, Size
from graphc.graph.traverse import toposort
from graphc.graph.types import TensorType
from graphc.graph.united import UnitedSizes
from graphc.graph.variable import Apply, Constant, Variable, constant

# Constants above this size are equal only if they are the same object.
INTERNED_BYTES = 4096


class Interner(UnitedSizes):
    """The table of one compilation: its nodes and constants, and what is known of their sizes.  It only ever grows."""

    def __init__(self, ones: Iterable[Axis] = ()) -> None:
        super().__init__(ones)
        self.normal: set[Variable] = set()  # the variables in the normal form of the last phase of rewriting
        self.ops: dict[Op, Op] = {}  # all ops that occurred: of equal ones the first, which stands for all
        self._op_of: dict[int, Op] = {}  # the id of an op -> the one that stands for it
        self._nodes: dict[Any, Apply] = {}
        self._constants: dict[Any, Constant] = {}
        self._weak: set[Variable] = set()  # the weak constants
        self._strong: dict[Any, list[Constant | None]] = {}  # what stands for the weak constants among operands
        self._symbols: set[Variable] = set()  # the sizes that are read off a variable, not computed from others
        self._only_under: dict[Any, Predicate] = {}  # nodes whose sizes agree under a predicate only
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

    def known(self, op: Op, inputs: Sequence[Variable]) -> Apply | None:
        """The node of `op` on interned inputs, if there is, or was, one."""
        same = self.ops.get(op)
        return None if same is None else self._nodes.get((id(same), *inputs))

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
            self._assume_ones(new, user)

    # ---- sizes as nodes ----

    def size_variable(self, size: Size) -> Variable:
        """A size as an int64 scalar that expressions can use."""
        size = self.find(size)
        return size if isinstance(size, Variable) else self.intern_constant(np.int64(size or 0))

    def intern_constant(self, value: Any) -> Constant:
        """The interned constant of a NumPy value."""
        made = constant(value)
        assert isinstance(made, Constant)
        return self.constant(made)

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

    def guarded(self, size: Variable) -> bool:
        """Whether a size that is read off a variable is known by a guard, which must go on reading it."""
        return size in self._symbols and isinstance(self.find(size), int)


def _typed(like: TensorType, shape: tuple[int | None, ...] | None) -> TensorType:
    """The type of an interned variable, with the sizes that are known by now."""
    known = like.shape if shape is None else shape
    return like if known == like.shape else TensorType(like.dtype, shape=known, weak=like.weak)
