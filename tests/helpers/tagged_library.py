"""Libraries of made-up embeddings: real tables and snapshots, and no video behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from schemas.models import Checkpoint, Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow, Written, clip_id_of, video_id_of
from schemas.tables import clips_table

DIM = 4
IDENTITY = LibraryConfig(
    Checkpoint("org/videomae", "/m/c", "abc", "videomae", "1" * 64),
    Checkpoint("/m/xclip", "/m/xclip", None, "xclip", "2" * 64, ("XCLIPModel",), DIM),
    Sampling(window_s=2.0, stride_s=2.0),
)


def unit(*numbers: float) -> NDArray[np.float32]:
    vector = np.array(numbers, np.float32)
    return vector / np.linalg.norm(vector)


def commit(tables: Tables, path: str, vectors: Sequence[NDArray[np.float32]], *, with_video: bool = True) -> str:
    """Commit clips of 2 s with these embeddings, and the row of their video unless that is left out."""
    video_id = video_id_of("hash of " + path, path)
    rows = [
        ClipRow(clip_id_of(video_id, span), video_id, span, (Label("running", 0.5),), vector)
        for span, vector in ((Span(2.0 * n, 2.0 * n + 2.0), vector) for n, vector in enumerate(vectors))
    ]
    name = f"part-{video_id}-{tables.clips.version()}.parquet"
    file = tables._library.clips / name
    pq.write_table(clips_table(rows, classifier="c@1", embedder=IDENTITY.embedder.stamp), file)
    tables.commit_clips([Written(name, file.stat().st_size, {video_id: tuple(row.clip_id for row in rows)})])
    info = VideoInfo(video_id, VideoFile(path, 1, 1), "hash of " + path, duration_s=2.0 * len(vectors))
    if with_video:
        tables.commit_videos([VideoRow(info, "indexed", len(rows))], replace_paths=False)
    return video_id


def make_library(folder: Path, videos: Mapping[str, Sequence[NDArray[np.float32]]]) -> Path:
    """A published library of these videos."""
    library = Library(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_library_config(library, IDENTITY)
    tables = Tables(library)
    for path, vectors in videos.items():
        commit(tables, path, vectors)
    publish_tables(library, tables, IDENTITY)
    return folder


def sql(folder: Path, query: str) -> list[dict[str, Any]]:
    catalog = Snapshot(Library(folder)).catalog
    rows: list[dict[str, Any]] = catalog.sql(query).to_pylist()
    catalog.close()
    return rows


class MadeUpEmbedder:
    """Texts as vectors, by their last word; counts how often it is loaded."""

    loads = 0

    def __init__(self, *_: object) -> None:
        type(self).loads += 1

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        directions = {"first": (1, 0, 0, 0), "second": (0, 1, 0, 0), "cake": (1, 1, 0, 0), "loudly": (0, 0, 1, 0)}
        return np.stack([unit(*directions[text.rsplit(" ", 1)[-1]]) for text in texts])
