"""Steps: what groups, and nodes that are in none, become, and the memory of every array.

What a step reads is put where it finds it: an array that is only seen through a dimshuffle is copied to memory before.
A reshaped array lives in the memory of its source; no two results share one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graphc.graph.predicates import ALWAYS, Predicate
from graphc.graph.variable import Apply, Variable
from graphc.kernels.copies import copied
from graphc.kernels.drafts import mismatched
from graphc.kernels.groups import Group
from graphc.kernels.handover import handed_over
from graphc.kernels.joining import is_joined, joined
from graphc.kernels.kept import with_rows
from graphc.kernels.launch import Memory
from graphc.kernels.shapes import Shapes
from graphc.kernels.steps import Assumed, Call, Key, NotEmpty, Pick, Product, SameCount, Step, Window
from graphc.kernels.templates import Templates, lower
from graphc.kernels.views import filling, keeps_order, view
from graphc.ops.control import IfElse
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.indexing import IncSubtensor
from graphc.ops.matmul import Dot
from graphc.ops.reduction import Peak, Place, Reduction
from graphc.ops.reshape import Reshape


class Emitter:
    """Writes the steps of a plan, in order.

    when_of: for what is not always computed the condition; windows: the nodes whose results are rows of their operand,
    where they are; keeps_rows: whether what is gathered is kept in a row if it is read again (`kept.py`).
    """

    def __init__(
        self, shapes: Shapes, when_of: Mapping[Variable, Predicate], windows: set[Apply], keeps_rows: bool
    ) -> None:
        self.shapes = shapes
        self.when_of = when_of
        self.windows = windows
        self.keeps_rows = keeps_rows
        self.steps: list[Step] = []
        self.whens: list[Predicate] = []
        self.current: Predicate = ALWAYS
        """The condition under which the next steps run."""
        self.home: dict[Variable, Key] = {}
        self.made: set[Key] = set()
        """Memories that this function fills and nobody else holds."""
        self.results: list[Key] = []
        self.templates: Templates = {}

    def emit(self, step: Step) -> None:
        """Write a step."""
        self.steps.append(step)
        self.whens.append(self.current)

    # ---- kernels ----

    def launch(self, group: Group, wanted: Sequence[Variable]) -> None:
        """One kernel, with what must be in memory before, for those of its values that others read."""
        if not wanted:
            return  # others see through what it computes
        for node in group.nodes:
            looks = isinstance(node.op, Reduction) and node.op.name in ("max", "min") and not isinstance(node.op, Peak)
            if looks or isinstance(node.op, Place):
                self._not_empty(node)
        for member in group.members:
            for base, _ in member.reads:
                if base not in group.placed and base.ndim:
                    self._memory(base)
            for n, m in mismatched(self.shapes, member.node):
                assert n is not None
                assert m is not None
                self.emit(Assumed(n, m))
            if isinstance(member.node.op, IncSubtensor) and member.closed:
                self._prepared(member.node)
        launch = lower(group, self.shapes, wanted, self.templates)
        self.emit(with_rows(launch) if self.keeps_rows else launch)
        for x in wanted:
            if x.ndim:
                self._make(x)

    def _prepared(self, node: Apply) -> None:
        """What is written into first: a copy, or a number everywhere."""
        x, out = node.inputs[0], node.outputs[0]
        value = filling(x)
        if value is None and view(x).base.ndim:
            self._memory(view(x).base)
        self.emit(copied(x if value is None else value, out, self.shapes))

    def _not_empty(self, node: Apply) -> None:
        """See that there is something to take the largest or the smallest of."""
        (x,) = node.inputs
        assert isinstance(node.op, Reduction | Place)
        for axis in node.op.axes(x):
            size = self.shapes.shape(x)[axis]
            if not isinstance(size, int) or size == 0:
                assert size is not None
                self.emit(NotEmpty(node, size))

    # ---- nodes that are steps of their own ----

    def single(self, node: Apply) -> None:
        """A node that is part of no kernel."""
        op = node.op
        if isinstance(op, DimShuffle):
            return  # seen through, or copied where somebody needs it in memory
        (out, *_) = node.outputs
        if isinstance(op, Reshape):
            self._reshape(node)
        elif isinstance(op, IfElse):
            self._pick(node)
        elif node in self.windows:
            self._memory(node.inputs[0])
            self.emit(Window(node))
            self.home[out] = out
        elif isinstance(op, Dot) and out.ndim == 2 and out.dtype in ("float32", "float64"):
            if all(x.dtype == out.dtype for x in node.inputs):
                seen = [view(x) for x in node.inputs]
                for v in seen:
                    self._memory(v.base)
                self.emit(Product(node, seen[0], seen[1]))
                self._make(out)
            else:
                self._call(node)
        elif is_joined(node):
            self._provide(node.inputs)
            self.emit(joined(node, self.shapes))
            self._make(out)
        else:
            self._call(node)

    def _call(self, node: Apply) -> None:
        self._provide(node.inputs)
        self.emit(Call(node))
        for i, out in enumerate(node.outputs):
            if out.ndim:
                self.home[out] = out
                if not node.op.aliases(i):
                    self.made.add(out)

    def _pick(self, node: Apply) -> None:
        self.number(node.inputs[0])
        for x in node.inputs[1:]:
            self.current = self.when_of.get(x, ALWAYS)
            self._provide([x])
        self.current = self.when_of.get(node.outputs[0], ALWAYS)
        self.emit(Pick(node))
        self.home.update((out, out) for out in node.outputs if out.ndim)

    def _reshape(self, node: Apply) -> None:
        x, out = node.inputs[0], node.outputs[0]
        before, after = self.shapes.shape(x), self.shapes.shape(out)
        self.emit(SameCount(node, before, after))
        if x.ndim and out.ndim:
            self.home[out] = self._memory(x)
        else:
            self.emit(copied(x, out, self.shapes))
            if out.ndim:
                self._make(out)

    # ---- where values are ----

    def _provide(self, values: Iterable[Variable]) -> None:
        """See that values are where a step finds them: arrays in memory, numbers in their places."""
        for x in values:
            if x.ndim:
                self._memory(x)
            else:
                self.number(x)

    def _memory(self, x: Variable) -> Key:
        """The memory that holds `x` in C order; what is only seen through a dimshuffle is copied first."""
        if x in self.home:
            return self.home[x]
        if x.owner is None:
            self.home[x] = x
            return x
        assert isinstance(x.owner.op, DimShuffle), x
        source = x.owner.inputs[0]
        if source.ndim and keeps_order(x.owner.op):
            self.home[x] = self._memory(source)
        else:
            if view(x).base.ndim:
                self._memory(view(x).base)
            self.emit(copied(x, x, self.shapes))
            self._make(x)
        return self.home[x]

    def number(self, x: Variable) -> None:
        """See that a value of rank 0 is in its place, if it is the one number of an array."""
        if x.owner is not None and isinstance(x.owner.op, DimShuffle):
            if view(x).base.ndim:
                self._memory(view(x).base)
            self.emit(copied(x, x, self.shapes))

    def _make(self, x: Variable) -> None:
        self.home[x] = x
        self.made.add(x)

    def hand_over(self) -> None:
        """Leave out copies of what nobody reads any more."""
        found = handed_over(self.steps, self.whens, self.home, self.made, set(self.results))
        if not found:
            return
        new: dict[Key, Key] = {}
        for source, to in found.values():
            new[to] = new.get(source, source)
            self.made.discard(to)
        self.home = {x: new.get(key, key) for x, key in self.home.items()}
        self.results = [new.get(key, key) for key in self.results]
        kept = [i for i in range(len(self.steps)) if i not in found]
        self.steps, self.whens = [self.steps[i] for i in kept], [self.whens[i] for i in kept]

    def finish(self, outputs: Iterable[Variable]) -> None:
        """Give every result memory of its own."""
        taken: set[Key] = set()
        for x in outputs:
            if x.ndim == 0:
                self.number(x)
                self.results.append(x)
                continue
            key = self._memory(x)
            if key not in self.made or key in taken:
                fresh = Memory(x.dtype, self.shapes.shape(x))
                self.emit(copied(x, fresh, self.shapes))
                self.made.add(fresh)
                key = fresh
            taken.add(key)
            self.results.append(key)
