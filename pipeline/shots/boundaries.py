"""What a shot detector finds, and the protocol that detectors follow."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Boundary(NamedTuple):
    """The end of one shot and the beginning of the next.

    Attributes:
        frame: number of the first frame of the new shot; of a gradual transition, the one in its middle.
        length: how many frames are of both shots, or of neither; 0 for a cut.
        confidence: from 0 to 1.
    """

    frame: int
    length: int
    confidence: float


class Detector(Protocol):
    """Finds the boundaries of one video. It is shown each frame once, and keeps a few numbers of each."""

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Look at the next frames: uint8 [n, HEIGHT, WIDTH, 3], RGB, of `pipeline.shots.frames`."""

    def boundaries(self) -> list[Boundary]:
        """The boundaries of all frames that were added, ascending. To be called once, after the last of them."""


def runs(marks: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open intervals of indices in which ``marks`` bool [n] holds: [0, 1, 1, 0, 1] gives [(1, 3), (4, 5)]."""
    edges = np.flatnonzero(np.diff(marks.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]
