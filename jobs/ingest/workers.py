"""The tasks and actors that Ray's workers run: each step of a `Job`, within limits, entered with the `StatsActor`."""

from __future__ import annotations

import faulthandler
import os
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import ray

from jobs.ingest.batching import FileGroup, JobChain, JobGroup, group_jobs
from jobs.ingest.resources import ResourcePlan
from jobs.ingest.steps import Job
from jobs.ingest.timing import RunStats, StageTiming, timed
from pipeline.decoders.registry import CHAINED, load_decoder
from pipeline.memory_limit import memory_limit
from pipeline.sampling import chains_of
from pipeline.sources import scheme_of
from schemas.records import Clip, ClipRow, JobFailed, Problem, SpanDone, SpanJob, VideoFailed, VideoFile, Written

# Bytes per second of the slowest disk: planning reads whole files, twice, and a large one on a network drive must not be
# taken for a hang.
_SLOWEST_DISK = 5e6

# Bytes per second of the slowest network.
_SLOWEST_NETWORK = 5e5

# Bytes of a minute of video at 100 kbit/s, which few have less of.
_SMALLEST_MINUTE = 750_000

# Parts in which a task passes on what it decoded, so that several annotators can have some of it.
CHUNKS = 4

# Workers that may die at one place of a video.
_MAX_DEATHS = 2

# Seconds after which Ray knows at the latest that a machine has gone, and seconds between two questions whether it does.
_NODE_GONE_S = 25.0
_ASK_S = 1.0

CRASHED = (
    "crashed: the process that read it died twice, in native code or for want of memory; "
    "try another --decoder, or re-encode it"
)
_TIMED_OUT = (
    "timed out: reading a part of it took longer than {:g} s, twice; try a longer --video-timeout with --retry-failed, "
    "or another --decoder"
)


class Attempt(NamedTuple):
    """A worker's attempt at one place of one video; ``limit_s`` are the seconds it has."""

    path: bytes
    stage: str
    part: int
    limit_s: float


@dataclass(slots=True)
class _Deaths:
    """The workers that made one attempt.

    Attributes:
        node: the machine of the last one, which is at it or has died.
        of: for each that died, if it timed out, and its machine.
    """

    node: str
    of: list[tuple[bool, str]] = field(default_factory=list)


class StatsActor:
    """The run's statistics, in a process that all workers can reach; it also knows at which videos workers died."""

    def __init__(self, keep_timings: bool) -> None:
        """Keep each step's timing too, for a trace, where ``keep_timings`` says so."""
        self._stats = RunStats()
        self._timings: list[StageTiming] | None = [] if keep_timings else None
        self._last: dict[tuple[str, int], StageTiming] = {}  # by worker and thread
        self._attempts: dict[Attempt, _Deaths] = {}  # unfinished ones
        self._computing = "cpu", "fp32"
        self._stopped = False

    def begin_anew(self) -> None:
        """Forget everything: another run begins, with the same workers."""
        self._stats, self._stopped = RunStats(), False
        self._timings = None if self._timings is None else []
        self._last.clear()
        self._attempts.clear()

    def stop(self) -> None:
        """Let no worker begin anything more."""
        self._stopped = True

    def record(self, timing: StageTiming) -> None:
        """Add a step that a worker has finished."""
        before = self._last.get((timing.worker, timing.thread))
        waited_s = max(0.0, timing.began_s - before.ended_s) if before and before.stage == timing.stage else 0.0
        self._last[timing.worker, timing.thread] = timing
        self._stats.enter(timing, waited_s)
        if self._timings is not None:
            self._timings.append(timing)

    def begin(self, attempt: Attempt, timed_out: bool, node: str = "") -> bool:
        """Note that a worker is about to read something, so that it is known what it was at if it dies.

        Args:
            attempt: what it is about to read.
            timed_out: whether the worker before it ended there by the time limit.
            node: its machine.

        Returns:
            Whether it may: not after two workers have died there, or once the run is stopped.
        """
        if self._stopped:
            return False
        deaths = self._attempts.get(attempt)
        if deaths is None:
            self._attempts[attempt] = _Deaths(node)
            return True
        deaths.of.append((timed_out, deaths.node))
        deaths.node = node
        return len(deaths.of) < _MAX_DEATHS

    def suspects(self, attempt: Attempt) -> set[str]:
        """Machines at whose workers' deaths the attempt is given up, which may have gone themselves."""
        deaths = self._attempts.get(attempt)
        return {node for _, node in deaths.of} if deaths and not self._stopped else set()

    def forgive(self, attempt: Attempt, gone: Collection[str]) -> bool:
        """Count no deaths on machines that have gone: they are no fault of the video. Whether the attempt may be made."""
        deaths = self._attempts[attempt]
        deaths.of = [(timed_out, node) for timed_out, node in deaths.of if node not in gone]
        return len(deaths.of) < _MAX_DEATHS

    def end(self, attempt: Attempt, timing: StageTiming) -> None:
        """The attempt finished; forget it and record its timing."""
        self._attempts.pop(attempt, None)
        self.record(timing)

    def snapshot(self) -> RunStats:
        """The work done so far."""
        return self._stats

    def timings(self) -> list[StageTiming]:
        """Each step, where timings are kept; else nothing."""
        return self._timings or []

    def set_computing(self, device: str, precision: str) -> None:
        """Note the device and the arithmetic that an annotator found to compute on."""
        self._computing = device, precision

    def computing(self) -> tuple[str, str]:
        """The device and the arithmetic of the annotators."""
        return self._computing

    def lost(self) -> dict[bytes, Problem]:
        """Why videos are lost: for every path at which workers died, the reason."""
        return {
            attempt.path: Problem(
                attempt.stage, _TIMED_OUT.format(attempt.limit_s) if any(out for out, _ in deaths.of) else CRASHED
            )
            for attempt, deaths in self._attempts.items()
            if deaths.of
        }


