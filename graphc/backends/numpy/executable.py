"""Generated source, compiled and run: with NumPy's warnings off, and errors that name the user's line."""

from __future__ import annotations

import builtins
import contextvars
import itertools
import linecache
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from graphc.backends.base import GuardFailed
from graphc.backends.numpy.render import Source, render
from graphc.backends.numpy.spelling import spells, writes_into
from graphc.backends.perform import explained
from graphc.errors import GraphcError
from graphc.schedule.memory import plan
from graphc.schedule.schedule import Buffer, Compute, Schedule

_serial = itertools.count()


def compile(schedule: Schedule) -> NumpyExecutable:
    """Make a schedule run."""
    return NumpyExecutable(plan(schedule, writes_into, lambda step: spells(step.node.op)))


class NumpyExecutable:
    """A schedule as a Python function."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        rendered: Source = render(schedule)
        self.source = rendered.text
        self._steps = rendered.lines
        self._called = rendered.called
        self._filename = f"<graphc {schedule.name} #{next(_serial)}>"
        namespace = dict(rendered.names)
        exec(builtins.compile(rendered.text, self._filename, "exec"), namespace)
        self._function: Callable[..., tuple[Any, ...]] = namespace[schedule.name]
        # Tracebacks and debuggers show the generated lines.
        linecache.cache[self._filename] = (len(rendered.text), None, rendered.text.splitlines(True), self._filename)

    def __del__(self) -> None:
        linecache.cache.pop(self._filename, None)

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for the values of the schedule's inputs."""
        token = _ERRORS.set(_QUIET)
        try:
            return self._function(*values)
        except GuardFailed:
            raise
        except Exception as error:
            explained = self._explained(error)
            if explained is error:
                raise
            raise explained from error
        finally:
            _ERRORS.reset(token)

    def _value(self, buffer: Buffer, values: dict[str, Any]) -> Any:
        """What a buffer held when the function stopped."""
        return values.get(self._called.get(buffer, buffer.name), getattr(buffer.variable, "data", None))

    def _explained(self, error: Exception) -> Exception:
        """The error with the op, its operands and the user's line, found by the line of the source that raised it."""
        frame = _frame_in(error.__traceback__, self._filename)
        step = self._steps.get(frame.tb_lineno) if frame is not None else None
        if frame is None or not isinstance(step, Compute) or isinstance(error, GraphcError):
            return error
        values = frame.tb_frame.f_locals
        return explained(error, step.node, [self._value(b, values) for b in step.reads])


def _frame_in(traceback: TracebackType | None, filename: str) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_code.co_filename != filename:
        traceback = traceback.tb_next
    return traceback


def _quiet() -> tuple[contextvars.ContextVar[Any], Any]:
    """NumPy's error state and its value when all warnings are off.

    ``np.errstate`` does the same in about a microsecond, which is more than many steps take.  If this NumPy keeps
    its state elsewhere, a variable of our own takes the place, and warnings show.
    """
    with np.errstate(all="ignore"):
        inside = contextvars.copy_context()
    for variable, value in inside.items():
        if variable.name == "numpy.ufunc.extobj":
            return variable, value
    return contextvars.ContextVar("graphc.unused"), None


_ERRORS, _QUIET = _quiet()
