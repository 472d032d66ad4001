"""Copies of what nobody reads any more are left out: the copy is in the memory of the original.

    t3 = kernel 0 (w): copy                         t3 = kernel 0 (w): copy
    t3 = kernel 1 (i, a): IncSubtensor              t3 = kernel 1 (i, a): IncSubtensor
    t5 = kernel 0 (t3): copy                        t5 = kernel 2 (j, b): IncSubtensor
    t5 = kernel 2 (j, b): IncSubtensor

where `t5` is another name for `t3` on the right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from graphc.graph.predicates import Predicate
from graphc.graph.variable import Variable
from graphc.kernels.launch import Launch
from graphc.kernels.loopir import Load
from graphc.kernels.nests import elementwise, same_place
from graphc.kernels.steps import Key, Step, kept_by, memory_of, read_by


def handed_over(
    steps: Sequence[Step], whens: Sequence[Predicate], home: Mapping[Variable, Key], made: Set[Key], results: Set[Key]
) -> dict[int, tuple[Key, Key]]:
    """The steps that are such copies, by their position: from where, and where to.

    home: the memory of each array that is in another's; made: memories that the plan fills and nobody else holds.
    """
    touched: dict[Key, list[int]] = {}
    copies = {position: found for position, step in enumerate(steps) if (found := copy_of(step)) is not None}
    if not any(source in made for source, _ in copies.values()):
        return {}

    def memories(keys: Iterable[Key]) -> dict[Key, None]:
        return dict.fromkeys(memory_of(x, home) for x in keys)

    kept: set[Key] = set(results)
    for position, step in enumerate(steps):
        kept.update(memories(kept_by(step)))
        for key in memories(read_by(step)):
            touched.setdefault(key, []).append(position)

    def always(key: Key) -> bool:
        return not any(whens[position] for position in touched[key])

    return {
        position: (source, to)
        for position, (source, to) in copies.items()
        if {source, to} <= made
        and source not in kept
        and touched[source][-1] == position == touched[to][0]
        and always(source)
        and always(to)
    }


def copy_of(step: Step) -> tuple[Key, Key] | None:
    """What a step copies, and to where, if it copies all of an array as it lies in memory."""
    if not isinstance(step, Launch) or step.nodes or len(step.arrays) != 2:
        return None
    loads = [s for s in step.kernel.statements() if isinstance(s, Load)]
    stores = elementwise(step.kernel)
    if len(loads) != 1 or len(stores) != 1 or not same_place(loads[0], stores[0]):
        return None
    source, to = step.arrays
    return source, to
