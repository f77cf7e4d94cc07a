"""A library whose classifier is shown another number of frames than it was trained with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from index.storage.config import read_library_config
from index.storage.paths import Library
from jobs.ingest.ingest import ingest
from jobs.ingest.library_config import choose_library_config
from jobs.ingest.make_job import make_job
from schemas.errors import LibraryError, UsageError
from schemas.options import IngestOptions

pytestmark = pytest.mark.usefixtures("inline_run")

_FP32 = IngestOptions(precision="fp32")


def test_a_library_remembers_the_number_and_takes_no_other(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, films: list[Path]
) -> None:
    library, classifier, embedder = tmp_path / "library", str(classifier_folder), str(embedder_folder)
    report = ingest(films[0], library, classifier=classifier, embedder=embedder, frames=32, options=_FP32)
    assert (report.indexed, report.failed) == (1, 0)
    assert json.loads((library / "library.json").read_text())["classifier"]["num_frames"] == 32
    assert ingest(films[1], library, options=_FP32).indexed == 1
    assert ingest(films[2], library, classifier=classifier, frames=32, options=_FP32).indexed == 1
    with pytest.raises(LibraryError, match="`frames` is 64 here and 32 in the library"):
        ingest(films[2], library, frames=64)
    with pytest.raises(LibraryError, match="`frames` is the model's own here and 32 in the library"):
        ingest(films[2], library, frames=16)


def test_its_frames_serve_the_embedder_too(tmp_path: Path, classifier_folder: Path, embedder_folder: Path) -> None:
    identity = choose_library_config(None, classifier=str(classifier_folder), embedder=str(embedder_folder), frames=32)
    job = make_job(Library(tmp_path), identity, IngestOptions())
    assert [shown.num_frames for shown in job.inputs] == [32], "X-CLIP's 8 are every fourth"


def test_the_models_own_number_is_no_other_library(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, films: list[Path]
) -> None:
    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    ingest(films[0], tmp_path, classifier=models["classifier"], embedder=models["embedder"], options=_FP32)
    before = (tmp_path / "library.json").read_text()
    assert "num_frames" not in before, "earlier versions read it"
    ingest(films[1], tmp_path, frames=16, options=_FP32)
    assert (tmp_path / "library.json").read_text() == before
    config = read_library_config(Library(tmp_path))
    assert config is not None
    assert config.classifier.num_frames is None
    with pytest.raises(UsageError, match=r"^frames: got 7, expected 2 to 256 in multiples of 2$"):
        ingest(films[1], tmp_path, frames=7)
