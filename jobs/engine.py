"""The only module that knows Ray: runs a `Job`'s steps as Ray Data stages, on this machine or on a cluster.

    files -> plan (tasks) -> decode (tasks) -> annotate (actors, one per GPU) -> write (tasks) -> outcomes, to the driver

Rows are single Python objects in a column named "item". What a stage does not handle passes through to the driver.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from jobs.progress import Slots, Tally
from jobs.stages import Job
from schemas.errors import JobError, UsageError
from schemas.options import IngestOptions
from schemas.records import Clip, ClipRow, Outcome, Problem, SpanJob, VideoFile

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong is said in the videos' rows
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # Ray prints dead workers' obituaries to standard output
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext

# Longer than any network that a cluster would be run over.
_CONNECT_S = 10.0

# Frames wait in shared memory between decoding and annotating; Ray Data holds decoders back when this fills up.
_OBJECT_STORE_BYTES = 2 << 30

# A table's file: small enough that finished videos are committed soon, large enough that there are not too many.
_ROWS_PER_FILE = 128

# Bytes per second: planning reads whole files, twice, and a large one on a slow network drive must not look like a hang.
_SLOWEST_DISK = 5e6

# CPU shares of the stages that are light beside decoding.
_PLAN_CPUS = 1
_WRITE_CPUS = 0.1

_CRASHED = (
    "crashed: the process that read it died twice, in native code or for want of memory; "
    "try another --decoder, or re-encode it"
)
_TIMED_OUT = (
    "timed out: reading a part of it took longer than {:g} s, twice; try a longer --video-timeout with --retry-failed, "
    "or another --decoder"
)

_Items = dict[str, Any]


@contextmanager
def ray_session(options: IngestOptions) -> Iterator[None]:
    """Ray for one run: a cluster that is joined, or one that lives within this process and ends with it.

    Raises:
        UsageError: no Ray cluster answers at the address.
    """
    if ray.is_initialized():  # the caller's own session, which is left as it is
        yield
        return
    stop = signal.getsignal(signal.SIGTERM)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    try:
        with _silent_stderr():
            if options.address is not None:
                _check_reachable(options.address)
                ray.init(address=options.address, **quiet)
            else:
                store = min(_OBJECT_STORE_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
                ray.init(address="local", num_cpus=options.cpus, include_dashboard=False, object_store_memory=store, **quiet)
    except (KeyboardInterrupt, SystemExit):
        ray.shutdown()  # what has started of it
        raise
    except (OSError, ValueError, RuntimeError) as exc:
        if options.address is None:
            raise JobError(f"Ray could not be started on this machine: {str(exc).splitlines()[0]}") from exc
        raise UsageError(
            f"--address: got {options.address!r}, and no Ray cluster answers there ({str(exc).splitlines()[0]}); start one "
            "with: ray start --head; where it was started with a token, set RAY_AUTH_MODE=token; or leave --address out"
        ) from exc
    if threading.current_thread() is threading.main_thread() and stop is not None:
        signal.signal(signal.SIGTERM, stop)  # Ray's own handler ends the process without a word to those above
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Fail at once where nobody listens: Ray itself would go on trying for many minutes.

    Raises:
        OSError: nobody listens at ``address``.
        ValueError: it is no ``HOST:PORT``.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what Ray's C++ side prints at start (its log level, of all things); its errors come as exceptions."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class RayRun:
    """One run over many videos. Iterate over it for outcomes; `tally` tells meanwhile how far it is."""

    def __init__(self, job: Job, files: Sequence[VideoFile]) -> None:
        """Lay out the stages for the machines that the Ray session has. Nothing runs before iteration."""
        self._job = job
        self._files = files
        resources = ray.cluster_resources()
        cpus, gpus = resources.get("CPU", 1.0), int(resources.get("GPU", 0))
        actors = gpus or max(1, int(cpus) // 4)
        # On CPUs alone the annotators and the decoders share the cores: the annotators' threads may use all of them,
        # while a quarter is set aside, so that decoding keeps ahead.
        share = 0.0 if cpus < 2 else 1.0 if gpus else cpus / actors / 4  # a single CPU is left to the tasks, which need it
        self._actor_resources: dict[str, float] = {"num_cpus": share} | ({"num_gpus": 1.0} if gpus else {})
        self._actors = actors
        self._threads = None if gpus else max(1, int(cpus) // actors)
        self.slots = Slots(decode=max(1.0, cpus - actors * self._actor_resources["num_cpus"]), annotate=actors)
        self._counter: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Counter).remote()

    def tally(self) -> Tally:
        """How far the run is."""
        found: Tally = ray.get(self._counter.snapshot.remote())
        return found

    def lost(self) -> Callable[[VideoFile], Problem]:
        """Why a video did not come back, for those that did not."""
        found: dict[bytes, Problem] = ray.get(self._counter.lost.remote())
        return lambda file: found.get(os.fsencode(file.path), Problem("decode", _CRASHED))

    def __iter__(self) -> Iterator[Outcome]:
        """Run, and yield what comes back in any order. Videos whose worker died twice do not come back."""
        job, counter = self._job, self._counter
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.max_errored_blocks = -1  # a block that is lost costs its own videos, which the accounts will miss
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        # A worker that dies is retried for ever by default, and one bad file would hang the job.
        once_more = {"max_retries": 1}
        warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
        items = [{"item": file} for file in self._files]
        data = (
            ray.data.from_items(items, override_num_blocks=len(items))
            .flat_map(_Plan(job, counter), num_cpus=_PLAN_CPUS, **once_more)
            .repartition(target_num_rows_per_block=1)
            .flat_map(_Decode(job, counter), num_cpus=1, **once_more)
            .map_batches(
                _Annotate,
                fn_constructor_args=(job, counter, self._threads),
                batch_size=job.options.batch_size,
                batch_format="numpy",
                compute=ActorPoolStrategy(size=self._actors),
                **self._actor_resources,
            )
            .map_batches(_Write(job), batch_size=_ROWS_PER_FILE, batch_format="numpy", num_cpus=_WRITE_CPUS)
        )
        try:
            for batch in data.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
                yield from batch["item"]
        except ray.exceptions.RayError as exc:
            raise JobError(f"the run ended early: {_cause(exc)}; run the same command again to go on") from exc


class Attempt(NamedTuple):
    """A worker's attempt at one place of one video; ``limit_s`` are the seconds it has."""

    path: bytes
    stage: str
    part: int
    limit_s: float


