"""Graphs made visible: as text (`pp`, `latex`), as a list of nodes (`debugprint`), as a drawing (`pydotprint`).

`Print` shows values while a function runs.
"""

from .debug import debugprint, min_informative_str
from .drawing import graph_picture, pydotprint, to_dot, to_svg
from .phrase import Hole, Phrase
from .pretty import PPrinter, latex, pp, pprint
from .print_op import Print
from .printers import FunctionPrinter, IgnorePrinter, OperatorPrinter, PatternPrinter

__all__ = [
    "pp", "pprint", "latex", "debugprint", "min_informative_str",
    "pydotprint", "graph_picture", "to_svg", "to_dot", "Print",
    "PPrinter", "Phrase", "Hole", "FunctionPrinter", "IgnorePrinter", "OperatorPrinter", "PatternPrinter",
]  # fmt: skip
