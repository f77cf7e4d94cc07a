"""Writes the DuckDB files of a catalog: of a segment's clips, of a snapshot's videos, and of the tags of a segment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as dataset
from numpy.typing import NDArray

from index.sql.catalog import explain
from index.storage.working_copies import local_files
from schemas import sql
from schemas.channels import ANNOTATIONS
from schemas.errors import LibraryError
from schemas.tables import TAG_ROWS, VIDEOS

PATHS = pa.schema([("segment", pa.int32()), ("video", pa.int32()), ("path", pa.string())])
"""The columns of paths.arrow."""

_SEGMENT_TABLES = """
create table clips (clip_id bigint, video integer, start_s double, end_s double, label varchar, label_score float);
create table labels (
  "row" integer, clip_id bigint, video integer, start_s double, end_s double, rank integer, label varchar, score float,
  model varchar
);
"""
_ADD_CLIPS = """
insert into clips
  select clip_id, video, start_s, end_s, labels[1].label, labels[1].score from arriving;
insert into labels
  select "row", clip_id, video, start_s, end_s, cast(position as integer), entry.label, entry.score, classifier
  from (select *, unnest(labels) as entry, generate_subscripts(labels, 1) as position from arriving);
"""
_ANNOTATION_ERRORS = (
    "select video_id, string_agg(annotator || ': ' || error, '; ' order by annotator) as annotation_error "
    "from annotation_rows where error is not null group by video_id"
)
_SEGMENT_VIDEOS = "create table videos as select video, count(*) as num_clips from clips group by video order by video"
# Clips that are added at a time: some of DuckDB's row groups, and some 200 MB.
_CHUNK_CLIPS = 4 * 122_880


def write_segment_catalog(path: Path, batches: Iterable[pa.RecordBatch]) -> dict[str, int]:
    """Write the catalog's rows of one segment, and return the row count of each of its tables.

    Args:
        path: the file to write.
        batches: the segment's clips in the order of its rows: clip_id, video (a number within the segment), start_s, end_s,
            labels, classifier.

    Raises:
        LibraryError: the file cannot be written.
    """
    num_clips = 0
    with _new_catalog(path) as connection:
        connection.execute(_SEGMENT_TABLES)
        for chunk in _chunks(batches):
            rows = np.arange(num_clips, num_clips + len(chunk), dtype=np.int32)
            connection.register("arriving", chunk.append_column("row", pa.array(rows)))
            connection.execute(_ADD_CLIPS)
            connection.unregister("arriving")
            num_clips += len(chunk)
        connection.execute(_SEGMENT_VIDEOS)
        return {name: _count(connection, name) for name in ("clips", "labels", "videos")}


def write_videos(path: Path, files: Sequence[str], places: pa.Table, annotations: pa.Table | None = None) -> int:
    """Write the videos of a snapshot, and return how many there are.

    Args:
        path: the file to write.
        files: the Parquet files of one version of the table ``videos``.
        places: where each video's clips are: video_id, segment, video (its number within the segment). Videos that have no
            clips are left out, or have null.
        annotations: `schemas.channels.ANNOTATIONS`: what annotators of whole videos could not do.

    Raises:
        LibraryError: the table's files cannot be read, or the file cannot be written.
    """
    with _new_catalog(path) as connection:
        connection.register("video_rows", _dataset(files, VIDEOS))
        connection.register("places", places)
        connection.register("annotation_rows", ANNOTATIONS.empty_table() if annotations is None else annotations)
        connection.execute(
            f"create table videos as select {', '.join(sql.VIDEOS.column_names)}, "
            "cast(segment as integer) as segment, cast(video as integer) as video "
            "from video_rows left join places using (video_id) "
            f"left join ({_ANNOTATION_ERRORS}) using (video_id) order by path"
        )
        connection.execute(
            "create table live as select segment, video, video_id, path from videos where segment is not null order by all"
        )
        return _count(connection, "videos")


def write_paths(path: Path, videos: Path) -> None:
    """Write the path of each video that has clips, by segment and number, as an Arrow file that is read without DuckDB.

    Args:
        path: the file to write.
        videos: the file that `write_videos` wrote.

    Raises:
        LibraryError: a file cannot be read or written.
    """
    try:
        with duckdb.connect(str(videos.absolute()), read_only=True) as connection:
            rows = connection.sql("select segment, video, path from live order by segment, video").to_arrow_table()
        with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, PATHS) as writer:
            writer.write_table(rows.cast(PATHS).combine_chunks())
    except (duckdb.Error, OSError, pa.ArrowException) as exc:
        raise LibraryError(f"{str(path)!r} cannot be written: {str(exc).splitlines()[0]}") from exc


def write_tag_part(path: Path, rows: pa.Table | pa.RecordBatchReader, segment: Path) -> int:
    """Write the tags of one segment, and return how many rows there are.

    Args:
        path: the file to write.
        rows: "row" of a clip in the segment, tag, score, prompt, model.
        segment: the file that `write_segment_catalog` wrote, since rows of tags repeat what identifies a clip: a join of
            all tags with all clips for every query would take seconds.

    Raises:
        LibraryError: the segment's file cannot be read, or the file cannot be written.
    """
    with _new_catalog(path) as connection:
        quoted = str(segment.absolute()).replace("'", "''")
        connection.execute(f"attach '{quoted}' as _segment (type duckdb, read_only)")
        connection.register("tag_rows", rows)
        connection.execute(
            'create table tags as select cast(t."row" as integer) as "row", c.clip_id, c.video, c.start_s, c.end_s, '
            "t.tag, cast(t.score as float) as score, t.prompt, t.model "
            'from tag_rows t join _segment.clips c on c.rowid = t."row" order by t.tag, t."row"'
        )
        return _count(connection, "tags")


def read_tag_part(path: Path, videos: NDArray[np.int64]) -> pa.Table:
    """The rows `schemas.tables.TAG_ROWS` of a file that `write_tag_part` wrote, of the segment's videos with these numbers.

    Raises:
        LibraryError: the file cannot be read.
    """
    query = "select clip_id, tag, score, prompt, model from tags semi join live using (video)"
    try:
        with duckdb.connect(str(path.absolute()), read_only=True) as connection:
            connection.register("live", pa.table({"video": videos.astype(np.int32)}))
            rows = connection.sql(query).to_arrow_table()
    except duckdb.Error as exc:
        raise LibraryError(f"the catalog {str(path)!r} cannot be read: {explain(exc)}; run the ingest again") from exc
    return rows.cast(TAG_ROWS)


@contextmanager
def _new_catalog(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new DuckDB file, closed in the end.

    Raises:
        LibraryError: DuckDB cannot do what is asked of it within.
    """
    try:
        with duckdb.connect(str(path)) as connection:
            yield connection
    except duckdb.Error as exc:
        raise LibraryError(f"the catalog {str(path)!r} cannot be written: {explain(exc)}") from exc


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    ((count,),) = connection.execute(f"select count(*) from {table}").fetchall()
    return int(count)


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in tables of at least some row groups, but for the last."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch)
        if count >= _CHUNK_CLIPS:
            yield pa.Table.from_batches(waiting)
            waiting, count = [], 0
    if count:
        yield pa.Table.from_batches(waiting)


def _dataset(files: Sequence[str], schema: pa.Schema) -> object:
    """Parquet files as one table, read by Arrow, since DuckDB would take a * or a [ in their path for a pattern.

    Raises:
        LibraryError: one of them is missing or damaged.
    """
    if not files:
        return schema.empty_table()
    try:
        return dataset.dataset(local_files(files), schema=schema, format="parquet")
    except (OSError, pa.ArrowException) as exc:
        raise LibraryError(f"a table's file cannot be read: {str(exc).splitlines()[0]}; restore it") from exc
