from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from index.storage.predicates import among, delete_except, distinct


@pytest.fixture
def table(tmp_path: Path) -> DeltaTable:
    write_deltalake(tmp_path / "t", pa.table({"video_id": ["a1", "b2", "a1", "c3"], "n": [1, 2, 3, 4]}))
    return DeltaTable(tmp_path / "t")


def numbers(table: DeltaTable) -> list[int]:
    return sorted(table.to_pyarrow_table()["n"].to_pylist())


def test_rows_among_values(table: DeltaTable) -> None:
    assert among("video_id", ["a1", "c3"]) == "video_id in ('a1', 'c3')"
    table.delete(among("video_id", ["a1", "c3"]))
    assert numbers(table) == [2]


@pytest.mark.parametrize("values", [[], ["a'1"], ["a1", ""]])
def test_values_that_would_need_escaping_are_refused(values: list[str]) -> None:
    with pytest.raises(AssertionError):
        among("video_id", values)


def test_rows_of_other_values_are_deleted(table: DeltaTable) -> None:
    assert distinct(table, "video_id") == {"a1", "b2", "c3"}
    delete_except(table, "video_id", ["a1", "zz"])
    assert (numbers(table), table.version()) == ([1, 3], 1)
    delete_except(table, "video_id", ["a1"])
    assert table.version() == 1, "nothing to delete, nothing written"
    delete_except(table, "video_id", [])
    assert numbers(table) == []
