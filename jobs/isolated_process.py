"""Isolated processes: a file that crashes a library takes down the process that works on it, and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from jobs.child_processes import start_fork_server

Item = TypeVar("Item")
Result = TypeVar("Result")

# Items for each process that may be submitted ahead of the one whose result is next.
_AHEAD = 2


def in_processes(work: Callable[[Item], Result], items: Iterable[Item], cpus: int) -> Generator[Result | None]:
    """The results of ``work`` for each item, in order; None for an item that takes its process down.

    A process has one item at a time, so it is known which item it died at.

    Args:
        work: a function at the top of a module, or a `functools.partial` of one; its exceptions are raised here.
        items: what to work on; a few are taken ahead of their turn.
        cpus: how many processes.
    """
    this_thread, pools = threading.local(), list[ProcessPoolExecutor]()

    def work_on(item: Item) -> Result | None:
        pool: ProcessPoolExecutor | None = getattr(this_thread, "pool", None)
        if pool is None:
            pool = this_thread.pool = _pool()
            pools.append(pool)
        try:
            return pool.submit(work, item).result()
        except BrokenProcessPool:
            pools.remove(pool)
            pool.shutdown()
            this_thread.pool = None
            return None

    waiting: deque[Future[Result | None]] = deque()
    threads = ThreadPoolExecutor(cpus, "isolated")
    try:
        for item in items:
            if not (waiting or pools):
                start_fork_server()
            waiting.append(threads.submit(work_on, item))
            if len(waiting) > _AHEAD * cpus:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
        for pool in pools:
            pool.shutdown()


def _pool() -> ProcessPoolExecutor:
    """A pool of one process."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Make this process end at once at Ctrl-C, and when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
