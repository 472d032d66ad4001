"""Graphs made visible: as text (`pp`, `latex`), as a list of nodes (`debugprint`), as a drawing (`pydotprint`).

`Print` shows values while a function runs.
"""

import importlib
from typing import TYPE_CHECKING, Any

from graphc.graph.bindings import ops

from .debug import debugprint, min_informative_str
from .phrase import Hole, Phrase
from .pretty import PPrinter, latex, pp, pprint
from .print_op import Print
from .printers import FunctionPrinter, IgnorePrinter, OperatorPrinter, PatternPrinter

if TYPE_CHECKING:
    from .drawing import graph_picture, pydotprint, to_dot, to_svg

# Drawing is imported when something is drawn.
_DRAWING = "graphc.printing.drawing"
ops.bind("to_svg", f"{_DRAWING}:to_svg")
ops.bind("to_dot", f"{_DRAWING}:to_dot")
ops.bind("repr_latex", "graphc.printing.pretty:repr_latex")
ops.bind("short_text", "graphc.printing.pretty:short_text")


def __getattr__(name: str) -> Any:
    if name in ("graph_picture", "pydotprint", "to_dot", "to_svg"):
        return getattr(importlib.import_module(_DRAWING), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "pp", "pprint", "latex", "debugprint", "min_informative_str",
    "pydotprint", "graph_picture", "to_svg", "to_dot", "Print",
    "PPrinter", "Phrase", "Hole", "FunctionPrinter", "IgnorePrinter", "OperatorPrinter", "PatternPrinter",
]  # fmt: skip
