"""The machine code of this process: what has the same text is compiled once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from graphc.backends.llvm.commit import Step, identity, step_function
from graphc.backends.llvm.link import Code, link
from graphc.backends.llvm.render import module
from graphc.backends.llvm.shares import share
from graphc.backends.llvm.target import Target
from graphc.kernels.launch import Shared

# So many pieces of code are kept for functions to come.  Those that are used live as long as who uses them.
MOST_KEPT = 4000

_kept: dict[tuple[str, Target], Code] = {}
"""The piece that was used last is the last."""
_compiling = threading.RLock()  # a signal handler, or a finaliser, may call what must be compiled, too


def compiled(step: Step, target: Target, draft: bool = False) -> Code:
    """The machine code of a step with kernels, as the function ``kernel``.  draft: whether a draft will do."""

    def make() -> Code:
        text = module([step_function(step, target, "kernel")], target)
        return link(text, target, ["kernel"], draft=draft)

    return _found((identity(step), target), make, draft)


def compiled_share(shared: Shared, target: Target) -> Code:
    """The machine code of a kernel that is run in shares, as the function ``kernel``."""
    arrays = shared.kernel.arrays
    rows = [arrays.index(row) for row in shared.rows]
    key = f"{shared.kernel.text}\n{shared.manner} {rows}"  # totals are the last arrays, in order
    return _found((key, target), lambda: link(module([share(shared, target, "kernel")], target), target, ["kernel"]))


def linked(
    text: str, target: Target, exports: tuple[str, ...], symbols: dict[str, int], draft: bool = False
) -> Code:
    """The machine code of a module's text.  draft: whether a draft will do."""
    return _found((text, target), lambda: link(text, target, exports, symbols, draft), draft)


def _found(key: tuple[str, Target], make: Callable[[], Code], draft: bool = False) -> Code:
    with _compiling:
        code = _kept.pop(key, None)
        if code is None or (code.is_draft and not draft):
            code = make()
        _kept[key] = code
        if len(_kept) > MOST_KEPT:
            del _kept[next(iter(_kept))]
        return code
