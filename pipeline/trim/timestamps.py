"""A piece of a video that was cut out: what is said of it, and arithmetic with the ticks that its source counts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from schemas.video_meta import VideoMeta

How = Literal["copied", "re-encoded"]


@dataclass(frozen=True, slots=True)
class Cut:
    """A piece of a video as it was written.

    Attributes:
        how: whether the video's packets were copied or its frames encoded anew.
        start_s: what of the source the file's first moment shows; up to half a second before what was asked for.
        end_s: the same for its end; up to half a second later.
        sound: whether there is any.
        problems: what is wrong with the source there, in sentences.
    """

    how: How
    start_s: float
    end_s: float
    sound: bool
    problems: tuple[str, ...] = ()


class TrimNotPossible(Exception):
    """This way of cutting does not do for this source; another may."""


class NonMonotonicTimestamps(TrimNotPossible):
    """The container stores no times, and FFmpeg's guesses go wrong: frames have to be counted."""


def seconds_to_pts(meta: VideoMeta, time_s: float) -> int:
    """A time in seconds as the source counts."""
    return round(Fraction(time_s) / meta.time_base) + meta.zero_pts


def frame_start_s(meta: VideoMeta, pts: int) -> float:
    """When a frame appears, in seconds from the container's start."""
    return float((pts - meta.zero_pts) * meta.time_base)


def last_before(meta: VideoMeta, pts: int) -> int:
    """The last frame that appears before ``pts``; the first where there is none."""
    return int(meta.pts[max(0, int(np.searchsorted(meta.pts, pts)) - 1)])


def disappears_s(meta: VideoMeta, pts: int) -> float:
    """When the frame that appears at ``pts`` disappears, in seconds."""
    after = int(np.searchsorted(meta.pts, pts, side="right"))
    return frame_start_s(meta, int(meta.pts[after]) if after < meta.num_frames else int(meta.pts[-1]) + meta.last_duration)
