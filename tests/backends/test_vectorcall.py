"""Objects whose calls go to machine code."""

from __future__ import annotations

import ctypes
import gc
import inspect
import platform
import weakref
from typing import Any

import pytest

from graphc.backends.vectorcall import Callee, enter, entered

pytestmark = pytest.mark.skipif(platform.python_implementation() != "CPython", reason="CPython's protocol")

COUNT = (1 << 63) - 1


class Answer(Callee):
    """Says who answers."""

    def __call__(self, *args: Any) -> Any:
        return "python", len(args)


def answer(self: Any, args: int, count: int, names: int) -> Any:
    return self._context, count & COUNT


VECTORCALL = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.py_object, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
)
ANSWER = VECTORCALL(answer)
ADDRESS = ctypes.cast(ANSWER, ctypes.c_void_p).value or 0


def test_calls_go_to_the_function_and_back() -> None:
    x: Any = Answer()
    assert x(1) == ("python", 1)
    enter(x, Answer, ADDRESS, "context")
    assert x(1, 2) == x(*[1, 2]) == x.__call__(1, 2) == ("context", 2)
    x.__class__ = Answer
    assert x(1) == ("python", 1)


def test_the_class_looks_like_the_objects_own() -> None:
    cls = entered(Answer)
    assert (cls.__name__, cls.__module__, cls.__doc__) == (Answer.__name__, __name__, Answer.__doc__)
    x: Any = Answer()
    enter(x, Answer, ADDRESS, None)
    assert isinstance(x, Answer)
    assert str(inspect.signature(x)) == "(*args, **kwargs)"


def test_without_a_function_a_call_is_an_error() -> None:
    made: Any = entered(Answer)()
    with pytest.raises(TypeError, match="vectorcall"):
        made()


def test_objects_are_freed_with_their_context() -> None:
    x: Any = Answer()
    enter(x, Answer, ADDRESS, [x])
    x.itself = x
    gone = weakref.ref(x)
    del x
    gc.collect()
    assert gone() is None
