"""Decides which segments are merged into one.

Segments are merged from the smallest on, as long as the next one has at most four times as many clips as those before it
together. So a clip is written anew a few times while its library grows, and the number of segments grows like the logarithm
of the number of clips. A segment of which most clips are dead is always among those that are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MERGED_BY_INGEST = 65_536
"""The most clips that an ingest merges, which takes a second or two."""

MERGED_BY_COMPACT = 16_777_216
"""The most clips that ``vidsift compact`` merges."""

_RATIO = 4
_FEW = 1_000
_MOSTLY_DEAD = 0.5


class SegmentSize(NamedTuple):
    """Clips of a segment: those that the snapshot shows, and all."""

    live: int
    clips: int


def plan_merge(segments: Sequence[SegmentSize], num_new: int, most: int) -> list[int]:
    """The positions of the segments to be merged with each other and with ``num_new`` clips; at most ``most`` clips in all.

    One segment alone is given only where most of its clips are dead.
    """
    merged, total = [], num_new
    ascending = sorted(range(len(segments)), key=lambda position: (segments[position].live, position))
    growing = True
    for position in ascending:
        live, clips = segments[position]
        growing = growing and (live <= max(_FEW, _RATIO * total) or not total)
        if (growing or live <= (1 - _MOSTLY_DEAD) * clips) and total + live <= most:
            merged.append(position)
            total += live
    alone = len(merged) == 1 and not num_new
    if alone and segments[merged[0]].live > (1 - _MOSTLY_DEAD) * segments[merged[0]].clips:
        return []
    return sorted(merged)
