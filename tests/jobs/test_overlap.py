"""When a clip shows a moment."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.overlap import shared_s, shared_shares, shows
from schemas.records import Span


@pytest.mark.parametrize(
    ("moment", "shared", "shares"),
    [
        ((1.0, 3.0), [2.0, 0.0, 1.0], [1.0, 0.0, 0.5]),  # inside the first clip; half of it inside the third
        ((0.0, 100.0), [4.0, 4.0, 4.0], [1.0, 1.0, 1.0]),  # a moment longer than the clips: the clip is the shorter
        ((3.0, 5.0), [1.0, 1.0, 2.0], [0.5, 0.5, 1.0]),
        ((20.0, 21.0), [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ],
)
def test_shares_are_of_the_shorter(moment: tuple[float, float], shared: list[float], shares: list[float]) -> None:
    start_s, end_s = np.array([0.0, 4.0, 2.0]), np.array([4.0, 8.0, 6.0])
    assert shared_s(Span(*moment), start_s, end_s).tolist() == shared
    assert shared_shares(Span(*moment), start_s, end_s).tolist() == shares
    assert shows(Span(*moment), start_s, end_s).tolist() == [share >= 0.5 for share in shares]


def test_shared_seconds() -> None:
    assert shared_s(Span(0, 2), 1.5, 9) == 0.5
    assert shared_s(Span(0, 2), 2, 9) == 0


def test_a_clip_shows_a_moment_where_they_share_half_of_the_shorter() -> None:
    assert shows(Span(3, 5), 0, 4)  # 1 s of 2
    assert not shows(Span(3.1, 5), 0, 4)
    assert shows(Span(2, 100), 0, 4)
    assert shows(Span(2, 3), 0, 100)
