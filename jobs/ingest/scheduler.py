"""Hands out a run's work to Ray's workers, and takes in what is done."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ray

from jobs.cluster.session import OBJECT_STORE_BYTES
from jobs.ingest.batching import GROUP_FILES, JobChain, JobGroup, group_files
from jobs.ingest.resources import ResourcePlan, clip_bytes
from jobs.ingest.steps import Job
from jobs.ingest.workers import CHUNKS, ChainActor, decode_group, plan_group, write_rows
from pipeline.decoders.registry import ON_GPU
from schemas.records import Outcome, VideoFile

# Groups of jobs that are planned before there is a decoder for them, for each decoder.
_PLANNED_AHEAD = 3

# The share of each GPU that decoders on it take; less than half, or Ray would put two annotators on one GPU.
DECODERS_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class _StartedChain:
    """A chain that an actor decodes.

    Attributes:
        chain: its jobs.
        actor: a `ChainActor`.
        number: the job to decode next.
    """

    chain: JobChain
    actor: Any
    number: int = 0


class Scheduler:
    """Keeps decoders and annotators busy, and the clips between them few enough for the object store."""

    def __init__(
        self,
        job: Job,
        stats_actor: Any,
        resources: ResourcePlan,
        gpus: int,
        annotators: Sequence[Any],
        files: Sequence[VideoFile],
        is_time_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare Ray's tasks.

        Args:
            job: the steps.
            stats_actor: the run's `StatsActor`.
            resources: how the run is laid out.
            gpus: of all machines.
            annotators: `AnnotatorActor` handles.
            files: the videos to do.
            is_time_up: once it says so, no video is begun any more; those of which a part is decoded are finished.
        """
        self._is_time_up = is_time_up
        self._begun: frozenset[str] = frozenset()  # ids of the videos that were handed to a decoder last
        self._resources, self._pace = resources, job.pace
        # Ray retries a task whose worker died for ever by default, and one bad file would hang the run. Two workers may die
        # at each video of a group.
        options: dict[str, Any] = {"num_cpus": 1, "max_retries": 2 * GROUP_FILES}
        if job.options.decoder in ON_GPU:
            share = math.floor(1e4 * DECODERS_SHARE / math.ceil(resources.decoders / gpus)) / 1e4  # as finely as Ray counts
            options["num_gpus"] = share
        self._plan = ray.remote(plan_group).options(**options | {"num_gpus": 0})
        self._decode = ray.remote(decode_group).options(**options, num_returns=1 + CHUNKS)
        # The stats actor lets no worker begin again where two have died.
        for_ever = options | {"max_restarts": -1, "max_task_retries": -1}
        del for_ever["max_retries"]
        self._chain = ray.remote(ChainActor).options(**for_ever)
        self._write = ray.remote(write_rows).options(num_cpus=0, max_retries=2)
        self._job, self._stats_actor = ray.put(job), stats_actor
        store_bytes = int(ray.cluster_resources().get("object_store_memory", OBJECT_STORE_BYTES))
        # Clips that may be in decoders, or decoded and not yet annotated.
        self._max_clips = max(
            store_bytes // 2 // clip_bytes(job.inputs),
            (resources.max_in_flight + 1) * resources.annotators * resources.batch_size,
        )
        self._groups = iter(group_files(files, resources.decoders))
        self._planned: deque[JobGroup | JobChain | _StartedChain] = deque()
        self._running: dict[Any, Callable[[Any], Iterator[Outcome]]] = {}  # what takes in each task's result
        self._num_planning = self._num_decoding = self._num_clips = 0
        self._decoded: deque[tuple[Any, int]] = deque()  # chunks of clips, and how many are in each
        self._calls = dict.fromkeys(annotators, 0)  # that each annotator has been given and not finished
        self._rows: list[Any] = []
        self._num_rows = 0
        self._oldest_row_s = 0.0

    def run(self) -> Iterator[Outcome | None]:
        """Hand out work and yield what comes of it until all is done; None whenever nothing finished for some seconds."""
        while True:
            self._hand_out()
            if not self._running:
                return
            finished, _ = ray.wait(list(self._running), num_returns=1, timeout=self._pace.wait_s)
            if not finished:
                yield None
            for ref in finished:
                yield from self._running.pop(ref)(ref)

    def stop(self) -> None:
        """Let workers begin nothing more.

        Not by `ray.cancel`, which may end this process: where a task finishes just then, Ray takes its own answer for a
        fault.
        """
        self._stats_actor.stop.remote()

    def _hand_out(self) -> None:
        """Start what there is room for: later stages first, so that little waits."""
        self._drop_if_time_is_up()  # first: annotators wait for what is planned
        self._hand_to_annotators()
        while self._planned and self._num_decoding < self._resources.decoders and self._num_clips < self._max_clips:
            self._hand_to_decoder(self._planned.popleft())
            self._drop_if_time_is_up()
        while len(self._planned) + self._num_planning < _PLANNED_AHEAD * self._resources.decoders:
            group = next(self._groups, None)
            if group is None:
                break
            self._num_planning += 1
            self._running[self._plan.remote(self._job, self._stats_actor, group)] = self._take_planned
        self._hand_to_writer()

    def _drop_if_time_is_up(self) -> None:
        """Once the time is up, plan no more files, and forget the jobs of videos of which none was handed to a decoder.

        A video's jobs come in a row, so of those that were begun only the last can have others that wait, but for chains.
        """
        if not self._is_time_up():
            return
        self._groups = iter(())
        kept: list[JobGroup | JobChain | _StartedChain] = []
        for planned in self._planned:
            if isinstance(planned, _StartedChain):
                kept.append(planned)
            elif jobs := tuple(job for job in planned.jobs if job.video.video_id in self._begun):
                kept.append(replace(planned, jobs=jobs))
        self._planned = deque(kept)

    def _hand_to_decoder(self, planned: JobGroup | JobChain | _StartedChain) -> None:
        started: _StartedChain | None = None
        if isinstance(planned, JobGroup):
            jobs = planned.jobs
            summary, *chunks = self._decode.remote(self._job, self._stats_actor, planned)
            self._begun = frozenset(job.video.video_id for job in jobs)
        else:
            if isinstance(planned, JobChain):
                self._begun = frozenset(job.video.video_id for job in planned.jobs)
                planned = _StartedChain(planned, self._chain.remote(self._job, self._stats_actor, planned))
            started = planned
            jobs = started.chain.jobs[started.number : started.number + 1]
            summary, *chunks = started.actor.decode.options(num_returns=1 + CHUNKS).remote(started.number)
        num_clips = sum(len(job.spans) for job in jobs)
        self._num_decoding, self._num_clips = self._num_decoding + 1, self._num_clips + num_clips
        self._running[summary] = partial(self._take_decoded, chunks, num_clips, started)

    def _hand_to_annotators(self) -> None:
        """Give decoded clips to the annotators that have least to do: whole batches, except for the last ones.

        Each is given one call more than it works at, so that its next clips are there when it needs them.
        """
        last = not (self._planned or self._num_planning or self._num_decoding) or self._num_clips >= self._max_clips
        while self._decoded:
            annotator = min(self._calls, key=lambda actor: self._calls[actor])
            num_waiting = sum(count for _, count in self._decoded)
            if self._calls[annotator] > self._resources.max_in_flight:
                return
            if num_waiting < self._resources.batch_size and not last:
                return
            chunks, num_clips = [], 0
            while self._decoded and num_clips < self._resources.batch_size:
                chunk, count = self._decoded.popleft()
                chunks.append(chunk)
                num_clips += count
            self._calls[annotator] += 1
            rows, summary = annotator.annotate.options(num_returns=2).remote(*chunks)
            self._running[summary] = partial(self._take_annotated, annotator, rows, num_clips)

    def _hand_to_writer(self) -> None:
        """Have rows written once there are enough for a file, or they have waited for long, or no more will come."""
        if not self._rows:
            return
        late = time.monotonic() - self._oldest_row_s > self._pace.write_after_s
        last = not (self._planned or self._num_planning or self._num_decoding or self._decoded or self._num_clips)
        if self._num_rows >= self._pace.rows_per_file or late or last:
            self._running[self._write.remote(self._job, self._stats_actor, *self._rows)] = self._take_written
            self._rows, self._num_rows = [], 0

    def _take_planned(self, ref: Any) -> Iterator[Outcome]:
        self._num_planning -= 1
        for item in _result(ref) or ():
            if isinstance(item, JobGroup | JobChain):
                self._planned.append(item)
            else:
                yield item

    def _take_decoded(
        self, chunks: list[Any], num_promised: int, started: _StartedChain | None, ref: Any
    ) -> Iterator[Outcome]:
        self._num_decoding -= 1
        counts, done = _result(ref) or ((), ())
        if started is not None:
            number = started.number + 1
            if done and number < len(started.chain.jobs):  # else its actor ends, as nobody refers to it any more
                self._planned.appendleft(replace(started, number=number))
        self._num_clips -= num_promised - sum(counts)
        self._decoded.extend((chunk, count) for chunk, count in zip(chunks, counts, strict=False) if count)
        yield from done

    def _take_annotated(self, annotator: Any, rows: Any, num_clips: int, ref: Any) -> Iterator[Outcome]:
        self._calls[annotator] -= 1
        self._num_clips -= num_clips
        num_rows, failures = ray.get(ref)
        if num_rows:
            self._oldest_row_s = self._oldest_row_s if self._rows else time.monotonic()
            self._rows.append(rows)
            self._num_rows += num_rows
        yield from failures

    def _take_written(self, ref: Any) -> Iterator[Outcome]:
        yield ray.get(ref)


def _result(ref: Any) -> Any:
    """A task's result; None where its worker died too often: `VideoLedger.close` finds what is missing then."""
    try:
        return ray.get(ref)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.RayActorError):
        return None
