"""The record of a piece that was cut out of a video, and arithmetic with the video's ticks."""

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
        how: whether the video's packets were copied, or its frames encoded anew.
        start_s: the video's time at which the piece begins; up to half a second before what was asked for.
        end_s: the video's time at which it ends; up to half a second later.
        sound: whether it has sound.
        problems: what is wrong with that part of the video, in sentences.
    """

    how: How
    start_s: float
    end_s: float
    sound: bool
    problems: tuple[str, ...] = ()


class TrimNotPossible(Exception):
    """This way of cutting does not work for this video; another may."""


class NonMonotonicTimestamps(TrimNotPossible):
    """The container stores no times, and FFmpeg's guesses go back: frames have to be counted."""


def seconds_to_pts(meta: VideoMeta, time_s: float) -> int:
    """The tick of a time in seconds from the container's start."""
    return round(Fraction(time_s) / meta.time_base) + meta.zero_pts


def frame_start_s(meta: VideoMeta, pts: int) -> float:
    """The time at which the frame of a tick appears, in seconds from the container's start."""
    return float((pts - meta.zero_pts) * meta.time_base)


def last_before(meta: VideoMeta, pts: int) -> int:
    """The tick of the last frame that appears before ``pts``; the first frame's where there is none."""
    return int(meta.pts[max(0, int(np.searchsorted(meta.pts, pts)) - 1)])


def disappears_s(meta: VideoMeta, pts: int) -> float:
    """The time at which the frame that appears at ``pts`` disappears, in seconds from the container's start."""
    after = int(np.searchsorted(meta.pts, pts, side="right"))
    return frame_start_s(meta, int(meta.pts[after]) if after < meta.num_frames else int(meta.pts[-1]) + meta.last_duration)
