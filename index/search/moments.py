"""From a score for every window to stretches of video.

A moment grows from its best window, to both sides, over windows of the same video that overlap or touch what it has and
answer the query as well: whose score is no further below the best one's than 0.15 of what the best one has above the median
of its video, or 0.1 of the spread of the query's scores over the library where that is more. The first window that scores
worse ends it on that side.

ClipTimeline that overlap show a moment also from before it begins and until after it has ended. So a second belongs to the
moment where more than half of the windows that show it are among its windows; the best window always does. With windows
of 2.4 s every 0.8 s, three in a row that answer make a moment of 2.4 s, not of 4. ClipTimeline that do not
overlap are joined.

No two moments share a second: what shows any of a moment is no longer there for the next.

Measured on 24 rendered films of 1,080 windows with a small trained X-CLIP, asked for each of the 189 actions in them by its
caption: 0.65 of the best moments meet the action at IoU 0.5, against 0.61 of the best windows alone, and they last 3.1 s on
average where actions last 2.6 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.search.timeline import SAME_MOMENT_S, ClipTimeline

KEPT_RISE = 0.85
"""How much of its best window's height above the median of the video a window needs to be of one moment with it."""

MIN_MARGIN = 0.1
"""A window this close to the best one, in spreads of the query's scores over the library, is of one moment with it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A moment, before anything is looked up of it.

    Attributes:
        best: position of its best window.
        windows: positions of the windows that agree, ascending.
        parts: what it is made of, where it is more than one thing.
    """

    best: int
    start_s: float
    end_s: float
    windows: tuple[int, ...]
    parts: tuple[Segment, ...] = ()


def clip_as_segment(windows: ClipTimeline, position: int) -> Segment:
    """One window by itself."""
    return Segment(position, float(windows.start_s[position]), float(windows.end_s[position]), (position,))


class MomentBuilder:
    """Makes moments of one query's scores."""

    def __init__(self, windows: ClipTimeline, scores: NDArray[np.float64], free: NDArray[np.bool_], spread: float) -> None:
        """Make moments of ``scores``.

        Args:
            windows: of the library.
            scores: float64 [n], of all windows, on one scale.
            free: bool [n], which of them may be part of a moment at the time one grows.
            spread: of the scores over the library (`index.search.confidence.Background`).
        """
        self._windows, self._scores, self._free = windows, scores, free
        self._margin = MIN_MARGIN * spread

    def floor(self, best: int) -> float:
        """What a window has to score to answer as well as ``best`` does."""
        around = self._scores[self._windows.of_video(best)]
        rise = self._scores[best] - float(np.median(around[np.isfinite(around)]))
        return float(self._scores[best] - max((1 - KEPT_RISE) * rise, self._margin))

    def grow(self, best: int) -> Segment:
        """The moment around a window."""
        here = self._windows.of_video(best)
        starts, ends = self._windows.start_s, self._windows.end_s
        floor, first, last = self.floor(best), best, best

        def answers(position: int) -> bool:
            return bool(self._free[position] and self._scores[position] >= floor)

        while first > here.start and answers(first - 1) and ends[first - 1] >= starts[first] - SAME_MOMENT_S:
            first -= 1
        while last + 1 < here.stop and answers(last + 1) and starts[last + 1] <= ends[last] + SAME_MOMENT_S:
            last += 1
        return _voted(self._windows, here, best, first, last)


def _voted(windows: ClipTimeline, here: slice, best: int, first: int, last: int) -> Segment:
    """The seconds around ``best`` that more than half of the windows that show them agree about, from first to last."""
    starts, ends = windows.start_s[first : last + 1], np.sort(windows.end_s[first : last + 1])
    begin_s, end_s = float(starts[0]), float(ends[-1])
    edges = np.concatenate([windows.start_s[here], windows.end_s[here]])
    edges = np.unique(edges[(edges >= begin_s) & (edges <= end_s)])
    middles = (edges[:-1] + edges[1:]) / 2
    shown = _covering(middles, windows.start_s[here], np.sort(windows.end_s[here]))
    agreed = (2 * _covering(middles, starts, ends) > shown) | (shown == 0)  # a gap too short to be one
    agreed |= (windows.start_s[best] <= middles) & (middles < windows.end_s[best])
    left = int(np.searchsorted(middles, windows.start_s[best]))
    right = int(np.searchsorted(middles, windows.end_s[best]))
    while left > 0 and agreed[left - 1]:
        left -= 1
    while right < len(middles) and agreed[right]:
        right += 1
    return Segment(best, float(edges[left]), float(edges[right]), tuple(range(first, last + 1)))


def _covering(
    times_s: NDArray[np.float64], starts: NDArray[np.float64], sorted_ends: NDArray[np.float64]
) -> NDArray[np.int64]:
    """How many of the windows show each of these times."""
    return np.asarray(np.searchsorted(starts, times_s, "right") - np.searchsorted(sorted_ends, times_s, "right"), np.int64)


def disjoint(
    windows: ClipTimeline, order: NDArray[np.float64], free: NDArray[np.bool_], make: Callable[[int], Segment]
) -> Iterator[Segment]:
    """Stretches that share no second, best first.

    Args:
        windows: of the library.
        order: float64 [n], by which seeds are taken, highest first; minus infinity for those that are none.
        free: bool [n], which windows no stretch has taken; kept up to date.
        make: what grows from a seed.
    """
    left = np.where(free, order, -np.inf)
    taken: dict[int, list[Segment]] = {}
    while len(left) and np.isfinite(left[best := int(np.argmax(left))]):
        left[best] = -np.inf
        stretch = make(best)
        before = taken.setdefault(int(windows.video[best]), [])
        if any(_overlap(stretch, other) for other in before):
            continue
        before.append(stretch)
        yield stretch
        for gone in (list(stretch.windows), windows.overlapping(best, stretch.start_s, stretch.end_s)):
            left[gone], free[gone] = -np.inf, False


def _overlap(one: Segment, other: Segment) -> bool:
    return min(one.end_s, other.end_s) - max(one.start_s, other.start_s) > SAME_MOMENT_S
