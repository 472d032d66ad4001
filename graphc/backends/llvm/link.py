"""From text to machine code: LLVM parses, inlines and emits; the result is linked into this process.

Everything that could be optimised has been by the time text is written (graphc's own rewrites, fusion, explicit
vectors), so of LLVM's passes only the inliner runs, which takes a part of the time of ``-O3``.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from graphc.backends import disk
from graphc.backends.llvm.target import Target, host, machine

_serial = itertools.count()
_written = itertools.count()
_lock = threading.Lock()


class Code:
    """Linked machine code: the addresses of its functions.  They are valid as long as this object lives.

    is_draft: it was made in a hurry, and runs slower than it could.
    """

    def __init__(self, tracker: Any, addresses: Mapping[str, int], is_draft: bool) -> None:
        self._tracker = tracker
        self.addresses = dict(addresses)
        self.is_draft = is_draft

    def __getitem__(self, name: str) -> int:
        return self.addresses[name]


@cache
def _jit() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_lljit_compiler(machine(host()))


def parsed(text: str, target: Target) -> Any:
    """LLVM's module of a text, with calls inlined where the text says so."""
    import llvmlite.binding as llvm

    to = machine(target)
    module = llvm.parse_assembly(text)
    module.triple = to.triple
    module.data_layout = str(to.target_data)
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.run(module, llvm.create_pass_builder(to, llvm.create_pipeline_tuning_options(speed_level=1)))
    return module


def assembly(text: str, target: Target) -> str:
    """The assembly of a module's text."""
    with _lock:
        return str(machine(target).emit_assembly(parsed(text, target)))


def _object(text: str, target: Target, draft: bool) -> tuple[bytes, bool]:
    """The object file of a module, as it was made before if it was; whether it is a draft, if that will do."""
    import llvmlite

    about = "\n".join([llvmlite.__version__, target.cpu, target.features, text])
    name = hashlib.sha256(about.encode()).hexdigest()
    for ending in (".o", ".draft.o")[: 1 + draft]:
        found = disk.read(name + ending)
        if found is not None:
            return found, ending == ".draft.o"
    made = bytes(machine(target, not draft).emit_object(parsed(text, target)))
    disk.write(name + (".draft.o" if draft else ".o"), made)
    if next(_written) % 500 == 0:
        disk.tidy()
    return made, draft


def link(
    text: str,
    target: Target,
    exports: Iterable[str],
    symbols: Mapping[str, int] | None = None,
    draft: bool = False,
) -> Code:
    """Compile a module's text and link it: `exports` are its functions, `symbols` the addresses of what it calls.

    draft: whether code will do that takes much less time to make, and runs slower.
    """
    import llvmlite.binding as llvm

    names = list(exports)
    with _lock:
        emitted, is_draft = _object(text, target, draft)
        builder = llvm.JITLibraryBuilder().add_object_img(emitted)
        for name in names:
            builder.export_symbol(name)
        for name, address in (symbols or {}).items():
            builder.import_symbol(name, address)
        tracker = builder.add_current_process().link(_jit(), f"graphc{next(_serial)}")
        return Code(tracker, {name: tracker[name] for name in names}, is_draft)
