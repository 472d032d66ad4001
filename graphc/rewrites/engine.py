"""Patterns, rules, and the driver that brings a graph into normal form.

A rule is one line of a table, written in the user's own syntax:

    rules(30, "stable", (log(sigmoid(x)), -softplus(-x)))

or, where a pattern cannot say it, a function from a node to its replacement (or None):

    @rule(2, "exact", Op)
    def fold(graph, node): ...

Rules are tried on a node when its inputs are in normal form; what replaces it is brought into normal form in turn.
The numerics classes are those of docs/rewrites.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphc.configuration import config
from graphc.errors import RewriteError, Site
from graphc.graph.bindings import ops
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.interner import Interner
from graphc.graph.look import MOST_OPERANDS, Look, look_of
from graphc.graph.op import Op
from graphc.graph.pattern import Pattern
from graphc.graph.variable import Apply, Constant, Variable
from graphc.ops.broadcasting import Fill, alloc
from graphc.ops.conversion import cast

Bindings = dict[Pattern, Variable]
# What a node is replaced by, or None: of a node with several results the replacements of each.
Replacement = Callable[["Context", Apply], "Variable | list[Variable] | None"]

# Which classes each value of `numerics=` allows.
ALLOWED: dict[str, frozenset[str]] = {
    "ieee": frozenset({"exact"}),
    "default": frozenset({"exact", "rounding", "stable"}),
    "algebraic": frozenset({"exact", "rounding", "stable", "algebraic"}),
}


@dataclass(frozen=True)
class Rule:
    """One rewrite.

    number: of the rule in the specification; numerics: its class; key: the op (or class of ops) it is tried on;
    replace: from a node to its replacement or None; text: how it is shown; site: where it is written.
    left, right: both sides, for a rule that is written as a pattern.
    over: where not empty, it is tried only if an operand is made by one of these (ops, or classes of ops), or is a leaf
        of such a class.
    """

    number: int
    numerics: str
    key: Any
    replace: Replacement
    text: str
    site: Site | None
    left: Pattern | None = None
    right: Any = None
    over: tuple[Any, ...] = ()

    def __str__(self) -> str:
        where = f" ({os.path.basename(self.site.filename)}:{self.site.lineno})" if self.site else ""
        return f"rule {self.number} [{self.numerics}] {self.text}{where}"


@dataclass(frozen=True)
class Applied:
    """One entry of a trace: which rule turned what into what."""

    rule: Rule
    before: Variable
    after: Variable

    def __str__(self) -> str:
        return f"{self.rule}\n    {ops.short_text(self.before)}\n  ->\n    {ops.short_text(self.after)}"


@dataclass(frozen=True)
class Table:
    """The rules of one phase, in the order in which they are tried."""

    name: str
    rules: tuple[Rule, ...]
    _selections: dict[Any, Selection] = field(default_factory=dict, compare=False, repr=False)

    def selection(self, allowed: frozenset[str], settled: Table | None = None) -> Selection:
        """The rules of the classes `allowed`; those of `settled` have been tried already."""
        key = (allowed, settled.name if settled else None)
        found = self._selections.get(key)
        if found is None:
            tried = set(map(id, settled.rules)) if settled else ()
            chosen = [r for r in self.rules if r.numerics in allowed and id(r) not in tried]
            found = self._selections[key] = Selection(chosen)
        return found


class Selection:
    """Rules, found by the look of a node: its op, what makes its operands, and whether these are one variable.

    Most rules match few nodes, and the look settles most cases.  Of an op that no rule names, only the class is seen.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        patterns = [r.left for r in rules if r.left is not None]
        tops = [p.op for left in patterns for p in left.operands if isinstance(p, Pattern)]
        self._named = {op for op in (*tops, *(k for r in rules for k in (r.key, *r.over))) if isinstance(op, Op)}
        self._families = {type(op) for op in self._named}
        self._by_op: dict[Any, tuple[Rule, ...]] = {}
        self._by_look: dict[Any, tuple[Rule, ...]] = {}

    def for_op(self, op: Op) -> tuple[Rule, ...]:
        """The rules to be tried on some node of an op."""
        seen = self._seen(op)
        rules = self._by_op.get(seen)
        if rules is None:
            classes = _class(seen).__mro__
            rules = self._by_op[seen] = tuple([r for r in self.rules if r.key == seen or r.key in classes])
        return rules

    def for_node(self, node: Apply) -> tuple[Rule, ...]:
        """The rules to be tried on a node."""
        seen, rules, inputs = self._seen(node.op), self.for_op(node.op), node.inputs
        if not rules or not 0 < len(inputs) <= MOST_OPERANDS:
            return rules
        look = (
            seen,
            inputs[0] is inputs[-1],
            *[type(x) if x.owner is None else self._seen(x.owner.op) for x in inputs],
        )
        found = self._by_look.get(look)
        if found is None:
            found = self._by_look[look] = tuple([r for r in rules if _may_match(r, look)])
        return found

    def _seen(self, op: Op) -> Any:
        return op if type(op) in self._families and op in self._named else type(op)


