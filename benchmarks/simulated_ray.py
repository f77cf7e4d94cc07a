"""Stands in for Ray in the scheduler of an ingest: one process, a clock of its own, and workers that only take time.

Planning, decoding, annotating and writing are replaced by the seconds that they take and by what they would report. The
scheduler, the ledger and the committer are the real ones. The driver's own CPU seconds pass on the clock too, so where the
driver cannot keep up, decoders wait for it as they would on a cluster. So does what Ray's own calls cost the driver, by
`Costs.task_s`.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import ray

import jobs.ingest.commit
import jobs.ingest.layout
import jobs.ingest.ray_run
import jobs.ingest.scheduler
from jobs.cluster.nodes import Node
from jobs.ingest.batching import FileGroup, JobChain, group_jobs
from jobs.ingest.timing import StageTiming
from jobs.ingest.workers import CHUNKS, Attempt, StatsActor
from schemas.models import ModelInput
from schemas.records import (
    Span,
    SpanDone,
    SpanJob,
    VideoFile,
    VideoInfo,
    Written,
    WrittenFile,
    video_id_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds that the steps take, measured elsewhere.

    Attributes:
        plan_s: planning a file, and a byte of it.
        decode_clip_s: decoding a clip.
        annotate_clip_s: computing a clip, of one annotator.
        write_row_s: writing a row.
        task_s: the driver's CPU seconds for each task, over what its Python takes here.
        bytes_per_s: of the made-up videos: how long a file of some size is.
        clip_s: length of a clip.
        features_bytes: of a clip's row in ``features``; 0 where the library has none.
        row_bytes: of a clip's row in ``clips``.
    """

    plan_s: tuple[float, float] = (0.03, 2e-9)
    decode_clip_s: float = 0.074
    annotate_clip_s: float = 0.008
    write_row_s: float = 0.0005
    task_s: float = 0.0
    bytes_per_s: int = 500_000
    clip_s: float = 4.0
    features_bytes: int = 0
    row_bytes: int = 2_200


class _Ref:
    """What Ray calls an object's reference: here the object, once its task is done."""

    __slots__ = ("done", "value")

    def __init__(self, value: Any = None, *, done: bool = False) -> None:
        self.value, self.done = value, done


@dataclass(slots=True)
class _Task:
    """A task: when it ends, what it then sets, and whether it holds a CPU."""

    seconds: float
    finish: Callable[[], None]
    summary: _Ref
    on_cpu: bool = True
    began_s: float = 0.0


