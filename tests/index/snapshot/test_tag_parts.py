"""Tags are published by segments: what has not changed is neither read nor written again, and all scores are right."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tag_scores import scores
from index.storage.tags_file import read_definitions, write_definitions
from index.storage.transactions import delete_except, distinct
from jobs.maintain.rollback import compact, rollback
from jobs.maintain.verify import verify
from schemas.errors import LibraryError
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow
from tests.helpers.library_builder import commit_rows, sql
from tests.helpers.made_library import IDENTITY, Made, background, make_library, vector_of, word_tag

HOT, LOUD = word_tag("hot", {"red": 10.0}, -2.0), word_tag("loud", {"cheering": 8.0}, 1.0)
FILM = [Made(i, "a", 4.0 * i, 4.0 * i + 4, {"red": 0.1 * i, "cheering": 0.05 * i}) for i in range(5)]
OTHER = [Made(20 + i, "b", 4.0 * i, 4.0 * i + 4, {"red": 0.3 * i}) for i in range(3)]
THIRD = [Made(30, "c", 0.0, 4.0, {"cheering": 0.5})]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Film a and forty others, in one segment, with two tags."""
    return make_library(tmp_path / "library", [*FILM, *background(40)], [HOT, LOUD])


def add(folder: Path, clips: Sequence[Made], most_merged: int = 0) -> None:
    commit(folder, clips)
    publish(folder, most_merged)


def commit(folder: Path, clips: Sequence[Made]) -> None:
    rows = [ClipRow(of.clip_id, of.video, Span(of.start_s, of.end_s), of.labels, vector_of(of.cosines)) for of in clips]
    info = VideoInfo(clips[0].video, VideoFile(f"/v/{clips[0].video}.mp4", 10, 0), duration_s=20.0)
    commit_rows(Tables(Library(folder)), IDENTITY, rows, [info])


def publish(folder: Path, most_merged: int = 0) -> None:
    library = Library(folder)
    publish_tables(library, Tables(library), IDENTITY, most_merged=most_merged)


def remove(folder: Path, video: str) -> None:
    tables = Tables(Library(folder))
    tables.remove_videos([video])
    tables.drop_orphans()


def parts(folder: Path) -> dict[str, int]:
    """The files of tags of the current snapshot: on the disk, which file each is."""
    return {path.name: path.stat().st_ino for path in Snapshot(Library(folder)).folder.glob("tags-*.duckdb")}


def names(folder: Path) -> list[str]:
    return [ref.name for ref in Snapshot(Library(folder)).info.segments]


def empty_files(folder: Path, *tables: str) -> None:
    """Make the files of tables unreadable."""
    for table in tables:
        for file in folder.glob(f"{table}/*.parquet"):
            file.write_bytes(b"")


def check(folder: Path, clips: Sequence[Made], *, tags: Sequence[str] = ("hot", "loud"), whole: bool = True) -> None:
    """Every clip that is there has every tag's score once, as its embedding gives it, and all else is in order too."""
    definitions = [tag for tag in read_definitions(Library(folder)).tags if tag.name in tags]
    expected = {
        (of.clip_id, tag.name): round(float(score), 6)
        for of in clips
        for tag, score in zip(definitions, scores(vector_of(of.cosines)[None], definitions)[0], strict=True)
    }
    rows = sql(folder, "select clip_id, tag, score::double as score from tags")
    found = {(row["clip_id"], row["tag"]): round(row["score"], 6) for row in rows}
    assert found == expected
    assert len(rows) == len(expected) == Snapshot(Library(folder)).info.rows["tags"]
    if whole:
        assert [str(of) for of in verify(folder) if of.breach is not None] == []


def test_new_clips_are_scored_and_nothing_else_is_read_or_written(library: Path) -> None:
    before = parts(library)
    empty_files(library, "clips", "tags")
    add(library, OTHER)
    after = parts(library)
    assert len(after) == 2
    assert before.items() <= after.items(), "the same file, which two snapshots have"
    check(library, [*FILM, *OTHER, *background(40)], whole=False)
    empty_files(library, "clips", "tags")
    add(library, THIRD)
    assert after.items() <= parts(library).items()
    check(library, [*FILM, *OTHER, *THIRD, *background(40)], whole=False)


