"""Isolated processes: a file that crashes a library takes down the process that works on it, and nothing else."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pipeline.child_processes import start_fork_server
from pipeline.isolated_process import IsolatedProcess, ProcessCrashed

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
    this_thread, processes = threading.local(), list[IsolatedProcess]()

    def work_on(item: Item) -> Result | None:
        process: IsolatedProcess | None = getattr(this_thread, "process", None)
        if process is None:
            process = this_thread.process = IsolatedProcess()
            processes.append(process)
        try:
            return process.run(work, item)
        except ProcessCrashed:
            return None

    waiting: deque[Future[Result | None]] = deque()
    threads = ThreadPoolExecutor(cpus, "isolated")
    try:
        for item in items:
            if not (waiting or processes):
                start_fork_server()
            waiting.append(threads.submit(work_on, item))
            if len(waiting) > _AHEAD * cpus:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
        for process in processes:
            process.kill()
