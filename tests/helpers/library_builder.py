"""Libraries of given clips: real tables and snapshots, committed as an ingest commits them, and no video behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tags_file import read_definitions, write_definitions
from pipeline.write import write_clips
from schemas.records import ClipRow, VideoInfo, VideoRow
from schemas.tags import TagDefinition


def commit_rows(tables: Tables, identity: LibraryConfig, rows: Sequence[ClipRow], videos: Sequence[VideoInfo]) -> None:
    """Commit clips, all in one file, and then the rows of ``videos``; clips of no such video stay unfinished."""
    library = tables._library
    classifier, embedder = identity.classifier.stamp, identity.embedder.stamp
    features = library.features if identity.features != "none" else None
    if rows:
        written = write_clips(rows, library.clips, classifier=classifier, embedder=embedder, features_folder=features)
        tables.commit_clips([written])
    counts = Counter(row.video_id for row in rows)
    tables.commit_videos([VideoRow(info, "indexed", counts[info.video_id]) for info in videos], replace_paths=False)


def build_library(
    folder: Path,
    identity: LibraryConfig,
    rows: Sequence[ClipRow],
    videos: Sequence[VideoInfo],
    tags: Sequence[TagDefinition] = (),
) -> Path:
    """A published library of these clips and videos, whose clips have scores for ``tags``."""
    folder.mkdir(parents=True, exist_ok=True)
    library = Library(folder)
    write_library_config(library, identity)
    if tags:
        write_definitions(library, read_definitions(library).changed(add=tuple(tags)))
    tables = Tables(library, features=identity.features != "none")
    commit_rows(tables, identity, rows, videos)
    publish_tables(library, tables, identity)
    return folder


def sql(folder: Path, query: str) -> list[dict[str, Any]]:
    """The rows of ``query`` over the library's current snapshot."""
    catalog = Snapshot(Library(folder)).catalog
    rows: list[dict[str, Any]] = catalog.sql(query).to_pylist()
    catalog.close()
    return rows
