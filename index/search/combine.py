"""Combines several scores of every clip into one.

Several texts: the smallest of a clip's cosines counts, so that a clip is as good an answer as its worst match. On rendered
films (see `index.search.confidence`), pairs of captions put a right clip first in 0.56, 0.32 and 0.56 of the cases (action
and shirt, shirt and place, action and place); the mean of the cosines in 0.48, 0.21 and 0.59; the mean of standardised
scores in 0.28, 0.21 and 0.14, since a text's background depends on what else the library holds.

Texts that answers must not resemble (``--not``): each takes off by how much its cosine exceeds its median over the library.
On these films, of the ten first clips for an action 0.19 showed the shirt that was not wanted, and none did with ``--not``.

Examples compare clips with clips, whose cosines are higher than those of texts with clips. Beside a text, an example's
scores are moved and stretched so that their background is that of the first text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.search.confidence import Background


def align(scores: NDArray[np.floating], background: Background, target: Background) -> NDArray[np.float64]:
    """``scores``, moved and stretched so that their ``background`` becomes ``target``."""
    return np.asarray(
        target.centre + (np.asarray(scores, np.float64) - background.centre) * (target.spread / background.spread)
    )


def combine(wanted: NDArray[np.float64], unwanted: NDArray[np.float64], medians: Sequence[float]) -> NDArray[np.float64]:
    """One score per clip, float64 [n].

    Args:
        wanted: float64 [things, n], cosines with the things a clip has to show, at least one.
        unwanted: float64 [things, n], cosines with those that it must not show.
        medians: for each of ``unwanted``, its median over the library.

    Two wanted things at 0.5 and 0.4 and an unwanted one 0.1 above its median give 0.3.
    """
    total = np.min(wanted, axis=0)
    for cosines, median in zip(unwanted, medians, strict=True):
        total = total - np.maximum(cosines - median, 0.0)
    return np.asarray(total, np.float64)
