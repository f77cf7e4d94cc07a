"""Ranges of rows as rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def ranges(begin: Rows, end: Rows) -> Rows:
    """int64: the numbers from each of ``begin`` up to its ``end``, one range behind the other."""
    lengths = end - begin
    if not lengths.sum():
        return np.empty(0, np.int64)
    steps = np.repeat(begin - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return steps + np.arange(lengths.sum())
