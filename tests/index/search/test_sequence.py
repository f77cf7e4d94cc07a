from __future__ import annotations

import numpy as np
import pytest

from index.search.moments import Segment, clip_as_segment
from index.search.sequence import best_followers, pair_scores, pair_up
from schemas.times import SAME_MOMENT_S
from tests.index.search.test_moments import every, windows_of


def test_followers_are_those_of_trying_all() -> None:
    rng = np.random.default_rng(0)
    windows = windows_of(every(0.8, 2.4, 60), every(4.0, 4.0, 25), every(1.0, 3.5, 30), [(0.0, 2.0)])
    for within_s in (0.5, 3.0, 30.0, 1000.0):
        scores = rng.normal(size=len(windows))
        scores[rng.random(len(scores)) < 0.3] = -np.inf
        found = best_followers(windows, scores, within_s)
        for i in range(len(windows)):
            half_s = (windows.end_s[i] - windows.start_s[i]) / 2
            gaps = windows.start_s - windows.end_s[i]
            may = (
                (windows.video == windows.video[i]) & (gaps >= -half_s - SAME_MOMENT_S) & (gaps <= within_s + SAME_MOMENT_S)
            )
            tried = np.where(may, scores, -np.inf)
            assert found[i] == (tried.argmax() if np.isfinite(tried).any() else -1)


def test_no_windows_and_no_follower() -> None:
    assert best_followers(windows_of(), np.zeros(0), 30.0).tolist() == []
    alone = windows_of([(0.0, 4.0)], [(4.0, 8.0)])
    followers = best_followers(alone, np.ones(2), 30.0)
    assert followers.tolist() == [-1, -1]
    assert pair_scores(np.ones(2), np.ones(2), followers).tolist() == [-np.inf, -np.inf]


def test_a_pair_is_as_good_as_its_worse_half_and_the_better_other_half_comes_first() -> None:
    windows = windows_of(every(4.0, 4.0, 4))
    first, second = np.array([0.5, 0.7, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 0.4])
    followers = best_followers(windows, second, 30.0)
    assert followers.tolist() == [3, 3, 3, -1]
    scores = pair_scores(first, second, followers)
    assert scores[:3] == pytest.approx([0.4, 0.4, 0.0], abs=1e-5)
    assert scores.argmax() == 1


def test_parts_that_grew_into_each_other_are_parted_where_the_second_is_at_its_best() -> None:
    windows = windows_of(every(4.0, 4.0, 6))
    one, other = Segment(1, 0.0, 16.0, (0, 1, 2, 3)), Segment(3, 8.0, 20.0, (2, 3, 4))
    pair = pair_up(windows, one, other)
    assert [(part.start_s, part.end_s) for part in pair.parts] == [(0.0, 12.0), (12.0, 20.0)]
    assert (pair.best, pair.start_s, pair.end_s, pair.clips) == (1, 0.0, 20.0, (0, 1, 2, 3, 4))
    plain = pair_up(windows, clip_as_segment(windows, 0), clip_as_segment(windows, 3))
    assert [(part.start_s, part.end_s) for part in plain.parts] == [(0.0, 4.0), (12.0, 16.0)]
