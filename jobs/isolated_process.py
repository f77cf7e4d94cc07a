"""Work on files in processes apart: what a file makes a library do to its process costs that file alone."""

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

# Items that wait or are done, for each process, while an earlier one is still worked on.
_AHEAD = 2


def in_processes(work: Callable[[Item], Result], items: Iterable[Item], cpus: int) -> Generator[Result | None]:
    """What ``work`` makes of each item, in their order; None where the item takes its process down.

    A process has one item at a time and is handed nothing else meanwhile, so that it is known which one it died at.

    Args:
        work: a function of a module; what it raises is raised here.
        items: what to work on; a few are asked for ahead of their turn.
        cpus: how many processes.
    """
    here, pools = threading.local(), list[ProcessPoolExecutor]()

    def work_on(item: Item) -> Result | None:
        pool: ProcessPoolExecutor | None = getattr(here, "pool", None)
        if pool is None:
            pool = here.pool = _pool()
            pools.append(pool)
        try:
            return pool.submit(work, item).result()
        except BrokenProcessPool:
            pools.remove(pool)
            pool.shutdown()
            here.pool = None
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
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver"), initializer=_begin)


def _begin() -> None:
    """End with the process that this one works for: at once at Ctrl-C, and also where that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
