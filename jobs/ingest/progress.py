"""How far a run is, and the line that shows it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from index.storage.running_ingest import RunningIngest
from jobs.ingest.timing import RunStats
from schemas.text import clock


@dataclass(frozen=True, slots=True)
class Queues:
    """What waits before each stage, and what is being worked at.

    Attributes:
        waiting: by stage: files before plan, parts of videos before decode, clips before annotate and write.
        tasks: by stage: tasks that were handed out and are not done.
    """

    waiting: Mapping[str, int] = field(default_factory=dict)
    tasks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is at one moment.

    Attributes:
        done_videos: videos with a final status.
        total_videos: videos to do.
        elapsed_s: seconds since the run began.
        stats: what the workers have done so far.
        queues: what waits, and what is being worked at.
    """

    done_videos: int
    total_videos: int
    elapsed_s: float
    stats: RunStats
    queues: Queues = Queues()

    @property
    def speed(self) -> float:
        """Seconds of video annotated per second."""
        return self.stats.clip_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at this speed; None until the first clips are annotated.

        Videos that have not been read yet are taken to be as long as the others.
        """
        planned = self.stats.of("plan")
        if not planned.count or not self.speed:
            return None
        total_s = planned.video_s / planned.count * self.total_videos
        return max(0.0, total_s - self.stats.clip_s) / self.speed

    def fields(self) -> dict[str, Any]:
        """The same for a log."""
        return {
            "done_videos": self.done_videos,
            "total_videos": self.total_videos,
            "clips": self.stats.clips,
            "video_seconds_per_second": self.speed,
            "left_seconds": self.left_s,
            "seconds": self.elapsed_s,
            "waiting": dict(self.queues.waiting),
            "tasks": dict(self.queues.tasks),
        }

    def kept(self) -> RunningIngest:
        """The same for who looks at the library from elsewhere."""
        return RunningIngest(
            process=f"process {os.getpid()} on {os.uname().nodename}",
            updated_s=time.time(),
            done_videos=self.done_videos,
            total_videos=self.total_videos,
            clips=self.stats.clips,
            speed=self.speed,
            left_s=self.left_s,
            stages={name: stage.count for name, stage in self.stats.stages.items()},
        )

    def __str__(self) -> str:
        """One line for people."""
        left = "" if self.left_s is None else f" · about {clock(self.left_s)} left"
        return (
            f"{self.done_videos}/{self.total_videos} videos · {self.stats.clips} clips · "
            f"{self.speed:.1f} s of video per second{left}"
        )


@contextmanager
def show_progress(
    read_progress: Callable[[], Progress], on_progress: Callable[[Progress], None] | None, every_s: float
) -> Iterator[None]:
    """While the block runs, read the progress every ``every_s`` seconds, and call ``on_progress`` with it."""
    ended = threading.Event()

    def show() -> None:
        while not ended.wait(every_s):
            progress = read_progress()
            if on_progress and not ended.is_set():
                on_progress(progress)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
