"""``moments.csv``: what became of each moment of an export, written as it goes, and read again where an export goes on."""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from jobs.export.moments import Exported, How
from jobs.export.moments_file import Wanted
from schemas.errors import UsageError
from schemas.records import Span, path_text

NAME = "moments.csv"

COLUMNS = (
    "file", "path", "start_s", "end_s", "cut_start_s", "cut_end_s", "how", "rank", "score", "label", "reason", "pad_s",
)  # fmt: skip

_OF_A_MOMENT = ("path", "start_s", "end_s", "rank", "score", "label", "pad_s")
_HOWS: dict[str, How] = {"copied": "copied", "re-encoded": "re-encoded", "listed": "listed"}


class MomentsTable:
    """Takes a row after the other, each on the disk when the next one comes.

    A row that is cut off, since the program was killed at it, ends without a line break and is passed over when the table is
    read.
    """

    def __init__(self, folder: Path, pad_s: float, kept: Iterable[Exported]) -> None:
        """Begin a table with the rows that are there already."""
        self._path, self._pad_s = folder / NAME, pad_s
        self.replace(kept)
        self._file = self._path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        """Nothing happens yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None) -> None:
        """Close the file."""
        self._file.close()

    def add(self, exported: Exported) -> None:
        """Write a row."""
        self._file.write(_line(_cells(exported, self._pad_s)))

    def replace(self, rows: Iterable[Exported]) -> None:
        """Put the table into this order, or leave the old one as it is."""
        aside = self._path.with_name(f".{NAME}")
        aside.write_bytes(b"".join([_line(COLUMNS), *(_line(_cells(row, self._pad_s)) for row in rows)]))
        os.replace(aside, self._path)


def read_table(folder: Path, wanted: Sequence[Wanted], pad_s: float) -> list[list[Exported]]:
    """What an earlier export wrote of each of these moments: none, or one row for each line that asks for the same.

    Raises:
        UsageError: it is no such table, or one of other moments.
    """
    path = folder / NAME
    rows = _rows(path)
    found: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in _OF_A_MOMENT)].append(row)
    kept = [
        [one for row in found.get(_key(moment, pad_s), ()) if (one := _exported(moment, row)) is not None]
        for moment in wanted
    ]
    if found.keys() - {_key(moment, pad_s) for moment in wanted}:
        raise UsageError(f"--to {folder}: {NAME} is of other moments, or of another --pad; give another folder")
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
        raise UsageError(f"--to {path.parent}: {NAME} is not of an export, and nothing is overwritten; give another folder")
    return [dict(zip(COLUMNS, row, strict=True)) for row in cells[1:] if len(row) == len(COLUMNS)]


def _exported(moment: Wanted, row: dict[str, str]) -> Exported | None:
    try:
        cut = Span(float(row["cut_start_s"]), float(row["cut_end_s"])) if row["cut_start_s"] else None
    except ValueError:
        return None
    return Exported(moment, row["file"] or None, cut, _HOWS.get(row["how"], "failed"), row["reason"] or None)


def _cells(exported: Exported, pad_s: float) -> list[str]:
    moment = exported.wanted
    cut = ("", "") if exported.cut is None else tuple(f"{time_s:.6f}" for time_s in exported.cut)
    cells = (exported.file, path_text(moment.path), moment.span.start_s, moment.span.end_s, *cut, exported.how)
    told = (moment.rank, moment.score, moment.label, exported.reason, pad_s)
    return ["" if cell is None else str(cell) for cell in (*cells, *told)]


def _key(moment: Wanted, pad_s: float) -> tuple[str, ...]:
    """The cells of a moment that say which it is, as they are read again."""
    cells = dict(zip(COLUMNS, _cells(Exported(moment, None, None, "failed"), pad_s), strict=True))
    return tuple(cells[name].encode("utf-8", "replace").decode() for name in _OF_A_MOMENT)


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # so that cells with either of both are quoted
    return (text.getvalue().removesuffix("\r\n") + "\n").encode("utf-8", "replace")
