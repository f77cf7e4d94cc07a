"""Working copies after mishaps: stores that fail midway, writers that sleep, clocks, power cuts, other libraries."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import index.object_store.lease as lease_module
from index.object_store.copied_files import CopiedFiles
from index.object_store.lease import Lease
from index.object_store.manifest import files_of_folder, objects_of_snapshot, records_of_folder
from index.object_store.room import make_room
from index.object_store.store import ChangedError, DamagedError, Read, StoreUnavailableError, open_store
from index.reader import LibraryReader
from index.snapshot.publish import publish_tables
from index.storage import working_copies
from index.storage.lock import write_lock
from index.storage.paths import Library
from jobs.maintain.rollback import compact, rollback
from schemas.errors import LibraryError, LockedError
from tests.helpers.google_store import google_store
from tests.helpers.object_store import object_store
from tests.helpers.stored_library import URL, CountedStore, Machine
from tests.helpers.tagged_library import IDENTITY, commit, unit

FIRST, SECOND = unit(1, 0, 0, 0), unit(0, 1, 0, 0)

Machines = Callable[[str], Machine]


@pytest.fixture
def free_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that anybody may take at once, as if a minute had gone by."""
    monkeypatch.setattr(lease_module, "LEASE_S", 0.0)


def breaks_off(writer: Machine, store: CountedStore, changes: int, **videos: list[Any]) -> None:
    """Let a writer publish videos, and die after so many changes of the store."""
    store.changes_left = changes
    with pytest.raises(LibraryError, match="the machine is gone"):
        writer.write({f"/{name}.mp4": vectors for name, vectors in videos.items()})
    store.changes_left = None
    writer.restart()


def test_a_rollback_that_cannot_read_a_file_changes_nothing(
    machine: Machines, store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machine("here"), machine("there")
    here.write({"/a.mp4": [FIRST]})
    here.write({"/b.mp4": [SECOND]})
    fetch = store.fetch

    def fetch_no_clips(name: str, path: Path) -> tuple[str, str]:
        if name.startswith("clips/part-"):
            raise StoreUnavailableError(f"{name} cannot be reached")
        return fetch(name, path)

    monkeypatch.setattr(store, "fetch", fetch_no_clips)
    with pytest.raises(LibraryError, match="cannot be reached"):
        rollback(there.folder, 1)
    monkeypatch.setattr(store, "fetch", fetch)
    machine("later").write({"/c.mp4": [FIRST]})
    assert (machine("reader").paths(), here.breaches()) == (["/a.mp4", "/b.mp4", "/c.mp4"], [])


@pytest.mark.parametrize("slept_at", ["clips/", "videos/"])
def test_a_compaction_that_sleeps_deletes_nothing_of_others(
    slept_at: str, machine: Machines, store: CountedStore, monkeypatch: pytest.MonkeyPatch, free_lease: None
) -> None:
    here, there = machine("here"), machine("there")
    here.write({"/a.mp4": [FIRST]})
    here.write({"/b.mp4": [FIRST]})
    listed = store.listed

    def listed_late(prefix: str = "") -> Any:
        if prefix == slept_at:
            monkeypatch.setattr(store, "listed", listed)
            there.write({"/c.mp4": [SECOND]})
        return listed(prefix)

    monkeypatch.setattr(store, "listed", listed_late)
    with pytest.raises(LibraryError, match=r"the lease of .* was lost"):
        compact(here.folder)
    assert (machine("reader").paths(), machine("other").breaches()) == (["/a.mp4", "/b.mp4", "/c.mp4"], [])


def test_what_the_store_has_lost_is_put_again(machine: Machines, store: CountedStore, free_lease: None) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})
    before = store.names()
    breaks_off(here, store, 1, b=[SECOND])  # a Parquet file is there, and nothing names it yet
    store.delete([name for name in store.names("clips/") if name not in before])
    here.write({"/c.mp4": [FIRST]})
    assert (machine("reader").paths(), machine("other").breaches()) == (["/a.mp4", "/b.mp4", "/c.mp4"], [])


def test_what_is_only_here_and_not_whole_is_dropped(machine: Machines, store: CountedStore, free_lease: None) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})
    breaks_off(here, store, 0, b=[SECOND])
    for path in (here.folder / "clips").glob("part-*"):
        if f"clips/{path.name}" not in store.names():
            path.unlink()
    here.write({"/c.mp4": [FIRST]})
    assert (machine("reader").paths(), machine("other").breaches()) == (["/a.mp4", "/c.mp4"], [])


def test_a_snapshot_that_was_not_brought_over_gives_way_to_commits_of_others(
    machine: Machines, store: CountedStore, free_lease: None
) -> None:
    here, there = machine("here"), machine("there")
    here.write({"/a.mp4": [FIRST]})
    breaks_off(here, store, 0, b=[SECOND])
    with there.writing() as (_, tables):
        commit(tables, "/c.mp4", [SECOND])  # and publishes nothing
    here.write({"/d.mp4": [FIRST]})
    assert (machine("reader").paths(), here.breaches()) == (["/a.mp4", "/c.mp4", "/d.mp4"], [])


