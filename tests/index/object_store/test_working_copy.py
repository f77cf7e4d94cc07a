"""Libraries in object stores: what one machine writes another reads, and nothing is lost on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import index.object_store.working_copy as working_copy
from index.history import history
from index.object_store.copied_files import CopiedFiles
from index.object_store.push import delete_unreferenced
from index.reader import LibraryReader
from index.snapshot.publish import publish_tables
from index.storage.lock import open_for_writing
from jobs.maintain.relocate import relocate
from jobs.maintain.rollback import compact, rollback
from schemas.errors import LibraryError, LockedError
from server.libraries import ServedLibraries
from tests.helpers.stored_library import URL, CountedStore, Machine
from tests.helpers.tagged_library import IDENTITY, commit, make_library, unit

FIRST, SECOND = unit(1, 0, 0, 0), unit(0, 1, 0, 0)

Machines = Callable[[str], Machine]


def test_what_one_machine_writes_another_reads_and_writes(machine: Machines) -> None:
    here, there = machine("here"), machine("there")
    here.write({"/a.mp4": [FIRST]})
    assert there.paths() == ["/a.mp4"]
    there.write({"/b.mp4": [SECOND, FIRST]})
    here.restart()
    assert here.paths() == ["/a.mp4", "/b.mp4"]
    assert (here.breaches(), there.breaches()) == ([], [])


def test_it_goes_by_its_address(machine: Machines) -> None:
    here = machine("here")
    with pytest.raises(LibraryError, match=f"'{URL}' is not a vidsift library"):
        here.paths()
    here.write({"/a.mp4": [FIRST]})
    assert LibraryReader(here.folder, embedder=None, memory_mb=512, say=print).status().folder == URL


def test_a_reader_fetches_what_it_lacks_and_no_tables(machine: Machines, store: CountedStore) -> None:
    here, there = machine("here"), machine("there")
    here.write({"/a.mp4": [FIRST]})
    store.asked.clear()
    there.paths()
    fetched = store.of("fetch")
    assert {name.split("/")[0] for name in fetched} == {"segments", "snapshots"}
    assert not {"clips", "videos", "tags"} & {path.name for path in there.folder.iterdir()}
    here.write({"/b.mp4": [SECOND]})
    store.asked.clear()
    there.restart()
    assert there.paths() == ["/a.mp4", "/b.mp4"]
    assert not set(store.of("fetch")) & set(fetched), "nothing comes twice"
    store.asked.clear()
    there.restart()
    assert (there.paths(), store.of("fetch")) == (["/a.mp4", "/b.mp4"], [])


def test_an_open_library_finds_what_is_published_later(machine: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = machine("here"), machine("there")
    here.write({"/a.mp4": [FIRST]})
    count = "select count(*) as n from videos"
    with LibraryReader(there.folder, embedder=None, memory_mb=512, say=print) as reader:
        assert reader.sql(count).to_pylist() == [{"n": 1}]
        here.write({"/b.mp4": [SECOND]})
        assert reader.sql(count).to_pylist() == [{"n": 1}], "it does not ask with every question"
        monkeypatch.setattr(working_copy, "REFRESH_S", 0.0)
        deadline = time.monotonic() + 10
        while reader.sql(count).to_pylist() != [{"n": 2}]:
            assert time.monotonic() < deadline, "the new snapshot never came"
            time.sleep(0.01)


def test_of_two_writers_one_is_told_who_the_other_is(machine: Machines) -> None:
    here, there = machine("here"), machine("there")
    with (
        here.writing(),
        pytest.raises(LockedError, match=rf"{URL} is being written by another ingest \(process \d+ on .*it said"),
    ):
        there.write({"/b.mp4": [SECOND]})
    there.write({"/b.mp4": [SECOND]})
    assert there.paths() == ["/b.mp4"]


def test_a_writer_whose_lease_was_taken_changes_nothing(machine: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = machine("here"), machine("there")
    here.write({"/a.mp4": [FIRST]})
    monkeypatch.setattr("index.object_store.lease.LEASE_S", 0.0)  # as if this one had been away for a minute

    def write_too_slowly() -> None:
        with here.writing() as (library, tables):
            commit(tables, "/lost.mp4", [FIRST])
            there.write({"/b.mp4": [SECOND]})
            publish_tables(library, tables, IDENTITY)

    with pytest.raises(LibraryError, match="was put by somebody else in the meantime"):
        write_too_slowly()
    for one in (here, there):
        one.restart()
        assert (one.breaches(), one.paths()) == ([], ["/a.mp4", "/b.mp4"])
    here.write({"/lost.mp4": [FIRST]})
    assert here.paths() == ["/a.mp4", "/b.mp4", "/lost.mp4"]


def test_a_lease_that_is_renewed_is_not_taken(machine: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.object_store.lease.LEASE_S", 2.0)
    monkeypatch.setattr("index.object_store.lease._RENEW_S", 0.2)
    here, there = machine("here"), machine("there")
    with here.writing():
        time.sleep(2.5)
        with pytest.raises(LockedError):
            there.write({"/b.mp4": [SECOND]})
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_wherever_a_writer_breaks_off_the_store_holds_a_whole_library(
    machine: Machines, store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it deletes: the clips of a video go after the video."""
    monkeypatch.setattr("index.object_store.lease.LEASE_S", 0.0)
    machine("first").write({"/a.mp4": [FIRST], "/b.mp4": [SECOND]})
    seen, number = set[tuple[str, ...]](), 0
    while True:
        writer, number = machine(f"writer {number}"), number + 1
        gone = writer.paths()[0]
        store.changes_left = number
        try:
            with writer.writing() as (library, tables):
                rows = tables.read_videos(["video_id", "path"]).to_pylist()
                tables.remove_videos([row["video_id"] for row in rows if row["path"] == gone])
                tables.drop_orphans()
                commit(tables, f"/new {number}.mp4", [FIRST, SECOND])
                tables.push()
                publish_tables(library, tables, IDENTITY)
            is_done = True
        except LibraryError:
            is_done = False
        store.changes_left = None
        reader = machine(f"reader {number}")
        seen.add(tuple(reader.paths()))
        wrong = [breach for breach in reader.breaches() if "it shows what the tables hold" not in breach]
        assert wrong == [], f"after {number} changes"
        if is_done:
            break
    assert number > 10
    assert len(seen) > 1


