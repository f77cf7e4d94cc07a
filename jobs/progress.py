"""What is known of a run while it runs, and the line that shows it."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Tally:
    """Counts that the stages of one run add up.

    Attributes:
        planned_videos: videos whose container has been read.
        planned_s: seconds of video in them.
        clips: clips annotated.
        clip_s: seconds of video in them.
        decode_busy_s: seconds that decode tasks have worked, over all of them.
        annotate_busy_s: the same of the annotators.
    """

    planned_videos: int = 0
    planned_s: float = 0.0
    clips: int = 0
    clip_s: float = 0.0
    decode_busy_s: float = 0.0
    annotate_busy_s: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        """The counts of both."""
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def add(self, **counts: float) -> None:
        """Add to counts by name."""
        for name, count in counts.items():
            setattr(self, name, getattr(self, name) + count)


@dataclass(frozen=True, slots=True)
class Slots:
    """How many tasks of a stage can run at a time."""

    decode: float
    annotate: float


def bottleneck(tally: Tally, slots: Slots) -> str | None:
    """The stage that was busy for the larger share of its slots' time; None where nothing ran."""
    shares = {"decode": tally.decode_busy_s / slots.decode, "annotate": tally.annotate_busy_s / slots.annotate}
    stage = max(shares, key=lambda name: shares[name])
    return stage if shares[stage] > 0 else None


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
        if not self.tally.planned_videos or not self.speed:
            return None
        total_s = self.tally.planned_s / self.tally.planned_videos * self.total_videos
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
