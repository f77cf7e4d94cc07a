"""Starts Ray in a background thread while files are listed: its processes take seconds to come up, and so do the models."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from jobs.ingest.steps import Job
from jobs.ingest.timing import StageTiming, timed
from schemas.errors import UsageError

if TYPE_CHECKING:
    from jobs.ingest.ray_run import RayRun


class RaySession:
    """Ray for one run. Until `begin` or `ready` is called, it is not started, and not even imported.

    One thread holds it from start to end, since Ray's processes end with the thread that started them.

    Attributes:
        start: how long starting took, once it has ended.
    """

    def __init__(self, make_job: Callable[[], Job]) -> None:
        """``make_job`` is called by the thread when Ray starts."""
        self._make_job = make_job
        self._thread: threading.Thread | None = None
        self._started, self._closing = threading.Event(), threading.Event()
        self._run: RayRun | None = None
        self._error: BaseException | None = None
        self.start = StageTiming("start", time.time())

    def __enter__(self) -> RaySession:
        return self

    @property
    def has_begun(self) -> bool:
        """Whether Ray was started, or is being."""
        return self._thread is not None

    def begin(self) -> None:
        """Start Ray in the background, unless that has been done."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._hold, daemon=True)
            self._thread.start()

    def ready(self) -> RayRun:
        """Wait until Ray is up, and return the run, whose annotators are loading the models.

        Raises:
            ModelError: the job cannot be made.
            JobError: Ray cannot be started on this machine.
            UsageError: no Ray cluster answers at the address, or it has no GPU for a decoder that needs one.
        """
        self.begin()
        self._started.wait()
        if self._error is not None:
            raise self._error
        assert self._run is not None
        return self._run

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _hold(self) -> None:
        with ExitStack() as stack:
            try:
                with timed("start", cpu=time.thread_time) as self.start:
                    job = self._make_job()
                    from jobs.cluster.session import ray_session
                    from jobs.ingest.ray_run import RayRun

                    if self._closing.is_set():  # the caller has failed meanwhile
                        return
                    stack.enter_context(ray_session(job.options))
                    self._run = RayRun(job)
                    stack.callback(self._run.close)
            except BaseException as exc:  # noqa: BLE001 - `ready` raises it
                self._error = exc
                return
            finally:
                self._started.set()
            self._closing.wait()


class KeptRay:
    """Ray and the loaded models, kept from one ingest to the next, which have to be of one library and run alike."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._session: RaySession | None = None

    @property
    def is_held(self) -> bool:
        """Whether there is a session that the next ingest will use."""
        return self._session is not None

    @contextmanager
    def session(self, make: Callable[[], RaySession]) -> Iterator[RaySession]:
        """The session that is kept, or a new one. One in which something broke is ended, as nobody knows its state."""
        if self._session is None:
            self._session = make().__enter__()
        elif self._session.has_begun:
            self._session.start = StageTiming("start", time.time())  # which took no time on this occasion
        try:
            yield self._session
        except UsageError:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the session, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            session.__exit__(None, None, None)
