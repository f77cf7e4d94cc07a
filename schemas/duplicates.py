"""The same footage in two videos: what is known of it, and how a library stores it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from schemas.records import Span

SLOWEST, FASTEST = 0.5, 2.0
"""The speeds, of one video's footage against the other's, that are looked for."""


class SharedSpan(NamedTuple):
    """Seconds of one video that show the same footage as seconds of another.

    ``time`` of the one is ``other.start_s + speed * (time - span.start_s)`` of the other.

    Attributes:
        span: in the one.
        other: in the other.
        speed: seconds of the other per second of the one: how much faster the one plays the footage.
        mirrored: whether the one shows left and right swapped.
        confidence: from 0 to 1: how well what moves in the pictures agrees.
    """

    span: Span
    other: Span
    speed: float
    mirrored: bool
    confidence: float


class Duplicate(NamedTuple):
    """Two videos that share footage.

    Attributes:
        shared: what they share, in the order of time; no second of either is in two of these.
    """

    video_id: str
    other_video_id: str
    shared: tuple[SharedSpan, ...]


# One row for each shared span; videos that share footage, directly or through others, have one ``group_id``.
DUPLICATES = pa.schema(
    [
        ("group_id", pa.int64()),
        ("video_id", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("other_video_id", pa.string()),
        ("other_start_s", pa.float64()),
        ("other_end_s", pa.float64()),
        ("speed", pa.float64()),
        ("mirrored", pa.bool_()),
        ("confidence", pa.float32()),
    ]
)


def duplicates_table(duplicates: Iterable[Duplicate]) -> pa.Table:
    """Rows of `DUPLICATES`, by group, ids and time. Groups are numbered from 1 by their least video id."""
    found = list(duplicates)
    groups = group_numbers((one.video_id, one.other_video_id) for one in found)
    found.sort(key=lambda one: (groups[one.video_id], one))
    rows = [
        {
            "group_id": groups[one.video_id],
            "video_id": one.video_id,
            "start_s": shared.span.start_s,
            "end_s": shared.span.end_s,
            "other_video_id": one.other_video_id,
            "other_start_s": shared.other.start_s,
            "other_end_s": shared.other.end_s,
            "speed": shared.speed,
            "mirrored": shared.mirrored,
            "confidence": shared.confidence,
        }
        for one in found
        for shared in one.shared
    ]
    return pa.Table.from_pylist(rows, schema=DUPLICATES)


def group_numbers(pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The number of the group of each video: videos are in one group where a chain of pairs leads from one to the other."""
    leader: dict[str, str] = {}

    def find(video_id: str) -> str:
        while leader.setdefault(video_id, video_id) != video_id:
            leader[video_id] = leader[leader[video_id]]
            video_id = leader[video_id]
        return video_id

    for first, second in pairs:
        low, high = sorted((find(first), find(second)))
        leader[high] = low
    leaders = sorted({find(video_id) for video_id in list(leader)})
    return {video_id: leaders.index(find(video_id)) + 1 for video_id in sorted(leader)}