def _class(seen: Any) -> type:
    return seen if isinstance(seen, type) else type(seen)


def _may_match(r: Rule, look: Sequence[Any]) -> bool:
    """Whether a rule on the op of a node may match one of this look."""
    _, alike, *tops = look
    if r.over:
        return any(top == wanted or wanted in _class(top).__mro__ for top in tops for wanted in r.over)
    if r.left is None:
        return True
    operands = r.left.operands
    if not alike and _is_wildcard(operands[0]) and operands[0] is operands[-1]:  # x * x
        return False
    orders = [operands, operands[::-1]] if getattr(r.left.op, "commutative", False) else [operands]
    return any(all(map(_top_fits, order, tops)) for order in orders)


def _is_wildcard(pattern: Any) -> bool:
    return isinstance(pattern, Pattern) and pattern.op is None


def _top_fits(pattern: Any, top: Any) -> bool:
    if isinstance(pattern, Pattern):
        return pattern.op is None or pattern.op == top
    return issubclass(_class(top), (Constant, Fill))  # it has one known value


def table(name: str, *parts: Table | Sequence[Rule] | Rule) -> Table:
    """A table out of rules, lists of rules, and other tables."""
    collected: list[Rule] = []
    for part in parts:
        if isinstance(part, Table):
            collected += part.rules
        else:
            collected += [part] if isinstance(part, Rule) else part
    return Table(name, tuple(collected))


# ---- patterns ----


def rules(number: int, numerics: str, *pairs: tuple[Any, ...]) -> list[Rule]:
    """Rules written as ``(pattern, replacement)`` or ``(pattern, replacement, condition)``.

    The condition is called with the Context and the variables of the wildcards, by name.
    """
    made = []
    for left, right, *condition in pairs:
        assert isinstance(left, Pattern), f"{left!r} is no pattern"
        assert left.op is not None, f"{left!r} would match everything"
        replace = _pattern_rule(left, right, condition[0] if condition else None)
        text = f"{left!r} -> {right!r}"
        made.append(Rule(number, numerics, left.op, replace, text, left.site, left, right))
    return made


def _pattern_rule(left: Pattern, right: Any, condition: Callable[..., bool] | None) -> Replacement:
    def replace(context: Context, node: Apply) -> Variable | None:
        dtype = node.outputs[0].dtype
        for found in match(left, node.outputs[0], {}):
            # A law of arithmetic holds within one dtype: int ** 2.0 is no integer, and x + (-y) no x - y of uint8 y.
            if any(v.dtype != dtype for v in found.values()):
                continue
            if condition is None or condition(context, **{p.name: v for p, v in found.items()}):
                result: Variable = substitute(right, found)
                return result
        return None

    return replace


def match(pattern: Any, variable: Variable, found: Bindings) -> Iterator[Bindings]:
    """All ways in which `variable` is an instance of `pattern`, given the bindings found so far."""
    if not isinstance(pattern, Pattern):
        if value_of_constant(variable) == pattern:
            yield found
        return
    if pattern.op is None:
        bound = found.get(pattern)
        if bound is None:
            yield {**found, pattern: variable}
        elif bound is variable:
            yield found
        return
    node = variable.owner
    if node is None or (node.op is not pattern.op and node.op != pattern.op):
        return
    yield from _match_operands(pattern.operands, node.inputs, found)
    if getattr(pattern.op, "commutative", False):
        yield from _match_operands(pattern.operands, node.inputs[::-1], found)


