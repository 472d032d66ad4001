"""Objects whose calls CPython takes straight to machine code, by its vectorcall protocol (PEP 590).

A `Callee` has a word for the address of a function in C,

    object *call(object *self, object **args, size_t count, object *names)

and a place for what that function wants to know.  In the class that `entered` makes of the object's own one, calls go
there; nothing looks for ``__call__``, and no tuple of arguments is made.
"""

from __future__ import annotations

import ctypes
import inspect
import platform
from functools import cache
from typing import TYPE_CHECKING, Any


class _Slot(ctypes.Structure):
    """What CPython calls PyType_Slot: something that a type has, or the end."""

    _fields_ = (("number", ctypes.c_int), ("value", ctypes.c_void_p))


class _Member(ctypes.Structure):
    """PyMemberDef: a field of a type's objects, or the end."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Spec(ctypes.Structure):
    """PyType_Spec: a type; size: in bytes, of an object, 0 for that of the base's."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("size", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


_IS_BASE, _HAS_VECTORCALL = 1 << 10, 1 << 11
_TP_CALL, _TP_MEMBERS = 50, 72
_SSIZE, _READONLY = 19, 1

# Where the word is, in bytes from the start of an object.
_WORD = object.__basicsize__


@cache
def _new_type() -> Any:
    prototype = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object)
    return prototype(("PyType_FromSpecWithBases", ctypes.pythonapi))


@cache
def _spec_with_word() -> _Spec:
    return _Spec(b"graphc.Word", _WORD + ctypes.sizeof(ctypes.c_void_p), 0, _IS_BASE, (_Slot * 1)())


@cache
def _spec_with_vectorcall() -> _Spec:
    members = (_Member * 2)(_Member(b"__vectorcalloffset__", _SSIZE, _WORD, _READONLY, None))
    call = ctypes.cast(ctypes.pythonapi.PyVectorcall_Call, ctypes.c_void_p)
    slots = (_Slot * 3)(_Slot(_TP_MEMBERS, ctypes.addressof(members)), _Slot(_TP_CALL, call.value))
    spec = _Spec(b"graphc.Callee", 0, 0, _HAS_VECTORCALL, slots)
    spec.members = members  # which CPython may read as long as there is the type
    return spec


if TYPE_CHECKING or platform.python_implementation() != "CPython":
    _Word = object
else:
    _Word = _new_type()(ctypes.addressof(_spec_with_word()), (object,))


class Callee(_Word):
    """An object whose calls may go to machine code; `_context`: what that wants to know."""

    __slots__ = ("_context",)

    _context: object


@cache
def entered(cls: Any) -> type[Any]:
    """The class for objects of `cls` whose calls go to machine code."""
    made: Any = _new_type()(ctypes.addressof(_spec_with_vectorcall()), (cls,))
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(made, name, getattr(cls, name))
    made.__signature__ = inspect.signature(lambda *args, **kwargs: None)
    return made  # type: ignore[no-any-return]


def enter(callee: Callee, cls: Any, function: int, context: object) -> None:
    """Let calls of an object, whose own class is `cls`, go to the function at an address."""
    callee._context = context
    ctypes.c_void_p.from_address(id(callee) + _WORD).value = function
    callee.__class__ = entered(cls)
