"""Settings of a search that reach a wanted recall at the least cost, by measuring against exact search.

Two kinds of queries are measured, and the worse counts. Texts lie off the clips' cloud, and need several times as many
lists as clips do. Clips stand for `--like` with a clip of a film that the library lacks: they are clips of the segment, for
which the rows around them, so their film, are as if they were not there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.snapshot.compressed_vectors import MEASURED, CompressedVectors, Point, cost_ns
from index.snapshot.flat_vectors import FlatVectors, faiss

TARGETS = 0.95, 0.99
"""Recalls of the ten best that settings are chosen for."""

# Rows before and after a clip that count as its film.
_FILM = 100

# How many of the best are compared.
_AT = 100

# Candidates to choose from, and lists, each a tenth more than those before.
_STEP = 1.1
_LEAST_CANDIDATES, _MOST_CANDIDATES = 300, 32_768

# Standard errors that a measured recall must lie above a target: it is below by chance in one of ten cases then.
_STANDARD_ERRORS = 1.28


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
    settings = _settings(vectors, truth)
    points = []
    for target in TARGETS:
        needed = target
        for setting in settings:
            if setting.recall < needed:
                continue
            point, recall = _measured(vectors, truth, target, setting)
            if recall >= target:
                points.append(point)
                break
            needed = setting.recall + target - recall
    return points


class _Setting(NamedTuple):
    """A setting, what it costs, and the recall of its candidates, less its `_STANDARD_ERRORS`."""

    cost_ns: float
    probes: int
    candidates: int
    recall: float


def _settings(vectors: CompressedVectors, truth: Truth) -> list[_Setting]:
    """All settings to choose from, the cheapest first, with the share of the ten best that are among the candidates.

    One search of all lists for each query tells this of any number of lists: a row of the n-th list is missed by a search of
    fewer than n, and its place among the candidates is behind those before it that such a search finds too.
    """
    probes, candidates = _ladder(1, vectors.lists), _ladder(_LEAST_CANDIDATES, min(_MOST_CANDIDATES, len(vectors)))
    lists_of_rows = vectors.lists_of_rows()
    most = int(candidates[-1])
    recalls = np.ones((len(probes), len(candidates)))
    for queries, found, best in (
        (truth.texts, vectors.candidates_by_codes(truth.texts, most, vectors.lists), truth.best_for_texts()),
        (truth.clips, _of_each_clip(vectors, truth, most), truth.best_for_clips()),
    ):
        if best.size:
            nearness = np.argsort(vectors.lists_by_nearness(queries), axis=1)
            lists = np.take_along_axis(nearness, lists_of_rows[found], axis=1)
            places = np.array([_places(*of_query, probes) for of_query in zip(found, lists, best[:, :10], strict=True)])
            among = np.stack([(places < count).mean(axis=1) for count in candidates], axis=-1)
            recalls = np.minimum(recalls, _surely(among))
    return sorted(
        _Setting(cost_ns(len(vectors), lists / vectors.lists, count), lists, count, float(recall))
        for lists, of_lists in zip(probes.tolist(), recalls, strict=True)
        for count, recall in zip(candidates.tolist(), of_lists, strict=True)
    )


def _ladder(least: int, most: int) -> NDArray[np.int64]:
    """int64, ascending: whole numbers from ``least`` to ``most``, each `_STEP` times the one before it or one more."""
    if least >= most:
        return np.array([most])
    steps = math.ceil(math.log(most / least, _STEP))
    return np.unique(np.geomspace(least, most, steps + 1).round().astype(np.int64))


def _of_each_clip(vectors: CompressedVectors, truth: Truth, count: int) -> NDArray[np.int64]:
    """int64 [clips, count], the best rows of all by their codes outside each clip's film; -1 pads."""
    found = [
        vectors.candidates_by_codes(truth.clips[clip : clip + 1], count, vectors.lists, truth.passing(clip, len(vectors)))
        for clip in range(len(truth.clips))
    ]
    return np.concatenate(found) if found else np.empty((0, count), np.int64)


def _places(
    found: NDArray[np.int64], lists: NDArray[np.int64], best: NDArray[np.int64], probes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """int64 [best, probes]: at which place searches of so many lists find the best rows; after all where they do not.

    Args:
        found: int64 [n], what a search of all lists found for the query, best first.
        lists: int64 [n], how many lists are nearer to the query than the one that holds it.
        best: int64 [best], rows.
        probes: int64 [probes], ascending, numbers of lists; the last is that of all.
    """
    first = np.searchsorted(probes, lists, side="right")  # the first number of lists with which a row is found
    places = np.full((len(best), len(probes)), np.iinfo(np.int64).max)
    for at in np.flatnonzero(np.isin(found, best)):
        before = np.cumsum(np.bincount(first[:at], minlength=len(probes)))
        places[best == found[at], first[at] :] = before[first[at] :]
    return places


def _measured(vectors: CompressedVectors, truth: Truth, target: float, setting: _Setting) -> tuple[Point, float]:
    """The setting with the recall of whole searches by it; and the lower of those of the ten best, as `_surely`."""
    asked = MEASURED, setting.probes, setting.candidates
    texts, _ = vectors.search_with(truth.texts, *asked)
    clips = [
        vectors.search_with(clip[None], *asked, truth.passing(number, len(vectors)))[0][0]
        for number, clip in enumerate(truth.clips)
    ]
    shares = [
        _recalls(found, best[:, :at])
        for at in (10, _AT)
        for found, best in ((texts, truth.best_for_texts()), (np.array(clips), truth.best_for_clips()))
    ]
    surely = min((float(_surely(of_kind)) for of_kind in shares[:2] if len(of_kind)), default=1.0)
    return Point(target, setting.probes, setting.candidates, *(round(_mean(of), 4) for of in shares)), surely


def _recalls(found: NDArray[np.int64], best: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 [queries], the share of the best n rows of each that are among the first n found."""
    at = best.shape[1]
    return np.array([np.isin(wanted, rows[:at]).mean() for rows, wanted in zip(found, best, strict=True)])


def _surely(recalls: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [...], the mean of recalls float64 [queries, ...], less `_STANDARD_ERRORS` of it."""
    error = recalls.std(axis=0) / math.sqrt(len(recalls))
    return np.asarray(recalls.mean(axis=0) - _STANDARD_ERRORS * error)


def _mean(recalls: NDArray[np.float64]) -> float:
    return float(recalls.mean()) if len(recalls) else 1.0


def _unit(vectors: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float64]:
    """The vectors at length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float64)
