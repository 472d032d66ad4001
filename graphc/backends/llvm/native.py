"""A `Program` as what a Python object does when it is called: the tables of its `Context`."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.backends.base import Calling
from graphc.backends.llvm import capi
from graphc.backends.llvm.capi import Context
from graphc.backends.llvm.crew import crew
from graphc.backends.llvm.entry import (
    FLOAT,
    INT_AS_FLOAT,
    INT_AS_INT,
    LIST,
    ONE,
    PACKED,
    TABLES,
    machine_code,
)
from graphc.backends.llvm.program import Place, Program, Slot
from graphc.backends.vectorcall import Callee, enter
from graphc.graph.shared import Cell, Exclusive
from graphc.graph.types import TensorType

# The environment variable that forces a way into functions, and the ways there are.
FORCED = "GRAPHC_ENTRY"
WAYS = ("native", "buffer", "python")

# Bytes of arguments and results above which a call is large work, whatever its kernels do.
LARGE_BYTES = 1 << 22

_FORMS = {"one": ONE, "list": LIST, "dict": PACKED}

# What an input of rank 0 takes besides arrays and NumPy's scalars of its own dtype.
_CONVERT = {"float64": FLOAT | INT_AS_FLOAT, "int64": INT_AS_INT}


class NativeEntry:
    """Calls that go straight into machine code.

    function: its address; contexts: what it knows.
    """

    def __init__(self, function: int, contexts: list[Context]) -> None:
        self._function = function
        self._contexts = contexts

    def take(self, callee: Callee, cls: type[Callee]) -> None:
        """Take the calls of an object, whose own class is `cls`."""
        enter(callee, cls, self._function, self._contexts[0])

    @property
    def call(self) -> Callable[..., Any]:
        """An object of its own to call."""
        return _called(self._function, self._contexts[0])

    def free(self) -> None:
        """Give back the memory that is kept from call to call."""
        for context in self._contexts:
            context.kept[:] = [None] * len(context.kept)


@dataclass(frozen=True)
class Others:
    """Programs that take the place of one; each is made when it is needed.

    large: for large work, None if it is the same; finished: what is used after so many `calls`, None if this stays.
    """

    large: Callable[[], Program | None] = lambda: None
    finished: Callable[[], Program | None] | None = None
    calls: int = 0


def native_entry(
    program: Program, calling: Calling, atomic: bool = True, others: Others | None = None
) -> NativeEntry | None:
    """An entry for the program, or None if there can be none: then the function is called through Python.

    calling.types are those of the first of the program's inputs, calling.shared are the rest; calling.targets receive
    the last of the program's results, the others are returned.  atomic: its body runs no Python code, so that it needs
    neither the global lock nor, while it has it, the locks of cells.
    """
    others = others or Others()
    way = os.environ.get(FORCED) or "native"
    if way not in WAYS:
        raise ValueError(f"{FORCED}={way}: it is one of {', '.join(WAYS)}")
    if way == "python" or not (atomic or not calling.targets) or not fits(program, calling):
        return None
    arrays = way != "buffer" and machine_code(True) is not None
    code = machine_code(arrays)
    if code is None:
        return None
    cells = [*calling.shared, *calling.targets] if calling.targets else []
    contexts: list[Context] = []

    def at_large(*args: Any) -> Any:
        """Large work: take the locks of cells, then go on without Python's.  Nothing is compiled under locks."""
        crew.ready()
        if len(contexts) == 1:
            contexts.append(context_of(others.large() or program, calling, [], None, atomic, arrays))
        return exclusive.call(_called(code["call"], contexts[1]), *args)

    def when_due(*args: Any) -> Any:
        """Use the program that is finished from now on."""
        finished = None if others.finished is None else others.finished()
        _replace(contexts[0], program, finished or program)
        return _called(code["call"], contexts[0])(*args)

    exclusive = Exclusive(cells)
    contexts.append(context_of(program, calling, cells, at_large, atomic, arrays))
    if others.finished is not None:
        _set_due(contexts[0], others.calls, when_due)
    return NativeEntry(code["call"], contexts)


