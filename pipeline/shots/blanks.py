"""Boundaries at pictures of one colour, which films fade to and from, whichever detector found them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.shots.boundaries import Boundary, runs

SHOT_S = 0.5
"""Black of at least this length is a shot; less is a part of the transition that it is in."""

# Frames between the end of a ramp, as a detector sees it, and the first that is black.
_REACH = 4


def at_blanks(
    boundaries: Sequence[Boundary], blank: NDArray[np.bool_], times_s: NDArray[np.float64], end_s: float
) -> list[Boundary]:
    """The boundaries, ascending, with those at pictures of one colour put right.

    A long one becomes a shot, which begins and ends with it. Around a short one, boundaries before and after it become one
    gradual transition, from the beginning of the first to the end of the last.

    Args:
        boundaries: those that a detector found.
        blank: bool [n], which frames are of one colour.
        times_s: float64 [n], when frames appear.
        end_s: when the last one disappears.
    """
    left, made = list(boundaries), list[Boundary]()
    ends_s = np.append(times_s, end_s)
    for first, end in runs(blank):
        near = [each for each in left if each.frame + each.length / 2 >= first - _REACH and _start(each) <= end + _REACH]
        left = [each for each in left if each not in near]
        if ends_s[end] - ends_s[first] >= SHOT_S:
            middle = (first + end) / 2
            made += _edge([each for each in near if each.frame <= middle], first, len(blank))
            made += _edge([each for each in near if each.frame > middle], end, len(blank))
        elif len(near) < 2:
            left += near
        else:
            length = max(each.frame + each.length // 2 for each in near) - min(_start(each) for each in near)
            confidence = max(each.confidence for each in near)
            made.append(Boundary((first + end) // 2, max(length, end - first), confidence))
    return sorted(each for each in {each.frame: each for each in [*left, *made]}.values() if 0 < each.frame < len(blank))


def _start(boundary: Boundary) -> int:
    return boundary.frame - boundary.length // 2


def _edge(near: Sequence[Boundary], frame: int, num_frames: int) -> list[Boundary]:
    """The boundary at one end of a long picture of one colour: as it was found, or a cut, which it surely is at least."""
    if not 0 < frame < num_frames:
        return []
    best = max(near, key=lambda each: each.confidence, default=Boundary(frame, 0, 1.0))
    return [best._replace(frame=frame)]
