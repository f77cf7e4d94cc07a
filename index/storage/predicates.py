"""Predicates of Delta tables: conditions on rows, in the SQL that Delta Lake understands."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow.compute as pc
from deltalake import DeltaTable


def among(column: str, values: Collection[str]) -> str:
    """The rows whose ``column`` has one of ``values``, at least one; they are ids and digests, so they need no escaping."""
    assert values, "an empty list is not valid SQL"
    assert all(value.isalnum() for value in values), "ids and digests are hex digits"
    quoted = ", ".join(f"'{value}'" for value in values)
    return f"{column} in ({quoted})"


def distinct(table: DeltaTable, column: str) -> set[str]:
    """The distinct values of a column of strings."""
    return set(pc.unique(table.to_pyarrow_table(columns=[column])[column]).to_pylist())


def delete_except(table: DeltaTable, column: str, kept: Collection[str]) -> None:
    """Delete the rows whose ``column`` has none of the values ``kept``; writes nothing where there are no such rows."""
    if others := sorted(distinct(table, column) - set(kept)):
        table.delete(among(column, others))
