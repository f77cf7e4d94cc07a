"""Ray's start, beside what an ingest still has to find out: its processes take seconds to come up."""

from __future__ import annotations

import signal
import threading
import time
from types import TracebackType

from jobs.work import Work, timed
from schemas.options import IngestOptions


class RaySession:
    """Ray for one run. Where nobody asks for it, it is not started, and not even imported.

    A thread holds it from start to end: its processes end with the thread that started them.
    """

    def __init__(self, options: IngestOptions) -> None:
        self._options = options
        self._thread: threading.Thread | None = None
        self._started, self._over = threading.Event(), threading.Event()
        self._work: Work | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> RaySession:
        return self

    def begin(self) -> None:
        """Start it, and do not wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._hold, daemon=True)
            self._thread.start()

    def ready(self) -> Work:
        """Wait until it is up; returns what starting took.

        Raises:
            JobError: it cannot be started on this machine.
            UsageError: no Ray cluster answers at the address.
        """
        self.begin()
        self._started.wait()
        stop = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is threading.main_thread() and stop is not None:
            signal.signal(signal.SIGTERM, stop)  # Ray has put one below it that writes to the terminal
        if self._error is not None:
            raise self._error
        assert self._work is not None
        return self._work

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _hold(self) -> None:
        try:
            with timed("start", cpu=time.thread_time) as work:
                from jobs.engine import ray_session

                session = ray_session(self._options)
                session.__enter__()
            self._work = work
        except BaseException as exc:  # noqa: BLE001 - it is raised where somebody waits for the start
            self._error = exc
            return
        finally:
            self._started.set()
        self._over.wait()
        session.__exit__(None, None, None)
