"""Libraries of given clips: real tables and snapshots, committed as an ingest commits them, and no video behind them."""

from __future__ import annotations

import atexit
import pickle
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
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
    content = pickle.dumps((identity, rows, videos, tags))
    made = _built() / blake2b(content, digest_size=16).hexdigest()
    if not made.is_dir():
        unfinished = Path(tempfile.mkdtemp(dir=_built()))
        _build(unfinished, identity, rows, videos, tags)
        unfinished.rename(made)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


def _build(
    folder: Path,
    identity: LibraryConfig,
    rows: Sequence[ClipRow],
    videos: Sequence[VideoInfo],
    tags: Sequence[TagDefinition],
) -> None:
    library = Library(folder)
    write_library_config(library, identity)
    if tags:
        write_definitions(library, read_definitions(library).changed(add=tuple(tags)))
    tables = Tables(library, features=identity.features != "none")
    commit_rows(tables, identity, rows, videos)
    publish_tables(library, tables, identity)


@cache
def _built() -> Path:
    """A folder of libraries that were built before, by what they were built of: many tests begin with the same."""
    folder = tempfile.mkdtemp(prefix="vidsift-libraries-")
    atexit.register(shutil.rmtree, folder)
    return Path(folder)


def sql(folder: Path, query: str) -> list[dict[str, Any]]:
    """The rows of ``query`` over the library's current snapshot."""
    catalog = Snapshot(Library(folder)).catalog
    rows: list[dict[str, Any]] = catalog.sql(query).to_pylist()
    catalog.close()
    return rows
