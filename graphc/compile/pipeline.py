"""The pipeline: from a signature to something that runs, in the order of docs/tour.md."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphc.backends.base import Backend, Executable
from graphc.compile import narrate
from graphc.compile.signature import Signature
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.guards import Axis
from graphc.graph.op import Op
from graphc.graph.variable import Apply, Variable
from graphc.ops.indexing import AdvancedSubtensor
from graphc.rewrites.algebra import CHEAPER
from graphc.rewrites.canonicalize import CANONICALIZE
from graphc.rewrites.engine.context import Context
from graphc.rewrites.engine.driver import rewrite
from graphc.rewrites.engine.rule import Applied, rule
from graphc.rewrites.engine.table import Table, table
from graphc.rewrites.lifts import GATHERS
from graphc.rewrites.specialize import SPECIALIZE, fill_to_alloc
from graphc.rewrites.stabilize import STABILIZE
from graphc.rewrites.twins import TWINS
from graphc.schedule.schedule import Schedule, schedule

# The phases every graph goes through, in order.
PHASES: tuple[Table, ...] = (CANONICALIZE, STABILIZE, SPECIALIZE)


@dataclass(frozen=True)
class Variant:
    """One compilation of a function: for one broadcast pattern.

    ones: the axes assumed to have size 1; built, graph: the graph before and after rewriting (the schedule's own graph
    has the bodies of ops that the backend does not spell in their place); rewrites: the trace;
    executable: what runs; seconds: how long each stage took.
    """

    ones: frozenset[Axis]
    built: FunctionGraph
    graph: FunctionGraph
    rewrites: tuple[Applied, ...]
    executable: Executable
    seconds: dict[str, float]

    @property
    def schedule(self) -> Schedule:
        """The steps."""
        return self.executable.schedule


def compile_variant(
    signature: Signature,
    backend: Backend,
    numerics: str,
    name: str,
    ones: Iterable[Axis] = (),
    matmul_precision: str = "highest",
) -> Variant:
    """Compile for the broadcast pattern in which the axes in `ones` have size 1."""
    clock = _Clock()
    inputs = [entry.variable for entry in signature.inputs] + list(signature.shared)
    outputs = [*signature.outputs, *(new for _, new in signature.updates)]
    ones = frozenset(ones)
    built = graph = FunctionGraph.build(inputs, outputs, ones, signature.nodes)
    clock.lap("build")
    trace: list[Applied] = []
    settled = None
    for phase in PHASES:
        graph, applied = rewrite(graph, phase, numerics, settled)
        trace += applied
        settled = phase
        clock.lap(phase.name)
    lowered = graph
    ops = {id(node.op): node.op for node in graph.nodes}.values()
    if any(not backend.spells(op) or isinstance(op, AdvancedSubtensor) for op in ops):
        # Else no rule of this phase's own can apply, and all others have been tried.
        lowered, applied = rewrite(graph, lowering(backend), numerics, settled)
        trace += applied
    lowered, applied = rewrite(lowered, TWINS, numerics)
    trace += applied
    clock.lap("lower")
    narrate.rules(trace)
    steps = schedule(lowered, name, matmul_precision, _replaced(inputs, signature))
    clock.lap("schedule")
    executable = backend.compile(steps)
    clock.lap("backend")
    narrate.compiled(name, graph, executable, clock.seconds)
    return Variant(ones, built, graph, tuple(trace), executable, clock.seconds)


def _replaced(inputs: Sequence[Variable], signature: Signature) -> dict[int, int]:
    """For each output that is a new value the number of the input that has the old one."""
    place = {x: i for i, x in enumerate(inputs)}
    first = len(signature.outputs)
    return {first + i: place[target] for i, (target, _) in enumerate(signature.updates)}


def lowering(backend: Backend) -> Table:
    """The last phase but one: ops that a backend does not spell become their bodies."""
    found = _LOWERING.get(backend.__name__)  # type: ignore[attr-defined]
    if found is None:

        @rule(0, "exact", Op)
        def expand_body(context: Context, node: Apply) -> Variable | None:
            """an op the backend does not spell -> its body"""
            body = None if backend.spells(node.op) else node.op.expand(*node.inputs)
            if body is None or node.site is None:
                return body
            # Errors name the op whose body this is, not the nodes of the body.
            return context.table.intern(body, node.site._replace(op=node.site.op or str(node.op)))

        # Without the stabilising rules, which would make softmax of its own body again.
        found = _LOWERING[backend.__name__] = table(  # type: ignore[attr-defined]
            "lower", expand_body, CANONICALIZE, CHEAPER, fill_to_alloc, GATHERS
        )
    return found


_LOWERING: dict[str, Table] = {}


class _Clock:
    """Times of the stages, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