def test_scores_of_merged_segments_come_from_their_files(library: Path) -> None:
    add(library, OTHER)
    before = parts(library)
    empty_files(library, "clips", "tags")
    add(library, THIRD, most_merged=30)
    assert len(names(library)) == 2
    assert len(before.items() & parts(library).items()) == 1
    check(library, [*FILM, *OTHER, *THIRD, *background(40)], whole=False)


def test_what_is_taken_over_outlives_the_snapshot_that_it_is_from(library: Path) -> None:
    first = Snapshot(Library(library))
    before = parts(library)
    for number in range(4):
        add(library, [Made(50 + number, f"n{number}", 0.0, 4.0, {"red": 0.1})])
    assert not list(first.folder.glob("tags-*"))
    assert before.items() <= parts(library).items()
    assert first.catalog.sql("select count(*) as n from tags").to_pylist() == [{"n": 90}], "readers that have it go on"
    first.catalog.close()
    check(library, [*FILM, *background(40), *(Made(50 + n, f"n{n}", 0.0, 4.0, {"red": 0.1}) for n in range(4))])


def test_files_are_copied_where_there_are_no_hard_links(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr("os.link", link)
    before = parts(library)
    add(library, OTHER)
    assert before.keys() < parts(library).keys()
    assert not before.items() & parts(library).items()
    check(library, [*FILM, *OTHER, *background(40)])


def test_a_removed_video_leaves_the_file_of_its_segment_as_it_is(library: Path) -> None:
    before = parts(library)
    remove(library, "a")
    publish(library)
    assert parts(library) == before
    check(library, background(40))
    assert sql(library, "select count(*) as n from tags where tag = 'hot' and score > 0") == [{"n": 40}]


@pytest.mark.parametrize("lost", [False, True])
def test_a_video_that_comes_back_has_its_scores_again(library: Path, lost: bool) -> None:
    """Its segment is still there, with it as a dead video, while its scores are gone from the table."""
    before = parts(library)
    remove(library, "a")
    publish(library)
    if lost:
        (Snapshot(Library(library), number=1).folder / "videos.duckdb").unlink()
    rollback(library, 1)
    if not lost:
        assert parts(library) == before, "they have been computed again, and are the same"
    check(library, [*FILM, *background(40)])


def test_a_video_that_was_read_again_has_its_new_scores(library: Path) -> None:
    again = [replace(of, cosines={"red": 0.9}) for of in FILM[:3]]
    remove(library, "a")
    add(library, again)
    check(library, [*again, *background(40)])
    thrice = [replace(of, cosines={"cheering": 0.7}) for of in FILM]
    remove(library, "a")
    add(library, thrice, most_merged=65_536)
    check(library, [*thrice, *background(40)])


def test_a_video_that_was_read_again_has_no_score_twice(library: Path) -> None:
    """Those that it had are left in the table where dropping what no video owns was stopped before them."""
    tables = Tables(Library(library))
    tables.remove_videos(["a"])
    delete_except(tables.clips, "video_id", distinct(tables.videos, "video_id"))
    add(library, FILM)
    check(library, [*FILM, *background(40)])


def test_a_file_that_was_written_while_a_video_was_away_is_not_taken_over_when_it_is_back(library: Path) -> None:
    remove(library, "a")
    publish(library)
    write_definitions(Library(library), read_definitions(Library(library)).changed(add=(replace(HOT, bias=-1.0),)))
    publish(library)
    rollback(library, 1)
    check(library, [*FILM, *background(40)])


def test_definitions_that_change_change_every_file(library: Path) -> None:
    before = parts(library)
    definitions = read_definitions(Library(library))
    write_definitions(Library(library), definitions.changed(add=(replace(HOT, bias=-1.0),)))
    publish(library)
    assert not before.items() & parts(library).items()
    check(library, [*FILM, *background(40)])
    write_definitions(Library(library), read_definitions(Library(library)).changed(remove=("hot",)))
    add(library, OTHER)
    check(library, [*FILM, *OTHER, *background(40)], tags=["loud"])


def test_definitions_of_the_same_revision_are_told_apart(library: Path) -> None:
    """tags.json was deleted, as its errors advise, and made anew."""
    (library / "tags.json").unlink()
    write_definitions(Library(library), read_definitions(Library(library)).changed(add=(LOUD, replace(HOT, bias=-1.0))))
    add(library, OTHER)
    check(library, [*FILM, *OTHER, *background(40)])


def breaks_off(*_: object, **__: object) -> None:
    raise LibraryError("disk full")


@pytest.mark.parametrize("where", ["index.storage.tags_table.TagTable.append", "index.snapshot.publish.publish"])
def test_a_publishing_that_is_stopped_is_completed(library: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    commit(library, OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(where, breaks_off)
        with pytest.raises(LibraryError, match="disk full"):
            publish(library)
    add(library, THIRD)
    check(library, [*FILM, *OTHER, *THIRD, *background(40)])


def test_as_many_scores_as_before_may_be_those_of_other_clips(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publishing was stopped once three clips had scores, and then three others were removed."""
    commit(library, OTHER)
    with monkeypatch.context() as patch:
        patch.setattr("index.snapshot.publish.publish", breaks_off)
        with pytest.raises(LibraryError, match="disk full"):
            publish(library)
    for number in range(len(OTHER)):
        remove(library, f"x{number:03d}")
    publish(library)
    check(library, [*FILM, *OTHER, *background(40)[3:]])


def test_clips_that_became_visible_later_are_scored(library: Path) -> None:
    """Their file is known already when their video's row is committed."""
    rows = [ClipRow(of.clip_id, of.video, Span(of.start_s, of.end_s), (), vector_of(of.cosines)) for of in OTHER]
    commit_rows(Tables(Library(library)), IDENTITY, rows, [])
    add(library, THIRD)
    check(library, [*FILM, *THIRD, *background(40)], whole=False)
    video = VideoInfo("b", VideoFile("/v/b.mp4", 10, 0), duration_s=20.0)
    Tables(Library(library)).commit_videos([VideoRow(video, "indexed", len(OTHER))], replace_paths=False)
    publish(library)
    check(library, [*FILM, *OTHER, *THIRD, *background(40)])


def test_compaction_and_merged_files_change_no_score(library: Path) -> None:
    add(library, OTHER)
    compact(library)
    before = parts(library)
    add(library, THIRD)
    assert before.items() <= parts(library).items()
    tables = Tables(Library(library))
    tables.tags.table.optimize.compact()
    add(library, [Made(60, "d", 0.0, 4.0, {"red": 0.2})])
    assert before.items() <= parts(library).items()
    check(library, [*FILM, *OTHER, *THIRD, Made(60, "d", 0.0, 4.0, {"red": 0.2}), *background(40)])


def test_scores_that_were_deleted_are_computed_again_and_a_file_that_has_others_is_replaced(library: Path) -> None:
    before = parts(library)
    shutil.rmtree(library / "tags")
    publish(library)
    assert parts(library) == before
    check(library, [*FILM, *background(40)])
    path = Snapshot(Library(library)).folder / next(iter(before))
    with duckdb.connect(str(path)) as connection:
        connection.execute("update tags set score = 0.25 where clip_id = 3 and tag = 'loud'")
    shutil.rmtree(library / "tags")
    publish(library)
    assert not before.items() & parts(library).items()
    check(library, [*FILM, *background(40)])


def test_a_table_that_lost_rows_is_completed(library: Path) -> None:
    DeltaTable(library / "tags").delete("clip_id < 3")
    add(library, OTHER)
    check(library, [*FILM, *OTHER, *background(40)])


@pytest.mark.parametrize("lost", ["", "timeline.npy"])
def test_a_segment_that_is_lost_is_written_again_with_its_scores(library: Path, lost: str) -> None:
    add(library, OTHER)
    folder = library / "segments" / names(library)[1]
    shutil.rmtree(folder) if not lost else (folder / lost).unlink()
    add(library, THIRD)
    check(library, [*FILM, *OTHER, *THIRD, *background(40)])


def test_scores_do_not_depend_on_the_clips_beside_them() -> None:
    """To the last bit, or what is taken over would differ from what is computed again."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(1000, 512)).astype(np.float32)
    tags = [replace(LOUD, name=name, weights=tuple(random.normal(size=512).tolist())) for name in "abc"]
    together = scores(vectors, tags)
    apart = np.concatenate([scores(vectors[n : n + 7], tags) for n in range(0, 1000, 7)])
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal(together[:, 1:2], scores(vectors, [tags[1]]))


def test_a_rollback_shows_the_segments_of_then(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(library, OTHER)
    then, files = names(library), parts(library)
    add(library, THIRD, most_merged=65_536)
    assert len(names(library)) == 1
    with monkeypatch.context() as patch:
        for writes in ("index.snapshot.publish.write_segment", "index.storage.tags_table.TagTable.append"):
            patch.setattr(writes, breaks_off)
        assert rollback(library, 2) == 4
    assert names(library) == then
    assert parts(library) == files
    check(library, [*FILM, *OTHER, *background(40)])
    assert rollback(library, 3) == 5
    assert len(names(library)) == 1
    check(library, [*FILM, *OTHER, *THIRD, *background(40)])


def test_a_rollback_without_tags_reads_no_clips(tmp_path: Path) -> None:
    folder = make_library(tmp_path / "library", [*FILM, *background(40)])
    add(folder, OTHER)
    then = names(folder)
    remove(folder, "a")
    add(folder, THIRD, most_merged=65_536)
    for file in folder.glob("clips/*.parquet"):
        file.write_bytes(b"")
    rollback(folder, 2)
    assert names(folder) == then
    assert sql(folder, "select count(*) as n, count(*) filter (where path = '/v/a.mp4') as of_a from clips") == [
        {"n": 48, "of_a": 5}
    ]


def test_a_rollback_keeps_the_scores_of_videos_that_stay(library: Path) -> None:
    add(library, OTHER)
    scored = {row["clip_id"] for row in sql(library, "select clip_id from tags")}
    add(library, THIRD)
    tables = Tables(Library(library))
    tables.restore(Snapshot(Library(library), number=2).info.versions)
    assert set(pc.unique(tables.tags.scored()["clip_id"]).to_pylist()) == scored


def test_a_rollback_beyond_the_snapshots_that_are_kept_builds_what_it_needs(library: Path) -> None:
    remove(library, "a")
    publish(library)
    for number in range(4):
        add(library, [Made(50 + number, f"n{number}", 0.0, 4.0, {"red": 0.1})], most_merged=65_536)
    rollback(library, 1)
    check(library, [*FILM, *background(40)])


@pytest.mark.parametrize("lost", ["videos.duckdb", "dead", "segment", "timeline.npy"])
def test_a_rollback_does_without_files_that_are_lost(library: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """The current snapshot's segments have the same clips."""
    add(library, OTHER)
    remove(library, "x000")
    publish(library)
    first, folder = names(library)[0], Snapshot(Library(library)).folder
    add(library, THIRD, most_merged=65_536)
    if lost == "segment":
        shutil.rmtree(library / "segments" / first)
    else:
        of_snapshot = {"videos.duckdb": folder / lost, "dead": folder / f"dead-{first}.npy"}
        of_snapshot.get(lost, library / "segments" / first / lost).unlink()
    monkeypatch.setattr("index.snapshot.publish.write_segment", breaks_off)
    rollback(library, 3)
    check(library, [*FILM, *OTHER, *(of for of in background(40) if of.video != "x000")])


def test_a_rollback_that_is_stopped_leaves_no_score_of_other_clips(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A video that was read again has the same clip ids."""
    remove(library, "a")
    add(library, [replace(of, cosines={"red": 0.9}) for of in FILM])
    for where in ("index.storage.tables._restore", "jobs.maintain.rollback.publish_tables"):
        with monkeypatch.context() as patch:
            patch.setattr(where, breaks_off)
            with pytest.raises(LibraryError, match="disk full"):
                rollback(library, 1)
    rollback(library, 1)
    check(library, [*FILM, *background(40)])


def test_a_rollback_that_fails_leaves_the_scores_as_they_are(library: Path) -> None:
    add(library, OTHER)
    tables = Tables(Library(library))
    versions = Snapshot(Library(library), number=1).info.versions
    with pytest.raises(LibraryError):
        tables.restore(versions | {"clips": 99})
    assert tables.tags.num_rows == 96
    publish(library)
    check(library, [*FILM, *OTHER, *background(40)])
