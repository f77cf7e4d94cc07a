"""The SQL tables and their columns as text, as JSON, and as Markdown for the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from schemas.sql import HITS, TABLES, TableMeaning
from schemas.text import columns_text


def row_counts(folder: Path) -> dict[str, int]:
    """The number of rows of each table of the library in ``folder``, by the table's name.

    Raises:
        LibraryError: no library, nothing published, or a damaged snapshot.
    """
    catalog = Snapshot(Library(folder)).catalog
    query = " union all ".join(f"select '{table.name}' as name, count(*) as n from {table.name}" for table in TABLES)
    counts = {row["name"]: int(row["n"]) for row in catalog.sql(query).to_pylist()}
    catalog.close()
    return counts


def schema_json(counts: dict[str, int] | None = None) -> list[dict[str, Any]]:
    """One object per table; with ``counts`` it has the number of rows too, which is null for hits."""
    return [
        {"table": table.name, "meaning": table.meaning}
        | ({"rows": counts.get(table.name)} if counts is not None else {})
        | {"columns": [column._asdict() for column in table.columns]}
        for table in (*TABLES, HITS)
    ]


def schema_text(tables: Sequence[TableMeaning] = (*TABLES, HITS), counts: dict[str, int] | None = None) -> str:
    """The tables and the meanings of their columns, for people."""
    return "\n\n".join(_table_text(table, counts) for table in tables)


def _table_text(table: TableMeaning, counts: dict[str, int] | None) -> str:
    count = (counts or {}).get(table.name)
    rows = "" if count is None else f" ({count:,} row{'s' * (count != 1)})"
    return f"{table.name}{rows}: {table.meaning}\n{columns_text(('column', 'type', 'meaning'), table.columns)}"
