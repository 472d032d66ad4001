"""From a schedule to kernels: the steps in order, and the memory they use.

Sizes and other arithmetic of numbers come first, with the checks of sizes; then groups of nodes as kernels, and what no
kernel computes between them.  A reshaped array lives in the memory of its source, and a memory that nobody reads any
more is used again for an array of the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from graphc.graph.fgraph import FunctionGraph
from graphc.graph.predicates import ALWAYS, Choice, Predicate
from graphc.graph.sizes import Shape, Size
from graphc.graph.traverse import toposort
from graphc.graph.variable import Apply, Constant, Variable
from graphc.kernels.copies import copied
from graphc.kernels.drafts import written_shape
from graphc.kernels.fuse import Fuser
from graphc.kernels.groups import Decide, Group, Item, Single
from graphc.kernels.joining import is_joined, joined
from graphc.kernels.kept import with_rows
from graphc.kernels.launch import Launch, Memory
from graphc.kernels.loopir import Kernel
from graphc.kernels.regions import regions
from graphc.kernels.shapes import Shapes, assuming
from graphc.kernels.steps import (
    Assumed,
    Call,
    Key,
    NotEmpty,
    Pick,
    Product,
    SameCount,
    SizesEqual,
    Step,
    Undecide,
    Window,
)  # fmt: skip
from graphc.kernels.templates import Templates, lower
from graphc.kernels.views import filling, is_window, keeps_order, view, written_into
from graphc.ops.control import IfElse
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.indexing import IncSubtensor
from graphc.ops.matmul import Dot
from graphc.ops.reduction import Peak, Place, Reduction
from graphc.ops.reshape import Reshape
from graphc.ops.shape import ShapeOf
from graphc.schedule.schedule import Check, Choose, Compute, Schedule


class Unplanned(Exception):
    """A schedule that cannot be run by kernels yet; the message says why."""


@dataclass(frozen=True)
class Plan:
    """What runs, in order, and in which memory.

    Attributes
    ----------
    early: how many of the first steps need no array: they compute sizes and check them.
    steps: what runs; whens: for each the condition under which it does.
    home: the memory of each array that is in one: its own, or another's for a reshaped array.
    results: for each result of the schedule its memory; a rank-0 result is its variable.
    regions: memories that are used one after the other by arrays of one size: for each memory the one it stands for.
    """

    schedule: Schedule
    shapes: Shapes
    early: int
    steps: tuple[Step, ...]
    whens: tuple[Predicate, ...]
    home: dict[Variable, Key]
    results: tuple[Key, ...]
    regions: dict[Key, Key]

    @property
    def kernels(self) -> list[Kernel]:
        """The kernels, in the order they run."""
        return [step.kernel for step in self.steps if isinstance(step, Launch)]

    @property
    def source(self) -> str:
        """The loop IR of every kernel, with the number it has in the schedule."""
        texts = dict.fromkeys(kernel.text for kernel in self.kernels)
        return "\n\n".join(f"# kernel {i}\n{text}" for i, text in enumerate(texts)) + "\n"

    def shape(self, key: Key) -> Shape:
        """The sizes of a memory or of a variable."""
        return self.shapes.shape(key)


def plan(
    schedule: Schedule,
    fits: Callable[[Apply], bool],
    fuses: bool = True,
    assumes: bool = True,
    windows: bool = True,
    rows: bool = False,
    atomic: bool = False,
) -> Plan:
    """The plan of a schedule, given which nodes can be part of a kernel.

    fuses: whether several nodes may share a kernel; assumes: whether sizes may be taken to be equal (`Shapes`);
    windows: whether neighbouring rows that must be in memory are used where they are, and not copied; rows: whether
    what is gathered is kept in a row if it is read again (`kept.py`); atomic: whether additions to an index that may
    repeat can be made at the same time.
    """
    return _Planner(schedule, fits, fuses, assumes, windows, rows, atomic).run()


class _Planner:
    def __init__(
        self,
        schedule: Schedule,
        fits: Callable[[Apply], bool],
        fuses: bool,
        assumes: bool,
        has_windows: bool,
        keeps_rows: bool,
        atomic: bool,
    ) -> None:
        self.schedule = schedule
        self.graph: FunctionGraph = schedule.graph
        self.nodes = [s.node for s in schedule.steps if isinstance(s, Compute)]
        self._fits = fits
        self._fitting: dict[Apply, bool] = {}
        self.has_windows = has_windows
        self.keeps_rows = keeps_rows
        self.atomic = atomic
        self.windows: set[Apply] = set()
        self.sizes: list[Variable] = []
        """The sizes of all arrays."""
        self.read_later: set[Variable] = set()
        """What is read after the first stage: by sizes that it cannot know, too."""
        self.fuses = fuses
        self.assumes = assumes
        self.shapes = Shapes(schedule.graph)
        self.steps: list[Step] = []
        self.whens: list[Predicate] = []
        self.current: Predicate = ALWAYS
        self.home: dict[Variable, Key] = {}
        self.made: set[Key] = set()
        """Memories that this function fills and nobody else holds."""
        self.results: list[Key] = []
        self.templates: Templates = {}
        self.when_of: dict[Variable, Predicate] = {
            out: s.when for s in schedule.steps if isinstance(s, Compute) for out in s.node.outputs
        }

    def fits(self, node: Apply) -> bool:
        """Whether a node can be part of a kernel; without assumptions, all sizes must be known to match."""
        found = self._fitting.get(node)
        if found is None:
            found = self._fits(node) and node not in self.windows and (self.assumes or not self._mismatched(node))
            self._fitting[node] = found
        return found

    def _windows(self) -> set[Apply]:
        """The nodes that take rows which somebody needs in memory: there they are; kernels find them by themselves."""
        found = {out: node for node in self.nodes if is_window(node) for out in node.outputs}
        if not found:
            return set()
        outside = [x for node in self.nodes if not self._fits(node) for x in node.inputs]
        return {found[x] for x in (*outside, *self.graph.outputs) for x in (x, view(x).base) if x in found}

    def run(self) -> Plan:
        """Fuse, lower, and give everything its place."""
        nodes = self.nodes
        self.windows = self._windows() if self.has_windows else set()
        self.shapes = assuming(self.graph, nodes) if self.assumes else Shapes(self.graph)
        self.sizes = self._sizes(nodes)
        known = {*self.graph.inputs}
        made = [x for node in nodes for x in (*node.inputs, *node.outputs)]
        for dtype in dict.fromkeys([x.type.dtype for x in (*known, *self.graph.outputs, *made)]):
            if dtype.startswith("complex"):  # two floats are more than a word of a frame
                raise Unplanned(f"it has numbers of dtype {dtype}")
        for step in self.schedule.steps:
            if isinstance(step, Choose) and step.choice.when:
                self._emit(Undecide(step.choice))
        early = self._early(known)
        placed = set(early)
        others = [n for n in self._with_sizes(nodes) if n not in placed]
        conditions = (s.choice.condition for s in self.schedule.steps if isinstance(s, Choose))
        self.read_later = {*conditions, *(x for node in others for x in node.inputs)}
        self._stage(early, None)
        for k, n in self.shapes.assumed.items():
            self._emit(Assumed(k, n))
        late: list[Check] = []
        available = {*known, *(out for node in early for out in node.outputs)}
        for check in (s for s in self.schedule.steps if isinstance(s, Check)):
            sides = [self._operand(x) for x in (check.left, check.right)]
            if not check.when and all(isinstance(x, int) or self._is_known(x, available) for x in sides):
                self._emit(SizesEqual(check.guard, *sides))
            else:
                late.append(check)
        count = len(self.steps)
        self._stage(others, late)
        self._finish()
        return Plan(
            self.schedule,
            self.shapes,
            count,
            tuple(self.steps),
            tuple(self.whens),
            self.home,
            tuple(self.results),
            regions(self.steps, self.whens, self.home, self.made, self.results, self.shapes.shape),
        )

    def _emit(self, step: Step) -> None:
        self.steps.append(step)
        self.whens.append(self.current)

    @staticmethod
    def _operand(side: object) -> int | Variable:
        return side if isinstance(side, int) else side.variable  # type: ignore[attr-defined]

    # ---- sizes ----

    def _sizes(self, nodes: Iterable[Apply]) -> list[Variable]:
        """The sizes of all arrays that these nodes make or read."""
        shapes: dict[Shape, None] = {}
        shape_of = self.shapes.shape
        for node in nodes:
            for x in (*node.outputs, *node.inputs):
                shapes[shape_of(x)] = None
        found: dict[Variable, None] = dict.fromkeys(n for shape in shapes for n in shape if isinstance(n, Variable))
        for node in nodes:
            if isinstance(node.op, IncSubtensor) and self.fits(node):
                found.update((n, None) for n in written_shape(self.shapes, node) if isinstance(n, Variable))
        return list(found)

    def _early(self, known: set[Variable]) -> list[Apply]:
        """The nodes that need no array: those that sizes and guards depend on, and other arithmetic of numbers."""
        wanted = list(self.sizes)
        for x in self.graph.outputs:
            wanted += [n for n in self.shapes.shape(x) if isinstance(n, Variable)]
        numbers: list[Apply] = []
        for step in self.schedule.steps:
            if isinstance(step, Check):
                wanted += [x for x in map(self._operand, (step.left, step.right)) if isinstance(x, Variable)]
            elif isinstance(step, Compute) and not step.when and step.writes[0].variable.ndim == 0:
                numbers.append(step.node)
        done: set[Apply | None] = set()
        order = toposort(wanted, stop=known, done=done)
        order += [node for node in numbers if node not in done]  # in the order of the schedule
        result: list[Apply] = []
        fine = set(known)
        for node in order:
            if isinstance(node.op, ShapeOf):
                if node.inputs[0] in known:
                    fine.update(node.outputs)
            elif self.when_of.get(node.outputs[0], ALWAYS):
                continue  # only the branch that is taken runs
            elif (
                self.fits(node)
                and not any(out.ndim for out in node.outputs)
                and all(isinstance(x, Constant) or (x in fine and x.ndim == 0) for x in node.inputs)
            ):
                fine.update(node.outputs)
                result.append(node)
        return result

    def _is_known(self, x: Variable, available: set[Variable]) -> bool:
        if x in available or isinstance(x, Constant):
            return True
        return x.owner is not None and isinstance(x.owner.op, ShapeOf) and x.owner.inputs[0] in available

    def _with_sizes(self, nodes: Sequence[Apply]) -> list[Apply]:
        """The nodes in order, those for the sizes of what a node makes before it."""
        wanted: list[Variable] = []
        chooses = any(isinstance(step, Choose) for step in self.schedule.steps)
        seen: set[Shape] = set()
        shape_of = self.shapes.shape
        for node in nodes:
            shapes = [shape_of(x) for x in (*node.outputs, *node.inputs)]
            known = seen.issuperset(shapes) and not isinstance(node.op, IncSubtensor)
            seen.update(shapes)
            sizes = [] if known else self._sizes([node])
            if chooses:  # a size of a branch is computed after the choice
                for made in toposort(sizes):
                    wanted += self._conditions(self.when_of.get(made.outputs[0], ALWAYS))
            wanted += [*sizes, *node.outputs]
        return toposort(wanted)

    @staticmethod
    def _conditions(when: Predicate) -> list[Variable]:
        """The conditions of all choices that a predicate rests on, the first to be made first."""
        found: list[Choice] = []
        pending = [choice for choice, _ in when]
        while pending:
            found.append(pending.pop())
            pending += [choice for choice, _ in found[-1].when]
        return [choice.condition for choice in reversed(found)]

    # ---- steps ----

    def _stage(self, nodes: Sequence[Apply], late: list[Check] | None) -> None:
        """Fuse and lower some nodes."""
        fuser, at = self._fused(nodes, late, frozenset())
        apart: frozenset[Apply] = frozenset()
        while more := fuser.dear_rows() - apart:
            apart |= more
            fuser, at = self._fused(nodes, late, apart)
        read = self._read(fuser.items, late)
        for position, item in enumerate([*fuser.items, None]):
            for check in at.get(position, ()):
                left, right = map(self._operand, (check.left, check.right))
                self.current = check.when
                self._emit(SizesEqual(check.guard, left, right))
            if isinstance(item, Decide):
                self.current = item.choice.when
                self._number(item.choice.condition)
                self._emit(item)
            elif item is not None:
                self.current = item.when
                if isinstance(item, Single):
                    self._single(item.node)
                elif item.members:
                    made = [x for x in item.placed if fuser.home[x] == position]
                    self._launch(item, [x for x in made if x in read or x in item.closed])
            self.current = ALWAYS

    def _fused(
        self, nodes: Sequence[Apply], late: list[Check] | None, apart: frozenset[Apply]
    ) -> tuple[Fuser, dict[int, list[Check]]]:
        """The groups of some nodes, and before which of them checks are made."""
        fuser = Fuser(self.shapes, self.fits, self.fuses, apart, self.atomic)
        waiting = list(late or ())
        done = {*self.graph.inputs, *(x for step in self.steps if isinstance(step, Launch) for x in step.outputs)}
        at: dict[int, list[Check]] = {}
        undecided = [] if late is None else [s.choice for s in self.schedule.steps if isinstance(s, Choose)]
        whens: dict[Apply, Predicate] = {s.node: s.when for s in self.schedule.steps if isinstance(s, Compute)}
        for node in nodes:
            when = whens.get(node)
            if when is None:  # a size: known where what it depends on is
                of = [whens.get(x.owner, ALWAYS) for x in node.inputs if x.owner is not None]
                when = whens[node] = next((w for w in of if w), ALWAYS) if late is not None else ALWAYS
            self._decide(fuser, undecided, when, node)
            fuser.add(node, when)
            done.update(node.outputs)
            for check in waiting.copy():
                sides = [self._operand(x) for x in (check.left, check.right)]
                if all(isinstance(x, int) or self._is_known(x, done) for x in sides):
                    self._decide(fuser, undecided, check.when, None)
                    waiting.remove(check)
                    at.setdefault(len(fuser.items), []).append(check)
                    fuser.barrier()
        assert not waiting, f"sizes are never compared: {waiting}"
        for choice in undecided:
            fuser.decide(choice)
        if self.fuses:
            fuser.sink()
        return fuser, at

    @staticmethod
    def _decide(fuser: Fuser, undecided: list[Choice], when: Predicate, node: Apply | None) -> None:
        """Place the choices that a predicate, or an `ifelse` itself, rests on, those that they rest on before."""
        if not undecided:
            return
        wanted = [choice for choice, _ in when]
        if node is not None and node.op.lazy:
            wanted += [c for c in undecided if c.condition is node.inputs[0]]
        pending = [c for c in wanted if c in undecided]
        while pending:
            choice = pending[-1]
            before = [c for c, _ in choice.when if c in undecided]
            if before:
                pending += before
                continue
            pending.pop()
            if choice in undecided:
                undecided.remove(choice)
                fuser.decide(choice)

    def _read(self, items: Sequence[Item], late: list[Check] | None) -> set[Variable]:
        """What some item reads that it does not compute itself, or what is read after all of them."""
        found: set[Variable] = set()
        for item in items:
            if isinstance(item, Group):
                # What a group reads of its own members it has, unless they are complete only after it.
                reads = [base for member in item.members for base, _ in member.reads if base not in item.placed]
                found.update(y for x in reads for y in (x, view(x).base))
                for node in (m.node for m in item.members if isinstance(m.node.op, IncSubtensor) and m.closed):
                    found.add(written_into(node))
                found.update(n for n in item.domain if isinstance(n, Variable))
            elif isinstance(item, Decide):
                found.add(item.choice.condition)
            elif not isinstance(item.node.op, DimShuffle):
                found.update(y for x in item.node.inputs for y in (x, view(x).base))
                found.update(n for x in item.node.outputs for n in self.shapes.shape(x) if isinstance(n, Variable))
        found.update(y for x in self.graph.outputs for y in (x, view(x).base))
        found.update(n for x in self.graph.outputs for n in self.shapes.shape(x) if isinstance(n, Variable))
        found.update(x for g in self.graph.guards for x in (g.left, g.right) if isinstance(x, Variable))
        found.update(self.sizes)
        if late is None:
            found |= self.read_later
        return found

    def _launch(self, group: Group, wanted: Sequence[Variable]) -> None:
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
            for n, m in self._mismatched(member.node):
                assert n is not None
                assert m is not None
                self._emit(Assumed(n, m))
            if isinstance(member.node.op, IncSubtensor) and member.closed:
                self._prepared(member.node)
        launch = lower(group, self.shapes, wanted, self.templates)
        self._emit(with_rows(launch) if self.keeps_rows else launch)
        for x in wanted:
            if x.ndim:
                self._make(x)

    def _mismatched(self, node: Apply) -> list[tuple[Size, Size]]:
        """The sizes of what is written to an index that may not be those of the index: they must be equal, or 1."""
        if not isinstance(node.op, IncSubtensor) or any(entry.startswith("mask:") for entry in node.op.pattern):
            return []
        y = self.shapes.shape(node.inputs[1])
        wanted = written_shape(self.shapes, node)
        pairs = zip(y, wanted[len(wanted) - len(y) :], strict=True)
        return [(n, m) for n, m in pairs if not (n is m or (isinstance(n, int) and (n in (1, m))))]

    def _prepared(self, node: Apply) -> None:
        """What is written into first: a copy, or a number everywhere."""
        x, out = node.inputs[0], node.outputs[0]
        value = filling(x)
        if value is None and view(x).base.ndim:
            self._memory(view(x).base)
        self._emit(copied(x if value is None else value, out, self.shapes))

    def _not_empty(self, node: Apply) -> None:
        (x,) = node.inputs
        assert isinstance(node.op, Reduction | Place)
        for axis in node.op.axes(x):
            size = self.shapes.shape(x)[axis]
            if not isinstance(size, int) or size == 0:
                assert size is not None
                self._emit(NotEmpty(node, size))

    def _make(self, x: Variable) -> None:
        self.home[x] = x
        self.made.add(x)

    def _single(self, node: Apply) -> None:
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
            self._emit(Window(node))
            self.home[out] = out
        elif isinstance(op, Dot) and out.ndim == 2 and out.dtype in ("float32", "float64"):
            if all(x.dtype == out.dtype for x in node.inputs):
                seen = [view(x) for x in node.inputs]
                for v in seen:
                    self._memory(v.base)
                self._emit(Product(node, seen[0], seen[1]))
                self._make(out)
            else:
                self._call(node)
        elif is_joined(node):
            for x in node.inputs:
                if x.ndim:
                    self._memory(x)
                else:
                    self._number(x)
            self._emit(joined(node, self.shapes))
            self._make(out)
        else:
            self._call(node)

    def _call(self, node: Apply) -> None:
        for x in node.inputs:
            if x.ndim:
                self._memory(x)
            else:
                self._number(x)
        self._emit(Call(node))
        for i, out in enumerate(node.outputs):
            if out.ndim:
                self.home[out] = out
                if not node.op.aliases(i):
                    self.made.add(out)

    def _pick(self, node: Apply) -> None:
        self._number(node.inputs[0])
        for x in node.inputs[1:]:
            self.current = self.when_of.get(x, ALWAYS)
            if x.ndim:
                self._memory(x)
            else:
                self._number(x)
        self.current = self.when_of.get(node.outputs[0], ALWAYS)
        self._emit(Pick(node))
        self.home.update((out, out) for out in node.outputs if out.ndim)

    def _reshape(self, node: Apply) -> None:
        x, out = node.inputs[0], node.outputs[0]
        before, after = self.shapes.shape(x), self.shapes.shape(out)
        self._emit(SameCount(node, before, after))
        if x.ndim and out.ndim:
            self.home[out] = self._memory(x)
        else:
            self._emit(copied(x, out, self.shapes))
            if out.ndim:
                self._make(out)

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
            self._emit(copied(x, x, self.shapes))
            self._make(x)
        return self.home[x]

    def _number(self, x: Variable) -> None:
        """See that a value of rank 0 is in its place, if it is the one number of an array."""
        if x.owner is not None and isinstance(x.owner.op, DimShuffle):
            if view(x).base.ndim:
                self._memory(view(x).base)
            self._emit(copied(x, x, self.shapes))

    def _finish(self) -> None:
        """Give every result memory of its own."""
        taken: set[Key] = set()
        for x in self.graph.outputs:
            if x.ndim == 0:
                self._number(x)
                self.results.append(x)
                continue
            key = self._memory(x)
            if key not in self.made or key in taken:
                fresh = Memory(x.dtype, self.shapes.shape(x))
                self._emit(copied(x, fresh, self.shapes))
                self.made.add(fresh)
                key = fresh
            taken.add(key)
            self.results.append(key)