def test_what_was_not_brought_over_is_brought_over_by_the_next_writer_of_the_machine(
    machine: Machines, store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.object_store.lease.LEASE_S", 0.0)
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})
    store.changes_left = 0
    with pytest.raises(LibraryError, match="the machine is gone"):
        here.write({"/b.mp4": [SECOND]})
    store.changes_left = None
    assert machine("there").paths() == ["/a.mp4"]
    here.restart()
    with here.writing() as (library, tables):
        assert sorted(tables.read_videos(["path"])["path"].to_pylist()) == ["/a.mp4", "/b.mp4"]
        publish_tables(library, tables, IDENTITY)
    assert (machine("later").paths(), here.breaches()) == (["/a.mp4", "/b.mp4"], [])


def test_a_store_that_is_away_for_a_while_holds_nobody_up(machine: Machines, store: CountedStore) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})
    with here.writing() as (library, tables):
        commit(tables, "/b.mp4", [SECOND])
        store.is_away = True
        tables.push()
        commit(tables, "/c.mp4", [SECOND])
        tables.push()
        store.is_away = False
        publish_tables(library, tables, IDENTITY)
    assert machine("there").paths() == ["/a.mp4", "/b.mp4", "/c.mp4"]


def test_a_store_that_stays_away_is_said_and_what_was_done_is_kept(machine: Machines, store: CountedStore) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})

    def write_into_the_void() -> None:
        with here.writing() as (library, tables):
            commit(tables, "/b.mp4", [SECOND])
            store.is_away = True
            publish_tables(library, tables, IDENTITY)

    said = r"cannot be reached .*what was done is kept on this machine: run the same command"
    with pytest.raises(LibraryError, match=said):
        write_into_the_void()
    store.is_away = False
    assert machine("there").paths() == ["/a.mp4"]
    here.restart()
    with here.writing():
        pass
    assert (machine("later").paths(), here.breaches()) == (["/a.mp4", "/b.mp4"], [])


