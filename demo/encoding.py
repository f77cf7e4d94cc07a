"""Encoding that leaves the process as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def same_scheduling() -> Iterator[None]:
    """Schedule this thread after the block as before it.

    Where root runs it, SVT-AV1's encoder puts the thread that opens it into the real-time class (SCHED_FIFO, 99) and leaves
    it there. Every thread and process that it starts later inherits this, and keeps all others off the cores while it spins.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
