"""The sample of a library's clips that backgrounds and confidence are measured on.

A library of up to `SAMPLE_CLIPS` clips is its own sample. Of a larger one, as many clips are drawn with the seed
`SAMPLE_SEED`, so the same library gives the same confidences every time, and no search needs the scores of all clips for
them. A median over the sample is off by about 0.01 of the scores' standard deviation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_CLIPS = 16_384
"""Clips of the sample: 18 hours of video in clips of 4 s side by side."""

SAMPLE_SEED = 0


def sample_positions(clips: int, size: int = SAMPLE_CLIPS) -> NDArray[np.int64]:
    """int64 [min(clips, size)], ascending: positions of the sample in the timeline of a library with so many ``clips``."""
    if clips <= size:
        return np.arange(clips)
    return np.sort(np.random.default_rng(SAMPLE_SEED).choice(clips, size, replace=False))
