"""Groups of equal structure are lowered once: the kernel is the same, only its arguments differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from graphc.graph.sizes import Size
from graphc.graph.variable import Apply, Constant, Variable
from graphc.kernels.groups import Group, Member
from graphc.kernels.hoist import hoisted
from graphc.kernels.launch import Launch, Memory
from graphc.kernels.loopir import Kernel
from graphc.kernels.lower import lowered
from graphc.kernels.prune import pruned
from graphc.kernels.shapes import Shapes
from graphc.kernels.sharing import shared
from graphc.kernels.statements import known_exponent
from graphc.ops.indexing import IncSubtensor
from graphc.ops.ranges import ARange
from graphc.ops.reduction import Reduction


def lower(group: Group, graph: Shapes, wanted: Iterable[Variable], known: Templates) -> Launch:
    """The kernel of a group; `wanted` are those of its values that are used elsewhere.

    known: the kernels of groups lowered before, of which one may do for this group too.
    """
    chosen = set(wanted)
    structure = Structure(group, graph, chosen)
    template = known.get(structure.key)
    if template is None:
        launch = lowered(group, graph, chosen)
        launch = pruned(replace(launch, kernel=shared(hoisted(launch.kernel))))
        known[structure.key] = structure.template(launch)
        return launch
    return structure.launch(template)


@dataclass(frozen=True)
class Template:
    """A kernel whose parameters are named by their numbers in a `Structure`; a row of memory by its first axis."""

    kernel: Kernel
    sizes: tuple[int, ...]
    scalars: tuple[int, ...]
    arrays: tuple[int | tuple[str, int], ...]
    outputs: tuple[int, ...]


Templates = dict[tuple[object, ...], Template]


class Structure:
    """What a group's kernel depends on, with variables and sizes numbered in order of appearance."""

    def __init__(self, group: Group, graph: Shapes, wanted: set[Variable]) -> None:
        self.group = group
        self.variables: dict[Variable, int] = {}
        self.sizes: dict[Variable, int] = {}
        members = [
            (
                m.node.op, m.out, m.reduced, m.closed, m.phase, m.over, m.index,
                tuple([(self._number(base), axes) for base, axes in m.reads]),
                self._number(m.node.outputs[0]), m.node.outputs[0].dtype, m.node.outputs[0] in wanted,
                tuple([self._operand(x, m.node) for x in m.node.inputs]),
                self._indexed(m, graph),
            )
            for m in group.members
        ]  # fmt: skip
        self.key = (group.split, tuple([self._size(n) for n in group.domain]), *members)

    def _indexed(self, m: Member, graph: Shapes) -> object:
        """The sizes of the array that a node indexes."""
        made = m.node.inputs[0].owner
        if m.index:
            return tuple([self._size(n) for n in graph.shape(m.reads[0][0])])
        if isinstance(m.node.op, IncSubtensor):
            return self._size(graph.shape(m.node.inputs[0])[1])
        if isinstance(m.node.op, Reduction) and m.reduced is None and made is not None:
            return self._size(graph.shape(made.inputs[0])[1])
        return None

    def _number(self, x: Variable) -> int:
        return self.variables.setdefault(x, len(self.variables))

    def _size(self, n: Size) -> object:
        return ("size", self.sizes.setdefault(n, len(self.sizes))) if isinstance(n, Variable) else n

    @staticmethod
    def _operand(x: Variable, node: Apply) -> object:
        """What the code depends on of an operand: its dtype; of some constants the value."""
        if isinstance(node.op, ARange) and isinstance(x, Constant):
            return x.dtype, x.data.item()
        exponent = known_exponent(node) if x is node.inputs[-1] else None
        return x.dtype, x.ndim, exponent

    def template(self, launch: Launch) -> Template:
        """A kernel that was made for this group, for others of the same structure."""
        split = self.group.split or 0
        return Template(
            launch.kernel,
            tuple([self.sizes[n] for n in launch.sizes]),
            tuple([self.variables[x] for x in launch.scalars]),
            tuple([(x.dtype, split) if isinstance(x, Memory) else self.variables[x] for x in launch.arrays]),
            tuple([self.variables[x] for x in launch.outputs]),
        )

    def launch(self, template: Template) -> Launch:
        """A known kernel with the parameters of this group."""
        variables, sizes = list(self.variables), list(self.sizes)
        return Launch(
            template.kernel,
            tuple([sizes[i] for i in template.sizes]),
            tuple([variables[i] for i in template.scalars]),
            tuple([variables[i] if isinstance(i, int) else self._row(*i) for i in template.arrays]),
            tuple([variables[i] for i in template.outputs]),
            tuple(self.group.nodes),
        )

    def _row(self, dtype: str, split: int) -> Memory:
        return Memory(dtype, tuple(self.group.domain[split:]))
