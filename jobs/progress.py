"""What is known of a run while it runs, and the line that shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.work import Work


@dataclass(slots=True)
class StageTally:
    """The works of one stage, added up.

    Attributes:
        seconds: that its workers were at work, over all of them.
        cpu_s: CPU seconds of them.
        count: what they counted.
        video_s: seconds of video in that.
        waiting_s: seconds between one work of a worker and its next one of the same stage.
        began_s: when the first work began, in seconds since the epoch.
        first_s: when the first one ended; infinity before it has.
        last_s: when the last one ended.
        first_count: what the first one counted.
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

    def add(self, other: StageTally) -> None:
        """Add ``other``'s figures to this one's."""
        if other.first_s < self.first_s:
            self.first_s, self.first_count = other.first_s, other.first_count
        self.began_s, self.last_s = min(self.began_s, other.began_s), max(self.last_s, other.last_s)
        for name in ("seconds", "cpu_s", "count", "video_s", "waiting_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Tally:
    """How far a run is.

    Attributes:
        stages: what each stage did, by its name.
    """

    stages: dict[str, StageTally] = field(default_factory=dict)

    @property
    def clips(self) -> int:
        """Clips annotated."""
        return self.of("annotate").count

    @property
    def clip_s(self) -> float:
        """Seconds of video in them."""
        return self.of("annotate").video_s

    def of(self, stage: str) -> StageTally:
        """What ``stage`` did."""
        return self.stages.get(stage, StageTally())

    def enter(self, work: Work, waiting_s: float = 0.0) -> None:
        """Add a piece of work, before which its worker stood still for ``waiting_s``."""
        one = StageTally(work.seconds, work.cpu_s, work.count, work.video_s, waiting_s)
        one.began_s, one.first_s, one.last_s, one.first_count = work.began_s, work.ended_s, work.ended_s, work.count
        self.stages.setdefault(work.stage, StageTally()).add(one)


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
    tally: Tally

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


def clock(seconds: float) -> str:
    """Minutes and seconds as players show them: 75.2 is 1:15, 3675 is 1:01:15."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
