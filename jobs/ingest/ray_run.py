"""Runs a `Job`'s steps on this machine or on a cluster.

    groups of files -> plan (tasks) -> groups or chains of jobs -> decode (tasks; an actor per chain) -> clips
    -> annotate (actors, one per GPU) -> rows -> write (tasks) -> outcomes, to the driver

The driver hands out work and passes on references: frames go from the decoder's machine to the annotator's, once. It hands
out no more to decode while what is decoded and not yet annotated fills half of the object store. A task costs Ray some
milliseconds, so short videos go in groups. A worker that dies at one of a group is replaced, and the new one, which is told
at which videos two others have died, passes these over. What workers run is in `jobs.ingest.workers`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import ray

from jobs.ingest.resources import ResourcePlan, plan_resources
from jobs.ingest.scheduler import DECODERS_SHARE, Scheduler
from jobs.ingest.steps import Job
from jobs.ingest.timing import RunStats, StageTiming
from jobs.ingest.workers import CRASHED, AnnotatorActor, StatsActor
from pipeline.decoders.registry import ON_GPU
from schemas.errors import JobError, UsageError
from schemas.records import (
    Outcome,
    Problem,
    VideoFile,
)

# How often an annotator that dies is replaced, and how often it is given the same clips again.
_RESTARTS = 20
_RETRIES = 3


@contextmanager
def _ray_errors_as_job_error() -> Iterator[None]:
    """Say what Ray raises as one of vidsift's errors.

    Raises:
        JobError: Ray has failed.
    """
    try:
        yield
    except ray.exceptions.RayError as exc:
        raise JobError(f"the run ended early: {_cause(exc)}; run the same command again to go on") from exc


class RayRun:
    """One run over many videos: `outcomes` does it, and `tally` tells meanwhile how far it is.

    Attributes:
        shape: how the stages are laid out over the machines that the Ray session has.
        is_here: whether these are this machine alone.
    """

    def __init__(self, job: Job) -> None:
        """Let the annotators load the models, which takes longest; what there is to do need not be known yet.

        Raises:
            UsageError: the decoder needs a GPU, and there is none.
        """
        self._job = job
        self._tally = RunStats()
        self.is_here = job.options.address is None
        resources = ray.cluster_resources()
        self._gpus = int(resources.get("GPU", 0))
        if job.options.decoder in ON_GPU and not self._gpus:
            raise UsageError(f"--decoder {job.options.decoder}: got a Ray cluster without GPUs; take pyav")
        self.shape = plan_resources(job, int(resources.get("CPU", 1)), self._gpus, resources.get("memory", 0.0))
        self._counter: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(StatsActor).remote(
            job.options.trace
        )
        # Annotators ask for no CPU of Ray's: on CPUs alone they and the decoders share the cores, and whichever is behind
        # gets more of them, since the others wait for it; and with fewer CPUs than GPUs, none would be left to decode.
        share = 1 - DECODERS_SHARE if job.options.decoder in ON_GPU else 1.0
        worker = ray.remote(AnnotatorActor).options(
            num_cpus=0,
            num_gpus=share * self.shape.on_gpus,
            max_restarts=_RESTARTS,
            max_task_retries=_RETRIES,
            max_concurrency=self.shape.lanes,
        )
        self._annotators = [worker.remote(job, self._counter, self.shape) for _ in range(self.shape.annotators)]

    def close(self) -> None:
        """Let go of the annotators."""
        for annotator in self._annotators:
            with suppress(ray.exceptions.RayError):  # it has gone by itself
                ray.kill(annotator)

    def tally(self) -> RunStats:
        """How far the run is."""
        with suppress(ray.exceptions.RayError):  # which ends the run elsewhere
            self._tally = ray.get(self._counter.snapshot.remote())
        return self._tally

    def told(self, patience_s: float | None = None) -> tuple[RunStats, ResourcePlan, list[StageTiming]] | None:
        """The tally, the shape with what the annotators found to compute on, and works for a trace.

        None where Ray has gone, or takes longer than ``patience_s``.
        """
        counter = self._counter
        try:
            asked = [counter.snapshot.remote(), counter.computing.remote(), counter.works.remote()]
            tally, (device, precision), works = ray.get(asked, timeout=patience_s)
        except ray.exceptions.RayError:
            return None
        threads = 0 if device != "cpu" else self.shape.threads
        return tally, replace(self.shape, device=device, precision=precision, threads=threads), works

    def lost(self) -> Callable[[VideoFile], Problem]:
        """Why a video did not come back, for those that did not.

        Raises:
            JobError: Ray has gone.
        """
        with _ray_errors_as_job_error():
            found: dict[bytes, Problem] = ray.get(self._counter.lost.remote())
        return lambda file: found.get(os.fsencode(file.path), Problem("decode", CRASHED))

    def outcomes(self, files: Sequence[VideoFile], taken: frozenset[str] = frozenset()) -> Iterator[Outcome | None]:
        """Run over ``files``, and yield what comes back in any order; None where for some seconds nothing does.

        Videos whose worker could not be replaced do not come back. ``taken`` are ids that none of them may get.

        Raises:
            JobError: Ray has failed.
        """
        with _ray_errors_as_job_error():
            job = replace(self._job, taken=taken)
            flow = Scheduler(job, self._counter, self.shape, self._gpus, self._annotators, files)
            try:
                yield from flow.run()
            finally:
                flow.stop()


def _cause(exc: BaseException) -> str:
    """The innermost message of an error that crossed processes, on one line."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__
