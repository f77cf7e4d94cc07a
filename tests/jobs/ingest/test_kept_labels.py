"""A library with a new embedder takes the labels that another library has for the same clips."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from cli import main
from jobs.ingest.ingest import ingest
from jobs.ingest.kept_labels import LabelsByClip
from pipeline.models.classifiers.huggingface import HuggingFaceClassifier
from schemas.errors import LibraryError, UsageError
from schemas.models import Label
from schemas.options import IngestOptions
from schemas.tables import CLASSIFIER_COLUMNS
from tests.helpers.library_builder import sql
from tests.helpers.small_embedders import write_small_embedder
from tests.helpers.tagged_library import make_library
from tests.helpers.videos import write_video

pytestmark = pytest.mark.usefixtures("inline_run")
_LISTS = CLASSIFIER_COLUMNS.field("labels").type
_LABELS = "select path, start_s, rank, label, score from labels order by all"


@pytest.fixture
def classified(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of clips in each call of a classifier."""
    calls: list[int] = []
    classify = HuggingFaceClassifier.classify

    def counted(self: Any, pixels: Any, top: int) -> Any:
        calls.append(len(pixels))
        return classify(self, pixels, top)

    monkeypatch.setattr(HuggingFaceClassifier, "classify", counted)
    return calls


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mp4", 250)
    write_video(folder / "b.mp4", 100)
    return folder


@pytest.fixture
def first(tmp_path: Path, videos: Path, classifier_folder: Path, embedder_folder: Path) -> Path:
    """A library of the videos."""
    ingest(videos, tmp_path / "first", classifier=str(classifier_folder), embedder=str(embedder_folder))
    return tmp_path / "first"


def test_clips_of_both_are_not_classified_again(tmp_path: Path, videos: Path, first: Path, classified: list[int]) -> None:
    classified.clear()
    embedder, second = write_small_embedder(tmp_path / "clip", "clip"), tmp_path / "second"
    report = ingest(videos, second, embedder=str(embedder), labels_from=first)
    assert report.indexed == 2
    assert classified == []
    assert sql(second, _LABELS) == sql(first, _LABELS)
    assert sql(second, "select distinct model from labels") == sql(first, "select distinct model from labels")

    write_video(videos / "c.mp4", 50)
    ingest(videos, second, labels_from=first)
    assert classified == [1]
    assert sql(second, "select count(*) as n from clips") == [{"n": 5}]
    assert {row["label"] for row in sql(second, "select label from labels where path like '%c.mp4'")}


def test_no_more_labels_are_kept_than_are_asked_for(
    tmp_path: Path, videos: Path, first: Path, embedder_folder: Path
) -> None:
    options = IngestOptions(top_labels=2)
    ingest(videos, tmp_path / "second", embedder=str(embedder_folder), labels_from=first, options=options)
    assert sql(tmp_path / "second", _LABELS) == [row for row in sql(first, _LABELS) if row["rank"] <= 2]


def test_an_ingest_tells_the_licences_of_the_models_that_a_new_library_has(
    tmp_path: Path, videos: Path, first: Path, embedder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of the classifier that comes with the labels; of a library that is there, nothing."""
    monkeypatch.setattr("jobs.ingest.library_config.licence_note", lambda name: f"the licence of {Path(name).name}")
    given = ["--library", str(tmp_path / "second"), "--embedder", str(embedder_folder), "--labels-from", str(first)]
    new, again = (CliRunner().invoke(main, ["ingest", str(videos), *given]) for _ in range(2))
    assert (new.exit_code, again.exit_code) == (0, 0)
    assert "vidsift: the licence of classifier\nvidsift: the licence of embedder\n" in new.stderr
    assert "licence" not in again.stderr


def test_a_clip_that_the_other_library_lacks_has_no_labels(first: Path) -> None:
    kept = LabelsByClip(first)
    (row,) = sql(first, "select clip_id, label, label_score from clips where path like '%b.mp4'")
    labels, lacking = kept.of([row["clip_id"], row["clip_id"] + 1])
    assert lacking is None
    assert labels is not None
    assert labels[0].label == row["label"]
    assert labels[0].score == pytest.approx(row["label_score"])
    assert len(labels) == 5


def test_many_clips_are_read_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of clips in any order, with no label, one, or several; the first of two with the same id."""
    names = {1: ["a"], -7: [], 5: ["b", "a", "c"], 2**62: ["d"], 3: ["a", "d"]}
    labels = {clip_id: [(name, 0.5 ** (1 + rank)) for rank, name in enumerate(given)] for clip_id, given in names.items()}
    chunks = [
        pa.table({"clip_id": pa.array(part, pa.int64()), "labels": pa.array([labels[clip_id] for clip_id in part], _LISTS)})
        for part in ([5, 1], [], [2**62, -7], [3])
    ]
    chunks.append(pa.table({"clip_id": pa.array([1], pa.int64()), "labels": pa.array([[("z", 0.1)]], _LISTS)}))
    monkeypatch.setattr("index.storage.tables.read_chunks", lambda table, columns: iter(chunks))
    kept = LabelsByClip(make_library(tmp_path / "library", {}))
    expected = [tuple(Label(*label) for label in labels[clip_id]) for clip_id in names]
    assert kept.of([*names]) == expected
    assert kept.of([4, 2**63 - 1, -(2**63), 3]) == [None, None, None, expected[-1]]
    assert kept.of([]) == []


def test_an_empty_library_has_no_labels(tmp_path: Path) -> None:
    assert LabelsByClip(make_library(tmp_path / "library", {})).of([1, 2]) == [None, None]


def test_labels_take_no_memory_once_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = 100_000
    labels = pa.array([[("a", 0.5), ("b", 0.25)]] * clips, _LISTS)
    chunk = pa.table({"clip_id": np.random.default_rng(0).permutation(clips), "labels": labels})
    monkeypatch.setattr("index.storage.tables.read_chunks", lambda table, columns: iter([chunk]))
    library = make_library(tmp_path / "library", {})
    tracemalloc.start()
    try:
        kept = LabelsByClip(library)
        taken, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < clips, "less than a byte a clip"
    assert most < 80 * clips
    assert kept.of([clips - 1]) == [(Label("a", 0.5), Label("b", 0.25))]


def test_a_full_disk_is_said(tmp_path: Path, first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*settings: Any, **more: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(LibraryError, match=r"cannot keep its labels in .*No space left on device; make room for 60 MB"):
        LabelsByClip(first)


def test_a_library_that_cannot_be_written_is_read(first: Path) -> None:
    shutil.rmtree(first / "tags", ignore_errors=True)
    before = sorted(path for path in first.rglob("*"))
    LabelsByClip(first)
    assert sorted(path for path in first.rglob("*")) == before


def test_a_library_of_other_clips_or_labels_is_refused(
    tmp_path: Path, videos: Path, first: Path, classifier_folder: Path, embedder_folder: Path
) -> None:
    second = tmp_path / "second"
    with pytest.raises(UsageError, match=r"clips of 4 s every 4 s, expected clips of 2 s every 2 s, as this library"):
        ingest(videos, second, embedder=str(embedder_folder), window_s=2.0, labels_from=first)
    with pytest.raises(UsageError, match=r"got labels of classifier@\w{8}, expected those of pocket@\w{8}, as this library"):
        ingest(videos, second, classifier="pocket", embedder=str(embedder_folder), labels_from=first)
    with pytest.raises(UsageError, match="is not a vidsift library; give the folder or address of one"):
        ingest(videos, second, embedder=str(embedder_folder), labels_from=videos)
    assert not second.exists()
