"""``python -m benchmarks [part ...] [--json FILE]``: all parts, or those named."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import calls, native, patterns, rewriting, scale, startup, steps, threads
from benchmarks.measure import Figure, figures, table

PARTS: dict[str, Any] = {
    "startup": startup.rows,
    "calls": calls.rows,
    "steps": steps.rows,
    "rewriting": rewriting.rows,
    "scale": scale.rows,
    "native": native.rows,
    "patterns": patterns.rows,
    "threads": threads.rows,
}
PEERS = ("graphc", "numpy", "scipy", "pytensor", "jax", "numexpr", "llvmlite")


def versions() -> dict[str, str]:
    """The versions of what takes part."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"out of {', '.join(PARTS)}; all by default")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file as well")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    if hasattr(os, "getloadavg"):
        print(f"{os.cpu_count()} processors, load {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    record: dict[str, object] = {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), **versions()}
    for part in arguments.parts or PARTS:
        print(f"\n{part} ...", end="\r", file=sys.stderr)
        rows = PARTS[part]()
        print(f"\n{figures(rows) if isinstance(rows[0], Figure) else table(rows)}", flush=True)
        record[part] = [asdict(row) for row in rows]
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
