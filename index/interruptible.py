"""Run something that blocks in native code so that Ctrl-C and a time limit can end it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TypeVar

Result = TypeVar("Result")

# Between two attempts to interrupt: one that comes before the work has begun is lost.
_AGAIN_S = 0.05


def run_interruptible(work: Callable[[], Result], interrupt: Callable[[], None], timeout_s: float | None) -> Result:
    """The result of ``work``, which runs in a thread, since signals are seen only where Python's own code runs.

    Args:
        work: what blocks.
        interrupt: makes it end soon, by an error; called from another thread.
        timeout_s: seconds after which it is interrupted; None lets it run.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the work has ended.
        Exception: what ``work`` raises, also because it was interrupted.
    """
    future: Future[Result] = Future()
    thread = threading.Thread(target=_run, args=(work, future), daemon=True)
    thread.start()
    try:
        wait_for([future], timeout=None if timeout_s is None else min(timeout_s, threading.TIMEOUT_MAX))
    finally:
        while not future.done():
            interrupt()
            wait_for([future], timeout=_AGAIN_S)
        thread.join()
    return future.result()


def _run(work: Callable[[], Result], future: Future[Result]) -> None:
    try:
        future.set_result(work())
    except BaseException as exc:  # noqa: BLE001 - handed on to the caller, who raises it
        future.set_exception(exc)
