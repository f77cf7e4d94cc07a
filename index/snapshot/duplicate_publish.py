"""Publishes the footage that several videos share: a file of a snapshot for SQL."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from index.sql.catalog import explain
from schemas.duplicates import DUPLICATES
from schemas.errors import LibraryError


def write_duplicates(path: Path, rows: pa.Table) -> int:
    """Write rows of `DUPLICATES`, and return how many there are. The views leave out those whose videos are gone.

    Raises:
        LibraryError: the file cannot be written.
    """
    try:
        with duckdb.connect(str(path)) as connection:
            connection.register("arriving", rows.select(DUPLICATES.names))
            connection.execute(
                "create table duplicates as from arriving order by group_id, video_id, other_video_id, start_s"
            )
    except duckdb.Error as exc:
        raise LibraryError(f"{str(path)!r} cannot be written: {explain(exc)}") from exc
    return len(rows)