def _set_due(context: Context, calls: int, then: Callable[..., Any]) -> None:
    """Have something else called once, after so many calls."""
    context.owned = (*context.owned, then)
    context.words[_HEADER["finish"]] = id(then)
    context.words[_HEADER["due"]] = calls


def _replace(context: Context, old: Program, new: Program) -> None:
    """Run another program with the same frame; nothing is due any more.  No call is under way: we have the lock."""
    start = len(_HEADER)
    for i, (word, other) in enumerate(zip(old.words, new.words, strict=True)):
        if word != other:
            context.words[start + i] = other
    for field in ("prologue", "body", "commit"):
        context.words[_HEADER[field]] = getattr(new, field)
    context.words[_HEADER["due"]] = -1
    context.owned = (*context.owned, new)


def _called(function: int, context: Context) -> Callable[..., Any]:
    """An object whose calls go to machine code."""
    callee: Any = Callee()
    enter(callee, Callee, function, context)
    return callee  # type: ignore[no-any-return]


def fits(program: Program, calling: Calling) -> bool:
    """Whether the entry can handle arrays like those of the program."""
    places = [*program.inputs, *program.results, *program.temporaries]
    slots = [place.slot for place in places if place.ndim]
    return (
        all(place.dtype in capi.DTYPES and place.ndim <= 32 for place in places)
        and len(slots) == len(set(slots))
        and all(place.ndim for place in program.temporaries)
        and all(type(cell) is Cell for cell in (*calling.shared, *calling.targets))
    )


# ---- tables ----


class At(int):
    """The number of a word, where its address is meant."""


_HEADER = {field: i for i, field in enumerate(TABLES["context"])}


def context_of(
    program: Program,
    calling: Calling,
    cells: Sequence[Cell],
    large: Callable[..., Any] | None,
    atomic: bool,
    arrays: bool,
) -> Context:
    """The tables for a program.

    cells: those that must not be running; large: what to call for large work, None if this is for such work: it goes on
    without the global lock; atomic: whether the body runs no Python code; arrays: whether the entry looks into NumPy's
    arrays.
    """
    offsets = capi.offsets(arrays)
    assert offsets is not None
    kept: list[Any] = [None] * (1 + 2 * len(program.results))  # the arena, then two a result
    items = ctypes.c_size_t.from_address(id(kept) + offsets["list.items"]).value
    writer = _Writer(program.words, offsets["cell.value"], items, arrays)
    count, returned = len(calling.types), len(program.results) - len(calling.targets)
    owners = [None] * returned + list(calling.targets)
    header: dict[str, int] = {
        "slow": id(calling.slow), "large": id(large) if large else 0,
        "limit": (LARGE_BYTES if large else -1) if atomic else sys.maxsize, "python": not atomic, "due": -1,
        "frame": At(writer.start), "prologue": program.prologue, "body": program.body, "commit": program.commit,
        "apart": writer.word(program.apart) if program.apart else 0,
        "count": count, "returned": returned, "arena": items,
        "form": _FORMS[calling.form], "pack": id(calling.pack),
    }  # fmt: skip
    arguments = list(map(writer.argument, program.inputs[:count], calling.types, calling.strict))
    header |= writer.rows("arguments", "input", arguments)
    header |= writer.rows("shared", "input", list(map(writer.shared, program.inputs[count:], calling.shared)))
    stay = {result for result, _ in program.in_place} if _are_updates(program, calling) else set()
    header["stay"] = bool(stay)
    stays = [number in stay for number in range(len(program.results))]
    results = list(map(writer.result, program.results, range(1, len(kept), 2), owners, stays))
    header |= writer.rows("results", "result", results)
    header |= writer.rows("temporaries", "temporary", list(map(writer.temporary, program.temporaries)))
    header |= writer.table("cells", [[id(cell) + offsets["cell.running"]] for cell in cells])
    return Context(writer.memory(header), kept, calling.slow, (program, calling, large))


