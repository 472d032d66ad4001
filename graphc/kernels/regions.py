"""Which arrays share memory, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from graphc.graph.predicates import Predicate
from graphc.graph.sizes import Shape
from graphc.graph.variable import Variable
from graphc.kernels.launch import Memory
from graphc.kernels.steps import Key, Step, kept_by, memory_of, read_by


def regions(
    steps: Sequence[Step],
    whens: Sequence[Predicate],
    home: Mapping[Variable, Key],
    made: Set[Key],
    results: Iterable[Key],
    shape_of: Callable[[Key], Shape],
) -> dict[Key, Key]:
    """For each memory the one whose place it takes: of the same size, and read by nobody any more.

    home: the memory of each array that is in another's; made: what this function fills and nobody else holds.
    """

    def memories(step: Step) -> dict[Key, None]:
        return dict.fromkeys(memory_of(x, home) for x in read_by(step))

    touched = [memories(step) for step in steps]
    kept = set(results)
    last: dict[Key, int] = {}
    for position, (step, when) in enumerate(zip(steps, whens, strict=True)):
        last.update(dict.fromkeys(touched[position], position))
        if when:  # whether it ran is not known afterwards
            kept.update(touched[position])
        kept.update(memory_of(x, home) for x in kept_by(step))
    free: dict[object, list[Key]] = {}
    found: dict[Key, Key] = {}
    for position, memories_of_step in enumerate(touched):
        ours = [k for k in memories_of_step if (isinstance(k, Memory) or k in made) and k not in kept and k.ndim]
        for key in ours:
            if key not in found:
                waiting = free.get((key.dtype, shape_of(key)))
                found[key] = waiting.pop() if waiting else key
        for key in ours:
            if last[key] == position:
                free.setdefault((key.dtype, shape_of(key)), []).append(found[key])
    return found
