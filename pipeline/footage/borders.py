"""Borders of one brightness around a picture, such as the bars of another screen's shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A line of a border has no two pixels that differ by more levels, but for the few that stand out most (2 %).
_LEVELS = 12
_OUTLIERS = 2

# The most of a picture's height or width that each of two borders takes.
_MOST = 0.35

# A dark scene looks as if it had borders. What is a border stays one for so many pictures before and after.
_AROUND = 12


def inner_boxes(grey: NDArray[np.uint8]) -> NDArray[np.int64]:
    """What is within the borders of consecutive pictures.

    Args:
        grey: uint8 [n, height, width].

    Returns:
        int64 [n, 4]: the first row within, the first below, the first column within, the first to the right.
    """
    num, height, width = grey.shape
    top, bottom = _margins(grey, axis=2)
    left, right = _margins(grey, axis=1)
    boxes = np.empty((num, 4), np.int64)
    for number in range(num):
        near = slice(max(0, number - _AROUND), number + _AROUND + 1)
        boxes[number] = (top[near].min(), height - bottom[near].min(), left[near].min(), width - right[near].min())
    return boxes


def _margins(grey: NDArray[np.uint8], axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each picture, int64 [n] each, the lines of one brightness at its beginning and at its end.

    A picture that is all of one brightness says nothing: its margins are the widest that are allowed.
    """
    low, high = np.percentile(grey, [_OUTLIERS, 100 - _OUTLIERS], axis=axis)
    uniform = high - low <= _LEVELS
    most = int(uniform.shape[1] * _MOST)
    first = _run(uniform)
    last = _run(uniform[:, ::-1])
    return np.minimum(first, most), np.minimum(last, most)


def _run(uniform: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many lines at the beginning of each picture are uniform."""
    return np.asarray(np.where(uniform.all(axis=1), uniform.shape[1], np.argmin(uniform, axis=1)), np.int64)
