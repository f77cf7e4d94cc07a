"""Libraries of made-up embeddings with tags: videos by their clips' vectors, and an embedder that knows a few texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.storage.config import LibraryConfig
from index.storage.tables import Tables
from schemas.models import Checkpoint, Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, clip_id_of, video_id_of
from tests.helpers.library_builder import build_library, commit_rows

DIM = 4
IDENTITY = LibraryConfig(
    Checkpoint("org/videomae", "/m/c", "abc", "videomae", "1" * 64),
    Checkpoint("/m/xclip", "/m/xclip", None, "xclip", "2" * 64, ("XCLIPModel",), DIM),
    Sampling(window_s=2.0, stride_s=2.0),
)


def unit(*numbers: float) -> NDArray[np.float32]:
    vector = np.array(numbers, np.float32)
    return vector / np.linalg.norm(vector)


def rows_of(path: str, vectors: Sequence[NDArray[np.float32]]) -> tuple[VideoInfo, list[ClipRow]]:
    """A video, and its clips of 2 s with these embeddings."""
    video_id = video_id_of("hash of " + path, path)
    spans = [Span(2.0 * number, 2.0 * number + 2.0) for number in range(len(vectors))]
    rows = [
        ClipRow(clip_id_of(video_id, span), video_id, span, (Label("running", 0.5),), vector)
        for span, vector in zip(spans, vectors, strict=True)
    ]
    return VideoInfo(video_id, VideoFile(path, 1, 1), "hash of " + path, duration_s=2.0 * len(vectors)), rows


def commit(tables: Tables, path: str, vectors: Sequence[NDArray[np.float32]], *, with_video: bool = True) -> str:
    """Commit clips of 2 s with these embeddings, and the row of their video unless that is left out."""
    info, rows = rows_of(path, vectors)
    commit_rows(tables, IDENTITY, rows, [info] if with_video else [])
    return info.video_id


def make_library(folder: Path, videos: Mapping[str, Sequence[NDArray[np.float32]]]) -> Path:
    """A published library of these videos."""
    made = [rows_of(path, vectors) for path, vectors in videos.items()]
    return build_library(folder, IDENTITY, [row for _, rows in made for row in rows], [info for info, _ in made])


class MadeUpEmbedder:
    """Texts as vectors, by their last word; counts how often it is loaded."""

    loads = 0

    def __init__(self, *_: object) -> None:
        type(self).loads += 1

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        directions = {"first": (1, 0, 0, 0), "second": (0, 1, 0, 0), "cake": (1, 1, 0, 0), "loudly": (0, 0, 1, 0)}
        return np.stack([unit(*directions[text.rsplit(" ", 1)[-1]]) for text in texts])
