"""Libraries of made-up embeddings, and an embedder that knows a few words: searches with exact expectations, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from index.search.confidence import GENERIC_TEXTS
from index.snapshot.catalog_build import write_catalog
from index.snapshot.snapshot import SnapshotInfo, publish
from index.snapshot.vectors import write_vectors
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from schemas.models import Checkpoint, Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow
from schemas.tables import clips_table, videos_table

WORDS = ("jumping", "red", "kitchen", "cheering", "other")
GENERIC = "other"
DIM = len(WORDS) + 1

IDENTITY = LibraryConfig(
    Checkpoint("c", "/m/c", None, "videomae", "1" * 64),
    Checkpoint("e", "/m/e", None, "xclip", "2" * 64, (), DIM),
    Sampling(window_s=4.0, stride_s=4.0),
)


@dataclass(frozen=True)
class Made:
    """A clip of which each word's cosine is known."""

    clip_id: int
    video: str
    start_s: float
    end_s: float
    cosines: Mapping[str, float] = field(default_factory=dict)
    labels: tuple[Label, ...] = ()


def vector_of(cosines: Mapping[str, float]) -> NDArray[np.float32]:
    """A unit vector whose dot product with each word's is as given; what is left is on an axis that no word has."""
    vector = np.zeros(DIM)
    for word, cosine in cosines.items():
        vector[WORDS.index(word)] = cosine
    vector[-1] = np.sqrt(1 - (vector**2).sum())
    return vector.astype(np.float32)


class WordEmbedder:
    """Knows `WORDS`, and takes generic texts for `GENERIC`. Counts what it was asked."""

    dim = DIM
    logit_scale = 10.0

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.append(tuple(texts))
        words = [GENERIC if text in GENERIC_TEXTS else text for text in texts]
        return np.stack([np.eye(DIM, dtype=np.float32)[WORDS.index(word)] for word in words])


def make_library(
    folder: Path,
    clips: Iterable[Made],
    tags: Sequence[tuple[int, str, float]] = (),
    durations_s: Mapping[str, float] | None = None,
) -> Path:
    """Publish a library of these clips; ``tags`` are (clip_id, tag, score)."""
    folder.mkdir(parents=True, exist_ok=True)
    made = list(clips)
    rows = [
        ClipRow(one.clip_id, one.video, Span(one.start_s, one.end_s), one.labels, vector_of(one.cosines)) for one in made
    ]
    videos = []
    for name in dict.fromkeys(one.video for one in made):
        ends = [one.end_s for one in made if one.video == name]
        file = VideoFile(f"/v/{name}.mp4", 10, 0)
        duration_s = (durations_s or {}).get(name, max(ends))
        videos.append(VideoRow(VideoInfo(name, file, duration_s=duration_s), "indexed", len(ends)))
    pq.write_table(videos_table(videos, ingested_at=datetime(2026, 1, 2, tzinfo=UTC)), folder / "videos.parquet")
    table = clips_table(rows, classifier="c@1", embedder="e@2")
    publish_made(folder, table, np.stack([row.embedding for row in rows]) if rows else np.zeros((0, DIM), np.float32), tags)
    return folder


def publish_made(
    folder: Path, clips: pa.Table, vectors: NDArray[np.float32], tags: Sequence[tuple[int, str, float]] = ()
) -> None:
    """Publish rows of clips beside ``videos.parquet``."""
    pq.write_table(clips, folder / "clips.parquet")
    library = Library(folder)
    write_library_config(library, IDENTITY)

    def write(aside: Path) -> SnapshotInfo:
        catalog = aside / "catalog.duckdb"
        counts = write_catalog(catalog, [str(folder / "videos.parquet")], [str(folder / "clips.parquet")])
        with duckdb.connect(str(catalog)) as connection:
            for clip_id, tag, score in tags:
                connection.execute(
                    "insert into tags select clip_id, video_id, path, start_s, end_s, ?, ?, '', '' from clips "
                    "where clip_id = ?",
                    [tag, score, clip_id],
                )
        ids = clips["clip_id"].to_numpy()
        counts["vectors"] = write_vectors(aside / "clips.faiss", vectors.shape[1], [(ids, vectors)])
        return SnapshotInfo({}, counts, "c@1", "e@2", 1.0, "2026-01-02T00:00:00+00:00")

    publish(library, write)


Background = Callable[[int], list[Made]]


def background(count: int, first_id: int = 1000) -> list[Made]:
    """Videos of one clip each that answer nothing: cosines from -0.05 to 0.05, and up to 0.2 with what says nothing."""
    steps = np.linspace(-1, 1, count)
    return [
        Made(first_id + i, f"x{i:03d}", 0.0, 4.0, {word: 0.05 * s for word in WORDS} | {GENERIC: 0.1 + 0.1 * s})
        for i, s in enumerate(steps.tolist())
    ]


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> WordEmbedder:
    """The embedder that searches of made-up libraries load."""
    made = WordEmbedder()
    monkeypatch.setattr("index.search.text_encoder.locate", lambda *arguments: None)
    monkeypatch.setattr("index.search.text_encoder.load_text_embedder", lambda *arguments: made)
    return made
