"""Filters are exact at any selectivity: the true top k among the clips that meet a condition, and no other clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.search.searcher import Searcher
from index.sql.filters import passing_clips
from schemas.records import ClipRow, Span, VideoFile, VideoInfo
from schemas.search import SearchOptions
from tests.helpers.library_builder import build_library
from tests.helpers.made_library import DIM, IDENTITY, WordEmbedder, embedder

__all__ = ["embedder"]

CLIP_COUNT, VIDEO_COUNT = 100_000, 100


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.int64], NDArray[np.float32]]:
    """A library of 100,000 clips with random vectors and ids, ``start_s`` counting from 0 in each video."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(CLIP_COUNT, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = rng.choice(2**62, CLIP_COUNT, replace=False)
    starts = np.arange(CLIP_COUNT) % (CLIP_COUNT // VIDEO_COUNT)
    videos = [VideoInfo(f"{i:03d}", VideoFile(f"/v/{i}.mp4", i, 0)) for i in range(VIDEO_COUNT)]
    rows = [
        ClipRow(int(clip_id), videos[n * VIDEO_COUNT // CLIP_COUNT].video_id, Span(float(start), start + 1.0), (), vector)
        for n, (clip_id, start, vector) in enumerate(zip(ids, starts, vectors, strict=True))
    ]
    build_library(folder, IDENTITY, rows, videos)
    return folder, ids, vectors


def test_the_top_k_among_what_passes_is_that_of_trying_all(
    large: tuple[Path, NDArray[np.int64], NDArray[np.float32]], embedder: WordEmbedder
) -> None:
    """Random conditions that keep a share of 1e-5 (one clip) to 1."""
    folder, ids, vectors = large
    searcher, rng = Searcher(folder), np.random.default_rng(1)
    scores = vectors[:, 0]
    per_video = CLIP_COUNT // VIDEO_COUNT
    video, start = np.arange(CLIP_COUNT) // per_video, np.arange(CLIP_COUNT) % per_video
    for share in [1e-5, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 0.9, 1.0] * 2:
        videos = rng.choice(VIDEO_COUNT, max(1, round(VIDEO_COUNT * max(share, 0.01))), replace=False)
        count = max(1, round(CLIP_COUNT * share / len(videos)))
        first = int(rng.integers(0, per_video - count + 1))
        where = f"size_bytes in ({', '.join(map(str, videos))}) and start_s >= {first} and start_s < {first + count}"
        passes = np.flatnonzero(np.isin(video, videos) & (start >= first) & (start < first + count))
        assert len(passes) == len(videos) * count == pytest.approx(CLIP_COUNT * share, abs=1)
        assert set(passing_clips(searcher.snapshot.catalog, where).tolist()) == set(ids[passes].tolist())
        options = SearchOptions(texts=("jumping",), where=where, k=20, by="clip", rerank=0, show_all=True)
        answer = searcher.search(options)
        best = passes[np.argsort(-scores[passes], kind="stable")][:20]
        assert answer.passed == len(passes)
        assert [moment.clip_id for moment in answer.moments] == ids[best].tolist()
        assert [moment.score for moment in answer.moments] == pytest.approx(scores[best].tolist(), abs=1e-6)
        moments = searcher.search(SearchOptions(texts=("jumping",), where=where, k=5, rerank=0, show_all=True)).moments
        assert moments[0].clip_id == ids[best[0]]
        assert {moment.clip_id for moment in moments} <= set(ids[passes].tolist())
        assert all(first <= moment.start_s < moment.end_s <= first + count for moment in moments)
