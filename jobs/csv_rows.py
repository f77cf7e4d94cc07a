"""Rows of CSV files that people write by hand: every error names its line."""

from __future__ import annotations

import csv
import errno
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.sources.find import VIDEO_SUFFIXES
from schemas.errors import UsageError

_MAX_SIZE = 1 << 28  # bytes


class FileLine(NamedTuple):
    """A line of a file, for messages about it.

    Attributes:
        argument: the argument that named the file.
        source: the file.
        line: the line's number, from 1.
    """

    argument: str
    source: str | Path
    line: int

    def error(self, message: str) -> UsageError:
        """The error that says what is wrong in this line."""
        return UsageError(f"line {self.line}: {message}", argument=self.argument, value=self.source)


def read_rows(
    source: Path, argument: str, columns_of: Callable[[Sequence[str], FileLine], list[str]], *, expected: str = "a CSV file"
) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row as a dictionary, its cells stripped of blanks, with the number of its line.

    Args:
        source: the file, in UTF-8 with a header.
        argument: the argument that named the file, for messages.
        columns_of: from the header's cells and its line to the columns' names; may raise `UsageError`.
        expected: what the argument may be, for messages.

    Raises:
        UsageError: the file cannot be read, or is not a valid CSV.
    """
    text = read_text(source, argument, expected, kind="CSV file")
    if not text.strip():
        message = "the file is empty; give a CSV file with a header and a row for every example"
        raise UsageError(message, argument=argument, value=source)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    line = 1
    try:
        for cells in reader:
            where = FileLine(argument, source, line)
            if not columns:
                columns = columns_of(cells, where)
            elif cells and len(cells) != len(columns):
                raise where.error(f"got {len(cells)} cells, the header has {len(columns)}; quote cells with commas")
            elif cells:
                yield line, dict(zip(columns, map(str.strip, cells), strict=True))
            line = reader.line_num + 1
    except csv.Error as exc:
        message = f"not valid CSV: {exc}; save it again from a spreadsheet program"
        raise FileLine(argument, source, line).error(message) from exc


def seconds(text: str, name: str, where: FileLine) -> float | None:
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
        raise where.error(f"{name} is {text!r}, expected a number of seconds from 0, such as 2.5; correct it")
    return value


def interval(cells: dict[str, str], where: FileLine) -> tuple[float | None, float | None]:
    """``start_s`` and ``end_s`` of a row; None for one that is left out.

    Raises:
        UsageError: one of them is not a time, or the end is not after the start.
    """
    start_s, end_s = (seconds(cells.get(name, ""), name, where) for name in ("start_s", "end_s"))
    if end_s is not None and end_s <= (start_s or 0.0):
        raise where.error(f"end_s is {end_s:g}, expected more than start_s ({start_s or 0:g}); correct one of them")
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


def read_text(source: Path, argument: str, expected: str, *, kind: str) -> str:
    """The text of a file.

    Args:
        source: the file.
        argument: the argument that named it, for messages.
        expected: what the argument may be, for messages.
        kind: what the file is, for messages.

    Raises:
        UsageError: the file cannot be read, or is not text in UTF-8.
    """
    if source.suffix.lower() in VIDEO_SUFFIXES:
        raise UsageError(f"got a video, expected {expected}", argument=argument, value=source)
    try:
        data = read_whole(source)
        text = data.decode("utf-8-sig")
    except OSError as exc:
        raise UsageError(f"cannot be read: {exc.strerror}; give {expected}", argument=argument, value=source) from exc
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        message = f"got bytes that are no UTF-8; save the {kind} as UTF-8"
        raise FileLine(argument, source, line).error(message) from exc
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FileLine(argument, source, line).error(f"got a NUL byte; give a {kind} in UTF-8")
    return text
