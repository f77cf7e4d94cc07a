"""The only module that knows Ray: runs a `Job`'s steps as Ray Data stages, on this machine or on a cluster.

    groups of files -> plan (tasks) -> groups of jobs -> decode (tasks) -> clips -> annotate (actors, one per GPU)
    -> write (tasks) -> outcomes, to the driver

Rows are single Python objects in a column named "item". What a stage does not handle passes through to the driver. A task
costs Ray about ten milliseconds, so short videos go in groups. A worker that dies at one of a group is replaced, and the
new one, which is told at which videos two others have died, passes these over.
"""

from __future__ import annotations

import faulthandler
import logging
import math
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
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from jobs.bill import Shape
from jobs.progress import Slots, Tally
from jobs.stages import Job
from jobs.work import Work, timed
from pipeline.sample import JOB_S
from schemas.errors import JobError, UsageError
from schemas.options import IngestOptions
from schemas.records import (
    Clip,
    ClipRow,
    Outcome,
    Problem,
    SpanDone,
    SpanJob,
    VideoFailed,
    VideoFile,
    VideoInfo,
    video_id_of,
)

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong is said in the videos' rows
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # Ray prints dead workers' obituaries to standard output
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

# Longer than any network that a cluster would be run over.
_CONNECT_S = 10.0

# Frames wait in shared memory between decoding and annotating; Ray Data holds decoders back when this fills up.
_OBJECT_STORE_BYTES = 2 << 30

# A table's file: small enough that finished videos are committed soon, large enough that there are not too many.
_ROWS_PER_FILE = 128

# Bytes per second: planning reads whole files, twice, and a large one on a slow network drive must not look like a hang.
_SLOWEST_DISK = 5e6

# A group of files, and of decode jobs, that one task sees to: as much as is decoded in a second or so.
_GROUP_FILES = 16
_GROUP_BYTES = 32 << 20
_GROUP_S = JOB_S

# Pixels of clips in one forward pass: 4 clips of VideoMAE-base on a CPU, where more gain nothing, and 64 on a GPU.
_CPU_BATCH_PIXELS, _GPU_BATCH_PIXELS = 3_300_000, 52_000_000
_LARGEST_BATCH = 64

# Threads of an annotator on CPUs. Each holds both models: half a gigabyte for the full-size ones in bf16.
_ANNOTATOR_THREADS = 4

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
        self._gpus = int(resources.get("GPU", 0))
        self.shape = choose_shape(job, int(resources.get("CPU", 1)), self._gpus)
        self.slots = Slots(self.shape.decoders, self.shape.annotators, shared=not self._gpus)
        self._counter: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Counter).remote(job.options.trace)

    def tally(self) -> Tally:
        """How far the run is."""
        found: Tally = ray.get(self._counter.snapshot.remote())
        return found

    def works(self) -> list[Work]:
        """What each worker did, where the options ask for a trace."""
        found: list[Work] = ray.get(self._counter.works.remote())
        return found

    def used(self) -> Shape:
        """The shape, with the device and the arithmetic that the annotators found."""
        device, precision = ray.get(self._counter.computing.remote())
        return replace(self.shape, device=device, precision=precision, threads=0 if device != "cpu" else self.shape.threads)

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
        # A worker that dies is retried for ever by default, and one bad file would hang the job. Two may die at each video.
        again = {"max_retries": 2 * _GROUP_FILES}
        warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
        groups = [{"item": group} for group in group_files(self._files, self.shape.decoders)]
        # On CPUs alone, annotators and decoders share the cores: whichever is behind gets more of them, since the others
        # wait for it. So annotators ask for no CPU of Ray's.
        on: dict[str, Any] = {"num_gpus": 1.0, "num_cpus": 1.0} if self._gpus else {"num_cpus": 0.0}
        data = (
            ray.data.from_items(groups, override_num_blocks=len(groups))
            .flat_map(_Plan(job, counter), num_cpus=1, **again)
            .repartition(target_num_rows_per_block=1)
            .flat_map(_Decode(job, counter), num_cpus=1, compute=TaskPoolStrategy(size=self.shape.decoders), **again)
            .map_batches(
                _Annotate,
                fn_constructor_args=(job, counter, self.shape.threads or None),
                batch_size=self.shape.batch_size,
                batch_format="numpy",
                compute=ActorPoolStrategy(size=self.shape.annotators),
                **on,
            )
            .map_batches(_Write(job, counter), batch_size=_ROWS_PER_FILE, batch_format="numpy", num_cpus=0)
        )
        try:
            for batch in data.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
                yield from batch["item"]
        except ray.exceptions.RayError as exc:
            raise JobError(f"the run ended early: {_cause(exc)}; run the same command again to go on") from exc


