"""Overlap of clips with a moment, and the one rule by which a clip shows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schemas.records import Span

SHOWN_SHARE = 0.5
"""A clip shows a moment if they have at least this share of the shorter of the two in common."""


def shared_s(moment: Span, start_s: ArrayLike, end_s: ArrayLike) -> NDArray[np.float64]:
    """Seconds that each clip has in common with a moment; 0 where there are none.

    Args:
        moment: an interval.
        start_s: float64 [n], where clips of the same video begin, or one number.
        end_s: float64 [n], where they end.
    """
    common_s = np.minimum(end_s, moment.end_s) - np.maximum(start_s, moment.start_s)
    return np.asarray(np.maximum(common_s, 0.0), np.float64)


def shared_shares(moment: Span, start_s: ArrayLike, end_s: ArrayLike) -> NDArray[np.float64]:
    """`shared_s` as shares of the shorter of moment and clip, from 0 to 1. Of [0, 8) and a clip [6, 10): 0.5."""
    shorter_s = np.minimum(np.subtract(end_s, start_s), moment.end_s - moment.start_s)
    return np.asarray(shared_s(moment, start_s, end_s) / shorter_s, np.float64)


def shows(moment: Span, start_s: ArrayLike, end_s: ArrayLike) -> NDArray[np.bool_]:
    """Which clips show a moment: bool [n]; arguments as for `shared_s`."""
    return np.asarray(shared_shares(moment, start_s, end_s) >= SHOWN_SHARE, np.bool_)