def test_a_small_file_that_was_put_before_the_end_is_known(machine: Machines, store: CountedStore, free_lease: None) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})
    state_file = here.folder.parent / ".store" / "state.json"
    state, library_file = state_file.read_bytes(), here.folder / "library.json"

    def write_into_the_void() -> None:
        with here.writing() as (_, tables):
            commit(tables, "/b.mp4", [SECOND])
            library_file.write_text(library_file.read_text() + "\n")
            store.is_away = True

    with pytest.raises(LibraryError, match="cannot be reached"):
        write_into_the_void()
    store.is_away = False
    store.put("library.json", library_file)
    state_file.write_bytes(state)  # killed before it could note that
    here.restart()
    with here.writing() as (library, tables):
        assert sorted(tables.read_videos(["path"])["path"].to_pylist()) == ["/a.mp4", "/b.mp4"]
        publish_tables(library, tables, IDENTITY)
    assert machine("reader").paths() == ["/a.mp4", "/b.mp4"]


@pytest.mark.parametrize("name", ["library.json", "CURRENT"])
def test_a_file_that_a_power_cut_left_empty_is_fetched_again(name: str, machine: Machines, store: CountedStore) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})
    content = store.read(name)
    assert content is not None
    (here.folder / name).write_bytes(b"")
    here.restart()
    with write_lock(Library(here.folder)):
        pass
    assert (store.read(name), (here.folder / name).read_bytes()) == (content, content.content)
    assert here.paths() == machine("there").paths() == ["/a.mp4"]


def test_a_clock_that_was_set_back_does_not_reorder_a_log(machine: Machines, store: CountedStore, free_lease: None) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})

    def write_while_the_clock_is_set() -> None:
        with here.writing() as (_, tables):
            commit(tables, "/b.mp4", [FIRST])
            for path in here.folder.glob("*/_delta_log/*.json"):
                os.utime(path, (4e9, 4e9))
            commit(tables, "/c.mp4", [SECOND])
            store.changes_left = 4

    with pytest.raises(LibraryError, match="the machine is gone"):
        write_while_the_clock_is_set()
    store.changes_left = None
    there = machine("there")
    there.write({"/d.mp4": [FIRST]})
    assert there.breaches() == []


def test_a_working_copy_with_what_is_only_there_is_kept(
    machine: Machines, store: CountedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_lease: None
) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})
    breaks_off(here, store, 0, b=[SECOND])
    monkeypatch.setenv("VIDSIFT_LIBRARY_CACHE_GB", "0.000001")
    with pytest.raises(LibraryError, match="the library needs"):
        make_room(tmp_path / "other", 10)
    monkeypatch.delenv("VIDSIFT_LIBRARY_CACHE_GB")
    with here.writing():
        pass
    here.restart()
    monkeypatch.setenv("VIDSIFT_LIBRARY_CACHE_GB", "0.000001")
    make_room(tmp_path / "other", 10)
    assert not here.folder.exists(), "all of it is in the store now"


def test_an_open_library_keeps_its_working_copy(machine: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine("here").write({"/a.mp4": [FIRST]})
    there = machine("there")
    with LibraryReader(there.folder, embedder=None, memory_mb=512, say=print) as reader:
        assert reader.sql("select count(*) as n from videos").to_pylist() == [{"n": 1}]
        monkeypatch.setenv("VIDSIFT_LIBRARY_CACHE_GB", "0.000001")
        with pytest.raises(LibraryError, match="the library needs"):
            make_room(tmp_path / "other", 10)
        assert there.folder.exists()


@pytest.mark.parametrize("mishap", ["missing", "damaged"])
def test_a_snapshot_that_the_store_has_not_whole_is_published_anew(
    mishap: str, machine: Machines, store: CountedStore
) -> None:
    machine("here").write({"/a.mp4": [FIRST]})
    name = next(name for name in store.names("segments/") if name.endswith("timeline.npy"))
    if mishap == "missing":
        store.delete([name])
    else:
        store.put(name, b"no timeline")
    there = machine("there")
    there.write({"/b.mp4": [SECOND]})
    assert (machine("reader").paths(), there.breaches()) == (["/a.mp4", "/b.mp4"], [])


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(working_copies, "_COPIES", {})
    with google_store(monkeypatch) as bucket:
        yield bucket


def test_another_library_at_the_same_address_is_told(google: Any, tmp_path: Path) -> None:
    """Objects of the same content have the same ETag, and every library's first CURRENT has the same content."""
    here, there = (Machine(tmp_path / name, open_store("gs://archive/films")) for name in ("here", "there"))
    here.write({"/old.mp4": [FIRST]})
    assert there.paths() == ["/old.mp4"]
    google.objects.clear()
    Machine(tmp_path / "new", open_store("gs://archive/films")).write({"/new.mp4": [SECOND]})
    there.restart()
    assert there.paths() == ["/new.mp4"]
    here.restart()
    here.write({"/more.mp4": [FIRST]})
    assert here.paths() == ["/more.mp4", "/new.mp4"]


def test_a_bucket_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_copies, "_COPIES", {})
    with object_store(monkeypatch, tmp_path / "cache"):
        nowhere = Machine(tmp_path / "here", open_store("s3://nowhere/films"))
        with pytest.raises(LibraryError, match="there is no s3://nowhere, or it may not be seen with these"):
            nowhere.write({"/a.mp4": [FIRST]})


