"""Builds a snapshot's catalog: the DuckDB file made from the tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as dataset
from numpy.typing import NDArray

from index.sql.catalog import explain
from schemas.errors import LibraryError
from schemas.tables import CLIPS, TAGS, VIDEOS

_TABLES = """
create table videos as
  select video_id, path, size_bytes, modified_at, content_hash, container, codec, width, height, rotation_deg, fps,
         duration_s, track, tracks, clip_count, status, error_stage, error, ingested_at
  from video_rows order by path;
create temp table seen as
  select c.clip_id, c.video_id, v.path, c.start_s, c.end_s, c.labels, c.classifier
  from clip_rows c join videos v using (video_id)
  order by v.path, c.start_s;
create table clips as
  select clip_id, video_id, path, start_s, end_s, labels[1].label as label, labels[1].score as label_score from seen;
create table labels as
  select clip_id, video_id, path, start_s, end_s, cast(position as integer) as rank, entry.label as label,
         entry.score as score, classifier as model
  from (select *, unnest(labels) as entry, generate_subscripts(labels, 1) as position from seen);
create table tags as
  select s.clip_id, s.video_id, s.path, s.start_s, s.end_s, t.tag, t.score, t.prompt, t.model
  from tag_rows t join seen s using (clip_id, video_id) order by t.tag, s.path, s.start_s;
drop table seen;
"""


def write_catalog(path: Path, videos: Sequence[str], clips: Sequence[str], tags: Sequence[str] = ()) -> dict[str, int]:
    """Build the catalog from the Parquet files of one version of each table, and return the row count of each of its tables.

    Clips whose video has no row are left out, since their video is not finished. So are tags of clips that are left out.

    Raises:
        LibraryError: a file cannot be read, or the catalog cannot be written.
    """
    try:
        with duckdb.connect(str(path)) as connection:
            for name, files, schema in (
                ("video_rows", videos, VIDEOS),
                ("clip_rows", clips, CLIPS),
                ("tag_rows", tags, TAGS),
            ):
                connection.register(name, _dataset(files, schema))
            connection.execute(_TABLES)
            counts = {}
            for name in ("videos", "clips", "labels", "tags"):
                row = connection.execute(f"select count(*) from {name}").fetchone()
                counts[name] = int(row[0]) if row else 0
            return counts
    except duckdb.Error as exc:
        raise LibraryError(f"--library: the catalog {str(path)!r} cannot be written: {explain(exc)}") from exc


def visible_embeddings(
    catalog: Path, clips: Sequence[str], dim: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Ids int64 [n] and embeddings float32 [n, dim] of the clips that ``catalog`` shows, read from ``clips`` in batches."""
    with duckdb.connect(str(catalog), read_only=True) as connection:
        connection.register("clip_rows", _dataset(clips, CLIPS))
        rows = connection.sql("select clip_id, embedding from clip_rows where clip_id in (select clip_id from clips)")
        for batch in rows.to_arrow_reader(16_384):
            flat = batch["embedding"].flatten().to_numpy(zero_copy_only=False)
            yield batch["clip_id"].to_numpy(), flat.reshape(-1, dim)


def visible_ids(catalog: Path) -> NDArray[np.int64]:
    """Ids int64 [n] of the clips that ``catalog`` shows."""
    with duckdb.connect(str(catalog), read_only=True) as connection:
        rows = connection.sql("select clip_id from clips").to_arrow_table()
        return np.asarray(rows["clip_id"].to_numpy(), np.int64)


def _dataset(files: Sequence[str], schema: pa.Schema) -> object:
    """Parquet files as one table, read by Arrow, since DuckDB would take a * or a [ in their path for a pattern.

    Raises:
        LibraryError: one of them is missing or damaged.
    """
    if not files:
        return schema.empty_table()
    try:
        return dataset.dataset(list(files), schema=schema, format="parquet")
    except (OSError, pa.ArrowException) as exc:
        raise LibraryError(f"--library: a table's file cannot be read: {str(exc).splitlines()[0]}; restore it") from exc