def choose_shape(job: Job, cpus: int, gpus: int) -> Shape:
    """How to lay out a run: what the options ask for, and else by the machines and by what the models are shown.

    Args:
        job: its options, and its models' inputs.
        cpus: of all machines.
        gpus: likewise; each holds one annotator.
    """
    options = job.options
    annotators = gpus or max(1, cpus // _ANNOTATOR_THREADS)
    pixels = max(wanted.num_frames * math.prod(wanted.geometry.crop or (224, 224)) for wanted in job.inputs)
    fitting = (_GPU_BATCH_PIXELS if gpus else _CPU_BATCH_PIXELS) // pixels
    return Shape(
        decoders=options.num_decoders or max(1, cpus - gpus),
        annotators=annotators,
        threads=options.num_threads or (0 if gpus else max(1, cpus // annotators)),
        batch_size=options.batch_size or min(max(1, fitting), _LARGEST_BATCH),
    )


def group_files(files: Sequence[VideoFile], decoders: int) -> list[FileGroup]:
    """Files in groups that a task plans at once: small ones together, but for every decoder several groups."""
    most = max(1, min(_GROUP_FILES, len(files) // (4 * decoders)))
    groups: list[FileGroup] = []
    group: list[VideoFile] = []
    for file in files:
        if group and (len(group) >= most or sum(one.size_bytes for one in group) + file.size_bytes > _GROUP_BYTES):
            groups.append(FileGroup(tuple(group)))
            group = []
        group.append(file)
    return [*groups, FileGroup(tuple(group))] if group else groups


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files that one task plans."""

    files: tuple[VideoFile, ...]


@dataclass(frozen=True, slots=True)
class JobGroup:
    """Jobs that one task decodes."""

    jobs: tuple[SpanJob, ...]


def _group_jobs(planned: Sequence[SpanJob | VideoFailed]) -> Iterator[JobGroup | VideoFailed]:
    """Jobs of short videos together, up to what a job of a long video holds."""
    group: list[SpanJob] = []
    for item in planned:
        if isinstance(item, VideoFailed):
            yield item
            continue
        seconds = sum(job.spans[-1].end_s - job.spans[0].start_s for job in (*group, item))
        if group and seconds > _GROUP_S:
            yield JobGroup(tuple(group))
            group = []
        group.append(item)
    if group:
        yield JobGroup(tuple(group))


class Attempt(NamedTuple):
    """A worker's attempt at one place of one video; ``limit_s`` are the seconds it has."""

    path: bytes
    stage: str
    part: int
    limit_s: float


class _Counter:
    """The run's tally, in a process that all stages can reach."""

    def __init__(self, keep: bool) -> None:
        """``keep`` every piece of work, for a trace."""
        self._tally = Tally()
        self._kept: list[Work] | None = [] if keep else None
        self._last: dict[str, Work] = {}
        self._begun: dict[Attempt, list[float]] = {}
        self._computing = "cpu", "fp32"

    def work(self, work: Work) -> None:
        """A worker has done something."""
        before = self._last.get(work.worker)
        waited_s = max(0.0, work.began_s - before.ended_s) if before and before.stage == work.stage else 0.0
        self._last[work.worker] = work
        self._tally.enter(work, waited_s)
        if self._kept is not None:
            self._kept.append(work)

    def planned(self, videos: int, seconds: float) -> None:
        """Videos have been planned."""
        self._tally.planned_videos += videos
        self._tally.planned_s += seconds

    def begin(self, attempt: Attempt) -> Problem | None:
        """A worker is about to read something, unless two have died at it: then why.

        Told first, so that it is known what a worker that died was at.
        """
        times = self._begun.setdefault(attempt, [])
        if len(times) > 1:
            return self._why(attempt)
        times.append(time.monotonic())
        return None

    def end(self, attempt: Attempt) -> None:
        """It has lived to tell of it."""
        self._begun.pop(attempt, None)

    def snapshot(self) -> Tally:
        return self._tally

    def works(self) -> list[Work]:
        return self._kept or []

    def compute(self, device: str, precision: str) -> None:
        """What an annotator found to compute on."""
        self._computing = device, precision

    def computing(self) -> tuple[str, str]:
        return self._computing

    def lost(self) -> dict[bytes, Problem]:
        """For every path at which two workers died, why."""
        return {attempt.path: self._why(attempt) for attempt, times in self._begun.items() if len(times) > 1}

    def _why(self, attempt: Attempt) -> Problem:
        first, second = self._begun[attempt][:2]
        late = second - first >= attempt.limit_s
        return Problem(attempt.stage, _TIMED_OUT.format(attempt.limit_s) if late else _CRASHED)


class _Plan:
    """A FileGroup -> its videos' jobs in groups, or the reasons why there are none."""

    def __init__(self, job: Job, counter: Any) -> None:
        self._job, self._counter = job, counter

    def __call__(self, row: _Items) -> list[_Items]:
        planned = [item for file in row["item"].files for item in self._plan(file)]
        return [{"item": item} for item in _group_jobs(planned)]

    def _plan(self, file: VideoFile) -> list[SpanJob | VideoFailed]:
        options = self._job.options
        seconds = options.video_timeout_s + file.size_bytes / _SLOWEST_DISK
        attempt = Attempt(os.fsencode(file.path), "probe", 0, seconds)
        if problem := ray.get(self._counter.begin.remote(attempt)):
            video = VideoInfo(video_id_of(None, file.path, self._job.taken), file)
            return [VideoFailed(video, problem.stage, problem.reason)]
        with timed("plan", file.path) as work, _limits(seconds, options.max_memory_mb):
            planned = self._job.plan(file)
        work.count, work.video_s = 1, next((item.video.duration_s or 0.0 for item in planned), 0.0)
        self._counter.end.remote(attempt)
        self._counter.work.remote(work)
        self._counter.planned.remote(1, work.video_s)
        return planned


class _Decode:
    """A JobGroup -> its Clips, and a SpanDone for each job."""

    def __init__(self, job: Job, counter: Any) -> None:
        self._job, self._counter = job, counter

    def __call__(self, row: _Items) -> list[_Items]:
        if not isinstance(row["item"], JobGroup):
            return [row]
        return [{"item": item} for job in row["item"].jobs for item in self._decode(job)]

    def _decode(self, job: SpanJob) -> list[Clip | SpanDone]:
        options = self._job.options
        attempt = Attempt(os.fsencode(job.video.file.path), "decode", job.part, options.video_timeout_s)
        if problem := ray.get(self._counter.begin.remote(attempt)):
            return [SpanDone(job.video, job.part, job.num_parts, (), (*job.problems, problem))]
        note = f"{job.video.file.path} part {job.part + 1} of {job.num_parts}"
        with timed("decode", note) as work, _limits(options.video_timeout_s, options.max_memory_mb):
            items = list(self._job.decode(job))
        work.count, work.video_s = _measure(items)
        self._counter.end.remote(attempt)
        self._counter.work.remote(work)
        return items


class _Annotate:
    """Clips -> ClipRows, in an actor that holds both models."""

    def __init__(self, job: Job, counter: Any, num_threads: int | None) -> None:
        with timed("load models") as work:
            self._annotate = job.annotator(num_threads)
        self._counter = counter
        counter.compute.remote(self._annotate.device, self._annotate.precision)
        counter.work.remote(work)

    def __call__(self, batch: _Items) -> _Items:
        clips = [item for item in batch["item"] if isinstance(item, Clip)]
        others = [item for item in batch["item"] if not isinstance(item, Clip)]
        if not clips:
            return batch
        with timed("annotate") as work:
            rows = self._annotate(clips)
        work.count, work.video_s = _measure(clips)
        self._counter.work.remote(work)
        return _pack([*rows, *others])


class _Write:
    """ClipRows -> one Written."""

    def __init__(self, job: Job, counter: Any) -> None:
        self._job, self._counter = job, counter

    def __call__(self, batch: _Items) -> _Items:
        rows = [item for item in batch["item"] if isinstance(item, ClipRow)]
        others = [item for item in batch["item"] if not isinstance(item, ClipRow)]
        if not rows:
            return batch
        with timed("write") as work:
            written = self._job.write(rows)
        work.count, work.video_s = _measure(rows)
        self._counter.work.remote(work)
        return _pack([written, *others])


def _measure(items: Sequence[object]) -> tuple[int, float]:
    """How many clips there are among ``items``, and how many seconds they show."""
    spans = [item.span for item in items if isinstance(item, Clip | ClipRow)]
    return len(spans), sum(span.end_s - span.start_s for span in spans)


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
