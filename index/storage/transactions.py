"""Transactions on a Delta table that add and replace whole Parquet files.

Delta Lake's own merge reads all columns of a table, and a predicate with a list of a hundred thousand values overflows its
stack. Here one column is read to find the files that have such rows, and only these are written anew, each by itself.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as dataset
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from index.storage.atomic_file import replace_file
from index.storage.working_copies import local_files, missing_files
from schemas.records import WrittenFile

# Once a table has so many files that are smaller than the second number, they are merged into ones of about the third.
MAX_SMALL_FILES = 100
_SMALL_BYTES = 1 << 20
_MERGED_BYTES = 64 << 20

_CHUNK_BYTES = 32 << 20
_BATCH_ROWS = 8192

# Arrow's column of the number of the file that a row is from.
_FRAGMENT = "__fragment_index"

# Files whose columns are read from an object store at a time.
_FILES_AT_ONCE = 8


def create_table(folder: Path, schema: pa.Schema, configuration: Mapping[str, str | None] | None = None) -> DeltaTable:
    """Open the table in ``folder``, making an empty one where there is none.

    Delta Lake notes in a new table's log where it was made. Nobody reads that, and it would be wrong once the library is
    moved or copied, so it is taken out.
    """
    if DeltaTable.is_deltatable(str(folder)):
        return DeltaTable(folder)
    table = DeltaTable.create(folder, schema, mode="ignore", configuration=configuration)
    log = folder / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    for action in actions:
        action.get("commitInfo", {}).get("operationParameters", {}).pop("location", None)
    replace_file(log, "".join(json.dumps(action) + "\n" for action in actions))
    return table


def add_files(table: DeltaTable, files: Iterable[tuple[WrittenFile, int]]) -> None:
    """Make Parquet files in the table's folder part of it, each given with its number of rows."""
    _commit(table, [_add(file, num_rows) for file, num_rows in files])


def add_rows(table: DeltaTable, rows: Iterable[pa.Table]) -> None:
    """Write rows into a new file of the table, without holding them all in memory."""
    _commit(table, _write(table, rows))


def rows_with(table: DeltaTable, column: str, values: pa.Array) -> Iterator[pa.Table]:
    """The rows whose ``column`` has one of ``values``, in one chunk or more."""
    yield _schema(table).empty_table()
    for chunk in _chunks(table, list(_sizes(table))):
        yield chunk.filter(pc.is_in(chunk[column], value_set=values))


def read_columns(table: DeltaTable, columns: list[str]) -> pa.Table:
    """These columns of all rows, by Arrow's own reader.

    Delta Lake's ``to_pyarrow_table`` reads through file objects in Python. Arrow's threads may let go of one while the
    interpreter ends, which aborts the process.
    """
    wanted = pa.schema([_schema(table).field(name) for name in columns])
    return pa.concat_tables([wanted.empty_table(), *read_chunks(table, columns)])


def read_chunks(table: DeltaTable, columns: list[str]) -> Iterator[pa.Table]:
    """The same, some of the rows at a time; each column is in one piece."""
    return _chunks(table, list(_sizes(table)), columns)


def read_with_files(table: DeltaTable, columns: list[str]) -> tuple[pa.Table, list[str]]:
    """These columns of all rows and the number of each one's file, ``file``; and the names of the files."""
    names = list(_sizes(table))
    schema = pa.schema([*(_schema(table).field(name) for name in columns), (_FRAGMENT, pa.int32())])
    rows = pa.concat_tables([schema.empty_table(), *_chunks(table, names, [*columns, _FRAGMENT])])
    return rows.rename_columns([*columns, "file"]), names


def distinct(table: DeltaTable, column: str) -> pa.Array:
    """The distinct values of a column of strings."""
    chunks = _chunks(table, list(_sizes(table)), [column])
    return pa.chunked_array([pc.unique(chunk[column]) for chunk in chunks], pa.string()).unique()


def delete_except(table: DeltaTable, column: str, kept: Collection[str] | pa.Array) -> None:
    """Delete the rows whose ``column`` has none of the values ``kept``; writes nothing where there are no such rows."""
    values = distinct(table, column)
    kept = kept if isinstance(kept, pa.Array) else pa.array(kept, pa.string())
    replace_rows(table, column, values.filter(pc.invert(pc.is_in(values, value_set=kept))))


def replace_rows(table: DeltaTable, column: str, values: pa.Array, rows: pa.Table | None = None) -> None:
    """Delete the rows whose ``column`` has one of ``values`` and add ``rows``, in one transaction.

    Writes nothing where there is nothing to delete or to add.
    """
    sizes = _sizes(table) if len(values) else {}
    names = list(sizes)
    num_hits = np.zeros(len(names), np.int64)
    for chunk in _chunks(table, names, [column, _FRAGMENT]):
        hits = chunk[_FRAGMENT].filter(pc.is_in(chunk[column], value_set=values))
        num_hits += np.bincount(hits.to_numpy(), minlength=len(names))
    actions = [] if rows is None else _write(table, [rows])
    for group in _groups({name: sizes[name] for name, count in zip(names, num_hits, strict=True) if count}):
        chunks = _chunks(table, group)
        actions += _write(table, (chunk.filter(pc.invert(pc.is_in(chunk[column], value_set=values))) for chunk in chunks))
        actions += [_remove(name, sizes[name]) for name in group]
    _commit(table, actions)


