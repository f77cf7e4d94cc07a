"""Moments lie within shots, and black pictures answer nothing, in a library that knows its shots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from index.search.searcher import Searcher
from jobs.annotate.annotate import annotate
from schemas.channels import Shot
from schemas.search import SearchOptions
from tests.helpers.made_annotators import made, use_annotators
from tests.helpers.made_library import Made, WordEmbedder, background, embedder, make_library

__all__ = ["embedder"]

# Windows of 4 s, of which the third to the sixth answer; with cuts at 9 s, 17.5 s and 20 s.
FILM = [Made(i, "a", 4.0 * i, 4.0 * i + 4, {"jumping": 0.8 if 2 <= i <= 5 else 0.0}) for i in range(8)]
SHOTS = (
    Shot(0, 9, "start", 1, "moving"),
    Shot(9, 17.5, "cut", 1, "moving"),
    Shot(17.5, 20, "gradual", 1, "moving"),
    Shot(20, 32, "cut", 1, "black"),
)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: WordEmbedder) -> Path:
    folder = make_library(tmp_path / "library", [*FILM, *background(40)])
    use_annotators(monkeypatch, shots=made("shots", "shots", entries=(("/v/a.mp4", SHOTS),)))
    return folder


def spans(library: Path, **options: Any) -> list[tuple[float, float]]:
    answer = Searcher(library).search(SearchOptions(texts=("jumping",), rerank=0, k=5, **options))
    return sorted(
        (moment.start_s, moment.end_s) for moment in answer.moments if moment.video_id == "a" and moment.score > 0.5
    )


def test_without_shots_a_moment_runs_on(library: Path) -> None:
    assert spans(library) == [(8, 24)]


def test_a_moment_ends_at_a_cut(library: Path) -> None:
    annotate(library, ["shots"])
    # The clip [16, 20) has its middle in the third shot, and [20, 24) is black.
    assert spans(library) == [(9, 16), (17.5, 20)]
    assert spans(library, across_cuts=True) == [(8, 20)]
    assert spans(library, by="clip") == [(8, 12), (12, 16), (16, 20)]


def test_a_video_whose_shots_are_not_known_is_as_before(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_annotators(monkeypatch, shots=made("shots", "shots", entries=(("/v/x000.mp4", SHOTS[:1]),)))
    annotate(library, ["shots"])
    assert spans(library) == [(8, 24)]
