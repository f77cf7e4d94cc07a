from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.shots.clips import shot_spans
from schemas.channels import Picture, Shot, Transition
from schemas.errors import UsageError


def shots(*parts: float | tuple[float, str]) -> list[Shot]:
    """Shots by their lengths in seconds; with ``gradual`` or ``black`` beside one."""
    made: list[Shot] = []
    for part in parts:
        length_s, mark = part if isinstance(part, tuple) else (part, "")
        start_s = made[-1].end_s if made else 0.0
        transition: Transition = "gradual" if mark == "gradual" else "cut" if made else "start"
        picture: Picture = "black" if mark == "black" else "moving"
        made.append(Shot(start_s, start_s + length_s, transition, 1.0, picture))
    return made


def test_long_shots_are_cut_into_windows_of_their_own() -> None:
    assert shot_spans(shots(9.0, 11.0), 4.0, 4.0) == [(0, 4), (4, 9), (9, 13), (13, 17), (17, 20)]
    assert shot_spans(shots(6.0, 4.0), 4.0, 2.0) == [(0, 4), (2, 6), (6, 10)]


def test_the_example_of_the_docstring() -> None:
    assert shot_spans(shots(1.0, 6.0, 9.0), 4.0, 4.0) == [(0, 4), (4, 7), (7, 11), (11, 16)]


def test_a_short_shot_goes_to_the_neighbour_behind_a_gradual_transition() -> None:
    assert shot_spans(shots(3.0, 1.0, (3.5, "gradual")), 4.0, 4.0) == [(0, 3), (3, 7.5)]
    assert shot_spans(shots(3.5, (1.0, "gradual"), 3.0), 4.0, 4.0) == [(0, 4.5), (4.5, 7.5)]


def test_else_to_the_shorter_one() -> None:
    assert shot_spans(shots(3.0, 1.0, 2.5), 4.0, 4.0) == [(0, 3), (3, 6.5)]
    assert shot_spans(shots(2.5, 1.0, 3.0), 4.0, 4.0) == [(0, 3.5), (3.5, 6.5)]


def test_many_short_shots_become_spans_of_their_own() -> None:
    assert shot_spans(shots(*[0.5] * 8), 4.0, 4.0) == [(0, 2), (2, 4)]


def test_min_s_is_what_counts_as_short() -> None:
    assert shot_spans(shots(1.0, 1.0, 1.0), 4.0, 4.0, min_s=0.5) == [(0, 1), (1, 2), (2, 3)]


def test_black_has_no_spans_and_joins_nothing() -> None:
    assert shot_spans(shots(3.0, (2.0, "black"), 1.0), 4.0, 4.0) == [(0, 3), (5, 6)]


def test_a_video_that_is_all_black_has_spans() -> None:
    assert shot_spans(shots((5.0, "black"), (7.0, "black")), 4.0, 4.0) == [(0, 5), (5, 9), (9, 12)]


def test_no_shots_no_spans() -> None:
    assert shot_spans([], 4.0, 4.0) == []


def test_a_stride_beyond_the_window_is_refused() -> None:
    with pytest.raises(UsageError, match="stride_s"):
        shot_spans(shots(5.0), 4.0, 5.0)


@given(
    st.lists(st.tuples(st.floats(0.04, 30), st.sampled_from(["", "gradual"])), min_size=1, max_size=40),
    st.floats(0.5, 8),
)
def test_spans_cover_the_video_without_a_gap(parts: list[tuple[float, str]], window_s: float) -> None:
    made = shots(*parts)
    spans = shot_spans(made, window_s, window_s)
    assert spans[0].start_s == 0
    assert spans[-1].end_s == made[-1].end_s
    assert all(before.end_s == pytest.approx(after.start_s, abs=1e-5) for before, after in pairwise(spans))
    assert all(span.end_s - span.start_s >= window_s / 2 - 1e-5 for span in spans) or made[-1].end_s < window_s / 2
