"""The sample of a library's clips that backgrounds and confidence are measured on.

A library of up to `SAMPLE_CLIPS` clips is its own sample. Of a larger one, it is the clips whose ids have the lowest hashes:
so the same library gives the same confidences every time, whatever its segments are, and no search needs the scores of all
clips for them. A median over the sample is off by about 0.01 of the scores' standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SAMPLE_CLIPS = 16_384
"""Clips of the sample: 18 hours of video in clips of 4 s side by side."""


def hashes_of(clip_ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """uint64 [n]: SplitMix64 (Steele, Lea and Flood 2014) of clip ids, which spreads also ids that count up."""
    hashes = clip_ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(hashes ^ (hashes >> np.uint64(31)), np.uint64)


def sample_of(clip_ids: NDArray[np.int64], size: int = SAMPLE_CLIPS) -> NDArray[np.int64]:
    """int64 [min(n, size)], ascending: positions of the clips whose ids have the lowest hashes."""
    if len(clip_ids) <= size:
        return np.arange(len(clip_ids))
    return np.sort(np.argpartition(hashes_of(clip_ids), size - 1)[:size])


def join_samples(
    samples: Sequence[NDArray[np.int64]], live: Sequence[NDArray[np.bool_]], whole: Sequence[bool], size: int = SAMPLE_CLIPS
) -> list[NDArray[np.int64]]:
    """The sample of several segments together, from the sample of each.

    Args:
        samples: clip ids of each segment's sample.
        live: for each of them, whether the clip is still shown.
        whole: whether a segment's sample is all of it.
        size: the most clips of the sample.

    Returns:
        For each segment, positions in its sample. Fewer clips than ``size`` where many have died: those above the lowest
        hash that some segment's sample leaves out would favour the other segments.
    """
    hashes = [hashes_of(ids) for ids in samples]
    limits = [of.max() for of, is_whole in zip(hashes, whole, strict=True) if not is_whole and len(of)]
    limit = min(limits, default=np.uint64(2**64 - 1))
    kept = [shown & (of <= limit) for of, shown in zip(hashes, live, strict=True)]
    lowest = np.sort(np.concatenate([of[k] for of, k in zip(hashes, kept, strict=True)] or [np.empty(0, np.uint64)]))
    if len(lowest) > size:
        kept = [k & (of <= lowest[size - 1]) for of, k in zip(hashes, kept, strict=True)]
    return [np.flatnonzero(k) for k in kept]
