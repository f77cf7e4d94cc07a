"""Runs a `Job`'s steps on this machine or on a cluster.

    groups of files -> plan (tasks) -> groups or chains of jobs -> decode (tasks; an actor per chain) -> clips
    -> annotate (actors, one per GPU) -> rows -> write (tasks) -> outcomes, to the driver

The driver hands out work and passes on references: frames go from the decoder's machine to the annotator's, once. While
clips that are decoded and not yet annotated fill half of the object store, nothing more is decoded. A task costs Ray some
milliseconds, so short videos go in groups. A worker that dies is replaced; the new one skips the videos at which two workers
have died. Machines of a cluster may come and go: what was on one that has gone is made again on others.
`jobs.ingest.layout` keeps annotators on the machines that there are, `jobs.ingest.scheduler` hands out the work,
`jobs.ingest.workers` is what the workers run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import ray

from jobs.cluster.nodes import on_this_node
from jobs.ingest.layout import Layout
from jobs.ingest.profile import RunSummary
from jobs.ingest.progress import Queues
from jobs.ingest.resources import ResourcePlan
from jobs.ingest.scheduler import Scheduler
from jobs.ingest.steps import Job
from jobs.ingest.timing import RunStats
from jobs.ingest.workers import CRASHED, StatsActor
from schemas.errors import JobError
from schemas.records import Outcome, Problem, VideoFile


@contextmanager
def _ray_errors_as_job_error() -> Iterator[None]:
    """Raise Ray's errors as one of vidsift's.

    Raises:
        JobError: Ray has failed.
    """
    try:
        yield
    except ray.exceptions.RayError as exc:
        raise JobError(f"the run ended early: {_cause(exc)}; run the same command again to go on") from exc


class RayRun:
    """A run over many videos: `outcomes` does the work, once or several times, and `stats` says meanwhile how far it is.

    Attributes:
        is_here: whether these are this machine alone.
    """

    def __init__(self, job: Job) -> None:
        """Start the annotators, which begin to load the models; the videos need not be known yet.

        Raises:
            UsageError: the decoder needs a GPU, and there is none; or a machine of the cluster lacks something.
        """
        self._job = job
        self._stats, self._has_run, self._moved_bytes = RunStats(), False, 0
        self._scheduler: Scheduler | None = None
        self.is_here = job.options.address is None
        # On this machine, where it lives as long as the run does: it counts for all of them.
        self._stats_actor: Any = (
            ray.remote(StatsActor)
            .options(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=on_this_node())
            .remote(job.options.trace)
        )
        self._layout = Layout(job, self._stats_actor)

    @property
    def resources(self) -> ResourcePlan:
        """How the stages are laid out over the machines that the Ray session has."""
        return self._layout.resources

    def close(self) -> None:
        """End the annotators."""
        self._layout.close()

    def stats(self) -> RunStats:
        """The work done so far."""
        with suppress(ray.exceptions.RayError):  # `outcomes` raises it
            self._stats = ray.get(self._stats_actor.snapshot.remote())
        return self._stats

    def queues(self) -> Queues:
        """What waits, and what is being worked at."""
        return Queues() if self._scheduler is None else self._scheduler.queues()

    def summary(self, timeout_s: float | None = None) -> RunSummary | None:
        """The work done; None where Ray has gone, or takes longer than ``timeout_s`` to answer."""
        if self._layout.lost_head:
            return None
        actor = self._stats_actor
        try:
            answers = [actor.snapshot.remote(), actor.computing.remote(), actor.timings.remote()]
            stats, (device, precision), timings = ray.get(answers, timeout=timeout_s)
        except ray.exceptions.RayError:
            return None
        stats.moved_bytes = self._moved_bytes
        threads = 0 if device != "cpu" else self.resources.threads
        resources = replace(self.resources, device=device, precision=precision, threads=threads)
        return RunSummary(stats, resources, timings)

    def lost(self) -> Callable[[VideoFile], Problem]:
        """Why a video did not come back, for those that did not.

        Raises:
            JobError: Ray has gone.
        """
        with _ray_errors_as_job_error():
            problems: dict[bytes, Problem] = ray.get(self._stats_actor.lost.remote())
        return lambda file: problems.get(os.fsencode(file.path), Problem("decode", CRASHED))

    def outcomes(
        self,
        files: Sequence[VideoFile],
        taken: frozenset[str] = frozenset(),
        is_time_up: Callable[[], bool] = lambda: False,
    ) -> Iterator[Outcome | None]:
        """Run over ``files`` and yield what comes back, in any order; None whenever nothing did for some seconds.

        Videos at which two workers died do not come back; `lost` says why. ``taken`` are video ids that none may get. Once
        ``is_time_up`` says so, no more videos are begun, and those do not come back either.

        Raises:
            JobError: Ray has failed.
        """
        with _ray_errors_as_job_error():
            if self._has_run:
                self._stats = RunStats()
                ray.get(self._stats_actor.begin_anew.remote())
            self._has_run, self._moved_bytes = True, 0
            job = replace(self._job, taken=taken)
            scheduler = self._scheduler = Scheduler(job, self._stats_actor, self._layout, files, is_time_up)
            try:
                yield from scheduler.run()
            finally:
                self._scheduler, self._moved_bytes = None, scheduler.moved_bytes
                scheduler.stop()


def _cause(exc: BaseException) -> str:
    """The innermost message of an error that crossed processes, on one line."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__
