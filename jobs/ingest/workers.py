"""What Ray's workers run: each step of a `Job` within its limits, told to the run's counter before and after."""

from __future__ import annotations

import faulthandler
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import ray

from jobs.ingest.batching import FileGroup, JobChain, JobGroup, group_jobs
from jobs.ingest.resources import ResourcePlan
from jobs.ingest.steps import Job
from jobs.ingest.timing import RunStats, StageTiming, timed
from pipeline.decoders.registry import CHAINED, load_decoder
from pipeline.sampling import chains_of
from schemas.records import Clip, ClipRow, JobFailed, Problem, SpanDone, SpanJob, VideoFailed, VideoFile, Written

# Bytes per second: planning reads whole files, twice, and a large one on a slow network drive must not look like a hang.
_SLOWEST_DISK = 5e6

# Parts that what a task decodes is passed on in, so that several annotators can have some of it.
CHUNKS = 4

# Workers that may die at one place of a video.
_MAX_DEATHS = 2

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


class StatsActor:
    """The run's tally, in a process that all stages can reach."""

    def __init__(self, keep: bool) -> None:
        """``keep`` every piece of work, for a trace."""
        self._tally = RunStats()
        self._kept: list[StageTiming] | None = [] if keep else None
        self._last: dict[tuple[str, int], StageTiming] = {}
        self._begun: dict[Attempt, list[bool]] = {}  # and of each worker that died there, whether it took too long
        self._computing = "cpu", "fp32"
        self._stopped = False

    def stop(self) -> None:
        """Let no worker begin anything more."""
        self._stopped = True

    def work(self, work: StageTiming) -> None:
        """A worker has done something."""
        before = self._last.get((work.worker, work.thread))
        waited_s = max(0.0, work.began_s - before.ended_s) if before and before.stage == work.stage else 0.0
        self._last[work.worker, work.thread] = work
        self._tally.enter(work, waited_s)
        if self._kept is not None:
            self._kept.append(work)

    def begin(self, attempt: Attempt, late: bool) -> bool:
        """A worker is about to read something, and may if not two have died at it; the accounts will miss it else.

        Told first, so that it is known what a worker that died was at. ``late`` says that the one before took too long.
        """
        if self._stopped:
            return False
        deaths = self._begun.get(attempt)
        if deaths is None:
            self._begun[attempt] = []
            return True
        deaths.append(late)
        return len(deaths) < _MAX_DEATHS

    def end(self, attempt: Attempt, work: StageTiming) -> None:
        """It has lived to tell of it."""
        self._begun.pop(attempt, None)
        self.work(work)

    def snapshot(self) -> RunStats:
        """How far the run is."""
        return self._tally

    def works(self) -> list[StageTiming]:
        """All that was done, where it is kept."""
        return self._kept or []

    def compute(self, device: str, precision: str) -> None:
        """What an annotator found to compute on."""
        self._computing = device, precision

    def computing(self) -> tuple[str, str]:
        """The device and the arithmetic of the annotators."""
        return self._computing

    def lost(self) -> dict[bytes, Problem]:
        """For every path at which two workers died, why."""
        return {
            attempt.path: Problem(attempt.stage, _TIMED_OUT.format(attempt.limit_s) if any(deaths) else CRASHED)
            for attempt, deaths in self._begun.items()
            if deaths
        }


def plan_group(job: Job, counter: Any, group: FileGroup) -> list[JobGroup | JobChain | VideoFailed]:
    """A group's videos' jobs in groups, or the reasons why there are none."""
    planned = [item for file in group.files for item in _plan_file(job, counter, file)]
    return list(group_jobs(planned, chained=job.options.decoder in CHAINED))


def _plan_file(job: Job, counter: Any, file: VideoFile) -> list[SpanJob | VideoFailed]:
    seconds = job.options.video_timeout_s + file.size_bytes / _SLOWEST_DISK
    attempt = Attempt(os.fsencode(file.path), "probe", 0, seconds)
    if not _may_begin(counter, attempt):
        return []
    with timed("plan", file.path) as work, _limits(attempt, job.options.max_memory_mb):
        planned = job.plan(file)
    work.count, work.video_s = 1, next((item.video.duration_s or 0.0 for item in planned), 0.0)
    counter.end.remote(attempt, work)
    return planned


# How many clips are in each chunk and what became of each job; then the chunks, of which the driver wants no frames.
_Chunks = tuple[tuple[list[int], list[SpanDone]], *tuple[list[Clip], ...]]


def decode_group(job: Job, counter: Any, group: JobGroup) -> _Chunks:
    """Decode a group's jobs."""
    load_decoder(job.options.decoder)  # before the limits: what its libraries reserve is no video's doing
    items: list[Clip | SpanDone] = []
    for jobs in chains_of(group.jobs):
        chain = _Chain(job, counter, jobs)
        for number in range(len(jobs)):
            items += chain.decode(number)
    return _chunks(items)


class ChainActor:
    """An actor that decodes the jobs of a chain, one with each call, and keeps the file open between the calls."""

    def __init__(self, job: Job, counter: Any, chain: JobChain) -> None:
        load_decoder(job.options.decoder)
        self._chain = _Chain(job, counter, chain.jobs)

    def decode(self, number: int) -> _Chunks:
        """Decode the job of this number. Of one that must not be begun nothing comes back."""
        return _chunks(self._chain.decode(number))


