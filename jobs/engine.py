"""The only module that knows Ray: runs a `Job`'s steps on this machine or on a cluster.

    groups of files -> plan (tasks) -> groups of jobs -> decode (tasks) -> clips -> annotate (actors, one per GPU)
    -> rows -> write (tasks) -> outcomes, to the driver

The driver hands out work and passes on references: frames go from the decoder's machine to the annotator's, once. It hands
out no more to decode while what is decoded and not yet annotated fills half of the object store. A task costs Ray some
milliseconds, so short videos go in groups. A worker that dies at one of a group is replaced, and the new one, which is told
at which videos two others have died, passes these over.
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
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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
    JobFailed,
    Outcome,
    Problem,
    SpanDone,
    SpanJob,
    VideoFailed,
    VideoFile,
    Written,
)

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong is said in the videos' rows
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # Ray prints dead workers' obituaries to standard output
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray

# Longer than any network that a cluster would be run over.
_CONNECT_S = 10.0

# Frames wait in shared memory between decoding and annotating; decoders are held back when half of this is full.
_OBJECT_STORE_BYTES = 2 << 30

# A table's file: small enough that finished videos are committed soon, large enough that there are not too many.
_ROWS_PER_FILE = 128

# Bytes per second: planning reads whole files, twice, and a large one on a slow network drive must not look like a hang.
_SLOWEST_DISK = 5e6

# A group of files, and of decode jobs, that one task sees to: as much as is decoded in a second or so.
_GROUP_FILES = 16
_GROUP_BYTES = 32 << 20
_GROUP_S = JOB_S

# Pixels of clips in one forward pass: 4 clips of VideoMAE-base on a CPU, where more gain nothing, and 64 on a GPU. Of small
# models' clips as many as a minute of video holds, so that the first answers do not wait for more.
_CPU_BATCH_PIXELS, _GPU_BATCH_PIXELS = 3_300_000, 52_000_000
_LARGEST_CPU_BATCH, _LARGEST_GPU_BATCH = 16, 64

# Groups of jobs that are planned before there is a decoder for them, for each one; calls that wait for an annotator, so that
# it finds its next clips there; and how often an annotator that dies is replaced.
_PLANNED_AHEAD = 3
_CALLS_AHEAD = 2
_RESTARTS = 3

# Annotators with one thread each compute 1.2 times as much as one with two, but each holds both models. So on CPUs there are
# as many as fit in a quarter of the memory, weights in bf16 and a gigabyte for the rest; of models that look at small
# pictures, which take far less time than decoding does, one for every fourth CPU.
_SMALL_CLIP_PIXELS = 200_000
_MEMORY_SHARE = 0.25
_ANNOTATOR_BYTES = 1 << 30

_CRASHED = (
    "crashed: the process that read it died twice, in native code or for want of memory; "
    "try another --decoder, or re-encode it"
)
_TIMED_OUT = (
    "timed out: reading a part of it took longer than {:g} s, twice; try a longer --video-timeout with --retry-failed, "
    "or another --decoder"
)


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
        self.shape = choose_shape(job, int(resources.get("CPU", 1)), self._gpus, resources.get("memory", 0.0))
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
        """Run, and yield what comes back in any order. Videos whose worker could not be replaced do not come back."""
        flow = _Flow(self._job, self._counter, self.shape, self._gpus, self._files)
        try:
            yield from flow.run()
        except ray.exceptions.RayError as exc:
            raise JobError(f"the run ended early: {_cause(exc)}; run the same command again to go on") from exc
        finally:
            flow.stop()


class _Flow:
    """What is under way in a run, and what waits."""

    def __init__(self, job: Job, counter: Any, shape: Shape, gpus: int, files: Sequence[VideoFile]) -> None:
        self._shape = shape
        # A worker that dies is retried for ever by default, and one bad file would hang the job. Two may die at each video.
        again = {"num_cpus": 1, "max_retries": 2 * _GROUP_FILES}
        worker = ray.remote(_Worker)
        self._plan = ray.remote(_plan).options(**again)
        self._decode = ray.remote(_decode).options(**again, num_returns=2)
        self._write = ray.remote(_write).options(num_cpus=0, max_retries=2)
        # On CPUs alone, annotators and decoders share the cores: whichever is behind gets more of them, since the others
        # wait for it. So annotators ask for no CPU of Ray's.
        on: dict[str, Any] = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": 0}
        lasting = {"max_restarts": _RESTARTS, "max_task_retries": _RESTARTS}
        self._job, self._counter = ray.put(job), counter
        self._annotators = {
            worker.options(**on, **lasting).remote(self._job, counter, shape.threads or None, shape.batch_size): 0
            for _ in range(shape.annotators)
        }
        bytes_per_clip = sum(wanted.num_frames * math.prod(wanted.geometry.crop or (224, 224)) * 3 for wanted in job.inputs)
        most_clips = int(ray.cluster_resources().get("object_store_memory", _OBJECT_STORE_BYTES)) // 2 // bytes_per_clip
        # Clips that may be decoded or about to be, and not yet annotated.
        self._most_clips = max(most_clips, 2 * shape.annotators * shape.batch_size)
        self._groups = iter(group_files(files, shape.decoders))
        self._planned: deque[JobGroup] = deque()
        self._under_way: dict[Any, Callable[[Any], Iterator[Outcome]]] = {}
        self._planning = self._decoding = self._clips = 0
        self._decoded: deque[tuple[Any, int]] = deque()
        self._rows: list[Any] = []
        self._num_rows = 0

    def run(self) -> Iterator[Outcome]:
        """Hand out work and take in what is done until there is neither."""
        while True:
            self._hand_out()
            if not self._under_way:
                return
            (done, *_), _ = ray.wait(list(self._under_way), num_returns=1)
            yield from self._under_way.pop(done)(done)

    def stop(self) -> None:
        """Let go of the machines, whatever is under way."""
        for ref in self._under_way:
            ray.cancel(ref, force=False)
        for annotator in self._annotators:
            ray.kill(annotator)

    def _hand_out(self) -> None:
        """Start what there is room for: later stages first, so that little waits."""
        self._hand_to_annotators()
        while self._planned and self._decoding < self._shape.decoders and self._clips < self._most_clips:
            group = self._planned.popleft()
            count = sum(len(job.spans) for job in group.jobs)
            clips, told = self._decode.remote(self._job, self._counter, group)
            self._decoding, self._clips = self._decoding + 1, self._clips + count
            self._under_way[told] = partial(self._take_decoded, clips, count)
        while len(self._planned) + self._planning < _PLANNED_AHEAD * self._shape.decoders:
            files = next(self._groups, None)
            if files is None:
                break
            self._planning += 1
            self._under_way[self._plan.remote(self._job, self._counter, files)] = self._take_planned
        nothing_left = not (self._planned or self._planning or self._decoding or self._decoded or self._clips)
        if self._num_rows >= _ROWS_PER_FILE or (nothing_left and self._rows):
            self._under_way[self._write.remote(self._job, self._counter, *self._rows)] = self._take_outcomes
            self._rows, self._num_rows = [], 0

    def _hand_to_annotators(self) -> None:
        """Give decoded clips to annotators that have little to do: whole batches, but for the last ones."""
        last = not (self._planned or self._planning or self._decoding) or self._clips >= self._most_clips
        while self._decoded:
            annotator = min(self._annotators, key=lambda one: self._annotators[one])
            waiting = sum(count for _, count in self._decoded)
            if self._annotators[annotator] >= _CALLS_AHEAD or (waiting < self._shape.batch_size and not last):
                return
            refs, count = [], 0
            while self._decoded and count < self._shape.batch_size:
                ref, more = self._decoded.popleft()
                refs.append(ref)
                count += more
            self._annotators[annotator] += 1
            rows, told = annotator.annotate.options(num_returns=2).remote(*refs)
            self._under_way[told] = partial(self._take_annotated, annotator, rows, count)

    def _take_planned(self, ref: Any) -> Iterator[Outcome]:
        self._planning -= 1
        for item in self._value(ref) or ():
            if isinstance(item, JobGroup):
                self._planned.append(item)
            else:
                yield item

    def _take_decoded(self, clips: Any, promised: int, ref: Any) -> Iterator[Outcome]:
        self._decoding -= 1
        count, done = self._value(ref) or (0, ())
        self._clips -= promised - count
        if count:
            self._decoded.append((clips, count))
        yield from done

    def _take_annotated(self, annotator: Any, rows: Any, count: int, ref: Any) -> Iterator[Outcome]:
        self._annotators[annotator] -= 1
        self._clips -= count
        made, failed = ray.get(ref)
        if made:
            self._rows.append(rows)
            self._num_rows += made
        yield from failed

    def _take_outcomes(self, ref: Any) -> Iterator[Outcome]:
        yield ray.get(ref)

    def _value(self, ref: Any) -> Any:
        """What a task gave; None where its worker died too often: the accounts will miss what it had."""
        try:
            return ray.get(ref)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.RayTaskError):
            return None


def choose_shape(job: Job, cpus: int, gpus: int, memory: float) -> Shape:
    """How to lay out a run: what the options ask for, and else by the machines and by what the models are shown.

    Args:
        job: its options, and its models' inputs.
        cpus: of all machines.
        gpus: likewise; each holds one annotator.
        memory: bytes, likewise.
    """
    options = job.options
    pixels = max(wanted.num_frames * math.prod(wanted.geometry.crop or (224, 224)) for wanted in job.inputs)
    fitting, largest = (
        (_GPU_BATCH_PIXELS // pixels, _LARGEST_GPU_BATCH) if gpus else (_CPU_BATCH_PIXELS // pixels, _LARGEST_CPU_BATCH)
    )
    threads = options.num_threads
    if gpus:
        annotators, threads = gpus, 0
    elif pixels < _SMALL_CLIP_PIXELS:
        threads = threads or 1
        annotators = max(1, cpus // threads // 4)
    else:
        weights = sum(file.stat().st_size for one in job.checkpoints for file in Path(one.folder).glob("*.safetensors"))
        fitting_annotators = int(_MEMORY_SHARE * memory // (_ANNOTATOR_BYTES + weights / 2))
        annotators = max(1, min(cpus // (threads or 1), fitting_annotators))
        threads = threads or max(1, cpus // annotators)
    return Shape(
        decoders=options.num_decoders or max(1, cpus - gpus),
        annotators=annotators,
        threads=threads,
        batch_size=options.batch_size or min(max(1, fitting), largest),
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

    def begin(self, attempt: Attempt) -> bool:
        """A worker is about to read something, and may if not two have died at it; the accounts will miss it then.

        Told first, so that it is known what a worker that died was at.
        """
        times = self._begun.setdefault(attempt, [])
        if len(times) > 1:
            return False
        times.append(time.monotonic())
        return True

    def end(self, attempt: Attempt, work: Work) -> None:
        """It has lived to tell of it."""
        self._begun.pop(attempt, None)
        if work.stage == "plan":
            self._tally.planned_videos += work.count
            self._tally.planned_s += work.video_s
        self.work(work)

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
        found = {}
        for attempt, times in self._begun.items():
            if len(times) > 1:
                late = times[1] - times[0] >= attempt.limit_s
                reason = _TIMED_OUT.format(attempt.limit_s) if late else _CRASHED
                found[attempt.path] = Problem(attempt.stage, reason)
        return found


def _plan(job: Job, counter: Any, group: FileGroup) -> list[JobGroup | VideoFailed]:
    """A group's videos' jobs in groups, or the reasons why there are none."""
    return list(_group_jobs([item for file in group.files for item in _plan_file(job, counter, file)]))


def _plan_file(job: Job, counter: Any, file: VideoFile) -> list[SpanJob | VideoFailed]:
    seconds = job.options.video_timeout_s + file.size_bytes / _SLOWEST_DISK
    attempt = Attempt(os.fsencode(file.path), "probe", 0, seconds)
    if not ray.get(counter.begin.remote(attempt)):
        return []
    with timed("plan", file.path) as work, _limits(seconds, job.options.max_memory_mb):
        planned = job.plan(file)
    work.count, work.video_s = 1, next((item.video.duration_s or 0.0 for item in planned), 0.0)
    counter.end.remote(attempt, work)
    return planned


def _decode(job: Job, counter: Any, group: JobGroup) -> tuple[list[Clip], tuple[int, list[SpanDone]]]:
    """A group's clips; and apart, since the driver wants no frames, how many they are and what became of each job."""
    items = [item for one in group.jobs for item in _decode_job(job, counter, one)]
    clips = [item for item in items if isinstance(item, Clip)]
    return clips, (len(clips), [item for item in items if isinstance(item, SpanDone)])


