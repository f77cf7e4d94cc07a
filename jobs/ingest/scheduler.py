"""Hands out a run's work to Ray's workers, and takes in what is done."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import ray

from jobs.cluster.session import OBJECT_STORE_BYTES
from jobs.ingest.batching import GROUP_FILES, FileGroup, FileQueue, JobChain, JobGroup
from jobs.ingest.lanes import Lane, Planned, StartedChain
from jobs.ingest.resources import ResourcePlan, clip_bytes
from jobs.ingest.steps import Job
from jobs.ingest.workers import CHUNKS, ChainActor, decode_group, plan_group, write_rows
from pipeline.decoders.registry import ON_GPU
from schemas.records import Outcome, VideoFile

# The share of each GPU that decoders on it take; less than half, or Ray would put two annotators on one GPU.
DECODERS_SHARE = 0.4


class Scheduler:
    """Keeps decoders and annotators busy, and the clips between them few enough for the object store.

    Files are planned from both ends of their sizes, in two lanes, and decoders are given to them in turn. So while there
    are both, a long film and many short clips get half of the decoders each, whichever was found first.
    """

    def __init__(
        self,
        job: Job,
        stats_actor: Any,
        resources: ResourcePlan,
        gpus: int,
        annotators: Sequence[Any],
        files: Sequence[VideoFile],
    ) -> None:
        """Prepare Ray's tasks.

        Args:
            job: the steps.
            stats_actor: the run's `StatsActor`.
            resources: how the run is laid out.
            gpus: of all machines.
            annotators: `AnnotatorActor` handles.
            files: the videos to do.
        """
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
        self._files = FileQueue(files, resources.decoders)
        self._lanes = deque([Lane(largest=False), Lane(largest=True)])  # the next one's turn comes first
        self._running: dict[Any, Callable[[Any], Iterator[Outcome]]] = {}  # what takes in each task's result
        self._num_decoding = self._num_clips = 0
        self._decoded: deque[tuple[Any, int]] = deque()  # chunks of clips, and how many are in each
        self._num_decoded = 0  # clips in them
        self._calls = dict.fromkeys(annotators, 0)  # that each annotator has been given and not finished
        self._rows: list[Any] = []
        self._num_rows = 0
        self._oldest_row_s = 0.0
        self._last_file_s = -math.inf

    def run(self) -> Iterator[Outcome | None]:
        """Hand out work and yield what comes of it until all is done; None whenever nothing finished for some seconds."""
        while True:
            self._hand_out()
            if not self._running:
                return
            finished, _ = ray.wait(list(self._running), num_returns=1, timeout=self._pace.wait_s)
            if not finished:
                yield None
            else:  # looking through what runs costs as much for all that has finished as for one
                finished, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
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
        self._hand_to_annotators()
        while self._num_decoding < self._resources.decoders and self._num_clips < self._max_clips:
            lane = next((lane for lane in self._lanes if lane.num_waiting), None)
            if lane is None:
                break
            self._lanes.remove(lane)
            self._lanes.append(lane)
            self._hand_to_decoder(lane, lane.take())
        while len(self._files):
            lanes = [lane for lane in self._lanes if lane.has_room(self._resources.decoders)]
            if not lanes:
                break
            for lane in lanes:
                if group := self._files.take(largest=lane.largest):
                    self._hand_to_planner(lane, group)
        self._hand_to_writer()

    def _is_planned(self) -> bool:
        """Whether nothing waits for a decoder, or will."""
        return not any(self._lanes)

    def _hand_to_planner(self, lane: Lane, group: FileGroup) -> None:
        lane.expect(group)
        ref = self._plan.remote(self._job, self._stats_actor, group)
        self._running[ref] = partial(self._take_planned, lane, group)

    def _hand_to_decoder(self, lane: Lane, planned: Planned) -> None:
        started: StartedChain | None = None
        if isinstance(planned, JobGroup):
            jobs = planned.jobs
            summary, *chunks = self._decode.remote(self._job, self._stats_actor, planned)
        else:
            if isinstance(planned, JobChain):
                planned = StartedChain(planned, self._chain.remote(self._job, self._stats_actor, planned))
            started = planned
            jobs = started.chain.jobs[started.number : started.number + 1]
            summary, *chunks = started.actor.decode.options(num_returns=1 + CHUNKS).remote(started.number)
        num_clips = sum(len(job.spans) for job in jobs)
        self._num_decoding, self._num_clips = self._num_decoding + 1, self._num_clips + num_clips
        self._running[summary] = partial(self._take_decoded, lane, chunks, num_clips, started)

    def _hand_to_annotators(self) -> None:
        """Give decoded clips to the annotators that have least to do: whole batches, except for the last ones.

        Each is given one call more than it works at, so that its next clips are there when it needs them.
        """
        last = (self._is_planned() and not self._num_decoding) or self._num_clips >= self._max_clips
        while self._decoded:
            annotator = min(self._calls, key=lambda actor: self._calls[actor])
            if self._calls[annotator] > self._resources.max_in_flight:
                return
            if self._num_decoded < self._resources.batch_size and not last:
                return
            chunks, num_clips = [], 0
            while self._decoded and num_clips < self._resources.batch_size:
                chunk, count = self._decoded.popleft()
                chunks.append(chunk)
                num_clips += count
            self._num_decoded -= num_clips
            self._calls[annotator] += 1
            rows, summary = annotator.annotate.options(num_returns=2).remote(*chunks)
            self._running[summary] = partial(self._take_annotated, annotator, rows, num_clips)

    def _hand_to_writer(self) -> None:
        """Have rows written once there are enough for a file, or they have waited for long, or no more will come."""
        if not self._rows:
            return
        now, pace = time.monotonic(), self._pace
        late = now - self._oldest_row_s > pace.write_after_s
        last = self._is_planned() and not (self._num_decoding or self._decoded or self._num_clips)
        enough = self._num_rows >= pace.rows_per_file and now - self._last_file_s >= pace.file_every_s
        if enough or self._num_rows >= pace.max_rows_per_file or late or last:
            self._last_file_s = now
            self._running[self._write.remote(self._job, self._stats_actor, *self._rows)] = self._take_written
            self._rows, self._num_rows = [], 0

    def _take_planned(self, lane: Lane, group: FileGroup, ref: Any) -> Iterator[Outcome]:
        items = _result(ref) or ()
        lane.add(group, [item for item in items if isinstance(item, JobGroup | JobChain)])
        yield from (item for item in items if not isinstance(item, JobGroup | JobChain))

    def _take_decoded(
        self, lane: Lane, chunks: list[Any], num_promised: int, started: StartedChain | None, ref: Any
    ) -> Iterator[Outcome]:
        self._num_decoding -= 1
        counts, done = _result(ref) or ((), ())
        if started is not None:
            number = started.number + 1
            if done and number < len(started.chain.jobs):  # else its actor ends, as nobody refers to it any more
                lane.put_back(replace(started, number=number))
        self._num_clips -= num_promised - sum(counts)
        self._num_decoded += sum(counts)
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
