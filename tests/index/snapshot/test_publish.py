"""Publishing by segments: what did not change stays as it is on disk, and readers see the same whatever the segments are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from index.search.searcher import Searcher
from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.maintain.rollback import compact
from jobs.maintain.verify import verify
from schemas.errors import LibraryError, QueryError
from schemas.models import Label
from schemas.records import ClipRow, Span, VideoFile, VideoInfo
from schemas.search import Moment, SearchOptions
from schemas.sql import VIDEOS
from tests.helpers.format_1 import as_format_1
from tests.helpers.library_builder import commit_rows, sql
from tests.helpers.made_library import IDENTITY, Made, WordEmbedder, background, embedder, make_library, vector_of, word_tag

__all__ = ["embedder"]

FILM = [Made(i, "a", 4.0 * i, 4.0 * i + 4, {"jumping": 0.1 * i}, (Label(f"l{i}", 0.5),)) for i in range(5)]
OTHER = [Made(20 + i, "b", 4.0 * i, 4.0 * i + 4, {"red": 0.1 * i}, (Label("red", 0.9),)) for i in range(3)]


def publish_now(folder: Path, most_merged: int = 0) -> None:
    library = Library(folder)
    publish_tables(library, Tables(library), IDENTITY, most_merged=most_merged)


def add(folder: Path, clips: Sequence[Made], video: str, path: str | None = None, most_merged: int = 0) -> None:
    """Commit the clips of one video, and publish without merging."""
    rows = [ClipRow(of.clip_id, of.video, Span(of.start_s, of.end_s), of.labels, vector_of(of.cosines)) for of in clips]
    info = VideoInfo(video, VideoFile(path or f"/v/{video}.mp4", 10, 0), duration_s=20.0)
    commit_rows(Tables(Library(folder)), IDENTITY, rows, [info])
    publish_now(folder, most_merged)


def names(folder: Path) -> list[str]:
    """The segments of the current snapshot."""
    return [ref.name for ref in Snapshot(Library(folder)).info.segments]


def breaches(folder: Path) -> dict[str, str]:
    return {check.what: str(check.breach) for check in verify(folder) if check.breach is not None}


def answer(folder: Path, text: str = "jumping", **options: Any) -> tuple[Moment, ...]:
    return Searcher(folder).search(SearchOptions(texts=(text,), rerank=0, k=5, show_all=True, **options)).moments


@pytest.fixture
def library(tmp_path: Path, embedder: WordEmbedder) -> Path:
    """Film a and forty others, in one segment."""
    return make_library(tmp_path / "library", [*FILM, *background(40)])


def test_what_is_new_is_a_segment_of_its_own_and_the_others_stay(library: Path) -> None:
    (first,) = names(library)
    before = {path: path.stat().st_mtime_ns for path in (library / "segments" / first).iterdir()}
    add(library, OTHER, "b")
    assert names(library) == [first, names(library)[1]]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sql(library, "select count(*) as n from clips") == [{"n": 48}]
    assert sql(library, "select clip_id, path from clips where label = 'red' order by all") == [
        {"clip_id": 20 + i, "path": "/v/b.mp4"} for i in range(3)
    ]
    assert [moment.clip_id for moment in answer(library, "red", by="clip")][:2] == [22, 21]
    assert breaches(library) == {}


def test_files_that_segments_were_made_from_are_not_read_again(library: Path) -> None:
    """Neither for new clips nor for a merge: so a publish costs what is new."""
    for file in library.glob("clips/*.parquet"):
        file.write_bytes(b"")
    add(library, OTHER, "b")
    add(library, [Made(30, "c", 0.0, 4.0, {"kitchen": 0.5})], "c", most_merged=65_536)
    assert len(names(library)) == 1
    assert sql(library, "select count(*) as n from clips") == [{"n": 49}]
    assert [moment.clip_id for moment in answer(library, "red", by="clip")][:2] == [22, 21]


def test_a_removed_video_is_dead_in_its_segment(library: Path) -> None:
    (first,) = names(library)
    tables = Tables(Library(library))
    tables.remove_videos(["a"])
    tables.drop_orphans()
    publish_now(library)
    assert names(library) == [first]
    assert sql(library, "select count(*) as n from clips where path = '/v/a.mp4'") == [{"n": 0}]
    assert sql(library, "select count(*) as n from labels") == [{"n": 0}]
    info = Snapshot(Library(library)).info
    assert (info.rows["clips"], info.segments[0].clips, info.segments[0].live) == (40, 45, 40)
    assert "a" not in {moment.video_id for moment in answer(library)}
    assert breaches(library) == {}


def test_a_video_that_was_indexed_again_has_its_new_clips_alone(library: Path) -> None:
    tables = Tables(Library(library))
    tables.remove_videos(["a"])
    tables.drop_orphans()
    add(library, [replace(FILM[0], cosines={"jumping": 0.9}, labels=(Label("new", 0.5),))], "a")
    assert sql(library, "select clip_id, label from clips where path = '/v/a.mp4'") == [{"clip_id": 0, "label": "new"}]
    assert len(names(library)) == 2
    best = answer(library, by="clip")[0]
    assert (best.clip_id, best.label, round(best.score, 6)) == (0, "new", 0.9)
    assert breaches(library) == {}


def test_a_moved_video_is_found_under_its_new_path_and_no_segment_is_written(library: Path) -> None:
    before = names(library)
    Tables(Library(library)).move_videos({"a": VideoFile("/elsewhere/a.mp4", 1, 5)})
    publish_now(library)
    assert names(library) == before
    assert {moment.path for moment in answer(library) if moment.video_id == "a"} == {"/elsewhere/a.mp4"}
    assert sql(library, "select distinct path from labels") == [{"path": "/elsewhere/a.mp4"}]
    assert breaches(library) == {}


def test_compact_merges_segments_and_answers_stay(library: Path) -> None:
    add(library, OTHER, "b")
    add(library, [Made(30, "c", 0.0, 4.0, {"kitchen": 0.5})], "c")
    tables = Tables(Library(library))
    tables.remove_videos(["x000"])
    tables.drop_orphans()
    publish_now(library)
    assert len(names(library)) == 3
    queries = [("jumping", {}), ("red", {"by": "clip"}), ("kitchen", {"by": "video"}), ("red", {"where": "label = 'red'"})]
    before = [answer(library, text, **options) for text, options in queries]
    rows = {table: sql(library, f"from {table} order by all") for table in ("videos", "clips", "labels")}
    compact(library)
    (ref,) = Snapshot(Library(library)).info.segments
    assert (ref.clips, ref.live) == (48, 48)
    assert [answer(library, text, **options) for text, options in queries] == before
    assert {table: sql(library, f"from {table} order by all") for table in rows} == rows
    assert breaches(library) == {}


def test_an_ingest_merges_small_segments(library: Path) -> None:
    add(library, OTHER, "b", most_merged=65_536)
    (ref,) = Snapshot(Library(library)).info.segments
    assert (ref.clips, ref.live) == (48, 48)
    assert sql(library, "select count(*) as n from labels") == [{"n": 8}]
    assert breaches(library) == {}


def test_tags_follow_the_clips_into_each_segment(tmp_path: Path, embedder: WordEmbedder) -> None:
    folder = make_library(tmp_path / "library", [*FILM, *background(40)], [word_tag("hot", {"red": 10.0}, -2.0)])
    add(folder, OTHER, "b")
    expected = [{"path": "/v/b.mp4", "clip_id": 22, "score": 0.5}, {"path": "/v/b.mp4", "clip_id": 21, "score": 0.269}]
    query = (
        "select path, clip_id, round(score::double, 3) as score from tags where tag = 'hot' order by tags.score desc limit 2"
    )
    assert sql(folder, query) == expected
    assert sql(folder, "select count(*) as n, count(distinct clip_id) as ids from tags") == [{"n": 48, "ids": 48}]
    compact(folder)
    assert sql(folder, query) == expected
    assert sql(folder, "select count(*) as n from tags") == [{"n": 48}]
    assert breaches(folder) == {}


def test_segments_that_no_kept_snapshot_refers_to_are_deleted(library: Path) -> None:
    (first,) = names(library)
    (library / "segments" / ".writing-1").mkdir()
    for number in range(4):
        add(library, [Made(50 + number, f"n{number}", 0.0, 4.0, {})], f"n{number}", most_merged=65_536)
        assert (library / "segments" / first).exists() == (number < 2), "three snapshots are kept"
    assert len(list((library / "segments").iterdir())) == 3
    assert breaches(library) == {}


@pytest.mark.parametrize(
    "name", ["segment.json", "timeline.npy", "videos.parquet", "sample.npy", "vectors.f32.faiss", "clips.duckdb"]
)
@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_a_damaged_segment_is_an_error_and_is_written_again_by_the_next_publish(
    library: Path, name: str, damage: str
) -> None:
    add(library, OTHER, "b")
    before, rows = answer(library), sql(library, "from clips order by all")
    path = library / "segments" / names(library)[1] / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2 if len(content) < 10_000 else 1_000])
    with pytest.raises(LibraryError):
        answer(library)
    assert breaches(library)
    publish_now(library)
    assert answer(library) == before
    assert sql(library, "from clips order by all") == rows
    assert breaches(library) == {}


FORMAT_1_TABLES = ("videos", "clips", "labels", "tags")


def test_a_library_of_format_1_is_read_and_becomes_one_of_segments(library: Path) -> None:
    add(library, OTHER, "b")
    queries = [("jumping", {}), ("red", {"by": "clip"}), ("red", {"where": "label = 'red'"})]
    before = [answer(library, text, **options) for text, options in queries]
    of_videos = ", ".join(name for name in VIDEOS.column_names if name != "annotation_error")  # format 1 had no such
    tables = {name: f"select {'*' if name != 'videos' else of_videos} from {name} order by all" for name in FORMAT_1_TABLES}
    rows = {name: sql(library, query) for name, query in tables.items()}
    as_format_1(library)
    for format_ in (1, 2):
        assert Snapshot(Library(library)).info.format == format_
        assert [answer(library, text, **options) for text, options in queries] == before
        assert {name: sql(library, query) for name, query in tables.items()} == rows
        assert breaches(library) == {}
        publish_now(library)
    assert len(names(library)) == 1


def test_a_snapshot_of_a_later_format_is_left_alone(library: Path) -> None:
    path = Snapshot(Library(library)).folder / "snapshot.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 3}))
    with pytest.raises(LibraryError, match=r"has format 3, expected 2 or less; a newer version of vidsift wrote it"):
        Snapshot(Library(library))


def test_sql_reaches_no_file_of_a_segment_by_its_name(library: Path) -> None:
    catalog = Snapshot(Library(library)).catalog
    path = library / "segments" / names(library)[0] / "videos.parquet"
    with pytest.raises(QueryError, match=r"file system operations are disabled by configuration"):
        catalog.sql(f"from read_parquet('{path}')")
    assert duckdb.connect().sql(f"select count(*) from '{path}'").fetchall() == [(41,)]
