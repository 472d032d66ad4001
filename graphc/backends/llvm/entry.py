"""The native entry: machine code between the caller's arguments and a `Program`.

There is one, for all functions.  It walks over the tables of a `Context`, one row an argument, shared variable,
result or temporary, so that a new function costs no compilation, and a row costs two or three nanoseconds.

    check the arguments and the values of shared variables, write them into the frame
    prologue(frame)
    find memory for temporaries and results: new, or that of an earlier call if nobody else holds it
    body(frame)
    commit(frame), if there is one: it may change the array in a cell where it is, if nobody else holds that
    commit: exchange the arrays in the cells, hand out the results

Whatever is not as expected, it calls `slow`, the function by way of Python, which is always right and knows how to
explain an error.  Until the commit nothing has been changed, and the commit cannot fail.

Between the checks and the commit no Python code runs, so that no other thread and no other call sees or changes
anything meanwhile.  This decides the order: the list of results comes first, as its allocation may run the garbage
collector, hence finalisers; objects are dropped last.  `busy` is for programs that call Python, and for large work,
which runs without the global lock.

The text (`entry.ll` and its companions) is LLVM's language with a few additions:

    %x = get i64 %row:result.ndim          the field of a struct
    put ptr %x, %row:result.object         store it
    %x = at %row:result.object             its address
    each %row of result in %context:context.results
      ...                                  a loop over a table; %row.start, %row.next and %row.done are its blocks:
    next %row                              before it, after one row, after all
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from graphc.backends.llvm import capi
from graphc.backends.llvm.link import Code, link
from graphc.backends.llvm.once import once
from graphc.backends.llvm.support import NOT_TAKEN, TAKEN
from graphc.backends.llvm.target import host
from graphc.backends.llvm.work import IS_LARGE

# The tables.  All fields are words; one whose name ends in _end is the address after a table.
TABLES: dict[str, tuple[str, ...]] = {
    # slow, large, finish: what to call instead; limit: of bytes, beyond which work is large; due: the turn in which it
    # is time to finish; python: whether the body runs Python code; count: of arguments, returned: of results; turn: how
    # many calls there were, and so which kept arrays come next; form, pack: how results are handed out; commit: what
    # finishes results, or 0; apart: the address of its word, or 0; stay: whether results may be in the cells' arrays;
    # arena...: where the array for temporaries is kept, and its memory.
    "context": tuple(
        """busy slow large limit due finish python frame prologue body commit apart stay count returned turn form pack
        arguments arguments_end cells cells_end shared shared_end results results_end temporaries temporaries_end
        arena arena_object arena_base arena_bytes arena_lent""".split()
    ),
    # descr, number, format: the dtype; scalar: the type of NumPy's scalars, or 0; convert: which Python numbers are
    # taken; slot: the address to fill; cell: the address in the cell of a shared variable; held: the array in it.
    "input": tuple("descr number format scalar convert ndim itemsize slot sizes sizes_end cell held".split()),
    "input_size": ("slot", "only"),  # the address to fill; the one size that is allowed, or -1
    "cell": ("running",),  # the address in a cell that is involved
    # cell: the address in the cell that is written, or 0; kept: the address of the arrays kept, one, or two that take
    # turns; stays: whether it may be the array that the cell holds; object, bytes, origin, dropped: of this call.
    "result": tuple(
        "descr ndim itemsize slot sizes sizes_end cell kept turns stays object bytes origin dropped".split()
    ),
    "temporary": ("itemsize", "slot", "sizes", "sizes_end"),
    "size": ("at",),  # the address of a size
}

# Python numbers that an input takes.
FLOAT, INT_AS_INT, INT_AS_FLOAT = 1, 2, 4

# Forms of what is returned.
ONE, LIST, PACKED = 0, 1, 2

# Where the array of a result is from: an earlier call, nowhere, the cell that gets the result.
KEPT, FRESH, IN_PLACE = 0, 1, 2

# Arrays larger than this are not kept for the next call.
KEPT_BYTES = 1 << 28

_REUSABLE = capi.C_CONTIGUOUS | capi.OWNDATA | capi.ALIGNED | capi.WRITEABLE

_NUMBERS: dict[str, int | str] = {
    "readable": capi.C_CONTIGUOUS | capi.ALIGNED,
    "reusable": _REUSABLE,
    "reusable_mask": _REUSABLE | capi.WRITEBACK,
    "swapped": ord(">"),
    "count_mask": (1 << 63) - 1,  # the highest bit is a flag
    "view_bytes": 128,
    "c_contiguous_with_format": 0x3C,
    "kept_bytes": KEPT_BYTES,
    "most_bytes": 1 << 62,
    "FLOAT": FLOAT,
    "INT": INT_AS_INT | INT_AS_FLOAT,
    "INT_AS_FLOAT": INT_AS_FLOAT,
    "KEPT": KEPT,
    "FRESH": FRESH,
    "IN_PLACE": IN_PLACE,
    "ONE": ONE,
    "LIST": LIST,
    "IS_LARGE": IS_LARGE,
    "TAKEN": TAKEN,
    "NOT_TAKEN": NOT_TAKEN,
}


@once
def machine_code(arrays: bool) -> Code | None:
    """The entry for this process, or None where objects do not look as it expects.

    arrays: look into NumPy's arrays, instead of asking them for a buffer.
    """
    at = capi.offsets(arrays)
    return None if at is None else link(text(at, arrays), host(), ["call"], capi.symbols())


def text(at: Mapping[str, int], arrays: bool = True) -> str:
    """LLVM's text of the entry."""
    room = Path(__file__).parent
    parts = ("entry", "entry_arguments", "entry_results", "entry_layout" if arrays else "entry_buffer")
    source = "\n".join((room / f"{part}.ll").read_text() for part in parts)
    offsets = dict(at)
    for table, fields in TABLES.items():
        offsets |= {f"{table}.{field}": 8 * i for i, field in enumerate(fields)}
    numbers = _NUMBERS | {"keeps": "true" if arrays else "false"}
    return _expanded(re.sub(r"\$\{(\w+)\}", lambda found: str(numbers[found[1]]), source), offsets)


