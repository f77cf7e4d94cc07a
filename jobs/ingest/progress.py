"""What is known of a run while it runs, and the line that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.ingest.timing import RunStats
from schemas.text import clock


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run.

    Attributes:
        done_videos: videos with a final status.
        total_videos: videos to do.
        elapsed_s: seconds since the run began.
    """

    done_videos: int
    total_videos: int
    elapsed_s: float
    tally: RunStats

    @property
    def speed(self) -> float:
        """Seconds of video annotated per second."""
        return self.tally.clip_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at this speed, the videos not yet read taken to be as long as the others; None at first."""
        planned = self.tally.of("plan")
        if not planned.count or not self.speed:
            return None
        total_s = planned.video_s / planned.count * self.total_videos
        return max(0.0, total_s - self.tally.clip_s) / self.speed

    def __str__(self) -> str:
        """One line for people."""
        left = "" if self.left_s is None else f" · about {clock(self.left_s)} left"
        return (
            f"{self.done_videos}/{self.total_videos} videos · {self.tally.clips} clips · "
            f"{self.speed:.1f} s of video per second{left}"
        )
