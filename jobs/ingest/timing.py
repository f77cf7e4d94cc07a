"""How long each step took in each process: what a run's profile and its trace are made of."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.sources.fetched import bytes_fetched


@dataclass(slots=True)
class StageTiming:
    """One step of one process.

    Attributes:
        stage: the stage that it belongs to.
        began_s: when it began, in seconds since the epoch.
        seconds: how long it took.
        cpu_s: CPU seconds of its process meanwhile, over all threads; of its thread alone, where others work too.
        count: how many of what the stage counts: files, videos, clips, rows.
        video_s: seconds of video in them.
        worker: the host and the process that did it.
        note: what it was about, such as a path.
        fetched_bytes: that came over the network from sources meanwhile, in its process.
        remote_bytes: size of the files over a network that were planned.
        thread: which of its threads did, by the system's number.
    """

    stage: str
    began_s: float
    seconds: float = 0.0
    cpu_s: float = 0.0
    count: int = 0
    video_s: float = 0.0
    worker: str = ""
    note: str = ""
    thread: int = 0
    fetched_bytes: int = 0
    remote_bytes: int = 0

    @property
    def ended_s(self) -> float:
        """When it ended, in seconds since the epoch."""
        return self.began_s + self.seconds


@contextmanager
def timed(stage: str, note: str = "", cpu: Callable[[], float] = time.process_time) -> Iterator[StageTiming]:
    """Time the block; the caller enters what it counted.

    Where a process runs several such blocks at a time, ``cpu`` must be `time.thread_time`.
    """
    timing = StageTiming(stage, time.time(), worker=f"{os.uname().nodename}/{os.getpid()}", note=note)
    timing.thread = threading.get_native_id()
    began, began_cpu, fetched = time.perf_counter(), cpu(), bytes_fetched()
    try:
        yield timing
    finally:
        timing.seconds, timing.cpu_s = time.perf_counter() - began, cpu() - began_cpu
        timing.fetched_bytes = bytes_fetched() - fetched


def core_seconds() -> tuple[float, float] | None:
    """Idle seconds and all seconds of this machine's cores since it started; None where the system does not say."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(number) for number in stat.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    per_second = os.sysconf("SC_CLK_TCK")
    return (ticks[3] + ticks[4]) / per_second, sum(ticks) / per_second


@dataclass(slots=True)
class StageStats:
    """The timings of one stage, added up.

    Attributes:
        seconds: that its workers were at work, over all of them.
        cpu_s: CPU seconds of them.
        count: what they counted.
        video_s: seconds of video in that.
        waiting_s: seconds between two steps of the same stage in a worker.
        began_s: when the first step began, in seconds since the epoch.
        first_s: when the first one ended; infinity before it has.
        last_s: when the last one ended.
        first_count: what the first one counted.
        fetched_bytes: as in `StageTiming`.
        remote_bytes: likewise.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0
    count: int = 0
    video_s: float = 0.0
    waiting_s: float = 0.0
    began_s: float = float("inf")
    first_s: float = float("inf")
    last_s: float = 0.0
    first_count: int = 0
    fetched_bytes: int = 0
    remote_bytes: int = 0

    def add(self, other: StageStats) -> None:
        """Add ``other``'s figures to this one's."""
        if other.first_s < self.first_s:
            self.first_s, self.first_count = other.first_s, other.first_count
        self.began_s, self.last_s = min(self.began_s, other.began_s), max(self.last_s, other.last_s)
        for name in ("seconds", "cpu_s", "count", "video_s", "fetched_bytes", "remote_bytes", "waiting_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class RunStats:
    """The work of a run so far, by stage.

    Attributes:
        stages: what each stage did, by its name.
        moved_bytes: of decoded clips that went from one machine to another.
        began_s: when counting began, in seconds since the epoch, by which the figures of one run are told from another's.
    """

    stages: dict[str, StageStats] = field(default_factory=dict)
    moved_bytes: int = 0
    began_s: float = field(default_factory=time.time, compare=False)

    @property
    def clips(self) -> int:
        """Clips annotated."""
        return self.of("annotate").count

    @property
    def clip_s(self) -> float:
        """Seconds of video in them."""
        return self.of("annotate").video_s

    def of(self, stage: str) -> StageStats:
        """The work of ``stage``."""
        return self.stages.get(stage, StageStats())

    def enter(self, timing: StageTiming, waiting_s: float = 0.0) -> None:
        """Add a step, before which its worker waited for ``waiting_s``."""
        step = StageStats(timing.seconds, timing.cpu_s, timing.count, timing.video_s, waiting_s)
        step.fetched_bytes, step.remote_bytes = timing.fetched_bytes, timing.remote_bytes
        step.began_s, step.first_s, step.last_s = timing.began_s, timing.ended_s, timing.ended_s
        step.first_count = timing.count
        self.stages.setdefault(timing.stage, StageStats()).add(step)
