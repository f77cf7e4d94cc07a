"""What a moment's page shows of its video in the order of time."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import QueryParams

from schemas.records import Span
from server.timeline import bars, common_labels, neighbours, shot_marks

GIVEN = QueryParams("text=a&start=1&library=films")


def clip(clip_id: int, start_s: float, score: float | None = None, label: str | None = "waving") -> dict[str, Any]:
    return {
        "clip_id": clip_id,
        "start_s": start_s,
        "end_s": start_s + 4,
        "score": score,
        "label": label,
        "label_score": 0.5,
    }


def test_bars_are_as_high_as_scores_and_end_where_the_next_begins() -> None:
    shown = bars([clip(1, 0, 0.1), clip(2, 2, 0.3), clip(3, 4, 0.2)], [], 2, 8.0, GIVEN)
    assert [(bar["x"], bar["width"], bar["height"]) for bar in shown] == [(0, 250, 4), (250, 250, 56), (500, 500, 30)]
    assert [bar["is_here"] for bar in shown] == [False, True, False]
    assert shown[1]["address"] == "/moment/2?start=2.000&end=6.000&text=a&library=films"
    assert {bar["height"] for bar in bars([clip(1, 0), clip(2, 4)], [], 1, 8.0, GIVEN)} == {30}, "without a question"


def test_shots_begin_at_their_seconds_but_the_first() -> None:
    shots = [{"start_s": 0.0, "transition": "start"}, {"start_s": 2.0, "transition": "cut"}]
    assert shot_marks(shots, 8.0) == [{"start_s": 2.0, "transition": "cut", "x": 250.0}]


def test_labels_of_the_most_clips_come_first() -> None:
    clips = [clip(1, 0, label="bowing"), clip(2, 4), clip(3, 8), clip(4, 12, label=None)]
    assert common_labels(clips) == ["waving", "bowing"]


def test_neighbours_overlap_neither_the_moment_nor_each_other() -> None:
    clips = [clip(number, 2.0 * number) for number in range(20)]
    near = neighbours(clips, Span(14.0, 20.0), "/v/a.mp4", GIVEN)
    assert [one["start_s"] for one in near] == [2, 6, 10, 20, 24, 28, 32]
    assert (near[0]["labels"], near[0]["reasons"]) == ([{"label": "waving", "score": 0.5}], ())
