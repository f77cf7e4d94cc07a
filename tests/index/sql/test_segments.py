"""A catalog of several segments shows what one file with the same rows does, and nothing of what is dead."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from index.sql.catalog import Catalog
from index.sql.catalog_files import CatalogFiles
from schemas.errors import LibraryError, QueryError
from schemas.records import VideoFile, VideoInfo, VideoRow
from schemas.sql import FORMAT_1_TABLES, TABLES
from tests.helpers.segment_catalog import MadeClip, MadeVideo, write_one_file, write_segments

OLD = MadeVideo("a1", None, (MadeClip(1, 0.0, (("waving", 0.5),), {"mine": 0.9}), MadeClip(2, 4.0)))
NEW = MadeVideo("a2", "/v/z.mp4", (MadeClip(30, 0.0, (("waving", 0.25), ("diving", 0.125))), MadeClip(31, 4.0)))
MOVED = MadeVideo("b1", "/v/it's [a] *.mp4", (MadeClip(11, 0.0, (("running", 0.75), ("waving", 0.125)), {"mine": 0.75}),))
KEPT = MadeVideo(
    "c1",
    "/v/c.mp4",
    (
        MadeClip(20, 0.0, (("running", 0.5),), {"mine": 0.25, "another": 0.5}),
        MadeClip(21, 4.0, (), {"mine": 0.125}),
    ),
)
SEGMENTS = ((OLD, MOVED, KEPT), (NEW,))
FAILED = VideoRow(VideoInfo("d1", VideoFile("/v/d.mp4", 20, 0)), "failed", 0, "probe", "no video stream")


@pytest.fixture
def files(tmp_path: Path) -> CatalogFiles:
    return write_segments(tmp_path / "segments", SEGMENTS, [FAILED])


@pytest.fixture
def catalog(files: CatalogFiles) -> Iterator[Catalog]:
    opened = Catalog(files)
    yield opened
    opened.close()


def rows(catalog: Catalog, query: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in catalog.sql(query).to_pylist()]


def test_every_table_is_that_of_one_file_row_by_row(catalog: Catalog, tmp_path: Path) -> None:
    one_file = Catalog(write_one_file(tmp_path / "one", SEGMENTS, [FAILED]))
    for table in FORMAT_1_TABLES:
        columns = one_file.columns(table.name)
        shown = catalog.sql(f"select {', '.join(columns)} from {table.name}")
        assert shown == one_file.sql(f"from {table.name}"), table.name
        assert shown.num_rows > 0
        assert catalog.fingerprint(table.name, columns) == one_file.fingerprint(table.name, columns)
        assert set(columns) == set(table.column_names) - {"annotation_error"}  # which format 1 did not have
    for table in TABLES:
        described = catalog.sql(f"describe {table.name}")
        assert described["column_name"].to_pylist() == list(table.column_names)
        assert described["column_type"].to_pylist() == [column.type for column in table.columns]
    assert catalog.keywords() == one_file.keywords()
    one_file.close()


def test_what_is_shown(catalog: Catalog) -> None:
    assert rows(catalog, "select clip_id, video_id, path, start_s, end_s, label, label_score from clips") == [
        (20, "c1", "/v/c.mp4", 0.0, 4.0, "running", 0.5),
        (21, "c1", "/v/c.mp4", 4.0, 8.0, None, None),
        (11, "b1", "/v/it's [a] *.mp4", 0.0, 4.0, "running", 0.75),
        (30, "a2", "/v/z.mp4", 0.0, 4.0, "waving", 0.25),
        (31, "a2", "/v/z.mp4", 4.0, 8.0, None, None),
    ]
    assert rows(catalog, "select clip_id, path, start_s, end_s, rank, label, score, model from labels") == [
        (20, "/v/c.mp4", 0.0, 4.0, 1, "running", 0.5, "c@1"),
        (11, "/v/it's [a] *.mp4", 0.0, 4.0, 1, "running", 0.75, "c@1"),
        (11, "/v/it's [a] *.mp4", 0.0, 4.0, 2, "waving", 0.125, "c@1"),
        (30, "/v/z.mp4", 0.0, 4.0, 1, "waving", 0.25, "c@1"),
        (30, "/v/z.mp4", 0.0, 4.0, 2, "diving", 0.125, "c@1"),
    ]
    assert rows(catalog, "select clip_id, video_id, path, start_s, end_s, tag, score, prompt, model from tags") == [
        (20, "c1", "/v/c.mp4", 0.0, 4.0, "another", 0.5, "another?", "e@2"),
        (20, "c1", "/v/c.mp4", 0.0, 4.0, "mine", 0.25, "mine?", "e@2"),
        (21, "c1", "/v/c.mp4", 4.0, 8.0, "mine", 0.125, "mine?", "e@2"),
        (11, "b1", "/v/it's [a] *.mp4", 0.0, 4.0, "mine", 0.75, "mine?", "e@2"),
    ]
    assert rows(catalog, "select video_id, path, status, error from videos") == [
        ("c1", "/v/c.mp4", "indexed", None),
        ("d1", "/v/d.mp4", "failed", "no video stream"),
        ("b1", "/v/it's [a] *.mp4", "indexed", None),
        ("a2", "/v/z.mp4", "indexed", None),
    ]


def test_a_moved_video_is_where_it_lies_now(tmp_path: Path, files: CatalogFiles) -> None:
    moved = replace(MOVED, path="/elsewhere/b.mp4")
    after = write_segments(tmp_path / "after", ((OLD, moved, KEPT), (NEW,)), [FAILED])
    catalog = Catalog(CatalogFiles(after.videos, files.segments, files.tags))
    for table in ("clips", "labels", "tags"):
        assert rows(catalog, f"select distinct path from {table} where video_id = 'b1'") == [("/elsewhere/b.mp4",)]
        assert rows(catalog, f"select count(*) from {table} where path = '{MOVED.path}'".replace("it's", "it''s")) == [(0,)]
    catalog.close()


def test_counts_are_of_what_is_live(catalog: Catalog) -> None:
    assert [segment.has_dead for segment in catalog.segments or ()] == [True, False]
    for table, count in (("videos", 4), ("clips", 5), ("labels", 5), ("tags", 4)):
        assert rows(catalog, f"select count(*) from {table}") == [(count,)]
    assert rows(catalog, "select label, count(*) from labels group by label order by label") == [
        ("diving", 1),
        ("running", 2),
        ("waving", 2),
    ]
    assert rows(catalog, "select c.clip_id from clips c join videos v using (video_id) where v.status = 'failed'") == []


def test_a_segment_without_a_current_video_shows_nothing(tmp_path: Path) -> None:
    catalog = Catalog(write_segments(tmp_path / "segments", ((OLD,), (NEW,), (replace(KEPT, path=None),))))
    assert [segment.has_live for segment in catalog.segments or ()] == [False, True, False]
    assert rows(catalog, "select clip_id from clips") == [(30,), (31,)]
    assert rows(catalog, "select clip_id from labels where rank = 1") == [(30,)]
    assert rows(catalog, "select clip_id from tags") == []
    catalog.close()


def test_a_library_without_segments_has_its_tables(tmp_path: Path) -> None:
    catalog = Catalog(write_segments(tmp_path / "segments", (), [FAILED]))
    assert rows(catalog, "select path from videos") == [("/v/d.mp4",)]
    for table in TABLES[1:]:
        empty = catalog.sql(f"from {table.name}")
        assert (empty.num_rows, empty.column_names) == (0, list(table.column_names))
        assert catalog.sql(f"describe {table.name}")["column_type"].to_pylist() == [column.type for column in table.columns]
    catalog.close()


def test_many_segments_read_as_one(tmp_path: Path) -> None:
    videos = [
        MadeVideo(f"{n:02d}", f"/v/{n:02d}.mp4" if n % 3 else None, (MadeClip(n, 0.0, (("waving", 0.5),)),))
        for n in range(40)
    ]
    catalog = Catalog(write_segments(tmp_path / "segments", [(video,) for video in videos]))
    live = [n for n in range(40) if n % 3]
    assert rows(catalog, "select clip_id from clips") == [(n,) for n in live]
    assert rows(catalog, "select label, count(*) from labels group by label") == [("waving", len(live))]
    catalog.close()


def test_queries_that_name_no_video_take_no_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.sql.catalog_files._SORTED_CLIPS", 0)
    catalog = Catalog(write_segments(tmp_path / "segments", ((MOVED, KEPT), (NEW,))))
    for query, joins in (
        ("select label, count(*) from labels group by label", False),
        ("select count(*) from clips where clip_id = 20", False),
        ("select path from clips", True),
    ):
        assert ("Hash Join" in catalog.sql(f"explain {query}")["explain_value"][0].as_py()) is joins, query
    catalog.close()


def test_the_rows_of_one_file_are_in_the_order_of_ids_and_time(tmp_path: Path) -> None:
    catalog = Catalog(write_one_file(tmp_path / "one", SEGMENTS))
    assert catalog.segments is None
    assert catalog.ids_by_row.tolist() == [30, 31, 11, 20, 21]  # of the videos a2, b1 and c1
    catalog.close()


def test_folders_may_be_called_anything(tmp_path: Path) -> None:
    folder = tmp_path / "it's a [test] *; drop table clips --"
    catalog = Catalog(write_segments(folder, SEGMENTS))
    assert rows(catalog, "select count(*) from clips") == [(5,)]
    catalog.show_hits(pa.table({"rank": [1]}))
    assert catalog.sql("show tables")["name"].to_pylist() == sorted(["hits", *(table.name for table in TABLES)])
    catalog.close()


def test_two_readers_and_a_new_version_of_the_videos(files: CatalogFiles, tmp_path: Path) -> None:
    one, other = Catalog(files), Catalog(files)
    after = write_segments(tmp_path / "after", ((OLD, replace(MOVED, path=None), KEPT), (NEW,)))
    newer = Catalog(CatalogFiles(after.videos, files.segments, files.tags))
    assert [rows(catalog, "select count(*) from clips") for catalog in (one, other, newer)] == [[(5,)], [(5,)], [(4,)]]
    for catalog in (one, other, newer):
        catalog.close()


@pytest.mark.parametrize("which", ["videos.duckdb", "clips-0.duckdb", "clips-1.duckdb", "tags-0.duckdb"])
def test_a_file_that_is_missing_or_no_catalog_is_named(files: CatalogFiles, which: str) -> None:
    path = files.videos.with_name(which)
    intact = path.read_bytes()
    for damaged in (None, b"", b"no database" * 1000, intact[:1000]):
        path.unlink(missing_ok=True)
        if damaged is not None:
            path.write_bytes(damaged)
        with pytest.raises(LibraryError) as error:
            Catalog(files)
        assert str(error.value) == f"{str(path)!r} cannot be read as a catalog; run the ingest again"
    path.write_bytes(intact[: len(intact) // 2])
    with pytest.raises(LibraryError, match=r"(cannot be read as a catalog|is damaged)"):
        fetch_all(files)


def fetch_all(files: CatalogFiles) -> dict[str, pa.Table]:
    catalog = Catalog(files)
    try:
        return {table.name: catalog.sql(f"from {table.name}") for table in TABLES}
    finally:
        catalog.close()


def test_a_file_of_something_else_is_an_error(files: CatalogFiles) -> None:
    files.segments[1].unlink()
    with duckdb.connect(str(files.segments[1])) as made:
        made.execute("create table other as select 1 as a")
    with pytest.raises(LibraryError, match="cannot be read as a catalog; run the ingest again"):
        Catalog(files)


def test_every_flipped_byte_is_told_or_does_no_harm(files: CatalogFiles, tmp_path: Path) -> None:
    tables = fetch_all(files)
    intact = files.segments[0].read_bytes()
    copy = tmp_path / "copy.duckdb"
    damaged_files = CatalogFiles(files.videos, [copy, files.segments[1]], files.tags)
    wrong = 0
    for place in range(0, len(intact), len(intact) // 24):
        copy.unlink(missing_ok=True)
        copy.write_bytes(intact[:place] + bytes([intact[place] ^ 0xFF]) + intact[place + 1 :])
        try:
            shown = fetch_all(damaged_files)
        except LibraryError:
            wrong += 1
        else:
            assert shown == tables, place
    assert wrong > 0


def test_explain_analyze_changes_nothing(catalog: Catalog) -> None:
    catalog.show_hits(pa.table({"rank": [1, 2]}))
    for query in (
        "explain analyze delete from hits",
        "explain analyze drop view clips",
        "explain analyze drop table hits",
        "explain analyze create table clips2 as select 1",
        "explain analyze create or replace temp view clips as select 1 as one",
        "explain analyze delete from _segment_0.clips",
        "explain analyze update _videos.videos set path = ''",
    ):
        try:
            catalog.sql(query)
        except QueryError:
            continue
    assert catalog.sql("show tables")["name"].to_pylist() == sorted(["hits", *(table.name for table in TABLES)])
    assert rows(catalog, "select count(*) from hits") == [(2,)]
    assert rows(catalog, "select count(*) from clips") == [(5,)]


def test_reading_leaves_the_files_as_they_are(files: CatalogFiles) -> None:
    before = {path.name: path.read_bytes() for path in files.videos.parent.iterdir()}
    catalog = Catalog(files)
    catalog.show_hits(pa.table({"rank": [1]}))
    catalog.sql("from clips")
    catalog.close()
    assert {path.name: path.read_bytes() for path in files.videos.parent.iterdir()} == before


def test_after_a_query_that_is_given_up_the_catalog_answers(files: CatalogFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.sql.interruptible._GRACE_S", 0.2)
    catalog = Catalog(files)
    catalog.show_hits(pa.table({"rank": [1, 2]}))
    with pytest.raises(QueryError, match=r"^QUERY: ran longer than 0.1 s, and could not be ended; narrow it"):
        catalog.sql("select levenshtein(repeat('a', 30000), repeat('b', 30000))", timeout_s=0.1)
    assert rows(catalog, "select count(*) from hits") == [(2,)]
    assert rows(catalog, "select count(*) from clips") == [(5,)]


def test_a_copy_of_the_files_is_the_same_catalog(files: CatalogFiles, catalog: Catalog, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(files.videos.parent, tmp_path / "copy"))
    parts = [None if part is None else folder / part.name for part in files.tags]
    copy = Catalog(CatalogFiles(folder / files.videos.name, [folder / path.name for path in files.segments], parts))
    assert copy.sql("from labels") == catalog.sql("from labels")
    copy.close()
