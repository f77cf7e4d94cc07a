"""Which seconds of two videos show the same footage, by their pictures, near rough lines that their clips suggest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.search.time_lines import Line, find_lines
from jobs.duplicates.blocks import BLOCK, LEAST_ALIKE, SPEEDS, Block, blocks_along, place_blocks
from pipeline.footage.matching import Seen, seen
from pipeline.footage.pictures import CROPS, RATE, Footage
from schemas.duplicates import SharedSpan
from schemas.records import Span

# A block's place counts from this agreement on; a line needs as much as two such blocks, or one that agrees well.
_LEAST_BLOCK = 0.4
_LEAST_LINE = 0.6

# The least mean agreement along a whole line, and how many of its pictures have to move. In six seconds of motion, other
# footage of the same room can agree by chance, so a shorter line has to agree better.
_LEAST_CONFIDENCE, _LEAST_CONFIDENCE_SHORT = 0.4, 0.6
_SHORT = 6 * RATE
_LEAST_MOVING = 10

# The least agreement of what moves within a second and a half; where nothing moves, how alike pictures have to be.
_LEAST_NEARBY = 0.3
_CLEARLY_ALIKE = 0.8

# How far a block may be from its line, and how long a line may show nothing.
_TOLERANCE_S = 0.3
_MAX_GAP_S = 15.0


class _Way(NamedTuple):
    """How two videos may be cropped against each other, as places in `CROPS`, and mirrored."""

    crop: int
    other_crop: int
    mirrored: bool = False


_WAYS = (
    _Way(0, 0),
    _Way(0, 0, mirrored=True),
    *(_Way(0, crop) for crop in range(1, len(CROPS))),
    *(_Way(crop, 0) for crop in range(1, len(CROPS))),
)
# Blocks that the way is chosen by.
_TRIED = 8


def shared_spans(one: Footage, other: Footage, lines: Sequence[Line], *, margin_s: float, band_s: float) -> list[SharedSpan]:
    """The footage that two videos share, in the order of time.

    Args:
        one: pictures of the one.
        other: of the other.
        lines: rough ones, from the times of the one to those of the other.
        margin_s: how far beyond a line's ends footage is looked for.
        band_s: how far from a line.
    """
    blocks = blocks_along(lines, len(one.known), len(other.known), margin_s, band_s)
    views = _Views(one), _Views(other)
    way = _way(blocks, views)
    if way is None:
        return []
    here, there = _seen_in(way, views)
    points = place_blocks(blocks, here, there)
    points = points.at(points.weight >= _LEAST_BLOCK)
    found = []
    free, other_free = np.ones(len(one.known), np.bool_), np.ones(len(other.known), np.bool_)
    for line in find_lines(points, _TOLERANCE_S, _MAX_GAP_S, _LEAST_LINE):
        shared = _confirmed(line, here, there, free, other_free)
        if shared is not None:
            found.append(shared._replace(mirrored=way.mirrored))
    return sorted(found)


class _Views:
    """A video's pictures in its crops; the last two that were needed are kept."""

    def __init__(self, footage: Footage) -> None:
        self._footage = footage
        self._kept: dict[tuple[int, bool], Seen] = {}

    def crop(self, number: int, *, mirrored: bool = False) -> Seen:
        """The pictures of a crop."""
        key = number, mirrored
        if key not in self._kept:
            while len(self._kept) > 1:
                del self._kept[next(iter(self._kept))]
            made = seen(self._footage.pictures[:, number], self._footage.known)
            self._kept[key] = made.mirrored() if mirrored else made
        return self._kept[key]


