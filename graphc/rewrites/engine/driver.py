"""The driver: it brings a graph into the normal form of a table of rules.

Rules are tried on a node when its inputs are in normal form; what replaces it is brought into normal form in turn.
"""

from __future__ import annotations

from typing import Any

from graphc.configuration import config
from graphc.errors import RewriteError
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.variable import Apply, Variable
from graphc.ops.broadcasting import alloc
from graphc.ops.conversion import cast
from graphc.rewrites.engine.context import Context, same_sizes
from graphc.rewrites.engine.rule import Applied
from graphc.rewrites.engine.selection import SelectionById
from graphc.rewrites.engine.table import ALLOWED, Table


def rewrite(
    graph: FunctionGraph, rules: Table, numerics: str = "default", settled: Table | None = None
) -> tuple[FunctionGraph, list[Applied]]:
    """The graph in the normal form of a table, and the trace of all rules applied.

    settled: the table of the phase before, whose normal form the graph is in; its rules are tried on new nodes only.
    """
    trace: list[Applied] = []
    while True:
        driver = _Driver(graph, rules, ALLOWED[numerics], settled)
        image = driver.normal_forms()
        if driver.trace:
            graph = graph.map(lambda x, image=image: image.get(x, x))  # type: ignore[misc]
            trace += driver.trace
        if not (driver.trace and driver.context.doubtful):
            if trace or settled is None:
                graph.table.normal = {x for node in graph.nodes for x in node.outputs}
            return graph, trace


class _Driver:
    def __init__(self, graph: FunctionGraph, rules: Table, allowed: frozenset[str], settled: Table | None) -> None:
        self.context = Context(graph)
        self.graph = graph
        self.table = graph.table
        self.for_new = SelectionById(rules.selection(allowed))
        self.for_old = SelectionById(rules.selection(allowed, settled))
        self.old = graph.table.normal if settled is not None else frozenset()
        self.trace: list[Applied] = []
        self.image: dict[Variable, Variable] = {}  # variable -> normal form, of all but leaves
        self.replaced: dict[Variable, Variable] = {}  # what a variable is rewritten to, while that is not yet normal
        self.depth: dict[Variable, int] = {}
        self.limit = int(config.rewrite.steps)

    def normal_forms(self) -> dict[Variable, Variable]:
        """Variable -> normal form, for the roots and all they depend on."""
        image = self.image
        nodes = self.graph.nodes
        start = self._first_to_change()
        if start < len(nodes):
            image.update([(x, x) for node in nodes[:start] for x in node.outputs])
        for node in nodes[start:]:
            changed = any([image.get(y, y) is not y for y in node.inputs])
            for x in node.outputs:
                if x in image:
                    continue  # it occurred in a replacement
                new = self._on_normal_inputs(x) if changed else self._rewritten(x)
                if new is x:
                    image[x] = x
                elif changed and self._is_normal(new):
                    self._becomes(x, new)
                else:
                    self.replaced[x] = new
                    self._settle(x)
        return image

    def _first_to_change(self) -> int:
        """The position of the first node that a rule applies to: in most phases there is none."""
        nodes = self.graph.nodes
        for position in self._candidates():
            if any([self._rewritten(x) is not x for x in nodes[position].outputs]):
                self.trace.clear()
                return position
        return len(nodes)

    def _candidates(self) -> list[int]:
        """The positions of the nodes that some rule may apply to, by their look; they are few."""
        nodes = self.graph.nodes
        found: list[int] = []
        for look, positions in self.graph.looks.items():
            node = nodes[positions[0]]
            if self.for_old.for_node(node, look):
                found += positions
            elif self.for_new.for_node(node, look):
                found += [p for p in positions if nodes[p].outputs[0] not in self.old]
        return sorted(found)

    def _is_normal(self, x: Variable) -> bool:
        """Whether `x` is in normal form: what it depends on is, and no rule applies; else notes what one makes of it.

        Most nodes after one that changed are of this kind.  What holds of others, `_settle` finds out.
        """
        image, node = self.image, x.owner
        if x in image:
            return image[x] is x
        if node is None or any([image.get(y) is not y for y in node.inputs if y.owner is not None]):
            return False
        after = self._rewritten(x)
        if after is not x:
            self.replaced[x] = after
            return False
        image[x] = x
        return True

    def _becomes(self, x: Variable, normal: Variable) -> None:
        """Note that `normal` is the normal form of `x`."""
        self.image[x] = normal
        users = self.table.origin.get(x)
        if users:
            self.table.origin.setdefault(normal, users)

    def _settle(self, variable: Variable) -> None:
        """Bring a variable, and all that it is rewritten to on the way, into normal form."""
        image, replaced, depth = self.image, self.replaced, self.depth
        stack = [variable]
        while stack:
            x = stack[-1]
            if x in image:
                stack.pop()
                continue
            new = replaced.get(x)
            if new is None:
                missing, changed = [], False
                for y in x.owner.inputs if x.owner is not None else ():
                    normal = image.get(y)
                    if normal is None:
                        missing.append(y)
                    elif normal is not y:
                        changed = True
                if missing:
                    stack += missing
                    continue
                new = self._on_normal_inputs(x) if changed else self._rewritten(x)
            if new is x:
                image[x] = x
            elif new in image:
                self._becomes(x, image[new])
                self.context.succeed(image[x], x)
            else:
                replaced[x] = new
                depth[new] = depth.get(x, 0) + 1
                if depth[new] > self.limit:
                    raise RewriteError(self._cycle(x))
                stack.append(new)

    def _on_normal_inputs(self, x: Variable) -> Variable:
        """The same op on the normal forms of its inputs."""
        node = x.owner
        assert node is not None
        if self.table.guarded(x):
            (y,) = node.inputs
            op: Any = node.op
            return self.table.symbol(self.image.get(y, y), op.axis)
        outputs = self.table.apply(node.op, [self.image.get(y, y) for y in node.inputs], node.outputs, node.site)
        for new, old in zip(outputs, node.outputs, strict=True):
            self.table.succeed(new, old)
            self.context.succeed(new, old)
        return outputs[x.index or 0]

    def _rewritten(self, x: Variable) -> Variable:
        """What the first rule that applies makes of `x`, whose inputs are normal; `x` itself if none does."""
        node = x.owner
        if node is None:
            return x
        for r in (self.for_old if x in self.old else self.for_new).for_node(node):
            found = r.replace(self.context, node)
            if isinstance(found, list):
                found = found[x.index or 0]
            if found is None:
                continue
            after = self._fitted(found, x, node)
            if after is x:
                continue
            self.trace.append(Applied(r, x, after))
            return after
        return x

    def _fitted(self, new: Variable, old: Variable, node: Apply) -> Variable:
        """The replacement, interned, in the dtype and shape of what it replaces."""
        if new.dtype != old.dtype:
            new = cast(new, old.dtype)
        new = self.table.intern(new, node.site)
        have, want = self.table.shape(new), self.table.shape(old)
        if len(have) > len(want):
            raise RewriteError(f"a rule on {node.op} changed the rank from {len(want)} to {len(have)}")
        if not same_sizes(have, want):
            self.table.known_ones(new, old)
            have = self.table.shape(new)
        if not same_sizes(have, want):
            new = self.table.intern(alloc(new, [self.table.size_variable(n) for n in want]), node.site)
        return new

    def _cycle(self, x: Variable) -> str:
        last = "\n".join(f"    {applied.rule}" for applied in self.trace[-6:])
        return f"{x!r} was rewritten more than {self.limit} times; the last rules were\n{last}"