def test_a_machine_knows_what_it_has_put_also_where_it_could_not_note_that(
    machine: Machines, store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.object_store.lease.LEASE_S", 0.0)
    here = machine("here")
    here.write({"/a.mp4": [FIRST]})
    state = (here.folder.parent / ".store" / "state.json").read_bytes()
    store.changes_left = 3  # a Parquet file, an entry of a log, and the next Parquet file
    with pytest.raises(LibraryError, match="the machine is gone"):
        here.write({"/b.mp4": [SECOND]})
    store.changes_left = None
    (here.folder.parent / ".store" / "state.json").write_bytes(state)
    here.restart()
    with here.writing() as (library, tables):
        assert sorted(tables.read_videos(["path"])["path"].to_pylist()) == ["/a.mp4", "/b.mp4"]
        publish_tables(library, tables, IDENTITY)
    assert (machine("later").paths(), here.breaches()) == (["/a.mp4", "/b.mp4"], [])


def test_what_was_not_brought_over_gives_way_to_what_others_wrote(
    machine: Machines, store: CountedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.object_store.lease.LEASE_S", 0.0)
    here, there = machine("here"), machine("there")
    here.write({"/a.mp4": [FIRST]})
    store.changes_left = 0
    with pytest.raises(LibraryError):
        here.write({"/b.mp4": [SECOND]})
    store.changes_left = None
    there.write({"/c.mp4": [SECOND]})
    here.restart()
    here.write({"/d.mp4": [FIRST]})
    assert (here.paths(), here.breaches()) == (["/a.mp4", "/c.mp4", "/d.mp4"], [])


def test_whatever_is_deleted_of_a_working_copy_stays_in_the_store(machine: Machines, store: CountedStore) -> None:
    here = machine("here")
    here.write({"/a.mp4": [FIRST], "/b.mp4": [SECOND]})
    files = sorted(path for path in here.folder.parent.rglob("*") if path.is_file())
    before = store.names()
    for number, path in enumerate(files):
        path.unlink(missing_ok=True)
        here.restart()
        with here.writing() as (library, tables):
            tables.drop_orphans()
            publish_tables(library, tables, IDENTITY)
        assert set(before) <= set(store.names()), path
        assert machine(f"reader {number}").paths() == ["/a.mp4", "/b.mp4"], path
    assert here.breaches() == []


def test_what_is_damaged_in_the_store_is_said(machine: Machines, store: CountedStore) -> None:
    machine("here").write({"/a.mp4": [FIRST]})
    name = next(name for name in store.names("segments/") if name.endswith("timeline.npy"))
    store.put(name, b"no timeline")
    with pytest.raises(LibraryError, match=f"{name} is damaged in its store: it is not as it was written"):
        machine("there").paths()


def test_a_writer_reads_of_old_tables_what_it_needs(machine: Machines, store: CountedStore) -> None:
    """A machine that has never seen the library adds to it: of the clips that are there it asks for single columns."""
    machine("here").write({"/a.mp4": [FIRST] * 50})
    there = machine("there")
    store.asked.clear()
    there.write({"/b.mp4": [SECOND]})
    assert not [name for name in store.of("fetch") if name.startswith("clips/") and name.endswith(".parquet")]
    assert (there.paths(), there.breaches()) == (["/a.mp4", "/b.mp4"], [])


def test_a_compaction_leaves_one_file_of_each_table_in_the_store(machine: Machines, store: CountedStore) -> None:
    here, there = machine("here"), machine("there")
    for name in "abc":
        here.write({f"/{name}.mp4": [FIRST]})
    assert compact(there.folder) == {"files_before": 6, "files_after": 2}
    assert len([name for name in store.names("clips/") if name.startswith("clips/part-")]) == 1
    here.restart()
    assert (here.breaches(), here.paths()) == ([], ["/a.mp4", "/b.mp4", "/c.mp4"])
    with pytest.raises(LibraryError, match="compacted the library"):
        rollback(here.folder, 1)


def test_any_machine_knows_the_history_and_can_go_back(machine: Machines) -> None:
    here, there = machine("here"), machine("there")
    for name in "abc":
        here.write({f"/{name}.mp4": [FIRST]})
    assert [entry.number for entry in history(there.folder)] == [3, 2, 1]
    assert rollback(there.folder, 1) == 4
    assert (there.paths(), there.breaches()) == (["/a.mp4"], [])


def test_segments_that_nothing_refers_to_are_deleted_when_they_are_old(
    machine: Machines, store: CountedStore, tmp_path: Path
) -> None:
    here = machine("here")
    for name in "abcde":
        here.write({f"/{name}.mp4": [FIRST]})
    store.put("segments/0123456789abcdef/segment.json", b"{}")
    before = store.names("segments/")
    files = CopiedFiles(here.folder, store, tmp_path / "state.json")
    delete_unreferenced(files, lambda: None)
    assert store.names("segments/") == before, "they may be on their way"
    delete_unreferenced(files, lambda: None, timedelta(0))
    assert not [name for name in store.names("segments/") if "0123456789abcdef" in name]
    assert [name for name in store.names("snapshots/") if name.endswith("videos.duckdb")] == [
        f"snapshots/{number}/videos.duckdb" for number in (3, 4, 5)
    ]
    assert machine("there").breaches() == []


def test_a_server_looks_for_new_snapshots_by_itself(machine: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.libraries._REFRESH_S", 0.02)
    monkeypatch.setattr(working_copy, "REFRESH_S", 0.0)
    here, there = machine("here"), machine("there")
    here.write({"/a.mp4": [FIRST]})
    served = ServedLibraries([there.folder], embedder=None, say=print)
    try:
        here.write({"/b.mp4": [SECOND]})
        current, deadline = there.folder / "CURRENT", time.monotonic() + 10
        while current.read_text() != "2\n":
            assert time.monotonic() < deadline, "nobody looked"
            time.sleep(0.01)
        assert [entry.number for entry in served.named(None).history()] == [2, 1]
    finally:
        served.close()


def test_the_history_is_listed_once_for_each_snapshot(machine: Machines, store: CountedStore) -> None:
    here, there = machine("here"), machine("there")
    here.write({"/a.mp4": [FIRST]})
    history(there.folder)
    store.asked.clear()
    history(there.folder)
    assert store.asked == []


def test_a_library_that_was_copied_from_a_disk_is_one(machine: Machines, store: CountedStore, tmp_path: Path) -> None:
    on_disk = make_library(tmp_path / "library", {"/a.mp4": [FIRST], "/b.mp4": [SECOND]})
    with open_for_writing(on_disk):
        pass  # leaves a lock file
    for path in sorted(on_disk.rglob("*")):
        if path.is_file():
            store.put(path.relative_to(on_disk).as_posix(), path)
    here = machine("here")
    assert here.paths() == ["/a.mp4", "/b.mp4"]
    here.write({"/c.mp4": [FIRST]})
    assert (machine("there").paths(), here.breaches()) == (["/a.mp4", "/b.mp4", "/c.mp4"], [])


def test_sources_that_have_moved_are_renamed_in_the_store(machine: Machines) -> None:
    machine("here").write({"/old/a.mp4": [FIRST]})
    relocate(machine("there").folder, "/old", "/new")
    assert machine("later").paths() == ["/new/a.mp4"]
