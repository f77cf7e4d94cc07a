"""Runs work that blocks in native code so that Ctrl-C and a time limit can stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TypeVar

Result = TypeVar("Result")

# Seconds between two attempts to interrupt: an attempt before the work has begun is lost.
_AGAIN_S = 0.05

_STARTING = threading.Lock()  # the stack size for new threads is a setting of the whole process

# Seconds that interrupted work may take to end: some of DuckDB's functions do not check for interrupts.
_GRACE_S = 5.0

# The size of the thread's stack: a thousand nested brackets can take that much. Only the part that is used takes memory.
_STACK_BYTES = 512 << 20


class GivenUpError(Exception):
    """The work did not end though it was interrupted; its thread goes on."""


def run_interruptible(work: Callable[[], Result], interrupt: Callable[[], None], timeout_s: float | None) -> Result:
    """Run ``work`` in a thread and return its result, while this thread waits in Python code, where signals are seen.

    Args:
        work: the call that blocks.
        interrupt: makes the work end soon, by an error; called from the caller's thread.
        timeout_s: seconds after which it is interrupted; None sets no limit.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the work has ended, or some seconds have passed.
        GivenUpError: it did not end within some seconds of the interruption.
        Exception: any that ``work`` raises, also because it was interrupted.
    """
    future: Future[Result] = Future()
    thread = threading.Thread(target=_run, args=(work, future), daemon=True)
    with _STARTING:
        before = threading.stack_size(_STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    try:
        wait_for([future], timeout=None if timeout_s is None else min(timeout_s, threading.TIMEOUT_MAX))
    finally:
        give_up_s = time.monotonic() + _GRACE_S
        while not future.done() and time.monotonic() < give_up_s:
            interrupt()
            wait_for([future], timeout=_AGAIN_S)
    if not future.done():
        raise GivenUpError
    thread.join()
    return future.result()


def _run(work: Callable[[], Result], future: Future[Result]) -> None:
    try:
        future.set_result(work())
    except BaseException as exc:  # noqa: BLE001 - handed on to the caller, who raises it
        future.set_exception(exc)
