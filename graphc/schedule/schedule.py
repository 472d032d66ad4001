"""Schedule: the steps of a compiled function, over named buffers, with one commit at the end.

    Check    two sizes must be equal
    Choose   the condition of a lazy op is known: take one branch
    Compute  one node: reads buffers, makes buffers

All that can fail comes before the commit, which only puts new values into the cells of shared variables.  A step
under a predicate runs only if one of its branches was taken.
"""

from __future__ import annotations

import builtins
import itertools
import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from graphc.graph.fgraph import FunctionGraph
from graphc.graph.guards import Guard
from graphc.graph.predicates import ALWAYS, Choice, Predicate, choices_of, predicates
from graphc.graph.sizes import Shape
from graphc.graph.traverse import toposort
from graphc.graph.variable import Apply, Constant, Variable
from graphc.schedule.transfers import Side


@dataclass(eq=False, slots=True)  # not frozen only because that takes three times as long, for every node
class Buffer:
    """A value at run time.

    name: unique in its schedule, a Python identifier.
    kind: "input" (the caller's, or a shared variable's: never written), "constant" or "temporary".
    variable: what it holds; shape: its sizes.
    """

    name: str
    kind: str
    variable: Variable
    shape: Shape

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False, slots=True)
class Check:
    """Raise unless the sizes of a guard are equal."""

    guard: Guard
    left: int | Buffer
    right: int | Buffer
    when: Predicate

    @property
    def sides(self) -> list[int | Variable]:
        """The two sizes, as the graph has them."""
        return [x if isinstance(x, int) else x.variable for x in (self.left, self.right)]


@dataclass(frozen=True, eq=False, slots=True)
class Choose:
    """Decide a branch: `choice` is taken by the truth of `condition`."""

    choice: Choice
    name: str
    condition: Buffer
    when: Predicate


class Compute(NamedTuple):
    """One node.  `into` is a dead buffer of the same size that the result may be written to."""

    node: Apply
    reads: tuple[Buffer, ...]
    writes: tuple[Buffer, ...]
    when: Predicate
    into: Buffer | None = None


Step = Check | Choose | Compute


@dataclass(frozen=True)
class Schedule:
    """What a backend compiles.

    inputs: the buffers the caller fills, in order; steps: what runs; results: the buffers that are returned, outputs
    first, then the new values of shared variables; copies: for each result whether it must be copied first, because
    its memory belongs to somebody else; owned: see `owners`; matmul_precision: the least that products of float32 may
    have, "highest" or "tf32"; replaces: for each result the number of the input whose value it replaces, None for what
    is returned; transfers: lines about the shared variables that a call takes to its side, `side`.
    """

    side: ClassVar[Side] = "host"

    name: str
    graph: FunctionGraph
    inputs: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    results: tuple[Buffer, ...]
    copies: tuple[bool, ...]
    choices: Mapping[Choice, str]
    owned: Mapping[Buffer, tuple[Buffer, ...]]
    matmul_precision: str = field(default="highest", kw_only=True)
    transfers: tuple[str, ...] = field(default=(), kw_only=True)
    replaces: tuple[int | None, ...] = field(default=(), kw_only=True)

    def condition(self, when: Predicate) -> str:
        """A predicate in words."""
        return " or ".join(
            sorted(self.choices[choice] if taken else f"not {self.choices[choice]}" for choice, taken in when)
        )

    def __repr__(self) -> str:
        lines = [f"schedule {self.name}({', '.join(map(str, self.inputs))})"]
        for i, step in enumerate(self.steps):
            lines.append(f"{i:5}  {self.describe(step)}" + (f"   if {self.condition(step.when)}" if step.when else ""))
        results = [f"copy of {b}" if copy else str(b) for b, copy in zip(self.results, self.copies, strict=True)]
        return "\n".join([*lines, f"commit  {', '.join(results)}", *self.transfers])

    def describe(self, step: Step) -> str:
        """One step on one line."""
        if isinstance(step, Check):
            return f"check {step.left} == {step.right}"
        if isinstance(step, Choose):
            return f"choose {step.name} by {step.condition}"
        writes = ", ".join(map(str, step.writes))
        into = f" into {step.into}" if step.into else ""
        return f"{writes} = {step.node.op}({', '.join(map(str, step.reads))}){into}"


