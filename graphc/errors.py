"""The exceptions of graphc, and the one way in which their messages are put together.

Every message names what was asked, what was found (the operands with shapes and dtypes), the line of the user's
program that built the node, and what to try.  `explain` writes it, so all errors look alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

MAX_LINES = 15


class GraphcError(Exception):
    """The base of every exception that graphc defines."""


class ShapeError(GraphcError, ValueError):
    """Sizes that had to be equal are not."""


class UnusedInputError(GraphcError, ValueError):
    """An input of a function is used by no output and no update."""


class MissingInputError(GraphcError, ValueError):
    """An output depends on a variable that is neither an input, nor shared, nor a constant."""


class DisconnectedInputError(GraphcError, ValueError):
    """A gradient was asked for with respect to a variable that the cost does not depend on."""


class UndefinedGradientError(GraphcError, TypeError):
    """The cost depends on a variable through an operation that has no gradient."""


class VerifyGradError(GraphcError, AssertionError):
    """A symbolic gradient differs from the finite differences it was compared with."""


class RewriteError(GraphcError, RuntimeError):
    """A rewrite rule changed the type of what it rewrote: a bug in the rule."""


class BackendError(GraphcError, RuntimeError):
    """A backend is unknown or cannot be used on this machine."""


class GpuUnavailableError(BackendError):
    """No usable GPU: the message names the step that failed."""


class Site(NamedTuple):
    """The line of the user's program at which a node was built; `op` is the op written there, if nodes replaced it."""

    filename: str
    lineno: int
    function: str
    op: str = ""

    def __str__(self) -> str:
        return f'File "{self.filename}", line {self.lineno}, in {self.function}'


def describe(value: Any) -> str:
    """One line about a run-time value: what it is, its dtype and shape, and the value itself when it is small."""
    shape = getattr(value, "shape", None)
    dtype = getattr(value, "dtype", None)
    if shape is None or not hasattr(dtype, "itemsize"):  # no array; the dtype of a symbolic variable is a word
        text = repr(value)
        return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
    line = f"{type(value).__name__} of {dtype}, shape {tuple(shape)}"
    if getattr(value, "size", 99) <= 4:
        line += ", value " + " ".join(str(value).split())
    return line


def explain(
    headline: str,
    operands: Iterable[str] = (),
    site: Site | None = None,
    hint: str | None = None,
) -> str:
    """A message of at most 15 lines: headline, operands, the line that built the node, and what to try."""
    lines = headline.splitlines()
    rows = [f"    {row}" for row in operands]
    tail = [f"  built at {site}"] if site is not None else []
    tail += [f"  try: {line}" if i == 0 else f"       {line}" for i, line in enumerate((hint or "").splitlines())]
    room = MAX_LINES - len(lines) - len(tail)
    if len(rows) > room:
        rows = [*rows[: max(room - 1, 0)], f"    ... and {len(rows) - max(room - 1, 0)} more"]
    return "\n".join((lines + rows + tail)[:MAX_LINES])


def with_context(error: Exception, message: str) -> Exception:
    """The same kind of exception with a message that explains; the original stays its ``__cause__``.

    What the original carries, its arguments and attributes, is kept.
    """
    kind = type(error)
    if len(error.args) <= 1:
        try:
            told = kind(message)
        except Exception:  # a constructor that takes something else
            return _retell(kind, error.args, message, vars(error))
        if str(told) == message:
            vars(told).update(vars(error))
            return told
    return _retell(kind, error.args, message, vars(error))


def _retell(kind: type[Exception], args: tuple[Any, ...], message: str, attributes: dict[str, Any]) -> Exception:
    """An exception of a subclass of `kind` that differs in its text alone."""
    retold: type[Exception] = _retold(kind)  # type: ignore[arg-type]
    try:
        told = retold(*args)
    except Exception:  # the arguments of the exception are not those of its constructor
        told = retold.__new__(retold, *args)
        told.args = args
    vars(told).update(attributes, _message=message)
    return told


@lru_cache(maxsize=256)
def _retold(kind: Any) -> Any:
    def reduce(self: Any) -> Any:
        return _retell, (kind, self.args, self._message, dict(vars(self)))

    told = {"__str__": lambda self: self._message, "__reduce__": reduce, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), told)
