"""Rows of CSV files that people write by hand: every error names its line."""

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
    source: Path, argument: str, columns_of: Callable[[Sequence[str], str], list[str]], *, expected: str = "a CSV file"
) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row as a dictionary, its cells stripped of blanks, with the number of its line.

    Args:
        source: the file, in UTF-8 with a header.
        argument: what the user gave it with, for messages.
        columns_of: from the header's cells and the beginning of messages to the columns' names; may raise `UsageError`.
        expected: what the argument may be, for messages.

    Raises:
        UsageError: the file cannot be read, or is not a valid CSV.
    """
    reader = csv.reader(io.StringIO(_text(source, argument, expected), newline=""), strict=True)
    columns: list[str] = []
    line = 1
    try:
        for cells in reader:
            where = f"{argument} {source}: line {line}"
            if not columns:
                columns = columns_of(cells, where)
            elif cells and len(cells) != len(columns):
                raise UsageError(f"{where}: got {len(cells)} cells, the header has {len(columns)}; quote cells with commas")
            elif cells:
                yield line, dict(zip(columns, map(str.strip, cells), strict=True))
            line = reader.line_num + 1
    except csv.Error as exc:
        raise UsageError(
            f"{argument} {source}: line {line}: no valid CSV: {exc}; write it anew with a program for tables"
        ) from exc


def seconds(text: str, name: str, where: str) -> float | None:
    """A time in a cell, in seconds; None for an empty cell.

    Raises:
        UsageError: it is not a number of seconds from 0.
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
    """``start_s`` and ``end_s`` of a row; None for one that is left out.

    Raises:
        UsageError: one of them is not a time, or the end is not after the start.
    """
    start_s, end_s = (seconds(cells.get(name, ""), name, where) for name in ("start_s", "end_s"))
    if end_s is not None and end_s <= (start_s or 0.0):
        raise UsageError(f"{where}: end_s is {end_s:g}, expected more than start_s ({start_s or 0:g}); correct one of them")
    return start_s, end_s


def read_whole(source: Path) -> bytes:
    """All bytes of a file that people or commands write. There is a limit, since ``/dev/zero`` never ends.

    Raises:
        OSError: the file cannot be read, or has 256 MiB or more.
    """
    with source.open("rb") as stream:
        data = stream.read(_MAX_SIZE)
        if len(data) == _MAX_SIZE:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(source))
    return data


def _text(source: Path, argument: str, expected: str) -> str:
    """The text of a file.

    Raises:
        UsageError: the file cannot be read, is empty, or is not text in UTF-8.
    """
    if source.suffix.lower() in VIDEO_SUFFIXES:
        raise UsageError(f"{argument} {source}: got a video, expected {expected}")
    try:
        data = read_whole(source)
        text = data.decode("utf-8-sig")
    except OSError as exc:
        raise UsageError(f"{argument} {source}: cannot be read: {exc.strerror}; give {expected}") from exc
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise UsageError(
            f"{argument} {source}: line {line}: got bytes that are no UTF-8; save the CSV file as UTF-8"
        ) from exc
    if not text.strip():
        raise UsageError(
            f"{argument} {source}: the file is empty; give a CSV file with a header and a row for every example"
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UsageError(f"{argument} {source}: line {line}: got a NUL byte; give a CSV file in UTF-8")
    return text
