"""``moments.csv``: the outcome of each moment, written during an export, and read where an interrupted export goes on."""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from jobs.export.moments import ExportedMoment, ExportOutcome
from jobs.export.moments_file import RequestedMoment
from schemas.errors import UsageError
from schemas.records import Span, path_text

NAME = "moments.csv"

COLUMNS = (
    "file", "path", "start_s", "end_s", "cut_start_s", "cut_end_s", "how", "rank", "score", "label", "reason", "pad_s",
)  # fmt: skip

_MOMENT_COLUMNS = ("path", "start_s", "end_s", "rank", "score", "label", "pad_s")
_OUTCOMES: dict[str, ExportOutcome] = {"copied": "copied", "re-encoded": "re-encoded", "listed": "listed"}


class MomentsTable:
    """A table that is written row by row; each is on the disk before the next one is taken.

    A row that was cut off, because the program was killed, ends without a line break and is passed over when the table is
    read.
    """

    def __init__(self, folder: Path, pad_s: float, kept: Iterable[ExportedMoment]) -> None:
        """Begin a table with the rows of an earlier export."""
        self._path, self._pad_s = folder / NAME, pad_s
        self.replace(kept)
        self._file = self._path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        """The table itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None) -> None:
        """Close the file."""
        self._file.close()

    def add(self, exported: ExportedMoment) -> None:
        """Write a row."""
        self._file.write(_line(_cells(exported, self._pad_s)))

    def replace(self, rows: Iterable[ExportedMoment]) -> None:
        """Replace the table as a whole."""
        aside = self._path.with_name(f".{NAME}")
        aside.write_bytes(b"".join([_line(COLUMNS), *(_line(_cells(row, self._pad_s)) for row in rows)]))
        os.replace(aside, self._path)


def read_table(folder: Path, moments: Sequence[RequestedMoment], pad_s: float) -> list[list[ExportedMoment]]:
    """The outcomes that an earlier export wrote for each of these moments; several where lines ask for the same moment.

    Raises:
        UsageError: the file is not such a table, or is a table of other moments.
    """
    rows_of: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for row in _rows(folder / NAME):
        rows_of[tuple(row[name] for name in _MOMENT_COLUMNS)].append(row)
    keys = [_key(moment, pad_s) for moment in moments]
    kept = [
        [exported for row in rows_of.get(key, ()) if (exported := _exported(moment, row)) is not None]
        for moment, key in zip(moments, keys, strict=True)
    ]
    if rows_of.keys() - set(keys):
        message = f"{NAME} is of other moments, or of another `pad_s`; give another folder"
        raise UsageError(message, argument="folder", value=folder)
    return kept


def _rows(path: Path) -> list[dict[str, str]]:
    text = path.read_bytes().decode("utf-8", "replace")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    cells: list[list[str]] = []
    try:
        cells.extend(reader)
    except csv.Error:  # the last row is cut off within a quoted cell
        pass
    else:
        if not text.endswith("\n"):
            del cells[-1:]
    if not cells or tuple(cells[0]) != COLUMNS:
        message = f"{NAME} is not of an export, and nothing is overwritten; give another folder"
        raise UsageError(message, argument="folder", value=path.parent)
    return [dict(zip(COLUMNS, row, strict=True)) for row in cells[1:] if len(row) == len(COLUMNS)]


def _exported(moment: RequestedMoment, row: dict[str, str]) -> ExportedMoment | None:
    """The outcome that a row says; None for a row that is not valid."""
    try:
        cut = Span(float(row["cut_start_s"]), float(row["cut_end_s"])) if row["cut_start_s"] else None
    except ValueError:
        return None
    return ExportedMoment(moment, row["file"] or None, cut, _OUTCOMES.get(row["how"], "failed"), row["reason"] or None)


def _cells(exported: ExportedMoment, pad_s: float) -> list[str]:
    moment = exported.moment
    cut = ("", "") if exported.cut is None else tuple(f"{time_s:.6f}" for time_s in exported.cut)
    cells = (exported.file, path_text(moment.path), moment.span.start_s, moment.span.end_s, *cut, exported.how)
    more = (moment.rank, moment.score, moment.label, exported.reason, pad_s)
    return ["" if cell is None else str(cell) for cell in (*cells, *more)]


def _key(moment: RequestedMoment, pad_s: float) -> tuple[str, ...]:
    """The cells that identify a moment, as they are read back from the table."""
    cells = dict(zip(COLUMNS, _cells(ExportedMoment(moment, None, None, "failed"), pad_s), strict=True))
    return tuple(cells[name].encode("utf-8", "replace").decode() for name in _MOMENT_COLUMNS)


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # so that cells with either of both are quoted
    return (text.getvalue().removesuffix("\r\n") + "\n").encode("utf-8", "replace")
