"""Which segments are merged: small ones with those of their size, and those that are mostly dead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from index.snapshot.merging import SegmentSize, plan_merge


def whole(*sizes: int) -> list[SegmentSize]:
    """Segments without dead clips."""
    return [SegmentSize(size, size) for size in sizes]


@pytest.mark.parametrize(
    ("segments", "num_new", "merged"),
    [
        ([], 500, []),
        (whole(5_000), 500, []),
        (whole(2_000), 500, [0]),
        (whole(5_000, 900), 500, [0, 1]),
        (whole(9_000, 900), 500, [1]),
        (whole(60_000, 15_000, 4_000), 1_000, [1, 2]),
        (whole(40_000, 15_000, 4_000), 1_000, [0, 1, 2]),
        (whole(5_000, 5_000), 0, [0, 1]),
        (whole(5_000), 0, []),
        ([SegmentSize(2_000, 5_000), SegmentSize(50_000, 50_000)], 0, [0]),
        ([SegmentSize(2_600, 5_000), SegmentSize(50_000, 50_000)], 0, []),
    ],
)
def test_the_plan(segments: Sequence[SegmentSize], num_new: int, merged: list[int]) -> None:
    assert plan_merge(segments, num_new, 65_536) == merged


def test_a_library_that_grows_by_little_has_few_segments_and_writes_each_clip_a_few_times() -> None:
    """A thousand ingests of 1,000 clips, with a compaction after each hundred."""
    segments: list[int] = []
    written = most = 0
    for number in range(1, 1_001):
        for num_new, limit in ((1_000, 65_536), *([(0, 16_777_216)] if number % 100 == 0 else [])):
            merged = plan_merge(whole(*segments), num_new, limit)
            size = num_new + sum(segments[position] for position in merged)
            if size:
                segments = [of for position, of in enumerate(segments) if position not in merged] + [size]
                written += size
        most = max(most, len(segments))
    assert sum(segments) == 1_000_000
    assert most <= 10
    assert written < 12_000_000
    assert np.max(segments) > 500_000