def plan_group(job: Job, stats_actor: Any, group: FileGroup) -> list[JobGroup | JobChain | VideoFailed]:
    """Plan a group of files: their jobs in groups, and a `VideoFailed` for each file that has none."""
    planned = [item for file in group.files for item in _plan_file(job, stats_actor, file)]
    return list(group_jobs(planned, chained=job.options.decoder in CHAINED))


def _plan_file(job: Job, stats_actor: Any, file: VideoFile) -> list[SpanJob | VideoFailed]:
    slowest = _SLOWEST_NETWORK if scheme_of(file.path) else _SLOWEST_DISK
    seconds = job.options.video_timeout_s + file.size_bytes / slowest
    if job.sampling.shots != "none":  # every frame is decoded
        seconds += job.options.video_timeout_s * file.size_bytes / _SMALLEST_MINUTE
    attempt = Attempt(os.fsencode(file.path), "probe", 0, seconds)
    if not _may_begin(stats_actor, attempt):
        return []
    with timed("plan", file.path) as timing, _limits(attempt, job.options.max_memory_mb):
        planned = job.plan(file)
    timing.remote_bytes = file.size_bytes if scheme_of(file.path) else 0
    timing.count, timing.video_s = 1, next((item.video.duration_s or 0.0 for item in planned), 0.0)
    stats_actor.end.remote(attempt, timing)
    return planned


# A summary for the driver: the number of clips in each chunk, what became of each job, and the machine. Then the chunks
# themselves, whose frames the driver does not fetch.
_Chunks = tuple[tuple[list[int], list[SpanDone], str], *tuple[list[Clip], ...]]


def decode_group(job: Job, stats_actor: Any, group: JobGroup) -> _Chunks:
    """Decode a group's jobs."""
    load_decoder(job.options.decoder)  # before the limits: memory that its libraries reserve does not count as a video's
    items: list[Clip | SpanDone] = []
    for jobs in chains_of(group.jobs):
        chain = _Chain(job, stats_actor, jobs)
        for number in range(len(jobs)):
            items += chain.decode(number)
    return _chunks(items)


class ChainActor:
    """An actor that decodes the jobs of a chain, one with each call, and keeps the file open between calls."""

    def __init__(self, job: Job, stats_actor: Any, chain: JobChain) -> None:
        load_decoder(job.options.decoder)
        self._chain = _Chain(job, stats_actor, chain.jobs)

    def decode(self, number: int) -> _Chunks:
        """Decode the job of this number; nothing comes back of one that must not be begun."""
        return _chunks(self._chain.decode(number))