# An addition to LLVM's language, and what it stands for.  {field} is the offset of one, {serial} makes names unique.
_NAME = r"(%[\w.]+)"
_FIELD = r"(%[\w.]+):([\w.]+)"
_ADDITIONS: dict[str, str] = {
    rf"{_NAME} = at {_FIELD}": "{0} = getelementptr i8, ptr {1}, i64 {field}",
    rf"{_NAME} = get (\w+) {_FIELD}": """
  {0}.{serial} = getelementptr i8, ptr {2}, i64 {field}
  {0} = load {1}, ptr {0}.{serial}""",
    rf"put (\w+) ([%@\w.]+), {_FIELD}": """
  {2}.{serial} = getelementptr i8, ptr {2}, i64 {field}
  store {0} {1}, ptr {2}.{serial}""",
    rf"each {_NAME} of (\w+) in {_FIELD}": """
  br label {0}.start
{label}.start:
  {0}.first.at = getelementptr i8, ptr {2}, i64 {field}
  {0}.first = load ptr, ptr {0}.first.at
  {0}.end.at = getelementptr i8, ptr {2}, i64 {end}
  {0}.end = load ptr, ptr {0}.end.at
  {0}.any = icmp ne ptr {0}.first, {0}.end
  br i1 {0}.any, label {0}.loop, label {0}.done
{label}.loop:
  {0} = phi ptr [{0}.first, {0}.start], [{0}.following, {0}.next]""",
    rf"next {_NAME}": """
  br label {0}.next
{label}.next:
  {0}.following = getelementptr i8, ptr {0}, i64 {stride}
  {0}.more = icmp ne ptr {0}.following, {0}.end
  br i1 {0}.more, label {0}.loop, label {0}.done
{label}.done:""",
}


def _expanded(source: str, offsets: Mapping[str, int]) -> str:
    """The text in plain LLVM."""
    lines = []
    strides: dict[str, int] = {}  # of the loops that are open, by their names
    for serial, line in enumerate(source.splitlines()):
        code = line.partition(";")[0].strip()
        for pattern, meaning in _ADDITIONS.items():
            if found := re.fullmatch(pattern, code):
                parts = found.groups()
                if code.startswith("each"):
                    strides[parts[0]] = 8 * len(TABLES[parts[1]])
                code = meaning.format(
                    *parts,
                    field=offsets.get(parts[-1]),
                    end=offsets.get(f"{parts[-1]}_end"),
                    label=parts[0].lstrip("%"),
                    stride=strides.get(parts[0]),
                    serial=serial,
                )
        lines.append(code)
    return "\n".join(lines)
