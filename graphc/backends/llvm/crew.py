"""The crew of this process: threads that take shares of large work, and the loop over steps for such work.

`crew.ll` is the machine code.  The workers are threads of Python's that sit in one native call, without Python's lock:
they watch for a job for some microseconds after the last one, then sleep until the leader of the next wakes them.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import os
import re
import threading
from pathlib import Path
from typing import Any

from graphc.backends.llvm import capi
from graphc.backends.llvm.clock import INTERVAL, clock, pause
from graphc.backends.llvm.link import Code, link
from graphc.backends.llvm.once import once
from graphc.backends.llvm.shares import ASK, END, NUMBER, THREAD, WORK
from graphc.backends.llvm.support import BODY_COUNT, BODY_TABLE, HOLDS, WORD, driven, walk
from graphc.backends.llvm.target import Target, host
from graphc.backends.llvm.work import LARGE
from graphc.configuration import config
from graphc.kernels.launch import IN_ORDER, MANNERS, PARTS, TOTALS, WHOLE

INTERRUPTED = -2
"""What a routine returns if a signal handler raised something."""

_NUMBERS: dict[str, int] = {
    "END": END, "NUMBER": NUMBER, "THREAD": THREAD, "WORK": WORK, "ASK": ASK, "WORDS": ASK + 1,
    "TOTALS": MANNERS.index(TOTALS), "WHOLE": MANNERS.index(WHOLE), "IN_ORDER": MANNERS.index(IN_ORDER),
    "PARTS": PARTS, "PARTS_LESS_1": PARTS - 1, "LARGE": LARGE, "INTERRUPTED": INTERRUPTED,
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
_allocate_lock = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", ctypes.pythonapi))
_acquire_lock = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(
    ("PyThread_acquire_lock", ctypes.pythonapi)
)


@once
def machine_code(target: Target) -> Code:
    """The functions of `crew.ll`."""
    source = (Path(__file__).parent / "crew.ll").read_text()
    source = re.sub(r"\$\{(\w+)\}", lambda found: str(_NUMBERS[found[1]]), source)
    ticks, needed = clock()
    drive = walk("drive_at_large", "look_at_signals")
    body = driven("body_at_large", BODY_TABLE, BODY_COUNT, "drive_at_large")
    text = "\n".join([WORD, HOLDS, ticks, pause(), source, drive, body])
    return link(text, target, _FUNCTIONS, needed | _symbols())


def _symbols() -> dict[str, int]:
    api = ctypes.pythonapi
    names = """PyThread_release_lock PyThread_acquire_lock PyThread_get_thread_ident PyGILState_Ensure
        PyGILState_Release PyErr_CheckSignals PyEval_SaveThread PyEval_RestoreThread""".split()
    library: Any = ctypes
    yields = library.windll.kernel32.SwitchToThread if os.name == "nt" else library.CDLL(None).sched_yield
    return {name: capi.address(getattr(api, name)) for name in names} | {"let_others_run": capi.address(yields)}


def most_threads() -> int:
    """How many threads a function that is made now may use."""
    return min(config.threads or min(_omp_threads(), processors()), MOST_THREADS)


def _omp_threads() -> int:
    """What OMP_NUM_THREADS says: of a list, the first number.  What is no number above 0 says nothing."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else MOST_THREADS


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
        self._wanted = 0
        self._code: Code | None = None
        self._disband()

    def _disband(self) -> None:
        self._lock = threading.RLock()  # a signal handler may call a function, too
        self._workers: list[threading.Thread] = []
        self._numbers = itertools.count(1)  # of the workers; 0 is the leader of a job
        self._beds = (ctypes.c_void_p * (2 * MOST_THREADS))()

    def prepare(self, count: int) -> Code:
        """The machine code, and workers so that `count` threads can share work."""
        if self._code is None:
            with self._lock:
                code = machine_code(host())
                if self._code is None:
                    self._begin(code)
                    self._code = code
        self._wanted = max(self._wanted, count - 1)
        self.ready()
        return self._code

    def ready(self) -> None:
        """See to it that the workers are there: in the child of a fork they are not."""
        if len(self._workers) < self._wanted:
            with self._lock:
                self._enlist()

    def _begin(self, code: Code) -> None:
        _Begin(code["begin"])(ctypes.addressof(self._beds), threading.main_thread().ident or 0)

    def _enlist(self) -> None:
        assert self._code is not None
        while len(self._workers) < self._wanted:
            name = f"graphc-{len(self._workers) + 1}"
            worker = threading.Thread(target=self._work, args=(self._code,), name=name, daemon=True)
            try:
                worker.start()
            except RuntimeError:  # the system gives no more threads, or the interpreter is ending: fewer will do
                self._wanted = len(self._workers)
                break
            self._workers.append(worker)

    def _work(self, code: Code) -> None:
        """The life of a worker.

        He takes his number himself: of one whose start was interrupted nobody knows whether he is there.
        """
        number = next(self._numbers)
        if number >= MOST_THREADS:
            return
        lock = _allocate_lock()
        _acquire_lock(lock, 1)
        self._beds[2 * number - 1] = lock
        _Serve(code["enlist"])(number)
        _Serve(code["serve"])(number)

    def dismiss(self) -> None:
        """Let all workers end: the process does."""
        if self._code is not None:
            ctypes.CFUNCTYPE(None)(self._code["dismiss"])()
            for worker in self._workers:
                worker.join()

    def forget(self) -> None:
        """Begin anew in the child of a fork, which has none of the threads, and perhaps a lock that nobody releases."""
        self._disband()
        if self._code is not None:
            self._begin(self._code)


crew = Crew()
atexit.register(crew.dismiss)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=crew.forget)
