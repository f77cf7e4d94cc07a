"""One thing followed by another in the same video.

A pair is a window that shows the first and the best window for the second among those of the same video that begin at most
``within_s`` after the first has ended. The second may begin up to half a window before the first's end, since windows know
when things end no better than that. A pair is as good as its worse half.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from index.search.moments import Segment
from index.search.timeline import SAME_MOMENT_S, ClipTimeline

_TIE = 1e-6


def best_followers(windows: ClipTimeline, scores: NDArray[np.float64], within_s: float) -> NDArray[np.int64]:
    """int64 [n], for each window the position of the highest of ``scores`` among those that may follow it; -1 for none.

    Scores of minus infinity follow nothing.
    """
    if not len(windows):
        return np.zeros(0, np.int64)
    # One ascending axis for all videos: each begins far enough behind the one before that no gap reaches over.
    apart_s = float(windows.end_s.max()) + within_s + 1.0
    base_s = windows.video * apart_s
    starts = base_s + windows.start_s
    lengths = windows.end_s - windows.start_s
    first = np.searchsorted(starts, base_s + windows.end_s - lengths / 2 - SAME_MOMENT_S)
    last = np.searchsorted(starts, base_s + windows.end_s + within_s + SAME_MOMENT_S, "right")
    best = _highest(scores, first, last)
    return np.where((best >= 0) & np.isfinite(scores[best]), best, -1)


def _highest(scores: NDArray[np.float64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of the highest score in each [first, last); -1 where that is empty.

    By tables of the highest among 1, 2, 4, ... neighbours: two of them that overlap cover any range.
    """
    found = np.full(len(first), -1, np.int64)
    length = last - first
    table, span = np.arange(len(scores)), 1
    while (length >= span).any():
        asked = (length >= span) & (length < 2 * span)
        left, right = table[first[asked]], table[last[asked] - span]
        found[asked] = np.where(scores[right] > scores[left], right, left)
        if len(table) <= span:
            break
        ahead, behind = table[span:], table[:-span]
        table, span = np.where(scores[ahead] > scores[behind], ahead, behind), 2 * span
    return found


def pair_scores(
    first: NDArray[np.float64], second: NDArray[np.float64], followers: NDArray[np.int64]
) -> NDArray[np.float64]:
    """float64 [n], the score of each window with its follower: the lower of the two; minus infinity without one.

    A millionth of the higher one is added: many windows share the follower that is their worse half, and the best of them
    comes first.
    """
    if not len(first):
        return first
    lower, higher = np.minimum(first, second[followers]), np.maximum(first, second[followers])
    return np.where(followers >= 0, lower + _TIE * higher, -np.inf)


def pair_up(windows: ClipTimeline, one: Segment, other: Segment) -> Segment:
    """A moment and the one that follows it as one, from the start of the first to the end of the second.

    Where both claim the same seconds between their best windows, the first ends where the second's best window begins.
    """
    one_best_end_s = float(windows.end_s[one.best])
    other_best_start_s = float(windows.start_s[other.best])
    one_end_s = min(one.end_s, max(one_best_end_s, other_best_start_s))
    other_start_s = max(other.start_s, min(one_end_s, other_best_start_s))
    parts = (
        Segment(one.best, one.start_s, one_end_s, one.windows),
        Segment(other.best, other_start_s, other.end_s, other.windows),
    )
    agreeing = tuple(sorted({*one.windows, *other.windows}))
    return Segment(one.best, one.start_s, max(one_end_s, other.end_s), agreeing, parts)


def pair_maker(
    windows: ClipTimeline,
    followers: NDArray[np.int64],
    first: Callable[[int], Segment],
    second: Callable[[int], Segment],
) -> Callable[[int], Segment]:
    """What makes the pair of a window and its follower, given what makes each part."""
    return lambda position: pair_up(windows, first(position), second(int(followers[position])))
