"""Settings of a search that reach a wanted recall at the least cost, by measuring against exact search.

Two kinds of queries are measured, and the worse counts. Texts lie off the clips' cloud, and need several times as many
lists as clips do. Clips stand for `--like` with a clip of a film that the library lacks: they are clips of the segment, for
which the rows around them, so their film, are as if they were not there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.snapshot.compressed_vectors import CompressedVectors, Point, cost_ns
from index.snapshot.flat_vectors import FlatVectors, faiss

TARGETS = 0.95, 0.99
"""Recalls of the ten best that settings are chosen for."""

# Rows before and after a clip that count as its film.
_FILM = 100

# How many of the best are compared.
_AT = 100

# The most candidates that are scored, and the shares of the lists that are searched to choose from. Between the best share
# and the next smaller one, as many more are tried, since a share twice as large costs twice as much.
_MOST_CANDIDATES, _FEWEST_CANDIDATES = 32_768, 250
_SHARES = [0.5**step for step in range(8)]
_BETWEEN = 3

# What a measured recall must lie above a target, since few queries measure it.
_MARGIN = 0.005


class Truth:
    """Queries, and which rows of a segment are the best for them, found as the vectors pass by."""

    def __init__(self, texts: NDArray[np.float32], clips: NDArray[np.float32], clip_rows: NDArray[np.int64]) -> None:
        """Texts float32 [n, dim]; clips float32 [m, dim], which are the segment's in ``clip_rows``, int64 [m]."""
        self.texts, self.clips, self.clip_rows = texts, clips, clip_rows
        self._queries = np.ascontiguousarray(np.concatenate([texts, clips]), np.float32)
        self._scores = np.empty((len(self._queries), 0), np.float32)
        self._rows = np.empty((len(self._queries), 0), np.int64)

    def add(self, begin: int, vectors: NDArray[np.float32]) -> None:
        """Take in the vectors of the rows from ``begin`` on."""
        kept = _AT + 2 * _FILM + 1
        scores, rows = faiss.knn(self._queries, vectors, min(kept, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
        scores, rows = np.hstack([self._scores, scores]), np.hstack([self._rows, rows + begin])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :kept]
        self._scores, self._rows = (np.take_along_axis(values, best, axis=1) for values in (scores, rows))

    def best_for_texts(self) -> NDArray[np.int64]:
        """int64 [texts, 100 or fewer], the best rows for each, best first."""
        return self._rows[: len(self.texts), :_AT]

    def best_for_clips(self) -> NDArray[np.int64]:
        """int64 [clips, 100 or fewer], likewise, without the clip's film."""
        of_clips = self._rows[len(self.texts) :]
        others = [best[abs(best - row) > _FILM] for best, row in zip(of_clips, self.clip_rows, strict=True)]
        common = min([_AT, *map(len, others)])
        return np.array([best[:common] for best in others], np.int64).reshape(len(others), common)

    def passing(self, clip: int, rows: int) -> NDArray[np.uint8]:
        """The bits of all rows but the film of clip number ``clip``."""
        passes = np.ones(rows, np.bool_)
        row = int(self.clip_rows[clip])
        passes[max(row - _FILM, 0) : row + _FILM + 1] = False
        return np.packbits(passes, bitorder="little")


def tuning_truth(vectors: FlatVectors, texts: NDArray[np.float32], num_clips: int, seed: int) -> Truth:
    """The texts and a draw of clips, without what is best for them yet."""
    rows = np.sort(np.random.default_rng(seed).choice(len(vectors), min(num_clips, len(vectors)), replace=False))
    return Truth(texts, vectors.vectors_at(rows), rows)


def made_up_texts(sample: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """float32 [count, dim], unit length: queries as texts would put them, made from clips when there are no real ones.

    That they behave like texts is an assumption, from what is known of CLIP: a text's vector lies far off the clips' cloud,
    around a mean at a right angle to theirs; what it varies in is to one half what a clip shows, blurred, and to the other
    half along directions in which clips hardly vary. Queries by the library's own text model measure better.
    """
    rng = np.random.default_rng(seed)
    dim = sample.shape[1]
    mean = sample.mean(axis=0)
    variance, directions = np.linalg.eigh(np.cov((sample[:20_000] - mean).T))  # ascending, directions in columns
    sd = np.sqrt(np.maximum(variance, 0))
    meant = _unit(sample[rng.choice(len(sample), count)] - mean)
    words = _unit((rng.standard_normal((count, dim)) * sd) @ directions.T)
    aside = rng.standard_normal((count, dim))
    aside[:, dim // 2 :] *= 0.15
    clips_mean = _unit(mean[None])
    own_mean = rng.standard_normal((1, dim))
    own_mean = _unit(own_mean - clips_mean * (own_mean @ clips_mean.T))
    varying = 0.36 * _unit(0.75 * meant + 0.66 * words) + 0.45 * _unit(aside @ directions.T)
    return np.asarray(_unit(varying + 0.78 * own_mean + 0.2 * clips_mean), np.float32)


def choose_points(vectors: CompressedVectors, truth: Truth) -> list[Point]:
    """The cheapest setting for each of `TARGETS` that measures as high, where there is one."""
    measured = {probes: _places_of_best(vectors, truth, probes) for probes in _numbers_of_lists(vectors, _SHARES)}
    points = []
    for target in TARGETS:
        wanted = min(target + _MARGIN, 1)
        coarse = min(_settings(vectors, measured, wanted), default=None)
        if coarse is not None:
            share = coarse.probes / vectors.lists
            between = [share * 0.5 ** (step / (_BETWEEN + 1)) for step in range(1, _BETWEEN + 1)]
            for probes in _numbers_of_lists(vectors, between):
                measured.setdefault(probes, _places_of_best(vectors, truth, probes))
        for setting in sorted(_settings(vectors, measured, wanted)):
            point = _measured(vectors, truth, target, setting)
            if min(point.texts_at_10, point.clips_at_10) >= target:
                points.append(point)
                break
    return points


class _Setting(NamedTuple):
    """A setting, and what it costs."""

    cost_ns: float
    probes: int
    candidates: int


def _numbers_of_lists(vectors: CompressedVectors, shares: Sequence[float]) -> list[int]:
    """The shares as numbers of lists, ascending, each once."""
    return sorted({max(1, round(share * vectors.lists)) for share in shares})


def _settings(
    vectors: CompressedVectors, measured: Mapping[int, Sequence[NDArray[np.int64]]], wanted: float
) -> list[_Setting]:
    """For each measured number of lists, the fewest candidates among which are a ``wanted`` share of the best."""
    settings = []
    for probes, places in measured.items():
        needed = max((_fewest(of_kind, wanted) for of_kind in places), default=0)
        if needed <= min(_MOST_CANDIDATES, len(vectors)):
            candidates = max(needed, min(_FEWEST_CANDIDATES, len(vectors)))
            settings.append(_Setting(cost_ns(len(vectors), probes / vectors.lists, candidates), probes, candidates))
    return settings


def _fewest(places: NDArray[np.int64], wanted: float) -> int:
    """How many candidates, the best first, hold a ``wanted`` share of the best, which are at ``places`` among them."""
    if not places.size:
        return 0
    return int(np.sort(places, axis=None)[max(math.ceil(wanted * places.size) - 1, 0)]) + 1


def _places_of_best(vectors: CompressedVectors, truth: Truth, probes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """int64 [queries, 10], for texts and for clips: at which place among the candidates each of the ten best is."""
    most = min(_MOST_CANDIDATES, len(vectors))
    return (
        _places(vectors.candidates_by_codes(truth.texts, most, probes), truth.best_for_texts()[:, :10]),
        _places(_of_each_clip(vectors, truth, most, probes), truth.best_for_clips()[:, :10]),
    )


def _of_each_clip(vectors: CompressedVectors, truth: Truth, count: int, probes: int) -> NDArray[np.int64]:
    """int64 [clips, count], the best rows by their codes outside each clip's film."""
    found = [
        vectors.candidates_by_codes(truth.clips[clip : clip + 1], count, probes, truth.passing(clip, len(vectors)))
        for clip in range(len(truth.clips))
    ]
    return np.concatenate(found) if found else np.empty((0, count), np.int64)


def _places(found: NDArray[np.int64], best: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 like ``best``, ascending: at which places of what was found the best are; after all of it those that are not."""
    places = np.full(best.shape, np.iinfo(np.int64).max - 1)
    for of_query, rows, wanted in zip(places, found, best, strict=True):
        at = np.flatnonzero(np.isin(rows, wanted))
        of_query[: len(at)] = at
    return places


def _measured(vectors: CompressedVectors, truth: Truth, target: float, setting: _Setting) -> Point:
    """The setting with the recall of whole searches by it."""
    measured = []
    for at in (10, _AT):
        texts, _ = vectors.search_with(truth.texts, at, setting.probes, setting.candidates)
        clips = [
            vectors.search_with(
                truth.clips[clip : clip + 1], at, setting.probes, setting.candidates, truth.passing(clip, len(vectors))
            )[0]
            for clip in range(len(truth.clips))
        ]
        measured += [_recall(texts, truth.best_for_texts()[:, :at]), _recall(clips, truth.best_for_clips()[:, :at])]
    return Point(target, setting.probes, setting.candidates, *measured)


def _recall(found: NDArray[np.int64] | list[NDArray[np.int64]], best: NDArray[np.int64]) -> float:
    """The share of the best that was found."""
    shares = [np.isin(wanted, of_query).mean() for of_query, wanted in zip(found, best, strict=True)]
    return round(float(np.mean(shares)), 4) if shares else 1.0


def _unit(vectors: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float64]:
    """The vectors at length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float64)
