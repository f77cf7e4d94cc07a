"""Snapshots of format 1, and their catalogs, which are an easy way to a catalog in tests: one DuckDB file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import faiss
import numpy as np
import pyarrow.dataset as dataset

from index.snapshot.snapshot import Snapshot, SnapshotInfo, publish
from index.storage.paths import Library
from index.storage.tables import Tables
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
    """
    with duckdb.connect(str(path)) as connection:
        for name, files, schema in (
            ("video_rows", videos, VIDEOS),
            ("clip_rows", clips, CLIPS),
            ("tag_rows", tags, TAGS),
        ):
            rows = dataset.dataset(list(files), schema=schema, format="parquet") if files else schema.empty_table()
            connection.register(name, rows)
        connection.execute(_TABLES)
        names = ("videos", "clips", "labels", "tags")
        return {name: connection.sql(f"select count(*) from {name}").fetchall()[0][0] for name in names}


def as_format_1(folder: Path) -> None:
    """Replace the current snapshot by one as they were before there were segments."""
    library = Library(folder)
    tables, snapshot = Tables(library), Snapshot(library)
    clips, info = snapshot.clips(), snapshot.info
    snapshot.catalog.close()

    def write(aside: Path) -> SnapshotInfo:
        write_catalog(aside / "catalog.duckdb", *tables.parquet_files(), tables.tag_files())
        index = faiss.index_factory(clips.dim, "IDMap2,Flat", faiss.METRIC_INNER_PRODUCT)
        order = np.random.default_rng(0).permutation(len(clips))
        index.add_with_ids(clips.vectors_at(order), clips.ids()[order])
        faiss.write_index(index, str(aside / "clips.faiss"))
        return replace(info, format=1, segments=(), dim=0)

    folder_of = publish(library, write)
    path = folder_of / "snapshot.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: content[key] for key in content.keys() - {"format", "segments", "dim"}}))
    shutil.rmtree(library.segments)
