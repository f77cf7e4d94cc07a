"""Backgrounds and confidence come from a sample that is fixed: the whole library where that is smaller."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.search.confidence import reference_of
from index.search.searcher import Searcher
from index.snapshot.flat_vectors import FlatVectors
from index.snapshot.sample import SAMPLE_CLIPS, join_samples, sample_of
from schemas.search import SearchOptions
from tests.helpers.made_library import Made, WordEmbedder, background, embedder, make_library

__all__ = ["embedder"]


def test_a_library_up_to_the_size_is_its_own_sample() -> None:
    assert SAMPLE_CLIPS == 16_384
    assert sample_of(np.arange(0)).tolist() == []
    assert np.array_equal(sample_of(np.arange(SAMPLE_CLIPS) * 7), np.arange(SAMPLE_CLIPS))


def test_of_a_larger_one_the_same_clips_are_drawn_every_time() -> None:
    """Whatever the order of the clips, and evenly also where ids count up."""
    ids = np.arange(100_000)
    drawn = sample_of(ids)
    assert len(np.unique(drawn)) == SAMPLE_CLIPS
    assert (np.diff(drawn) > 0).all()
    assert abs(drawn.mean() - 50_000) < 1_000
    assert np.array_equal(np.sort(ids[::-1][sample_of(ids[::-1])]), drawn)


def test_the_samples_of_segments_make_the_sample_of_all() -> None:
    """As long as nothing has died; then clips that the segments' samples leave out do not come in for them."""
    ids = np.arange(1_000)
    parts = [ids[:700], ids[700:990], ids[990:]]
    samples = [part[sample_of(part, 100)] for part in parts]
    alive = [np.ones(len(sample), bool) for sample in samples]
    whole = [False, False, True]
    joined = join_samples(samples, alive, whole, 100)
    of_all = np.concatenate([sample[at] for sample, at in zip(samples, joined, strict=True)])
    assert of_all.tolist() == sample_of(ids, 100).tolist()
    dead = [np.zeros(100, bool), np.ones(100, bool), np.ones(10, bool)]
    left = join_samples(samples, dead, whole, 100)
    assert len(left[0]) == 0
    assert 20 < len(left[1]) < 60, "as dense as in the segment that died"


def test_the_reference_of_a_sample_is_that_of_all() -> None:
    """For normally distributed scores: without the raise, the best of the sample is too low by 0.42 units."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0.2, 0.05, size=(60, 100_000))
    whole = reference_of(scores)
    sample = reference_of(scores[:, sample_of(np.arange(100_000))], clips=100_000)
    assert sample.unit == pytest.approx(whole.unit, rel=0.02)
    assert sample.best == pytest.approx(whole.best, abs=0.15 * whole.unit)
    assert reference_of(scores, clips=100_000) == whole


def test_a_search_beyond_the_sample_scans_once_and_its_background_is_the_samples(
    tmp_path: Path, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sample of 30 of 80 clips: the query is the one scan over all, and clips outside the sample change nothing."""
    monkeypatch.setattr("index.snapshot.clips.join_samples", partial(join_samples, size=30))
    clips = [Made(1, "a", 0.0, 4.0, {"jumping": 0.6}), *background(79)]
    searcher = Searcher(make_library(tmp_path / "library", clips))
    scans: list[tuple[int, int]] = []
    scan = FlatVectors.scores

    def counted(index: FlatVectors, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        scans.append((len(index), len(queries)))
        return scan(index, queries)

    monkeypatch.setattr(FlatVectors, "scores", counted)
    answer = searcher.search(SearchOptions(texts=("jumping",), rerank=0, k=1))
    assert answer.moments[0].clip_id == 1
    assert [queries for clips, queries in scans if clips == 80] == [1]  # the others are of the sample

    timeline = searcher.scorer.timeline
    outside = int(np.setdiff1d(np.flatnonzero(timeline.ids != 1), searcher.scorer.clips.sample())[0])
    louder = [
        Made(clip.clip_id, clip.video, clip.start_s, clip.end_s, {"jumping": 0.3, "other": 0.9})
        if clip.clip_id == timeline.ids[outside]
        else clip
        for clip in clips
    ]
    again = Searcher(make_library(tmp_path / "louder", louder)).search(SearchOptions(texts=("jumping",), rerank=0, k=1))
    assert again.confidence == answer.confidence
