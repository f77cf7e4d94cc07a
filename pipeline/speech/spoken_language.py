"""Which language a video is in, from what a speech model says of each window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A window that shows its language as surely as this is in it; others are in what most so far were.
_SURE = 0.9


class SpokenLanguage:
    """Adds up the windows of one video."""

    def __init__(self, names: Sequence[str]) -> None:
        """Begin a video.

        Args:
            names: the languages that the model tells apart.
        """
        self._names = names
        self._evidence: NDArray[np.float64] = np.zeros(len(names))

    def choose(self, probabilities: ArrayLike) -> str:
        """The language of the next window.

        Args:
            probabilities: one a language, as the model gives them for this window; [languages].
        """
        here = np.asarray(probabilities, np.float64)
        self._evidence += here
        chosen = here if here.max() >= _SURE else self._evidence
        return self._names[int(chosen.argmax())]
