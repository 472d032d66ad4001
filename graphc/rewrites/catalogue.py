"""All rules by their number: for documentation, and for the test that no number is forgotten."""

from __future__ import annotations

from graphc.rewrites.engine.rule import Rule
from graphc.rewrites.engine.table import Table, table
from graphc.rewrites.specialize import SPECIALIZE
from graphc.rewrites.twins import TWINS

ALL = table("all", SPECIALIZE, TWINS)

# What the numbers of the specification stand for.
TITLES: dict[int, str] = {
    1: "equal nodes are one",
    2: "constant folding",
    3: "identities",
    4: "dimshuffle",
    5: "reshape",
    6: "shape inference",
    7: "specify_shape",
    8: "fill and alloc",
    9: "join",
    10: "asserts",
    11: "useless bounds",
    12: "an index of an index",
    13: "an index of something made element by element",
    14: "writing and reading",
    15: "sums of increments",
    16: "parts of what was put together",
    17: "whole sums and products",
    18: "signs and units",
    19: "powers",
    20: "inverse pairs",
    21: "absolute values",
    22: "distribution",
    23: "reductions",
    24: "comparisons",
    25: "choices",
    26: "conversions",
    27: "logic",
    28: "log1p and expm1",
    29: "sigmoid",
    30: "logarithms of sigmoids",
    31: "log-sum-exp and softmax",
    32: "cross-entropy",
    33: "argmax of a monotonic function",
    34: "erf and erfc",
    35: "linear algebra",
    36: "matrix products",
    37: "sums of squares of products",
    38: "elementwise fusion",
    39: "reduction fusion",
    40: "working in place",
    41: "buffers",
    42: "scan: unused parts",
    43: "scan: out of the loop",
    44: "scan: trace reduction",
    45: "scan: initial states in place",
}

# Numbers that no table of rules holds, and where their work is done instead.
ELSEWHERE: dict[int, str] = {
    1: "done by interning: graph/interner.py gives equal ops on the same inputs one node; what differs only by axes of "
    "size 1 is found last of all (rewrites/twins.py)",
    6: "done by interning: shape_of(x, axis) becomes the size that the shape rules of the ops found",
    7: "there is no specify_shape op yet",
    10: "there is no Assert op yet; sizes are checked by guards",
    32: "the parts are rules 30 and 31: both cross-entropies are computed from logits, and so are their gradients",
    34: "erfc is not declared yet",
    35: "the ops of linear algebra are not declared yet",
    38: "done where kernels are formed: kernels/fuse.py",
    39: "done where kernels are formed: kernels/fuse.py; once formulas are expanded, `f(x, y)[i, j]` becomes "
    "`f(x[i, j], y[i, j])`, and `f(x)[i]` of a cheap `f` becomes `f(x[i])` (rewrites/lifts.py)",
    40: "schedule/memory.py: dead buffers are written into; kernels read and write in one pass",
    41: "schedule/memory.py and kernels/plan.py: dead memory is used again; a part of a shared variable is changed "
    "where it is (kernels/inplace.py), and a copy of what nobody reads any more is left out (kernels/handover.py)",
    42: "there is no scan yet",
    43: "there is no scan yet",
    44: "there is no scan yet",
    45: "there is no scan yet",
}

# Forms of the specification without a rule, of numbers that have some, and why.
LEFT_OUT: dict[int, str] = {
    3: "results that nobody reads are dropped with their node; of an `ifelse` with several results all are computed",
    8: "that a broadcast fits is checked by guards, so that no rule inserts an Assert",
    9: "there is no tile and no split op: `join(x, x, x)` stays",
    14: "`inc(zeros[i], y) -> set(zeros[i], y)` is for integers only, since 0.0 + -0.0 is 0.0",
    16: "a mask stays a mask: there is no nonzero op, and NumPy gathers with either",
    21: "`|a * b| -> |a| * |b|` would only serve cancellations such as `|a * b| / |a|`, and would have to be undone",
    23: "`sum(join(x, y))` of arrays stays: adding up each piece alone changes the order of the additions",
    25: "an op is not moved into or out of an `ifelse`, nor are two with one condition merged: the schedule runs what "
    "only one branch needs in that branch, and a condition is computed once",
    33: "argmax is an op of its own, which has no second result to be unused",
    36: "what BLAS routine a product is belongs to the backends: NumPy's dot calls GEMM and GEMV itself; there is no "
    "batched_dot op",
}


def by_number(rules: Table = ALL) -> dict[int, list[Rule]]:
    """Number -> its rules, each once even where it is tried on several ops."""
    found: dict[int, list[Rule]] = {number: [] for number in TITLES}
    for rule in rules.rules:
        known = found.setdefault(rule.number, [])
        if rule.text not in [other.text for other in known]:
            known.append(rule)
    return found


def markdown() -> str:
    """The list of all rules, as it stands in docs/rewrites.md."""
    lines = []
    for number, rules in by_number().items():
        title = TITLES.get(number, "")
        lines.append(f"\n### {number}. {title}\n")
        if number in ELSEWHERE:
            reason = ELSEWHERE[number]
            lines.append(f"{reason[0].upper()}{reason[1:]}.\n")
        if rules:
            lines += ["| class | rule |", "|---|---|"]
            lines += [f"| {rule.numerics} | `{_escaped(rule.text)}` |" for rule in rules]
        if number in LEFT_OUT:
            lines.append(f"\nWithout a rule: {LEFT_OUT[number]}.")
    return "\n".join(lines).strip() + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
