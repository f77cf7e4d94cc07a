"""Finds cuts, dissolves, fades and wipes from the pictures alone, without a model.

A cut is a frame that is far from the one before it, wherever the camera went, much further than frames around it are from
theirs, and far from what is shown shortly before and after: flashes come back to the picture that they interrupt. A gradual
transition is a frame that lies halfway between the pictures some frames before and after it, as no movement does; these
have to be far from each other in the same light.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.shots.boundaries import Boundary
from pipeline.shots.differences import Floats, colours, contrast, halved, relit, residual, ways

# Frames from the middle of a transition to the pictures that it is between: for transitions of about twice as many.
_HALVES = (3, 5, 8, 12, 17, 24, 36)

_NEIGHBOURS = 8  # frames on either side that a cut has to stand out from
_FLASH_FRAMES = 7  # how long a flash is at most
_USUAL_TIMES = 1.5  # what differs by up to this many times the usual change is the same picture
_BEYOND = 3  # frames further out, at which the pictures of a gradual transition have to differ too
_APART = 2  # frames between two that are halfway in the same transition
_MOST_APART = 4.0  # more than this many times what is needed says nothing more
_CONTEXT = max(_HALVES) + _BEYOND  # frames around a frame that is decided


@dataclass(frozen=True, slots=True)
class ContentThresholds:
    """What counts as a boundary; `benchmarks.shots` says how these were chosen.

    Distances of two frames are compared with their contrast: the distance of a picture from its own mean colour, which two
    pictures of different places are about as far apart as, be they bright or dark.

    Attributes:
        floor: least distance of any two pictures that a boundary is between, in levels of 255.
        cut: least distance of two frames that a cut is between, as a share of their contrast.
        stands_out: how many times further that is, at least, than between the frames around.
        strength: least product of both: what changes the picture less has to stand out more.
        comes_back: share of that distance to which the picture returns after a flash.
        gradual: least distance of the pictures that a gradual transition is between, as a share of their contrast.
        blend: highest `Ways.blend` of a dissolve or a fade.
        patch: highest `Ways.patch` of a wipe.
        evidence: how many frames have to be halfway, each as far as its pictures are apart and it is exactly halfway.
        closest: least frames between two boundaries.
    """

    floor: float = 8.0
    cut: float = 0.35
    stands_out: float = 1.8
    strength: float = 2.2
    comes_back: float = 0.65
    gradual: float = 0.6
    blend: float = 0.28
    patch: float = 0.12
    evidence: float = 1.5
    closest: int = 8


class _Halfway(NamedTuple):
    """A frame that is halfway between the pictures ``half`` frames before and after it.

    Attributes:
        apart: how far these are from each other, as a multiple of what is needed.
        error: how far it is from halfway, as a share of what is allowed.
    """

    frame: int
    half: int
    apart: float
    error: float


class ContentDetector:
    """Finds the boundaries of one video; see `pipeline.shots.boundaries.Detector`."""

    def __init__(self, thresholds: ContentThresholds | None = None) -> None:
        self._limits = thresholds or ContentThresholds()
        self._frames: Floats | None = None  # those that are still needed
        self._offset = 0  # number of the first of them
        self._decided = 0  # frames before this number are decided
        self._changes: list[float] = []  # of all frames: residuals from the frame before
        self._contrasts: list[float] = []  # of all frames
        self._cuts: list[Boundary] = []
        self._halfways: list[_Halfway] = []

    def add(self, frames: NDArray[np.uint8]) -> None:
        """See `Detector.add`."""
        if not len(frames):
            return
        new = colours(frames)
        known = self._frames
        first = 0.0 if known is None else residual(known[-1], new[0])
        self._changes += [first, *(residual(before, after) for before, after in pairwise(new))]
        self._contrasts += contrast(new).tolist()
        self._frames = new if known is None else np.concatenate([known, new])
        self._decide(len(self._changes) - _CONTEXT)

    def boundaries(self) -> list[Boundary]:
        """See `Detector.boundaries`."""
        self._decide(len(self._changes))
        return spaced([*self._cuts, *self._graduals()], self._limits.closest)

    def _decide(self, end: int) -> None:
        """Look at the frames up to number ``end``, and forget those that are not needed any more."""
        if self._frames is None or end <= self._decided:
            return
        self._cuts += [cut for frame in range(self._decided, end) if (cut := self._cut(frame))]
        self._find_halfways(self._decided, end)
        self._decided = end
        spare = max(0, end - _CONTEXT - self._offset)
        self._frames, self._offset = self._frames[spare:], self._offset + spare

    def _at(self, frame: int) -> Floats:
        """The frame of this number; the first or the last that is known in place of those beyond."""
        assert self._frames is not None
        known: Floats = self._frames[min(max(frame - self._offset, 0), len(self._frames) - 1)]
        return known

    def _contrast(self, first: int, second: int) -> float:
        """The mean contrast of two frames; the first or the last frame is taken in place of those beyond."""
        last = len(self._contrasts) - 1
        return (self._contrasts[max(first, 0)] + self._contrasts[min(second, last)]) / 2

    def _cut(self, frame: int) -> Boundary | None:
        limits, change = self._limits, self._changes[frame]
        share = change / max(self._contrast(frame - 1, frame), 1.0)
        if change < limits.floor or share < limits.cut:
            return None
        before, after = (
            self._changes[max(1, frame - _NEIGHBOURS) : frame],
            self._changes[frame + 1 : frame + 1 + _NEIGHBOURS],
        )
        if max([*before[-2:], *after[:2]], default=0.0) > change:
            return None
        around = [*before[:-1], *after[1:]] or [0.0]
        stands_out = change / max(1.0, float(np.mean(around)))
        if stands_out < limits.stands_out or share * stands_out < limits.strength:
            return None
        old, new = self._at(frame - 1), self._at(frame)
        near = range(1, _FLASH_FRAMES + 1)
        back = [residual(old, self._at(frame + later)) for later in near]
        back += [residual(self._at(frame - 1 - earlier), new) for earlier in near]
        # Or as far as frames around are from each other: a flash's last frame changes little.
        if min(back) < max(limits.comes_back * change, _USUAL_TIMES * float(np.median(around))):
            return None
        return Boundary(frame, 0, 1 - limits.strength / (share * stands_out) / 2)

    def _find_halfways(self, start: int, end: int) -> None:
        """Find the frames from ``start`` to ``end`` that are halfway between two pictures."""
        assert self._frames is not None
        limits, small = self._limits, halved(self._frames)
        for half in _HALVES:
            if len(small) <= 2 * half:
                return
            found = ways(small, half)
            wiped = np.where(np.abs(found.share - 0.5) < 0.2, found.patch / limits.patch, 1.0)
            errors = np.minimum(found.blend / limits.blend, wiped)
            for place in np.flatnonzero((errors < 1) & (found.change >= limits.floor)).tolist():
                frame = place + half + self._offset
                if start <= frame < end and (ratio := self._apart(frame - half, frame + half)) >= 1:
                    self._halfways.append(_Halfway(frame, half, ratio, float(errors[place])))

    def _apart(self, before: int, after: int) -> float:
        """The distance of two frames, and of those around them, as a multiple of what a gradual transition needs."""
        limits = self._limits
        needed = max(limits.floor, limits.gradual * self._contrast(before, after))
        pairs = [(self._at(before - out), self._at(after + out)) for out in (0, _BEYOND)]
        return min(min(residual(old, new), residual(relit(old, new), new)) for old, new in pairs) / needed

    def _graduals(self) -> list[Boundary]:
        """A boundary for each group of neighbouring frames that are halfway."""
        groups: list[list[_Halfway]] = []
        for halfway in sorted(self._halfways):
            if groups and halfway.frame - groups[-1][-1].frame <= _APART:
                groups[-1].append(halfway)
            else:
                groups.append([halfway])
        return [boundary for group in groups if (boundary := self._gradual(group))]

    def _gradual(self, group: list[_Halfway]) -> Boundary | None:
        limits = self._limits
        weights = [(min(halfway.apart, _MOST_APART) - 1) * (1 - halfway.error) for halfway in group]
        evidence = sum(weights)
        if evidence < limits.evidence:
            return None
        middle = round(float(np.average([halfway.frame for halfway in group], weights=weights)))
        # As a transition of n frames goes by, windows longer than it see ``2 * blend * n`` frames that are halfway.
        most = max(Counter(halfway.half for halfway in group).values())
        return Boundary(middle, max(2, round(most / (2 * limits.blend))), 1 - limits.evidence / evidence / 2)


def spaced(boundaries: list[Boundary], closest: int) -> list[Boundary]:
    """The boundaries, ascending, without those that are within ``closest`` frames of a more confident one."""
    kept: list[Boundary] = []
    for boundary in sorted(boundaries, key=lambda boundary: -boundary.confidence):
        if boundary.frame > 0 and all(abs(boundary.frame - other.frame) >= closest for other in kept):
            kept.append(boundary)
    return sorted(kept)