Unit = Apply | Choice | Guard


class _Names:
    """Unique identifiers: the variable's own name where it has one, else t0, t1, ..."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._count = 0

    def of(self, variable: Variable, prefix: str) -> str:
        name = variable.name
        if name is None or not _IDENTIFIER.fullmatch(name) or keyword.iskeyword(name):
            return self.fresh(prefix)
        if name in RESERVED or name in self._used:
            return self.fresh(prefix)
        self._used.add(name)
        return name

    def fresh(self, prefix: str) -> str:
        while True:
            name = f"{prefix}{self._count}"
            self._count += 1
            if name not in self._used:
                self._used.add(name)
                return name


_IDENTIFIER = re.compile(r"[A-Za-z]\w{0,30}", re.ASCII)
# Names that generated code uses itself.
RESERVED: frozenset[str] = frozenset(dir(builtins))


def schedule(
    graph: FunctionGraph,
    name: str = "function",
    matmul_precision: str = "highest",
    replaces: Mapping[int, int] | None = None,
) -> Schedule:
    """The schedule of a graph: nodes in an order that respects inputs, choices and guards.

    replaces: numbers of outputs that are new values, and of the inputs whose values they replace.
    """
    return _Builder(graph, name).build(matmul_precision, replaces or {})


class _Builder:
    def __init__(self, graph: FunctionGraph, name: str) -> None:
        self.graph = graph
        self.name = name
        self.names = _Names()
        self.buffers: dict[Variable, Buffer] = {}
        self.steps: list[Step] = []
        self.choice_names: dict[Choice, str] = {}
        self.lazy = any([node.op.lazy for node in graph.nodes]) or any([guard.when for guard in graph.guards])
        self.needed = self._predicates() if self.lazy else {}

    def _predicates(self) -> dict[Apply, Predicate]:
        """When each node is needed: by the outputs, by the guards, and by the choices that these depend on."""
        graph = self.graph
        guarded = [(x, g.when) for g in graph.guards for x in (g.left, g.right) if isinstance(x, Variable)]
        needed = predicates(graph.outputs, guarded)
        conditions = {choice.condition for choice in choices_of([*needed.values(), *(w for _, w in guarded)])}
        if any(c.owner is not None and c.owner not in needed for c in conditions):
            extra = [(c.condition, c.when) for c in choices_of(w for _, w in guarded)]
            needed = predicates(graph.outputs, [*guarded, *extra])
        return needed

    def build(self, matmul_precision: str, replaces: Mapping[int, int]) -> Schedule:
        inputs = tuple([self._buffer(x, "input") for x in self.graph.inputs])
        for unit in self._units():
            self._emit(unit)
        results = tuple(self._buffer_of(x) for x in self.graph.outputs)
        owned = owners(self.steps)
        return Schedule(
            self.name,
            self.graph,
            inputs,
            tuple(self.steps),
            results,
            copies(owned, results),
            self.choice_names,
            owned,
            matmul_precision=matmul_precision,
            replaces=tuple(map(replaces.get, range(len(results)))),
        )

    # ---- order ----

    def _units(self) -> list[Unit]:
        """All there is to do, in order: guards as early as they can be checked."""
        graph = self.graph
        if self.lazy:
            return self._acyclic([*graph.guards, *(x.owner for x in graph.outputs if x.owner is not None)])
        units: list[Unit] = []  # the same order, found faster: there are only nodes to depend on
        done: set[Apply | None] = set()
        for guard in graph.guards:
            units += toposort([n for n in (guard.left, guard.right) if isinstance(n, Variable)], done=done)
            units.append(guard)
        return [*units, *(node for node in graph.nodes if node not in done)]

    def _dependencies(self, unit: Unit) -> Iterable[Unit]:
        if isinstance(unit, Apply):
            # Choices first: a branch's nodes come after the decision for it.
            yield from (choice for choice, _ in self._when(unit))
            if unit.op.lazy:
                condition = unit.inputs[0]
                if condition.owner is not None:
                    yield condition.owner
            yield from (x.owner for x in unit.inputs if x.owner is not None)
        elif isinstance(unit, Choice):
            yield from (choice for choice, _ in unit.when)
            if unit.condition.owner is not None:
                yield unit.condition.owner
        else:
            yield from (choice for choice, _ in unit.when)
            yield from (x.owner for x in (unit.left, unit.right) if isinstance(x, Variable) and x.owner is not None)

    def _when(self, node: Apply) -> Predicate:
        return self.needed.get(node, ALWAYS)

    def _acyclic(self, roots: Sequence[Unit]) -> list[Unit]:
        """The units in an order that respects their dependencies.

        A condition may be needed by a choice that is itself only taken on that condition (two nested ifelse in
        opposite order).  What such a condition depends on is computed always.
        """
        while True:
            order, circular = self._ordered(roots)
            if circular is None:
                return order
            for node in toposort([circular.condition]):
                self.needed[node] = ALWAYS

    def _ordered(self, roots: Sequence[Unit]) -> tuple[list[Unit], Choice | None]:
        """An order, and a choice that depends on itself if there is one."""
        order: dict[Unit, None] = {}
        entered: set[Unit] = set()
        for root in roots:
            if root in entered:
                continue
            stack = [(root, iter(self._dependencies(root)))]
            entered.add(root)
            while stack:
                unit, pending = stack[-1]
                for dependency in pending:
                    if dependency not in entered:
                        entered.add(dependency)
                        stack.append((dependency, iter(self._dependencies(dependency))))
                        break
                    if dependency not in order:  # still on the stack: it depends on itself
                        path = [u for u, _ in stack]
                        cycle = [*path[path.index(dependency) :], dependency]
                        followed = itertools.pairwise(cycle)
                        return [], next(u for u, by in followed if isinstance(u, Choice) and isinstance(by, Apply))
                else:
                    stack.pop()
                    order[unit] = None
        return list(order), None

    # ---- steps ----

    def _emit(self, unit: Unit) -> None:
        if isinstance(unit, Apply):
            reads = tuple([self._buffer_of(x) for x in unit.inputs])
            writes = tuple([self._buffer(x, "temporary") for x in unit.outputs])
            self.steps.append(Compute(unit, reads, writes, self._when(unit)))
        elif isinstance(unit, Choice):
            name = self.choice_names[unit] = self.names.fresh("branch")
            self.steps.append(Choose(unit, name, self._buffer_of(unit.condition), unit.when))
        else:
            left, right = (
                n if isinstance(n, int) else self._buffer_of(n) for n in (unit.left, unit.right) if n is not None
            )
            if not (isinstance(left, int) and isinstance(right, int) and left == right):
                self.steps.append(Check(unit, left, right, unit.when))

    def _buffer_of(self, x: Variable) -> Buffer:
        found = self.buffers.get(x)
        if found is not None:
            return found
        assert isinstance(x, Constant), f"{x!r} is used before it is made"
        return self._buffer(x, "constant")

    def _buffer(self, x: Variable, kind: str) -> Buffer:
        found = self.buffers.get(x)
        if found is None:
            found = self.buffers[x] = Buffer(self.names.of(x, _PREFIXES[kind]), kind, x, self.graph.shape(x))
        return found


_PREFIXES = {"input": "x", "constant": "c", "temporary": "t"}


# ---- who owns which memory ----


def owners(steps: Sequence[Step]) -> dict[Buffer, tuple[Buffer, ...]]:
    """For each buffer that is a view, the buffers whose memory it may share; any other has its own."""
    found: dict[Buffer, tuple[Buffer, ...]] = {}
    for step in steps:
        if isinstance(step, Compute):
            for i, out in enumerate(step.writes):
                shared = [step.reads[j] for j in step.node.op.aliases(i)]
                if shared:
                    found[out] = tuple(dict.fromkeys(b for read in shared for b in found.get(read, (read,))))
    return found


def copies(owned: Mapping[Buffer, tuple[Buffer, ...]], results: Sequence[Buffer]) -> tuple[bool, ...]:
    """Which results must be copied: those in memory of the caller's, of a shared variable, or of an earlier result."""
    taken: set[Buffer] = set()
    flags = []
    for result in results:
        memory = owned.get(result, (result,))
        free = all(b.kind == "temporary" and b not in taken for b in memory)
        taken.update(memory)
        flags.append(not free)
    return tuple(flags)
