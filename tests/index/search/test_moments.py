from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from index.search.confidence import background_of
from index.search.moments import MomentBuilder, Segment, disjoint
from index.search.timeline import ClipTimeline


def windows_of(*videos: list[tuple[float, float]]) -> ClipTimeline:
    """A timeline with ids 0, 1, ... of these videos."""
    spans = [span for video in videos for span in video]
    number = np.array([i for i, video in enumerate(videos) for _ in video], np.int64)
    at = np.arange(len(spans))
    return ClipTimeline(at, at, number, np.array([s for s, _ in spans]), np.array([e for _, e in spans]))


def every(stride_s: float, window_s: float, count: int) -> list[tuple[float, float]]:
    return [(round(i * stride_s, 6), round(i * stride_s + window_s, 6)) for i in range(count)]


def grow(windows: ClipTimeline, scores: list[float], best: int, free: NDArray[np.bool_] | None = None) -> Segment:
    known = np.array(scores, float)
    spread = background_of(known).spread
    return MomentBuilder(windows, known, np.ones(len(known), bool) if free is None else free, spread).grow(best)


@pytest.mark.parametrize(
    ("scores", "best", "expected"),
    [
        ([0.0, 0.0, 0.5, 0.49, 0.48, 0.0, 0.0, 0.0], 2, (8.0, 20.0, (2, 3, 4))),  # touching windows are joined
        ([0.0, 0.0, 0.5, 0.42, 0.48, 0.0, 0.0, 0.0], 2, (8.0, 12.0, (2,))),  # one that scores clearly worse ends it
        ([0.5, 0.49, 0.0, 0.0, 0.0, 0.0, 0.49, 0.5], 7, (24.0, 32.0, (6, 7))),  # at a video's edges too
    ],
)
def test_windows_side_by_side(scores: list[float], best: int, expected: tuple[float, float, tuple[int, ...]]) -> None:
    stretch = grow(windows_of(every(4.0, 4.0, 8)), scores, best)
    assert (stretch.start_s, stretch.end_s, stretch.clips) == expected
    assert stretch.best == best


@pytest.mark.parametrize(
    ("agreeing", "expected"),
    [
        ({5}, (4.0, 6.4)),  # the best window by itself
        ({5, 6}, (4.0, 6.4)),
        ({4, 5, 6}, (4.0, 6.4)),  # three in a row: as long as one window
        ({4, 5, 6, 7}, (4.0, 7.2)),
        ({3, 4, 5, 6, 7}, (3.2, 7.2)),
    ],
)
def test_a_second_belongs_where_most_windows_that_show_it_agree(agreeing: set[int], expected: tuple[float, float]) -> None:
    scores = [0.5 + 0.01 * (i == 5) if i in agreeing else 0.0 for i in range(16)]
    stretch = grow(windows_of(every(0.8, 2.4, 16)), scores, 5)
    assert (stretch.start_s, stretch.end_s) == pytest.approx(expected)
    assert set(stretch.clips) == agreeing


def test_at_the_beginning_of_a_video_fewer_windows_show_a_second() -> None:
    stretch = grow(windows_of(every(0.8, 2.4, 10)), [0.5, 0.49, *[0.0] * 8], 1)
    assert (stretch.start_s, stretch.end_s, stretch.clips) == (0.0, 3.2, (0, 1))


def test_a_gap_and_another_video_end_a_moment() -> None:
    gap = windows_of([(0.0, 4.0), (4.0005, 8.0), (8.5, 12.0)], [(0.0, 4.0), (4.0, 8.0)], every(4.0, 4.0, 9))
    scores = [0.5, 0.5, 0.5, 0.5, 0.5, *[0.0] * 9]
    assert grow(gap, scores, 0).clips == (0, 1)
    assert (grow(gap, scores, 0).start_s, grow(gap, scores, 0).end_s) == (0.0, 8.0)
    assert grow(gap, scores, 3).clips == (3, 4)


def test_what_is_not_free_is_in_no_moment() -> None:
    free = np.array([True, True, True, False, True])
    assert grow(windows_of(every(4.0, 4.0, 5)), [0.5] * 5, 1, free).clips == (0, 1, 2)


def test_a_video_that_answers_throughout_is_one_moment() -> None:
    scores = [0.5, 0.502, 0.498, 0.501, 0.499, *np.linspace(-0.1, 0.1, 21).tolist()]
    windows = windows_of(every(4.0, 4.0, 5), *([(0.0, 4.0)] for _ in range(21)))
    stretch = grow(windows, scores, 1)
    assert (stretch.start_s, stretch.end_s) == (0.0, 20.0)


def test_moments_share_no_second_and_come_best_first() -> None:
    """Over random scores of overlapping windows; every window that shows none of a moment is offered to the next."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        windows = windows_of(every(0.8, 2.4, 40), every(4.0, 4.0, 10), every(1.0, 3.5, 20))
        scores = rng.normal(size=70)
        free = rng.random(70) < 0.8
        passed = free.copy()
        found = list(
            disjoint(windows, scores, free, MomentBuilder(windows, scores, free, background_of(scores).spread).grow)
        )
        assert [scores[one.best] for one in found] == sorted((scores[one.best] for one in found), reverse=True)
        by_video: dict[int, list[Segment]] = {}
        for one in found:
            assert all(passed[position] for position in one.clips)
            assert one.start_s <= windows.start_s[one.best] < windows.end_s[one.best] <= one.end_s
            by_video.setdefault(int(windows.video[one.best]), []).append(one)
        for moments in by_video.values():
            moments.sort(key=lambda one: one.start_s)
            assert all(one.end_s <= other.start_s + 1e-9 for one, other in pairwise(moments))
        for position in np.flatnonzero(passed):
            shown = by_video.get(int(windows.video[position]), [])
            assert any(
                position in one.clips or (windows.start_s[position] < one.end_s and windows.end_s[position] > one.start_s)
                for one in shown
            )


def test_no_windows_no_moments() -> None:
    windows = windows_of()
    nothing, free = np.zeros(0), np.zeros(0, bool)
    assert list(disjoint(windows, nothing, free, MomentBuilder(windows, nothing, free, 0.0).grow)) == []
