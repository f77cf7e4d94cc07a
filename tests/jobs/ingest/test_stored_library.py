"""Libraries in S3: what an ingest makes there is what it makes on a disk."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from index.object_store import library_folder
from index.object_store.stored_tables import StoredTables
from index.storage import working_copies
from jobs.ingest.ingest import ingest
from jobs.maintain.verify import verify
from pipeline.models.classifiers.huggingface import HuggingFaceClassifier
from pipeline.sources import remote
from schemas.errors import LibraryError
from tests.helpers.ingests import counts
from tests.helpers.inline_run import InlineRun
from tests.helpers.library_builder import sql
from tests.helpers.object_store import BUCKET, SECRET, Fault, FaultyStore, answer, broken_off, client, object_store
from tests.helpers.small_embedders import write_small_embedder
from tests.helpers.videos import write_video

LIBRARY = f"s3://{BUCKET}/libs/films.vidsift"
ROWS = "select path, start_s, end_s, label, label_score from clips order by path, start_s"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultyStore]:
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(working_copies, "_COPIES", {})
    with object_store(monkeypatch, tmp_path / "cache") as store:
        yield store


@pytest.fixture
def films(tmp_path: Path, store: FaultyStore) -> Path:
    """Two films, which are in the bucket too."""
    folder = tmp_path / "films"
    folder.mkdir()
    for name, num_frames in (("a.mp4", 150), ("b.mp4", 75)):
        write_video(folder / name, num_frames)
    store.put_folder(folder, "films/")
    return folder


@pytest.fixture
def models(classifier_folder: Path, embedder_folder: Path) -> dict[str, Any]:
    return {"classifier": str(classifier_folder), "embedder": str(embedder_folder), "window_s": 2.0}


def from_another_machine(monkeypatch: pytest.MonkeyPatch, place: Path) -> Path:
    """The library's folder on a machine that has never seen it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    monkeypatch.setattr(working_copies, "_COPIES", {})
    return library_folder(LIBRARY)


def rows(folder: Path, source: str) -> list[tuple[Any, ...]]:
    return [(row.pop("path").removeprefix(source), *row.values()) for row in sql(folder, ROWS)]


@pytest.mark.usefixtures("inline_run")
def test_films_in_a_bucket_become_a_library_in_a_bucket(
    films: Path, models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk = tmp_path / "library"
    report = ingest([films], on_disk, **models)
    assert counts(report) == counts(ingest([f"s3://{BUCKET}/films"], LIBRARY, **models)) == {"indexed": 2, "clips": 5}
    there = from_another_machine(monkeypatch, tmp_path / "there")
    assert rows(there, f"s3://{BUCKET}/films") == rows(on_disk, str(films))
    assert [str(check) for check in verify(there) if check.breach] == []
    assert counts(ingest([f"s3://{BUCKET}/films"], LIBRARY, **models)) == {"unchanged": 2}


@pytest.mark.usefixtures("inline_run")
def test_labels_are_kept_from_a_library_in_a_bucket(
    films: Path, models: dict[str, Any], store: FaultyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that has never seen it; of its clips, the labels alone are read there."""
    ingest([films], LIBRARY, **models)
    labels = sql(library_folder(LIBRARY), "select clip_id, rank, label, score from labels order by all")
    from_another_machine(monkeypatch, tmp_path / "there")
    monkeypatch.setattr(HuggingFaceClassifier, "classify", lambda *given: pytest.fail("nothing is classified again"))
    embedder = write_small_embedder(tmp_path / "clip", "clip")
    report = ingest([films], tmp_path / "second", embedder=str(embedder), labels_from=LIBRARY)
    assert counts(report) == {"indexed": 2, "clips": 5}
    assert sql(tmp_path / "second", "select clip_id, rank, label, score from labels order by all") == labels
    assert not list((tmp_path / "there").rglob("clips/*.parquet"))


@pytest.mark.usefixtures("inline_run")
def test_its_tables_are_those_of_delta_lake(films: Path, models: dict[str, Any], store: FaultyStore) -> None:
    """Whoever reads such tables in object stores reads these."""
    ingest([films], LIBRARY, **models)
    options = {"allow_http": "true", "endpoint_url": store.url}
    clips = DeltaTable(f"{LIBRARY}/clips", storage_options=options).to_pyarrow_table()
    ours = sql(library_folder(LIBRARY), "select clip_id from clips order by clip_id")
    assert sorted(clips["clip_id"].to_pylist()) == [row["clip_id"] for row in ours]
    assert str(films) not in str(
        client().get_object(Bucket=BUCKET, Key="libs/films.vidsift/clips/_delta_log/" + "0" * 20 + ".json")
    )


def test_a_worker_on_another_machine_puts_its_files_into_the_store(
    films: Path,
    models: dict[str, Any],
    inline_run: type[InlineRun],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bool] = []

    def is_here(tables: StoredTables, folder: Path) -> bool:
        seen.append((folder.parent / ".store" / "writer").read_text() == tables.token)
        return False

    monkeypatch.setattr(StoredTables, "_is_here", is_here)
    assert counts(ingest([films], LIBRARY, **models)) == {"indexed": 2, "clips": 5}
    assert seen == [True, True], "the machine that commits would have been known"
    there = from_another_machine(monkeypatch, tmp_path / "there")
    assert len(rows(there, str(films))) == 5
    assert [str(check) for check in verify(there) if check.breach] == []


def test_a_worker_that_cannot_put_its_files_says_where_and_why(
    films: Path, models: dict[str, Any], inline_run: type[InlineRun], store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoredTables, "_is_here", lambda tables, folder: False)
    store.always = lambda environ: (
        answer("403 Forbidden", "AccessDenied")
        if environ["REQUEST_METHOD"] == "PUT" and "/part-" in environ["PATH_INFO"]
        else None
    )
    with pytest.raises(
        Exception,
        match=rf"the store refuses {LIBRARY}/.*your credentials may read and write there \(on {os.uname().nodename}\)",
    ):
        ingest([films], LIBRARY, **models)


@pytest.mark.usefixtures("inline_run")
def test_a_store_that_is_busy_loses_nothing(
    films: Path, models: dict[str, Any], store: FaultyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, faults = (
        random.Random(3),
        [answer("503 Slow Down", "SlowDown"), answer("500 Internal Error", "InternalError"), broken_off],
    )

    def always(environ: dict[str, Any]) -> Fault | None:
        if draw.random() >= 0.1:
            return None
        fault = draw.choice(faults)
        return faults[0] if environ["REQUEST_METHOD"] != "GET" else fault

    store.always = always
    assert counts(ingest([films], LIBRARY, **models)) == {"indexed": 2, "clips": 5}
    there = from_another_machine(monkeypatch, tmp_path / "there")
    assert [str(check) for check in verify(there) if check.breach] == []


def test_credentials_that_are_refused_are_said_and_not_told(store: FaultyStore) -> None:
    store.always = lambda environ: answer("403 Forbidden", "InvalidAccessKeyId")
    with pytest.raises(
        LibraryError, match=rf"the store refuses {LIBRARY}/CURRENT \(403 Forbidden\); see that your credentials"
    ) as error:
        sql(library_folder(LIBRARY), "select 1")
    assert SECRET not in str(error.value)
    assert "someone" not in str(error.value)
