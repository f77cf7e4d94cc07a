"""Read CSV files that people write by hand: every error names the line it is in."""

from __future__ import annotations

import csv
import errno
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.sources.find import VIDEO_SUFFIXES
from schemas.errors import UsageError

_MAX_SIZE = 1 << 28  # bytes


def read_rows(
    source: Path, what: str, columns_of: Callable[[Sequence[str], str], list[str]], *, allowed: str = "a CSV file"
) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row, its cells stripped of blanks, with the line it begins on.

    Args:
        source: the file, in UTF-8 with a header.
        what: the argument that it came from, for messages.
        columns_of: given the header's cells and a message's beginning, the columns' names; may raise `UsageError`.
        allowed: what the argument may be, for messages.

    Raises:
        UsageError: the file cannot be read, or is no such CSV.
    """
    reader = csv.reader(io.StringIO(_text(source, what, allowed), newline=""), strict=True)
    columns: list[str] = []
    line = 1
    try:
        for cells in reader:
            where = f"{what} {source}: line {line}"
            if not columns:
                columns = columns_of(cells, where)
            elif cells and len(cells) != len(columns):
                raise UsageError(f"{where}: got {len(cells)} cells, the header has {len(columns)}; quote cells with commas")
            elif cells:
                yield line, dict(zip(columns, map(str.strip, cells), strict=True))
            line = reader.line_num + 1
    except csv.Error as exc:
        raise UsageError(
            f"{what} {source}: line {line}: no valid CSV: {exc}; write it anew with a program for tables"
        ) from exc


def seconds(text: str, name: str, where: str) -> float | None:
    """A cell that holds a time; None for an empty one.

    Raises:
        UsageError: it holds something else.
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageError(f"{where}: {name} is {text!r}, expected a number of seconds from 0, such as 2.5; correct it")
    return value


def interval(cells: dict[str, str], where: str) -> tuple[float | None, float | None]:
    """``start_s`` and ``end_s`` of a row, either of which may be left out.

    Raises:
        UsageError: one of them is no time, or they are no interval.
    """
    start_s, end_s = (seconds(cells.get(name, ""), name, where) for name in ("start_s", "end_s"))
    if end_s is not None and end_s <= (start_s or 0.0):
        raise UsageError(f"{where}: end_s is {end_s:g}, expected more than start_s ({start_s or 0:g}); correct one of them")
    return start_s, end_s


def read_whole(source: Path) -> bytes:
    """All of a file that people or commands write, which ends some time: ``/dev/zero`` does not.

    Raises:
        OSError: it cannot be read, or is too large.
    """
    with source.open("rb") as stream:
        data = stream.read(_MAX_SIZE)
        if len(data) == _MAX_SIZE:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(source))
    return data


def _text(source: Path, what: str, allowed: str) -> str:
    if source.suffix.lower() in VIDEO_SUFFIXES:
        raise UsageError(f"{what} {source}: got a video, expected {allowed}")
    try:
        data = read_whole(source)
        text = data.decode("utf-8-sig")
    except OSError as exc:
        raise UsageError(f"{what} {source}: cannot be read: {exc.strerror}; give {allowed}") from exc
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise UsageError(f"{what} {source}: line {line}: got bytes that are no UTF-8; save the CSV file as UTF-8") from exc
    if not text.strip():
        raise UsageError(f"{what} {source}: the file is empty; give a CSV file with a header and a row for every example")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UsageError(f"{what} {source}: line {line}: got a NUL byte; give a CSV file in UTF-8")
    return text
