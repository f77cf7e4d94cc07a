"""Reads the catalog of a segment when segments are merged."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.sql.catalog import explain
from schemas.errors import LibraryError
from schemas.tables import CLASSIFIER_COLUMNS


def read_catalog_rows(path: Path, rows: NDArray[np.int64]) -> pa.Table:
    """The columns ``labels`` and ``classifier`` of a segment's ``rows``, which ascend; null for a clip without labels.

    Raises:
        LibraryError: the file cannot be read.
    """
    if not len(rows):
        return CLASSIFIER_COLUMNS.empty_table()
    table = _query(
        path,
        "select \"row\", list({'label': label, 'score': score} order by rank) as labels, any_value(model) as classifier "
        'from labels where "row" between $first and $last group by "row"',
        {"first": int(rows[0]), "last": int(rows[-1])},
    )
    at = pc.index_in(pa.array(rows.astype(np.int32)), value_set=table["row"].combine_chunks())
    return table.select(CLASSIFIER_COLUMNS.names).take(at).cast(CLASSIFIER_COLUMNS)


def some_labels(path: Path, most: int) -> list[str]:
    """The most frequent labels of a segment's clips."""
    table = _query(path, "select label from clips where label is not null group by label order by count(*) desc, label", {})
    labels: list[str] = table["label"].to_pylist()
    return labels[:most]


def _query(path: Path, query: str, parameters: dict[str, object]) -> pa.Table:
    try:
        with duckdb.connect(str(path.absolute()), read_only=True) as connection:
            return connection.sql(query, params=parameters).to_arrow_table()
    except duckdb.Error as exc:
        raise LibraryError(f"{str(path)!r} cannot be read ({explain(exc)}); run the ingest again") from exc
