"""Publishes: makes a snapshot of the tables' current versions, and makes it the one that readers open."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from index.snapshot.catalog_build import visible_embeddings, visible_ids, write_catalog
from index.snapshot.rerank_features import write_features
from index.snapshot.snapshot import Snapshot, SnapshotInfo, current_snapshot, publish, read_info
from index.snapshot.vectors import RECALL_AT_10, write_vectors
from index.storage.config import LibraryConfig
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tag_scores import settle_tags
from schemas.errors import LibraryError


def publish_tables(library: Library, tables: Tables, config: LibraryConfig, changes: dict[str, int] | None = None) -> None:
    """Publish the tables' current versions, unless the current snapshot shows them already.

    Clips that lack the score of one of the library's tags get it first.

    Args:
        library: to publish in.
        tables: of the library, opened for writing.
        config: of the library.
        changes: counts of what the job did, for the history.

    Raises:
        LibraryError: the tables cannot be read, or the snapshot cannot be written.
    """
    if _shows(library, tables.versions()):
        return
    settle_tags(library, tables, config)
    versions = tables.versions()

    def write(folder: Path) -> SnapshotInfo:
        videos, clips = tables.parquet_files()
        catalog = folder / "catalog.duckdb"
        rows = write_catalog(catalog, videos, clips, tables.tag_files())
        vectors = visible_embeddings(catalog, clips, config.embedding_dim)
        rows["vectors"] = write_vectors(folder / "clips.faiss", config.embedding_dim, vectors)
        hashes: dict[str, str] = {}
        if config.features != "none":
            previous = _current(library)
            visible = visible_ids(catalog)
            rows["features"], linked = write_features(folder, tables.feature_files(), visible, previous)
            if previous is not None:
                hashes = {name: digest for name, digest in read_info(previous).sha256.items() if name in linked}
        return SnapshotInfo(
            versions=versions,
            rows=rows,
            classifier=config.classifier.stamp,
            embedder=config.embedder.stamp,
            recall_at_10=RECALL_AT_10,
            published_at=datetime.now(UTC).isoformat(timespec="seconds"),
            changes={name: count for name, count in (changes or {}).items() if count},
            sha256=hashes,
        )

    publish(library, write)


def _current(library: Library) -> Path | None:
    """The folder of the current snapshot; None where there is none that can be read."""
    try:
        folder = current_snapshot(library)
        read_info(folder)
    except LibraryError:
        return None
    return folder


def _shows(library: Library, versions: dict[str, int]) -> bool:
    """Whether the current snapshot is of exactly these versions, and can be opened."""
    try:
        snapshot = Snapshot(library)
        snapshot.vectors()
        snapshot.features()
    except LibraryError:
        return False
    return snapshot.info.versions == versions
