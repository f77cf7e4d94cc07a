from __future__ import annotations

import pytest

from jobs.progress import Progress, Slots, Tally, bottleneck, clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (9.99, "0:09"), (75.2, "1:15"), (3599.9, "59:59"), (3675, "1:01:15"), (360_000, "100:00:00")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_the_line_says_how_far_how_fast_and_how_long() -> None:
    tally = Tally(planned_videos=4, planned_s=400.0, clips=50, clip_s=200.0)
    progress = Progress(1, 10, 20.0, tally)
    assert str(progress) == "1/10 videos · 50 clips · 10.0 s of video per second · about 1:20 left"
    assert str(Progress(0, 10, 1.0, Tally())) == "0/10 videos · 0 clips · 0.0 s of video per second"


def test_the_bottleneck_is_the_busier_stage_per_slot() -> None:
    assert bottleneck(Tally(decode_busy_s=10.0, annotate_busy_s=9.0), Slots(decode=2, annotate=1)) == "annotate"
    assert bottleneck(Tally(decode_busy_s=20.0, annotate_busy_s=9.0), Slots(decode=2, annotate=1)) == "decode"
    assert bottleneck(Tally(), Slots(decode=2, annotate=1)) is None


def test_counts_add_up() -> None:
    tally = Tally()
    tally.add(clips=2, clip_s=8.0)
    tally.add(clips=1, planned_videos=1)
    assert tally == Tally(planned_videos=1, clips=3, clip_s=8.0)
    assert tally + Tally(clips=4, decode_busy_s=1.5) == Tally(planned_videos=1, clips=7, clip_s=8.0, decode_busy_s=1.5)
