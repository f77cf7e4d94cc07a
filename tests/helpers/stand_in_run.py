"""A run without Ray, in the place of the one that an ingest starts."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from jobs.ingest.progress import Queues
from jobs.ingest.steps import Job
from jobs.ingest.timing import RunStats, StageTiming
from schemas.records import Problem, VideoFile


class StandInRun:
    """Stands in for `jobs.ingest.ray_startup.RaySession` and for the run that it starts; subclasses have its ``outcomes``.

    Attributes:
        lost_reason: why a video did not come back, where one does not.
    """

    is_here = False
    has_begun = False
    lost_reason = "it did not come back"

    def __init__(self, make_job: Callable[[], Job]) -> None:
        self.make_job = make_job
        self.start = StageTiming("start", 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def begin(self) -> None:
        pass

    def ready(self) -> Self:
        return self

    def stats(self) -> RunStats:
        return RunStats()

    def queues(self) -> Queues:
        return Queues()

    def summary(self, timeout_s: float | None = None) -> None:
        return None

    def lost(self) -> Callable[[VideoFile], Problem]:
        return lambda file: Problem("decode", self.lost_reason)
