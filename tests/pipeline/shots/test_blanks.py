from __future__ import annotations

import numpy as np

from pipeline.shots.blanks import at_blanks
from pipeline.shots.boundaries import Boundary

TIMES_S = np.arange(100) / 25


def blank(first: int, end: int) -> np.ndarray:
    return (np.arange(100) >= first) & (np.arange(100) < end)


def test_a_fade_through_a_little_black_is_one_transition() -> None:
    found = [Boundary(35, 10, 0.8), Boundary(50, 10, 0.9), Boundary(80, 0, 1.0)]
    assert at_blanks(found, blank(40, 46), TIMES_S, 4.0) == [Boundary(43, 25, 0.9), Boundary(80, 0, 1.0)]


def test_much_black_becomes_a_shot_with_the_boundaries_that_were_found() -> None:
    found = [Boundary(35, 10, 0.8), Boundary(75, 10, 0.9)]
    assert at_blanks(found, blank(40, 70), TIMES_S, 4.0) == [Boundary(40, 10, 0.8), Boundary(70, 10, 0.9)]


def test_much_black_begins_and_ends_with_cuts_where_none_were_found() -> None:
    assert at_blanks([], blank(40, 70), TIMES_S, 4.0) == [Boundary(40, 0, 1.0), Boundary(70, 0, 1.0)]
    assert at_blanks([], blank(0, 20), TIMES_S, 4.0) == [Boundary(20, 0, 1.0)]
    assert at_blanks([], blank(80, 100), TIMES_S, 4.0) == [Boundary(80, 0, 1.0)]


def test_a_blink_leaves_what_was_found() -> None:
    assert at_blanks([], blank(40, 43), TIMES_S, 4.0) == []
    assert at_blanks([Boundary(43, 0, 0.7)], blank(40, 43), TIMES_S, 4.0) == [Boundary(43, 0, 0.7)]


def test_a_video_that_is_black_has_no_boundaries() -> None:
    assert at_blanks([], blank(0, 100), TIMES_S, 4.0) == []
