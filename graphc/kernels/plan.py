"""From a schedule to kernels: the steps in order, and the memory they use.

Sizes and other arithmetic of numbers come first (`order.py`), with the checks of sizes; then groups of nodes, with more
checks and the choices of branches between them (`between.py`).  All become steps over memories (`emit.py`).  A memory
that nobody reads any more is used again for an array of the same size (`regions.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from graphc.graph.fgraph import FunctionGraph
from graphc.graph.predicates import ALWAYS, Choice, Predicate
from graphc.graph.sizes import Shape
from graphc.graph.variable import Apply, Variable
from graphc.kernels.between import Between
from graphc.kernels.drafts import mismatched
from graphc.kernels.emit import Emitter
from graphc.kernels.fuse import Fuser
from graphc.kernels.groups import Decide, Group, Item, Single
from graphc.kernels.inplace import InPlace, parted
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Kernel
from graphc.kernels.order import Order, is_known
from graphc.kernels.regions import regions
from graphc.kernels.shapes import Shapes, assuming
from graphc.kernels.steps import Assumed, Commit, Key, SizesEqual, Step, Undecide
from graphc.kernels.views import is_window, view, written_into
from graphc.ops.dimshuffle import DimShuffle
from graphc.ops.indexing import IncSubtensor
from graphc.schedule.schedule import Check, Choose, Compute, Schedule


class Unplanned(Exception):
    """A schedule that cannot be run by kernels yet; the message says why."""


@dataclass(frozen=True)
class Plan:
    """What runs, in order, and in which memory.

    Attributes
    ----------
    early: how many of the first steps need no array: they compute sizes and check them; commit: how many come before
    those that run when nothing can fail any more.
    steps: what runs; whens: for each the condition under which it does.
    home: the memory of each array that is in one: its own, or another's for a reshaped array.
    results: for each result of the schedule its memory; a rank-0 result is its variable.
    regions: memories that are used one after the other by arrays of one size: for each memory the one it stands for.
    in_place: which results may be made where the old values are, if any.
    """

    schedule: Schedule
    shapes: Shapes
    early: int
    commit: int
    steps: tuple[Step, ...]
    whens: tuple[Predicate, ...]
    home: dict[Variable, Key]
    results: tuple[Key, ...]
    regions: dict[Key, Key]
    in_place: InPlace | None = None

    @property
    def kernels(self) -> list[Kernel]:
        """The kernels, in the order they run."""
        launches = [step.launch if isinstance(step, Commit) else step for step in self.steps]
        return [step.kernel for step in launches if isinstance(step, Launch)]

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
    in_place: bool = False,
) -> Plan:
    """The plan of a schedule, given which nodes can be part of a kernel.

    fuses: whether several nodes may share a kernel; assumes: whether sizes may be taken to be equal (`Shapes`);
    windows: whether neighbouring rows that must be in memory are used where they are, and not copied; rows: whether
    what is gathered is kept in a row if it is read again (`kept.py`); atomic: whether additions to an index that may
    repeat can be made at the same time; in_place: whether a part of a shared variable may be changed where it is.
    """
    return _Planner(schedule, fits, fuses, assumes, windows, rows, atomic, in_place).run()


def _windows(nodes: Sequence[Apply], outputs: Sequence[Variable], fits: Callable[[Apply], bool]) -> set[Apply]:
    """The nodes that take rows which somebody needs in memory: there they are; kernels find them by themselves."""
    found = {out: node for node in nodes if is_window(node) for out in node.outputs}
    if not found:
        return set()
    outside = [x for node in nodes if not fits(node) for x in node.inputs]
    return {found[x] for x in (*outside, *outputs) for x in (x, view(x).base) if x in found}


def _fitting(fits: Callable[[Apply], bool], windows: set[Apply], shapes: Shapes | None) -> Callable[[Apply], bool]:
    """Whether a node can be part of a kernel; without assumptions, all its `shapes` must be known to match."""
    return cache(
        lambda node: fits(node) and node not in windows and (shapes is None or not mismatched(shapes, node))
    )


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
        in_place: bool,
    ) -> None:
        self.replaces = schedule.replaces if in_place else ()
        self.schedule = schedule
        self.graph: FunctionGraph = schedule.graph
        self.nodes = [s.node for s in schedule.steps if isinstance(s, Compute)]
        self.choices = [s.choice for s in schedule.steps if isinstance(s, Choose)]
        self.fuses = fuses
        self.atomic = atomic
        self.shapes = assuming(self.graph, self.nodes) if assumes else Shapes(self.graph)
        windows = _windows(self.nodes, self.graph.outputs, fits) if has_windows else set()
        self.fits = _fitting(fits, windows, None if assumes else self.shapes)
        when_of = {out: s.when for s in schedule.steps if isinstance(s, Compute) for out in s.node.outputs}
        self.order = Order(schedule, self.shapes, self.fits, when_of)
        self.emitter = Emitter(self.shapes, when_of, windows, keeps_rows)

    def run(self) -> Plan:
        """Fuse, lower, and give everything its place."""
        emitter, order = self.emitter, self.order
        self._see_that_numbers_fit()
        for choice in self.choices:
            if choice.when:
                emitter.emit(Undecide(choice))
        self._stage(order.early, (), (), self._read_late())
        for k, n in self.shapes.assumed.items():
            emitter.emit(Assumed(k, n))
        late: list[Check] = []
        available = {*self.graph.inputs, *(out for node in order.early for out in node.outputs)}
        for check in (s for s in self.schedule.steps if isinstance(s, Check)):
            if not check.when and all(isinstance(x, int) or is_known(x, available) for x in check.sides):
                emitter.emit(SizesEqual(check.guard, *check.sides))
            else:
                late.append(check)
        count = len(emitter.steps)
        self._stage(order.late, late, self.choices, set())
        emitter.finish(self.graph.outputs)
        emitter.hand_over()
        cut = parted(emitter, count, self.graph.inputs, self.replaces)
        home, made, results = emitter.home, emitter.made, emitter.results
        return Plan(
            self.schedule,
            self.shapes,
            cut.early,
            cut.commit,
            tuple(cut.steps),
            tuple(cut.whens),
            home,
            tuple(results),
            regions(cut.steps, cut.whens, home, made, results, self.shapes.shape),
            cut.in_place,
        )

    def _see_that_numbers_fit(self) -> None:
        """Two floats are more than a word of a frame."""
        made = [x for node in self.nodes for x in (*node.inputs, *node.outputs)]
        for dtype in dict.fromkeys([x.type.dtype for x in (*self.graph.inputs, *self.graph.outputs, *made)]):
            if dtype.startswith("complex"):
                raise Unplanned(f"it has numbers of dtype {dtype}")

    def _read_late(self) -> set[Variable]:
        """What is read after the first stage: by sizes that it cannot know, too."""
        return {*(choice.condition for choice in self.choices), *(x for node in self.order.late for x in node.inputs)}

    def _stage(
        self, nodes: Sequence[Apply], checks: Sequence[Check], choices: Sequence[Choice], read_after: set[Variable]
    ) -> None:
        """Fuse and lower some nodes, with these checks and choices between them."""
        emitter = self.emitter
        fuser, checks_at = self._fused(nodes, checks, choices, frozenset())
        apart: frozenset[Apply] = frozenset()
        while more := fuser.dear_rows() - apart:
            apart |= more
            fuser, checks_at = self._fused(nodes, checks, choices, apart)
        read = self._read(fuser.items) | read_after
        for position, item in enumerate([*fuser.items, None]):
            for check in checks_at.get(position, ()):
                emitter.current = check.when
                emitter.emit(SizesEqual(check.guard, *check.sides))
            if isinstance(item, Decide):
                emitter.current = item.choice.when
                emitter.number(item.choice.condition)
                emitter.emit(item)
            elif item is not None:
                emitter.current = item.when
                if isinstance(item, Single):
                    emitter.single(item.node)
                elif item.members:
                    made = [x for x in item.placed if fuser.home[x] == position]
                    emitter.launch(item, [x for x in made if x in read or x in item.closed])
            emitter.current = ALWAYS

    def _fused(
        self, nodes: Sequence[Apply], checks: Sequence[Check], choices: Sequence[Choice], apart: frozenset[Apply]
    ) -> tuple[Fuser, dict[int, list[Check]]]:
        """The groups of some nodes, and before which of them checks are made."""
        fuser = Fuser(self.shapes, self.fits, self.fuses, apart, self.atomic)
        computed = [x for step in self.emitter.steps if isinstance(step, Launch) for x in step.outputs]
        between = Between(self.schedule, fuser, [*self.graph.inputs, *computed], checks, choices)
        between.add(nodes)
        if self.fuses:
            fuser.sink()
        return fuser, between.checks

    def _read(self, items: Sequence[Item]) -> set[Variable]:
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
        found.update(self.order.sizes)
        return found
