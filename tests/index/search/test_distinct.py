"""Answers that show the same footage: the best of them is kept, and what it hides is hidden from all its copies."""

from __future__ import annotations

from index.search.distinct import Shared, distinct
from schemas.duplicates import SharedSpan
from schemas.records import Span
from schemas.search import Moment


def moment(video: str, start_s: float, end_s: float) -> Moment:
    return Moment(1, 0.5, f"/v/{video}", video, 1, start_s, end_s, None, None, 0.5, start_s, end_s, 1)


def shared(video: str, start_s: float, end_s: float, other: str, other_start_s: float, speed: float = 1.0) -> Shared:
    """From both sides."""
    there = Span(other_start_s, other_start_s + speed * (end_s - start_s))
    here = Span(start_s, end_s)
    return {
        video: [(other, SharedSpan(here, there, speed, False, 0.9))],
        other: [(video, SharedSpan(there, here, 1 / speed, False, 0.9))],
    }


def kept(moments: list[Moment], known: Shared) -> list[tuple[str, float]]:
    return [(one.video_id, one.start_s) for one in distinct(moments, known)]


def test_the_same_seconds_are_shown_once() -> None:
    known = shared("a", 10, 50, "b", 0)
    assert kept([moment("b", 4, 8), moment("a", 14, 18), moment("a", 30, 34)], known) == [("b", 4), ("a", 30)]


def test_seconds_outside_of_what_is_shared_are_their_own() -> None:
    known = shared("a", 10, 50, "b", 0)
    assert kept([moment("b", 4, 8), moment("a", 4, 8), moment("b", 60, 64)], known) == [("b", 4), ("a", 4), ("b", 60)]


def test_half_of_the_shorter_moment_has_to_be_the_same() -> None:
    known = shared("a", 0, 50, "b", 0)
    assert kept([moment("a", 0, 10), moment("b", 6, 14)], known) == [("a", 0)]
    assert kept([moment("a", 0, 10), moment("b", 7, 15)], known) == [("a", 0), ("b", 7)]


def test_speed_is_minded() -> None:
    known = shared("a", 0, 50, "b", 0, speed=2.0)
    assert kept([moment("a", 20, 24), moment("b", 40, 48), moment("b", 20, 24)], known) == [("a", 20), ("b", 20)]


def test_a_copy_of_a_copy_is_hidden_too() -> None:
    known = shared("a", 0, 50, "b", 0)
    known["b"] += shared("b", 0, 50, "c", 0)["b"]
    assert kept([moment("a", 0, 4), moment("b", 0, 4), moment("c", 0, 4)], known) == [("a", 0)]