def _way(blocks: Sequence[Block], views: tuple[_Views, _Views]) -> _Way | None:
    """The way in which some of the blocks agree best; None where none agrees."""
    num_moving = np.convolve(views[0].crop(0).moving, np.ones(BLOCK), "full")[BLOCK - 1 :]
    liveliest = sorted(blocks, key=lambda block: -num_moving[block.first])
    tried = liveliest[:: max(1, len(liveliest) // (2 * _TRIED))][:_TRIED]
    best, best_weight = None, 0.0
    for way in _WAYS:
        points = place_blocks(tried, *_seen_in(way, views), SPEEDS[::2])
        weight = float(points.weight[points.weight >= _LEAST_BLOCK].sum())
        if weight > best_weight:
            best, best_weight = way, weight
    return best


def _seen_in(way: _Way, views: tuple[_Views, _Views]) -> tuple[Seen, Seen]:
    return views[0].crop(way.crop), views[1].crop(way.other_crop, mirrored=way.mirrored)


def _confirmed(
    line: Line, here: Seen, there: Seen, free: NDArray[np.bool_], other_free: NDArray[np.bool_]
) -> SharedSpan | None:
    """The span along a line, as far as its pictures are alike; what it takes is not free any more. None for too little."""
    times = (np.arange(len(here.looks)) + 0.5) / RATE
    places = np.floor((line.offset_s + line.speed * times) * RATE).astype(np.int64)
    inside = (places >= 0) & (places < len(there.looks)) & free
    places = places.clip(0, len(there.looks) - 1)
    inside &= other_free[places]
    looks = np.einsum("ij,ij->i", here.looks, there.looks[places])
    both_flat = ~here.looks.any(axis=1) & ~there.looks[places].any(axis=1)
    alike = inside & ((looks >= LEAST_ALIKE) | both_flat)
    moving = here.moving | there.moving[places]
    changes = np.where(moving, np.einsum("ij,ij->i", here.changes, there.changes[places]), 0)
    same = inside & _steady(alike) & _supported(changes, moving, both_flat | (looks >= _CLEARLY_ALIKE))
    first, end = _around(same, int(line.start_s * RATE), int(line.end_s * RATE) + 1)
    num_moving = int(moving[first:end].sum())
    if num_moving < _LEAST_MOVING:
        return None
    confidence = float(changes[first:end].sum()) / num_moving
    if confidence < (_LEAST_CONFIDENCE_SHORT if num_moving < _SHORT else _LEAST_CONFIDENCE):
        return None
    free[first:end] = False
    other_free[places[first] : places[end - 1] + 1] = False
    span = Span(first / RATE, end / RATE)
    low, high = (line.at(time_s) for time_s in span)
    other = Span(max(0.0, low), min(high, len(there.looks) / RATE))
    return SharedSpan(span, other, line.speed, False, min(confidence, 1.0))


def _supported(
    changes: NDArray[np.float32], moving: NDArray[np.bool_], clearly_alike: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Where what moves within a second and a half agrees; or where too little moves, and pictures are clearly alike."""
    near = np.ones(3 * RATE + 1)
    num_moving = np.convolve(moving, near, "same")
    agreeing = np.convolve(changes, near, "same") >= _LEAST_NEARBY * np.maximum(num_moving, 1)
    return np.where(num_moving >= _LEAST_MOVING / 2, agreeing, clearly_alike)


def _steady(alike: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where most pictures within half a second are alike."""
    near = np.convolve(alike, np.ones(RATE + 1), "same")
    there = np.convolve(np.ones(len(alike)), np.ones(RATE + 1), "same")
    return np.asarray(near > there / 2)


def _around(alike: NDArray[np.bool_], start: int, end: int) -> tuple[int, int]:
    """The longest run without a gap of two seconds that touches [start, end)."""
    gap = 2 * RATE
    edges = np.flatnonzero(np.diff(np.concatenate([[0], alike, [0]])))
    runs: list[tuple[int, int]] = []
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and first - runs[-1][1] <= gap:
            runs[-1] = runs[-1][0], last
        else:
            runs.append((first, last))
    touching = [run for run in runs if run[0] < end and run[1] > start]
    return max(touching, key=lambda run: run[1] - run[0], default=(0, 0))
