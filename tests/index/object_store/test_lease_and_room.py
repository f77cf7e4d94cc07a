"""The lease of a store that does not honour conditions, and room for working copies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.object_store.lease import Lease
from index.object_store.room import make_room, size_bytes
from index.object_store.store import Store
from schemas.errors import LibraryError, UsageError
from tests.helpers.stored_library import URL, CountedStore, Machine
from tests.helpers.tagged_library import unit


class Careless(CountedStore):
    """A store that puts whatever it is given."""

    def _put_if(self, name: str, content: bytes, mode: Any) -> str:
        return Store.put(self, name, content)


def test_a_store_that_does_not_honour_conditions_is_refused() -> None:
    store = Careless()
    with pytest.raises(LibraryError, match=r"does not honour conditions \(If-None-Match and If-Match\), without which two"):
        Lease(store, URL).take("process 1 on a")
    assert store.names() == [], "it leaves nothing behind"


def test_a_lost_answer_is_not_taken_for_somebody_elses_object() -> None:
    store = CountedStore()
    etag = store.put("a", b"1")
    assert store.put_new("a", b"1") == etag
    assert store.put_over("a", b"1", "an older one") == etag


def filled(place: Path, num_bytes: int, used_at: int) -> Path:
    """A working copy of so many bytes."""
    (place / "films").mkdir(parents=True)
    (place / "films" / "data").write_bytes(bytes(num_bytes))
    (place / ".store").mkdir()
    (place / ".store" / "state.json").touch()
    os.utime(place / ".store" / "state.json", (used_at, used_at))
    return place


def test_what_was_not_used_for_the_longest_time_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDSIFT_LIBRARY_CACHE_GB", "0.00001")  # 10,000 bytes
    mine, old, new = (filled(tmp_path / name, 3000, used_at) for name, used_at in (("mine", 3), ("old", 1), ("new", 2)))
    make_room(mine, 1000)
    assert all(place.exists() for place in (mine, old, new)), "there is room"
    make_room(mine, 4000)
    assert (old.exists(), new.exists()) == (False, True)
    said = r"the library needs 1.1e-05 GB .* may take 1e-05 GB there: set VIDSIFT_LIBRARY_CACHE_GB"
    with pytest.raises(LibraryError, match=said):
        make_room(mine, 8000)
    assert size_bytes(mine) == 3000


def test_a_working_copy_that_is_in_use_stays(
    tmp_path: Path, machine: Callable[[str], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine("here")
    with here.writing():
        monkeypatch.setenv("VIDSIFT_LIBRARY_CACHE_GB", "0.000000001")
        with pytest.raises(LibraryError, match="the library needs"):
            make_room(tmp_path / "other", 1)
        assert here.folder.exists()


@pytest.mark.parametrize("limit", ["0", "-1", "much", "nan"])
def test_a_limit_that_is_none_is_refused(limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDSIFT_LIBRARY_CACHE_GB", limit)
    with pytest.raises(UsageError, match=f"VIDSIFT_LIBRARY_CACHE_GB is '{limit}', expected a number of GB above 0"):
        make_room(tmp_path, 1)


def test_a_reader_without_room_says_so_before_it_fetches(
    machine: Callable[[str], Machine], store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("here").write({"/a.mp4": [unit(1, 0, 0, 0)]})
    monkeypatch.setenv("VIDSIFT_LIBRARY_CACHE_GB", "0.000001")
    store.asked.clear()
    with pytest.raises(LibraryError, match="the library needs"):
        machine("there").paths()
    assert store.of("fetch") == []
