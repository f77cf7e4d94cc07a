"""What is written for a segment's catalog, row by row."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.snapshot.catalog_build import write_segment_catalog, write_tag_part, write_videos
from schemas.errors import LibraryError
from schemas.tables import VIDEOS
from tests.helpers.segment_catalog import SEGMENT_ROWS, TAG_ROWS, MadeClip, segment_rows

CLIPS = [
    (0, MadeClip(9, 0.0, (("waving", 0.5), ("running", 0.25)))),
    (0, MadeClip(3, 4.0)),
    (2, MadeClip(7, 0.0, (("diving", 0.125),))),
]
PLACES = pa.schema([("video_id", pa.string()), ("segment", pa.int32()), ("video", pa.int32())])


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.sql(query).fetchall()


@pytest.mark.parametrize("in_batches_of", [1, 2, 3])
def test_rows_are_in_the_order_that_they_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_batches_of: int
) -> None:
    monkeypatch.setattr("index.snapshot.catalog_build._CHUNK_CLIPS", 2)
    counts = write_segment_catalog(tmp_path / "c", segment_rows(CLIPS).to_batches(max_chunksize=in_batches_of))
    assert counts == {"clips": 3, "labels": 3, "videos": 2}
    assert rows(tmp_path / "c", "select rowid, clip_id, video, start_s, end_s, label, label_score from clips") == [
        (0, 9, 0, 0.0, 4.0, "waving", 0.5),
        (1, 3, 0, 4.0, 8.0, None, None),
        (2, 7, 2, 0.0, 4.0, "diving", 0.125),
    ]
    assert rows(tmp_path / "c", "from labels") == [
        (0, 9, 0, 0.0, 4.0, 1, "waving", 0.5, "c@1"),
        (0, 9, 0, 0.0, 4.0, 2, "running", 0.25, "c@1"),
        (2, 7, 2, 0.0, 4.0, 1, "diving", 0.125, "c@1"),
    ]
    assert rows(tmp_path / "c", "from videos") == [(0, 2), (2, 1)]
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_segment_of_no_clips(tmp_path: Path) -> None:
    assert write_segment_catalog(tmp_path / "c", []) == {"clips": 0, "labels": 0, "videos": 0}


def test_a_segment_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="cannot be written"):
        write_segment_catalog(tmp_path / "no folder" / "c", segment_rows(CLIPS).to_batches())
    rows_of_something_else = segment_rows(CLIPS).drop_columns("labels").to_batches()
    with pytest.raises(LibraryError, match="cannot be written"):
        write_segment_catalog(tmp_path / "c", rows_of_something_else)


def test_videos_are_joined_with_their_places(tmp_path: Path) -> None:
    made = [{"video_id": name, "path": f"/v/{path}.mp4", "width": 64} for name, path in (("a", "z"), ("b", "y"), ("c", "x"))]
    pq.write_table(pa.Table.from_pylist(made, schema=VIDEOS), tmp_path / "a [b] * 'c'.parquet")
    places = [("a", 1, 5), ("b", 0, 3), ("c", None, None), ("d", 0, 4)]
    table = pa.Table.from_pylist([dict(zip(PLACES.names, place, strict=True)) for place in places], schema=PLACES)
    assert write_videos(tmp_path / "v", [str(tmp_path / "a [b] * 'c'.parquet")], table) == 3
    assert rows(tmp_path / "v", "select video_id, path, width, segment, video from videos") == [
        ("c", "/v/x.mp4", 64, None, None),
        ("b", "/v/y.mp4", 64, 0, 3),
        ("a", "/v/z.mp4", 64, 1, 5),
    ]
    assert rows(tmp_path / "v", "from live") == [(0, 3, "b", "/v/y.mp4"), (1, 5, "a", "/v/z.mp4")]
    assert write_videos(tmp_path / "none", [], PLACES.empty_table()) == 0
    with pytest.raises(LibraryError, match="a table's file cannot be read"):
        write_videos(tmp_path / "other", [str(tmp_path / "missing.parquet")], table)


def test_tags_say_what_clip_they_are_of(tmp_path: Path) -> None:
    write_segment_catalog(tmp_path / "it's c", segment_rows(CLIPS).to_batches())
    tags = [(2, "b", 0.5), (0, "b", 0.25), (2, "a", 0.75)]
    made = [{"row": row, "tag": tag, "score": score, "prompt": None, "model": "e@2"} for row, tag, score in tags]
    assert write_tag_part(tmp_path / "t", pa.Table.from_pylist(made, schema=TAG_ROWS), tmp_path / "it's c") == 3
    assert rows(tmp_path / "t", "from tags") == [
        (2, 7, 2, 0.0, 4.0, "a", 0.75, None, "e@2"),
        (0, 9, 0, 0.0, 4.0, "b", 0.25, None, "e@2"),
        (2, 7, 2, 0.0, 4.0, "b", 0.5, None, "e@2"),
    ]
    with pytest.raises(LibraryError, match="cannot be written"):
        write_tag_part(tmp_path / "t2", TAG_ROWS.empty_table(), tmp_path / "missing")


def test_the_schema_of_batches_is_what_is_written(tmp_path: Path) -> None:
    write_segment_catalog(tmp_path / "c", SEGMENT_ROWS.empty_table().to_batches())
    types = {"clip_id": "BIGINT", "video": "INTEGER", "start_s": "DOUBLE", "end_s": "DOUBLE"}
    for table in ("clips", "labels"):
        found = {
            str(name): kind
            for name, kind in rows(tmp_path / "c", f"select column_name, column_type from (describe {table})")
        }
        assert types.items() <= found.items()
