"""Lowering: a group of nodes becomes a loop nest over parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphc.graph.sizes import Size
from graphc.graph.variable import Apply, Constant, Variable
from graphc.kernels import loopir
from graphc.kernels.groups import INDEXED, INNER, OUTER, WHOLE, Along, Axes, Group, Member
from graphc.kernels.launch import Launch, Memory
from graphc.kernels.loopir import (
    Accumulate,
    Array,
    Axis,
    Carry,
    Kernel,
    Let,
    Load,
    Loop,
    Output,
    Statement,
    Store,
    Value,
)
from graphc.kernels.neutral import neutral
from graphc.kernels.shapes import Shapes
from graphc.ops.cost import is_cheap
from graphc.ops.declare import Elementwise
from graphc.ops.elementwise import (
    Cast,
    Fill,
    Identity,
    add,
    and_,
    eq,
    ge,
    lt,
    maximum,
    minimum,
    mul,
    sub,
    switch,
)
from graphc.ops.indexing import IncSubtensor, Subtensor
from graphc.ops.matmul import Dot
from graphc.ops.reduction import Reduction
from graphc.ops.shape import Alloc, ARange

# Exponents up to this are products: x ** 7 in four multiplications.
MOST_SQUARINGS = 8


def lowered(group: Group, graph: Shapes, wanted: set[Variable]) -> Launch:
    """The kernel of a group; `wanted` are those of its values that are used elsewhere."""
    return _Lowering(group, graph, wanted).run()


class _Lowering:
    def __init__(self, group: Group, graph: Shapes, wanted: set[Variable]) -> None:
        self.group = group
        self.graph = graph
        self.wanted = wanted
        self.split = group.split or 0
        self.member_of = {m.node.outputs[0]: m for m in group.members}
        self.sizes: dict[Variable, loopir.Size] = {}
        self.scalars: dict[Variable, Value] = {}
        self.arrays: dict[object, tuple[Array, Variable | Memory]] = {}
        self.written: set[Array] = set()
        self.outputs: dict[Variable, Value] = {}
        self.runs = self._runs()
        self.loop_axes = {run: Axis(tuple(self._size(a) for a in run)) for run in self.runs}
        self.inner_axes = [run for run in self.runs if run[0] >= self.split]
        self.outer_axes = [run for run in self.runs if run[0] < self.split]
        self.rows: dict[Variable, Memory] = {}
        self.available: dict[Variable, None] = {}
        """What earlier passes left in memory."""
        self.known: dict[tuple[object, tuple[object, ...]], Value] = {}
        """The values of variables, by the loops they are known in."""
        self.last = 0

    # ---- axes ----

    def _accesses(self) -> Iterable[tuple[Axes, bool]]:
        """The axes of the dimensions of everything in memory, and whether it may be indexed by collapsed axes."""
        for member in self.group.members:
            for base, axes in member.reads:
                if base not in self.group.placed or INDEXED in axes:
                    yield axes, True
            out = member.node.outputs[0]
            if (out in self.wanted or member.closed) and not _scatters(member):
                yield member.out.axes, True
            for along in member.index:
                if along.axis is not None and not along.is_plain:
                    yield (along.axis,), False
            if isinstance(member.node.op, ARange):
                yield member.out.axes, False
            if isinstance(member.node.op, IncSubtensor) and not member.closed:
                yield member.out.axes[1:], False
            if member.reduced:
                everything = tuple(a for a, n in enumerate(self.group.domain) if n != 1)
                kept = tuple(a for a in everything if a not in member.reduced)
                yield kept, True
                yield tuple(sorted(member.reduced)), False

    def _runs(self) -> list[tuple[int, ...]]:
        """The axes of the domain in order, those together that one loop can run over."""
        axes = [a for a, n in enumerate(self.group.domain) if n != 1]
        memory = [[a for a in dims if a is not None] for dims, is_memory in self._accesses() if is_memory]
        parted = [set(dims) for dims, is_memory in self._accesses() if not is_memory]
        runs: list[tuple[int, ...]] = []
        for a in axes:
            before = runs[-1][-1] if runs else None
            if (
                before is not None
                and (before < self.split) == (a < self.split)
                and all(_adjacent(before, a, dims) for dims in memory)
                and all((before in some) == (a in some) for some in parted)
            ):
                runs[-1] = (*runs[-1], a)
            else:
                runs.append((a,))
        return runs

    def _size(self, axis: int) -> int | loopir.Size:
        return self._parameter(self.group.domain[axis])

    def _parameter(self, size: Size) -> int | loopir.Size:
        """A size as the kernel knows it."""
        if isinstance(size, int):
            return size
        assert size is not None
        if size not in self.sizes:
            self.sizes[size] = loopir.Size()
        return self.sizes[size]

    def _index(self, axes: Axes) -> tuple[Axis, ...]:
        """The index of an element: one loop axis for each run of dimensions."""
        flat = [a for a in axes if a is not None]
        found: list[Axis] = []
        i = 0
        while i < len(flat):
            run = next(run for run in self.runs if run[0] == flat[i])
            found.append(self.loop_axes[run])
            i += len(run)
        return tuple(found)

    def _array(self, base: Variable | Memory, dtype: str, index: tuple[Axis, ...]) -> Array:
        """The parameter for an array that is indexed so."""
        sizes = tuple(axis.sizes for axis in index)
        key = (base, sizes)
        if key not in self.arrays:
            self.arrays[key] = (Array(dtype, sizes), base)
        return self.arrays[key][0]

    # ---- the nest ----

    def run(self) -> Launch:
        """The kernel and its parameters."""
        members = self.group.members
        self.last = last = max((m.phase if m.reduced else m.out.phase for m in members), default=0)
        body: list[Statement] = []
        top: list[Statement] = []
        for member in members:
            if member.closed and member.reduced is not None:
                top.append(self._neutral(member))
        if self.split:
            self._emit(body, WHOLE, 0, ())
            inside: list[Statement] = []
            for phase in range(last + 1):
                self._emit(inside, OUTER, phase, ("outer",))
                self._pass(inside, phase, ("outer",))
            self._emit(inside, OUTER, last + 1, ("outer",))
            carries = self._outer_carries(inside)
            body += self._nest(self.outer_axes, inside, carries)
            for carried in carries:
                self._define(body, carried.result, carried.value, ())
            self._emit(body, WHOLE, 1, ())
        else:
            for phase in range(last + 1):
                self._emit(body, WHOLE, phase, ())
                self._pass(body, phase, ())
            self._emit(body, WHOLE, last + 1, ())
        # What is read comes first, as in the text: kernels of equal text take their parameters in the same order.
        arrays = sorted(self.arrays.values(), key=lambda pair: pair[0] in self.written)
        kernel = Kernel(
            tuple(self.sizes.values()),
            tuple(self.scalars.values()),
            tuple(array for array, _ in arrays),
            tuple(self.outputs.values()),
            (*top, *body),
            frozenset(self.written),
        )
        return Launch(
            kernel,
            tuple(self.sizes),
            tuple(self.scalars),
            tuple(base for _, base in arrays),
            tuple(self.outputs),
            tuple(self.group.nodes),
        )

    def _nest(self, runs: Sequence[tuple[int, ...]], body: list[Statement], carries: list[_Carried]) -> list[Statement]:
        """Loops around `body`, the last innermost; carried values pass through all of them."""
        statements = body
        for run in reversed(runs):
            passed: list[Carry] = []
            for carried in carries:
                out = Value(carried.value.dtype)
                passed.append(Carry(out, carried.kind, carried.value))
                carried.value = out
            statements = [Loop(self.loop_axes[run], tuple(statements), tuple(passed))]
        return statements

    def _neutral(self, member: Member) -> Statement:
        """The result of a reduction that is added to memory, before anything is added."""
        out = member.node.outputs[0]
        index = self._index(member.out.axes)
        array = self._array(out, out.dtype, index)
        self.written.add(array)
        value = Value(out.dtype)
        statements: list[Statement] = [
            loopir.Number(value, neutral(_kind(member), out.dtype)),
            Store(array, index, value),
        ]
        for axis in reversed(index):
            statements = [Loop(axis, tuple(statements))]
        return statements[0]

    # ---- passes over the inner axes ----

    def _pass(self, into: list[Statement], phase: int, scope: tuple[object, ...]) -> None:
        """The inner loops of one phase."""
        members = self.group.members
        reductions = [m for m in members if m.reduced and m.phase == phase and m.over == INNER]
        stores = [m.node.outputs[0] for m in members if self._is_stored(m, phase)]
        scatters = [m for m in members if _scatters(m) and m.phase == phase and m.out.level == INNER]
        if not reductions and not stores and not scatters:
            return
        within = (*scope, "inner", phase)
        spilled = self._spilled(phase, self.last)
        body: list[Statement] = []
        for member in self._needed(self._roots(phase), self.available):
            self._compute(body, member, within)
        for x in stores:
            self._store(body, x, within)
        for x in spilled:
            self._spill(body, x, within)
        for member in scatters:
            self._scatter(body, member, within)
        carries: list[_Carried] = []
        for member in reductions:
            value = self._reduced_value(body, member, within)
            if member.closed:
                self._accumulate(body, carries, member, value)
            else:
                carries.append(_Carried(_kind(member), value, member.node.outputs[0]))
        into += self._nest_inner(body, carries)
        for carried in carries:
            if carried.add is None:
                self._define(into, carried.result, carried.value, scope)
        self.available |= dict.fromkeys(spilled)

    def _nest_inner(self, body: list[Statement], carries: list[_Carried]) -> list[Statement]:
        """The inner loops; what is added to memory is added outside of the axes that are summed before."""
        statements = body
        for position in range(len(self.inner_axes) - 1, -1, -1):
            run = self.inner_axes[position]
            passed: list[Carry] = []
            ending: list[_Carried] = []
            for carried in carries:
                if carried.until is not None and position < carried.until:
                    continue
                out = Value(carried.value.dtype)
                passed.append(Carry(out, carried.kind, carried.value))
                carried.value = out
                if carried.until == position:
                    ending.append(carried)
            statements = [Loop(self.loop_axes[run], tuple(statements), tuple(passed))]
            for carried in ending:
                assert carried.add is not None
                array, index = carried.add
                statements.append(Accumulate(_plain(carried.kind), array, index, carried.value))
        return statements

    def _accumulate(self, body: list[Statement], carries: list[_Carried], member: Member, value: Value) -> None:
        """Add to memory: at once if the innermost axis is kept, else the sum over the innermost axes."""
        assert member.reduced is not None
        out = member.node.outputs[0]
        index = self._index(member.out.axes)
        array = self._array(out, out.dtype, index)
        first = len(self.inner_axes)
        while first and self.inner_axes[first - 1][0] in member.reduced:
            first -= 1
        if first == len(self.inner_axes):
            body.append(Accumulate(_plain(_kind(member)), array, index, value))
        else:
            carries.append(_Carried(_kind(member), value, out, until=first, add=(array, index)))

    def _outer_carries(self, inside: list[Statement]) -> list[_Carried]:
        """What the outer loop carries: totals, by rows or of OUTER values."""
        carries = []
        for member in self.group.members:
            if member.reduced and member.out.level == WHOLE:
                out = member.node.outputs[0]
                if member.over == OUTER:
                    value = self._reduced_value(inside, member, ("outer",))
                else:
                    value = self.known.pop((out, ("outer",)))
                carries.append(_Carried(_plain(_kind(member)), value, out))
        return carries

    # ---- what a pass computes ----

    def _roots(self, phase: int) -> list[Variable]:
        """The values that a pass is for: what it reduces, and what it stores."""
        members = self.group.members
        found = [base for m in members if m.reduced and m.phase == phase and m.over == INNER for base, _ in m.reads]
        found += [m.node.outputs[0] for m in members if self._is_stored(m, phase)]
        found += [base for m in members if _scatters(m) and m.phase == phase for base, _ in m.reads[1:]]
        return found

    def _is_stored(self, member: Member, phase: int) -> bool:
        out = member.out
        return out.level == INNER and not member.closed and out.phase == phase and member.node.outputs[0] in self.wanted

    def _needed(self, roots: Iterable[Variable], have: Iterable[Variable]) -> list[Member]:
        """The INNER members that must be computed for `roots`, in order; what is in `have` can be loaded."""
        found: set[Variable] = set()
        pending = list(roots)
        held = set(have)
        while pending:
            x = pending.pop()
            member = self.member_of.get(x)
            if member is None or member.out.level != INNER or x in found or x in held or member.closed:
                continue
            found.add(x)
            pending += [base for base, _ in member.reads]
        return [m for m in self.group.members if m.node.outputs[0] in found]

    def _spilled(self, phase: int, last: int) -> list[Variable]:
        """What this pass computes, a later one needs, and is dear to compute again."""
        needed = [m.node.outputs[0] for m in self._needed(self._roots(phase), self.available)]
        later = {
            m.node.outputs[0] for q in range(phase + 1, last + 1) for m in self._needed(self._roots(q), self.available)
        }
        return [x for x in needed if x in later and not is_cheap(x)]

    def _row(self, x: Variable) -> tuple[Array, tuple[Axis, ...]]:
        """Where a value stays between passes: in its own array if it is stored anyway, else in a row of memory."""
        axes = self.member_of[x].out.axes
        if x in self.wanted:
            index = self._index(axes)
            return self._array(x, x.dtype, index), index
        index = self._index(tuple(a for a in axes if a is None or a >= self.split))
        if x not in self.rows:
            self.rows[x] = Memory(x.dtype, tuple(self.group.domain[self.split :]))
        return self._array(self.rows[x], x.dtype, index), index

    # ---- statements ----

    def _emit(self, into: list[Statement], level: int, phase: int, scope: tuple[object, ...]) -> None:
        """The members of an outer level that can be computed now."""
        for member in self.group.members:
            if _scatters(member):
                if member.out.level == level and member.phase == phase:
                    self._scatter(into, member, scope)
            elif member.out.level == level and member.out.phase == phase and not member.reduced:
                self._compute(into, member, scope)
                self._keep(into, member.node.outputs[0], scope)

    def _define(self, into: list[Statement], x: Variable, value: Value, scope: tuple[object, ...]) -> None:
        """A carried value is known from here on; one that the outer loop goes on to carry is no result yet."""
        self.known[(x, scope)] = value
        if not (scope and self.group.placed[x].level == WHOLE):
            self._keep(into, x, scope)

    def _keep(self, into: list[Statement], x: Variable, scope: tuple[object, ...]) -> None:
        """Write a value of an outer level to where the rest of the program finds it."""
        if x not in self.wanted:
            return
        value = self.known[(x, scope)]
        if x.ndim == 0:
            self.outputs[x] = Value(x.dtype)
            into.append(Output(self.outputs[x], value))
        else:
            index = self._index(self.group.placed[x].axes)
            into.append(Store(self._written(x, index), index, value))

    def _written(self, x: Variable | Memory, index: tuple[Axis, ...]) -> Array:
        array = self._array(x, x.dtype, index)
        self.written.add(array)
        return array

    def _store(self, body: list[Statement], x: Variable, scope: tuple[object, ...]) -> None:
        index = self._index(self.member_of[x].out.axes)
        body.append(Store(self._written(x, index), index, self.known[(x, scope)]))

    def _spill(self, body: list[Statement], x: Variable, scope: tuple[object, ...]) -> None:
        array, index = self._row(x)
        self.written.add(array)
        if x not in self.wanted:
            body.append(Store(array, index, self.known[(x, scope)]))

    def _value(self, body: list[Statement], x: Variable, axes: Axes, scope: tuple[object, ...]) -> Value:
        """The value of an operand here: known already, a parameter, or loaded."""
        # One array may be read in several ways: x * x.T.
        key = x if x in self.member_of else (x, axes)
        for depth in range(len(scope), -1, -1):
            found = self.known.get((key, scope[:depth]))
            if found is not None and not (depth and scope[:depth][-1] == "inner"):
                return found
        if x in self.member_of:
            array, index = self._row(x)
        elif x.ndim == 0:
            if x not in self.scalars:
                self.scalars[x] = Value(x.dtype)
            return self.scalars[x]
        else:
            index = self._index(axes)
            array = self._array(x, x.dtype, index)
        value = Value(x.dtype)
        body.append(Load(value, array, index))
        self.known[(key, scope)] = value
        return value

    def _compute(self, body: list[Statement], member: Member, scope: tuple[object, ...]) -> None:
        """The statements of one node."""
        node = member.node
        out = node.outputs[0]
        if (out, scope) in self.known:
            return
        if isinstance(node.op, Reduction) and member.reduced is None:  # the sum of a row with one number
            y, index = (self._value(body, base, axes, scope) for base, axes in member.reads)
            made = node.inputs[0].owner
            assert made is not None
            size = self.graph.shape(made.inputs[0])[1]
            self._inside(body, self._as(body, index, "int64"), self._extent(body, size))
            self.known[(out, scope)] = y
            return
        if member.reduced is not None:  # nothing to reduce: all the axes have size 1
            self.known[(out, scope)] = self._reduced_value(body, member, scope)
            return
        op = node.op
        if member.index:
            self.known[(out, scope)] = self._element(body, member, scope)
            return
        args = [self._value(body, base, axes, scope) for base, axes in member.reads]
        if isinstance(op, IncSubtensor):
            self.known[(out, scope)] = self._one_hot(body, member, args)
        elif isinstance(op, ARange):
            self.known[(out, scope)] = self._counted(body, member, args)
        elif isinstance(op, Alloc | Identity | Subtensor):
            self.known[(out, scope)] = self._as(body, args[0], out.dtype)
        elif isinstance(op, Fill):
            self.known[(out, scope)] = self._as(body, args[1], out.dtype)
        else:
            assert isinstance(op, Elementwise)
            loop, dtype = op.signature(node.inputs)
            cast = [self._as(body, a, want) for a, want in zip(args, loop, strict=True)]
            exponent = known_exponent(node)
            if exponent is not None:
                cast[1] = Value(loop[1])
                body.append(loopir.Number(cast[1], exponent))
            value = Value(dtype)
            body.append(Let(value, op, tuple(cast)))
            self.known[(out, scope)] = self._as(body, value, out.dtype)

    def _counted(self, body: list[Statement], member: Member, args: Sequence[Value]) -> Value:
        """``start + step * i``."""
        dtype = member.node.outputs[0].dtype
        (axis,) = member.out.axes
        at = self._position(body, axis)
        start, _, step = member.node.inputs
        assert isinstance(start, Constant)
        assert isinstance(step, Constant)
        at = self._as(body, at, dtype)
        if step.data != 1:
            at = self._let(body, mul, at, self._as(body, args[2], dtype))
        return at if start.data == 0 else self._let(body, add, at, self._as(body, args[0], dtype))

    def _one_hot(self, body: list[Statement], member: Member, args: Sequence[Value]) -> Value:
        """The number of a row where its index points, else 0."""
        size = self.graph.shape(member.node.inputs[0])[1]
        index = self._inside(body, self._as(body, args[1], "int64"), self._extent(body, size))
        here = self._let(body, eq, self._position(body, member.out.axes[1]), index, dtype="bool")
        nothing = Value(args[0].dtype)
        body.append(loopir.Number(nothing, 0))
        return self._let(body, switch, here, args[0], nothing, dtype=nothing.dtype)

    # ---- indexing ----

    def _let(self, body: list[Statement], op: Elementwise, *args: Value, dtype: str | None = None) -> Value:
        out = Value(dtype or args[0].dtype)
        body.append(Let(out, op, args))
        return out

    def _int(self, body: list[Statement], number: int) -> Value:
        out = Value("int64")
        body.append(loopir.Number(out, number))
        return out

    def _position(self, body: list[Statement], axis: int | None) -> Value:
        """The number of the iteration along an axis; 0 along one of size 1."""
        if axis is None or self.group.domain[axis] == 1:
            return self._int(body, 0)
        run = next(run for run in self.runs if axis in run)
        out = Value("int64")
        body.append(loopir.Position(out, self.loop_axes[run]))
        return out

    def _extent(self, body: list[Statement], size: Size) -> Value:
        out = Value("int64")
        body.append(loopir.Extent(out, self._parameter(size)))
        return out

    def _from_end(self, body: list[Statement], at: Value, extent: Value) -> Value:
        """A negative index counts from the end."""
        zero = self._int(body, 0)
        below = self._let(body, lt, at, zero, dtype="bool")
        return self._let(body, switch, below, self._let(body, add, at, extent), at, dtype="int64")

    def _inside(self, body: list[Statement], at: Value, extent: Value) -> Value:
        """An index counted from the start; the kernel fails if it is out of range."""
        at = self._from_end(body, at, extent)
        above = self._let(body, ge, at, self._int(body, 0), dtype="bool")
        below = self._let(body, lt, at, extent, dtype="bool")
        body.append(loopir.Require(self._let(body, and_, above, below)))
        return at

    def _dimensions(
        self, body: list[Statement], member: Member, scope: tuple[object, ...]
    ) -> tuple[Array, tuple[loopir.Index, ...]]:
        """The array that a node indexes, and the index of the element for this iteration."""
        base, _ = member.reads[0]
        index: list[loopir.Index] = []
        sizes: list[tuple[int | loopir.Size, ...]] = []
        for along, size in zip(member.index, self.graph.shape(base), strict=True):
            if along.is_plain:
                run = next((run for run in self.runs if along.axis in run), None)
                if run is not None and run[0] == along.axis:  # one index for all the axes of a run
                    index.append(self.loop_axes[run])
                    sizes.append(self.loop_axes[run].sizes)
                continue
            if size == 1 and along.start is None:
                continue
            index.append(self._along(body, member, along, size, scope))
            sizes.append((self._parameter(size),))
        key = (base, tuple(sizes))
        if key not in self.arrays:
            self.arrays[key] = (Array(base.dtype, tuple(sizes)), base)
        return self.arrays[key][0], tuple(index)

    def _along(
        self, body: list[Statement], member: Member, along: Along, size: Size, scope: tuple[object, ...]
    ) -> loopir.Index:
        """The index along one dimension."""
        extent = self._extent(body, size)
        zero = self._int(body, 0)
        start: Value | None = None
        if along.start is not None:
            operand, axes = member.reads[along.start]
            start = self._as(body, self._value(body, operand, axes, scope), "int64")
        if along.axis is None and not along.is_part:
            assert start is not None
            return self._inside(body, start, extent)
        if start is not None:
            start = self._from_end(body, start, extent)
        last = extent if along.step > 0 else self._let(body, sub, extent, self._int(body, 1))
        if start is None:
            start = zero if along.step > 0 else last
        else:
            start = self._let(body, maximum, start, zero if along.step > 0 else self._int(body, -1))
            start = self._let(body, minimum, start, last)
        if along.axis is None:  # a slice of one element
            return start
        if along.step == 1 and self.group.domain[along.axis] != 1:
            run = next(run for run in self.runs if along.axis in run)
            return loopir.Shifted(self.loop_axes[run], start)
        at = self._let(body, mul, self._position(body, along.axis), self._int(body, along.step))
        return self._let(body, add, start, at)

    def _element(self, body: list[Statement], member: Member, scope: tuple[object, ...]) -> Value:
        """An element of an indexed array."""
        array, index = self._dimensions(body, member, scope)
        out = Value(array.dtype)
        body.append(Load(out, array, index))
        return out

    def _scatter(self, body: list[Statement], member: Member, scope: tuple[object, ...]) -> None:
        """Write an element of an indexed array."""
        array, index = self._dimensions(body, member, scope)
        self.written.add(array)
        base, axes = member.reads[-1]
        value = self._as(body, self._value(body, base, axes, scope), array.dtype)
        op = member.node.op
        assert isinstance(op, IncSubtensor)
        body.append(Accumulate("sum", array, index, value) if op.add else Store(array, index, value))

    def _as(self, body: list[Statement], value: Value, dtype: str) -> Value:
        """A value converted to a dtype."""
        if value.dtype == dtype:
            return value
        out = Value(dtype)
        body.append(Let(out, Cast(dtype), (value,)))
        return out

    def _reduced_value(self, body: list[Statement], member: Member, scope: tuple[object, ...]) -> Value:
        """What a reduction takes of one element, in the dtype it accumulates in."""
        node = member.node
        dtype = node.outputs[0].dtype
        args = [self._as(body, self._value(body, base, axes, scope), dtype) for base, axes in member.reads]
        if len(args) == 1:
            return args[0]
        product = Value(dtype)
        body.append(Let(product, mul, tuple(args)))
        return product


@dataclass(eq=False)
class _Carried:
    """A reduction on its way out of the loops.

    add, until: where it is added to memory, and the outermost of the inner loops that carries it before.
    """

    kind: str
    value: Value
    result: Variable
    until: int | None = None
    add: tuple[Array, tuple[Axis, ...]] | None = None


def known_exponent(node: Apply) -> float | None:
    """The exponent of a power that is worth code of its own: a small integer, or 1/2."""
    if node.op.name != "pow" or not isinstance(node.inputs[1], Constant) or node.inputs[1].ndim:
        return None
    number: float = node.inputs[1].data.item()
    return number if number == 0.5 or (float(number).is_integer() and abs(number) <= MOST_SQUARINGS) else None


def _scatters(member: Member) -> bool:
    """Whether a node writes to an indexed array."""
    return bool(member.index) and member.closed


def _kind(member: Member) -> str:
    op = member.node.op
    if isinstance(op, Dot):
        return "dot"
    assert isinstance(op, Reduction)
    return op.name


def _plain(kind: str) -> str:
    """The reduction of partial results."""
    return "sum" if kind == "dot" else kind


def _adjacent(a: int, b: int, dims: list[int]) -> bool:
    """Whether memory has neither of two axes, or the second right after the first."""
    if a in dims and b in dims:
        return dims.index(b) == dims.index(a) + 1
    return a not in dims and b not in dims
