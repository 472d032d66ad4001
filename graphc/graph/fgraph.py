"""FunctionGraph: what `function` compiles: an immutable, hash-consed graph whose sizes are known to agree.

The user's nodes are *interned* (`interner.py`): equal ops on the same inputs become one node, so common subexpressions
are found for free and equality is ``is``.  On the way in, the sizes that meet in an elementwise op are united into one
(`united.py`), and each time that is written down as a `Guard` that the compiled function checks when it runs.  Under
these guards it is known which axes broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from graphc.graph.bindings import ops
from graphc.graph.guards import Axis, Guard
from graphc.graph.interner import Interner
from graphc.graph.look import Look, look_of
from graphc.graph.predicates import choices_of, map_predicates, predicates
from graphc.graph.sizes import Shape, Size
from graphc.graph.traverse import leaves_of, toposort
from graphc.graph.variable import Apply, Constant, Variable


@dataclass(frozen=True)
class FunctionGraph:
    """A graph ready to be rewritten and scheduled.

    Attributes
    ----------
    inputs: the leaves whose values the caller passes, in order.
    outputs: what is computed.
    guards: what must hold of the sizes.
    table: the `Interner` all its nodes live in; a rewritten graph shares it.
    """

    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    guards: tuple[Guard, ...]
    table: Interner

    @classmethod
    def build(
        cls,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        ones: Iterable[Axis] = (),
        nodes: Sequence[Apply] | None = None,
    ) -> FunctionGraph:
        """Intern the graph between `inputs` and `outputs`; the axes in `ones` are assumed to have size 1.

        nodes: what makes the outputs, sorted, if that is known already.
        """
        table = Interner(ones)
        image = {x: table.leaf(x) for x in inputs}
        nodes = toposort(outputs, stop=image) if nodes is None else nodes
        for x in leaves_of(nodes, outputs, stop=image):
            if x not in image:
                image[x] = table.constant(x) if isinstance(x, Constant) else table.leaf(x)
        needed = predicates(outputs, stop=image, order=nodes) if any([node.op.lazy for node in nodes]) else {}
        table.enter(nodes, image, needed)
        interned = tuple(image[x] for x in outputs)
        graph = cls(tuple(image[x] for x in inputs), interned, tuple(table.guards), table)
        # The guards speak of the user's conditions; all of these are interned by now.
        return graph.map(lambda x: image.get(x, x))

    def intern(self, variable: Variable) -> Variable:
        """The node of this graph's table that equals `variable`."""
        return self.table.intern(variable)

    def shape(self, variable: Variable) -> Shape:
        """The sizes of a variable of this graph."""
        return self.table.shape(variable)

    @cached_property
    def roots(self) -> tuple[Variable, ...]:
        """The outputs, and what the guards read."""
        roots = dict.fromkeys(self.outputs)
        for guard in self.guards:
            roots.update(dict.fromkeys(x for x in (guard.left, guard.right) if isinstance(x, Variable)))
        roots.update((choice.condition, None) for choice in choices_of(guard.when for guard in self.guards))
        return tuple(roots)

    @cached_property
    def nodes(self) -> tuple[Apply, ...]:
        """The nodes that make the roots, each after those it depends on."""
        return tuple(toposort(self.roots))

    @cached_property
    def looks(self) -> dict[Look, list[int]]:
        """The positions of the nodes of each look."""
        found: dict[Look, list[int]] = {}
        for position, node in enumerate(self.nodes):
            found.setdefault(look_of(node), []).append(position)
        return found

    def toposort(self) -> list[Apply]:
        """The nodes that make the outputs, each after those it depends on."""
        return toposort(self.outputs)

    @property
    def apply_nodes(self) -> list[Apply]:
        """Theano's name for the nodes."""
        return self.toposort()

    def map(self, image: Callable[[Variable], Variable]) -> FunctionGraph:
        """The graph with its roots mapped by a rewriting that preserves values."""

        def size(n: Size) -> Size:
            new = image(n) if isinstance(n, Variable) else n
            return int(new.data) if isinstance(new, Constant) else new

        whens = map_predicates([guard.when for guard in self.guards], image)
        guards = tuple(
            replace(guard, left=size(guard.left), right=size(guard.right), when=when)
            for guard, when in zip(self.guards, whens, strict=True)
        )
        return FunctionGraph(self.inputs, tuple(image(x) for x in self.outputs), guards, self.table)

    def origin(self, variable: Variable) -> list[Variable]:
        """The variables of the user's that an interned one stands for."""
        return list(self.table.origin.get(variable, ()))

    def __repr__(self) -> str:
        return f"FunctionGraph({list(self.inputs)} -> {list(self.outputs)}, {len(self.toposort())} nodes)"

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def to_svg(self, **options: Any) -> str:
        """A drawing of the graph, as SVG text."""
        return str(ops.to_svg(self, **options))

    def to_dot(self, **options: Any) -> str:
        """The graph in Graphviz's language."""
        return str(ops.to_dot(self, **options))
