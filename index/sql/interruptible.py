"""Run something that blocks in native code so that Ctrl-C and a time limit can end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TypeVar

Result = TypeVar("Result")

# Between two attempts to interrupt: one that comes before the work has begun is lost.
_AGAIN_S = 0.05

_ONE_STARTS = threading.Lock()  # since the size of stacks is the whole process's


# How long what was interrupted may take to end: some of DuckDB's functions do not look whether they are.
_GRACE_S = 5.0

# Of the thread's stack: a thousand brackets within each other take that much of it here and there. Only what is used of it
# takes memory.
_STACK_BYTES = 512 << 20


class GivenUpError(Exception):
    """Work that did not end though it was interrupted; its thread goes on."""


def run_interruptible(work: Callable[[], Result], interrupt: Callable[[], None], timeout_s: float | None) -> Result:
    """The result of ``work``, which runs in a thread, since signals are seen only where Python's own code runs.

    Args:
        work: what blocks.
        interrupt: makes it end soon, by an error; called from another thread.
        timeout_s: seconds after which it is interrupted; None lets it run.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the work has ended, or some seconds have passed.
        GivenUpError: it did not end within some seconds of the interruption.
        Exception: what ``work`` raises, also because it was interrupted.
    """
    future: Future[Result] = Future()
    thread = threading.Thread(target=_run, args=(work, future), daemon=True)
    with _ONE_STARTS:
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