class _Counter:
    """The run's tally, in a process that all stages can reach."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._begun: dict[Attempt, list[float]] = {}

    def add(self, **counts: float) -> None:
        self._tally.add(**counts)

    def begin(self, attempt: Attempt) -> None:
        """A worker is about to read something. Told first, so that it is known what a worker that died was at."""
        self._begun.setdefault(attempt, []).append(time.monotonic())

    def snapshot(self) -> Tally:
        return self._tally

    def lost(self) -> dict[bytes, Problem]:
        """For every path that was begun twice at the same place, why: those are the ones whose worker died."""
        found = {}
        for attempt, times in self._begun.items():
            if len(times) > 1:
                late = times[1] - times[0] >= attempt.limit_s
                reason = _TIMED_OUT.format(attempt.limit_s) if late else _CRASHED
                found[attempt.path] = Problem(attempt.stage, reason)
        return found


class _Plan:
    """VideoFile -> its SpanJobs, or the reason why there are none."""

    def __init__(self, job: Job, counter: Any) -> None:
        self._job, self._counter = job, counter

    def __call__(self, row: _Items) -> list[_Items]:
        file, options = row["item"], self._job.options
        seconds = options.video_timeout_s + file.size_bytes / _SLOWEST_DISK
        ray.get(self._counter.begin.remote(Attempt(os.fsencode(file.path), "probe", 0, seconds)))
        with _limits(seconds, options.max_memory_mb):
            planned = self._job.plan(file)
        duration_s = next((item.video.duration_s or 0.0 for item in planned), 0.0)
        self._counter.add.remote(planned_videos=1, planned_s=duration_s)
        return [{"item": item} for item in planned]


class _Decode:
    """SpanJob -> its Clips and a SpanDone."""

    def __init__(self, job: Job, counter: Any) -> None:
        self._job, self._counter = job, counter

    def __call__(self, row: _Items) -> list[_Items]:
        if not isinstance(row["item"], SpanJob):
            return [row]
        job, options = row["item"], self._job.options
        ray.get(
            self._counter.begin.remote(
                Attempt(os.fsencode(job.video.file.path), "decode", job.part, options.video_timeout_s)
            )
        )
        began = time.perf_counter()
        with _limits(options.video_timeout_s, options.max_memory_mb):
            items = list(self._job.decode(job))
        self._counter.add.remote(decode_busy_s=time.perf_counter() - began)
        return [{"item": item} for item in items]


class _Annotate:
    """Clips -> ClipRows, in an actor that holds both models."""

    def __init__(self, job: Job, counter: Any, num_threads: int | None) -> None:
        self._annotate, self._counter = job.annotator(num_threads), counter

    def __call__(self, batch: _Items) -> _Items:
        clips = [item for item in batch["item"] if isinstance(item, Clip)]
        began = time.perf_counter()
        rows = self._annotate(clips)
        self._counter.add.remote(
            annotate_busy_s=time.perf_counter() - began,
            clips=len(clips),
            clip_s=sum(clip.span.end_s - clip.span.start_s for clip in clips),
        )
        return _pack([*rows, *(item for item in batch["item"] if not isinstance(item, Clip))])


class _Write:
    """ClipRows -> one Written."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, batch: _Items) -> _Items:
        rows = [item for item in batch["item"] if isinstance(item, ClipRow)]
        others = [item for item in batch["item"] if not isinstance(item, ClipRow)]
        return _pack([*([self._job.write(rows)] if rows else []), *others])


def _pack(items: Sequence[object]) -> _Items:
    column = np.empty(len(items), dtype=object)
    column[:] = items
    return {"item": column}


@contextmanager
def _limits(seconds: float, megabytes: int) -> Iterator[None]:
    """Both limits on reading a video: seconds, and megabytes beyond what the process has now."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (megabytes << 20), before[1]))
    try:
        with _time_limit(seconds):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """End this process if the block takes longer: nothing else ends a decoder that hangs with Python's lock held."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or 2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _cause(exc: BaseException) -> str:
    """The innermost message of an error that crossed processes, on one line."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__