class SimulatedRay:
    """The calls of the module ``ray`` that the run and its scheduler make.

    Attributes:
        now_s: the clock.
        began_s: when the first task was handed out.
        driver_s: CPU seconds of everything outside this class.
        num_tasks: tasks that were started.
        max_tasks: the most that were under way at a time.
        busy_s: seconds that CPUs were busy.
        handed: for each decoding that was handed out, when, and its jobs.
        finished: for each video, by path, when its last clip was decoded.
        written: what each writer wrote, once it is asked to make it real.
    """

    exceptions = ray.exceptions

    def __init__(self, costs: Costs, *, cpus: int, gpus: int = 0, store_bytes: int = 2 << 30, exact: bool = False) -> None:
        """A cluster with so many CPUs and GPUs.

        Args:
            costs: how long its workers take.
            cpus: of all machines.
            gpus: likewise; each has an annotator.
            store_bytes: of the object store.
            exact: keep `handed` and `finished`, and let no time of the driver's pass on the clock.
        """
        self._costs, self._exact = costs, exact
        self._resources = {"CPU": float(cpus), "GPU": float(gpus), "object_store_memory": float(store_bytes), "memory": 1e12}
        self._free_cpus, self._waiting = cpus, deque[_Task]()
        self._events: list[tuple[float, int, _Task]] = []
        self._ready: dict[_Ref, None] = {}  # what has ended and was not fetched
        self.now_s = self.driver_s = self.busy_s = self.began_s = 0.0
        self.num_tasks = self.max_tasks = 0
        self._under_way = self._num_begun = 0
        self._left = time.process_time()
        self.handed: list[tuple[float, tuple[SpanJob, ...]]] = []
        self.finished: dict[str, float] = {}
        self.make_file: Callable[[str, int, int], None] = lambda name, size_bytes, num_rows: None
        self.num_files = 0

    # What the scheduler calls; each accounts for the driver's time until then.

    def cluster_resources(self) -> dict[str, float]:
        """Of all machines."""
        return dict(self._resources)

    def nodes(self) -> list[Node]:
        """One machine that has all."""
        cpus, gpus = int(self._resources["CPU"]), int(self._resources["GPU"])
        return [Node("node", "made up", cpus, gpus, self._resources["memory"])]

    def put(self, value: Any) -> _Ref:
        """An object that is there."""
        return _Ref(value, done=True)

    def get(self, refs: Any, timeout: float | None = None) -> Any:
        """Values that are there."""
        with self._inside():
            if isinstance(refs, list):
                return [ref.value for ref in refs]
            self._ready.pop(refs, None)
            return refs.value

    def kill(self, actor: Any) -> None:
        """Nothing to do."""

    def wait(
        self, refs: Sequence[_Ref], num_returns: int = 1, timeout: float | None = None
    ) -> tuple[list[_Ref], list[_Ref]]:
        """Let time pass until a task ends, or the timeout does."""
        with self._inside():
            until = float("inf") if timeout is None else self.now_s + timeout
            while not self._ready and self._events and self._events[0][0] <= until:
                self._end_next()
            while self._events and self._events[0][0] <= self.now_s:
                self._end_next()
            if not self._ready and timeout:
                self.now_s = until
            return list(islice(self._ready, num_returns)), []

    def remote(self, what: Any = None, **options: Any) -> Any:
        """A function or a class whose calls take their time here."""
        return (lambda inner: _Remote(self, inner)) if what is None else _Remote(self, what)

    # The workers.

    @contextmanager
    def _inside(self) -> Iterator[None]:
        spent = time.process_time() - self._left
        self.driver_s += spent
        if not self._exact:
            self.now_s += spent
        try:
            yield
        finally:
            self._left = time.process_time()

    def _end_next(self) -> None:
        at, _, task = heapq.heappop(self._events)
        self.now_s = max(self.now_s, at)
        if task.on_cpu:
            self._free_cpus += 1
            self.busy_s += task.seconds
        self._under_way -= 1
        task.finish()
        task.summary.done = True
        self._ready[task.summary] = None
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        while self._waiting and self._free_cpus:
            self._free_cpus -= 1
            task = self._waiting.popleft()
            self._push(self.now_s + task.seconds, task)

    def submit(self, task: _Task, at_s: float | None = None) -> None:
        """Begin a task at a time of its own, or once a CPU is free."""
        if not self.num_tasks:
            self.began_s = self.now_s
        self.num_tasks += 1
        self._under_way += 1
        self.max_tasks = max(self.max_tasks, self._under_way)
        self.driver_s += self._costs.task_s
        self.now_s += self._costs.task_s
        if task.on_cpu:
            self._waiting.append(task)
            self._begin_waiting()
        else:
            begins = self.now_s if at_s is None else max(at_s, self.now_s)
            self._push(begins + task.seconds, task)

    def _push(self, ends_s: float, task: _Task) -> None:
        self._num_begun += 1
        heapq.heappush(self._events, (ends_s, self._num_begun, task))

    def plan_group(self, job: _Ref, stats: Any, group: FileGroup) -> _Ref:
        """As `jobs.ingest.workers.plan_group`."""
        summary = _Ref()

        def finish() -> None:
            planned = [job_ for file in group.files for job_ in made_up_jobs(file, self._costs, job.value.inputs)]
            for file in group.files:
                stats.instance.record(
                    StageTiming("plan", self.now_s, each_s, each_s, 1, file.size_bytes / self._costs.bytes_per_s)
                )
            summary.value = list(group_jobs(planned))

        per_file, per_byte = self._costs.plan_s
        seconds = sum(per_file + per_byte * file.size_bytes for file in group.files)
        each_s = seconds / len(group.files)
        self.submit(_Task(seconds, finish, summary))
        return summary

    def decode(self, stats: Any, jobs: tuple[SpanJob, ...], *, on_cpu: bool = True) -> list[_Ref]:
        """As `jobs.ingest.workers.decode_group`: the summary, and chunks that hold clips' numbers by video."""
        summary, chunks = _Ref(), [_Ref() for _ in range(CHUNKS)]
        num_clips = sum(len(job.spans) for job in jobs)
        seconds = num_clips * self._costs.decode_clip_s
        if self._exact:
            self.handed.append((self.now_s, jobs))

        def finish() -> None:
            clips, done = [], []
            for job in jobs:
                first = int(job.video.video_id, 16) % (1 << 40) * 10_000 + job.part * 100
                ids = tuple(range(first, first + len(job.spans)))
                clips += [(job.video.video_id, clip_id) for clip_id in ids]
                done.append(SpanDone(job.video, job.part, job.num_parts, ids))
                attempt = Attempt(job.video.file.path.encode(), "decode", job.part, 600.0)
                stats.instance.begin(attempt, False)
                each = len(ids) * self._costs.decode_clip_s
                stats.instance.end(attempt, StageTiming("decode", self.now_s - each, each, each, len(ids), 4.0 * len(ids)))
                if self._exact:
                    self.finished[job.video.file.path] = self.now_s
            parts = [clips[k * len(clips) // CHUNKS : (k + 1) * len(clips) // CHUNKS] for k in range(CHUNKS)]
            for chunk, part in zip(chunks, parts, strict=True):
                chunk.value = part
            summary.value = ([len(part) for part in parts], done, "node")

        self.submit(_Task(seconds, finish, summary, on_cpu=on_cpu))
        return [summary, *chunks]

    def write(self, stats: Any, rows: Sequence[_Ref]) -> _Ref:
        """As `jobs.ingest.workers.write_rows`."""
        summary = _Ref()
        num_rows = sum(len(ref.value) for ref in rows)
        self.num_files += 1
        name = f"part-{self.num_files:08d}.parquet"

        def finish() -> None:
            clip_ids: dict[str, list[int]] = {}
            for ref in rows:
                for video_id, clip_id in ref.value:
                    clip_ids.setdefault(video_id, []).append(clip_id)
            size = num_rows * self._costs.row_bytes
            self.make_file(name, size, num_rows)
            features = WrittenFile(name, num_rows * self._costs.features_bytes) if self._costs.features_bytes else None
            by_video = {video_id: tuple(ids) for video_id, ids in clip_ids.items()}
            stats.instance.record(StageTiming("write", self.now_s, count=num_rows))
            summary.value = Written(name, size, by_video, features)

        self.submit(_Task(num_rows * self._costs.write_row_s, finish, summary, on_cpu=False))
        return summary


class _Remote:
    """A remote function or class."""

    def __init__(self, cluster: SimulatedRay, what: Any) -> None:
        self._cluster, self._name, self._what = cluster, what.__name__, what

    def options(self, **options: Any) -> _Remote:
        """Nothing depends on them here."""
        return self

    def remote(self, *arguments: Any) -> Any:
        """Call it."""
        cluster = self._cluster
        with cluster._inside():
            if self._name == "plan_group":
                return cluster.plan_group(*arguments)
            if self._name == "decode_group":
                return cluster.decode(arguments[1], arguments[2].jobs)
            if self._name == "write_rows":
                return cluster.write(arguments[1], arguments[2:])
            actors = {"StatsActor": _Stats, "ChainActor": _Chain, "AnnotatorActor": _Annotator}
            return actors[self._name](cluster, *arguments)


class _Method:
    """A method of an actor."""

    def __init__(self, cluster: SimulatedRay, call: Callable[..., Any]) -> None:
        self._cluster, self._call = cluster, call

    def options(self, **options: Any) -> _Method:
        """Nothing depends on them here."""
        return self

    def remote(self, *arguments: Any) -> Any:
        """Call it."""
        with self._cluster._inside():
            return self._call(*arguments)


class _Stats:
    """The real `StatsActor`; it answers at once."""

    def __init__(self, cluster: SimulatedRay, *arguments: Any) -> None:
        self.instance, self._cluster = StatsActor(*arguments), cluster

    def __getattr__(self, name: str) -> _Method:
        method = getattr(self.instance, name)
        return _Method(self._cluster, lambda *arguments: _Ref(method(*arguments), done=True))


class _Chain:
    """As `jobs.ingest.workers.ChainActor`."""

    def __init__(self, cluster: SimulatedRay, job: _Ref, stats: Any, chain: JobChain) -> None:
        self.decode = _Method(cluster, lambda number: cluster.decode(stats, chain.jobs[number : number + 1]))


class _Annotator:
    """As `jobs.ingest.workers.AnnotatorActor`: one call after the other."""

    def __init__(self, cluster: SimulatedRay, job: Any, stats: Any, resources: Any) -> None:
        self._cluster, self._stats, self._free_s = cluster, stats, 0.0
        self.annotate = _Method(cluster, self._annotate)

    def _annotate(self, *chunks: _Ref) -> list[_Ref]:
        rows, summary = _Ref(), _Ref()
        clips = [clip for chunk in chunks for clip in chunk.value]
        seconds = len(clips) * self._cluster._costs.annotate_clip_s

        def finish() -> None:
            rows.value, summary.value = clips, (len(clips), [])
            began_s = self._cluster.now_s - seconds
            self._stats.instance.record(StageTiming("annotate", began_s, seconds, seconds, len(clips), 4.0 * len(clips)))

        begins = max(self._free_s, self._cluster.now_s)
        self._free_s = begins + seconds
        self._cluster.submit(_Task(seconds, finish, summary, on_cpu=False), begins)
        return [rows, summary]


def made_up_jobs(file: VideoFile, costs: Costs, inputs: Sequence[ModelInput]) -> list[SpanJob]:
    """The jobs of a made-up video, a minute each; one whose name ends in ``.chain`` is decoded in one pass.

    Their arrays of frames are shared, where those of real jobs take 20 KB each.
    """
    duration_s = file.size_bytes / costs.bytes_per_s
    video_id = video_id_of(None, file.path)
    video = VideoInfo(video_id, file, video_id * 2, "mp4", "h264", 1280, 720, 0, 25.0, duration_s, 1, 1)
    num_clips, a_job = max(1, round(duration_s / costs.clip_s)), max(1, int(60 / costs.clip_s))
    num_parts = -(-num_clips // a_job)
    nothing = np.empty(0, np.int64)
    jobs = []
    for part in range(num_parts):
        numbers = range(part * a_job, min((part + 1) * a_job, num_clips))
        spans = tuple(Span(number * costs.clip_s, (number + 1) * costs.clip_s) for number in numbers)
        job = SpanJob(
            video=video,
            part=part,
            num_parts=num_parts,
            codec="h264",
            time_base=Fraction(1, 90_000),
            rotation_deg=0,
            mirrored=False,
            pixel_aspect=Fraction(1),
            timed=True,
            seek=None,
            seek_index=0,
            earlier=None,
            chain=0 if file.path.endswith(".chain") else part,
            spans=spans,
            inputs=tuple(inputs),
            frame_index=nothing,
            frame_pts=nothing,
            picks=(),
            max_pixels=1,
        )
        jobs.append(job)
    return jobs


class _Clock:
    """Stands in for the module ``time`` where the cluster's clock counts."""

    def __init__(self, cluster: SimulatedRay) -> None:
        self._cluster = cluster

    def monotonic(self) -> float:
        """Seconds on that clock."""
        return self._cluster.now_s


@contextmanager
def simulated(cluster: SimulatedRay) -> Iterator[None]:
    """Let runs in this process use ``cluster`` for Ray, and its clock, for the block."""
    clock = _Clock(cluster)
    places: list[tuple[Any, str, Any]] = [
        (jobs.ingest.scheduler, "ray", cluster),
        (jobs.ingest.ray_run, "ray", cluster),
        (jobs.ingest.layout, "ray", cluster),
        (jobs.ingest.layout, "alive_nodes", cluster.nodes),
        (jobs.ingest.layout, "check_nodes", lambda *_: None),
        (jobs.ingest.layout, "head_answers", lambda: True),
        (jobs.ingest.layout, "on_node", lambda node: node),
        (jobs.ingest.ray_run, "on_this_node", lambda: ""),
        (jobs.ingest.scheduler, "time", clock),
        (jobs.ingest.commit, "time", clock),
    ]
    before = [getattr(module, name) for module, name, _ in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(places, before, strict=True):
            setattr(module, name, value)
