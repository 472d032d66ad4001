"""Work that no signal disturbs."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from graphc.backends.llvm.undisturbed import undisturbed


def test_results_and_errors_come_out() -> None:
    assert undisturbed(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        undisturbed(lambda: 1 // 0)


def test_another_thread_does_the_work_of_the_main_one_only() -> None:
    assert undisturbed(threading.current_thread) is not threading.current_thread()
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(undisturbed(threading.current_thread) is thread))
    thread.start()
    thread.join()
    assert found == [True]


@pytest.mark.skipif(os.name == "nt", reason="signals are sent as POSIX does")
def test_an_interrupt_ends_the_wait_and_not_the_work() -> None:
    class Stop(Exception):
        pass

    def handler(*_: Any) -> None:
        raise Stop

    done, go_on = threading.Event(), threading.Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        go_on.wait(60)
        done.set()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(Stop):
            undisturbed(work)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not done.is_set()
    go_on.set()
    assert done.wait(60)
