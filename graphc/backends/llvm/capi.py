"""What machine code needs to know of CPython and NumPy: where they keep things, and the addresses of their functions.

The places are compiled into a few structs that have not changed in the versions graphc runs on.  Nothing relies on
that: at the first use objects are made whose contents are known, and read back through the table below.  Where one
reading differs, `offsets` is None and functions are entered through Python.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import sysconfig
import weakref
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from graphc.backends.vectorcall import Callee
from graphc.graph.shared import Cell

# The dtypes of arrays that machine code handles.
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")

_HEAD = object.__basicsize__  # the reference count and the type

# Bytes from the start of an object: CPython's ...
_OF_OBJECTS: dict[str, int] = {
    "object.type": _HEAD - 8,
    "list.items": _HEAD + 8,
    "number.value": _HEAD,  # of a float, and of NumPy's scalars
    "view.data": 0,  # the buffer protocol
    "view.ndim": 36,
    "view.format": 40,
    "view.shape": 48,
}

# ... and NumPy's.
_OF_ARRAYS: dict[str, int] = {
    "object.references": _HEAD - 16,  # the low 32 bits; since Python 3.14 the others hold flags
    "array.data": _HEAD,
    "array.ndim": _HEAD + 8,
    "array.dims": _HEAD + 16,
    "array.base": _HEAD + 32,
    "array.descr": _HEAD + 40,
    "array.flags": _HEAD + 48,
    "array.weakrefs": _HEAD + 56,
    "descr.order": _HEAD + 10,
    "descr.number": _HEAD + 12,
}

C_CONTIGUOUS, OWNDATA, ALIGNED, WRITEABLE, WRITEBACK = 0x1, 0x4, 0x100, 0x400, 0x2000

# Positions in NumPy's table of functions.
_ARRAY_TYPE, _NEW_FROM_DESCR = 2, 94


class Context:
    """What an entry knows of its function: the context of the object that is called.

    words: the tables that the machine code reads, and their address; kept: arrays that are used again from call to
    call; slow: the function by way of Python; owned: all else whose addresses are in the tables.
    """

    __slots__ = ("address", "kept", "owned", "slow", "words")

    def __init__(
        self, words: np.ndarray[Any, Any], kept: list[Any], slow: Callable[..., Any], owned: tuple[object, ...]
    ) -> None:
        self.words = words
        self.address = words.ctypes.data
        self.kept = kept
        self.slow = slow
        self.owned = owned


def supported() -> bool:
    """Whether this Python is one that the table above can be right for."""
    return (
        platform.python_implementation() == "CPython"
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
        and sys.byteorder == "little"
        and ctypes.sizeof(ctypes.c_void_p) == 8
    )


@cache
def offsets(arrays: bool = True) -> Mapping[str, int] | None:
    """Where fields are, in bytes from the start of their object; None if what is found there is not what it should be.

    arrays: those of NumPy's arrays too.
    """
    if not supported():
        return None
    context = Context(np.zeros(1), [], len, ())
    slots = {f"cell.{name}": slot(Cell(np.zeros(())), name) for name in ("value", "running")}
    slots |= {f"context.{name}": slot(context, name) for name in ("words", "address")}
    slots["callee.context"] = slot(Callee(), "_context")
    known = {name: at for name, at in slots.items() if at is not None}
    found = MappingProxyType(_OF_OBJECTS | (_OF_ARRAYS if arrays else {}) | known)
    agrees = len(known) == len(slots) and objects_agree(found) and (not arrays or arrays_agree(found))
    return found if agrees else None


def slot(instance: object, name: str) -> int | None:
    """Where an object with ``__slots__`` keeps an attribute."""
    marker = object()
    setattr(instance, name, marker)
    size = type(instance).__basicsize__
    return next((at for at in range(_HEAD, size, 8) if _word(instance, at) == id(marker)), None)


def objects_agree(at: Mapping[str, int]) -> bool:
    """Whether Python's objects hold known contents where the table says."""
    numbers = (0.1, -3e300)
    items: list[Any] = [*numbers, object()]
    first = _word(items, at["list.items"])
    return (
        all(_word(x, at["object.type"]) == id(type(x)) for x in (items, *items))
        and [ctypes.c_size_t.from_address(first + 8 * i).value for i in range(3)] == list(map(id, items))
        and all(ctypes.c_double.from_address(id(x) + at["number.value"]).value == x for x in numbers)
    )


def arrays_agree(at: Mapping[str, int]) -> bool:
    """Whether NumPy's objects do."""
    return _arrays_agree(at) and _dtypes_agree(at) and _scalars_agree(at) and _references_agree(at)


