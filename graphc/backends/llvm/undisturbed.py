"""Work that no signal disturbs.

A signal is handled between any two steps of the main thread, so an exception that its handler raises may come where it
is lost: LLVM's objects are dropped by finalisers, whose exceptions Python only prints.  And what was nearly made would
be made again, from the beginning, after every Ctrl-C.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def undisturbed(work: Callable[[], Result]) -> Result:
    """What some work returns or raises; another thread does it, if this is the main one and there can be another.

    A handler's exception ends the wait at once.  The work goes on meanwhile, and what it keeps is there the next time.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="graphc-compiles")
    try:
        thread.start()
    except RuntimeError:  # the system gives no more threads, or the interpreter is ending
        return work()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
