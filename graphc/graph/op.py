"""Op: what an operation is: its operands, its shape rule, its value, its gradient.

A user's own op follows Theano's protocol: subclass `Op`, name the attributes that distinguish two of its instances
in ``__props__``, and write ``make_node`` and ``perform`` (and ``grad`` or ``L_op`` for gradients).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from graphc.errors import Site, explain
from graphc.graph.pattern import Pattern
from graphc.graph.site import creation_site
from graphc.graph.sizes import KnownSizes, Shape, Sizes, static_sizes
from graphc.graph.types import TensorType
from graphc.graph.variable import Apply, Variable, as_variable, operand

Array = np.ndarray[Any, Any]


class Zero:
    """The gradient with respect to an input that is connected, but whose derivative is zero everywhere."""

    def __repr__(self) -> str:
        return "zero"


zero = Zero()

# A gradient: an expression, zero, or None for an input whose value does not matter (shapes, indices).
Gradient = Variable | Zero | None


class Op:
    """One operation.

    An op without ``__props__`` equals only itself; with it, two instances of one class are equal when the named
    attributes are.  Equal ops on the same inputs are computed once.
    """

    name: str = ""
    __props__: tuple[str, ...] | None = None

    #: Two applications to the same inputs give the same value, and nobody notices how often it runs.
    pure: bool = True
    #: Some inputs may never be computed: `branch_of` says when they are needed.
    lazy: bool = False
    #: The position of the input that the output is a view of, or None for fresh memory.
    view_of: int | None = None

    # ---- what a family or a user's op defines ----

    def make_node(self, *inputs: Any) -> Apply:
        """The Apply of this op: checks the operands and works out the types of the results."""
        raise NotImplementedError(f"{type(self).__name__}.make_node")

    def infer_shape(self, sizes: Sizes, inputs: Sequence[Variable], shapes: Sequence[Shape]) -> list[Shape | None]:
        """The shape of each output from the shapes (and values) of the inputs; None if it is only known by running."""
        raise NotImplementedError(f"{type(self).__name__}.infer_shape")

    def perform(self, node: Apply, *values: Any) -> Any:
        """The value: an array for one output, a tuple of arrays for several."""
        raise NotImplementedError(f"{type(self).__name__}.perform")

    @property
    def has_value(self) -> bool:
        """Whether `perform` computes it; otherwise its body does."""
        return type(self).perform is not Op.perform

    def gradient(
        self, gs: Sequence[Gradient], outs: Sequence[Variable], inputs: Sequence[Variable]
    ) -> Sequence[Gradient]:
        """For each input the gradient of a cost, given its gradient `gs` with respect to each output."""
        raise UndefinedGradientOf(self)

    def with_sizes(self, sizes: KnownSizes, inputs: Sequence[Variable]) -> Variable | None:
        """A simpler expression of the same value, once the node is in a FunctionGraph and sizes are known."""
        return None

    def expand(self, *inputs: Variable) -> Variable | None:
        """The same value in simpler ops, for an op that is declared by its body; None for a primitive."""
        return None

    def strengthen(self, inputs: Sequence[Variable]) -> Sequence[Variable]:
        """The inputs with weak constants cast to the dtype they are used in."""
        return inputs

    def aliases(self, output: int) -> tuple[int, ...]:
        """The positions of the inputs whose memory the output at this position may share."""
        return () if self.view_of is None else (self.view_of,)

    def branch_of(self, node: Apply, position: int) -> bool | None:
        """For a lazy op: the truth of its first input under which the input at `position` is needed; None: always."""
        return None

    # ---- calling ----

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        for x in inputs:
            if x.__class__ is Pattern:
                return Pattern(op=self, operands=inputs)
        node = self.make_node(*inputs, **kwargs)
        if not type(self).__module__.startswith("graphc."):
            _move(node, creation_site())  # not the line of the user's make_node, but the one that uses the op
        return node.outputs[0] if len(node.outputs) == 1 else list(node.outputs)

    # ---- identity ----

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__hash__ in (object.__hash__, _hash_by_props):  # not one that the user wrote
            by_props = cls.__props__ is not None
            cls.__eq__ = _equal_by_props if by_props else object.__eq__  # type: ignore[method-assign, assignment]
            cls.__hash__ = _hash_by_props if by_props else object.__hash__  # type: ignore[method-assign, assignment]
        cls._properties = attrgetter(*cls.__props__) if cls.__props__ else type

    #: From an op to what distinguishes it from others of its class.
    _properties: Callable[[Op], Any] = type

    def _identity(self) -> Any:
        return type(self), self._properties(self)

    def __repr__(self) -> str:
        return self.text()

    def text(self) -> str:
        """How debugprint shows the op: its name, and its properties in braces."""
        name = self.name or type(self).__name__
        shown = [f"{p}={getattr(self, p)}" for p in self.__props__ or () if p != "name"]
        return f"{name}{{{', '.join(shown)}}}" if shown else name


def _equal_by_props(self: Op, other: object) -> bool:
    return self is other or (type(self) is type(other) and self._identity() == other._identity())


def _hash_by_props(self: Op) -> int:
    return hash(self._identity())


class UndefinedGradientOf(Exception):
    """Raised by an op without a gradient; `graphc.gradient` adds which variables were concerned."""

    def __init__(self, op: Op) -> None:
        super().__init__(f"{op} has no gradient")
        self.op = op


def _move(node: Apply, site: Site | None) -> None:
    node.site = site
    for out in node.outputs:
        out.site = site


def typed(op: Op, inputs: Sequence[Variable], *dtypes: str, weak: bool = False) -> Apply:
    """The Apply of `op` whose outputs have these dtypes and the ranks and sizes that the op's shape rule finds."""
    static = [variable.type.shape for variable in inputs]
    shapes = op.infer_shape(static_sizes, inputs, static)
    types = []
    for dtype, shape in zip(dtypes, shapes, strict=True):
        assert shape is not None, f"{op} must know the rank of its result"
        types.append(TensorType(dtype, shape=[n if isinstance(n, int) else None for n in shape], weak=weak))
    return Apply(op, inputs, types)


def through(g: Gradient, rule: Callable[[Variable], Gradient]) -> Gradient:
    """``rule(g)``, where `g` is an expression; zero and None pass as they are."""
    return rule(g) if isinstance(g, Variable) else g


def as_variables(op: Op | str, inputs: Sequence[Any]) -> list[Variable]:
    """The operands of `op` as Variables; an operand that is none is a TypeError that names the op."""
    try:
        return [as_variable(x) for x in inputs]
    except TypeError as error:
        known = [operand(x) for x in inputs if isinstance(x, Variable)]
        raise TypeError(explain(f"{op}: {error}", known, creation_site())) from None


def refuse(
    kind: Callable[[str], Exception], op: Op | str, problem: str, inputs: Sequence[Variable], hint: str | None = None
) -> Exception:
    """The error for operands that an op cannot take: names the op, the operands with their types, and what to try."""
    return kind(explain(f"{op}: {problem}", map(operand, inputs), creation_site(), hint))
