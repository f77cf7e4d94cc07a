"""A library whose labels are means over parts of each clip."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from index.status import library_status, status_text
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.ingest.ingest import ingest
from jobs.ingest.library_config import choose_library_config
from jobs.ingest.make_job import make_job
from pipeline.models.families import classifier_family
from pipeline.models.views import check_views, own_view_s
from pipeline.process import plan_video
from pipeline.sampling import input_times_s, sample_times_s, view_spans
from schemas.errors import LibraryError, UsageError
from schemas.models import ModelInput, Views
from schemas.options import IngestOptions, Sampling
from schemas.records import Span, SpanJob, VideoFile
from tests.helpers.videos import write_video
from tests.jobs.evaluate.test_model import LABELS, SINGLE, decoded, probabilities
from tests.pipeline.models.test_onnx_files import write_small_classifier

pytestmark = pytest.mark.usefixtures("inline_run")

_OPTIONS = IngestOptions(precision="fp32", top_labels=12)
_PART_S = 64 / 30  # a VideoMAE's 16 of every fourth frame, 30 a second


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 s, of which the last clip has 2: less than a part."""
    return write_video(tmp_path_factory.mktemp("films") / "film.mp4", 150)


def rows_of(library: Path) -> list[dict[str, object]]:
    files = Tables(Library(library)).parquet_files()[1]
    rows: list[dict[str, object]] = pq.ParquetDataset(files).read().sort_by("start_s").to_pylist()
    return rows


def test_labels_are_the_mean_over_the_parts_and_embeddings_stay(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, film: Path
) -> None:
    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    ingest(film, tmp_path / "views", **models, views=3, options=_OPTIONS)  # type: ignore[arg-type]
    ingest(film, tmp_path / "plain", **models, options=_OPTIONS)  # type: ignore[arg-type]
    rows, plain = rows_of(tmp_path / "views"), rows_of(tmp_path / "plain")
    parts: list[list[tuple[float, float]]] = [[(0, _PART_S), (2 - _PART_S / 2, 2 + _PART_S / 2), (4 - _PART_S, 4)], [(4, 6)]]
    for row, as_plain, shown in zip(rows, plain, parts, strict=True):
        expected = probabilities(classifier_folder, decoded(film, shown, SINGLE)).mean(axis=0)
        found = {label["label"]: label["score"] for label in row["labels"]}  # type: ignore[attr-defined]
        assert [found[label] for label in LABELS] == pytest.approx(expected.tolist(), abs=2e-5)
        scores = list(found.values())
        assert scores == sorted(scores, reverse=True)
        assert np.allclose(row["embedding"], as_plain["embedding"], atol=1e-6)  # type: ignore[arg-type]
    assert plain[0]["labels"] != rows[0]["labels"], "the whole clip at once is something else"


def test_decoding_is_one_pass_that_scales_each_frame_once(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, film: Path
) -> None:
    config = choose_library_config(None, classifier=str(classifier_folder), embedder=str(embedder_folder), views=3)
    job = make_job(Library(tmp_path), config, IngestOptions())
    assert [(shown.num_frames, shown.views) for shown in job.inputs] == [(16, Views(3, _PART_S)), (16, None)]
    planned = plan_video(VideoFile(str(film), film.stat().st_size, 1), Sampling(), job.inputs)
    assert len(planned) == 1
    (of_film,) = (item for item in planned if isinstance(item, SpanJob))
    assert len(of_film.geometries) == 1
    assert [len(picks) for of_clip in of_film.picks for picks in of_clip] == [48, 16, 16, 16]


def test_a_library_remembers_the_views_and_takes_no_others(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, films: list[Path]
) -> None:
    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    ingest(films[0], tmp_path / "two", **models, views=2, options=_OPTIONS)  # type: ignore[arg-type]
    assert json.loads((tmp_path / "two" / "library.json").read_text())["classifier"]["views"] == 2
    assert f"classifier  {models['classifier']}, 2 views" in status_text(library_status(tmp_path / "two")).splitlines()
    assert ingest(films[1], tmp_path / "two", options=_OPTIONS).indexed == 1
    assert ingest(films[2], tmp_path / "two", classifier=models["classifier"], options=_OPTIONS).indexed == 1
    with pytest.raises(LibraryError, match="`views` is 3 here and 2 in the library"):
        ingest(films[2], tmp_path / "two", views=3)
    with pytest.raises(UsageError, match="got labels from 2 views of a clip, expected 3 views"):
        choose_library_config(None, embedder=models["embedder"], views=3, labels_from=tmp_path / "two")
    assert choose_library_config(None, embedder=models["embedder"], labels_from=tmp_path / "two").classifier.views == 2
    ingest(films[0], tmp_path / "one", **models, options=_OPTIONS)  # type: ignore[arg-type]
    assert "views" not in (tmp_path / "one" / "library.json").read_text(), "earlier versions read it"
    with pytest.raises(LibraryError, match="`views` is 2 here and left out in the library"):
        ingest(films[2], tmp_path / "one", views=2)


def test_parts_are_evenly_spread_and_those_of_a_short_clip_are_one() -> None:
    assert view_spans(Span(0, 10), Views(1, 4)) == [(3, 7)]
    assert view_spans(Span(1, 7), Views(2, 4)) == [(1, 5), (3, 7)]
    assert view_spans(Span(0, 4), Views(3, 4)) == [(0, 4)]
    shown = replace(SINGLE, num_frames=2, views=Views(2, 4))
    assert input_times_s(Span(1, 7), shown).tolist() == [2, 4, 4, 6]
    assert input_times_s(Span(1, 3), shown).tolist() == sample_times_s(Span(1, 3), 2).tolist()


def test_an_input_of_views_is_part_of_none_of_whole_clips() -> None:
    viewed = replace(SINGLE, views=Views(2, 1.0))
    assert SINGLE.subset_step(viewed) is viewed.subset_step(SINGLE) is None
    assert ModelInput(8, SINGLE.geometry, Views(2, 1.0)).subset_step(viewed) == 2


def test_models_say_how_long_a_part_is_or_are_refused(tmp_path: Path) -> None:
    assert check_views(write_small_classifier(tmp_path / "videomae", "videomae"), 2) == pytest.approx(64 / 30)
    for family, num_frames, part_s in (
        ("timesformer", 8, 256 / 30),
        ("timesformer", 96, 384 / 30),
        ("timesformer", 32, None),  # of which nothing was published
        ("vivit", 32, 64 / 30),
        ("r3d_18", 16, 16 / 15),
        ("x3d_s", 13, 78 / 30),
    ):
        assert own_view_s({"num_frames": num_frames}, classifier_family(family)) == part_s
    unsaid = write_small_classifier(tmp_path / "vjepa2", "vjepa2")
    with pytest.raises(UsageError) as error:
        check_views(unsaid, 2)
    assert str(error.value) == (
        f"views: got 2, but nothing says how many seconds {unsaid.name!r} was trained to see at once; leave the option out, "
        "or write the seconds into its config.json as 'view_seconds'"
    )
    file = tmp_path / "vjepa2" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "view_seconds": 2.5}))
    assert check_views(unsaid, 2) == 2.5
    file = tmp_path / "videomae" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "view_seconds": None}))
    with pytest.raises(UsageError, match="nothing says how many seconds"):
        check_views(replace(unsaid, folder=str(tmp_path / "videomae"), model_type="videomae"), 2)
