"""Lowering: a group of nodes becomes a loop nest over parameters.

The nest is one loop for each run of axes, or several *passes* over the inner ones, where a value is needed that an
earlier pass reduces.  Addresses are written in `addressing`, the scalar code of a node in `statements`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.graph.variable import Variable
from graphc.kernels.addressing import Addressing, Read
from graphc.kernels.arithmetic import number
from graphc.kernels.groups import INNER, OUTER, WHOLE, Axes, Group, Member
from graphc.kernels.launch import Launch, Memory
from graphc.kernels.loopir import (
    EXTREMUM,
    Accumulate,
    Array,
    Axis,
    Carry,
    Kernel,
    Load,
    Loop,
    Output,
    Statement,
    Store,
    Value,
)  # fmt: skip
from graphc.kernels.neutral import neutral
from graphc.kernels.runs import Run
from graphc.kernels.shapes import Shapes
from graphc.kernels.statements import computed, place, reduced
from graphc.ops.cost import is_cheap
from graphc.ops.matmul import Dot
from graphc.ops.reduction import Place, Reduction

# The loops that a statement is in, and the number of the pass.
Scope = tuple[object, ...]


def lowered(group: Group, shapes: Shapes, wanted: set[Variable]) -> Launch:
    """The kernel of a group; `wanted` are those of its values that are used elsewhere."""
    return _Lowering(group, shapes, wanted).run()


class _Lowering:
    def __init__(self, group: Group, shapes: Shapes, wanted: set[Variable]) -> None:
        self.group = group
        self.wanted = wanted
        self.split = group.split or 0
        self.member_of = {m.node.outputs[0]: m for m in group.members}
        self.places = Addressing(group, shapes, wanted)
        self.inner = [run for run in self.places.loops if run[0] >= self.split]
        self.outer = [run for run in self.places.loops if run[0] < self.split]
        self.outputs: dict[Variable, Value] = {}
        self.rows: dict[Variable, Memory] = {}
        self.available: set[Variable] = set()
        """What earlier passes left in memory."""
        self.known: dict[tuple[object, Scope], Value] = {}
        """The values of variables, by the loops they are known in."""
        self.last = max((m.phase if m.reduced else m.out.phase for m in group.members), default=0)

    # ---- the nest ----

    def run(self) -> Launch:
        """The kernel and its parameters."""
        last = self.last
        body = [self._neutral(m) for m in self.group.members if m.closed and m.reduced is not None]
        if self.split:
            self._emit(body, WHOLE, 0, ())
            inside: list[Statement] = []
            for phase in range(last + 1):
                self._emit(inside, OUTER, phase, ("outer",))
                self._pass(inside, phase, ("outer",))
            self._emit(inside, OUTER, last + 1, ("outer",))
            carries = self._outer_carries(inside)
            body += self._nest(self.outer, inside, carries)
            for carried in carries:
                self._define(body, carried.result, carried.value, ())
            self._emit(body, WHOLE, 1, ())
        else:
            for phase in range(last + 1):
                self._emit(body, WHOLE, phase, ())
                self._pass(body, phase, ())
            self._emit(body, WHOLE, last + 1, ())
        return self._launch(body)

    def _launch(self, body: list[Statement]) -> Launch:
        places = self.places
        # What is read comes first, as in the text: kernels of equal text take their parameters in the same order.
        arrays = sorted(places.arrays.values(), key=lambda pair: pair[0] in places.written)
        kernel = Kernel(
            tuple(places.sizes.values()),
            tuple(places.scalars.values()),
            tuple(array for array, _ in arrays),
            tuple(self.outputs.values()),
            tuple(body),
            frozenset(places.written),
        )
        bases = tuple(base for _, base in arrays)
        nodes = tuple(self.group.nodes)
        return Launch(kernel, tuple(places.sizes), tuple(places.scalars), bases, tuple(self.outputs), nodes)

    def _nest(self, runs: Sequence[Run], body: list[Statement], carries: list[_Carried]) -> list[Statement]:
        """Loops around `body`, the last innermost.

        Carried values pass through all of them, but what is added to memory only through the axes that are summed.
        """
        statements = body
        for position in range(len(runs) - 1, -1, -1):
            passing = [carried for carried in carries if position >= carried.until]
            passed = tuple([carried.through() for carried in passing])
            statements = [Loop(self.places.loops[runs[position]], tuple(statements), passed)]
            for carried in passing:
                if carried.add is not None and carried.until == position:
                    array, index = carried.add
                    statements.append(Accumulate(_plain(carried.kind), array, index, carried.value))
        return statements

    def _neutral(self, member: Member) -> Statement:
        """The result of a reduction that is added to memory, before anything is added."""
        out = member.node.outputs[0]
        index = self.places.index(member.out.axes)
        array = self.places.target(out, index)
        statements: list[Statement] = []
        value = number(statements, neutral(_kind(member), out.dtype), out.dtype)
        statements.append(Store(array, index, value))
        for axis in reversed(index):
            statements = [Loop(axis, tuple(statements))]
        return statements[0]

    # ---- passes over the inner axes ----

    def _pass(self, into: list[Statement], phase: int, scope: Scope) -> None:
        """The inner loops of one phase."""
        members = self.group.members
        reductions = [m for m in members if m.reduced and m.phase == phase and m.over == INNER]
        stores = [m.node.outputs[0] for m in members if self._is_stored(m, phase)]
        scatters = [m for m in members if m.scatters and m.phase == phase and m.out.level == INNER]
        if not reductions and not stores and not scatters:
            return
        within = (*scope, "inner", phase)
        spilled = self._spilled(phase)
        body: list[Statement] = []
        for member in self._computes(phase):
            self._compute(body, member, within)
        for x in stores:
            self._store(body, x, within)
        for x in spilled:
            self._spill(body, x, within)
        for member in scatters:
            self.places.scatter(body, member, self._reader(body, member, within))
        carries: list[_Carried] = []
        for member in reductions:
            value = reduced(body, member, self._reader(body, member, within))
            if member.closed:
                self._accumulate(body, carries, member, value)
            else:
                at = place(body, member, self.places)
                carries.append(_Carried(_kind(member), value, member.node.outputs[0], at=at))
        into += self._nest(self.inner, body, carries)
        for carried in carries:
            if carried.add is None:
                self._define(into, carried.result, carried.value, scope)
        self.available.update(spilled)

    def _accumulate(self, body: list[Statement], carries: list[_Carried], member: Member, value: Value) -> None:
        """Add to memory: at once if the innermost axis is kept, else the sum over the innermost axes."""
        assert member.reduced is not None
        out = member.node.outputs[0]
        index = self.places.index(member.out.axes)
        array = self.places.array(out, index)
        first = len(self.inner)
        while first and self.inner[first - 1][0] in member.reduced:
            first -= 1
        if first == len(self.inner):
            body.append(Accumulate(_plain(_kind(member)), array, index, value))
        else:
            carries.append(_Carried(_kind(member), value, out, until=first, add=(array, index)))

    def _outer_carries(self, inside: list[Statement]) -> list[_Carried]:
        """What the outer loop carries: totals, by rows or of OUTER values."""
        carries = []
        for member in self.group.members:
            if member.reduced and member.out.level == WHOLE:
                out = member.node.outputs[0]
                at = None
                if member.over == OUTER:
                    value = reduced(inside, member, self._reader(inside, member, ("outer",)))
                    at = place(inside, member, self.places)
                else:
                    value = self.known.pop((out, ("outer",)))
                carries.append(_Carried(_plain(_kind(member)), value, out, at=at))
        return carries

    # ---- what a pass computes ----

    def _roots(self, phase: int) -> list[Variable]:
        """The values that a pass is for: what it reduces, and what it stores."""
        members = self.group.members
        found = [base for m in members if m.reduced and m.phase == phase and m.over == INNER for base, _ in m.reads]
        found += [m.node.outputs[0] for m in members if self._is_stored(m, phase)]
        found += [base for m in members if m.scatters and m.phase == phase for base, _ in m.reads[1:]]
        return found

    def _is_stored(self, member: Member, phase: int) -> bool:
        out = member.out
        return out.level == INNER and not member.closed and out.phase == phase and member.node.outputs[0] in self.wanted

    def _computes(self, phase: int) -> list[Member]:
        """The INNER members that a pass must compute, in order; what is available can be loaded."""
        found: set[Variable] = set()
        pending = self._roots(phase)
        while pending:
            x = pending.pop()
            member = self.member_of.get(x)
            if member is None or member.out.level != INNER or x in found or x in self.available or member.closed:
                continue
            found.add(x)
            pending += [base for base, _ in member.reads]
        return [m for m in self.group.members if m.node.outputs[0] in found]

    def _spilled(self, phase: int) -> list[Variable]:
        """What this pass computes, a later one needs, and is dear to compute again."""
        now, *later = ([m.node.outputs[0] for m in self._computes(q)] for q in range(phase, self.last + 1))
        again = {x for xs in later for x in xs}
        return [x for x in now if x in again and not is_cheap(x)]

    def _row(self, x: Variable) -> tuple[Variable | Memory, tuple[Axis, ...]]:
        """Where a value stays between passes: in its own array if it is stored anyway, else in a row of memory."""
        axes = self.member_of[x].out.axes
        if x in self.wanted:
            return x, self.places.index(axes)
        if x not in self.rows:
            self.rows[x] = Memory(x.dtype, tuple(self.group.domain[self.split :]))
        return self.rows[x], self.places.index(tuple(a for a in axes if a is None or a >= self.split))

    # ---- statements ----

    def _emit(self, into: list[Statement], level: int, phase: int, scope: Scope) -> None:
        """The members of an outer level that can be computed now."""
        for member in self.group.members:
            if member.scatters:
                if member.out.level == level and member.phase == phase:
                    self.places.scatter(into, member, self._reader(into, member, scope))
            elif member.out.level == level and member.out.phase == phase and not member.reduced:
                self._compute(into, member, scope)
                self._keep(into, member.node.outputs[0], scope)

    def _define(self, into: list[Statement], x: Variable, value: Value, scope: Scope) -> None:
        """A carried value is known from here on; one that the outer loop goes on to carry is no result yet."""
        self.known[(x, scope)] = value
        if not (scope and self.group.placed[x].level == WHOLE):
            self._keep(into, x, scope)

    def _keep(self, into: list[Statement], x: Variable, scope: Scope) -> None:
        """Write a value of an outer level to where the rest of the program finds it."""
        if x not in self.wanted:
            return
        value = self.known[(x, scope)]
        if x.ndim == 0:
            self.outputs[x] = Value(x.dtype)
            into.append(Output(self.outputs[x], value))
        else:
            into.append(self._stored(x, self.places.index(self.group.placed[x].axes), value))

    def _store(self, body: list[Statement], x: Variable, scope: Scope) -> None:
        body.append(self._stored(x, self.places.index(self.member_of[x].out.axes), self.known[(x, scope)]))

    def _spill(self, body: list[Statement], x: Variable, scope: Scope) -> None:
        if x not in self.wanted:
            body.append(self._stored(*self._row(x), self.known[(x, scope)]))

    def _stored(self, base: Variable | Memory, index: tuple[Axis, ...], value: Value) -> Statement:
        return Store(self.places.target(base, index), index, value)

    def _value(self, body: list[Statement], x: Variable, axes: Axes, scope: Scope) -> Value:
        """The value of an operand here: known already, a parameter, or loaded."""
        # One array may be read in several ways: x * x.T.
        key = x if x in self.member_of else (x, axes)
        for depth in range(len(scope), -1, -1):
            found = self.known.get((key, scope[:depth]))
            if found is not None and not (depth and scope[:depth][-1] == "inner"):
                return found
        if x.ndim == 0 and x not in self.member_of:
            return self.places.scalar(x)
        base, index = self._row(x) if x in self.member_of else (x, self.places.index(axes))
        value = Value(x.dtype)
        body.append(Load(value, self.places.array(base, index), index))
        self.known[(key, scope)] = value
        return value

    def _compute(self, body: list[Statement], member: Member, scope: Scope) -> None:
        """The statements of one node."""
        out = member.node.outputs[0]
        if (out, scope) not in self.known:
            self.known[(out, scope)] = computed(body, member, self._reader(body, member, scope), self.places)

    def _reader(self, body: list[Statement], member: Member, scope: Scope) -> Read:
        """How the statements of a node read its operands."""

        def read(position: int) -> Value:
            base, axes = member.reads[position]
            return self._value(body, base, axes, scope)

        return read


@dataclass(eq=False)
class _Carried:
    """A reduction on its way out of the loops.

    add, until: where it is added to memory, and the outermost of the inner loops that carries it before; at: the
    number of the element, of which there is one loop only, if its place is what is wanted.
    """

    kind: str
    value: Value
    result: Variable
    until: int = 0
    add: tuple[Array, tuple[Axis, ...]] | None = None
    at: Value | None = None

    def through(self) -> Carry:
        """What a loop carries of it; from here on its value is the result of that loop."""
        dtype = self.value.dtype if self.at is None else self.at.dtype
        passed = Carry(Value(dtype), self.kind, self.value, self.at)
        assert passed.kind not in EXTREMUM or passed.at is not None, "a place is looked for along one axis"
        self.value, self.at = passed.out, None
        return passed


def _kind(member: Member) -> str:
    op = member.node.op
    if isinstance(op, Dot):
        return "dot"
    assert isinstance(op, Reduction | Place)
    return op.name


def _plain(kind: str) -> str:
    """The reduction of partial results."""
    return "sum" if kind == "dot" else kind