def _decode_job(job: Job, counter: Any, wanted: SpanJob) -> list[Clip | SpanDone]:
    video, options = wanted.video, job.options
    attempt = Attempt(os.fsencode(video.file.path), "decode", wanted.part, options.video_timeout_s)
    if not ray.get(counter.begin.remote(attempt)):
        return []
    note = f"{video.file.path} part {wanted.part + 1} of {wanted.num_parts}"
    with timed("decode", note) as work, _limits(options.video_timeout_s, options.max_memory_mb):
        items = list(job.decode(wanted))
    work.count, work.video_s = _measure(items)
    counter.end.remote(attempt, work)
    return items


class _Worker:
    """An actor that holds both models."""

    def __init__(self, job: Job, counter: Any, num_threads: int | None, batch_size: int) -> None:
        with timed("load models") as work:
            self._annotate = job.annotator(num_threads)
        self._counter, self._batch_size = counter, batch_size
        counter.compute.remote(self._annotate.device, self._annotate.precision)
        counter.work.remote(work)

    def annotate(self, *groups: list[Clip]) -> tuple[list[ClipRow], tuple[int, list[JobFailed]]]:
        """Rows of all clips; and apart, how many they are and what went wrong."""
        clips = [clip for group in groups for clip in group]
        rows: list[ClipRow | JobFailed] = []
        passes = -(-len(clips) // self._batch_size)
        for number in range(passes):  # of equal sizes
            batch = clips[number * len(clips) // passes : (number + 1) * len(clips) // passes]
            with timed("annotate") as work:
                rows += self._annotate(batch)
            work.count, work.video_s = _measure(batch)
            self._counter.work.remote(work)
        made = [row for row in rows if isinstance(row, ClipRow)]
        return made, (len(made), [row for row in rows if isinstance(row, JobFailed)])


def _write(job: Job, counter: Any, *groups: list[ClipRow]) -> Written | JobFailed:
    """One file of each table."""
    rows = [row for group in groups for row in group]
    with timed("write") as work:
        written = job.write(rows)
    work.count, work.video_s = _measure(rows)
    counter.work.remote(work)
    return written


def _measure(items: Sequence[object]) -> tuple[int, float]:
    """How many clips there are among ``items``, and how many seconds they show."""
    spans = [item.span for item in items if isinstance(item, Clip | ClipRow)]
    return len(spans), sum(span.end_s - span.start_s for span in spans)


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