class OnlyNew(CountedStore):
    """A store that honours If-None-Match and takes no notice of If-Match."""

    def _put_if(self, name: str, content: bytes, mode: Any) -> str:
        return super()._put_if(name, content, mode) if mode == "create" else super().put(name, content)


def test_a_store_that_honours_one_condition_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_copies, "_COPIES", {})
    store = OnlyNew()
    writer = Machine(tmp_path / "here", store)
    for _ in range(2):  # also by the next attempt
        with pytest.raises(LibraryError, match="does not honour conditions"):
            writer.write({"/a.mp4": [FIRST]})
        assert store.names() == []


def test_of_a_machine_whose_clock_is_behind_a_dead_writer_is_found_out(
    store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "LEASE_S", 0.2)
    monkeypatch.setattr(lease_module, "_RENEW_S", 0.05)
    dead, living = Lease(store, URL), Lease(store, URL)
    dead.take("process 1 on a")
    dead._ended.set()
    read = store.read

    def read_ahead(name: str) -> Read | None:
        found: Read | None = read(name)
        return None if found is None else found._replace(modified_at=datetime.now(UTC) + timedelta(hours=2))

    monkeypatch.setattr(store, "read", read_ahead)
    living.take("process 2 on b")
    with pytest.raises(LockedError, match=r"process 2 on b; it said so 0 s ago"):
        Lease(store, URL).take("process 3 on c")
    living.release()


def test_a_lease_that_nobody_renews_any_more_is_lost(store: CountedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_RENEW_S", 0.01)
    lease = Lease(store, URL)
    lease.take("process 1 on a")
    monkeypatch.setattr(store, "put_over", lambda *_: 1 / 0)
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "lease")
    thread.join(10)
    with pytest.raises(LibraryError, match=r"was lost \(division by zero\)"):
        lease.check()


def test_small_files_are_put_over_what_was_seen_and_nothing_else(store: CountedStore, tmp_path: Path) -> None:
    files = CopiedFiles(tmp_path / "films", store, tmp_path / "state.json")
    for name in ("CURRENT", "library.json"):
        files.replace(name, b"1", store.put(name, b"1"))
        store.put(name, b"2")
        files.path(name).write_bytes(b"3")
        with pytest.raises(ChangedError):
            files.put_replaced(name)
        found = store.read(name)
        assert found is not None
        assert found.content == b"2"


def test_a_writer_whose_lease_is_lost_pushes_nothing(machine: Machines, store: CountedStore) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})

    def write_without_the_lease() -> None:
        with here.writing() as (_, tables):
            commit(tables, "/b.mp4", [SECOND])
            here.copy._lease._lost = LibraryError("somebody has it")
            store.asked.clear()
            tables.push()

    with pytest.raises(LibraryError, match="somebody"):
        write_without_the_lease()
    assert store.of("put") == []


@pytest.mark.parametrize(
    "pattern",
    ["segments/*/segment.json", "segments/*/clips.duckdb", "snapshots/1/videos.duckdb", "snapshots/1/snapshot.json"],
)
def test_whatever_is_changed_in_the_store_is_noticed(pattern: str, machine: Machines, store: CountedStore) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})
    (path,) = here.folder.glob(pattern)
    content = path.read_bytes()
    store.put(path.relative_to(here.folder).as_posix(), content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(LibraryError, match="is damaged in its store"):
        machine("there").paths()


def test_records_are_checked_by_their_name(store: CountedStore, tmp_path: Path) -> None:
    files = CopiedFiles(tmp_path / "films", store, tmp_path / "state.json")
    store.put("records/0123456789abcdef.bin", b"no such content")
    with pytest.raises(DamagedError, match=r"records/0123456789abcdef.bin is damaged in its store"):
        files.fetch({"records/0123456789abcdef.bin": None})


@pytest.mark.parametrize("name", ["../../etc/passwd", ".hidden", "a\\\\b", ""])
def test_descriptions_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(DamagedError):
        objects_of_snapshot(1, f'{{"sha256": {{"{name}": "0"}}}}'.encode())
    with pytest.raises(DamagedError):
        objects_of_snapshot(1, f'{{"sha256": {{}}, "segments": [["{name}", 1, 1]]}}'.encode())
    with pytest.raises(DamagedError):
        list(records_of_folder(f'{{"features": {{"files": ["{name}"]}}}}'.encode()))
    with pytest.raises(DamagedError):
        files_of_folder("segments/0123456789abcdef", b'{"sha256": []}')
