from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from index.sql.interruptible import run_interruptible


class Work:
    """Blocks until it is interrupted, but for the first ``deaf`` attempts, which come too early."""

    def __init__(self, deaf: int = 0) -> None:
        self.attempts, self.ended, self._deaf, self._told = 0, False, deaf, threading.Event()
        self.begun = threading.Event()

    def run(self) -> str:
        self.begun.set()
        self._told.wait(20)
        self.ended = True
        raise ValueError("interrupted")

    def interrupt(self) -> None:
        self.attempts += 1
        if self.attempts > self._deaf:
            self._told.set()


def test_what_ends_by_itself_is_left_alone() -> None:
    work = Work()
    assert run_interruptible(lambda: "done", work.interrupt, None) == "done"
    assert run_interruptible(lambda: "done", work.interrupt, 10.0) == "done"
    assert run_interruptible(threading.get_ident, work.interrupt, None) != threading.get_ident()
    assert work.attempts == 0


def test_an_error_is_its_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        run_interruptible(lambda: str(1 / 0), Work().interrupt, None)


def test_what_takes_too_long_is_interrupted_until_it_hears() -> None:
    work, began = Work(deaf=2), time.monotonic()
    with pytest.raises(ValueError, match="interrupted"):
        run_interruptible(work.run, work.interrupt, 0.2)
    assert work.attempts >= 3
    assert 0.2 <= time.monotonic() - began < 10


def test_ctrl_c_is_raised_when_the_work_has_ended() -> None:
    work = Work()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background is deaf to it

    def press() -> None:
        work.begun.wait(20)
        time.sleep(0.2)  # until it is waited for
        os.kill(os.getpid(), signal.SIGINT)

    finger = threading.Thread(target=press)
    finger.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_interruptible(work.run, work.interrupt, None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert work.ended
