"""Hands out a run's work to Ray's workers, and takes in what is done."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import ray

from jobs.cluster.session import OBJECT_STORE_BYTES
from jobs.ingest.batching import GROUP_FILES, FileGroup, FileQueue, JobChain, JobGroup
from jobs.ingest.lanes import Lane, Planned, StartedChain
from jobs.ingest.layout import DECODERS_SHARE, Layout
from jobs.ingest.progress import Queues
from jobs.ingest.resources import clip_bytes
from jobs.ingest.steps import Job
from jobs.ingest.workers import CHUNKS, ChainActor, decode_group, plan_group, write_rows
from pipeline.decoders.registry import ON_GPU
from schemas.records import Outcome, VideoFile

# Chunks among which one is looked for that is on the annotator's machine.
_LOOK_AT = 16


class _Chunk(NamedTuple):
    """Decoded clips.

    Attributes:
        ref: of them.
        num_clips: how many there are.
        node: the machine that they are on.
        actor: what decoded them, where Ray may have to ask it again: it must not end before.
    """

    ref: Any
    num_clips: int
    node: str
    actor: Any = None


class _Rows(NamedTuple):
    """Annotated clips.

    Attributes:
        ref: of their rows.
        given: the clips, where a machine that goes may take the rows with it.
    """

    ref: Any
    given: list[_Chunk]


class Scheduler:
    """Keeps decoders and annotators busy, and the clips between them few enough for the object store.

    Files are planned from both ends of their sizes, in two lanes, and decoders are given to them in turn. So while there
    are both, a long film and many short clips get half of the decoders each, whichever was found first.

    Attributes:
        moved_bytes: of clips that went from the machine that decoded them to another one's annotator.
    """

    def __init__(
        self,
        job: Job,
        stats_actor: Any,
        layout: Layout,
        files: Sequence[VideoFile],
        is_time_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare Ray's tasks.

        Args:
            job: the steps.
            stats_actor: the run's `StatsActor`.
            layout: how the run lies over the machines.
            files: the videos to do.
            is_time_up: once it says so, no video is begun any more; those of which a part is decoded are finished.
        """
        self._is_time_up, self.moved_bytes = is_time_up, 0
        self._layout, self._pace = layout, job.pace
        resources = layout.resources
        # Ray retries a task whose worker died for ever by default, and one bad file would hang the run. Two workers may die
        # at each video of a group.
        options: dict[str, Any] = {"num_cpus": 1, "max_retries": 2 * GROUP_FILES}
        if job.options.decoder in ON_GPU:
            share = DECODERS_SHARE / math.ceil(resources.decoders / layout.gpus)
            options["num_gpus"] = math.floor(1e4 * share) / 1e4  # as finely as Ray counts
        self._plan = ray.remote(plan_group).options(**options | {"num_gpus": 0})
        self._decode = ray.remote(decode_group).options(**options, num_returns=1 + CHUNKS)
        # The stats actor lets no worker begin again where two have died.
        for_ever = options | {"max_restarts": -1, "max_task_retries": -1}
        del for_ever["max_retries"]
        self._chain = ray.remote(ChainActor).options(**for_ever)
        self._write = ray.remote(write_rows).options(num_cpus=0, max_retries=2)
        self._job, self._stats_actor = ray.put(job), stats_actor
        self._clip_bytes, self._max_clips = clip_bytes(job.inputs), 0
        self._measure()
        self._ahead = layout.on_cluster and job.options.num_decoders is None
        self._files = FileQueue(files, resources.decoders)
        self._lanes = deque([Lane(largest=False), Lane(largest=True)])  # the next one's turn comes first
        self._both_lanes = tuple(self._lanes)
        self._running: dict[Any, tuple[str, Callable[[Any], Iterator[Outcome]]]] = {}  # stage, and what takes in the result
        self._tasks = Counter[str]()  # of them, by stage
        self._num_decoding = self._num_clips = 0
        self._decoded: deque[_Chunk] = deque()
        self._num_decoded = 0  # clips in them
        self._calls: Counter[Any] = Counter()  # that each annotator has been given and not finished
        self._rows: list[_Rows] = []
        self._num_rows = 0
        self._oldest_row_s = 0.0
        self._last_file_s = -math.inf
        self._last_look_s = time.monotonic()

    def run(self) -> Iterator[Outcome | None]:
        """Hand out work and yield what comes of it until all is done; None whenever nothing finished for some seconds."""
        while True:
            self._look_at_machines()
            self._hand_out()
            if not self._running:
                return
            finished, _ = ray.wait(list(self._running), num_returns=1, timeout=self._pace.wait_s)
            if not finished:
                yield None
            else:  # looking through what runs costs as much for all that has finished as for one
                finished, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            for ref in finished:
                stage, take = self._running.pop(ref)
                self._tasks[stage] -= 1
                yield from take(ref)

    def queues(self) -> Queues:
        """What waits before each stage, and what is being worked at; any thread may ask."""
        waiting = {
            "plan": len(self._files),
            "decode": sum(lane.num_waiting for lane in self._both_lanes),
            "annotate": self._num_decoded,
            "write": self._num_rows,
        }
        return Queues(waiting, {stage: self._tasks[stage] for stage in waiting})

    def stop(self) -> None:
        """Let workers begin nothing more.

        Not by `ray.cancel`, which may end this process: where a task finishes just then, Ray takes its own answer for a
        fault.
        """
        self._stats_actor.stop.remote()

    def _measure(self) -> None:
        """Find how many clips may be in decoders, or decoded and not yet annotated."""
        resources = self._layout.resources
        store_bytes = int(ray.cluster_resources().get("object_store_memory", OBJECT_STORE_BYTES))
        self._max_clips = max(
            store_bytes // 2 // self._clip_bytes,
            (resources.max_in_flight + 1) * resources.annotators * resources.batch_size,
        )

    def _look_at_machines(self, *, now: bool = False) -> None:
        """Every few seconds, use machines that have joined, and forget those that have gone."""
        if now or time.monotonic() - self._last_look_s >= self._pace.wait_s:
            if self._layout.refresh():
                self._measure()
            self._last_look_s = time.monotonic()

    @property
    def _max_decoding(self) -> int:
        """Decodings to hand out: on a cluster more than run at a time, by which its autoscaler sees that more could."""
        decoders = self._layout.resources.decoders
        return decoders + (decoders + 1) // 2 * self._ahead

    def _hand_out(self) -> None:
        """Start what there is room for: later stages first, so that little waits."""
        self._drop_if_time_is_up()  # first: annotators wait for what is planned
        self._hand_to_annotators()
        while self._num_decoding < self._max_decoding and self._num_clips < self._max_clips:
            lane = next((lane for lane in self._lanes if lane.num_waiting), None)
            if lane is None:
                break
            self._lanes.remove(lane)
            self._lanes.append(lane)
            self._hand_to_decoder(lane, lane.take())
            self._drop_if_time_is_up()
        while len(self._files):
            lanes = [lane for lane in self._lanes if lane.has_room(self._layout.resources.decoders)]
            if not lanes:
                break
            for lane in lanes:
                if group := self._files.take(largest=lane.largest):
                    self._hand_to_planner(lane, group)
        self._hand_to_writer()

    def _drop_if_time_is_up(self) -> None:
        """Once the time is up, plan no more files, and forget the jobs of videos of which none was handed to a decoder."""
        if self._is_time_up():
            self._files.clear()
            for lane in self._lanes:
                lane.drop_what_has_not_begun()

    def _start(self, stage: str, ref: Any, take: Callable[[Any], Iterator[Outcome]]) -> None:
        """A task was handed out, whose result ``take`` takes in."""
        self._running[ref] = stage, take
        self._tasks[stage] += 1

    def _is_planned(self) -> bool:
        """Whether nothing waits for a decoder, or will."""
        return not any(self._lanes)

    def _hand_to_planner(self, lane: Lane, group: FileGroup) -> None:
        lane.expect(group)
        ref = self._plan.remote(self._job, self._stats_actor, group)
        self._start("plan", ref, partial(self._take_planned, lane, group))

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
        self._start("decode", summary, partial(self._take_decoded, lane, chunks, num_clips, started))

    def _hand_to_annotators(self) -> None:
        """Give decoded clips to the annotators that have least to do: whole batches, except for the last ones.

        Each is given one call more than it works at, so that its next clips are there when it needs them.
        """
        last = (self._is_planned() and not self._num_decoding) or self._num_clips >= self._max_clips
        while self._decoded:
            annotator = min(self._layout.annotators, key=lambda actor: self._calls[actor])
            if self._calls[annotator] > self._layout.resources.max_in_flight:
                return
            if self._num_decoded < self._layout.resources.batch_size and not last:
                return
            given, num_clips, home = list[_Chunk](), 0, self._layout.annotators[annotator]
            while self._decoded and num_clips < self._layout.resources.batch_size:
                given.append(self._take_chunk(home))
                num_clips += given[-1].num_clips
            moved = sum(chunk.num_clips for chunk in given if home not in (None, chunk.node))
            self.moved_bytes += moved * self._clip_bytes
            self._num_decoded -= num_clips
            self._calls[annotator] += 1
            rows, summary = annotator.annotate.options(num_returns=2).remote(*(chunk.ref for chunk in given))
            self._start("annotate", summary, partial(self._take_annotated, annotator, rows, given))

    def _take_chunk(self, home: str | None) -> _Chunk:
        """The oldest decoded clips; on a cluster rather some that are on this machine, if they are not much younger."""
        if self._layout.on_cluster:
            for number, chunk in enumerate(islice(self._decoded, _LOOK_AT)):
                if chunk.node == home:
                    del self._decoded[number]
                    return chunk
        return self._decoded.popleft()

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
            ref = self._write.remote(self._job, self._stats_actor, *(rows.ref for rows in self._rows))
            self._start("write", ref, partial(self._take_written, self._rows))
            self._rows, self._num_rows = [], 0

    def _take_planned(self, lane: Lane, group: FileGroup, ref: Any) -> Iterator[Outcome]:
        items = _result(ref) or ()
        lane.add(group, [item for item in items if isinstance(item, JobGroup | JobChain)])
        yield from (item for item in items if not isinstance(item, JobGroup | JobChain))

    def _take_decoded(
        self, lane: Lane, chunks: list[Any], num_promised: int, started: StartedChain | None, ref: Any
    ) -> Iterator[Outcome]:
        self._num_decoding -= 1
        counts, done, node = _result(ref) or ((), (), "")
        if started is not None:
            number = started.number + 1
            if done and number < len(started.chain.jobs):  # else its actor ends, as nobody refers to it any more
                lane.put_back(replace(started, number=number))
        self._num_clips -= num_promised - sum(counts)
        self._num_decoded += sum(counts)
        actor = started.actor if started is not None and self._layout.on_cluster else None
        self._decoded += [_Chunk(chunk, count, node, actor) for chunk, count in zip(chunks, counts, strict=False) if count]
        yield from done

    def _take_annotated(self, annotator: Any, rows: Any, given: list[_Chunk], ref: Any) -> Iterator[Outcome]:
        self._calls[annotator] -= 1
        num_clips = sum(chunk.num_clips for chunk in given)
        try:
            num_rows, failures = ray.get(ref)
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError):
            self._look_at_machines(now=True)
            if annotator in self._layout.annotators:
                raise
            del self._calls[annotator]
            self._annotate_again(given)  # its machine has gone
            return
        self._num_clips -= num_clips
        if num_rows:
            self._oldest_row_s = self._oldest_row_s if self._rows else time.monotonic()
            self._rows.append(_Rows(rows, given if self._layout.on_cluster else []))
            self._num_rows += num_rows
        yield from failures

    def _take_written(self, written: list[_Rows], ref: Any) -> Iterator[Outcome]:
        try:
            yield ray.get(ref)
        except ray.exceptions.ObjectLostError:
            if not self._layout.on_cluster:
                raise
            given = [chunk for rows in written for chunk in rows.given]  # rows went with the machine that made them
            self._num_clips += sum(chunk.num_clips for chunk in given)
            self._annotate_again(given)

    def _annotate_again(self, given: list[_Chunk]) -> None:
        self._decoded.extendleft(reversed(given))
        self._num_decoded += sum(chunk.num_clips for chunk in given)


def _result(ref: Any) -> Any:
    """A task's result; None where its worker died too often: `VideoLedger.close` finds what is missing then."""
    try:
        return ray.get(ref)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.RayActorError):
        return None
