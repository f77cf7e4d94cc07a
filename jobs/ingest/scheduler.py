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
from jobs.ingest.resources import ResourcePlan
from jobs.ingest.steps import Job
from jobs.ingest.workers import CHUNKS, ChainActor, decode_group, plan_group, write_rows
from pipeline.decoders.registry import ON_GPU
from schemas.records import (
    Outcome,
    VideoFile,
)

# A table's file: small enough that finished videos are committed soon, large enough that there are not too many.
_ROWS_PER_FILE = 128

# Rows are written after so many seconds too, however few: what is not written is lost with the run.
_WRITE_AFTER_S = 20.0

# How long to wait for one task before others' rows are seen to.
_WAIT_S = 5.0

# Groups of jobs that are planned before there is a decoder for them, for each one.
_PLANNED_AHEAD = 3

# Of each GPU, for those who decode on it; less than half, or Ray would put two annotators on one.
DECODERS_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class _Begun:
    """A chain that an actor decodes.

    Attributes:
        jobs: the chain.
        actor: a `ChainActor`.
        number: which of its jobs is next.
    """

    jobs: JobChain
    actor: Any
    number: int = 0


class Scheduler:
    """What is under way in a run, and what waits."""

    def __init__(
        self, job: Job, counter: Any, shape: ResourcePlan, gpus: int, annotators: Sequence[Any], files: Sequence[VideoFile]
    ) -> None:
        self._shape = shape
        # A worker that dies is retried for ever by default, and one bad file would hang the job. Two may die at each video.
        again: dict[str, Any] = {"num_cpus": 1, "max_retries": 2 * GROUP_FILES}
        if job.options.decoder in ON_GPU:
            of_each = math.floor(1e4 * DECODERS_SHARE / math.ceil(shape.decoders / gpus)) / 1e4  # as finely as Ray counts
            again["num_gpus"] = of_each
        self._plan = ray.remote(plan_group).options(**again | {"num_gpus": 0})
        self._decode = ray.remote(decode_group).options(**again, num_returns=1 + CHUNKS)
        # The counter lets nobody begin again where two have died.
        forever = again | {"max_restarts": -1, "max_task_retries": -1}
        del forever["max_retries"]
        self._chain = ray.remote(ChainActor).options(**forever)
        self._write = ray.remote(write_rows).options(num_cpus=0, max_retries=2)
        self._job, self._counter = ray.put(job), counter
        self._annotators = dict.fromkeys(annotators, 0)
        bytes_per_clip = sum(wanted.num_frames * math.prod(wanted.geometry.crop or (224, 224)) * 3 for wanted in job.inputs)
        most_clips = int(ray.cluster_resources().get("object_store_memory", OBJECT_STORE_BYTES)) // 2 // bytes_per_clip
        # Clips that may be decoded or about to be, and not yet annotated.
        self._most_clips = max(most_clips, (shape.lanes + 1) * shape.annotators * shape.batch_size)
        self._groups = iter(group_files(files, shape.decoders))
        self._planned: deque[JobGroup | JobChain | _Begun] = deque()
        self._under_way: dict[Any, Callable[[Any], Iterator[Outcome]]] = {}
        self._planning = self._decoding = self._clips = 0
        self._decoded: deque[tuple[Any, int]] = deque()
        self._rows: list[Any] = []
        self._oldest = 0.0
        self._num_rows = 0

    def run(self) -> Iterator[Outcome | None]:
        """Hand out work and take in what is done until there is neither; None where nothing is done for some seconds."""
        while True:
            self._hand_out()
            if not self._under_way:
                return
            ended, _ = ray.wait(list(self._under_way), num_returns=1, timeout=_WAIT_S)
            if not ended:
                yield None
            for done in ended:
                yield from self._under_way.pop(done)(done)

    def stop(self) -> None:
        """Let workers begin nothing more of what is under way.

        `ray.cancel` may end this process: where a task is done just then, Ray takes its own answer for a fault.
        """
        self._counter.stop.remote()

    def _hand_out(self) -> None:
        """Start what there is room for: later stages first, so that little waits."""
        self._hand_to_annotators()
        while self._planned and self._decoding < self._shape.decoders and self._clips < self._most_clips:
            self._hand_to_decoder(self._planned.popleft())
        while len(self._planned) + self._planning < _PLANNED_AHEAD * self._shape.decoders:
            files = next(self._groups, None)
            if files is None:
                break
            self._planning += 1
            self._under_way[self._plan.remote(self._job, self._counter, files)] = self._take_planned
        nothing_left = not (self._planned or self._planning or self._decoding or self._decoded or self._clips)
        late = time.monotonic() - self._oldest > _WRITE_AFTER_S
        if self._num_rows >= _ROWS_PER_FILE or (self._rows and (late or nothing_left)):
            self._under_way[self._write.remote(self._job, self._counter, *self._rows)] = self._take_outcomes
            self._rows, self._num_rows = [], 0

    def _hand_to_decoder(self, group: JobGroup | JobChain | _Begun) -> None:
        chain = None
        if isinstance(group, JobGroup):
            jobs = group.jobs
            told, *chunks = self._decode.remote(self._job, self._counter, group)
        else:
            chain = (
                _Begun(group, self._chain.remote(self._job, self._counter, group)) if isinstance(group, JobChain) else group
            )
            jobs = chain.jobs.jobs[chain.number : chain.number + 1]
            told, *chunks = chain.actor.decode.options(num_returns=1 + CHUNKS).remote(chain.number)
        count = sum(len(job.spans) for job in jobs)
        self._decoding, self._clips = self._decoding + 1, self._clips + count
        self._under_way[told] = partial(self._take_decoded, chunks, count, chain)

    def _hand_to_annotators(self) -> None:
        """Give decoded clips to annotators that have little to do: whole batches, but for the last ones.

        One call more waits for each than it works at, so that it finds its next clips there.
        """
        last = not (self._planned or self._planning or self._decoding) or self._clips >= self._most_clips
        while self._decoded:
            annotator = min(self._annotators, key=lambda one: self._annotators[one])
            waiting = sum(count for _, count in self._decoded)
            if self._annotators[annotator] > self._shape.lanes or (waiting < self._shape.batch_size and not last):
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
            if isinstance(item, JobGroup | JobChain):
                self._planned.append(item)
            else:
                yield item

    def _take_decoded(self, chunks: list[Any], promised: int, chain: _Begun | None, ref: Any) -> Iterator[Outcome]:
        self._decoding -= 1
        counts, done = self._value(ref) or ((), ())
        if chain is not None:
            number = chain.number + 1
            if done and number < len(chain.jobs.jobs):  # else its actor ends, as nobody refers to it any more
                self._planned.appendleft(replace(chain, number=number))
        self._clips -= promised - sum(counts)
        self._decoded.extend((chunk, count) for chunk, count in zip(chunks, counts, strict=False) if count)
        yield from done

    def _take_annotated(self, annotator: Any, rows: Any, count: int, ref: Any) -> Iterator[Outcome]:
        self._annotators[annotator] -= 1
        self._clips -= count
        made, failed = ray.get(ref)
        if made:
            self._oldest = self._oldest if self._rows else time.monotonic()
            self._rows.append(rows)
            self._num_rows += made
        yield from failed

    def _take_outcomes(self, ref: Any) -> Iterator[Outcome]:
        yield ray.get(ref)

    def _value(self, ref: Any) -> Any:
        """What a task gave; None where its worker died too often: the accounts will miss what it had."""
        try:
            return ray.get(ref)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.RayActorError):
            return None
