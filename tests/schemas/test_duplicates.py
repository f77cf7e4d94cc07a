"""Groups of videos that share footage, and the rows that a library keeps of them."""

from __future__ import annotations

from schemas.duplicates import DUPLICATES, Duplicate, SharedSpan, duplicates_table, group_numbers
from schemas.records import Span


def test_videos_are_in_one_group_where_a_chain_of_pairs_leads() -> None:
    pairs = [("d", "e"), ("a", "c"), ("c", "b"), ("f", "e")]
    assert group_numbers(pairs) == {"a": 1, "b": 1, "c": 1, "d": 2, "e": 2, "f": 2}
    assert group_numbers([]) == {}


def test_each_shared_span_is_a_row() -> None:
    spans = (
        SharedSpan(Span(0.0, 5.0), Span(10.0, 15.0), 1.0, False, 0.75),
        SharedSpan(Span(8.0, 10.0), Span(0.0, 4.0), 2.0, True, 0.5),
    )
    table = duplicates_table([Duplicate("y", "z", spans[:1]), Duplicate("b", "a", spans)])
    assert table.schema == DUPLICATES
    assert table.select(["group_id", "video_id", "other_video_id", "start_s", "speed", "mirrored"]).to_pylist() == [
        {"group_id": 1, "video_id": "b", "other_video_id": "a", "start_s": 0.0, "speed": 1.0, "mirrored": False},
        {"group_id": 1, "video_id": "b", "other_video_id": "a", "start_s": 8.0, "speed": 2.0, "mirrored": True},
        {"group_id": 2, "video_id": "y", "other_video_id": "z", "start_s": 0.0, "speed": 1.0, "mirrored": False},
    ]
