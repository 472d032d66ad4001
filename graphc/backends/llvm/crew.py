"""The crew of this process: threads that take shares of large work, and the loop over steps for such work.

`crew.ll` is the machine code.  The workers are threads of Python's that sit in one native call, without Python's lock:
they watch for a job for some microseconds after the last one, then sleep until the leader of the next wakes them.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphc.backends.llvm import capi
from graphc.backends.llvm.clock import INTERVAL, clock, pause
from graphc.backends.llvm.link import Code, link
from graphc.backends.llvm.once import once
from graphc.backends.llvm.shares import END, NUMBER, THREAD, WORK
from graphc.backends.llvm.support import BODY_COUNT, BODY_TABLE, HOLDS, WORD
from graphc.backends.llvm.target import Target, host
from graphc.backends.llvm.work import LARGE
from graphc.configuration import config
from graphc.kernels.launch import IN_ORDER, MANNERS, PARTS, TOTALS, WHOLE

INTERRUPTED = -2
"""What a routine returns if a signal handler raised something."""

_NUMBERS: dict[str, int] = {
    "END": END, "NUMBER": NUMBER, "THREAD": THREAD, "WORK": WORK,
    "TOTALS": MANNERS.index(TOTALS), "WHOLE": MANNERS.index(WHOLE), "IN_ORDER": MANNERS.index(IN_ORDER),
    "PARTS": PARTS, "PARTS_LESS_1": PARTS - 1, "LARGE": LARGE, "INTERRUPTED": INTERRUPTED,
    "BODY_TABLE": BODY_TABLE, "BODY_COUNT": BODY_COUNT,
    "SHARE": max(LARGE // 4, 1),  # the work of a share that several threads take, some 25 microseconds
    "LONG_SHARE": 4 * LARGE,  # ... and of one that no other thread waits for
    "SPINS": 400,  # how often a worker looks for the next job before he sleeps
    "INTERVAL": INTERVAL,
}  # fmt: skip

MOST_THREADS = 256

_FUNCTIONS = ("begin", "enlist", "dismiss", "serve", "divide", "drive_unlocked", "body_at_large")

# Called with Python's lock, and so that an exception is seen.
Unlocked = ctypes.PYFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_Serve = ctypes.CFUNCTYPE(None, ctypes.c_int64)
_Begin = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


@once
def machine_code(target: Target) -> Code:
    """The functions of `crew.ll`."""
    source = (Path(__file__).parent / "crew.ll").read_text()
    source = re.sub(r"\$\{(\w+)\}", lambda found: str(_NUMBERS[found[1]]), source)
    ticks, needed = clock()
    text = "\n".join([WORD, HOLDS, ticks, pause(), source])
    return link(text, target, _FUNCTIONS, needed | _symbols())


def _symbols() -> dict[str, int]:
    api = ctypes.pythonapi
    names = """PyThread_release_lock PyThread_acquire_lock PyThread_get_thread_ident PyGILState_Ensure
        PyGILState_Release PyErr_CheckSignals PyEval_SaveThread PyEval_RestoreThread""".split()
    library: Any = ctypes
    yields = library.windll.kernel32.SwitchToThread if os.name == "nt" else library.CDLL(None).sched_yield
    return {name: capi.address(getattr(api, name)) for name in names} | {"let_others_run": capi.address(yields)}


def threads() -> int:
    """How many threads work that is compiled now may use."""
    return config.threads or min(int(os.environ.get("OMP_NUM_THREADS") or 1 << 16), processors())


def processors() -> int:
    """How many processors this process may use: its affinity, and its share of time if that is limited (cgroups)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(affinity, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no such limit
        return affinity


class Crew:
    """The workers of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: list[threading.Thread] = []
        self._wanted = 0
        self._beds = (ctypes.c_void_p * (2 * MOST_THREADS))()
        self._code: Code | None = None

    def prepare(self, count: int) -> Code:
        """The machine code, and workers so that `count` threads can share work."""
        self._wanted = max(self._wanted, min(count, MOST_THREADS) - 1)
        if self._code is None:
            with self._lock:
                if self._code is None:
                    self._code = machine_code(host())
                    self._begin()
        self.ready()
        return self._code

    def ready(self) -> None:
        """See to it that the workers are there: in the child of a fork they are not."""
        if len(self._workers) < self._wanted:
            with self._lock:
                self._enlist()

    def _begin(self) -> None:
        assert self._code is not None
        _Begin(self._code["begin"])(ctypes.addressof(self._beds), threading.main_thread().ident or 0)

    def _enlist(self) -> None:
        assert self._code is not None
        allocate = ctypes.pythonapi.PyThread_allocate_lock
        allocate.restype = ctypes.c_void_p
        serve: Callable[[int], None] = _Serve(self._code["serve"])
        for number in range(len(self._workers), self._wanted):
            lock = ctypes.c_void_p(allocate())
            ctypes.pythonapi.PyThread_acquire_lock(lock, 1)
            self._beds[2 * number + 1] = lock.value
            worker = threading.Thread(target=serve, args=(number + 1,), name=f"graphc-{number + 1}", daemon=True)
            worker.start()
            self._workers.append(worker)
        _Serve(self._code["enlist"])(len(self._workers))

    def dismiss(self) -> None:
        """Let all workers end: the process does."""
        if self._code is not None:
            ctypes.CFUNCTYPE(None)(self._code["dismiss"])()
            for worker in self._workers:
                worker.join()

    def forget(self) -> None:
        """Begin anew in the child of a fork, which has none of the threads, and perhaps a lock that nobody releases."""
        self._lock = threading.Lock()
        self._workers = []
        self._beds = (ctypes.c_void_p * (2 * MOST_THREADS))()
        if self._code is not None:
            self._begin()


crew = Crew()
atexit.register(crew.dismiss)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=crew.forget)
