"""Runs a `Job`'s steps on this machine or on a cluster.

    groups of files -> plan (tasks) -> groups or chains of jobs -> decode (tasks; an actor per chain) -> clips
    -> annotate (actors, one per GPU) -> rows -> write (tasks) -> outcomes, to the driver

The driver hands out work and passes on references: frames go from the decoder's machine to the annotator's, once. While
clips that are decoded and not yet annotated fill half of the object store, nothing more is decoded. A task costs Ray some
milliseconds, so short videos go in groups. A worker that dies is replaced; the new one skips the videos at which two workers
have died. `jobs.ingest.scheduler` hands out the work, `jobs.ingest.workers` is what the workers run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import ray

from jobs.ingest.profile import RunSummary
from jobs.ingest.resources import plan_resources
from jobs.ingest.scheduler import DECODERS_SHARE, Scheduler
from jobs.ingest.steps import Job
from jobs.ingest.timing import RunStats
from jobs.ingest.workers import CRASHED, AnnotatorActor, StatsActor
from pipeline.decoders.registry import ON_GPU
from schemas.errors import JobError, UsageError
from schemas.records import Outcome, Problem, VideoFile

# How often an annotator that dies is replaced, and how often it is given the same clips again.
_RESTARTS = 20
_RETRIES = 3


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
        resources: how the stages are laid out over the machines that the Ray session has.
        is_here: whether these are this machine alone.
    """

    def __init__(self, job: Job) -> None:
        """Start the annotators, which begin to load the models; the videos need not be known yet.

        Raises:
            UsageError: the decoder needs a GPU, and there is none.
        """
        self._job = job
        self._stats, self._has_run = RunStats(), False
        self.is_here = job.options.address is None
        cluster = ray.cluster_resources()
        self._gpus = int(cluster.get("GPU", 0))
        if job.options.decoder in ON_GPU and not self._gpus:
            message = "got a Ray cluster without GPUs; take pyav"
            raise UsageError(message, argument="decoder", value=job.options.decoder)
        self.resources = plan_resources(job, int(cluster.get("CPU", 1)), self._gpus, cluster.get("memory", 0.0))
        self._stats_actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(StatsActor).remote(
            job.options.trace
        )
        # Annotators ask for no CPU of Ray's: on CPUs alone they and the decoders share the cores, and whichever is behind
        # gets more of them, since the others wait for it; and with fewer CPUs than GPUs, none would be left to decode.
        share = 1 - DECODERS_SHARE if job.options.decoder in ON_GPU else 1.0
        actor = ray.remote(AnnotatorActor).options(
            num_cpus=0,
            num_gpus=share * self.resources.on_gpus,
            max_restarts=_RESTARTS,
            max_task_retries=_RETRIES,
            max_concurrency=self.resources.max_in_flight,
        )
        self._annotators = [actor.remote(job, self._stats_actor, self.resources) for _ in range(self.resources.annotators)]

    def close(self) -> None:
        """End the annotators."""
        for annotator in self._annotators:
            with suppress(ray.exceptions.RayError):  # it has ended by itself
                ray.kill(annotator)

    def stats(self) -> RunStats:
        """The work done so far."""
        with suppress(ray.exceptions.RayError):  # `outcomes` raises it
            self._stats = ray.get(self._stats_actor.snapshot.remote())
        return self._stats

    def summary(self, timeout_s: float | None = None) -> RunSummary | None:
        """The work done; None where Ray has gone, or takes longer than ``timeout_s`` to answer."""
        actor = self._stats_actor
        try:
            answers = [actor.snapshot.remote(), actor.computing.remote(), actor.timings.remote()]
            stats, (device, precision), timings = ray.get(answers, timeout=timeout_s)
        except ray.exceptions.RayError:
            return None
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
            self._has_run = True
            job = replace(self._job, taken=taken)
            scheduler = Scheduler(job, self._stats_actor, self.resources, self._gpus, self._annotators, files, is_time_up)
            try:
                yield from scheduler.run()
            finally:
                scheduler.stop()


def _cause(exc: BaseException) -> str:
    """The innermost message of an error that crossed processes, on one line."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__
