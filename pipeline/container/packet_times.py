"""Finds where recordings were joined in a stream, and which times are damaged, by its packets' times. Opens no file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from schemas.video_meta import Part

# Decoding times never go back within a recording. Containers that store none take presentation times for them, which go back
# by as many frames as are put in order: at most 16.
_BACK_S = 1.0
_BACK_FRAMES = 17

# Times that leap further ahead belong to another clock; FFmpeg's own limit (-dts_error_threshold).
_AHEAD_S = 30 * 3600.0

# So few packets at other times than those around them have damaged times.
_STRAY_S = 10.0
_STRAY_PACKETS = 8

# More parts than this share of all packets are no recordings.
_PARTS_SHARE = 0.02
_PARTS_LEAST = 20


@dataclass(frozen=True, slots=True, eq=False)
class PacketTimes:
    """The times of a stream's packets, in the order of the file; in ticks.

    Attributes:
        pts: int64 [n], presentation times; decoding times where the container states none.
        dts: int64 [n], decoding times; presentation times where the container states none.
        duration: int64 [n], durations; 0 where the container states none.
        pos: int64 [n], the byte of the file that each packet begins at; -1 where that is not known.
    """

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    duration: NDArray[np.int64]
    pos: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """The corrections to a stream's times.

    Attributes:
        shift: int64 [n], ticks to add to each packet's times.
        stray: bool [n], whether the packet's times are damaged.
        parts: the recordings that were joined; empty for a single one.
        usable: whether the times say when frames are shown.
    """

    shift: NDArray[np.int64]
    stray: NDArray[np.bool_]
    parts: tuple[Part, ...]
    usable: bool = True


def join(times: PacketTimes, time_base: Fraction) -> Joined:
    """Correct times that start anew, or leap by more than 30 hours, so that they go on counting.

    Decoding times of 0, 1, 2, 0, 1 s become 0, 1, 2, 3, 4 s.
    """
    count = len(times.dts)
    shift = np.zeros(count, np.int64)
    steps = np.diff(times.dts)
    usual = float(np.median(np.abs(steps))) if count > 1 else 0.0
    back = max(_BACK_S / float(time_base), _BACK_FRAMES * usual)
    near, ahead = _STRAY_S / float(time_base), _AHEAD_S / float(time_base)
    waits = times.pts - times.dts
    stray = np.abs(waits - np.median(waits)) > ahead if count else np.zeros(0, np.bool_)
    leaps = np.flatnonzero((steps < -back) | (steps > near)) + 1
    if not len(leaps) or not ((steps < -back) | (steps > ahead)).any():
        return Joined(shift, stray, ())
    begins = [0]
    skipped = -1
    for place, first in enumerate(leaps):
        if first <= skipped:
            continue
        before = times.dts[first - 1]
        after = leaps[place + 1] if place + 1 < len(leaps) else count
        if after < count and after - first <= _STRAY_PACKETS and -back <= times.dts[after] - before <= near:
            stray[first:after] = True
            skipped = int(after)
        elif not -back <= steps[first - 1] <= ahead:
            begins.append(int(first))
    if len(begins) > max(_PARTS_LEAST, _PARTS_SHARE * count):
        return Joined(shift, stray, (), usable=False)
    parts: list[Part] = []
    for begin, end in zip(begins, [*begins[1:], count], strict=True):
        if parts:
            done = np.flatnonzero(~stray[:begin]) if not stray[:begin].all() else np.arange(begin)
            shown = times.pts[done] + shift[done]
            lasting = times.duration[done[shown.argmax()]] or round(usual)
            decoded = times.dts[done[-1]] + shift[done[-1]]
            shift[begin:end] = max(shown.max() + lasting - times.pts[begin], decoded + 1 - times.dts[begin])
        known = times.pos[begin:end][times.pos[begin:end] >= 0]
        parts.append(Part(int(known[0]) if len(known) else -1, int(shift[begin])))
    usable = all(part.pos < following.pos for part, following in pairwise(parts)) and parts[0].pos >= 0
    return Joined(shift, stray, tuple(parts) if len(parts) > 1 else (), usable or len(parts) == 1)
