"""A function with branches, calls into Python, or sizes that depend on values: its steps run one by one.

Memory is taken when a step needs it.  A value that the host must see, such as the condition of a branch, is waited
for.  What no kernel and no library of the device computes, the host does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from graphc.backends.cupy.arena import aligned
from graphc.backends.cupy.calls import OnDevice
from graphc.backends.cupy.commands import Address, Command, RunKernel, address_of
from graphc.backends.cupy.device import Buffer, Placed, pointer
from graphc.backends.cupy.launches import Prepared
from graphc.backends.cupy.libraries import Library, Operand, is_countable, library_of
from graphc.backends.cupy.numbers import Numbers
from graphc.backends.cupy.resident import Resident
from graphc.backends.cupy.walk import Refused, Walk
from graphc.backends.perform import explained, performer
from graphc.errors import GraphcError
from graphc.graph.variable import Apply, Constant, Variable
from graphc.kernels.groups import Decide
from graphc.kernels.steps import Call, Key, Pick, Undecide

if TYPE_CHECKING:
    from graphc.backends.cupy.executable import CupyExecutable


class _Fetched(Numbers):
    """Numbers of which the device knows some."""

    walk: Stepped

    def fetch(self, x: Variable) -> Any:
        """Wait for a number that the device computes."""
        self.known[x] = self.walk.number(x)
        return self.known[x]


class Stepped(Walk):
    """One call."""

    def __init__(self, executable: CupyExecutable, given: Sequence[Any], shapes: Mapping[Variable, Any]) -> None:
        self.executable = executable
        self.device = executable.device
        inputs = executable.plan.schedule.graph.inputs
        pairs = list(zip(inputs, given, strict=True))
        host = {x: np.asarray(v)[()] for x, v in pairs if not x.ndim and not isinstance(v, OnDevice)}
        numbers = _Fetched(executable.plan, shapes, host)
        numbers.walk = self
        super().__init__(executable.plan, numbers, self.device.processors)
        self.buffers: list[Buffer] = []
        self.pinned: list[Any] = []
        self.kept: list[object] = []
        self.error = self.scratch(4, cleared=True)
        self._checked = True
        for x, value in pairs:
            self.cells[self.place(x)] = Address(value.address) if isinstance(value, OnDevice) else self.upload(value, x)

    # ---- the walk ----

    def emit(self, command: Command) -> None:
        """Run it."""
        command.run(self.device)

    def emit_kernels(self, launches: list[tuple[Prepared, RunKernel]]) -> None:
        """Run them."""
        kernels = self.executable.programs.load([p for p, _ in launches])
        for (prepared, run), kernel in zip(launches, kernels, strict=True):
            run.kernel = kernel
            run.run(self.device)
            self._checked &= "error" not in prepared.extras

    def memory(self, key: Key, nbytes: int) -> Address:
        """Fresh memory."""
        return self.scratch(nbytes)

    def scratch(self, nbytes: int, cleared: bool = False) -> Address:
        """Fresh memory."""
        buffer = self.device.allocate(max(nbytes, 8))
        self.buffers.append(buffer)
        if cleared:
            self.device.clear(buffer.address, nbytes)
        return Address(buffer.address)

    def constant(self, x: Constant) -> Address:
        """A constant, which all calls share, or one that only Python is given."""
        found = self.executable.constants.get(x)
        return self.upload(x.data, x) if found is None else found

    def known(self, x: Variable) -> Address:
        """A number that the host computed."""
        return self.upload(self.numbers.number(x), x)

    # ---- to the device and back ----

    def upload(self, value: Any, x: Variable) -> Address:
        """A value from the host."""
        array = np.ascontiguousarray(value, x.dtype)
        cell = self.scratch(array.nbytes)
        staged = self.device.pinned(max(array.nbytes, 1))
        staged[: array.nbytes] = array.reshape(-1).view(np.uint8)
        self.pinned.append(staged)  # until the copy has been made
        self.device.copy(address_of(cell), pointer(staged), array.nbytes)
        return cell

    def download(self, values: Sequence[Variable], keys: Sequence[Key]) -> list[Any]:
        """Values on the host, all after one wait; raises Refused if a check failed before.

        keys: where they are.
        """
        shapes = [self.numbers.shape(x) for x in values]
        dtypes = [np.dtype(x.dtype) for x in values]
        sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in zip(shapes, dtypes, strict=True)]
        starts = list(itertools.accumulate(map(aligned, sizes), initial=aligned(4)))
        staged = self.device.pinned(starts.pop())
        self.device.copy(pointer(staged), address_of(self.error), 4)
        for key, at, nbytes in zip(keys, starts, sizes, strict=True):
            self.device.copy(pointer(staged) + at, address_of(self.address(key)), nbytes)
        self.device.synchronize()
        if not self._checked and staged[:4].view(np.uint32)[0]:
            raise Refused
        parts = zip(shapes, dtypes, starts, strict=True)
        return [np.ndarray(shape, dtype, staged, at).copy() for shape, dtype, at in parts]

    def number(self, x: Variable) -> Any:
        """A number that the device computed."""
        (value,) = self.download([x], [x])
        return value[()]

    # ---- steps that are not recorded ----

    def call(self, step: Call) -> None:
        """A node that has no kernel."""
        if not self.by_library(step.node):
            self.on_host(step.node)

    def by_library(self, node: Apply) -> bool:
        """Have a library of the device compute a node; False if the host must."""
        library = library_of(node)
        if library is None:
            return False
        numbers = library.numbers(node)
        operands = [int(self.numbers.number(x)) if x in numbers else self.placed(x) for x in node.inputs]
        (out,) = node.outputs
        finds = library.finds(node)
        shape = () if finds else self.numbers.shape(out)
        if not is_countable(operands, shape) or not library.fits(node, *operands):
            return False
        if library.wrong is not None:
            self.refuse_if(library.wrong, node, operands)
        if finds:
            return self.found(node, library, operands)
        cell = self.scratch(math.prod(shape) * np.dtype(out.dtype).itemsize)
        made = Placed(address_of(cell), out.dtype, shape)
        self.device.compute(lambda cupy, *arrays: library.compute(cupy, node, *arrays), operands, made)
        self.numbers.shapes[out] = shape
        self.cells[self.place(out)] = cell
        return True

    def found(self, node: Apply, library: Library, operands: Sequence[Operand]) -> bool:
        """Have a library compute a node whose size it finds; False if the host must."""
        try:
            made, kept = self.device.find(lambda cupy, *arrays: library.compute(cupy, node, *arrays), operands)
        except (IndexError, ValueError):  # a mask has not as many places as what is beside it, or what is put there
            return False
        self.kept.append(kept)
        (out,) = node.outputs
        assert made.dtype == out.dtype
        self.numbers.shapes[out] = made.shape
        self.cells[self.place(out)] = Address(made.address) if made.address else self.scratch(8)
        return True

    def refuse_if(self, wrong: Callable[..., Any], node: Apply, operands: Sequence[Operand]) -> None:
        """Set the error word if NumPy would refuse the elements of operands."""
        error = Placed(address_of(self.error), "uint32", (1,))
        self.device.compute(lambda cupy, word, *xs: word | wrong(cupy, node, *xs), [error, *operands], error)
        self._checked = False

    def placed(self, x: Variable) -> Placed:
        """Where a value is on the device."""
        return Placed(address_of(self.address(x)), x.dtype, self.numbers.shape(x))

    def on_host(self, node: Apply) -> None:
        """Compute a node on the host."""
        operands = self.operands(node.inputs)
        try:
            with np.errstate(all="ignore"):
                results = performer(node)(*operands)
        except GraphcError:
            raise
        except Exception as error:
            raise explained(error, node, operands) from error
        for out, result in zip(node.outputs, results, strict=True):
            array = np.asarray(result, out.dtype)
            self.numbers.shapes[out] = array.shape
            if not out.ndim:
                self.numbers.known[out] = array[()]
            self.cells[self.place(out)] = self.upload(array, out)

    def operands(self, inputs: Sequence[Variable]) -> list[Any]:
        """The values of a node's inputs on the host."""
        known = self.numbers.known
        values = {x: x.data if isinstance(x, Constant) else np.asarray(known[x]) for x in inputs if self._is_here(x)}
        there = list(dict.fromkeys(x for x in inputs if x not in values))
        if there:
            values |= zip(there, self.download(there, there), strict=True)
        return [values[x] for x in inputs]

    def _is_here(self, x: Variable) -> bool:
        """Whether the host has a value."""
        return isinstance(x, Constant) or x in self.numbers.known

    def undecide(self, step: Undecide) -> None:
        """A choice that may never be made."""
        self.taken[step.choice] = None

    def decide(self, step: Decide) -> None:
        """A choice."""
        self.taken[step.choice] = bool(self.numbers.number(step.choice.condition))

    def pick(self, step: Pick) -> None:
        """The results of the branch that ran."""
        node = step.node
        count = len(node.outputs)
        first = 1 if self.numbers.number(node.inputs[0]) else 1 + count
        for out, x in zip(node.outputs, node.inputs[first : first + count], strict=True):
            self.cells[self.place(out)] = self.address(x)
            if out.ndim:
                self.numbers.shapes[out] = self.numbers.shape(x)
            elif x in self.numbers.known:
                self.numbers.known[out] = self.numbers.known[x]

    # ---- results ----

    def results(self, returned: int, to_host: bool) -> list[Any]:
        """What is handed back."""
        outputs = self.plan.schedule.graph.outputs[:returned]
        keys = self.plan.results[:returned]
        if not to_host:
            return [self._owned(x, key).array for x, key in zip(outputs, keys, strict=True)]
        return self.download(outputs, keys)

    def new_values(self, returned: int) -> list[Resident]:
        """The new values of shared variables; raises Refused if a check failed."""
        outputs = self.plan.schedule.graph.outputs[returned:]
        new = [self._owned(x, key) for x, key in zip(outputs, self.plan.results[returned:], strict=True)]
        if not self._checked:
            staged = self.device.pinned(4)
            self.device.copy(pointer(staged), address_of(self.error), 4)
            self.device.synchronize()
            if staged.view(np.uint32)[0]:
                raise Refused
        return new

    def _owned(self, x: Variable, key: Key) -> Resident:
        """A result in memory of its own."""
        made = Resident(self.device, x.dtype, self.numbers.shape(x))
        self.device.copy(made.address, address_of(self.address(key)), made.nbytes)
        return made

    actions: ClassVar[Mapping[type, Callable[..., None]]] = {
        **Walk.actions, Call: call, Undecide: undecide, Decide: decide, Pick: pick,
    }  # fmt: skip