def _arrays_agree(at: Mapping[str, int]) -> bool:
    whole = np.arange(24.0)
    frozen = np.zeros((2, 3), "int32")
    frozen.flags.writeable = False
    samples = [whole, whole.reshape(2, 3, 4), whole[::2], whole.reshape(4, 6).T, np.zeros((), "float32"), frozen]
    for a in samples:
        dims = _word(a, at["array.dims"])
        flags = _half(a, at["array.flags"])
        kept = {C_CONTIGUOUS: "C", OWNDATA: "O", ALIGNED: "A", WRITEABLE: "W", WRITEBACK: "X"}
        agrees = (
            _word(a, at["object.type"]) == id(np.ndarray)
            and _word(a, at["array.data"]) == a.ctypes.data
            and _half(a, at["array.ndim"]) == a.ndim
            and all(ctypes.c_int64.from_address(dims + 8 * i).value == n for i, n in enumerate(a.shape))
            and _word(a, at["array.base"]) == (0 if a.base is None else id(a.base))
            and _word(a, at["array.descr"]) == id(a.dtype)
            and all(bool(flags & bit) == a.flags[letter] for bit, letter in kept.items())
        )
        if not agrees:
            return False
    before = _word(whole, at["array.weakrefs"])
    reference = weakref.ref(whole)
    return before == 0 and _word(whole, at["array.weakrefs"]) == id(reference)


def _dtypes_agree(at: Mapping[str, int]) -> bool:
    samples = [np.dtype(name) for name in DTYPES] + [np.dtype(">f8"), np.dtype(">i4")]
    return all(
        _half(d, at["descr.number"]) == d.num and ctypes.string_at(id(d) + at["descr.order"], 1) == d.byteorder.encode()
        for d in samples
    )


def _scalars_agree(at: Mapping[str, int]) -> bool:
    scalars = [np.dtype(name).type(1) for name in DTYPES] + [np.float64(-2.5), np.int32(-7), np.uint8(200)]
    return all(ctypes.string_at(id(x) + at["number.value"], x.itemsize) == x.tobytes() for x in scalars)


def _references_agree(at: Mapping[str, int]) -> bool:
    only = [np.zeros(3)]
    first = ctypes.c_size_t.from_address(_word(only, at["list.items"])).value
    counts = [_half_at(first + at["object.references"])]
    also = [only[0], only[0]]
    counts.append(_half_at(first + at["object.references"]))
    del also
    counts.append(_half_at(first + at["object.references"]))
    return counts == [1, 3, 1]


def _word(x: object, offset: int) -> int:
    return ctypes.c_size_t.from_address(id(x) + offset).value


def _half(x: object, offset: int) -> int:
    return _half_at(id(x) + offset)


def _half_at(address: int) -> int:
    return ctypes.c_int32.from_address(address).value


# ---- functions ----


def address(function: Any) -> int:
    """The address of a function of the C library of Python."""
    found = ctypes.cast(function, ctypes.c_void_p).value
    assert found is not None
    return found


@cache
def symbols() -> dict[str, int]:
    """The addresses of all that the entry calls or compares with, by name."""
    api = ctypes.pythonapi
    names = """Py_IncRef Py_DecRef PyList_New PyErr_Clear PyErr_Occurred PyLong_AsLongLongAndOverflow
        PyObject_CallFunctionObjArgs PyEval_SaveThread PyEval_RestoreThread PyObject_GetBuffer PyBuffer_Release
        PyLong_AsVoidPtr"""
    table = _numpy_table()
    # Python 3.10 exports no PyObject_Vectorcall; what the entry calls is a plain `def`, for which this is the same.
    call = getattr(api, "PyObject_Vectorcall", None) or api._PyFunction_Vectorcall
    return {name: address(getattr(api, name)) for name in names.split()} | {
        "PyObject_Vectorcall": address(call),
        "PyFloat_Type": id(float),
        "PyLong_Type": id(int),
        "Py_False": id(False),
        "Py_None": id(None),
        "PyArray_Type": table[_ARRAY_TYPE],
        "PyArray_NewFromDescr": table[_NEW_FROM_DESCR],
        "uint8": id(np.dtype("uint8")),
    }


def _numpy_table() -> Any:
    """NumPy's table of functions: addresses."""
    from numpy._core import _multiarray_umath as module  # type: ignore[attr-defined]

    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    pointer = prototype(("PyCapsule_GetPointer", ctypes.pythonapi))
    return (ctypes.c_size_t * (_NEW_FROM_DESCR + 1)).from_address(pointer(module._ARRAY_API, None))
