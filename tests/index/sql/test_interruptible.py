from __future__ import annotations

import subprocess
import sys
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


# Presses Ctrl-C half a second after the work has begun.
CTRL_C = """
import os, signal, threading, time
from index.sql.interruptible import run_interruptible
from tests.index.sql.test_interruptible import Work

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background is deaf to it
work = Work()

def press():
    work.begun.wait(60)
    time.sleep(0.5)  # until it is waited for
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press).start()
try:
    run_interruptible(work.run, work.interrupt, None)
except KeyboardInterrupt:
    print("interrupted", work.attempts > 0, work.ended)
"""


def test_ctrl_c_is_raised_when_the_work_has_ended() -> None:
    # In a process of its own: a signal is for a whole process, and this one runs other tests.
    done = subprocess.run([sys.executable, "-c", CTRL_C], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted True True\n", "")
