"""Runs a `Job`'s steps on this machine or on a cluster.

    groups of files -> plan (tasks) -> groups or chains of jobs -> decode (tasks; an actor per chain) -> clips
    -> annotate (actors, one per GPU) -> rows -> write (tasks) -> outcomes, to the driver

The driver hands out work and passes on references: frames go from the decoder's machine to the annotator's, once. It hands
out no more to decode while what is decoded and not yet annotated fills half of the object store. A task costs Ray some
milliseconds, so short videos go in groups. A worker that dies at one of a group is replaced, and the new one, which is told
at which videos two others have died, passes these over. What workers run is in `jobs.workers`; nothing else knows Ray.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from jobs.children import installed_only
from jobs.groups import GROUP_FILES, JobChain, JobGroup, group_files
from jobs.progress import Tally
from jobs.shape import Shape, choose_shape
from jobs.stages import Job
from jobs.work import Work
from pipeline.decoders import ON_GPU
from schemas.errors import JobError, UsageError
from schemas.options import IngestOptions
from schemas.records import (
    Outcome,
    Problem,
    VideoFile,
)

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong is said in the videos' rows
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # Ray prints dead workers' obituaries to standard output
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")  # by default 1 s, and starting one takes as long
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # it ends the driver at SIGTERM, below Python's own handler

import ray
from ray.job_config import JobConfig

from jobs.embedded import start_embedded
from jobs.workers import CHUNKS, CRASHED, AnnotatorActor, ChainActor, Counter, decode_group, plan_group, write_rows

# Longer than any network that a cluster would be run over.
_CONNECT_S = 10.0

# For each GPU, or without any. Frames wait in shared memory between decoding and annotating; decoders are held back when
# half of this is full.
_OBJECT_STORE_BYTES = 2 << 30

# A table's file: small enough that finished videos are committed soon, large enough that there are not too many.
_ROWS_PER_FILE = 128

# Rows are written after so many seconds too, however few: what is not written is lost with the run.
_WRITE_AFTER_S = 20.0

# How long to wait for one task before others' rows are seen to.
_WAIT_S = 5.0

# Groups of jobs that are planned before there is a decoder for them, for each one; how often an annotator that dies is
# replaced, and how often it is given the same clips again.
_PLANNED_AHEAD = 3
_RESTARTS = 20
_RETRIES = 3

# Of each GPU, for those who decode on it; less than half, or Ray would put two annotators on one.
_DECODERS_SHARE = 0.4


class _Job(JobConfig):  # type: ignore[misc]
    """A job whose workers do not look for modules in the driver's current folder and beside its script, as Ray has it."""

    def _serialize(self) -> bytes:
        self._py_driver_sys_path: list[str] = []
        serialized: bytes = super()._serialize()
        return serialized


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
    quiet["job_config"] = _Job()
    with ExitStack() as held:
        try:
            with _silent_stderr(), installed_only():
                if options.address is not None:
                    _check_reachable(options.address)
                    held.callback(ray.shutdown)
                    ray.init(address=options.address, **quiet)
                else:
                    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
                    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
                    shared = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else 0
                    store = min(max(_OBJECT_STORE_BYTES, min(_OBJECT_STORE_BYTES * gpus, shared)), memory // 4)
                    started = start_embedded(
                        num_cpus=options.cpus, include_dashboard=False, object_store_memory=store, **quiet
                    )
                    held.enter_context(started)
        except JobError:
            raise
        except Exception as exc:  # Ray raises that very class where a node does not come up
            reason = (str(exc) or type(exc).__name__).splitlines()[0]
            if options.address is None:
                raise JobError(f"Ray could not be started on this machine: {reason}") from exc
            raise UsageError(
                f"--address: got {options.address!r}, and no Ray cluster answers there ({reason}); start one "
                "with: ray start --head; where it was started with a token, set RAY_AUTH_MODE=token; or leave --address out"
            ) from exc
        if threading.current_thread() is threading.main_thread() and stop is not None:
            signal.signal(signal.SIGTERM, stop)  # Ray's own handler ends the process without a word to those above
        yield


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


@contextmanager
def _told_as_job_error() -> Iterator[None]:
    """Say what Ray raises as one of vidsift's errors.

    Raises:
        JobError: Ray has failed.
    """
    try:
        yield
    except ray.exceptions.RayError as exc:
        raise JobError(f"the run ended early: {_cause(exc)}; run the same command again to go on") from exc


class RayRun:
    """One run over many videos: `outcomes` does it, and `tally` tells meanwhile how far it is.

    Attributes:
        shape: how the stages are laid out over the machines that the Ray session has.
        is_here: whether these are this machine alone.
    """

    def __init__(self, job: Job) -> None:
        """Let the annotators load the models, which takes longest; what there is to do need not be known yet.

        Raises:
            UsageError: the decoder needs a GPU, and there is none.
        """
        self._job = job
        self._tally = Tally()
        self.is_here = job.options.address is None
        resources = ray.cluster_resources()
        self._gpus = int(resources.get("GPU", 0))
        if job.options.decoder in ON_GPU and not self._gpus:
            raise UsageError(f"--decoder {job.options.decoder}: got a Ray cluster without GPUs; take pyav")
        self.shape = choose_shape(job, int(resources.get("CPU", 1)), self._gpus, resources.get("memory", 0.0))
        self._counter: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Counter).remote(job.options.trace)
        # Annotators ask for no CPU of Ray's: on CPUs alone they and the decoders share the cores, and whichever is behind
        # gets more of them, since the others wait for it; and with fewer CPUs than GPUs, none would be left to decode.
        share = 1 - _DECODERS_SHARE if job.options.decoder in ON_GPU else 1.0
        worker = ray.remote(AnnotatorActor).options(
            num_cpus=0,
            num_gpus=share * self.shape.on_gpus,
            max_restarts=_RESTARTS,
            max_task_retries=_RETRIES,
            max_concurrency=self.shape.lanes,
        )
        self._annotators = [worker.remote(job, self._counter, self.shape) for _ in range(self.shape.annotators)]

    def close(self) -> None:
        """Let go of the annotators."""
        for annotator in self._annotators:
            with suppress(ray.exceptions.RayError):  # it has gone by itself
                ray.kill(annotator)

    def tally(self) -> Tally:
        """How far the run is."""
        with suppress(ray.exceptions.RayError):  # which ends the run elsewhere
            self._tally = ray.get(self._counter.snapshot.remote())
        return self._tally

    def told(self, patience_s: float | None = None) -> tuple[Tally, Shape, list[Work]] | None:
        """The tally, the shape with what the annotators found to compute on, and works for a trace.

        None where Ray has gone, or takes longer than ``patience_s``.
        """
        counter = self._counter
        try:
            asked = [counter.snapshot.remote(), counter.computing.remote(), counter.works.remote()]
            tally, (device, precision), works = ray.get(asked, timeout=patience_s)
        except ray.exceptions.RayError:
            return None
        threads = 0 if device != "cpu" else self.shape.threads
        return tally, replace(self.shape, device=device, precision=precision, threads=threads), works

    def lost(self) -> Callable[[VideoFile], Problem]:
        """Why a video did not come back, for those that did not.

        Raises:
            JobError: Ray has gone.
        """
        with _told_as_job_error():
            found: dict[bytes, Problem] = ray.get(self._counter.lost.remote())
        return lambda file: found.get(os.fsencode(file.path), Problem("decode", CRASHED))

    def outcomes(self, files: Sequence[VideoFile], taken: frozenset[str] = frozenset()) -> Iterator[Outcome | None]:
        """Run over ``files``, and yield what comes back in any order; None where for some seconds nothing does.

        Videos whose worker could not be replaced do not come back. ``taken`` are ids that none of them may get.

        Raises:
            JobError: Ray has failed.
        """
        with _told_as_job_error():
            job = replace(self._job, taken=taken)
            flow = _Flow(job, self._counter, self.shape, self._gpus, self._annotators, files)
            try:
                yield from flow.run()
            finally:
                flow.stop()


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


class _Flow:
    """What is under way in a run, and what waits."""

    def __init__(
        self, job: Job, counter: Any, shape: Shape, gpus: int, annotators: Sequence[Any], files: Sequence[VideoFile]
    ) -> None:
        self._shape = shape
        # A worker that dies is retried for ever by default, and one bad file would hang the job. Two may die at each video.
        again: dict[str, Any] = {"num_cpus": 1, "max_retries": 2 * GROUP_FILES}
        if job.options.decoder in ON_GPU:
            of_each = math.floor(1e4 * _DECODERS_SHARE / math.ceil(shape.decoders / gpus)) / 1e4  # as finely as Ray counts
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
        most_clips = int(ray.cluster_resources().get("object_store_memory", _OBJECT_STORE_BYTES)) // 2 // bytes_per_clip
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


def _cause(exc: BaseException) -> str:
    """The innermost message of an error that crossed processes, on one line."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__
