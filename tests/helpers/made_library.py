"""Libraries of made-up embeddings, and an embedder that knows a few words: searches with exact expectations, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.search.confidence import GENERIC_TEXTS
from index.storage.config import LibraryConfig
from schemas.models import Checkpoint, Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo
from schemas.tags import TagDefinition
from tests.helpers.library_builder import build_library

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
    tags: Sequence[TagDefinition] = (),
    durations_s: Mapping[str, float] | None = None,
) -> Path:
    """Publish a library of these clips; a video lasts until its last clip's end, where ``durations_s`` does not say more."""
    made = list(clips)
    rows = [
        ClipRow(one.clip_id, one.video, Span(one.start_s, one.end_s), one.labels, vector_of(one.cosines)) for one in made
    ]
    ends: dict[str, float] = {}
    for one in made:
        ends[one.video] = max(one.end_s, ends.get(one.video, 0.0))
    videos = [
        VideoInfo(name, VideoFile(f"/v/{name}.mp4", 10, 0), duration_s=duration_s)
        for name, duration_s in (ends | dict(durations_s or {})).items()
    ]
    return build_library(folder, IDENTITY, rows, videos, tags)


def word_tag(name: str, weights: Mapping[str, float], bias: float) -> TagDefinition:
    """A taught tag: a clip's score is the logistic function of its weighted cosines with words, and ``bias``."""
    return TagDefinition(
        name=name,
        weights=(*(float(weights.get(word, 0.0)) for word in WORDS), 0.0),
        bias=bias,
        embedder=IDENTITY.embedder.stamp,
        moments=1,
    )


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
