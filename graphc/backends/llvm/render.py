"""A kernel as LLVM's text: loops become blocks, the innermost ones run on vectors.

A kernel becomes ``i32 @name(ptr %frame, ptr %slots)``: `slots` are the numbers of the frame's words that hold its
parameters, first sizes, then scalars, arrays and outputs.  An innermost loop takes a whole vector at a time.  The last,
partial one is masked where the processor has masks, else its elements are taken one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphc.backends.llvm import math
from graphc.backends.llvm.columns import ColumnRenderer
from graphc.backends.llvm.scalars import Function
from graphc.backends.llvm.spelling import wrapper
from graphc.backends.llvm.target import Target
from graphc.kernels.loopir import Kernel


def function(kernel: Kernel, target: Target, name: str, slots: Sequence[int] | None = None) -> Function:
    """A kernel as a function.

    With `slots` the numbers of its words are part of the code, and it is ``i32 @name(ptr %frame)``, to be inlined.
    """
    return ColumnRenderer(kernel, target, slots).render(name)


def module(functions: Iterable[Function], target: Target) -> str:
    """The text of a module with some functions and the vector math they call."""
    functions = list(functions)
    wanted = dict.fromkeys(w for f in functions for w in f.wanted)
    definitions, declarations = math.definitions(dict.fromkeys((name, kind) for name, kind, _ in wanted), target)
    definitions += [wrapper(name, kind) for name, kind, outlined in wanted if outlined]
    declared = dict.fromkeys([*(d for f in functions for d in f.declarations), *declarations])
    return "\n\n".join([*definitions, *(f.text for f in functions), "\n".join(declared)]) + "\n"


def render(kernel: Kernel, target: Target, name: str) -> str:
    """The text of a module that defines a kernel."""
    return module([function(kernel, target, name)], target)
