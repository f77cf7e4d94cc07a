"""Several scores of every window as one.

All of several texts: the smallest of their cosines, so that a window is as good an answer as its worst match. On
rendered films (see `index.search.confidence`), pairs of captions put a right window first in 0.56, 0.32 and 0.56 of the
cases (action and shirt, shirt and place, action and place); the mean of the cosines in 0.48, 0.21 and 0.59; the mean of
standardised scores in 0.28, 0.21 and 0.14, since a text's background depends on what else the library holds.

What answers must not resemble: each such text takes off by how much its cosine exceeds its median over the library. There,
of the ten first windows for an action 0.19 showed the shirt that was not wanted, and none with ``--not``.

Examples compare clips with clips, whose cosines are higher than those of texts with clips. Beside a text, an example's
scores are moved and stretched so that their background is that of the first text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.search.confidence import Background


def align(scores: NDArray[np.floating], own: Background, other: Background) -> NDArray[np.float64]:
    """``scores``, whose background is ``own``, as they would be on the scale of ``other``."""
    return np.asarray(other.centre + (np.asarray(scores, np.float64) - own.centre) * (other.spread / own.spread))


def combine(wanted: NDArray[np.float64], unwanted: NDArray[np.float64], centres: Sequence[float]) -> NDArray[np.float64]:
    """One score per window.

    Args:
        wanted: float64 [things, n], of what a window is to show, at least one thing.
        unwanted: float64 [things, n], of what it is not to show.
        centres: for each of ``unwanted``, its median over the library.

    Two wanted things at 0.5 and 0.4 and an unwanted one 0.1 above its median give 0.3.
    """
    total = np.min(wanted, axis=0)
    for scores, centre in zip(unwanted, centres, strict=True):
        total = total - np.maximum(scores - centre, 0.0)
    return np.asarray(total, np.float64)
