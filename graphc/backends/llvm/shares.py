"""Kernels that are run in shares: ``i32 (ptr %frame, ptr %slots, ptr %share)``.

A share is six words: where it begins and ends, its number, that of the thread, the work of all iterations, and a
function ``i32 (i64 %thread)`` that a long loop inside asks now and then: not 0 is what to return at once.  If the
end is below 0, the kernel only says how many iterations there are, in place of the end, and what work they are; and the
totals of shares that there may not be are what changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.backends.llvm.accumulate import State
from graphc.backends.llvm.ahead import AheadRenderer
from graphc.backends.llvm.emit import Kind, Value
from graphc.backends.llvm.scalars import I64, Function, Iteration
from graphc.backends.llvm.target import Target
from graphc.backends.llvm.work import work
from graphc.kernels import loopir
from graphc.kernels.launch import PARTS, Shared
from graphc.kernels.loopir import Axis, Loop, Number, Store
from graphc.kernels.neutral import neutral

BEGIN, END, NUMBER, THREAD, WORK, ASK = range(6)

PATIENCE = (1 << 12, 1 << 6, 1 << 3)
"""How many iterations a loop does between two questions: of a vector or a block of some each, which is less than
a millisecond; of such loops, which may be just too short to ask; of loops around those."""


def share(shared: Shared, target: Target, name: str) -> Function:
    """A kernel as a function of a share."""
    return _ShareRenderer(shared, target).render(name)


class _ShareRenderer(AheadRenderer):
    def __init__(self, shared: Shared, target: Target) -> None:
        super().__init__(shared.kernel, target)
        self.shared = shared
        self.loop = next((s for s in shared.kernel.body if isinstance(s, Loop)), None)
        self.begin = self.end = self.thread = Value("0", I64)
        self.ask = ""
        self.patience = PATIENCE[0]

    def render(self, name: str) -> Function:
        """The function's text."""
        self._parameters()
        self.begin, self.end, self.thread = map(self._word, (BEGIN, END, THREAD))
        self.ask = self.b.fresh()
        self.b.write(f"{self.ask} = load ptr, ptr {self._place(ASK)}")
        asked, told = self._label("asked"), self._label("told")
        self.b.write(f"br {self.b.compare('slt', self.end, Value('0', I64))}, label %{asked}, label %{told}")
        self._start(asked)
        self._asked()
        self._start(told)
        for row in self.shared.rows:
            size = self._product([n for dims in row.sizes for n in dims])
            self.pointers[row] = self._element(row, self.b.mul(self.thread, size))
        self._statements(self.kernel.body)
        number = self._word(NUMBER)
        for value, array in self.shared.totals:
            self._store(self._element(array, number), self.values[value])
        self._end()
        head = f"define i32 @{name}(ptr %frame, ptr %slots, ptr %share) {{"
        text = "\n".join([head, "entry:", *self.b.lines, "}"])
        return Function(text, tuple(self.b.wanted), tuple(self.b.declarations))

    def _asked(self) -> None:
        """Say how many iterations there are, and how much work."""
        count = Value("1", I64) if self.loop is None else self._product(self.loop.axis.sizes)
        self._store(self._place(END), count)
        self._store(self._place(WORK), work(self.b, self.kernel.body, self._product))
        carries = () if self.loop is None else self.loop.carries
        nothing_of = {c.out: 0 if c.at is not None else neutral(c.kind, c.value.dtype) for c in carries}
        for value, array in self.shared.totals:
            axis, nothing = Axis((PARTS,)), loopir.Value(value.dtype)
            number = Number(nothing, nothing_of[value])
            self._loop(Loop(axis, (number, Store(array, (axis,), nothing))))
        self.b.write("ret i32 0")

    def _range(self, loop: Loop) -> tuple[Value, Value]:
        return (self.begin, self.end) if loop is self.loop else super()._range(loop)

    def _loop(self, loop: Loop) -> None:
        outer, self.patience = self.patience, PATIENCE[min(_height(loop), len(PATIENCE) - 1)]
        super()._loop(loop)
        self.patience = outer

    def _long(self, start: Value, limit: Value, step: int, states: Sequence[State], body: Iteration) -> list[State]:
        def asking(at: Value, states: Sequence[State]) -> Sequence[State]:
            after = body(at, states)
            self._ask_after(at, step)
            return after

        return self._counted(start, limit, step, states, asking)

    def _tight(self, start: Value, limit: Value, step: int, states: Sequence[State], body: Iteration) -> list[State]:
        def part(at: Value, states: Sequence[State]) -> Sequence[State]:
            following = self.b.add(at, Value(str(self.patience * step), I64))
            is_more = self.b.compare("slt", following, limit)
            after = self._counted(at, self.b.select(is_more, following, limit), step, states, body)
            self._when(is_more, [], self._ask)
            return after

        return self._counted(start, limit, self.patience * step, states, part)

    def _ask_after(self, at: Value, step: int) -> None:
        """Ask after so many iterations whether to go on; steps are powers of 2."""
        following = self.b.add(at, Value(str(step), I64))
        rest = self.b.binary("and", following, Value(str(self.patience * step - 1), I64))
        self._when(self.b.compare("ult", rest, Value(str(step), I64)), [], self._ask)

    def _ask(self, _: Sequence[State]) -> list[State]:
        """Leave the kernel if that is wished."""
        stop, on = map(self._label, ("stop", "on"))
        answer = self.b.let(Kind("int32"), f"call i32 {self.ask}({self.thread})")
        self.b.write(f"br {self.b.compare('eq', answer, Value('0', answer.kind))}, label %{on}, label %{stop}")
        self._start(stop)
        self.b.write(f"ret {answer}")
        self._start(on)
        return []

    def _place(self, word: int) -> str:
        name = self.b.fresh()
        self.b.write(f"{name} = getelementptr i64, ptr %share, i64 {word}")
        return name

    def _word(self, word: int) -> Value:
        return self.b.let(I64, f"load i64, ptr {self._place(word)}")


def _height(loop: Loop) -> int:
    """How many loops deep it is below a loop."""
    return max((1 + _height(s) for s in loop.body if isinstance(s, Loop)), default=0)
