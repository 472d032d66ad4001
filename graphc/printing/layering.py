"""Layers: a rank for each node, below those of its inputs, such that edges are short.

This is the network simplex of Gansner, Koutsofios, North and Vo ("A technique for drawing directed graphs", IEEE
Transactions on Software Engineering 19(3), 1993, section 2) in its plainest form.
"""

from __future__ import annotations

from collections.abc import Iterable

from .components import Component

RANK_WORK = 2_000_000  # nodes and edges to visit in a large graph; a small one runs out of improvements long before


def ranks(component: Component) -> list[int]:
    """A rank for each node such that every edge points to a larger one and the edges are short in sum.

    A spanning tree holds edges of length one. Each of them cuts the nodes in two. If more edges run back across
    the cut than forth, one side moves away until one of those has length one, and that takes the place of the
    tree edge.
    """
    rank = _first_ranks(component)
    tree = _tight_tree(component, rank)
    for _ in range(1 + RANK_WORK // (len(component.nodes) + len(component.ends))):
        gain, leaving, side = _best_cut(component, tree)
        if gain <= 0:
            break
        down = component.ends[leaving][1] in side
        slack, entering = min(
            (rank[target] - rank[source] - 1, e)
            for e, (source, target) in enumerate(component.ends)
            if (source in side) == down and (target in side) != down
        )
        for node in side:
            rank[node] += slack if down else -slack
        tree.remove(leaving)
        tree.add(entering)
    top = min(rank)
    return [value - top for value in rank]


def _first_ranks(component: Component) -> list[int]:
    """Ranks by the longest path to a node; then the nodes without inputs move down, next to a consumer."""
    count = len(component.nodes)
    targets: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for source, target in component.ends:
        targets[source].append(target)
        missing[target] += 1
    inputs = [node for node in range(count) if not missing[node]]
    rank = [0] * count
    ready = list(inputs)
    for node in ready:  # which grows meanwhile
        for target in targets[node]:
            rank[target] = max(rank[target], rank[node] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    if len(ready) < count:
        keys = [component.nodes[node].key for node in range(count) if missing[node]]
        raise ValueError(
            f"arrange: there is a cycle among or above the nodes {keys[:5]}. A picture is drawn in layers, "
            "which only an acyclic graph has: leave out one edge of the cycle."
        )
    for node in inputs:
        rank[node] = min((rank[target] for target in targets[node]), default=1) - 1
    return rank


def _tight_tree(component: Component, rank: list[int]) -> set[int]:
    """The edges of a spanning tree, all of length one. Ranks move, many together, where there is none."""
    beside = _beside(component, range(len(component.ends)))
    tree: set[int] = set()
    inside = {0}
    waiting = [0]
    while True:
        while waiting:
            node = waiting.pop()
            for other, e in beside[node]:
                if other not in inside and abs(rank[other] - rank[node]) == 1:
                    tree.add(e)
                    inside.add(other)
                    waiting.append(other)
        if len(inside) == len(component.nodes):
            return tree
        length, e = min(
            (rank[target] - rank[source], e)
            for e, (source, target) in enumerate(component.ends)
            if (source in inside) != (target in inside)
        )
        shift = length - 1 if component.ends[e][0] in inside else 1 - length
        for node in inside:
            rank[node] += shift
        waiting = [node for node in component.ends[e] if node in inside]


def _best_cut(component: Component, tree: set[int]) -> tuple[int, int, set[int]]:
    """The tree edge that most wants to be longer: by how many edges, which it is, the nodes on one side."""
    beside = _beside(component, sorted(tree))
    order: list[int] = []  # depth first, so that a subtree is a slice
    edge_up = [-1] * len(component.nodes)
    waiting = [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        for other, e in beside[node]:
            if e != edge_up[node]:
                edge_up[other] = e
                waiting.append(other)

    size = [1] * len(component.nodes)  # of the subtree below each node
    surplus = [0] * len(component.nodes)  # edges out of that subtree, less edges into it
    for source, target in component.ends:
        surplus[source] += 1
        surplus[target] -= 1
    best = (0, -1, 0)
    for position in reversed(range(1, len(order))):
        node = order[position]
        source, target = component.ends[edge_up[node]]
        best = max(best, (surplus[node] if node == target else -surplus[node], edge_up[node], position))
        parent = source + target - node
        size[parent] += size[node]
        surplus[parent] += surplus[node]
    gain, e, position = best
    return gain, e, set(order[position : position + size[order[position]]])


def _beside(component: Component, edges: Iterable[int]) -> list[list[tuple[int, int]]]:
    """For each node, where these edges lead from it: the nodes at their other ends, and the edges."""
    beside: list[list[tuple[int, int]]] = [[] for _ in component.nodes]
    for e in edges:
        source, target = component.ends[e]
        beside[source].append((target, e))
        beside[target].append((source, e))
    return beside
