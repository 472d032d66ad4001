"""Run the examples, print their tables, write their pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import graphc
from graphc.demo.basics import first_functions
from graphc.demo.example import Check, Example, Outcome
from graphc.demo.gates import learn_and, learn_and_or, threshold_neuron
from graphc.demo.hat import with_scalars, with_shared_weight
from graphc.demo.moons import learn_moons
from graphc.printing import to_svg

EXAMPLES: tuple[Example, ...] = (
    Example("First functions", first_functions),
    Example("Mexican hat, scalar by scalar", with_scalars),
    Example("Mexican hat, shared weight", with_shared_weight),
    Example("Threshold neuron", threshold_neuron),
    Example("Learning AND, 30,000 steps", learn_and),
    Example("Learning AND and OR, 30,000 steps", learn_and_or),
    Example("Two moons, 100 hidden neurons", learn_moons),
)

COLUMNS = (42, 38, 38)


def show(out: Path, quick: bool = False, examples: Iterable[Example] = EXAMPLES) -> int:
    """Run all examples; 0 if every result is as expected, else 1."""
    started = time.perf_counter()
    print(f"graphc {graphc.__version__}, Python {sys.version.split()[0]}, NumPy {np.__version__}")
    outcomes: dict[str, Outcome] = {}
    for example in examples:
        outcomes[example.title] = example.run(quick)
        print(f"\n{example.title}\n{'-' * len(example.title)}")
        print("\n".join(results(outcomes[example.title].checks)))
    print("\nTime of one step (median)\n-------------------------")
    print("\n".join(times(outcomes)))
    files = pictures(outcomes, out)
    print("\nFiles\n-----")
    for file in files:
        print(f"  {file}")
    checks = [check for outcome in outcomes.values() for check in outcome.checks]
    wrong = sum(not check.ok for check in checks)
    verdict = f"{wrong} of {len(checks)} results differ" if wrong else f"all {len(checks)} results are as expected"
    print(f"\n{verdict}; {time.perf_counter() - started:.1f} s in all")
    return 1 if wrong else 0


def results(checks: Iterable[Check]) -> list[str]:
    """A table of what was found beside what was expected."""
    rows = [("", "found", "expected", "")]
    rows += [(c.what, text(c.found), text(c.expected), "ok" if c.ok else "DIFFERS") for c in checks]
    return [f"  {a:{COLUMNS[0]}} {b:{COLUMNS[1]}} {c:{COLUMNS[2]}} {d}".rstrip() for a, b, c, d in rows]


def text(value: object) -> str:
    """A value in at most one column's width."""
    if isinstance(value, float | np.floating | np.ndarray) and np.ndim(value) == 0:
        written = f"{float(value):.17g}" if abs(float(value)) >= 1e-3 else f"{float(value):.3g}"
        written = min(written, repr(float(value)), key=len)
    elif isinstance(value, np.ndarray | list):
        written = "[" + ", ".join(f"{float(v):.12g}" if abs(v) >= 1e-3 else f"{float(v):.3g}" for v in value) + "]"
    else:
        written = str(value)
    width = COLUMNS[1] - 1
    return written if len(written) <= width else written[: width - 3] + "..."


def times(outcomes: dict[str, Outcome]) -> list[str]:
    """A table of the time of one step, beside the same step written by hand."""
    lines = [f"  {'':36} {'graphc':>12} {'NumPy by hand':>16} {'graphc / NumPy':>16}"]
    for title, outcome in outcomes.items():
        if outcome.timing is not None:
            ours, by_hand = outcome.timing.graphc, outcome.timing.numpy
            lines.append(f"  {title:36} {ours * 1e6:9.2f} us {by_hand * 1e6:13.2f} us {ours / by_hand:16.2f}")
    return lines


def pictures(outcomes: dict[str, Outcome], out: Path) -> list[Path]:
    """Write all pictures; those that need matplotlib only if it is there."""
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for outcome in outcomes.values():
        for name, title, subject in outcome.graphs:
            files.append(out / name)
            files[-1].write_text(to_svg(subject, title=title), encoding="utf-8")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("\nCurves and decision boundaries need matplotlib: pip install matplotlib")
        return files
    for outcome in outcomes.values():
        for name, draw in outcome.plots:
            figure = Figure(layout="constrained")
            draw(figure)
            files.append(out / name)
            figure.savefig(files[-1], dpi=110)
    return files