def _are_updates(program: Program, calling: Calling) -> bool:
    """Whether what may be changed where it is, comes from the cells that the results go to."""
    count, returned = len(calling.types), len(program.results) - len(calling.targets)
    sources = [None] * count + list(calling.shared)
    return all(sources[input] is calling.targets[result - returned] for result, input in program.in_place)


class _Writer:
    """Writes a context as words: the header, the frame, the tables.

    value: where a cell has its value; items: where the kept arrays are; arrays: as for `context_of`.
    """

    def __init__(self, frame: Sequence[int], value: int, items: int, arrays: bool) -> None:
        self.words: list[int] = [0] * len(_HEADER)
        self.start = len(self.words)
        self.words += frame
        self._value, self._items, self._arrays = value, items, arrays

    def memory(self, header: Mapping[str, int]) -> Any:
        """All words, with addresses for places among them."""
        self.words[: len(_HEADER)] = [header.get(field, 0) for field in TABLES["context"]]
        memory = np.empty(len(self.words), np.int64)
        base = memory.ctypes.data
        memory[:] = [base + 8 * word if type(word) is At else word for word in self.words]
        return memory

    # ---- tables ----

    def table(self, field: str, entries: Sequence[Sequence[int]]) -> dict[str, int]:
        """A table at the end of the words, as the two fields that tell where it is."""
        first = len(self.words)
        self.words.extend(word for entry in entries for word in entry)
        return {field: At(first), f"{field}_end": At(len(self.words))}

    def rows(self, field: str, kind: str, entries: Sequence[Mapping[str, int]]) -> dict[str, int]:
        """A table of entries of a kind."""
        return self.table(field, [[entry.get(name, 0) for name in TABLES[kind]] for entry in entries])

    # ---- entries ----

    def argument(self, place: Place, kind: TensorType, strict: bool) -> dict[str, int]:
        """What is passed by the caller."""
        sizes = zip(place.sizes, kind.shape, strict=True)
        pairs = [[self._size(n), -1 if only is None else only] for n, only in sizes]
        found = self._array(place) | self.table("sizes", pairs)
        if not place.ndim and not strict:
            scalar = id(np.dtype(place.dtype).type) if self._arrays else 0
            found |= {"scalar": scalar, "convert": _CONVERT.get(place.dtype, 0)}
        return found

    def shared(self, place: Place, cell: Cell) -> dict[str, int]:
        """What is read from a cell."""
        pairs = [[self._size(n), -1] for n in place.sizes]
        return self._array(place) | self.table("sizes", pairs) | {"cell": id(cell) + self._value}

    def result(self, place: Place, first_kept: int, cell: Cell | None, stays: bool) -> dict[str, int]:
        """What is handed back, or goes to a cell."""
        found = self.temporary(place) | {"kept": self._items + 8 * first_kept, "stays": stays}
        return found | ({"turns": 2} if cell is None else {"turns": 1, "cell": id(cell) + self._value})

    def temporary(self, place: Place) -> dict[str, int]:
        """What nobody else sees."""
        return self._array(place) | self.table("sizes", [[self._size(n)] for n in place.sizes])

    def _array(self, place: Place) -> dict[str, int]:
        """The fields that describe an array in every table."""
        dtype = np.dtype(place.dtype)
        found: dict[str, int] = {"descr": id(dtype), "number": dtype.num, "itemsize": dtype.itemsize}
        found |= {"format": ord(dtype.char)}
        return found | {"ndim": place.ndim, "slot": self.word(place.slot)}

    def _size(self, n: int | Slot) -> At:
        """Where a size stands: in the frame, or in a word of its own."""
        if isinstance(n, Slot):
            return self.word(n.index)
        self.words.append(n)
        return At(len(self.words) - 1)

    def word(self, index: int) -> At:
        """A word of the frame."""
        return At(self.start + index)
