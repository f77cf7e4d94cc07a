"""A small library that real models can search, published without an ingest."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from index.snapshot.catalog_build import write_catalog
from index.snapshot.snapshot import SnapshotInfo, publish
from index.snapshot.vectors import write_vectors
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from schemas.models import Checkpoint, Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow
from schemas.tables import clips_table, videos_table

LABELS = ("dancing", "running", "sleeping")


def write_searchable(folder: Path, classifier: Checkpoint, embedder: Checkpoint, videos: int = 10) -> Path:
    """Publish ``videos`` videos of four clips each, ``/v/00.mp4`` and on, with embeddings drawn from a seed.

    Clip ``10 * video + part`` is [4 * part, 4 * part + 4), best labelled ``LABELS[(video + part) % 3]``.
    """
    folder.mkdir(parents=True, exist_ok=True)
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
    ids = np.array([row.clip_id for row in rows])
    done = [VideoRow(info, "indexed", 4) for info in infos]
    pq.write_table(videos_table(done, ingested_at=datetime(2026, 1, 2, tzinfo=UTC)), folder / "videos.parquet")
    pq.write_table(clips_table(rows, classifier="c@1", embedder="e@2"), folder / "clips.parquet")
    library = Library(folder)
    write_library_config(library, LibraryConfig(classifier, embedder, Sampling()))

    def write(aside: Path) -> SnapshotInfo:
        counts = write_catalog(aside / "catalog.duckdb", [str(folder / "videos.parquet")], [str(folder / "clips.parquet")])
        counts["vectors"] = write_vectors(aside / "clips.faiss", dim, [(ids, vectors)])
        return SnapshotInfo({}, counts, "c@1", "e@2", 1.0, "2026-01-02T00:00:00+00:00")

    publish(library, write)
    return folder