def _chunks(items: Sequence[Clip | SpanDone]) -> _Chunks:
    clips = [item for item in items if isinstance(item, Clip)]
    chunks = [clips[number * len(clips) // CHUNKS : (number + 1) * len(clips) // CHUNKS] for number in range(CHUNKS)]
    done = [item for item in items if isinstance(item, SpanDone)]
    return ([len(chunk) for chunk in chunks], done, ray.get_runtime_context().get_node_id()), *chunks


class _Chain:
    """Jobs that one pass over a file decodes."""

    def __init__(self, job: Job, stats_actor: Any, jobs: Sequence[SpanJob]) -> None:
        self._job, self._stats_actor, self._jobs = job, stats_actor, jobs
        self._items: Iterator[Clip | SpanDone] | None = None
        self._given_up = False

    def decode(self, number: int) -> list[Clip | SpanDone]:
        """The clips of a job and what became of it; nothing where it, or one before it, must not be begun."""
        span_job, options = self._jobs[number], self._job.options
        video = span_job.video
        attempt = Attempt(os.fsencode(video.file.path), "decode", span_job.part, options.video_timeout_s)
        if self._given_up or not _may_begin(self._stats_actor, attempt):
            self._given_up = True
            return []
        note = f"{video.file.path} part {span_job.part + 1} of {span_job.num_parts}"
        # After a worker has died here, everything before this job is decoded again.
        num_jobs = 1 if self._items else 1 + number
        try:
            with timed("decode", note) as timing, _limits(attempt, options.max_memory_mb, num_jobs):
                items = self._next(number)
        except MemoryError:
            self._items = None
            problem = Problem("decode", "reading it takes more memory than --max-memory allows")
            items = [SpanDone(video, span_job.part, span_job.num_parts, (), (*span_job.problems, problem))]
        timing.count, timing.video_s = _measure(items)
        self._stats_actor.end.remote(attempt, timing)
        return items

    def _next(self, number: int) -> list[Clip | SpanDone]:
        """The clips of one more job, and its `SpanDone`."""
        remaining = self._jobs[number:]
        if self._items is None:
            self._items = self._job.decode(remaining[0]) if len(remaining) == 1 else self._job.decode_chain(remaining)
        items: list[Clip | SpanDone] = []
        for item in self._items:
            items.append(item)
            if isinstance(item, SpanDone):
                break
        return items


class AnnotatorActor:
    """An actor that holds the models; its calls may overlap (`ResourcePlan.max_in_flight`)."""

    def __init__(self, job: Job, stats_actor: Any, resources: ResourcePlan) -> None:
        with timed("load models") as timing:
            cores = len(os.sched_getaffinity(0))  # for where Ray has GPUs and the models find none: Ray would leave them one
            self._annotate = job.load_annotators(resources.threads or max(1, cores // resources.annotators))
        self._stats_actor, self._batch_size = stats_actor, resources.batch_size
        self._cpu = time.thread_time if resources.max_in_flight > 1 else time.process_time
        stats_actor.set_computing.remote(self._annotate.device, self._annotate.precision)
        stats_actor.record.remote(timing)

    def annotate(self, *chunks: list[Clip]) -> tuple[list[ClipRow], tuple[int, list[JobFailed]]]:
        """Rows of all clips; then a summary for the driver: how many rows there are, and what went wrong."""
        clips = [clip for chunk in chunks for clip in chunk]
        items: list[ClipRow | JobFailed] = []
        num_batches = -(-len(clips) // self._batch_size)
        for number in range(num_batches):  # of equal sizes
            batch = clips[number * len(clips) // num_batches : (number + 1) * len(clips) // num_batches]
            with timed("annotate", cpu=self._cpu) as timing:
                items += self._annotate(batch)
            timing.count, timing.video_s = _measure(batch)
            self._stats_actor.record.remote(timing)
        rows = [item for item in items if isinstance(item, ClipRow)]
        return rows, (len(rows), [item for item in items if isinstance(item, JobFailed)])


def write_rows(job: Job, stats_actor: Any, *chunks: list[ClipRow]) -> Written | JobFailed:
    """Write rows to one file of each table."""
    rows = [row for chunk in chunks for row in chunk]
    with timed("write") as timing:
        written = job.write(rows)
    timing.count, timing.video_s = _measure(rows)
    stats_actor.record.remote(timing)
    return written


def _measure(items: Sequence[object]) -> tuple[int, float]:
    """How many clips there are among ``items``, and how many seconds they show."""
    spans = [item.span for item in items if isinstance(item, Clip | ClipRow)]
    return len(spans), sum(span.end_s - span.start_s for span in spans)


@contextmanager
def _limits(attempt: Attempt, megabytes: int, num_jobs: int = 1) -> Iterator[None]:
    """Limit what reading a video may take: ``num_jobs`` times the attempt's seconds, and ``megabytes`` more than now.

    Raises:
        MemoryError: the block needs more memory.
    """
    with memory_limit(megabytes), _time_limit(attempt, num_jobs):
        yield


@contextmanager
def _time_limit(attempt: Attempt, num_jobs: int) -> Iterator[None]:
    """End this process if the block takes longer: nothing else ends a decoder that hangs with Python's lock held.

    A file then holds the stack that it hung at, by which the next worker on this machine knows that the time ran out.
    """
    path = _timeout_marker(attempt)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(attempt.limit_s * num_jobs, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            path.unlink(missing_ok=True)


def _timeout_marker(attempt: Attempt) -> Path:
    """The file that is not empty once the attempt's time has run out."""
    digest = blake2b(repr((attempt, ray.get_runtime_context().get_job_id())).encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir(), f"vidsift-{os.getuid()}-{digest}")


def _may_begin(stats_actor: Any, attempt: Attempt) -> bool:
    """Enter the attempt with the stats actor, and how the one before it ended; False where it must not be made."""
    try:
        timed_out = _timeout_marker(attempt).stat().st_size > 0
    except OSError:
        timed_out = False
    node = ray.get_runtime_context().get_node_id()
    may_begin = bool(ray.get(stats_actor.begin.remote(attempt, timed_out, node))) or _is_forgiven(stats_actor, attempt, node)
    if not may_begin:
        _timeout_marker(attempt).unlink(missing_ok=True)
    return may_begin


def _is_forgiven(stats_actor: Any, attempt: Attempt, node: str) -> bool:
    """Whether workers died at the attempt because their machines have gone, of which Ray learns after some seconds."""
    suspects = ray.get(stats_actor.suspects.remote(attempt)) - {node}
    until = time.monotonic() + _NODE_GONE_S
    while suspects and time.monotonic() < until:
        if gone := suspects - {each["NodeID"] for each in ray.nodes() if each["Alive"]}:
            return bool(ray.get(stats_actor.forgive.remote(attempt, gone)))
        time.sleep(_ASK_S)
    return False