def _chunks(items: Sequence[Clip | SpanDone]) -> _Chunks:
    clips = [item for item in items if isinstance(item, Clip)]
    chunks = [clips[number * len(clips) // CHUNKS : (number + 1) * len(clips) // CHUNKS] for number in range(CHUNKS)]
    return ([len(chunk) for chunk in chunks], [item for item in items if isinstance(item, SpanDone)]), *chunks


class _Chain:
    """Jobs that one pass over a file decodes."""

    def __init__(self, job: Job, counter: Any, jobs: Sequence[SpanJob]) -> None:
        self._job, self._counter, self._jobs = job, counter, jobs
        self._items: Iterator[Clip | SpanDone] | None = None
        self._given_up = False

    def decode(self, number: int) -> list[Clip | SpanDone]:
        """The clips of a job and what became of it; nothing where it, or one before it, must not be begun."""
        wanted, options = self._jobs[number], self._job.options
        video = wanted.video
        attempt = Attempt(os.fsencode(video.file.path), "decode", wanted.part, options.video_timeout_s)
        if self._given_up or not _may_begin(self._counter, attempt):
            self._given_up = True
            return []
        note = f"{video.file.path} part {wanted.part + 1} of {wanted.num_parts}"
        # Where the worker before has died, all until here is decoded again.
        times = 1 if self._items else 1 + number
        try:
            with timed("decode", note) as work, _limits(attempt, options.max_memory_mb, times):
                items = self._next(number)
        except MemoryError:
            self._items = None
            problem = Problem("decode", "reading it takes more memory than --max-memory allows")
            items = [SpanDone(video, wanted.part, wanted.num_parts, (), (*wanted.problems, problem))]
        work.count, work.video_s = _measure(items)
        self._counter.end.remote(attempt, work)
        return items

    def _next(self, number: int) -> list[Clip | SpanDone]:
        left = self._jobs[number:]
        if self._items is None:
            self._items = self._job.decode(left[0]) if len(left) == 1 else self._job.decode_chain(left)
        items: list[Clip | SpanDone] = []
        for item in self._items:
            items.append(item)
            if isinstance(item, SpanDone):
                break
        return items


class AnnotatorActor:
    """An actor that holds both models; its calls may overlap (`ResourcePlan.lanes`)."""

    def __init__(self, job: Job, counter: Any, shape: ResourcePlan) -> None:
        with timed("load models") as work:
            cores = len(os.sched_getaffinity(0))  # for where Ray has GPUs and the models find none: Ray would leave them one
            self._annotate = job.annotator(shape.threads or max(1, cores // shape.annotators))
        self._counter, self._batch_size = counter, shape.batch_size
        self._cpu = time.thread_time if shape.lanes > 1 else time.process_time
        counter.compute.remote(self._annotate.device, self._annotate.precision)
        counter.work.remote(work)

    def annotate(self, *groups: list[Clip]) -> tuple[list[ClipRow], tuple[int, list[JobFailed]]]:
        """Rows of all clips; and apart, how many they are and what went wrong."""
        clips = [clip for group in groups for clip in group]
        rows: list[ClipRow | JobFailed] = []
        passes = -(-len(clips) // self._batch_size)
        for number in range(passes):  # of equal sizes
            batch = clips[number * len(clips) // passes : (number + 1) * len(clips) // passes]
            with timed("annotate", cpu=self._cpu) as work:
                rows += self._annotate(batch)
            work.count, work.video_s = _measure(batch)
            self._counter.work.remote(work)
        made = [row for row in rows if isinstance(row, ClipRow)]
        return made, (len(made), [row for row in rows if isinstance(row, JobFailed)])


def write_rows(job: Job, counter: Any, *groups: list[ClipRow]) -> Written | JobFailed:
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
def _limits(attempt: Attempt, megabytes: int, times: int = 1) -> Iterator[None]:
    """Both limits on reading a video: so many times the attempt's seconds, and megabytes beyond what the process has now."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (megabytes << 20), before[1]))
    try:
        with _time_limit(attempt, times):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def _time_limit(attempt: Attempt, times: int) -> Iterator[None]:
    """End this process if the block takes longer: nothing else ends a decoder that hangs with Python's lock held.

    Where it was is then written to a file, by which the next worker on this machine knows of it.
    """
    path = _timeout_marker(attempt)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(attempt.limit_s * times, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            path.unlink(missing_ok=True)


def _timeout_marker(attempt: Attempt) -> Path:
    digest = blake2b(repr((attempt, ray.get_runtime_context().get_job_id())).encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir(), f"vidsift-{os.getuid()}-{digest}")


def _may_begin(counter: Any, attempt: Attempt) -> bool:
    """Tell the counter of the attempt, and how the one before has ended."""
    try:
        late = _timeout_marker(attempt).stat().st_size > 0
    except OSError:
        late = False
    may = bool(ray.get(counter.begin.remote(attempt, late)))
    if not may:
        _timeout_marker(attempt).unlink(missing_ok=True)
    return may
