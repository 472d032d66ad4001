"""``python -m benchmarks.gpu.collect FAILED...``: what the parts of a run on a GPU found, as one JSON file.

It is called after every part, and takes what is there: rows from ``$ROWS``, the logs from ``$OUT``.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "cupy-cuda13x", "cupy-cuda12x", "nvidia-cuda-nvrtc", "nvidia-cublas", "jax", "torch", "triton")

Rows = list[dict[str, Any]]

# What is wanted: of which work, which column of graphc's row, what it is divided by, and the bound.
# A bound of a rate is a lower one, of anything else an upper one.
FIGURES: tuple[tuple[str, str, str, str, float], ...] = (
    ("AND step", "graphc", "issue", "", 5e-6),
    ("AND step", "graphc from NumPy", "seconds", "", 15e-6),
    ("MLP 784-512-512-10 float32, batch 128", "graphc", "nodes", "", 8),
    ("MLP 784-512-512-10 float32, batch 128", "graphc", "seconds", "jax", 0.6),
    ("MLP 784-512-512-10 float32, batch 4096", "graphc", "seconds", "jax", 1.05),
    ("sigmoid(x + b), 2^28 float32", "graphc", "rate", "copy", 0.9),
    ("softmax + cross-entropy with gradient, 8192x8192 float32", "graphc", "rate", "copy", 0.85),
    ("compile a small graph", "graphc", "seconds", "", 0.1),
)


def figures(rows: Rows) -> Rows:
    """The wanted figures, as far as they were measured."""
    by_name: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:  # the first measurement counts: it was beside the peer
        by_name.setdefault((row["work"], row["system"]), row)
    copies = [row for (_, system), row in by_name.items() if system == "copy"]
    found: Rows = []
    for work, system, column, over, bound in FIGURES:
        base = by_name.get((work, over)) or (copies[0] if over == "copy" and copies else {})
        value = by_name.get((work, system), {}).get(column)
        if value is not None and over:
            value = value / base[column] if base.get(column) else None
        met = None if value is None else value >= bound if column == "rate" else value <= bound
        what = f"{column} over {over}'s" if over else column
        found.append({"work": work, "system": system, "what": what, "value": value, "bound": bound, "met": met})
    return found


def rows_of(folder: Path, pattern: str) -> Rows:
    """The rows of some files, in the order of their numbers."""
    paths = sorted(folder.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
    return [row for path in paths for row in json.loads(path.read_text())]


def lines_of(path: Path) -> list[str]:
    """The lines of a log, none if it is not there."""
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def summary(lines: list[str]) -> str:
    """The last line in which pytest or the sanitizer counts."""
    counts = [line for line in lines if re.search(r"\d+ (passed|failed|error)|ERROR SUMMARY|RACECHECK SUMMARY", line)]
    return counts[-1].strip("= ") if counts else "not run" if not lines else "ended without a summary"


def version(name: str) -> str | None:
    """Of a package, None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    out, rows = Path(os.environ["OUT"]), Path(os.environ["ROWS"])
    measured = rows_of(rows, "bench-*.json")
    tests = lines_of(out / "tests.log")
    record: dict[str, Any] = {
        "commit": os.environ["COMMIT"],
        "date": os.environ["DATE"],
        "gpu": os.environ["GPU"],
        "versions": {"python": platform.python_version()} | {n: version(n) for n in PACKAGES if version(n)},
        "failed": sys.argv[1:],
        "figures": figures(measured),
        "tests": summary(tests),
        "failed tests": [line for line in tests if line.startswith(("FAILED ", "ERROR "))],
        "memcheck": summary(lines_of(out / "memcheck.log")),
        "racecheck": summary(lines_of(out / "racecheck.log")),
        "probe": rows_of(rows, "probe.json"),
        "bench": measured,
    }
    path = out / f"h200-{record['date']}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(path)
    for figure in record["figures"]:
        value = "not measured" if figure["value"] is None else f"{figure['value']:.4g}"
        print(f"{figure['work']:58} {figure['system']:18} {figure['what']:22} {value:>12} of {figure['bound']:g}")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
