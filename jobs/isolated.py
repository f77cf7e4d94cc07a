"""Calls in processes of their own, for what may crash or hang below Python."""

from __future__ import annotations

import multiprocessing
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Calls that wait or are done, for each process, while an earlier one still runs.
_AHEAD = 2


def call_isolated(
    function: Callable[[T], R], items: Iterable[T], *, num_processes: int, crashed: Callable[[T], R]
) -> Generator[tuple[T, R]]:
    """Call ``function`` with each item in one of several processes, and yield each result in the items' order.

    A process has one call at a time and is handed nothing else meanwhile, so that it is known which call it died at, and
    only that one is lost; its result is then ``crashed(item)``. What ``function`` raises is raised here.

    Args:
        function: what to call; it, the items and the results are pickled.
        items: what to call it with.
        num_processes: how many calls run at once.
        crashed: the result for an item at which the process died.
    """
    context = multiprocessing.get_context("forkserver")  # processes that know nothing of this one's threads
    here, pools = threading.local(), list[ProcessPoolExecutor]()

    def call(item: T) -> R:
        pool: ProcessPoolExecutor | None = getattr(here, "pool", None)
        if pool is None:
            pool = here.pool = ProcessPoolExecutor(1, mp_context=context)
            pools.append(pool)
        try:
            return pool.submit(function, item).result()
        except BrokenProcessPool:
            pools.remove(pool)
            pool.shutdown()
            here.pool = None
            return crashed(item)

    waiting: deque[tuple[T, Future[R]]] = deque()
    threads = ThreadPoolExecutor(num_processes, "isolated")
    try:
        for item in items:
            waiting.append((item, threads.submit(call, item)))
            if len(waiting) > _AHEAD * num_processes:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        threads.shutdown(cancel_futures=True)
        for pool in pools:
            pool.shutdown()
