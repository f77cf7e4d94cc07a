from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from index.storage.transactions import (
    MAX_SMALL_FILES,
    add_rows,
    delete_except,
    distinct,
    merge_small_files,
    read_columns,
    replace_rows,
    rows_with,
)


@pytest.fixture
def table(tmp_path: Path) -> DeltaTable:
    """In a folder whose path is another one as a URI."""
    folder = tmp_path / "a blank, an ümlaut"
    write_deltalake(folder, pa.table({"video_id": ["a1", "b2", "a1", "c3"], "n": [1, 2, 3, 4]}))
    return DeltaTable(folder)


def numbers(table: DeltaTable) -> list[int]:
    return sorted(table.to_pyarrow_table()["n"].to_pylist())


def rows(video_ids: list[str], first: int) -> pa.Table:
    return pa.table({"video_id": video_ids, "n": range(first, first + len(video_ids))})


def files_of(table: DeltaTable) -> dict[str, int]:
    actions = pa.table(table.get_add_actions(flatten=True))
    return dict(zip(actions["path"].to_pylist(), actions["num_records"].to_pylist(), strict=True))


def test_rows_with_values(table: DeltaTable) -> None:
    add_rows(table, [rows(["a'1", "a1"], 5)])
    found = pa.concat_tables(rows_with(table, "video_id", pa.array(["a1", "c3", "a'1"])))
    assert sorted(found["n"].to_pylist()) == [1, 3, 4, 5, 6]
    assert len(pa.concat_tables(rows_with(table, "video_id", pa.array([], pa.string())))) == 0


def test_columns_are_read_as_delta_lake_reads_them(table: DeltaTable) -> None:
    add_rows(table, [rows(["d4"], 5)])
    assert read_columns(table, ["n"]).sort_by("n").to_pydict() == {"n": [1, 2, 3, 4, 5]}
    assert read_columns(table, ["n", "video_id"]).schema.names == ["n", "video_id"]
    delete_except(table, "video_id", [])
    assert read_columns(table, ["n"]).to_pydict() == {"n": []}


def test_rows_of_other_values_are_deleted(table: DeltaTable) -> None:
    assert distinct(table, "video_id").to_pylist() == ["a1", "b2", "c3"]
    delete_except(table, "video_id", ["a1", "zz"])
    assert (numbers(table), table.version()) == ([1, 3], 1)
    delete_except(table, "video_id", ["a1"])
    assert table.version() == 1, "nothing to delete, nothing written"
    delete_except(table, "video_id", [])
    assert (numbers(table), files_of(table)) == ([], {})


def test_only_files_with_such_rows_are_written_anew(table: DeltaTable) -> None:
    (first,) = files_of(table)
    add_rows(table, [rows(["a1", "d4"], 5)])
    add_rows(table, [rows(["e5"], 7)])
    before = files_of(table)
    replace_rows(table, "video_id", pa.array(["d4", "e5", "x"]), rows(["e5"], 8))
    assert (numbers(table), table.version()) == ([1, 2, 3, 4, 5, 8], 3)
    after = files_of(table)
    assert {name: after[name] for name in before.keys() & after.keys()} == {first: 4}
    assert sorted(after.values()) == [1, 1, 4]
    table.load_as_version(2)
    assert numbers(table) == [1, 2, 3, 4, 5, 6, 7], "earlier versions stay"


def test_a_hundred_thousand_values(table: DeltaTable) -> None:
    """As a predicate of Delta Lake's they would end the process."""
    values = pa.array([f"{number:016x}" for number in range(100_000)])
    add_rows(table, [rows(values.to_pylist(), 5)])
    replace_rows(table, "video_id", values)
    assert numbers(table) == [1, 2, 3, 4]


def test_small_files_are_merged_once_there_are_many(table: DeltaTable) -> None:
    for number in range(MAX_SMALL_FILES - 1):
        add_rows(table, [rows(["b2"], 5 + number)])
    merge_small_files(table)
    assert (len(files_of(table)), table.version()) == (MAX_SMALL_FILES, MAX_SMALL_FILES - 1), "not yet"
    add_rows(table, [rows(["c3"], 5 + MAX_SMALL_FILES - 1)])
    merge_small_files(table)
    assert list(files_of(table).values()) == [MAX_SMALL_FILES + 4]
    assert numbers(table) == list(range(1, MAX_SMALL_FILES + 5))
    version = table.version()
    merge_small_files(table)
    assert table.version() == version
    table.restore(version - 1)
    assert numbers(table) == list(range(1, MAX_SMALL_FILES + 5)), "what they were merged from is still there"
