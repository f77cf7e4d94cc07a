"""Buckets by obstore, held against its store in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import obstore
import pytest
from obstore import exceptions as failures
from obstore.store import MemoryStore

from pipeline.sources import cloud, page_cache, remote, source_of
from pipeline.sources.base import FileChangedError
from pipeline.sources.cloud import explained
from pipeline.sources.find import find_videos
from pipeline.sources.remote import TemporaryError
from schemas.records import VideoFile

ROOT = "gs://films"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MemoryStore]:
    bucket = MemoryStore()
    monkeypatch.setattr(cloud, "_store", lambda scheme, name: bucket)
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    page_cache.page_cache.cache_clear()
    yield bucket
    page_cache.page_cache.cache_clear()


def test_a_bucket_is_listed_and_read(bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "_CHUNK", 2)
    keys = ["a.mp4", "b c/x.mkv", "b c/ümlaut #1.mp4", "d/e/f.mov", "d/e/f.txt"]
    for key in keys:
        obstore.put(bucket, key, key.encode())
    source = source_of(ROOT)
    files = [item for item in find_videos([ROOT]) if isinstance(item, VideoFile)]
    assert [file.path for file in files] == [f"{ROOT}/{key}" for key in keys[:-1]]
    assert [file.size_bytes for file in files] == [len(key.encode()) for key in keys[:-1]]
    assert abs(files[0].modified_ns / 1e9 - datetime.now(UTC).timestamp()) < 60
    assert source.read_range(files[2].path, 2, 3) == keys[2].encode()[2:5]
    assert source.stat(f"{ROOT}/d").kind == "folder"
    assert sorted((entry.name, entry.is_folder) for entry in source.list_folder(f"{ROOT}/d/e")) == [
        ("f.mov", False),
        ("f.txt", False),
    ]
    assert [entry[:2] for entry in source.list_folder(ROOT, "b")] == [("b c", True)]
    assert [entry.name for entry in source.list_folder(f"{ROOT}/d/e", "f.t")] == ["f.txt"]
    entries = sorted(entry[:2] for entry in source.list_folder(ROOT))
    assert entries == [("a.mp4", False), ("b c", True), ("d", True)]
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        source.stat(f"{ROOT}/nowhere")


def test_a_listing_goes_on_where_it_broke_off(bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "_CHUNK", 2)
    for number in range(9):
        obstore.put(bucket, f"{number}.mp4", b"x")
    listing, failing = obstore.list, [False, False, True, True, False, True]

    def breaking(*arguments: object, **options: object) -> Iterator[object]:
        for chunk in listing(*arguments, **options):  # type: ignore[call-overload]
            if failing and failing.pop(0):
                raise failures.GenericError("Generic GCS error: connection reset")
            yield chunk

    monkeypatch.setattr(obstore, "list", breaking)
    assert [entry.name for entry in source_of(ROOT).list_below(ROOT) or ()] == [f"{number}.mp4" for number in range(9)]
    assert failing == []


def test_two_versions_do_not_mix(bucket: MemoryStore) -> None:
    obstore.put(bucket, "a.mp4", b"a" * 3_000_000)
    with source_of(ROOT).open(f"{ROOT}/a.mp4") as file:
        assert file.read(3) == b"aaa"
        obstore.put(bucket, "a.mp4", b"b" * 3_000_000)
        with pytest.raises(FileChangedError, match="it has changed while it was read"):
            file.read()
    assert source_of(ROOT).read_range(f"{ROOT}/a.mp4", 0, 3) == b"bbb"


ERRORS = [
    ("GenericError", "Error performing GET https://h/x?sig=0123 in 2ms\nbody", TemporaryError, "performing GET in 2ms"),
    ("GenericError", "Server returned status code: 416 Range Not Satisfiable", FileChangedError, "it has changed"),
    ("PermissionDeniedError", "lacked the necessary privileges", PermissionError, "refuses it"),
    ("UnauthenticatedError", "no valid authentication", PermissionError, "no valid authentication"),
    ("InvalidPathError", 'Path "a//b.mp4" has an empty segment', OSError, 'a//b.mp4" has an .* rename it'),
    ("NotSupportedError", "Range request not supported", OSError, "gives no parts of files"),
    ("PreconditionError", "ETag", FileChangedError, "it has changed"),
]


@pytest.mark.parametrize(("name", "text", "expected", "said"), ERRORS)
def test_errors_say_what_they_mean_and_no_address(name: str, text: str, expected: type[OSError], said: str) -> None:
    with pytest.raises(expected, match=said) as told, explained("gs://films/a.mp4"):
        raise getattr(failures, name)(text)
    assert type(told.value) is expected
    assert "sig=0123" not in str(told.value)


def test_a_listing_without_quotes_names_the_same_version() -> None:
    """Azure's listings give ETags without the quotes that its other answers have."""
    found = {
        "path": "a.mp4",
        "size": 1,
        "last_modified": datetime(2026, 1, 1, tzinfo=UTC),
        "e_tag": '"0x8D"',
        "version": None,
    }
    quoted, bare = cloud._remote_file("az://b/a.mp4", found), cloud._remote_file("az://b/a.mp4", found | {"e_tag": "0x8D"})  # type: ignore[arg-type]
    assert quoted == bare
    assert quoted.version == '"0x8D"'
