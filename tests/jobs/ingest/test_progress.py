from __future__ import annotations

import pytest

from jobs.ingest.progress import Progress
from jobs.ingest.timing import RunStats, StageStats, StageTiming
from schemas.text import clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (9.99, "0:09"), (75.2, "1:15"), (3599.9, "59:59"), (3675, "1:01:15"), (360_000, "100:00:00")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def stats_of(**counts: tuple[float, float, int, float]) -> RunStats:
    """Of stages by name: seconds, CPU seconds, count, seconds of video."""
    stats = RunStats()
    for stage, (seconds, cpu_s, count, video_s) in counts.items():
        stats.enter(StageTiming(stage, 0.0, seconds, cpu_s, count, video_s))
    return stats


def test_the_line_says_how_far_how_fast_and_how_long() -> None:
    stats = stats_of(plan=(1.0, 1.0, 4, 400.0), annotate=(1.0, 1.0, 50, 200.0))
    progress = Progress(1, 10, 20.0, stats)
    assert str(progress) == "1/10 videos · 50 clips · 10.0 s of video per second · about 1:20 left"
    assert str(Progress(0, 10, 1.0, RunStats())) == "0/10 videos · 0 clips · 0.0 s of video per second"


def test_works_add_up() -> None:
    stats = RunStats()
    stats.enter(StageTiming("decode", 100.0, 2.0, 1.5, 4, 16.0))
    stats.enter(StageTiming("decode", 99.0, 1.0, 0.5, 3, 12.0), waiting_s=0.25)
    assert stats.of("decode") == StageStats(3.0, 2.0, 7, 28.0, 0.25, 99.0, 100.0, 102.0, 3)
    assert stats.of("annotate") == StageStats()
