"""Each family of embedders the whole way: ingest real pictures, search by text and by example, rerank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from index.search.searcher import Searcher
from jobs.ingest.ingest import ingest
from pipeline.models.base import RerankEmbedder
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.families import family_of
from pipeline.models.registry import load_embedder
from schemas.options import IngestOptions
from schemas.search import SearchOptions
from tests.helpers.library_builder import sql
from tests.helpers.small_embedders import IMAGE_TEXT, VIDEO_TEXT, write_small_embedder
from tests.helpers.videos import write_video

pytestmark = pytest.mark.usefixtures("inline_run")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shapes of pictures in one folder."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "wide.mp4", 250, size=(192, 96))
    write_video(folder / "tall.mp4", 150, size=(96, 160))
    return folder


@pytest.mark.parametrize("model_type", ["xclip", *IMAGE_TEXT, *VIDEO_TEXT])
def test_a_folder_is_indexed_and_searched(
    tmp_path: Path, videos: Path, classifier_folder: Path, films: list[Path], model_type: str
) -> None:
    folder = write_small_embedder(tmp_path / "embedder", model_type)
    options = IngestOptions(precision="fp32")
    report = ingest(
        [videos, films[0]], tmp_path / "library", classifier=str(classifier_folder), embedder=str(folder), options=options
    )
    assert (report.indexed, report.failed) == (3, 0)
    (clips,) = sql(tmp_path / "library", "select count(*) as n from clips")

    searcher = Searcher(tmp_path / "library")
    found = searcher.search(SearchOptions(texts=("a dog",), by="clip", k=50, rerank=0, show_all=True))
    assert len(found.moments) == clips["n"]
    embedder = load_embedder(find_checkpoint(str(folder), "embedder"), "fp32")
    rows = np.arange(clips["n"])
    vectors = searcher.scorer.clips.vectors_at(rows)
    cosines = vectors @ embedder.embed_texts(["a dog"])[0]
    assert [m.score for m in found.moments] == pytest.approx(sorted(cosines, reverse=True), abs=2e-3)

    alike = searcher.search(SearchOptions(like=(str(films[0]),), by="clip", k=50, rerank=0, show_all=True))
    best = alike.moments[0].score  # of a random ALIGN, all clips are alike up to rounding
    assert any(m.path.endswith(films[0].name) and m.score >= best - 1e-5 for m in alike.moments)

    family = family_of(model_type)
    assert family is not None
    assert (searcher.scorer.clips.feature_layout() is not None) is family.rerank
    if family.rerank:
        assert isinstance(embedder, RerankEmbedder)
        reranked = searcher.search(SearchOptions(texts=("a dog",), by="clip", k=50, rerank=50, show_all=True))
        (scores,) = embedder.rerank_scores(["a dog"], *searcher.scorer.clips.described(rows))
        assert [m.score for m in reranked.moments] == pytest.approx(
            sorted(scores / embedder.logit_scale, reverse=True), abs=2e-3
        )