def _match_operands(patterns: Sequence[Any], variables: Sequence[Variable], found: Bindings) -> Iterator[Bindings]:
    if not patterns:
        yield found
        return
    for bindings in match(patterns[0], variables[0], found):
        yield from _match_operands(patterns[1:], variables[1:], bindings)


def substitute(pattern: Any, found: Bindings) -> Any:
    """The expression that a replacement stands for."""
    if not isinstance(pattern, Pattern):
        return pattern
    if pattern.op is None:
        return found[pattern]
    return pattern.op(*[substitute(p, found) for p in pattern.operands])


def value_of_constant(variable: Variable) -> Any:
    """The number that every element of `variable` is known to be, or None."""
    while variable.owner is not None and isinstance(variable.owner.op, Fill):
        variable = variable.owner.inputs[1]
    return variable.scalar() if isinstance(variable, Constant) else None


def rule(number: int, numerics: str, *keys: Any, over: tuple[Any, ...] = ()) -> Callable[[Replacement], list[Rule]]:
    """Declare a rule by a function; it is tried on nodes of the ops, or classes of ops, in `keys`.

    over: only if an operand is made by one of these (ops, or classes of ops), or is a leaf of such a class.
    """

    def declare(function: Replacement) -> list[Rule]:
        code = function.__code__
        site = Site(code.co_filename, code.co_firstlineno, function.__name__)
        text = f"{function.__name__}: {(function.__doc__ or '').strip().splitlines()[0]}"
        return [Rule(number, numerics, key, function, text, site, over=over) for key in keys]

    return declare


# ---- the driver ----


class Context:
    """What a rule may ask about the graph it works in."""

    def __init__(self, graph: FunctionGraph) -> None:
        self.table: Interner = graph.table
        #: Whether a rule was told that a variable has several readers; it may have one when this phase is through.
        self.doubtful = False
        self._graph = graph
        self._readers: dict[Variable, int] | None = None
        self._former: dict[Variable, Variable | None] = {}  # variable -> the one of the graph whose place it took

    def shape(self, variable: Variable) -> tuple[Any, ...]:
        """The sizes of a variable."""
        return self.table.shape(self.table.intern(variable))

    def same_shape(self, a: Variable, b: Variable) -> bool:
        """Whether two variables are known to have the same shape."""
        return same_sizes(self.shape(a), self.shape(b))

    def read_once(self, variable: Variable) -> bool:
        """Whether a variable of the graph, as it was before this phase, had exactly one reader."""
        if self._readers is None:
            self._readers = dict.fromkeys(self._graph.roots, 1)
            for node in self._graph.nodes:
                for x in node.inputs:
                    self._readers[x] = self._readers.get(x, 0) + 1
        known = variable if variable in self._readers else self._former.get(variable)
        once = known is not None and self._readers.get(known) == 1
        self.doubtful = self.doubtful or not once
        return once

    def succeed(self, new: Variable, old: Variable) -> None:
        """Note that `new` takes the place of `old`: what read the one reads the other from now on."""
        former = self._former.get(old, old)
        if self._former.setdefault(new, former) is not former:
            self._former[new] = None  # it takes the place of several

    def occurs(self, op: Op) -> bool:
        """Whether there is, or was, a node of this op."""
        return op in self.table.ops


def same_sizes(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two shapes are known to be equal."""
    if a is b:
        return True
    return len(a) == len(b) and all(n is m or (isinstance(n, int) and n == m) for n, m in zip(a, b, strict=True))


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


class _Known:
    """A selection that remembers what it found for nodes of one look, by the identity of ops.

    Ops are kept alive by the table of one compilation, where equal ones are one object; a `Selection` outlives it.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._found: dict[Look, tuple[Rule, ...]] = {}

    def for_node(self, node: Apply, look: Look | None = None) -> tuple[Rule, ...]:
        """The rules to be tried on a node; `look`: its look, if that is known."""
        look = look_of(node) if look is None else look
        found = self._found.get(look)
        if found is None:
            found = self._found[look] = self.selection.for_node(node)
        return found


class _Driver:
    def __init__(self, graph: FunctionGraph, rules: Table, allowed: frozenset[str], settled: Table | None) -> None:
        self.context = Context(graph)
        self.graph = graph
        self.table = graph.table
        self.for_new = _Known(rules.selection(allowed))
        self.for_old = _Known(rules.selection(allowed, settled))
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
