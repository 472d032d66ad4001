"""``python -m graphc``: see it work, ask what this machine can do, run a program that was written for Theano."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import graphc


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m graphc", description="A compiler for array expressions.")
    top.add_argument("--version", action="version", version=f"graphc {graphc.__version__}")
    commands = top.add_subparsers(dest="command", title="commands", metavar="{demo,run,doctor}")
    demo = commands.add_parser("demo", help="run the examples and compare every result with the expected one")
    out = Path("graphc-demo")
    demo.add_argument("--out", type=Path, default=out, help="folder of the pictures (default: %(default)s)")
    demo.add_argument("--quick", action="store_true", help="train the largest example for a tenth of the steps")
    run = commands.add_parser("run", help="run a Python 3 program that says `import theano`")
    run.add_argument("script", type=Path, help="the program")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="what it finds in sys.argv[1:]")
    commands.add_parser("doctor", help="say which backends and extras work here, and which options are in force")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks; returns the exit code."""
    top = parser()
    chosen = top.parse_args(arguments)
    # Each command imports what it needs, so that the others start at once.
    if chosen.command == "demo":
        from graphc.demo.show import show

        return show(chosen.out, chosen.quick)
    if chosen.command == "run":
        from graphc.interop.theano import run_script

        return run_script(chosen.script, chosen.arguments)
    if chosen.command == "doctor":
        from graphc.demo.doctor import report

        print(report())
        return 0
    top.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
