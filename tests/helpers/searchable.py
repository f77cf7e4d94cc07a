"""A small library that real models can search, published without an ingest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from index.storage.config import LibraryConfig
from schemas.models import Checkpoint, Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo
from tests.helpers.library_builder import build_library

LABELS = ("dancing", "running", "sleeping")


def write_searchable(folder: Path, classifier: Checkpoint, embedder: Checkpoint, videos: int = 10) -> Path:
    """Publish ``videos`` videos of four clips each, ``/v/00.mp4`` and on, with embeddings drawn from a seed.

    Clip ``10 * video + part`` is [4 * part, 4 * part + 4), best labelled ``LABELS[(video + part) % 3]``.
    """
    dim = embedder.embedding_dim
    assert dim
    vectors = np.random.default_rng(0).normal(size=(4 * videos, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    infos = [VideoInfo(f"v{n:02d}", VideoFile(f"/v/{n:02d}.mp4", 10, 0), duration_s=16.0) for n in range(videos)]
    rows = [
        ClipRow(
            10 * n + part,
            info.video_id,
            Span(4.0 * part, 4.0 * part + 4.0),
            (Label(LABELS[(n + part) % 3], 0.75), Label(LABELS[(n + part + 1) % 3], 0.25)),
            vectors[4 * n + part],
        )
        for n, info in enumerate(infos)
        for part in range(4)
    ]
    return build_library(folder, LibraryConfig(classifier, embedder, Sampling()), rows, infos)
