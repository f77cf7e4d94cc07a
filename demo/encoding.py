"""Guards against an encoder that changes the scheduling of the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def same_scheduling() -> Iterator[None]:
    """Restore this thread's scheduling after the block.

    Run as root, SVT-AV1's encoder puts the thread that opens it into the real-time class (SCHED_FIFO, 99) and leaves it
    there. Threads and processes that it starts later inherit this, and keep all others off the cores while they spin.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
