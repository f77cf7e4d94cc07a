"""Libraries in Google Cloud Storage, which goes by generations where others go by ETags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.object_store.store import ChangedError, open_store
from index.storage import working_copies
from tests.helpers.google_store import GoogleStore, google_store
from tests.helpers.stored_library import Machine
from tests.helpers.tagged_library import unit

URL = "gs://archive/libs/films"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleStore]:
    monkeypatch.setattr(working_copies, "_COPIES", {})
    with google_store(monkeypatch) as bucket:
        yield bucket


def test_objects_are_put_on_conditions(bucket: GoogleStore) -> None:
    store, other = open_store(URL), open_store(URL)
    first = store.put_new("CURRENT", b"1")
    with pytest.raises(ChangedError):
        store.put_new("CURRENT", b"2")
    second = other.put_over("CURRENT", b"2", first)
    with pytest.raises(ChangedError):
        store.put_over("CURRENT", b"3", first)
    assert store.put_over("CURRENT", b"3", second) == bucket.objects["libs/films/CURRENT"].etag.strip('"')
    with pytest.raises(ChangedError):
        store.put_over("nothing", b"1", first)


def test_what_one_machine_writes_another_reads_and_writes(bucket: GoogleStore, tmp_path: Path) -> None:
    here, there = (Machine(tmp_path / name, open_store(URL)) for name in ("here", "there"))
    here.write({"/a.mp4": [unit(1, 0, 0, 0)]})
    assert there.paths() == ["/a.mp4"]
    there.write({"/b.mp4": [unit(0, 1, 0, 0)]})
    here.restart()
    assert (here.paths(), here.breaches()) == (["/a.mp4", "/b.mp4"], [])
    assert bucket.objects["libs/films/CURRENT"].content == b"2\n"
