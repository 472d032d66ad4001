"""The steps that a backend with kernels runs.

    Launch        one kernel (launch.py)
    InShares      one kernel, a share of its iterations at a time (shares.py)
    Product       a product of matrices
    Call          a node that is computed by a call back into Python
    Window        neighbouring rows of an array, where they are
    SizesEqual    a guard: two sizes must be equal
    Assumed       two sizes that this plan takes to be equal; where they are not, another plan runs
    SameCount     two shapes must have as many elements (reshape)
    NotEmpty      a size must not be 0 (maximum and minimum)
    Undecide      a branch has not been chosen yet
    Decide        a branch is chosen (groups.py)
    Pick          the result of the branch that was chosen
    Weigh         whether new values may be made where the old ones are
    Verify        the checks of a kernel that is to run in the commit
    Commit        a kernel that runs in the commit

Values of rank 0 have a place of their own each; arrays live in memories, which go by a `Key`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphc.graph.guards import Guard
from graphc.graph.predicates import Choice
from graphc.graph.sizes import Shape
from graphc.graph.variable import Apply, Variable
from graphc.kernels.groups import Decide
from graphc.kernels.launch import InShares, Launch, Memory
from graphc.kernels.views import View

Key = Variable | Memory


@dataclass(frozen=True)
class Product:
    """``out = x @ y`` of matrices, each seen through the order of its dimensions."""

    node: Apply
    x: View
    y: View


@dataclass(frozen=True)
class Call:
    """A node computed by its `perform`."""

    node: Apply


@dataclass(frozen=True)
class SizesEqual:
    """A guard."""

    guard: Guard
    left: int | Variable
    right: int | Variable


@dataclass(frozen=True)
class Assumed:
    """Two sizes that this plan takes to be equal; where they are not, another plan must run."""

    left: int | Variable
    right: int | Variable


@dataclass(frozen=True)
class SameCount:
    """As many elements before and after a reshape."""

    node: Apply
    before: Shape
    after: Shape


@dataclass(frozen=True)
class NotEmpty:
    """A size that must not be 0."""

    node: Apply
    size: int | Variable


@dataclass(frozen=True)
class Window:
    """Some neighbouring rows of an array, or one, where they are."""

    node: Apply

    @property
    def start(self) -> Variable | None:
        """The first of them; None for the beginning."""
        first = self.node.op.pattern[0]  # type: ignore[attr-defined]
        return self.node.inputs[1] if first == "int" or first.startswith("slice:1") else None

    @property
    def is_row(self) -> bool:
        """Whether it is one row, whose axis goes."""
        return self.node.op.pattern[0] == "int"  # type: ignore[attr-defined, no-any-return]


@dataclass(frozen=True)
class Undecide:
    """A choice that may never be made has not been made yet."""

    choice: Choice


@dataclass(frozen=True)
class Pick:
    """The results of an `ifelse`: those of the branch that ran, where they are."""

    node: Apply


@dataclass(frozen=True)
class Weigh:
    """New values are made `apart` from the old ones unless what the commit does, `launches`, is little work."""

    apart: Choice
    launches: tuple[Launch, ...]


@dataclass(frozen=True)
class Verify:
    """The checks of a kernel: a `launch` that writes nothing; `of`: the one that the commit runs."""

    launch: Launch
    of: Launch


@dataclass(frozen=True)
class Commit:
    """A kernel that runs when nothing can fail any more."""

    launch: Launch


Step = (
    Launch
    | InShares
    | Product
    | Call
    | SizesEqual
    | Assumed
    | SameCount
    | NotEmpty
    | Decide
    | Undecide
    | Pick
    | Window
    | Weigh
    | Verify
    | Commit
)


def read_by(step: Step) -> list[Key]:
    """The arrays a step reads or writes, and the values of rank 0 it needs."""
    if isinstance(step, Launch):
        return [*step.arrays, *step.scalars, *step.sizes]
    if isinstance(step, Verify | Commit):
        return read_by(step.launch)
    if isinstance(step, Weigh):
        return [n for launch in step.launches for n in launch.sizes]
    if isinstance(step, Product):
        return [step.x.base, step.y.base, step.node.outputs[0]]
    if isinstance(step, Call | Pick | Window):
        return [*step.node.inputs, *step.node.outputs]
    return []


def memory_of(key: Key, home: Mapping[Variable, Key]) -> Key:
    """Where something is: a reshaped array, say, is in the memory of another."""
    return home.get(key, key) if isinstance(key, Variable) else key


def written_by(step: Step) -> list[Key]:
    """The arrays a step writes, and the values of rank 0 it computes."""
    if isinstance(step, Launch):
        written = step.kernel.written
        return [*(key for a, key in zip(step.kernel.arrays, step.arrays, strict=True) if a in written), *step.outputs]
    if isinstance(step, Commit):
        return written_by(step.launch)
    return list(step.node.outputs) if isinstance(step, Product | Call | Pick | Window) else []


def kept_by(step: Step) -> list[Key]:
    """What may be read later under another name: what parts and branches' results are of, and what Python has seen."""
    if isinstance(step, Pick | Window):
        return read_by(step)
    if isinstance(step, Call):
        node = step.node
        seen = {i for output in range(len(node.outputs)) for i in node.op.aliases(output)}
        return [*node.outputs, *(node.inputs[i] for i in seen)]
    return []
