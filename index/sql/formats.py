"""Query results as aligned text, CSV, JSON or Parquet, printed or written to a file."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import UsageError
from schemas.text import aligned_line, json_text, printable

_MAX_COLUMN_WIDTH = 80
_ROWS_AT_A_TIME = 10_000


def write_table(table: pa.Table, form: str, output: Path | None) -> None:
    """Print a query's result, or write it to a file.

    Args:
        table: the result; where columns have the same name, a number is appended to it.
        form: ``table``, ``csv``, ``json`` (an object per line) or ``parquet``. CSV has texts unchanged; on a terminal,
            control characters are escaped.
        output: the file; None prints.

    Raises:
        UsageError: Parquet would go to a terminal, or cannot hold a column's type, or the file cannot be written.
    """
    on_terminal = output is None and sys.stdout.isatty()
    if form == "parquet" and on_terminal:
        message = "got a terminal, expected a file; add `output` FILE or redirect the output"
        raise UsageError(message, argument="form", value="parquet")
    table = table.rename_columns(_unique(table.column_names))
    parts = _csv(table, spell=printable) if form == "csv" and on_terminal else _FORMATS[form](table)
    if output is None:
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    try:
        with output.open("wb") as stream:
            stream.writelines(parts)
    except OSError as exc:
        raise UsageError(f"{str(output)!r} cannot be written: {exc.strerror}", argument="output") from exc


def json_rows(table: pa.Table) -> list[list[object]]:
    """The rows of a result as lists of values that JSON has: times as text, bytes in hexadecimal, null for NaN."""
    return [[jsonable(value) for value in row] for rows in _parts(table) for row in rows]


def cell_rows(table: pa.Table) -> list[list[str]]:
    """The rows of a result as texts, as a table shows them."""
    return [list(map(_cell, row)) for rows in _parts(table) for row in rows]


def table_text(table: pa.Table) -> str:
    """A query's result as aligned lines for people."""
    return b"".join(_table(table)).decode().rstrip("\n")


def _unique(names: Sequence[str]) -> list[str]:
    """a, a, b becomes a, a_1, b."""
    unique: list[str] = []
    for name in names:
        number = sum(1 for other in unique if other == name or other.rpartition("_")[0] == name)
        unique.append(f"{name}_{number}" if name in unique else name)
    return unique


def _values(column: pa.ChunkedArray) -> list[object]:
    """A column as Python values; as text where Python has no such value, like dates after the year 9999."""
    if pa.types.is_interval(column.type):
        return [None if value is None else _interval(value) for value in column.to_pylist()]
    try:
        values: list[object] = column.to_pylist()
    except (OverflowError, ValueError):
        values = column.cast(pa.string()).to_pylist()
    return values


def _interval(value: tuple[int, int, int]) -> str:
    months, days, nanoseconds = value
    return f"{months} months {days} days {nanoseconds / 1e9:g} s"


def _parts(table: pa.Table) -> Iterator[list[tuple[object, ...]]]:
    """Rows as Python values, some at a time, since they take many times the memory of Arrow's."""
    for start in range(0, table.num_rows, _ROWS_AT_A_TIME):
        yield list(zip(*map(_values, table.slice(start, _ROWS_AT_A_TIME).columns), strict=True))


def _table(table: pa.Table) -> Iterator[bytes]:
    names = tuple(map(printable, table.column_names))
    widths = list(map(len, names))
    for rows in _parts(table):
        columns = zip(*(map(_cell, row) for row in rows), strict=True)
        widths = [max(width, *map(len, column)) for width, column in zip(widths, columns, strict=True)]
    yield f"{aligned_line(names, widths)}\n{aligned_line(['-' * width for width in widths], widths)}\n".encode()
    for rows in _parts(table):
        yield "".join(f"{aligned_line(list(map(_cell, row)), widths)}\n" for row in rows).encode()
    yield f"({table.num_rows} row{'s' * (table.num_rows != 1)})\n".encode()


def _csv(table: pa.Table, spell: Callable[[str], str] = str) -> Iterator[bytes]:
    yield _csv_text([tuple(map(spell, table.column_names))])
    for rows in _parts(table):
        yield _csv_text([[value if value is None else spell(str(_plain(value))) for value in row] for row in rows])


def _csv_text(rows: Sequence[Sequence[str | None]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _json(table: pa.Table) -> Iterator[bytes]:
    for rows in _parts(table):
        objects = (dict(zip(table.column_names, map(jsonable, row), strict=True)) for row in rows)
        yield "".join(f"{json_text(row, ensure_ascii=False)}\n" for row in objects).encode()


def _parquet(table: pa.Table) -> list[bytes]:
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(table, sink)
    except pa.ArrowNotImplementedError as exc:
        message = f"{exc}; cast that column to varchar, or take another format"
        raise UsageError(message, argument="form", value="parquet") from exc
    return [sink.getvalue().to_pybytes()]


_FORMATS: dict[str, Callable[[pa.Table], Iterable[bytes]]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}


def _plain(value: object) -> object:
    """Bytes as hexadecimal; everything else as it is."""
    return value.hex() if isinstance(value, bytes) else value


def jsonable(value: object) -> object:
    """The value as JSON can hold it: None for infinity and NaN, text for times and other types."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    value = _plain(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _cell(value: object) -> str:
    value = _plain(value)
    if value is None:
        return ""
    text = printable(f"{value:.6g}" if isinstance(value, float) else str(value))
    return text if len(text) <= _MAX_COLUMN_WIDTH else text[: _MAX_COLUMN_WIDTH - 1] + "…"
