"""What shots show: pictures that move, a still, or nothing but one colour."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.shots.frames import HEIGHT, WIDTH
from schemas.channels import Picture

# A frame whose pixels differ from their mean colour by less than this, in levels of 255 (root mean square), shows nothing.
_BLANK_SPREAD = 4.0

# A shot is black, or still, where this share of its frames is. What cameras and encoders add is in the rest.
_MOST = 0.9

# Frames apart that are compared: slow zooms move by less than a pixel of a thumbnail from one frame to the next.
_LAG = 12

# The picture is compared in fields of 3 x 3 pixels of a thumbnail, 16 across and 9 down: the noise of cameras and encoders
# changes their means by less than this, in levels of 255; a mouth that speaks changes one of them by more.
_FIELD = 3
_STILL_CHANGE = 3.0


class Shown(NamedTuple):
    """What the frames of a video show; all of [n].

    Attributes:
        blank: whether a frame is of one colour.
        unchanged: whether it is like the one ``_LAG`` frames before it.
    """

    blank: NDArray[np.bool_]
    unchanged: NDArray[np.bool_]

    def between(self, first: int, end: int) -> Picture:
        """What the frames from number ``first`` up to ``end`` show. Fewer than ``_LAG`` are never called still."""
        if first < end and self.blank[first:end].mean() >= _MOST:
            return "black"
        within = self.unchanged[first + _LAG : end]
        return "still" if len(within) and within.mean() >= _MOST else "moving"


class Pictures:
    """Looks at all frames of a video, and keeps two numbers of each."""

    def __init__(self) -> None:
        self._spreads: list[NDArray[np.float32]] = []
        self._changes: list[NDArray[np.float32]] = []
        self._recent = np.zeros((0, HEIGHT // _FIELD, WIDTH // _FIELD, 3), np.float32)  # fields of the last ``_LAG`` frames

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Look at the next frames: uint8 [n, HEIGHT, WIDTH, 3], RGB."""
        levels = frames.astype(np.float32)
        self._spreads.append(np.sqrt(levels.var(axis=(1, 2)).mean(-1)))
        fields = levels.reshape(-1, HEIGHT // _FIELD, _FIELD, WIDTH // _FIELD, _FIELD, 3).mean((2, 4))
        known = np.concatenate([self._recent, fields])
        changes = np.abs(known[_LAG:] - known[:-_LAG]).max((1, 2, 3)) if len(known) > _LAG else np.zeros(0, np.float32)
        # The first frames of a video have none to be compared with.
        self._changes.append(np.concatenate([np.full(len(fields) - len(changes), np.inf, np.float32), changes]))
        self._recent = known[-_LAG:]

    def shown(self) -> Shown:
        """What the frames that were added show."""
        none = np.zeros(0, np.float32)
        spreads, changes = np.concatenate([none, *self._spreads]), np.concatenate([none, *self._changes])
        return Shown(spreads < _BLANK_SPREAD, changes < _STILL_CHANGE)
