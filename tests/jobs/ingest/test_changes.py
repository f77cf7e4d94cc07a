from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs.ingest.changes import Changes, compare
from jobs.ingest.listing import Listing
from pipeline.sources.find import find_videos
from pipeline.sources.hashing import content_hash
from schemas.errors import UsageError, VideoError
from schemas.records import VideoFile, path_text, video_id_of
from schemas.tables import KNOWN_VIDEOS


def row_of(path: Path) -> dict[str, Any]:
    status, digest = path.stat(), content_hash(str(path))
    return {
        "video_id": video_id_of(digest, str(path)),
        "path": str(path),
        "size_bytes": status.st_size,
        "modified_ns": status.st_mtime_ns,
        "content_hash": digest,
        "track": 1,
        "tracks": 2,
        "status": "indexed",
        "error_stage": None,
        "ingested_at": 0,
    }


def compare_now(folder: Path, known: list[dict[str, Any]], **options: Any) -> Changes:
    table = pa.Table.from_pylist(known, schema=KNOWN_VIDEOS)
    return compare(Listing(find_videos([folder])), table, [folder], **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.mp4").write_text(f"content of {name}")
    return tmp_path


def test_everything_is_new_to_an_empty_library(folder: Path) -> None:
    changes = compare_now(folder, [])
    assert [file.path for file in changes.to_do] == [str(folder / f"{name}.mp4") for name in "abc"]
    assert (changes.unchanged, changes.moved, changes.removed, changes.replacing) == (0, {}, [], False)


def test_nothing_changed(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    changes = compare_now(folder, known)
    assert (changes.to_do, changes.unchanged, changes.moved, changes.removed) == ([], 3, {}, [])


def test_a_touched_file_is_unchanged_and_a_changed_one_is_not(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    (folder / "a.mp4").touch()
    (folder / "b.mp4").write_text("content of B")
    changes = compare_now(folder, known)
    assert ([file.path for file in changes.to_do], changes.unchanged) == ([str(folder / "b.mp4")], 2)
    assert changes.replacing


def test_content_that_changed_under_the_same_size_and_time_is_seen_when_asked_for(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    known[2] |= {"status": "failed", "error_stage": "decode", "content_hash": None}
    path = folder / "a.mp4"
    path.write_text("CONTENT of a")
    os.utime(path, ns=(known[0]["modified_ns"],) * 2)
    changes = compare_now(folder, known)
    assert (changes.to_do, changes.unchanged) == ([], 3)
    changes = compare_now(folder, known, rehash=True)
    assert ([file.path for file in changes.to_do], changes.unchanged, changes.replacing) == ([str(path)], 2, True)


def test_another_track_is_read_again_where_there_is_one(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    known[0] |= {"tracks": 1}
    known[1] |= {"tracks": None, "track": None}
    assert compare_now(folder, known).unchanged == 3
    for track, wanted in ((1, "b"), (2, "bc"), (3, "b")):
        changes = compare_now(folder, known, track=track)
        assert "".join(Path(file.path).stem for file in changes.to_do) == wanted
        assert changes.taken == {row["video_id"] for row in known if Path(row["path"]).stem in wanted}
    known[2] |= {"status": "failed", "error_stage": "decode"}
    assert compare_now(folder, known, track=2).unchanged == 2
    again = compare_now(folder, known, track=2, retry_failed=True)
    assert [Path(file.path).stem for file in again.to_do] == ["b", "c"]


def test_a_copy_or_a_moved_video_of_another_track_is_read_itself(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    (folder / "copy.mp4").write_text("content of a")
    (folder / "b.mp4").rename(folder / "moved.mp4")
    (folder / "c.mp4").touch()
    changes = compare_now(folder, known, track=1)
    assert (len(changes.copies), len(changes.moved), changes.unchanged, changes.to_do) == (1, 1, 2, [])
    changes = compare_now(folder, known, track=2)
    assert (changes.moved, changes.unchanged, changes.removed) == ({}, 0, [known[1]["video_id"]])
    assert [Path(file.path).stem for file in changes.to_do] == ["a", "c", "moved"]
    assert [copy.file.path for copy in changes.copies] == [str(folder / "copy.mp4")], "with a, which is read anew"


def test_a_moved_file_keeps_its_id(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    (folder / "sub").mkdir()
    moved = (folder / "a.mp4").rename(folder / "sub" / "renamed.mp4")
    changes = compare_now(folder, known)
    assert changes.moved == {known[0]["video_id"]: VideoFile(str(moved), moved.stat().st_size, moved.stat().st_mtime_ns)}
    assert (changes.to_do, changes.unchanged, changes.removed) == ([], 2, [])


def test_a_copy_is_new_and_no_move(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    (folder / "copy.mp4").write_text("content of a")
    changes = compare_now(folder, known)
    (copy,) = changes.copies
    assert (copy.file.path, copy.original) == (str(folder / "copy.mp4"), known[0]["video_id"])
    assert (changes.to_do, changes.moved, changes.unchanged) == ([], {}, 3)


def test_two_copies_of_a_lost_file_are_one_move_and_one_new(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    (folder / "a.mp4").unlink()
    for name in ("x.mp4", "y.mp4"):
        (folder / name).write_text("content of a")
    changes = compare_now(folder, known)
    assert [file.path for file in changes.moved.values()] == [str(folder / "x.mp4")]
    assert [file.path for file in changes.to_do] == [str(folder / "y.mp4")]
    assert changes.removed == []


def test_a_deleted_file_is_removed_and_those_elsewhere_are_not(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    elsewhere = known[0] | {"path": "/elsewhere/z.mp4", "video_id": "f" * 16, "content_hash": "other"}
    (folder / "a.mp4").unlink()
    changes = compare_now(folder, [*known, elsewhere])
    assert (changes.removed, changes.unchanged) == ([known[0]["video_id"]], 2)


def test_an_empty_source_is_refused_unless_it_is_meant(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(UsageError, match=r"holds no video, and the library knows 3 below it.*`allow_empty`"):
        compare_now(folder, known)
    assert len(compare_now(folder, known, allow_empty=True).removed) == 3


def test_a_copy_that_comes_back_to_a_moved_videos_path_gets_an_id_of_its_own(folder: Path) -> None:
    known = [row_of(path) for path in sorted(folder.iterdir())]
    (folder / "a.mp4").rename(folder / "d.mp4")
    moved = known[0] | {"path": str(folder / "d.mp4")}
    (folder / "a.mp4").write_text("content of a")
    changes = compare_now(folder, [moved, *known[1:]])
    assert ([copy.file.path for copy in changes.copies], changes.unchanged) == ([str(folder / "a.mp4")], 3)
    assert changes.taken == {known[0]["video_id"]}
    again = video_id_of(known[0]["content_hash"], str(folder / "a.mp4"), changes.taken)
    assert again not in {row["video_id"] for row in known}


def test_what_failed_is_read_again_on_request_and_what_was_locked_when_it_is_not(folder: Path) -> None:
    failed, locked, good = (row_of(path) for path in sorted(folder.iterdir()))
    failed |= {"status": "failed", "error_stage": "decode"}
    locked |= {"status": "failed", "error_stage": "find"}
    assert [file.path for file in compare_now(folder, [failed, locked, good]).to_do] == [locked["path"]]
    again = compare_now(folder, [failed, locked, good], retry_failed=True)
    assert ([file.path for file in again.to_do], again.unchanged) == ([failed["path"], locked["path"]], 1)
    assert again.taken == {failed["video_id"], locked["video_id"]}, "their clips stay until others take their place"


def test_videos_in_a_folder_that_cannot_be_read_are_not_gone(tmp_path: Path) -> None:
    """Found as somebody who may not look into ``locked``: its videos stay, and the folder itself is a reason."""
    locked = tmp_path / "locked"
    locked.mkdir()
    (locked / "a.mp4").write_text("content of a")
    (tmp_path / "b.mp4").write_text("content of b")
    known = [row_of(locked / "a.mp4"), row_of(tmp_path / "b.mp4")]
    (locked / "a.mp4").unlink()  # as if unseen; root may look into any folder
    folder_error = (VideoFile(str(locked), 0, 0), VideoError("find", "the folder cannot be read: Permission denied"))
    table = pa.Table.from_pylist(known, schema=KNOWN_VIDEOS)
    changes = compare(Listing([*find_videos([tmp_path]), folder_error]), table, [tmp_path])
    assert (changes.removed, changes.unchanged, changes.unreadable) == ([], 1, [folder_error])
    assert compare(Listing(find_videos([tmp_path])), table, [tmp_path]).removed == [known[0]["video_id"]]


def test_a_name_that_is_no_utf8_is_not_gone_while_it_is_there(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    odd = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    odd.write_text("content")
    row = row_of(odd) | {"path": path_text(str(odd))}
    (elsewhere / "copy.mp4").write_text("content")
    changes = compare_now(elsewhere, [row])
    assert (changes.moved, len(changes.to_do)) == ({}, 1)


def test_copies_are_told_by_content_and_not_by_size(tmp_path: Path) -> None:
    """Five files of one size: three alike, two not; and one that differs from its neighbour only in the middle."""
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"1"), ("d", b"3"), ("e", b"1")):
        (tmp_path / f"{name}.mp4").write_bytes(content * 1000)
    middle = bytearray(300_000)
    (tmp_path / "x.mp4").write_bytes(middle)
    middle[150_000] = 1
    (tmp_path / "y.mp4").write_bytes(middle)
    changes = compare_now(tmp_path, [])
    assert [Path(file.path).stem for file in changes.to_do] == ["a", "b", "d", "x", "y"]
    originals = [(Path(copy.file.path).stem, copy.original) for copy in changes.copies]
    assert [(name, Path(original.path).stem) for name, original in originals if isinstance(original, VideoFile)] == [
        ("c", "a"),
        ("e", "a"),
    ]


def test_a_copy_of_what_was_not_indexed_whole_is_read_itself(folder: Path) -> None:
    partial, *others = (row_of(path) for path in sorted(folder.iterdir()))
    (folder / "copy.mp4").write_text("content of a")
    changes = compare_now(folder, [partial | {"status": "partial", "error_stage": "decode"}, *others])
    assert ([file.path for file in changes.to_do], changes.copies) == ([str(folder / "copy.mp4")], [])


def test_content_that_changes_places_is_no_copy_of_what_makes_way(folder: Path) -> None:
    """Rotated recordings: b is what a was, and a is new. The row of a's old content is replaced, so b is read itself."""
    known = [row_of(path) for path in sorted(folder.iterdir())]
    (folder / "a.mp4").rename(folder / "older.mp4")
    (folder / "a.mp4").write_text("another content")
    changes = compare_now(folder, known)
    assert ([Path(file.path).stem for file in changes.to_do], changes.copies) == (["a", "older"], [])
    assert changes.replacing
