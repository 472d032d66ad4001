"""Random programs: compiled, they do what `evaluate` does on the graph the user wrote."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings

import graphc
from graphc.backends.base import AUTOMATIC, usable
from graphc.compile.pipeline import PHASES, lowering
from graphc.errors import ShapeError
from graphc.evaluator import evaluate
from graphc.graph.fgraph import FunctionGraph
from graphc.graph.traverse import leaves, toposort
from graphc.graph.variable import Constant, Variable
from graphc.ops.broadcasting import Fill, SumTo
from graphc.ops.reshape import Reshape
from graphc.ops.shape import ShapeOf
from graphc.rewrites.engine.driver import rewrite
from graphc.rewrites.twins import TWINS

from .oracle import Oracle
from .programs import WORLDS, Program, programs
from .tally import TALLY


def compiled(program: Program, **options: Any) -> graphc.Function:
    """The function; a program whose sizes can never agree is refused, and not looked at further."""
    try:
        return graphc.function(
            program.inputs,
            program.outputs,
            updates=program.updates,
            on_unused_input="ignore",
            allow_input_downcast=None,
            **options,
        )
    except ShapeError:
        assert all(isinstance(oracle(program, world), Exception) for world in range(WORLDS))
        reject()


def roots(program: Program) -> list[Variable]:
    return [*program.outputs, *(new for _, new in program.updates)]


def leaf_values(program: Program, world: int) -> dict[Variable, np.ndarray]:
    return {x: program.values[world][x] for x in (*program.inputs, *program.shared)}


def oracle(program: Program, world: int, backend: str = "numpy") -> Oracle | Exception:
    """The right values in a world, for a backend that computes them, or the exception of the evaluation."""
    values = leaf_values(program, world)
    try:
        found = evaluate(roots(program), values)
    except Exception as error:
        return error
    return Oracle(roots(program), values, found, backend)


def needed_for_value(outputs: list[Variable]) -> set[Variable]:
    """The variables whose values, not only their shapes, the outputs are made of."""
    found: set[Variable] = set()
    stack = list(outputs)
    while stack:
        x = stack.pop()
        if x in found:
            continue
        found.add(x)
        if x.owner is None or isinstance(x.owner.op, ShapeOf):
            continue
        inputs = list(x.owner.inputs)
        if isinstance(x.owner.op, Fill):
            inputs = inputs[1:]
        elif isinstance(x.owner.op, SumTo):
            inputs = inputs[:1]
        stack += inputs
    return found


def set_state(program: Program, world: int) -> None:
    for x in program.shared:
        x.set_value(program.values[world][x], borrow=True)


def check_call(program: Program, f: graphc.Function, world: int, ieee: bool, right: Oracle | Exception) -> None:
    arguments = program.arguments(world)
    before = [a.copy() for a in arguments]
    held = [x.container.value for x in program.shared]
    kept = [v for v in held if isinstance(v, np.ndarray)]
    contents = [v.copy() for v in held]
    if isinstance(right, Exception):
        raised = check_failure(program, f, world, right)
        for x, value, content in zip(program.shared, held, contents, strict=True):
            unchanged = stays(x, value) and same(x.get_value(), content)
            assert unchanged or not raised, f"{x} changed though the call failed"
        return
    results = f(*arguments)
    for i, result in enumerate(results):
        right.check(i, result, ieee)
    for i, (target, _) in enumerate(program.updates):
        right.check(len(program.outputs) + i, target.get_value(borrow=True), ieee)
    updated = {target for target, _ in program.updates}
    for x, value, content in zip(program.shared, held, contents, strict=True):
        assert x in updated or (stays(x, value) and same(x.get_value(), content))
    contents = [content for v, content in zip(held, contents, strict=True) if isinstance(v, np.ndarray)]
    for value, content in zip([*arguments, *kept], [*before, *contents], strict=True):
        assert same(value, content), "a call wrote into what it was given"
    owned = [*results, *(x.get_value(borrow=True) for x in updated)]
    foreign = [*arguments, *kept, *(x.data for x in leaves(roots(program)) if isinstance(x, Constant))]
    for i, mine in enumerate(owned):
        for other in [*owned[:i], *foreign]:
            assert not np.shares_memory(mine, other), f"result {i} shares memory"
    for result in results:  # whoever calls owns the results: writing into them must not be noticed
        if result.flags.writeable:
            result[...] = 0


def stays(x: Any, held: Any) -> bool:
    """Whether the value of a shared variable is the object it was; the first call on a GPU may have moved an array."""
    now = x.container.value
    return now is held or (isinstance(held, np.ndarray) and not isinstance(now, np.ndarray))


def same(value: Any, content: Any) -> bool:
    """Whether two arrays have the same elements."""
    return np.array_equal(value, content, equal_nan=content.dtype.kind in "fc")


def failed_in(program: Program, world: int) -> bool:
    """Whether a value that an output is made of fails."""
    return not needed_for_value(roots(program)).isdisjoint(program.failing[world])


def check_failure(program: Program, f: graphc.Function, world: int, right: Exception) -> bool:
    """The call raises what one of the failing nodes raises; if only shapes are asked of those, it may succeed.

    The result is whether it raised.

    Sizes are compared before anything is computed: a ShapeError may come before the error of a value. Nor does a
    value fail that a rule found not to matter, as in ``x[9] < x[9]``; and the size that a reshape should have had may
    be used as an index before the reshape fails.
    """
    failing = program.failing[world]
    kinds: tuple[type[Exception], ...] = (ShapeError, type(right), *{type(e) for e in failing.values()})
    if any(isinstance(x.owner.op, Reshape) for x in failing if x.owner is not None):
        kinds = (*kinds, IndexError)
    raised: Exception | None = None
    try:
        f(*program.arguments(world))
    except Exception as error:
        raised = error
    if raised is None:
        assert not failed_in(program, world) or dropped(program, f, world), f"nothing was raised instead of {right!r}"
    else:
        assert isinstance(raised, kinds), f"{raised!r} instead of {right!r}"
        assert len(str(raised).splitlines()) <= 15
    return raised is not None


def dropped(program: Program, f: graphc.Function, world: int) -> bool:
    """Whether rewriting left out nodes of a kind that fails."""
    kinds = {type(x.owner.op) for x in program.failing[world] if x.owner is not None}
    before, after = (
        sum(type(node.op) in kinds for node in toposort(outputs)) for outputs in (roots(program), f.graph.outputs)
    )
    return after < before


def note(program: Program, f: graphc.Function) -> None:
    tally = TALLY[f.backend]
    tally["programs"] += 1
    for fact in program.facts:
        tally[fact] += 1
    tally["a broadcast variant"] += len(f.variants) > 1
    tally["run by NumPy"] += "run by NumPy" in f.source
    if any(isinstance(oracle(program, w), Exception) for w in range(WORLDS)):
        tally["an exception"] += 1


@pytest.mark.parametrize("backend", [name for name in AUTOMATIC if usable(name) is None])
@pytest.mark.parametrize("numerics", ["default", "ieee"])
@given(program=programs())
@settings(max_examples=settings().max_examples // 2)  # two ways of numerics: 400 graphs a backend, 10,000 with --full
def test_compiled_equals_evaluated(numerics: str, backend: str, program: Program) -> None:
    f = compiled(program, numerics=numerics, backend=backend)
    for world in (*range(WORLDS), 0):  # the first one again: the second call gives the same
        set_state(program, world)
        check_call(program, f, world, numerics == "ieee", oracle(program, world, backend))
    note(program, f)


@given(program=programs())
@settings(max_examples=100)
def test_pickled_function_gives_the_same(backend: str, program: Program) -> None:
    set_state(program, 0)
    f = compiled(program, backend=backend)
    twin = pickle.loads(pickle.dumps(f))
    right = oracle(program, 0, backend)
    arguments = copy.deepcopy(program.arguments(0))
    if isinstance(right, Exception):
        check_failure(program, twin, 0, right)
        return
    for i, result in enumerate(twin(*arguments)):
        right.check(i, result, ieee=False)
    assert len(twin.get_shared()) == len(f.get_shared())
    for x in program.shared:  # the twin has its own state
        assert same(x.get_value(), program.values[0][x])


@pytest.mark.parametrize("numerics", ["default", "ieee", "algebraic"])
@given(program=programs())
@settings(max_examples=150)
def test_rewriting_preserves_type_and_is_idempotent(numerics: str, backend: str, program: Program) -> None:
    graph = FunctionGraph.build([*program.inputs, *program.shared], roots(program))
    right = oracle(program, 0)
    from graphc.backends.base import backend as named

    for phase in (*PHASES, lowering(named(backend)), TWINS):
        rewritten, _ = rewrite(graph, phase, numerics)
        for old, new in zip(graph.outputs, rewritten.outputs, strict=True):
            assert (new.dtype, new.ndim) == (old.dtype, old.ndim)
        again, trace = rewrite(rewritten, phase, numerics)
        assert not trace, f"{phase.name} is not done:\n" + "\n".join(map(str, trace))
        assert again.outputs == rewritten.outputs
        graph = rewritten
        if numerics != "algebraic" and not isinstance(right, Exception) and not broadcasts(program, 0, graph):
            values = dict(zip(graph.inputs, leaf_values(program, 0).values(), strict=True))
            for i, value in enumerate(evaluate(list(graph.outputs), values)):
                right.check(i, value, numerics == "ieee")


def broadcasts(program: Program, world: int, graph: FunctionGraph) -> bool:
    """Whether the sizes of a world break a guard, so that another variant would run."""
    values = dict(zip(graph.inputs, leaf_values(program, world).values(), strict=True))
    for guard in graph.guards:
        sides = [n for n in (guard.left, guard.right) if n is not None]
        sizes = [n if isinstance(n, int) else int(evaluate(n, values)) for n in sides]
        if sizes[0] != sizes[1]:
            return True
    return False


def test_every_family_occurs() -> None:
    """The strategy draws what it promises (a sample of 1200 programs with a fixed seed)."""
    from hypothesis import seed

    seen: set[str] = set()
    facts: set[str] = set()

    @seed(0)
    @settings(max_examples=1200, database=None)
    @given(programs())
    def look(program: Program) -> None:
        facts.update(program.facts)
        seen.update(type(node.op).__name__ for node in toposort(roots(program)))
        seen.update(x.dtype for x in program.inputs)

    look()
    families = """Elementwise Reduction ArgExtremum Dot Subtensor AdvancedSubtensor IncSubtensor DimShuffle Reshape Join
        Stack Alloc Fill Cast IfElse AlongAxis SumTo"""
    assert set(families.split()) <= seen
    assert {"bool", "int8", "int64", "uint8", "float32", "float64", "complex128"} <= seen
    assert facts == {"updates", "aliasing inputs"}
