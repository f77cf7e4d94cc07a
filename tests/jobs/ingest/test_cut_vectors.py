"""Embeddings that a model was trained to have cut: a library keeps the first numbers, and asks with the first numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from numpy.typing import NDArray

from cli import main
from index.search.searcher import Searcher
from jobs.ingest.ingest import ingest
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.families import FAMILIES
from pipeline.models.registry import load_embedder
from schemas.errors import LibraryError, UsageError
from schemas.options import IngestOptions
from schemas.search import SearchOptions
from tests.helpers.small_embedders import write_small_embedder

pytestmark = pytest.mark.usefixtures("inline_run")

_FP32 = IngestOptions(precision="fp32")


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    return write_small_embedder(tmp_path / "embedder", "qwen3_vl")


def vectors_of(library: Path) -> NDArray[np.float32]:
    rows = DeltaTable(library / "clips").to_pyarrow_table().sort_by([("video_id", "ascending"), ("start_s", "ascending")])
    return np.stack(rows["embedding"].to_numpy())


def test_a_library_keeps_the_first_numbers_and_asks_with_them(
    tmp_path: Path, qwen: Path, classifier_folder: Path, films: list[Path]
) -> None:
    classifier, embedder = str(classifier_folder), str(qwen)
    ingest(films[0], tmp_path / "whole", classifier=classifier, embedder=embedder, options=_FP32)
    ingest(films[0], tmp_path / "cut", classifier=classifier, embedder=embedder, dim=16, options=_FP32)
    whole, cut = vectors_of(tmp_path / "whole"), vectors_of(tmp_path / "cut")
    assert (whole.shape[1], cut.shape[1]) == (48, 16)
    assert cut == pytest.approx(unit(whole[:, :16]), abs=1e-5)
    assert json.loads((tmp_path / "cut" / "library.json").read_text())["embedder"]["embedding_dim"] == 16

    found = Searcher(tmp_path / "cut").search(SearchOptions(texts=("a dog",), by="clip", k=50, show_all=True))
    text = load_embedder(find_checkpoint(str(qwen), "embedder"), "fp32").embed_texts(["a dog"])
    cosines = cut @ unit(text[:, :16])[0]
    assert [moment.score for moment in found.moments] == pytest.approx(sorted(cosines, reverse=True), abs=2e-3)


def test_later_ingests_cut_the_same_and_no_other(
    tmp_path: Path, qwen: Path, classifier_folder: Path, films: list[Path]
) -> None:
    library = tmp_path / "library"
    ingest(films[0], library, classifier=str(classifier_folder), embedder=str(qwen), dim=16, options=_FP32)
    ingest(films[1], library, options=_FP32)
    moved = Path(shutil.move(qwen, tmp_path / "moved"))
    report = ingest(films[2], library, embedder=str(moved), options=_FP32)
    assert (report.indexed, report.failed) == (1, 0)
    ingest(films[2], library, embedder=str(moved), dim=16, options=_FP32)
    assert vectors_of(library).shape[1] == 16
    for named in (None, str(moved)):
        with pytest.raises(LibraryError, match="`dim` is 32 here and 16 in the library"):
            ingest(films[2], library, embedder=named, dim=32)


def test_a_library_of_whole_vectors_stays_so(tmp_path: Path, qwen: Path, classifier_folder: Path, films: list[Path]) -> None:
    library = tmp_path / "library"
    ingest(films[0], library, classifier=str(classifier_folder), embedder=str(qwen), options=_FP32)
    with pytest.raises(LibraryError, match="`dim` is 16 here and 48 in the library"):
        ingest(films[0], library, dim=16)
    assert ingest(films[0], library, dim=48).indexed == 0


@pytest.mark.parametrize("dim", [0, -1, 49])
def test_a_dimension_that_the_model_has_not_is_refused(
    tmp_path: Path, qwen: Path, classifier_folder: Path, films: list[Path], dim: int
) -> None:
    with pytest.raises(UsageError, match=f"^dim: got {dim}, expected 1 to 48, which the model has$"):
        ingest(films[0], tmp_path / "library", classifier=str(classifier_folder), embedder=str(qwen), dim=dim)
    assert not (tmp_path / "library").exists()


def test_other_models_are_not_cut(tmp_path: Path, classifier_folder: Path, embedder_folder: Path, films: list[Path]) -> None:
    assert [family.model_type for family in FAMILIES if family.cut_dims] == ["qwen3_vl", "embedding_gemma2"]
    arguments = ["ingest", str(films[0]), "--library", str(tmp_path / "library"), "--classifier", str(classifier_folder)]
    done = CliRunner().invoke(main, [*arguments, "--embedder", str(embedder_folder), "--dim", "16"])
    assert done.exit_code == 2
    assert "--dim: embeddings of type 'xclip' cannot be cut; leave the option out" in done.output
