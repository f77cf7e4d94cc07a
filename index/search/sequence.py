"""One thing followed by another in the same video.

A pair is a clip that shows the first thing, and the best clip for the second among those of the same video that begin at
most ``within_s`` after the first clip has ended. The second may begin up to half a clip before the first one's end, since
clips do not tell more exactly when things end. The score of a pair is that of its worse half.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from index.search.moments import Segment
from index.search.timeline import ClipTimeline
from schemas.times import SAME_MOMENT_S

_TIE = 1e-6


def best_followers(timeline: ClipTimeline, scores: NDArray[np.float64], within_s: float) -> NDArray[np.int64]:
    """int64 [n], for each clip the position of the highest of ``scores`` among the clips that may follow it; -1 for none.

    Clips that score minus infinity follow nothing.
    """
    if not len(timeline):
        return np.zeros(0, np.int64)
    # One ascending axis for all videos, which are so far from each other on it that no clip follows one of another video.
    apart_s = float(timeline.end_s.max()) + within_s + 1.0
    video_start_s = timeline.video * apart_s
    starts = video_start_s + timeline.start_s
    lengths = timeline.end_s - timeline.start_s
    first = np.searchsorted(starts, video_start_s + timeline.end_s - lengths / 2 - SAME_MOMENT_S)
    last = np.searchsorted(starts, video_start_s + timeline.end_s + within_s + SAME_MOMENT_S, "right")
    best = _argmax_in_ranges(scores, first, last)
    return np.where((best >= 0) & np.isfinite(scores[best]), best, -1)


def _argmax_in_ranges(scores: NDArray[np.float64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of the highest score in each range [first, last); -1 where that is empty.

    Goes by tables of the highest among 1, 2, 4, ... neighbours: two entries that overlap cover any range.
    """
    best = np.full(len(first), -1, np.int64)
    length = last - first
    table, span = np.arange(len(scores)), 1
    while (length >= span).any():
        of_length = (length >= span) & (length < 2 * span)
        left, right = table[first[of_length]], table[last[of_length] - span]
        best[of_length] = np.where(scores[right] > scores[left], right, left)
        if len(table) <= span:
            break
        ahead, behind = table[span:], table[:-span]
        table, span = np.where(scores[ahead] > scores[behind], ahead, behind), 2 * span
    return best


def pair_scores(
    first: NDArray[np.float64], second: NDArray[np.float64], followers: NDArray[np.int64]
) -> NDArray[np.float64]:
    """float64 [n], the score of each clip with its follower: the lower of the two; minus infinity without one.

    A millionth of the higher one is added: many clips share the follower that is their worse half, and the best of them
    comes first.
    """
    if not len(first):
        return first
    lower, higher = np.minimum(first, second[followers]), np.maximum(first, second[followers])
    return np.where(followers >= 0, lower + _TIE * higher, -np.inf)


def pair_up(timeline: ClipTimeline, first: Segment, second: Segment) -> Segment:
    """A moment and the one that follows it as one, from the start of the first to the end of the second.

    Where both claim the same seconds between their best clips, the first ends where the second's best clip begins.
    """
    first_best_end_s = float(timeline.end_s[first.best])
    second_best_start_s = float(timeline.start_s[second.best])
    first_end_s = min(first.end_s, max(first_best_end_s, second_best_start_s))
    second_start_s = max(second.start_s, min(first_end_s, second_best_start_s))
    parts = (
        Segment(first.best, first.start_s, first_end_s, first.clips),
        Segment(second.best, second_start_s, second.end_s, second.clips),
    )
    clips = tuple(sorted({*first.clips, *second.clips}))
    return Segment(first.best, first.start_s, max(first_end_s, second.end_s), clips, parts)


def pair_maker(
    timeline: ClipTimeline,
    followers: NDArray[np.int64],
    make_first: Callable[[int], Segment],
    make_second: Callable[[int], Segment],
) -> Callable[[int], Segment]:
    """Makes the pair of the clip at a position and its follower, given what makes the segment of each."""
    return lambda position: pair_up(timeline, make_first(position), make_second(int(followers[position])))
