"""Work on files in processes apart: what a file makes a library do to its process costs that file alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(work: Callable[[Item], Result], items: Iterable[Item], cpus: int) -> Iterator[Result | None]:
    """What ``work`` makes of each item, in their order; None where the item takes its process down.

    Args:
        work: a function of a module; what it raises is raised here.
        items: what to work on; a few are asked for ahead of their turn.
        cpus: how many processes.
    """
    pool = _pool(cpus)
    waiting: deque[tuple[Item, Future[Result]]] = deque()

    def next_one() -> Result | None:
        item, future = waiting.popleft()
        try:
            return future.result()
        except BrokenProcessPool:  # through this item, or through another at the same time
            with _pool(1) as alone:
                try:
                    return alone.submit(work, item).result()
                except BrokenProcessPool:
                    return None

    try:
        for item in items:
            try:
                future = pool.submit(work, item)
            except BrokenProcessPool:
                pool.shutdown()
                pool = _pool(cpus)
                future = pool.submit(work, item)
            waiting.append((item, future))
            if len(waiting) > 2 * cpus:
                yield next_one()
        while waiting:
            yield next_one()
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(cpus: int) -> ProcessPoolExecutor:
    # Workers that know nothing of this process's threads.
    return ProcessPoolExecutor(cpus, mp_context=multiprocessing.get_context("forkserver"), initializer=_begin)


def _begin() -> None:
    """End with the process that this one works for: at once at Ctrl-C, and also where that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
