"""Where blocks of a few seconds of one video are in another, by what changes in their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.search.time_lines import Line, Points
from pipeline.footage.matching import Seen, agreement
from pipeline.footage.pictures import RATE
from schemas.duplicates import FASTEST, SLOWEST

BLOCK = 4 * RATE
HOP = 2 * RATE
"""Pictures of a block, and from one block to the next."""

LEAST_ALIKE = 0.5
"""The least correlation of two pictures that may be the same."""

# A block counts where something changes in this share of its pictures.
_LEAST_MOVING = 0.25

# Places of a block that are kept: the best, and others that are nearly as good, since what moves may repeat itself.
_PLACES = 3
_NEARLY = 0.85

SPEEDS = np.exp(np.linspace(np.log(SLOWEST), np.log(FASTEST), 25))
"""Speeds that a block is tried at: 6 % apart, which is a tenth of a second at a block's ends. The middle one is 1."""


@dataclass(frozen=True, slots=True)
class Block:
    """Pictures of the one video from ``first`` on, to be looked for in pictures [low, high) of the other."""

    first: int
    low: int
    high: int


def blocks_along(lines: Sequence[Line], count: int, other_count: int, margin_s: float, band_s: float) -> list[Block]:
    """The blocks of one video near rough lines, and where they may be in the other.

    Args:
        lines: rough ones.
        count: pictures of the one video.
        other_count: of the other.
        margin_s: how far beyond a line's ends blocks are tried.
        band_s: how far from a line a block's middle may be.
    """
    blocks: dict[tuple[int, int], Block] = {}
    for line in lines:
        begin = max(0, int((line.start_s - margin_s) * RATE)) // HOP * HOP
        end = min(count, int((line.end_s + margin_s) * RATE))
        for first in range(begin, max(begin + 1, end - BLOCK // 2), HOP):
            middle = line.at((first + min(BLOCK, count - first) / 2) / RATE) * RATE
            low, high = max(0, int(middle - band_s * RATE)), min(other_count, int(middle + band_s * RATE) + 1)
            if high > low:
                key = (first, round(middle / (band_s * RATE)))
                blocks.setdefault(key, Block(first, low, high))
    return list(blocks.values())


def place_blocks(blocks: Sequence[Block], one: Seen, other: Seen, speeds: NDArray[np.float64] = SPEEDS) -> Points:
    """The best places of blocks, as points whose weight is how well they agree, from 0 to 1; ``speeds`` are tried."""
    found: list[tuple[float, float, float, float]] = []
    for block in blocks:
        found += _places(block, one, other, speeds)
    columns = np.array(found, np.float64).reshape(-1, 4).T
    return Points(*columns)


def _places(block: Block, one: Seen, other: Seen, speeds: NDArray[np.float64]) -> list[tuple[float, float, float, float]]:
    here = slice(block.first, block.first + BLOCK)
    moving = np.flatnonzero(one.moving[here])
    num = len(one.looks[here])
    if len(moving) < _LEAST_MOVING * num:
        return []
    reach = int(np.ceil(BLOCK * FASTEST / 2)) + 1
    low, high = max(0, block.low - reach), min(len(other.looks), block.high + reach)
    part = Seen(one.looks[here][moving], one.changes[here][moving])
    agreeing = agreement(part, Seen(other.looks[low:high], other.changes[low:high]), LEAST_ALIKE)
    padded = np.pad(agreeing, ((0, 0), (reach, reach)))
    middle = (num - 1) / 2
    centres = np.arange(block.low, block.high)
    scores = np.empty((len(speeds), len(centres)), np.float32)
    for number, speed in enumerate(speeds):
        steps = np.round(speed * (moving - middle)).astype(np.int64)
        scores[number] = padded[np.arange(len(moving))[:, None], steps[:, None] + centres - low + reach].mean(axis=0)
    return [
        (
            (block.first + middle + 0.5) / RATE,
            (centres[centre] + 0.5) / RATE,
            float(speeds[speed]),
            float(scores[speed, centre]),
        )
        for speed, centre in _peaks(scores)
    ]


def _peaks(scores: NDArray[np.float32]) -> list[tuple[int, int]]:
    """The best places, speed and centre, a second apart."""
    best_of = scores.max(axis=0)
    peaks: list[tuple[int, int]] = []
    for centre in np.argsort(-best_of, kind="stable")[: 12 * _PLACES].tolist():
        if peaks and best_of[centre] < _NEARLY * best_of[peaks[0][1]]:
            break
        if all(abs(centre - other) >= RATE for _, other in peaks):
            peaks.append((int(scores[:, centre].argmax()), centre))
        if len(peaks) == _PLACES:
            break
    return peaks