def replace_all(table: DeltaTable, rows: pa.Table) -> None:
    """Make ``rows`` all that a table holds, in one transaction."""
    actions = _write(table, [rows])
    actions += [_remove(name, size) for name, size in _sizes(table).items()]
    _commit(table, actions)


def merge_small_files(table: DeltaTable) -> None:
    """Merge small files, if there are many. The files that they are merged from stay on disk, for earlier versions."""
    small = {name: size for name, size in _sizes(table).items() if size < _SMALL_BYTES}
    actions: list[AddAction | RemoveAction] = []
    for names in _groups(small) if len(small) > MAX_SMALL_FILES else ():
        actions += _write(table, _chunks(table, names), data_change=False)
        actions += [_remove(name, small[name], data_change=False) for name in names]
    _commit(table, actions)


def _groups(sizes: dict[str, int]) -> Iterator[list[str]]:
    """The names of files in groups that reach ``_MERGED_BYTES`` together, but for the last."""
    group, total = list[str](), 0
    for name, size in sizes.items():
        group.append(name)
        total += size
        if total >= _MERGED_BYTES:
            yield group
            group, total = [], 0
    if group:
        yield group


def _sizes(table: DeltaTable) -> dict[str, int]:
    """The table's files by name, with their sizes in bytes."""
    files = pa.table(table.get_add_actions(flatten=True))
    return dict(zip(files["path"].to_pylist(), files["size_bytes"].to_pylist(), strict=True))


def _folder(table: DeltaTable) -> Path:
    return Path(url2pathname(urlsplit(table.table_uri).path))


def _schema(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _chunks(table: DeltaTable, names: Sequence[str], columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The rows of files of a table, in tables of about ``_CHUNK_BYTES``."""
    if not names:
        return
    files = [str(_folder(table) / name) for name in names]
    if columns is not None and (missing := missing_files(files)):
        yield from _read_ranges(files, missing, _schema(table), columns)
        return
    files = local_files(files)
    source = dataset.dataset(files, schema=_schema(table), format="parquet")
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in source.to_batches(columns, batch_size=_BATCH_ROWS, batch_readahead=2, fragment_readahead=2):
        batches.append(batch)
        size += batch.nbytes
        if size >= _CHUNK_BYTES:
            yield pa.Table.from_batches(batches).combine_chunks()
            batches, size = [], 0
    if batches:
        yield pa.Table.from_batches(batches).combine_chunks()


def _read_ranges(
    files: Sequence[str], missing: Mapping[str, Callable[[], BinaryIO]], schema: pa.Schema, columns: Sequence[str]
) -> Iterator[pa.Table]:
    """Columns of Parquet files of which some are not in their folder: of these, only the columns' bytes are read."""

    def read(file: str) -> pa.Table:
        wanted = [name for name in columns if name != _FRAGMENT]
        source = missing[file]() if file in missing else nullcontext(file)
        with source as opened, pq.ParquetFile(opened) as parquet:
            there = [name for name in wanted if name in parquet.schema_arrow.names]
            rows = parquet.read(there, use_threads=False)  # no thread of Arrow's holds an object of Python
        for name in wanted:
            if name not in there:  # a column that was added to the table later
                rows = rows.append_column(schema.field(name), pa.nulls(len(rows), schema.field(name).type))
        return rows.select(wanted).cast(pa.schema([schema.field(name) for name in wanted]))

    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        for number, rows in enumerate(pool.map(read, files)):
            if _FRAGMENT in columns:
                rows = rows.append_column(_FRAGMENT, pa.array(np.full(len(rows), number, np.int32)))
            yield rows.select(list(columns)).combine_chunks()


def _write(table: DeltaTable, chunks: Iterable[pa.Table], *, data_change: bool = True) -> list[AddAction | RemoveAction]:
    """Write rows into a file, and return the action that adds it; none where there are no rows."""
    path, num_rows, schema = _folder(table) / f"part-{uuid.uuid4().hex}.parquet", 0, _schema(table)
    with path.open("wb") as stream:
        with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
            for chunk in chunks:
                writer.write_table(chunk.select(schema.names).cast(schema))  # columns that were added later come last
                num_rows += len(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    if num_rows:
        return [_add(WrittenFile(path.name, path.stat().st_size), num_rows, data_change=data_change)]
    path.unlink()
    return []


def _add(file: WrittenFile, num_rows: int, *, data_change: bool = True) -> AddAction:
    return AddAction(
        path=file.name,
        size=file.size_bytes,
        partition_values={},
        modification_time=_now_ms(),
        data_change=data_change,
        stats=json.dumps({"numRecords": num_rows}),
    )


def _remove(name: str, size_bytes: int, *, data_change: bool = True) -> RemoveAction:
    return RemoveAction(name, data_change, _now_ms(), size_bytes, {})


def _now_ms() -> int:
    return int(time.time() * 1000)


def _commit(table: DeltaTable, actions: list[AddAction | RemoveAction]) -> None:
    """Commit, unless there is nothing to do."""
    if actions:
        table.create_write_transaction(actions, "append", table.schema())
        table.update_incremental()
