"""Everything that archives hold, in one ingest; and the same files mutated."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.mutations import mutate_all
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.ingest.ingest import ingest
from jobs.ingest.report import IngestReport
from jobs.maintain.verify import verify
from schemas.options import IngestOptions
from tests.helpers.corpus import write_corpus
from tests.helpers.videos import write_video

pytestmark = [pytest.mark.usefixtures("ray_session_for_tests"), pytest.mark.slow]


def statuses(library: Path, folder: Path) -> dict[str, str]:
    rows = Snapshot(Library(library)).catalog.sql("select path, status from videos").to_pylist()
    return {row["path"].removeprefix(f"{folder}/"): row["status"] for row in rows}


def balance(report: IngestReport) -> None:
    assert report.found == report.indexed + report.partial + report.failed + report.unchanged + report.moved


def test_every_file_of_the_corpus_ends_as_it_should(tmp_path: Path, classifier_folder: Path, embedder_folder: Path) -> None:
    folder, library = tmp_path / "videos", tmp_path / "library"
    folder.mkdir()
    expected = write_corpus(folder)
    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    report = ingest([folder], library, **models)  # type: ignore[arg-type]
    balance(report)
    assert statuses(library, folder) == expected
    assert report.found == len(expected)
    catalog = Snapshot(Library(library)).catalog
    reasons = catalog.sql("select path from videos where status <> 'indexed' and (error is null or error_stage is null)")
    assert reasons.num_rows == 0
    clipless = catalog.sql("select path from videos where (status = 'failed') <> (clip_count = 0)")
    assert clipless.num_rows == 0
    assert [check for check in verify(library) if check.breach] == []
    again = ingest([folder], library)
    assert (again.unchanged, again.clips) == (len(expected), 0)


@pytest.mark.timeout(400)
def test_mutated_files_cost_the_others_nothing(tmp_path: Path, classifier_folder: Path, embedder_folder: Path) -> None:
    """Sixty seeded mutations of five containers; `benchmarks/mutations.py` makes a thousand."""
    folder, library = tmp_path / "videos", tmp_path / "library"
    folder.mkdir()
    mutate_all(folder, count=60, seed=1)
    for number in range(5):
        write_video(folder / f"untouched-{number}.mp4", 25 + number)
    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    report = ingest([folder], library, **models, options=IngestOptions(video_timeout_s=20.0))  # type: ignore[arg-type]
    balance(report)
    found = statuses(library, folder)
    assert len(found) == 65
    assert [found[f"untouched-{number}.mp4"] for number in range(5)] == ["indexed"] * 5
    assert [check for check in verify(library) if check.breach] == []
