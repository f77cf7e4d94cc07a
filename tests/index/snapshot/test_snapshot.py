from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from index.snapshot.catalog_build import write_videos
from index.snapshot.publish import places_of
from index.snapshot.snapshot import Snapshot, SnapshotInfo, publish, read_info, snapshot_numbers
from index.storage.config import write_library_config
from index.storage.paths import Library
from schemas.errors import LibraryError
from tests.index.storage.test_config import IDENTITY


def info(version: int) -> SnapshotInfo:
    return SnapshotInfo(
        {"videos": version, "clips": version},
        {"clips": version, "vectors": version},
        "c@1",
        "e@1",
        1.0,
        "2026-01-02T00:00:00+00:00",
        format=2,
        dim=4,
    )


def write_version(version: int, folder: Path) -> SnapshotInfo:
    write_videos(folder / "videos.duckdb", [], places_of([]))
    (folder / "files.json").write_text("[]")
    return info(version)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    write_library_config(Library(tmp_path), IDENTITY)
    return Library(tmp_path)


def test_readers_open_what_was_published_last(library: Library) -> None:
    for version in (1, 2):
        publish(library, lambda folder, version=version: write_version(version, folder))  # type: ignore[misc]
        snapshot = Snapshot(library)
        assert (snapshot.number, snapshot.info.rows["clips"]) == (version, version)
        assert replace(snapshot.info, sha256={}) == info(version)
        assert snapshot.info.sha256 == {
            name: hashlib.sha256((snapshot.folder / name).read_bytes()).hexdigest()
            for name in ("files.json", "videos.duckdb")
        }


def test_a_publish_that_fails_leaves_the_old_snapshot_current(library: Library) -> None:
    publish(library, lambda folder: write_version(1, folder))

    def breaks_off(folder: Path) -> SnapshotInfo:
        write_version(2, folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publish(library, breaks_off)
    assert Snapshot(library).number == 1
    publish(library, lambda folder: write_version(3, folder))
    assert replace(Snapshot(library).info, sha256={}) == info(3)
    assert sorted(path.name for path in library.snapshots.iterdir()) == ["1", "2"]


def test_a_reader_keeps_its_snapshot_while_others_are_published(library: Library) -> None:
    publish(library, lambda folder: write_version(1, folder))
    reader = Snapshot(library)
    for version in range(2, 6):
        publish(library, lambda folder, version=version: write_version(version, folder))  # type: ignore[misc]
    assert reader.catalog.sql("select count(*) as n from clips").to_pylist() == [{"n": 0}]
    assert snapshot_numbers(library) == [1, 2, 3, 4, 5]
    assert [len(list(path.iterdir())) for path in sorted(library.snapshots.iterdir())] == [1, 1, 3, 3, 3]


def test_no_library_and_nothing_published_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        LibraryError, match=r"is not a vidsift library \(it holds no library.json\); make one with: vidsift ingest"
    ):
        Snapshot(Library(tmp_path))
    write_library_config(Library(tmp_path), IDENTITY)
    with pytest.raises(LibraryError, match=r"nothing has been published in .* yet"):
        Snapshot(Library(tmp_path))
    (tmp_path / "CURRENT").mkdir()
    with pytest.raises(LibraryError, match=r"CURRENT' names no snapshot"):
        Snapshot(Library(tmp_path))
    (tmp_path / "CURRENT").rmdir()
    (tmp_path / "CURRENT").write_text("../../elsewhere")
    with pytest.raises(LibraryError, match=r"CURRENT' names no snapshot; run the ingest again"):
        Snapshot(Library(tmp_path))


def test_a_damaged_snapshot_is_an_error(library: Library) -> None:
    folder = publish(library, lambda folder: write_version(1, folder))
    (folder / "snapshot.json").write_text("{")
    with pytest.raises(LibraryError, match="is damaged"):
        read_info(folder)
