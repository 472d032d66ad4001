"""The kernels around a commit, as functions of a frame: what weighs its work, what verifies it, what it does."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.backends.llvm.columns import ColumnRenderer
from graphc.backends.llvm.emit import Value
from graphc.backends.llvm.scalars import I64, Function, ScalarRenderer
from graphc.backends.llvm.support import NOT_TAKEN, TAKEN
from graphc.backends.llvm.target import Target
from graphc.backends.llvm.work import MOST_COMMITTED, work
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Kernel
from graphc.kernels.steps import Commit, Verify, Weigh

Step = Launch | Weigh | Verify | Commit


def step_function(step: Step, target: Target, name: str, slots: Sequence[int] | None = None) -> Function:
    """What a step with kernels does, as a function; `slots` as for `render.function`."""
    if isinstance(step, Launch):
        return ColumnRenderer(step.kernel, target, slots).render(name)
    if isinstance(step, Weigh):
        return _Weighing(step, target, slots).render(name)
    if isinstance(step, Verify):
        # More than that is made apart from the old values, where the commit has little to do for large work.
        return ColumnRenderer(step.launch.kernel, target, slots, MOST_COMMITTED, step.of.kernel).render(name)
    return ColumnRenderer(step.launch.kernel, target, slots, most=None).render(name)


def identity(step: Step) -> str:
    """A text that steps with the same code have in common."""
    if isinstance(step, Launch):
        return step.kernel.text
    if isinstance(step, Weigh):
        return "\n".join([f"weigh {MOST_COMMITTED}", *(launch.kernel.text for launch in step.launches)])
    if isinstance(step, Verify):
        return f"verify {MOST_COMMITTED}\n{step.launch.kernel.text}\n{step.of.kernel.text}"
    return f"commit\n{step.launch.kernel.text}"


class _Weighing(ScalarRenderer):
    """Writes whether a commit is more than little work to the word of a choice, its last parameter."""

    def __init__(self, step: Weigh, target: Target, slots: Sequence[int] | None) -> None:
        super().__init__(Kernel((), (), (), (), ()), target, slots, most=None)
        self.kernels = [launch.kernel for launch in step.launches]

    def _parameters(self) -> None:
        units = Value("0", I64)
        for kernel in self.kernels:  # equal ones are the same, with other sizes
            self._size_parameters(kernel.sizes)
            units = self.b.add(units, work(self.b, kernel.body, self._product))
        heavy = self.b.compare("ugt", units, Value(str(MOST_COMMITTED), I64))
        word = self.b.select(heavy, Value(str(TAKEN), I64), Value(str(NOT_TAKEN), I64))
        self.b.write(f"store {word}, ptr {self._parameter()}")
