"""Publish: make a snapshot of the tables' current versions, and let readers have it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from index.catalog import write_catalog
from index.library import Identity, Library
from index.snapshot import SnapshotInfo, publish, read_info
from index.vectors import write_vectors
from jobs.tables import Tables, parquet_files
from schemas.errors import LibraryError


def publish_tables(library: Library, tables: Tables, identity: Identity) -> None:
    """Publish what is committed, unless the current snapshot shows just that already."""
    versions = tables.versions()
    try:
        if read_info(library.current_snapshot()).versions == versions:
            return
    except LibraryError:
        pass  # nothing published yet, or not readable: publish

    def write(folder: Path) -> SnapshotInfo:
        videos, clips = parquet_files(tables.videos), parquet_files(tables.clips)
        catalog = folder / "catalog.duckdb"
        rows = write_catalog(catalog, videos, clips)
        rows["vectors"] = write_vectors(folder / "clips.faiss", identity.embedding_dim, _vectors(catalog, clips, identity))
        return SnapshotInfo(
            versions=versions,
            rows=rows,
            classifier=identity.classifier.stamp,
            embedder=identity.embedder.stamp,
            recall_at_10=1.0,
            published_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    publish(library, write)


def _vectors(catalog: Path, clips: list[str], identity: Identity) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Ids and embeddings of the clips that the catalog shows, in batches."""
    if not clips:
        return
    with duckdb.connect(str(catalog), read_only=True) as connection:
        reader = connection.sql(
            "select clip_id, embedding from read_parquet($clips) where clip_id in (select clip_id from clips)",
            params={"clips": clips},
        ).to_arrow_reader(16_384)
        for batch in reader:
            flat = batch["embedding"].flatten().to_numpy(zero_copy_only=False)
            yield batch["clip_id"].to_numpy(), flat.reshape(-1, identity.embedding_dim)
