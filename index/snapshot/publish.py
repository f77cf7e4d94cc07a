"""Publish: make a snapshot of the tables' current versions, and let readers have it."""

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


def publish_tables(library: Library, tables: Tables, identity: LibraryConfig, changes: dict[str, int] | None = None) -> None:
    """Publish what is committed, unless the current snapshot shows just that already. ``changes`` are for the history.

    Clips that lack a tag that the library has get it first.
    """
    if _shows(library, tables.versions()):
        return
    settle_tags(library, tables, identity)
    versions = tables.versions()

    def write(folder: Path) -> SnapshotInfo:
        videos, clips = tables.parquet_files()
        catalog = folder / "catalog.duckdb"
        rows = write_catalog(catalog, videos, clips, tables.tag_files())
        vectors = visible_embeddings(catalog, clips, identity.embedding_dim)
        rows["vectors"] = write_vectors(folder / "clips.faiss", identity.embedding_dim, vectors)
        hashes: dict[str, str] = {}
        if identity.features != "none":
            previous = _current(library)
            visible = visible_ids(catalog)
            rows["features"], linked = write_features(folder, tables.feature_files(), visible, previous)
            if previous is not None:
                hashes = {name: digest for name, digest in read_info(previous).sha256.items() if name in linked}
        return SnapshotInfo(
            versions=versions,
            rows=rows,
            classifier=identity.classifier.stamp,
            embedder=identity.embedder.stamp,
            recall_at_10=RECALL_AT_10,
            published_at=datetime.now(UTC).isoformat(timespec="seconds"),
            changes={name: count for name, count in (changes or {}).items() if count},
            sha256=hashes,
        )

    publish(library, write)


def _current(library: Library) -> Path | None:
    """The folder of the current snapshot, where there is one that can be read."""
    try:
        folder = current_snapshot(library)
        read_info(folder)
    except LibraryError:
        return None
    return folder


def _shows(library: Library, versions: dict[str, int]) -> bool:
    """Whether readers can open a snapshot of just these versions."""
    try:
        snapshot = Snapshot(library)
        snapshot.vectors()
        snapshot.features()
    except LibraryError:
        return False
    return snapshot.info.versions == versions
